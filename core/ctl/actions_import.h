/*
 * actions_import - config.import on its way: what stands in the file, and what it makes of the
 * relay's objects. A part of actions_rules.h. (actions_import.c; the ordered kinds in
 * actions_import_order.c, how it goes on from slice to slice in actions_import_work.c)
 */
#ifndef CTL_ACTIONS_IMPORT_H
#define CTL_ACTIONS_IMPORT_H

#include "ctl/actions_rules.h"
#include "ctl/config_file.h"

struct import_pass;
struct import_pairs; /* which route of the relay is which of the file */

enum import_told {
	TOLD_LACKS, /* a secret, and how to give it */
	TOLD_OVER,
	TOLD_REVOKED,
	TOLD__COUNT
};

/* The relay's lists are looked at from slice to slice by their places in them: when somebody edits
 * them meanwhile, it is over. */
struct importing {
	struct op *op;
	const struct ctl_env *env;
	int64_t now_ms;
	bool began;
	struct buf text;
	char upload[UPLOAD_ID_LEN]; /* that it came from */
	bool froze;		    /* which this plan, still being made, did */
	struct config_reading *reading;
	struct config_file file;
	const struct import_pass *pass;
	size_t at; /* in the pass */
	/* As they would be; the relay's own where the file does not contain them. */
	struct pools *pools;
	struct streams *streams;
	struct import_pairs *pairs;
	json_t *there;	    /* "kind id" of each object in the file: its line */
	json_t *domains;    /* of keys: how many */
	struct buf revoked; /* names */
	size_t creds_added;
	size_t told[TOLD__COUNT];
	size_t added;
	size_t changed;
	size_t removed;
	size_t same;
};

/* A loop of it. The lists are gone through in the order of the table (actions_import_work.c). */
typedef int import_one_fn(struct importing *im, size_t i, struct err *err);
typedef size_t import_n_fn(const struct importing *im);

bool import_contains(const struct importing *im, enum config_kind k);
struct config_item *import_item(const struct importing *im, enum config_kind k, size_t i);
/* What is said of the item, as parameters of the method that makes one: types, ranges, words.
 * `title`: the parameter that is the item's `member`, which stands behind its kind; or NULL. */
int import_check(const struct config_item *item, enum method_id method, const char *title,
		 const char *member, struct err *err) MUST_CHECK;
/* Notes that the file has it: ERR_INVALID when it has it twice. */
int import_note(struct importing *im, const struct config_item *item, const char *id,
		struct err *err) MUST_CHECK;
bool import_has(const struct importing *im, enum config_kind k, const char *id);
/* Whose object it is: as before, or the one's who imports. */
void import_own(const struct importing *im, json_t *object, const json_t *before);
/* The change of one object; both are taken. */
void import_put(struct importing *im, enum config_kind k, const char *id, json_t *before,
		json_t *after);
int import_pool_name(const struct importing *im, const json_t *object, const char *member,
		     struct err *err) MUST_CHECK;
/* A warning of a kind of which there may be very many: the first ones are told. */
void import_tell(struct importing *im, enum import_told what, char *text_take);
void import_told(struct importing *im); /* and how many there are besides */

import_one_fn import_pools_begin, import_pool_read, import_pool_overflow, import_pool_put,
	import_pool_drop;
import_one_fn import_streams_begin, import_stream_read, import_streams_place, import_stream_put,
	import_stream_drop;
import_one_fn import_route_read, import_routes_begin, import_routes_again, import_route_know,
	import_route_pair, import_routes_place, import_route_put, import_route_drop;
import_one_fn import_allow_entry, import_allow_drop;
import_one_fn import_creds_begin, import_cred, import_creds_limit, import_cred_revoke,
	import_creds_end;
import_one_fn import_key, import_key_drop;

void import_pairs_free(struct import_pairs **pp);

#endif
