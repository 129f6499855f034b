#include "base/tame.h"

#include <stdbool.h>
#include <string.h>

size_t tame_mail(char *p, size_t n)
{
	size_t colons = 0;
	size_t marks = 0;
	bool begins = true; /* a line does here */

	for (size_t i = 0; i < n; i++) {
		if (begins && p[i] != ' ' && p[i] != '\t')
			colons = 0;
		if (begins && p[i] == '-' && i + 1 < n && p[i + 1] == '-' && ++marks >= TAME_MARKS)
			return i;
		if (p[i] == ':' && ++colons > TAME_COLONS)
			p[i] = ' ';
		begins = p[i] == '\n';
	}
	return n;
}
