/*
 * author - who says to have written a message: the domain of the first address in its From field.
 *
 * Context: any thread; pure.
 */
#ifndef SIGN_AUTHOR_H
#define SIGN_AUTHOR_H

#include <stdbool.h>

#include "base/str.h"

#define AUTHOR_DOMAIN_MAX 253

/*
 * In lower case, ASCII. False when there is no such domain, and when several From fields name
 * different ones: then nobody can tell which is shown.
 */
bool author_domain(struct str content, char ret[static AUTHOR_DOMAIN_MAX + 1]);

#endif
