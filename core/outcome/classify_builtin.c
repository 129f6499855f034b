/*
 * The rules file that is built in: its bytes as they are, put in by the assembler. The path is seen
 * from the top of the tree, where make runs.
 */
#include "classify_int.h"

#define RULES_FILE "dist/replies.rules"

__asm__(".section .rodata\n"
	".global classify_builtin_begin\n"
	".global classify_builtin_end\n"
	"classify_builtin_begin:\n"
	".incbin \"" RULES_FILE "\"\n"
	"classify_builtin_end:\n"
	".byte 0\n"
	".previous\n");

extern const char classify_builtin_begin[];
extern const char classify_builtin_end[];

struct str classify_builtin(void)
{
	return str_from(classify_builtin_begin,
			(size_t)(classify_builtin_end - classify_builtin_begin));
}
