#include "base/obj.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bug_fn *hook;

void bug_hook_set(bug_fn *fn)
{
	hook = fn;
}

_Noreturn void bug_report(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	if (hook != NULL) {
		bug_fn *fn = hook;
		hook = NULL;
		fn();
	}
	(void)fprintf(stderr, "weir: bug at %s:%d: ", file, line);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	abort();
}
