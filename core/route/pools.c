/*
 * The list of pools, from and to the store. What was sent is a pool's own and stays when the pool
 * is edited; pools_send.c has what happens while mail leaves.
 */
#include "route/pools_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "mail/address.h"
#include "route/names.h"
#include "route/streams.h"

#define WEIGHT_MAX 1000
#define CAP_MAX 100000000

static void pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	free(p->sources);
	free(p->warmup_text);
	free(p->overflow);
	free(p->note);
	free(p->by);
	free(p);
}

int pools_name(struct str text, char ret[static POOL_NAME_MAX + 1], struct err *err)
{
	_Static_assert(POOL_NAME_MAX == STREAM_NAME_MAX, "names are alike");
	if (streams_name(text, ret, NULL) >= 0)
		return 0;
	return err_param(err, ERR_INVALID, "name",
			 "the name of a pool has 1 to %d letters and digits, and - _ . behind the "
			 "first one",
			 POOL_NAME_MAX);
}

/* ---- one ---- */

/* "192.0.2.1=mta1.example.net*3" */
static bool read_source(struct str text, struct pool_source *ret)
{
	struct str rest = str_trim(text);
	ptrdiff_t star = str_index(rest, '*');
	struct str weight = STR("1");
	struct str ip;
	uint64_t n;

	if (star >= 0) {
		weight = str_from(rest.p + star + 1, rest.n - (size_t)star - 1);
		rest.n = (size_t)star;
	}
	ip = str_cut(&rest, '=');
	if (!ipaddr_parse(str_trim(ip), &ret->ip) || !names_address_usable(&ret->ip) ||
	    !str_u64(str_trim(weight), WEIGHT_MAX, &n) || n == 0)
		return false;
	rest = str_trim(rest);
	if (rest.n > POOL_EHLO_MAX || (rest.n > 0 && !address_domain_valid(rest, 0)))
		return false;
	memcpy(ret->ehlo, rest.p, rest.n);
	ret->ehlo[rest.n] = '\0';
	ret->weight = (unsigned)n;
	ipaddr_text(&ret->ip, ret->text);
	return true;
}

static int read_sources(const json_t *o, struct pool *p, struct err *err)
{
	const json_t *list = json_object_get(o, "sources");
	size_t n = json_array_size(list);

	if (n == 0 || n > POOL_SOURCES_MAX)
		return err_param(err, ERR_INVALID, "sources", "a pool has 1 to %d addresses",
				 POOL_SOURCES_MAX);
	p->sources = xcalloc(n, sizeof(*p->sources));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct pool_source *x = &p->sources[p->n];
		if (text == NULL || !read_source(str_of(text), x))
			return err_param(
				err, ERR_INVALID, "sources",
				"\"%.80s\" is no source; it is an address of this machine, "
				"and perhaps a name and a weight: "
				"192.0.2.1=mta1.example.net*2",
				text != NULL ? text : "");
		for (size_t k = 0; k < p->n; k++)
			if (ipaddr_eq(&p->sources[k].ip, &x->ip))
				return err_param(err, ERR_INVALID, "sources", "%s is there twice",
						 x->text);
		p->n++;
	}
	return 0;
}

static int refuse_plan(struct err *err)
{
	return err_param(err, ERR_INVALID, "warmup",
			 "a plan has the messages of each day, such as 50,100,200,500, or grows "
			 "by a factor: 50..10000 (2) or 50..10000*1.5; at most %d days",
			 POOL_DAYS_MAX);
}

static bool read_cap(struct str s, unsigned *ret)
{
	uint64_t n;

	if (!str_u64(str_trim(s), CAP_MAX, &n) || n == 0)
		return false;
	*ret = (unsigned)n;
	return true;
}

/* "2" or "1.25", in hundredths */
static bool read_factor(struct str s, uint64_t *ret)
{
	struct str rest = str_trim(s);
	struct str whole = str_cut(&rest, '.');
	uint64_t n, part = 0;

	if (!str_u64(whole, 100, &n) || rest.n > 2 || (rest.n > 0 && !str_u64(rest, 99, &part)))
		return false;
	*ret = n * 100 + (rest.n == 1 ? part * 10 : part);
	return *ret > 100;
}

static bool grow(struct pool *p, struct str first, struct str rest)
{
	struct str last = str_cut(&rest, '*');
	uint64_t factor = 200;
	uint64_t exact;
	unsigned from, to;

	if (!read_cap(first, &from) || !read_cap(last, &to) || to < from ||
	    (rest.n > 0 && !read_factor(rest, &factor)))
		return false;
	for (exact = (uint64_t)from * 100; exact / 100 < to; exact = exact * factor / 100) {
		if (p->days == POOL_DAYS_MAX - 1)
			return false;
		p->caps[p->days++] = (unsigned)(exact / 100);
	}
	p->caps[p->days++] = to;
	return true;
}

static int read_plan(const json_t *o, struct pool *p, struct err *err)
{
	struct str rest;
	const char *dots;

	p->warmup_text = json_dup_str(o, "warmup");
	p->warmup_from_ms = json_get_int(o, "warmup_from_ms");
	rest = str_trim(str_of(p->warmup_text));
	dots = strstr(p->warmup_text, "..");
	if (dots != NULL) {
		struct str first = str_from(rest.p, (size_t)(dots - rest.p));
		struct str behind = str_from(dots + 2, rest.n - first.n - 2);
		return grow(p, first, behind) ? 0 : refuse_plan(err);
	}
	while (rest.n > 0)
		if (p->days == POOL_DAYS_MAX || !read_cap(str_cut(&rest, ','), &p->caps[p->days++]))
			return refuse_plan(err);
	return 0;
}

