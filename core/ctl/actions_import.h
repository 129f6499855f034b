/*
 * actions_import - config.import on its way: what stands in the file, and what it makes of the
 * relay's objects. A part of actions_rules.h. (actions_import.c; the ordered kinds in
 * actions_import_order.c)
 */
#ifndef CTL_ACTIONS_IMPORT_H
#define CTL_ACTIONS_IMPORT_H

#include "ctl/actions_rules.h"
#include "ctl/config_file.h"

struct importing {
	struct op *op;
	const struct ctl_env *env;
	int64_t now_ms;
	struct config_file file;
	/* As they would be; the relay's own where the file does not contain them. */
	struct pools *pools;
	struct streams *streams;
	json_t *there;	/* "kind id" of each object in the file: its line */
	size_t secrets; /* objects that lack one */
	size_t added;
	size_t changed;
	size_t removed;
	size_t same;
};

bool import_contains(const struct importing *im, enum config_kind k);
/* The first item of a kind, and how many there are. */
struct config_item *import_items(const struct importing *im, enum config_kind k, size_t *ret_n);
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
int import_put(struct importing *im, enum config_kind k, const char *id, json_t *before,
	       json_t *after, struct err *err) MUST_CHECK;
int import_pool_name(const struct importing *im, const json_t *object, const char *member,
		     struct err *err) MUST_CHECK;
void import_lacks(struct importing *im, char *text_take); /* a secret, and how to give it */

int import_streams(struct importing *im, struct err *err) MUST_CHECK;
int import_routes(struct importing *im, struct err *err) MUST_CHECK;

#endif
