/*
 * obj - assertions that stay in release builds, and magic numbers for structs that travel as void
 * *.
 *
 * ASSERT() states an invariant of our own code; it never tests outside input and has no side
 * effects. OBJ(x, X_MAGIC, arg) turns a callback's void * back into `struct x *` and asserts its
 * first field, `uint32_t magic`. Magic numbers are unique in the tree (make lint).
 */
#ifndef BASE_OBJ_H
#define BASE_OBJ_H

#include <stdint.h>

/* Called once before the process aborts on a bug, for instance to restore the terminal. */
typedef void bug_fn(void);
void bug_hook_set(bug_fn *fn);

_Noreturn void bug_report(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define BUG(...) bug_report(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(cond) ((cond) ? (void)0 : BUG("assertion failed: %s", #cond))

static inline void *obj_check(void *p, uint32_t magic, const char *file, int line)
{
	if (p == (void *)0 || *(uint32_t *)p != magic)
		bug_report(file, line, "object %p is not a live %#x", p, (unsigned)magic);
	return p;
}
#define OBJ(type, magic_number, p)                                                                 \
	((struct type *)obj_check((p), (magic_number), __FILE__, __LINE__))

#endif
