/*
 * config.import: the objects of a file, of the kinds that it contains, are those of the relay from
 * then on. All of it is one change, made of the same objects as single edits are. Here is what
 * becomes of one object of each kind.
 */
#include "ctl/actions_import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/cred_bounds.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

#define TOLD_MAX 20	   /* of the same, one by one; of others how many there are */
#define WARNED_ENTRIES 100 /* new ones are looked at more closely */
#define REVOKED_SHOWN 300

bool import_contains(const struct importing *im, enum config_kind k)
{
	return (im->file.kinds & 1u << k) != 0;
}

struct config_item *import_item(const struct importing *im, enum config_kind k, size_t i)
{
	ASSERT(i < im->file.count[k]);
	return config_file_items(&im->file, k) + i;
}

/* --- what all kinds have in common ------------------------------------------------------------ */

int import_check(const struct config_item *item, enum method_id method, const char *title,
		 const char *member, struct err *err)
{
	const struct method_def *m = &method_defs[method];
	json_t *params = json_object();
	const char *name;
	size_t at = 0;
	int rc;

	if (title != NULL)
		(void)json_object_set(params, title, json_object_get(item->object, member));
	while ((name = config_file_said(item, &at)) != NULL)
		if (method_param(m, name) != NULL)
			(void)json_object_set(params, name, json_object_get(item->object, name));
	rc = method_check(m, params, err);
	json_decref(params);
	return rc;
}

static char *key_of(enum config_kind k, const char *id)
{
	return xasprintf("%s %s", config_kind_object(k), id);
}

int import_note(struct importing *im, const struct config_item *item, const char *id,
		struct err *err)
{
	AUTO_FREE char *key = key_of(item->kind, id);
	int64_t line = json_get_int(im->there, key);

	if (line > 0)
		return err_set(err, ERR_INVALID,
			       "%.100s is there twice; line %" PRId64 " has it, too", id, line);
	(void)json_object_set_new(im->there, key, json_integer(item->line));
	return 0;
}

bool import_has(const struct importing *im, enum config_kind k, const char *id)
{
	AUTO_FREE char *key = key_of(k, id);

	return json_object_get(im->there, key) != NULL;
}

void import_own(const struct importing *im, json_t *object, const json_t *before)
{
	json_t *by = json_object_get(before, "by");

	(void)json_object_set_new(
		object, "by", by != NULL ? json_incref(by) : json_text(str_of(im->op->who->user)));
	(void)json_object_set_new(
		object, "created_ms",
		json_integer(before != NULL ? json_get_int(before, "created_ms") : im->now_ms));
}

void import_put(struct importing *im, enum config_kind k, const char *id, json_t *before,
		json_t *after)
{
	if (before != NULL && after != NULL && json_equal(before, after)) {
		im->same++;
		json_decref(before);
		json_decref(after);
		return;
	}
	im->added += before == NULL;
	im->removed += after == NULL;
	im->changed += before != NULL && after != NULL;
	op_object(im->op, config_kind_object(k), id, before, after);
}

void import_tell(struct importing *im, enum import_told what, char *text)
{
	if (im->told[what]++ < TOLD_MAX)
		rule_warn(im->op, text);
	else
		free(text);
}

void import_told(struct importing *im)
{
	static const char *const more[TOLD__COUNT] = {
		[TOLD_LACKS] = "need a secret",
		[TOLD_OVER] = "are left out because their time was over",
		[TOLD_REVOKED] = "credentials are revoked on this relay, and stay so",
	};

	for (int what = 0; what < TOLD__COUNT; what++)
		if (im->told[what] > TOLD_MAX)
			rule_warn(im->op,
				  xasprintf("%zu more %s", im->told[what] - TOLD_MAX, more[what]));
}

int import_pool_name(const struct importing *im, const json_t *object, const char *member,
		     struct err *err)
{
	const char *name = json_get_str(object, member);

	if (*name == '\0' || pools_find(im->pools, str_of(name)) != NULL)
		return 0;
	return err_param(err, ERR_UNKNOWN, member, "there is no pool %.40s %s", name,
			 import_contains(im, CONFIG_POOL)
				 ? "in this text"
				 : "on this relay; weir pool list has those there are");
}

/* --- pools ------------------------------------------------------------------------------------ */

