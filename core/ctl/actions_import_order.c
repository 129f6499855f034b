/*
 * The ordered kinds of config.import. A stream is known by its name. A route has none outside of
 * its relay: one that is in all like the relay's is that one, then one that asks for the same mail;
 * what is left is new, or gone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_import.h"
#include "ctl/places.h"
#include "ctl/stream_env.h"

/* --- streams ---------------------------------------------------------------------------------- */

static bool is_default(const char *id)
{
	return strcmp(id, STREAM_DEFAULT) == 0;
}

static int read_stream(struct importing *im, const struct config_item *item, struct err *err)
{
	json_t *o = item->object;
	char name[STREAM_NAME_MAX + 1];
	int rc = import_check(item, M_STREAM_ADD, "name", "id", err);

	if (rc >= 0)
		rc = streams_name(str_of(json_get_str(o, "id")), name, err);
	if (rc >= 0)
		rc = import_note(im, item, name, err);
	if (rc >= 0)
		rc = import_pool_name(im, o, "pool", err);
	if (rc < 0)
		return rc;
	(void)json_object_set_new(o, "id", json_string(name));
	if (*json_get_str(o, "pool") != '\0')
		(void)json_object_set_new(
			o, "pool",
			json_string(pools_find(im->pools, str_of(json_get_str(o, "pool")))->id));
	return streams_check(o, err);
}

static void place_streams(const struct importing *im, struct config_item *items, size_t n)
{
	double *place = xcalloc(n + 1, sizeof(*place));
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const char *id = json_get_str(items[i].object, "id");
		const struct mailstream *x = streams_find(im->env->streams, str_of(id));
		if (!is_default(id))
			place[k++] = x != NULL ? x->place : PLACE_NEW;
	}
	places_make(place, k);
	for (size_t i = 0, at = 0; i < n; i++) {
		const char *id = json_get_str(items[i].object, "id");
		const struct mailstream *x = streams_find(im->env->streams, str_of(id));
		double mine = is_default(id) ? (x != NULL ? x->place : 0) : place[at++];
		(void)json_object_set_new(items[i].object, "place", json_real(mine));
	}
	free(place);
}

static int put_stream(struct importing *im, const struct config_item *item, struct err *err)
{
	const char *id = json_get_str(item->object, "id");
	json_t *before = object_current(im->env, STREAMS_KIND, id);
	char *text;
	int rc;

	import_own(im, item->object, before);
	text = json_dumps(item->object, JSON_COMPACT);
	rc = streams_put(im->streams, text, err);
	free(text);
	if (rc < 0) {
		json_decref(before);
		return rc;
	}
	return import_put(im, CONFIG_STREAM, id, before, json_incref(item->object), err);
}

static void warn_of_mail(struct importing *im, const struct mailstream *x)
{
	uint64_t n = stream_recipients(im->env, x->id);

	if (n > 0)
		rule_warn(im->op, xasprintf("%" PRIu64 " queued recipients of the stream %s, which "
					    "goes, are treated as the stream default says",
					    n, x->id));
}

int import_streams(struct importing *im, struct err *err)
{
	size_t n;
	struct config_item *items = import_items(im, CONFIG_STREAM, &n);
	int rc = 0;

	im->streams = streams_new();
	for (size_t i = 0; i < n; i++)
		if (read_stream(im, &items[i], err) < 0)
			return config_file_at(&items[i], err);
	place_streams(im, items, n);
	for (size_t i = 0; i < n; i++)
		if (put_stream(im, &items[i], err) < 0)
			return config_file_at(&items[i], err);
	for (size_t i = 0; rc >= 0 && i < streams_n(im->env->streams); i++) {
		const struct mailstream *x = streams_at(im->env->streams, i);
		if (!x->stored || import_has(im, CONFIG_STREAM, x->id))
			continue;
		if (!is_default(x->id)) {
			warn_of_mail(im, x);
			rc = stream_check_unused(im->env, x->id, !import_contains(im, CONFIG_ALLOW),
						 !import_contains(im, CONFIG_CRED), err);
			if (rc < 0)
				return err_prefix(err, "the stream %s is not in this text", x->id);
		}
		rc = import_put(im, CONFIG_STREAM, x->id, streams_json(x), NULL, err);
	}
	return rc;
}

