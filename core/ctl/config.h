/*
 * config - what of the store's objects is configuration, and how its versions compare.
 *
 * Model:   a kind of object is configuration when its row in the table of kinds has rules
 *          (actions_object.c); holds, private keys and the like have none. An action that changes
 *          such objects makes a version, stored with it (queue/versions.h). The difference between
 *          two versions is what the versions between them did to each object, the first one's
 *          `before` beside the last one's `after`; no version is ever kept as a whole.
 *          A change is {"kind", "id", "before", "after", "secret"}: objects without what is secret
 *          in them, null where there is none; secret: true when that was changed, too.
 * Context: loop thread only.
 */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include "ctl/env.h"
#include "ctl/slicer.h"

#define CONFIG_VERSIONS_MAX 20000 /* that are gone through for a difference */
#define CONFIG_TEXT_MAX ((size_t)4000)
#define CONFIG_ROWS_BYTES ((size_t)512 << 10) /* of JSON: rows that an answer has room for */

struct config_rules {
	/* Fields that stay as they are when an earlier version is brought back, ended by NULL:
	 * secrets, because no version has them, and what must not come back. */
	const char *const *keeps;
	/* Its objects stand in one order: who edits one of them has seen them all. */
	bool ordered;
	/* Makes an object of an earlier version complete, or says why it cannot come back. The
	 * object as it is now, which has given its `keeps` already, may be NULL. NULL: nothing to
	 * do. */
	int (*restore)(const struct ctl_env *env, const json_t *now, json_t *object,
		       struct err *err);
};
/* Another number whenever some of it was put in force. */
uint64_t config_generation(const struct ctl_env *env);
/* NULL: the kind is no configuration. (actions_object.c) */
const struct config_rules *config_rules(const char *kind);

/* What the change of an object {kind, id, before, after} does to the configuration; NULL: nothing.
 * Owned. */
json_t *config_change(const json_t *object);

/* A difference: an object of changes by kind and id. Adds what came later than what it has. */
void config_add(json_t *diff, const json_t *change);
/* A row of entity "change": op (+ - ~), kind, id, text, before, after. Owned. */
json_t *config_row(const json_t *change);
/* The first rows of changes as they are stored, of so many bytes; *ret_more: there are others.
 * Owned.
 */
json_t *config_rows_first(const char *changes, size_t bytes, bool *ret_more);
bool config_is_change(const json_t *change); /* before and after differ */

/* Reads versions from the store into a difference, in slices. Embedded; config_collect_done() frees
 * what it has when the answer has come or none will. fn once, never from inside. */
struct config_collect {
	struct ctl_env *env;
	uint64_t above; /* versions greater than this */
	uint64_t below; /* and less than this */
	bool rows_too;
	void (*fn)(void *arg, const struct err *err);
	void *arg;
	json_t *diff;
	json_t *rows;  /* of the changes that are left, as many as an answer has room for */
	size_t rows_n; /* all that there are */
	/* on its way */
	size_t n;
	size_t page; /* versions that are read at once */
	struct slicer slicer;
	char **texts; /* of the versions of a page, NULL: done with */
	size_t texts_n;
	size_t text;
	const char *at; /* in it */
	bool more;
	size_t bytes;
	void *iter; /* in the difference */
	struct err err;
};
void config_collect(struct config_collect *c);
void config_collect_done(struct config_collect *c);

#endif
