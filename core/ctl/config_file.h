/*
 * config_file - the configuration that operators edit as one text, without secrets: written for
 * version control, and read to be put in force elsewhere (actions_import.c).
 *
 * Model:   a file says which kinds of objects it contains, and has every object of these; the
 *          others are not its business. Objects stand in the order that they have in the relay,
 *          their members in the order of the tables in config_file.c, one a line, and those that
 *          are as in a new object are not written: so the same configuration is the same text,
 *          on every relay. Not in it: who made an object and when, numbers of routes, what is
 *          counted, and secrets.
 *          Members have the names and values of the stored objects (route/pools.h and so on), but:
 *          a credential has "disabled": true, and an entry of the allowlist "everything": true when
 *          it lets everybody relay.
 * Owner:   what is read belongs to struct config_file.
 * Errors:  ERR_INVALID, "line 12: …". What values mean is checked by who uses them.
 * Limits:  of each kind as many objects as a relay can have.
 */
#ifndef CTL_CONFIG_FILE_H
#define CTL_CONFIG_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* In the order in which they stand in a file. */
enum config_kind {
	CONFIG_POOL,
	CONFIG_STREAM,
	CONFIG_ROUTE,
	CONFIG_ALLOW,
	CONFIG_CRED,
	CONFIG_KEY,
	CONFIG_KIND__COUNT
};
#define CONFIG_ALL ((1u << CONFIG_KIND__COUNT) - 1)
const char *config_kind_name(enum config_kind k);   /* "pools", as `contains` has it */
const char *config_kind_object(enum config_kind k); /* "pool", the kind of the store */
/* Whether the text has this member of its objects. */
bool config_file_has(enum config_kind kind, const char *member);
/* A set of kinds from their names, with commas; ERR_INVALID says which there are. */
int config_kinds_read(struct str text, unsigned *ret_kinds, struct err *err) MUST_CHECK;

#define CONFIG_MEMBERS_MAX 16
struct config_item {
	enum config_kind kind;
	int line;
	json_t *object; /* with all members, those that are not said as in a new one */
	int lines[CONFIG_MEMBERS_MAX]; /* of its members; 0: not said */
};
struct config_file {
	unsigned kinds;	       /* that it contains, 1 << kind */
	struct config_item *v; /* by kind; in their order */
	size_t n;
	size_t count[CONFIG_KIND__COUNT]; /* of each kind */
};
/* Reading goes on by steps, of so many objects each. The text stays until the end. */
struct config_reading;
struct config_reading *config_file_begin(struct str text);
/* 1: there is more. 0: that was all of it. */
int config_file_step(struct config_reading *g, size_t most, struct err *err) MUST_CHECK;
/* What was read. */
void config_file_end(struct config_reading **gp, struct config_file *ret);
/* Frees the last ones, up to so many; false when none is left. */
bool config_file_drop(struct config_file *f, size_t most);
/* The next member that is said, from *at on; NULL: no more. */
const char *config_file_said(const struct config_item *item, size_t *at);
/* What it has in it is not needed any more. */
void config_file_release(struct config_item *item);
/* The first object of a kind; there are count[k] of them. */
struct config_item *config_file_items(const struct config_file *f, enum config_kind k);
/* "line 12: " before what is wrong with the item: of the member that err->param names, if it is
 * one, else where the item begins. */
int config_file_at(const struct config_item *item, struct err *err);

/* What stands before the objects. */
void config_file_put_head(struct buf *out, unsigned kinds);
/* A stored object, or one that was read. */
void config_file_put(struct buf *out, enum config_kind kind, const json_t *object);

/* Kinds and members, for the manual. */
void config_file_manual(struct buf *out);

#endif
