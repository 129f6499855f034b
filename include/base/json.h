/*
 * json - what jansson leaves to its users: texts from outside, times, and reading without
 * surprises.
 *
 * Owner:   results of json_text() and its like are owned by the caller, as json_string()'s are.
 * Errors:  json_read() ERR_CORRUPT with what is wrong and where; the getters answer "nothing" for
 * what is missing or of another type.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* A string; bytes that are no UTF-8 become U+FFFD. Never NULL. */
json_t *json_text(struct str s);
/* The same, or null for the empty text. */
json_t *json_text_or_null(struct str s);
/* Appends text as it stands between the quotes of a string. */
void json_put_escaped(struct buf *out, struct str text);
/* RFC 3339, or null for 0. */
json_t *json_time(int64_t wall_ms);

/* An object that we wrote ourselves (from the store); owned. */
int json_read(const char *text, json_t **ret_object, struct err *err) MUST_CHECK;
/* The members of an array, one after the other: *at is where the next one stands, the text itself
 * at first. NULL: there is none, or the text is damaged (*at is NULL then). Owned. */
json_t *json_read_next(const char **at);
const char *json_get_str(const json_t *object, const char *name); /* "" when there is none */
char *json_dup_str(const json_t *object, const char *name);	  /* owned, never NULL */
int64_t json_get_int(const json_t *object, const char *name);	  /* 0 when there is none */
bool json_get_bool(const json_t *object, const char *name);

#endif