static int read_pool(const json_t *o, struct pool *p, struct err *err)
{
	char overflow[POOL_NAME_MAX + 1] = "";
	int rc = pools_name(str_of(json_get_str(o, "id")), p->id, err);

	if (rc >= 0)
		rc = read_sources(o, p, err);
	if (rc >= 0)
		rc = read_plan(o, p, err);
	if (rc >= 0 && *json_get_str(o, "overflow") != '\0')
		rc = pools_name(str_of(json_get_str(o, "overflow")), overflow, err);
	p->overflow = xstrdup(overflow);
	p->note = json_dup_str(o, "note");
	p->by = json_dup_str(o, "by");
	p->created_ms = json_get_int(o, "created_ms");
	if (rc >= 0 && strcmp(p->overflow, p->id) == 0)
		rc = err_param(err, ERR_INVALID, "overflow", "a pool cannot overflow to itself");
	return rc;
}

static json_t *sources_json(const struct pool *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++) {
		const struct pool_source *x = &p->sources[i];
		AUTO_FREE char *text =
			xasprintf("%s%s%s", x->text, x->ehlo[0] != '\0' ? "=" : "", x->ehlo);
		(void)json_array_append_new(list, x->weight != 1
							  ? json_sprintf("%s*%u", text, x->weight)
							  : json_string(text));
	}
	return list;
}

json_t *pools_json(const struct pool *p)
{
	return json_pack("{s:s, s:o, s:o, s:I, s:s, s:o, s:o, s:I}", "id", p->id, "sources",
			 sources_json(p), "warmup", json_text(str_of(p->warmup_text)),
			 "warmup_from_ms", (json_int_t)p->warmup_from_ms, "overflow", p->overflow,
			 "note", json_text(str_of(p->note)), "by", json_text(str_of(p->by)),
			 "created_ms", (json_int_t)p->created_ms);
}

int pools_check(json_t *o, struct err *err)
{
	struct pool *p = xcalloc(1, sizeof(*p));
	int rc = read_pool(o, p, err);

	if (rc >= 0) {
		json_t *whole = pools_json(p);
		(void)json_object_clear(o);
		(void)json_object_update(o, whole);
		json_decref(whole);
	}
	pool_free(&p);
	return rc;
}

/* ---- the list ---- */

struct pools *pools_new(void)
{
	return xcalloc(1, sizeof(struct pools));
}

void pools_free(struct pools **pp)
{
	if (pp == NULL || *pp == NULL)
		return;
	for (size_t i = 0; i < (*pp)->n; i++)
		pool_free(&(*pp)->v[i]);
	free(*pp);
	*pp = NULL;
}

static size_t place_of(const struct pools *s, struct str id, bool *ret_there)
{
	size_t i = 0;

	*ret_there = false;
	for (; i < s->n; i++) {
		size_t n = strlen(s->v[i]->id) < id.n ? strlen(s->v[i]->id) : id.n;
		int d = n > 0 ? strncasecmp(s->v[i]->id, id.p, n) : 0;
		*ret_there = d == 0 && strlen(s->v[i]->id) == id.n;
		if (*ret_there || d > 0 || (d == 0 && strlen(s->v[i]->id) > id.n))
			break;
	}
	return i;
}

struct pool *pools_get(const struct pools *s, struct str id)
{
	bool there;
	size_t i = place_of(s, id, &there);

	return there ? s->v[i] : NULL;
}

const struct pool *pools_find(const struct pools *s, struct str id)
{
	return pools_get(s, id);
}

size_t pools_n(const struct pools *s)
{
	return s->n;
}

const struct pool *pools_at(const struct pools *s, size_t i)
{
	ASSERT(i < s->n);
	return s->v[i];
}

static void keep_counts(struct pool *p, const struct pool *old)
{
	p->count_changed = old->count_changed;
	for (size_t i = 0; i < p->n; i++) {
		for (size_t k = 0; k < old->n; k++) {
			if (!ipaddr_eq(&p->sources[i].ip, &old->sources[k].ip))
				continue;
			p->sources[i].day = old->sources[k].day;
			p->sources[i].sent = old->sources[k].sent;
		}
	}
}

int pools_put(struct pools *s, const char *json, struct err *err)
{
	struct pool *p = NULL;
	json_t *o = NULL;
	bool there;
	size_t i;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a pool");
	p = xcalloc(1, sizeof(*p));
	rc = read_pool(o, p, err);
	if (rc < 0) {
		(void)err_prefix(err, "pool %.40s", json_get_str(o, "id"));
		if (err != NULL)
			err->code = ERR_CORRUPT;
		rc = -ERR_CORRUPT;
		goto out;
	}
	i = place_of(s, str_of(p->id), &there);
	if (there) {
		keep_counts(p, s->v[i]);
		pool_free(&s->v[i]);
	} else if (s->n == POOLS_MAX) {
		rc = err_set(err, ERR_LIMIT, "there are %d pools already", POOLS_MAX);
		goto out;
	} else {
		memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof(s->v[0]));
		s->n++;
	}
	s->v[i] = p;
	s->turned = true;
	p = NULL;
out:
	pool_free(&p);
	json_decref(o);
	return rc;
}

bool pools_drop(struct pools *s, struct str id)
{
	bool there;
	size_t i = place_of(s, id, &there);

	if (!there)
		return false;
	pool_free(&s->v[i]);
	s->n--;
	memmove(s->v + i, s->v + i + 1, (s->n - i) * sizeof(s->v[0]));
	s->turned = true;
	return true;
}