/* Into the list as it would be; checked. */
static int read_pool(struct importing *im, const struct config_item *item, struct err *err)
{
	json_t *o = item->object;
	char name[POOL_NAME_MAX + 1];
	char *text;
	json_t *before;
	int rc = import_check(item, M_POOL_ADD, "name", "id", err);

	if (rc >= 0)
		rc = pools_name(str_of(json_get_str(o, "id")), name, err);
	if (rc >= 0)
		rc = import_note(im, item, name, err);
	if (rc < 0)
		return rc;
	before = object_current(im->env, POOLS_KIND, name);
	(void)json_object_set_new(o, "id", json_string(name));
	/* a day in the text is what it says; without a plan, now and before, there is none */
	if (json_get_int(o, "warmup_from_ms") == 0 &&
	    (before != NULL || *json_get_str(o, "warmup") != '\0'))
		pool_begin_plan(o, before, im->now_ms, 0);
	rc = pools_check(o, err);
	import_own(im, o, before);
	json_decref(before);
	if (rc < 0)
		return rc;
	text = json_dumps(o, JSON_COMPACT);
	rc = pools_put(im->pools, text, err);
	free(text);
	return rc;
}

int import_pools_begin(struct importing *im, size_t i, struct err *err)
{
	(void)i;
	(void)err;
	im->pools = pools_new();
	return 0;
}

int import_pool_read(struct importing *im, size_t i, struct err *err)
{
	return read_pool(im, import_item(im, CONFIG_POOL, i), err);
}

int import_pool_overflow(struct importing *im, size_t i, struct err *err)
{
	return import_pool_name(im, import_item(im, CONFIG_POOL, i)->object, "overflow", err);
}

/* Streams and routes that stay may need one that goes. */
static int check_pool_unused(const struct importing *im, const struct pool *p, struct err *err)
{
	const char *id = "";
	const char *who =
		pool_user(im->env, p,
			  (import_contains(im, CONFIG_STREAM) ? 0 : POOL_OF_STREAMS) |
				  (import_contains(im, CONFIG_ROUTE) ? 0 : POOL_OF_ROUTES),
			  &id);

	if (who == NULL)
		return 0;
	return err_param(err, ERR_STATE, "text",
			 "the pool %s is not in this text, and %s %s sends from it", p->id, who,
			 id);
}

int import_pool_put(struct importing *im, size_t i, struct err *err)
{
	json_t *o = import_item(im, CONFIG_POOL, i)->object;
	const char *id = json_get_str(o, "id");

	(void)err;
	import_put(im, CONFIG_POOL, id, object_current(im->env, POOLS_KIND, id), json_incref(o));
	return 0;
}

int import_pool_drop(struct importing *im, size_t i, struct err *err)
{
	const struct pool *p = pools_at(im->env->pools, i);
	int rc = 0;

	if (import_has(im, CONFIG_POOL, p->id))
		return 0;
	rc = check_pool_unused(im, p, err);
	if (rc >= 0)
		import_put(im, CONFIG_POOL, p->id, pools_json(p), NULL);
	return rc;
}

/* --- allowlist -------------------------------------------------------------------------------- */

/* Its stream, by the name that it is kept under. */
static int entry_stream(const struct importing *im, json_t *o, enum allow_mode mode,
			struct err *err)
{
	const char *name = json_get_str(o, "stream");
	const struct mailstream *x = streams_find(im->streams, str_of(name));

	if (*name == '\0')
		return 0;
	if (mode != ALLOW_RELAY)
		return err_param(err, ERR_INVALID, "stream",
				 "a stream is for mail without authentication: mode = relay");
	if (x == NULL)
		return err_param(err, ERR_UNKNOWN, "stream", "there is no stream %.40s", name);
	(void)json_object_set_new(o, "stream", json_string(x->id));
	return 0;
}

/* What is not there as it would be put. */
static bool is_over(struct importing *im, const struct config_item *item, const char *text)
{
	int64_t expires_ms = json_get_int(item->object, "expires_ms");
	char at[FMT_TIME_LEN];

	if (expires_ms == 0 || expires_ms > im->now_ms)
		return false;
	fmt_time(expires_ms, at);
	import_tell(im, TOLD_OVER,
		    xasprintf("line %d: the time of %s was over at %s; it is left out", item->line,
			      text, at));
	return true;
}

