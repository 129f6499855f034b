/*
 * tame - mail from outside made bearable for parsers of others (GMime).
 *
 * Model:   GMime goes down a level of its stack for each colon of an address ("a:a:a:…", groups in
 *          groups) and keeps an object for each part: mail of some hundred KB ends the process, or
 *          costs hundreds of MB. What no real mail has so many of is taken out before.
 * Owner:   the caller's bytes, changed in place.   Context: any thread; pure.
 * Limits:  TAME_COLONS of one line with those that continue it, the rest become blanks; the text
 *          ends at the first of TAME_MARKS lines that may be boundaries.
 */
#ifndef BASE_TAME_H
#define BASE_TAME_H

#include <stddef.h>

#define TAME_COLONS 100
#define TAME_MARKS 5000

/* How many of the n bytes are to be read. */
size_t tame_mail(char *p, size_t n);

#endif
