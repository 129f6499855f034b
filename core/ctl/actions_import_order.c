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

int import_streams_begin(struct importing *im, size_t i, struct err *err)
{
	(void)i;
	(void)err;
	im->streams = streams_new();
	return 0;
}

int import_stream_read(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_STREAM, i);
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

int import_streams_place(struct importing *im, size_t once, struct err *err)
{
	const struct config_item *items = config_file_items(&im->file, CONFIG_STREAM);
	size_t n = im->file.count[CONFIG_STREAM], k = 0;
	double *place = xcalloc(n + 1, sizeof(*place));

	(void)once;
	(void)err;
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
	return 0;
}

int import_stream_put(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_STREAM, i);
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
	import_put(im, CONFIG_STREAM, id, before, json_incref(item->object));
	return 0;
}

static void warn_of_mail(struct importing *im, const struct mailstream *x)
{
	uint64_t n = stream_recipients(im->env, x->id);

	if (n > 0)
		rule_warn(im->op, xasprintf("%" PRIu64 " queued recipients of the stream %s, which "
					    "goes, are treated as the stream default says",
					    n, x->id));
}

int import_stream_drop(struct importing *im, size_t i, struct err *err)
{
	const struct mailstream *x = streams_at(im->env->streams, i);
	int rc = 0;

	if (!x->stored || import_has(im, CONFIG_STREAM, x->id))
		return 0;
	if (!is_default(x->id)) {
		warn_of_mail(im, x);
		rc = stream_check_unused(im->env, x->id, !import_contains(im, CONFIG_ALLOW),
					 !import_contains(im, CONFIG_CRED), err);
		if (rc < 0)
			return err_prefix(err, "the stream %s is not in this text", x->id);
	}
	import_put(im, CONFIG_STREAM, x->id, streams_json(x), NULL);
	return 0;
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

int import_route_read(struct importing *im, size_t i, struct err *err)
{
	const struct config_item *item = import_item(im, CONFIG_ROUTE, i);
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

#define NONE SIZE_MAX

/* Routes of the relay by what they say: { text: the first one }, and behind each the next one that
 * says the same. */
struct import_pairs {
	json_t *by_text;
	size_t *next;
	const char *const *members;
	size_t members_n;
	size_t *is; /* which route of the relay each of the file is */
	bool *taken;
	double *place;
	size_t fresh;
};

static const char *const same_mail[] = { "match" };

void import_pairs_free(struct import_pairs **pp)
{
	struct import_pairs *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	json_decref(p->by_text);
	free(p->next);
	free(p->is);
	free(p->taken);
	free(p->place);
	free(p);
}

static void ask_for(struct import_pairs *p, const char *const *members, size_t n)
{
	json_decref(p->by_text);
	p->by_text = json_object();
	p->members = members;
	p->members_n = n;
}

int import_routes_begin(struct importing *im, size_t once, struct err *err)
{
	struct import_pairs *p = im->pairs = xcalloc(1, sizeof(*p));
	size_t n = im->file.count[CONFIG_ROUTE], now = routes_n(im->env->routes);

	(void)once;
	(void)err;
	p->is = xcalloc(n + 1, sizeof(*p->is));
	p->place = xcalloc(n + 1, sizeof(*p->place));
	p->taken = xcalloc(now + 1, sizeof(*p->taken));
	p->next = xcalloc(now + 1, sizeof(*p->next));
	for (size_t i = 0; i < n; i++)
		p->is[i] = NONE;
	ask_for(p, content, ARRAY_LEN(content));
	return 0;
}

int import_routes_again(struct importing *im, size_t once, struct err *err)
{
	(void)once;
	(void)err;
	ask_for(im->pairs, same_mail, ARRAY_LEN(same_mail));
	return 0;
}

static char *text_of(const struct import_pairs *p, const json_t *o)
{
	json_t *part = json_object();
	char *text;

	for (size_t i = 0; i < p->members_n; i++)
		(void)json_object_set_new(part, p->members[i],
					  json_text(str_of(json_get_str(o, p->members[i]))));
	text = json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(part);
	return text;
}

static size_t first_of(const struct import_pairs *p, const char *text)
{
	const json_t *v = json_object_get(p->by_text, text);

	return v != NULL ? (size_t)json_integer_value(v) : NONE;
}

static void set_first(struct import_pairs *p, const char *text, size_t i)
{
	if (i == NONE)
		(void)json_object_del(p->by_text, text);
	else
		(void)json_object_set_new(p->by_text, text, json_integer((json_int_t)i));
}

/* From the last one on, so that the first of those that say the same is found first. */
int import_route_know(struct importing *im, size_t i, struct err *err)
{
	struct import_pairs *p = im->pairs;
	size_t k = routes_n(im->env->routes) - 1 - i;
	json_t *o = p->taken[k] ? NULL : routes_json(routes_at(im->env->routes, k));
	char *text = o != NULL ? text_of(p, o) : NULL;

	(void)err;
	if (text != NULL) {
		p->next[k] = first_of(p, text);
		set_first(p, text, k);
	}
	json_decref(o);
	free(text);
	return 0;
}

int import_route_pair(struct importing *im, size_t i, struct err *err)
{
	struct import_pairs *p = im->pairs;
	char *text;
	size_t k;

	(void)err;
	if (p->is[i] != NONE)
		return 0;
	text = text_of(p, import_item(im, CONFIG_ROUTE, i)->object);
	k = first_of(p, text);
	if (k != NONE) {
		set_first(p, text, p->next[k]);
		p->is[i] = k;
		p->taken[k] = true;
	}
	free(text);
	return 0;
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
		import_tell(im, TOLD_LACKS,
			    xasprintf("needs a secret: route %s (weir route set %s "
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

static void put_route(struct importing *im, const struct config_item *item, const struct route *is,
		      double place, uint32_t number)
{
	json_t *before = is != NULL ? routes_json(is) : NULL;
	json_t *after = before != NULL ? json_deep_copy(before) : json_object();
	AUTO_FREE char *id = is != NULL ? xstrdup(is->id) : xasprintf("r%" PRIu32, number);

	(void)json_object_set_new(after, "id", json_string(id));
	(void)json_object_set_new(after, "place", json_real(place));
	put_content(after, item->object);
	put_password(im, after, before);
	import_own(im, after, before);
	import_put(im, CONFIG_ROUTE, id, before, after);
}

/* Numbers of routes are those of actions: new ones get as many, and the action the one behind. */
static uint64_t take_number(const struct importing *im, size_t *k)
{
	struct actions *a = im->op->a;
	bool planning = ctl_acting(im->op->call) == CTL_PLANNING;

	(*k)++;
	return planning ? a->last_id + *k : ++a->last_id;
}

int import_routes_place(struct importing *im, size_t once, struct err *err)
{
	const struct import_pairs *p = im->pairs;
	size_t n = im->file.count[CONFIG_ROUTE];

	(void)once;
	(void)err;
	for (size_t i = 0; i < n; i++)
		p->place[i] =
			p->is[i] != NONE ? routes_at(im->env->routes, p->is[i])->place : PLACE_NEW;
	places_make(p->place, n);
	return 0;
}

int import_route_put(struct importing *im, size_t i, struct err *err)
{
	struct import_pairs *p = im->pairs;
	const struct route *x = p->is[i] != NONE ? routes_at(im->env->routes, p->is[i]) : NULL;
	uint64_t number = x == NULL ? take_number(im, &p->fresh) : 0;

	(void)err;
	put_route(im, import_item(im, CONFIG_ROUTE, i), x, p->place[i], (uint32_t)number);
	return 0;
}

int import_route_drop(struct importing *im, size_t i, struct err *err)
{
	const struct route *x = routes_at(im->env->routes, i);

	(void)err;
	if (!im->pairs->taken[i])
		import_put(im, CONFIG_ROUTE, x->id, routes_json(x), NULL);
	return 0;
}