static void warn_of_entry(struct importing *im, const json_t *o, const struct ipnet *net)
{
	AUTO_FREE char *note = json_dup_str(o, "note");
	struct allow_entry e = { .net = *net, .note = note };

	ipnet_text(net, e.text);
	(void)allow_mode_read(json_get_str(o, "mode"), &e.mode);
	allow_warn(im->op, &e, im->now_ms);
}

int import_allow_entry(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_ALLOW, i);
	json_t *o = item->object;
	enum allow_mode mode = ALLOW_RELAY;
	char text[IPNET_TEXT_LEN];
	struct ipnet net;
	json_t *before;
	int rc = import_check(item, M_ALLOW_ADD, "network", "network", err);

	if (rc >= 0)
		rc = ipnet_parse(str_of(json_get_str(o, "network")), &net, err);
	if (rc < 0)
		return rc;
	ipnet_text(&net, text);
	(void)allow_mode_read(json_get_str(o, "mode"), &mode);
	if (ipnet_prefix(&net) == 0 && mode == ALLOW_RELAY && !json_get_bool(o, "everything"))
		return err_set(err, ERR_INVALID,
			       "%s would let everybody in the Internet relay; if that is really "
			       "meant, say so with everything = yes",
			       text);
	rc = import_note(im, item, text, err);
	if (rc >= 0)
		rc = entry_stream(im, o, mode, err);
	if (rc < 0 || is_over(im, item, text))
		return rc;
	(void)json_object_del(o, "everything");
	(void)json_object_set_new(o, "network", json_string(text));
	(void)json_object_set_new(o, "mode", json_string(allow_mode_name(mode)));
	before = object_current(im->env, "allow", text);
	import_own(im, o, before);
	if (before == NULL && im->added < WARNED_ENTRIES)
		warn_of_entry(im, o, &net);
	import_put(im, CONFIG_ALLOW, text, before, json_incref(o));
	return 0;
}

int import_allow_drop(struct importing *im, size_t i, struct err *err)
{
	const struct allow_entry *e = allow_at(im->env->allow, i);

	(void)err;
	if (!import_has(im, CONFIG_ALLOW, e->text))
		import_put(im, CONFIG_ALLOW, e->text, allow_json(e), NULL);
	return 0;
}

/* --- credentials ------------------------------------------------------------------------------ */

static void put_states(const struct importing *im, const json_t *o, json_t *cred)
{
	bool disabled = json_get_bool(o, "disabled");

	(void)json_object_set(cred, "expires_ms", json_object_get(o, "expires_ms"));
	if (disabled != (json_get_int(cred, "disabled_ms") != 0))
		(void)json_object_set_new(cred, "disabled_ms",
					  json_integer(disabled ? im->now_ms : 0));
}

static void tell_of_cred(struct importing *im, const char *name, const json_t *cred)
{
	if (json_get_int(cred, "revoked_ms") != 0)
		import_tell(im, TOLD_REVOKED,
			    xasprintf("the credential %s is revoked on this relay, and stays so",
				      name));
	else if (json_array_size(json_object_get(cred, "secrets")) == 0)
		import_tell(im, TOLD_LACKS,
			    xasprintf("needs a secret: credential %s (weir cred rotate %s)", name,
				      name));
}

int import_creds_begin(struct importing *im, size_t i, struct err *err)
{
	(void)i;
	(void)err;
	im->creds_added = im->added;
	im->revoked = BUF_INIT(REVOKED_SHOWN);
	return 0;
}

int import_cred(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_CRED, i);
	const char *name = json_get_str(item->object, "name");
	json_t *before, *after;
	int rc = cred_name_check(str_of(name), err);

	if (rc >= 0)
		rc = import_check(item, M_CRED_ADD, "name", "name", err);
	if (rc >= 0)
		rc = import_note(im, item, name, err);
	if (rc < 0)
		return rc;
	before = object_current(im->env, "cred", name);
	after = before != NULL ? json_deep_copy(before) : cred_empty(im->op, name, im->now_ms);
	rc = cred_bounds_put(after, item->object, im->streams, im->now_ms, err);
	if (rc < 0) {
		json_decref(before);
		json_decref(after);
		return rc;
	}
	put_states(im, item->object, after);
	tell_of_cred(im, name, after);
	import_put(im, CONFIG_CRED, name, before, after);
	return 0;
}

