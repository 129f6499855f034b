/*
 * config_text - the syntax of a configuration as text, line by line.
 *
 *	# comment
 *	format = 1
 *	contains = "pools, routes"
 *
 *	route {
 *		to = "smarthost:mail.example.net:25"	# comment
 *		tls = required
 *	}
 *	allow "10.0.0.0/8" {
 *	}
 *
 * Model:   a line is empty, KEY = VALUE, KIND ["TITLE"] { or }. A value is a word, or a text in
 *          quotes with \" \\ \n \t \r and \u{1F600}. What words there are is not known here
 *          (config_file.h).
 * Errors:  ERR_INVALID, "line 12: …", with what would be right.
 * Context: any thread; pure.
 */
#ifndef CTL_CONFIG_TEXT_H
#define CTL_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define CONFIG_TEXT_VALUE_MAX ((size_t)8192) /* bytes of one value */

enum config_line { CONFIG_LINE_END, CONFIG_LINE_KEY, CONFIG_LINE_OPEN, CONFIG_LINE_CLOSE };

struct config_reader {
	struct str rest;
	int line;	  /* the one that was read last, from 1 */
	struct str word;  /* KEY or KIND; borrowed from the text */
	struct buf value; /* VALUE or TITLE */
	bool quoted;	  /* it stood in quotes; of a KIND: it has a title */
};
void config_reader_init(struct config_reader *r, struct str text);
void config_reader_done(struct config_reader *r);
/* The next line that says something. An enum config_line, or an error. */
int config_reader_next(struct config_reader *r, struct err *err) MUST_CHECK;
/* "line 12: …" before the message, which is about `param`. */
int config_text_at(struct err *err, const char *param, int line);

/* In quotes, whatever it has in it. */
void config_text_put(struct buf *out, struct str value);

#endif
