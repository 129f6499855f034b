/*
 * reply_text_int - what a piece of a reply's text is (reply_token.c), for reply_text.c.
 */
#ifndef MAIL_REPLY_TEXT_INT_H
#define MAIL_REPLY_TEXT_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum reply_token {
	REPLY_TOKEN_WORD,
	REPLY_TOKEN_ADDR,
	REPLY_TOKEN_IP,
	REPLY_TOKEN_HOST,
	REPLY_TOKEN_URL,
	REPLY_TOKEN_ID,
	REPLY_TOKEN_NUMBER,
	REPLY_TOKEN_TIME,
	REPLY_TOKEN__COUNT
};
extern const char *const reply_token_marks[REPLY_TOKEN__COUNT]; /* "<addr>", …; NULL for words */

/* What t is as a whole: a run without spaces, quotes, brackets, and punctuation at its ends. */
enum reply_token reply_token_of(struct str t);
/* A code that names a cause, such as TSS04, BL000010, OFR_417: kept, however much like an id. */
bool reply_token_is_code(struct str t);
/* A date with a month's name, or the like, that takes several words: its length, or 0. */
size_t reply_token_date(struct str s);

#endif