int import_creds_limit(struct importing *im, size_t i, struct err *err)
{
	(void)i;
	if (creds_n(im->env->creds) + im->added - im->creds_added > CREDS_MAX)
		return err_param(err, ERR_LIMIT, "text",
				 "there are at most %d credentials, with those that are revoked",
				 CREDS_MAX);
	return 0;
}

/* Who is not in the file may not send any more; what it was used for stays to be seen. */
int import_cred_revoke(struct importing *im, size_t i, struct err *err)
{
	const struct cred *x = creds_at(im->env->creds, i);
	json_t *after;

	(void)err;
	if (x->revoked_ms != 0 || import_has(im, CONFIG_CRED, x->name))
		return 0;
	after = creds_json(x);
	(void)json_object_set_new(after, "revoked_ms", json_integer(im->now_ms));
	(void)buf_printf(&im->revoked, "%s%s", im->revoked.n > 0 ? ", " : "", x->name);
	import_put(im, CONFIG_CRED, x->name, creds_json(x), after);
	return 0;
}

int import_creds_end(struct importing *im, size_t i, struct err *err)
{
	(void)i;
	(void)err;
	if (im->revoked.n > 0)
		rule_warn(im->op,
			  xasprintf("credentials that are not in the text are revoked: %s%s",
				    buf_cstr(&im->revoked), im->revoked.full ? " and others" : ""));
	return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int read_key(struct importing *im, const struct config_item *item, struct err *err)
{
	const json_t *o = item->object;
	json_t *before = NULL, *after = NULL;
	char id[KEY_ID_MAX + 1];
	int rc = keys_public_read(json_get_str(o, "id"), json_get_str(o, "state"),
				  json_get_str(o, "public"), im->op->who->user, im->now_ms, &after,
				  err);

	if (rc < 0)
		return rc;
	(void)snprintf(id, sizeof(id), "%s/%s", json_get_str(after, "domain"),
		       json_get_str(after, "selector"));
	before = object_current(im->env, KEYS_KIND, id);
	import_own(im, after, before);
	rc = import_note(im, item, id, err);
	if (rc >= 0 && before != NULL &&
	    strcmp(json_get_str(before, "public"), json_get_str(after, "public")) != 0)
		rc = err_param(err, ERR_STATE, "public",
			       "the key %s of this relay publishes something else: it needs "
			       "another selector, or that one has to be removed first",
			       id);
	if (rc < 0) {
		json_decref(before);
		json_decref(after);
		return rc;
	}
	if (!keys_has_secret(im->env->keys, json_get_str(after, "secret")))
		import_tell(im, TOLD_LACKS,
			    xasprintf("needs a secret: key %s (weir dkim add %s --selector %s "
				      "--key-file FILE)",
				      id, json_get_str(after, "domain"),
				      json_get_str(after, "selector")));
	import_put(im, CONFIG_KEY, id, before, after);
	return 0;
}

/* One more key of its domain; refused when it has too many. `domains`: how many each has. */
static int count_key(json_t *domains, const struct config_item *item, struct err *err)
{
	struct str id = str_of(json_get_str(item->object, "id"));
	struct str domain = str_cut(&id, '/');
	char low[KEY_DOMAIN_MAX + 1];
	int64_t n;

	(void)snprintf(low, sizeof(low), "%.*s", STR_ARG(domain));
	for (char *c = low; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
	n = json_get_int(domains, low) + 1;
	(void)json_object_set_new(domains, low, json_integer(n));
	return n <= KEYS_DOMAIN_MAX
		       ? 0
		       : err_set(err, ERR_LIMIT, "a domain has at most %d keys", KEYS_DOMAIN_MAX);
}

int import_key(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_KEY, i);
	int rc = read_key(im, item, err);

	return rc >= 0 ? count_key(im->domains, item, err) : rc;
}

int import_key_drop(struct importing *im, size_t i, struct err *err)
{
	const struct key_entry *e = keys_at(im->env->keys, i);

	(void)err;
	if (!import_has(im, CONFIG_KEY, e->id))
		import_put(im, CONFIG_KEY, e->id, keys_json(e), NULL);
	return 0;
}