/* --- routes ----------------------------------------------------------------------------------- */

static const char *const content[] = { "match", "to", "tls", "user", "pool", "note" };

/* What a route of the file says, spelled as routes_json() spells it. */
static int read_match(json_t *o, struct err *err)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX + 1);
	struct filter *f = filter_parse(str_of(json_get_str(o, "match")), err);
	int rc = f != NULL ? route_check_match(f, err) : -ERR_INVALID;

	if (f == NULL && err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "match");
	if (rc >= 0) {
		(void)filter_print(f, &text);
		(void)json_object_set_new(o, "match", json_text(buf_str(&text)));
	}
	filter_free(&f);
	return rc;
}

static int read_demands(json_t *o, const char *to, struct err *err)
{
	const char *user = json_get_str(o, "user");
	const char *said = json_get_str(o, "tls");
	enum route_tls tls = routes_default_tls(to, user);

	(void)route_tls_parse(str_of(said), &tls);
	(void)json_object_set_new(o, "tls", json_string(route_tls_name(tls)));
	/* the password is not the text's business */
	return routes_check_demands(to, tls, user, *user != '\0' ? "?" : "", err);
}

static int read_route(const struct importing *im, const struct config_item *item, struct err *err)
{
	json_t *o = item->object;
	const char *pool = json_get_str(o, "pool");
	char to[ROUTE_HOP_MAX];
	int rc = import_check(item, M_ROUTE_ADD, NULL, NULL, err);

	if (rc >= 0) {
		rc = routes_parse_to(str_of(json_get_str(o, "to")), to, err);
		if (rc < 0 && err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "to");
	}
	if (rc >= 0)
		rc = read_match(o, err);
	if (rc >= 0)
		rc = read_demands(o, to, err);
	if (rc >= 0)
		rc = import_pool_name(im, o, "pool", err);
	if (rc >= 0)
		rc = route_check_pool(to, pool, err);
	if (rc < 0)
		return rc;
	if (*pool != '\0')
		(void)json_object_set_new(o, "pool",
					  json_string(pools_find(im->pools, str_of(pool))->id));
	(void)json_object_set_new(o, "to", json_string(to));
	return 0;
}

/* Routes of the relay by what they say: { text: [index, …] }, those that are taken left out. */
struct lookup {
	json_t *by_text;
	const char *const *members;
	size_t members_n;
};

static char *text_of(const struct lookup *l, const json_t *o)
{
	json_t *part = json_object();
	char *text;

	for (size_t i = 0; i < l->members_n; i++)
		(void)json_object_set_new(part, l->members[i],
					  json_text(str_of(json_get_str(o, l->members[i]))));
	text = json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(part);
	return text;
}

static void lookup_add(struct lookup *l, const json_t *o, size_t index)
{
	AUTO_FREE char *text = text_of(l, o);
	json_t *list = json_object_get(l->by_text, text);

	if (list == NULL) {
		list = json_array();
		(void)json_object_set_new(l->by_text, text, list);
	}
	(void)json_array_append_new(list, json_integer((json_int_t)index));
}

/* The first of them, once. */
static bool lookup_take(struct lookup *l, const json_t *o, size_t *ret)
{
	AUTO_FREE char *text = text_of(l, o);
	json_t *list = json_object_get(l->by_text, text);

	if (json_array_size(list) == 0)
		return false;
	*ret = (size_t)json_integer_value(json_array_get(list, 0));
	(void)json_array_remove(list, 0);
	return true;
}

#define NONE SIZE_MAX

/* Which route of the relay each of the file is. */
static void pair(const struct ctl_env *env, const struct config_item *items, size_t n,
		 const char *const *members, size_t members_n, size_t *is, bool *taken)
{
	struct lookup l = { .by_text = json_object(), .members = members, .members_n = members_n };

	for (size_t i = 0; i < routes_n(env->routes); i++) {
		json_t *o = taken[i] ? NULL : routes_json(routes_at(env->routes, i));
		if (o != NULL)
			lookup_add(&l, o, i);
		json_decref(o);
	}
	for (size_t i = 0; i < n; i++) {
		if (is[i] == NONE && lookup_take(&l, items[i].object, &is[i]))
			taken[is[i]] = true;
	}
	json_decref(l.by_text);
}

