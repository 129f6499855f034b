/*
 * reply_schema - answers of the relay against fields.def: every name known, every promised field
 * there, every value of its field's kind.
 */
#ifndef TESTS_REPLY_SCHEMA_H
#define TESTS_REPLY_SCHEMA_H

#include "proto/proto.h"

/* What is wrong with an answer of method m to params (may be NULL): owned text, NULL when nothing
 * is.
 */
char *reply_schema_check(const struct method_def *m, const json_t *params, const json_t *result);
/* The same for one object of an entity. `key` stands for the name that rows of queue are grouped
 * by; NULL otherwise. */
char *reply_schema_object(const char *entity, const char *key, const json_t *object);

#endif