/* A password is for one login at one host. */
static void put_password(struct importing *im, json_t *after, const json_t *before)
{
	const char *user = json_get_str(after, "user");
	bool same = before != NULL && strcmp(user, json_get_str(before, "user")) == 0 &&
		    strcmp(json_get_str(after, "to"), json_get_str(before, "to")) == 0;
	const char *password = same ? json_get_str(before, "password") : "";

	(void)json_object_set_new(after, "password", json_string(password));
	if (*user != '\0' && *password == '\0')
		import_lacks(im, xasprintf("needs a secret: route %s (weir route set %s "
					   "--password-file FILE)",
					   json_get_str(after, "id"), json_get_str(after, "id")));
}

static void put_content(json_t *after, const json_t *item)
{
	for (size_t i = 0; i < ARRAY_LEN(content); i++)
		(void)json_object_set_new(after, content[i],
					  json_text(str_of(json_get_str(item, content[i]))));
	if (*json_get_str(after, "pool") == '\0')
		(void)json_object_del(after, "pool");
}

static int put_route(struct importing *im, const struct config_item *item, const struct route *is,
		     double place, uint32_t number, struct err *err)
{
	json_t *before = is != NULL ? routes_json(is) : NULL;
	json_t *after = before != NULL ? json_deep_copy(before) : json_object();
	AUTO_FREE char *id = is != NULL ? xstrdup(is->id) : xasprintf("r%" PRIu32, number);

	(void)json_object_set_new(after, "id", json_string(id));
	(void)json_object_set_new(after, "place", json_real(place));
	put_content(after, item->object);
	put_password(im, after, before);
	import_own(im, after, before);
	return import_put(im, CONFIG_ROUTE, id, before, after, err);
}

/* Numbers of routes are those of actions: new ones get as many, and the action the one behind. */
static uint64_t take_number(const struct importing *im, size_t *k)
{
	struct actions *a = im->op->a;
	bool planning = ctl_acting(im->op->call) == CTL_PLANNING;

	(*k)++;
	return planning ? a->last_id + *k : ++a->last_id;
}

static int put_routes(struct importing *im, const struct config_item *items, size_t n,
		      const size_t *is, const bool *taken, struct err *err)
{
	const struct routes *r = im->env->routes;
	double *place = xcalloc(n + 1, sizeof(*place));
	size_t fresh = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		place[i] = is[i] != NONE ? routes_at(r, is[i])->place : PLACE_NEW;
	places_make(place, n);
	for (size_t i = 0; rc >= 0 && i < n; i++) {
		const struct route *x = is[i] != NONE ? routes_at(r, is[i]) : NULL;
		uint64_t number = x == NULL ? take_number(im, &fresh) : 0;
		rc = put_route(im, &items[i], x, place[i], (uint32_t)number, err);
	}
	for (size_t i = 0; rc >= 0 && i < routes_n(r); i++)
		if (!taken[i])
			rc = import_put(im, CONFIG_ROUTE, routes_at(r, i)->id,
					routes_json(routes_at(r, i)), NULL, err);
	free(place);
	return rc;
}

int import_routes(struct importing *im, struct err *err)
{
	static const char *const same_mail[] = { "match" };
	size_t n;
	struct config_item *items = import_items(im, CONFIG_ROUTE, &n);
	size_t *is;
	bool *taken;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (read_route(im, &items[i], err) < 0)
			return config_file_at(&items[i], err);
	is = xcalloc(n + 1, sizeof(*is));
	taken = xcalloc(routes_n(im->env->routes) + 1, sizeof(*taken));
	for (size_t i = 0; i < n; i++)
		is[i] = NONE;
	pair(im->env, items, n, content, ARRAY_LEN(content), is, taken);
	pair(im->env, items, n, same_mail, ARRAY_LEN(same_mail), is, taken);
	rc = put_routes(im, items, n, is, taken, err);
	free(is);
	free(taken);
	return rc;
}
