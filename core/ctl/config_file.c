/* Reading and writing go along the same tables, so that what is written is read as it was. */
#include "ctl/config_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/config_text.h"
#include "policy/allow.h"
#include "policy/creds.h"
#include "proto/proto.h"
#include "route/pools.h"
#include "route/routes.h"
#include "route/streams.h"
#include "sign/keys.h"

#define PARAM "text"
#define FORMAT 1
#define NAMES_MAX 400
#define NEAR_MAX 2
#define DAY_MS 86400000
#define NUMBER_MAX INT64_C(1000000000)
#define AGE_MAX INT64_C(3153600000)

enum member_type {
	MEMBER_TEXT,
	MEMBER_TEXTS,  /* a line each */
	MEMBER_NUMBER, /* from 0 */
	MEMBER_AGE,    /* seconds */
	MEMBER_TIME,   /* milliseconds */
	MEMBER_DAY,    /* the same, at midnight */
	MEMBER_YES,
	MEMBER_TITLE /* stands behind the kind */
};

struct member {
	const char *key; /* in the file */
	const char *name;
	enum member_type type;
	int64_t otherwise; /* of one that is not said */
	const char *help;
};

static const struct member pool_members[] = {
	{ "", "id", MEMBER_TITLE, 0, "" },
	{ "source", "sources", MEMBER_TEXTS, 0,
	  "an address of the relay's machine, with a name for EHLO and a weight where wanted: "
	  "192.0.2.1=mta1.example.net*2" },
	{ "warmup", "warmup", MEMBER_TEXT, 0,
	  "messages of each address a day while it is new: 50,100,200 or 50..10000*1.5" },
	{ "warmup-from", "warmup_from_ms", MEMBER_DAY, 0,
	  "first day of that plan; the day of the import unless said" },
	{ "overflow", "overflow", MEMBER_TEXT, 0, "the pool for what is over the plan" },
	{ "note", "note", MEMBER_TEXT, 0, "for people" },
	{ .key = NULL },
};
static const struct member stream_members[] = {
	{ "", "id", MEMBER_TITLE, 0, "" },
	{ "match", "match", MEMBER_TEXT, 0, "which mail, a filter; all unless said" },
	{ "header", "headers", MEMBER_TEXTS, 0,
	  "only mail with one of these header fields: List-Unsubscribe, or X-Stream: news*" },
	{ "require", "require", MEMBER_TEXTS, 0,
	  "its mail is refused without this header field; one-click is what RFC 8058 wants" },
	{ "priority", "priority", MEMBER_NUMBER, 5, "1 to 9" },
	{ "retry", "retry", MEMBER_TEXT, 0, "waits between attempts" },
	{ "lifetime", "lifetime_s", MEMBER_AGE, 0,
	  "then its mail is returned; as relayd.conf says unless said" },
	{ "delay-warning", "delay_s", MEMBER_AGE, -1,
	  "the sender is told of mail that is tried for longer; 0s: never; as relayd.conf says "
	  "unless said" },
	{ "rate", "rate", MEMBER_NUMBER, 0, "messages a minute to one destination; 0: any" },
	{ "concurrency", "concurrency", MEMBER_NUMBER, 0,
	  "messages at once to one destination; 0: any" },
	{ "tls", "tls", MEMBER_TEXT, 0, "what connections must be, as for weir stream add" },
	{ "pool", "pool", MEMBER_TEXT, 0, "the pool that its mail leaves from" },
	{ "dkim", "dkim", MEMBER_TEXT, 0, "the domain whose keys sign as well" },
	{ "suppressed", "suppressed", MEMBER_TEXT, 0,
	  "what becomes of suppressed recipients, as for weir stream add" },
	{ "note", "note", MEMBER_TEXT, 0, "for people" },
	{ .key = NULL },
};
static const struct member route_members[] = {
	{ "match", "match", MEMBER_TEXT, 0, "which mail, a filter; all unless said" },
	{ "to", "to", MEMBER_TEXT, 0,
	  "where it goes: mx, smarthost:HOST:PORT, hold, reject or discard" },
	{ "tls", "tls", MEMBER_TEXT, 0, "what connections must be, as for weir route add" },
	{ "user", "user", MEMBER_TEXT, 0,
	  "the name to log in with at a smarthost; its password is a secret" },
	{ "pool", "pool", MEMBER_TEXT, 0,
	  "the pool that its mail leaves from, whatever the stream says" },
	{ "note", "note", MEMBER_TEXT, 0, "for people" },
	{ .key = NULL },
};
static const struct member allow_members[] = {
	{ "", "network", MEMBER_TITLE, 0, "" },
	{ "mode", "mode", MEMBER_TEXT, 0, "relay or authenticate; relay unless said" },
	{ "everything", "everything", MEMBER_YES, 0,
	  "everybody is really meant: of 0.0.0.0/0 or ::/0 that may relay" },
	{ "stream", "stream", MEMBER_TEXT, 0, "where its mail without authentication belongs" },
	{ "expires", "expires_ms", MEMBER_TIME, 0,
	  "it ends by itself then; what is past that is left out" },
	{ "note", "note", MEMBER_TEXT, 0, "for people" },
	{ .key = NULL },
};
static const struct member cred_members[] = {
	{ "", "name", MEMBER_TITLE, 0, "" },
	{ "sender", "senders", MEMBER_TEXTS, 0,
	  "only for this: shop.example, *.shop.example, app@shop.example or <>" },
	{ "network", "networks", MEMBER_TEXTS, 0, "only from this network" },
	{ "stream", "streams", MEMBER_TEXTS, 0, "only mail of this stream" },
	{ "per-minute", "per_minute", MEMBER_NUMBER, 0,
	  "messages a minute; 0: the limit of all credentials" },
	{ "per-day", "per_day", MEMBER_NUMBER, 0, "messages a day; 0: no limit" },
	{ "recipients", "recipients_max", MEMBER_NUMBER, 0,
	  "recipients of a message; 0: no limit of its own" },
	{ "expires", "expires_ms", MEMBER_TIME, 0, "it ends by itself then" },
	{ "disabled", "disabled", MEMBER_YES, 0, "nobody may use it until it is enabled" },
	{ "note", "note", MEMBER_TEXT, 0, "for people" },
	{ .key = NULL },
};
static const struct member key_members[] = {
	{ "", "id", MEMBER_TITLE, 0, "" },
	{ "state", "state", MEMBER_TEXT, 0, "waiting, active or retired" },
	{ "public", "public", MEMBER_TEXT, 0,
	  "what it publishes in DNS; its private part is a secret" },
	{ .key = NULL },
};

/* An item has a line of each. */
#define FIT(members) static_assert(ARRAY_LEN(members) - 1 <= CONFIG_MEMBERS_MAX, #members)
FIT(pool_members);
FIT(stream_members);
FIT(route_members);
FIT(allow_members);
FIT(cred_members);
FIT(key_members);

static const struct kind {
	const char *name; /* of all of them */
	const char *word; /* before one */
	const char *object;
	const char *title; /* what stands behind it; NULL: nothing */
	const struct member *members;
	size_t most;
} kinds[CONFIG_KIND__COUNT] = {
	[CONFIG_POOL] = { "pools", "pool", "pool", "its name", pool_members, POOLS_MAX },
	[CONFIG_STREAM] = { "streams", "stream", "stream", "its name", stream_members,
			    STREAMS_MAX },
	[CONFIG_ROUTE] = { "routes", "route", "route", NULL, route_members, ROUTES_MAX },
	[CONFIG_ALLOW] = { "allowlist", "allow", "allow", "a network", allow_members, ALLOW_MAX },
	[CONFIG_CRED] = { "credentials", "credential", "cred", "its name", cred_members,
			  CREDS_MAX },
	[CONFIG_KEY] = { "keys", "key", "dkim", "DOMAIN/SELECTOR", key_members, KEYS_MAX },
};

const char *config_kind_name(enum config_kind k)
{
	ASSERT(k < CONFIG_KIND__COUNT);
	return kinds[k].name;
}

const char *config_kind_object(enum config_kind k)
{
	ASSERT(k < CONFIG_KIND__COUNT);
	return kinds[k].object;
}

bool config_file_has(enum config_kind kind, const char *member)
{
	for (const struct member *m = kinds[kind].members; m->key != NULL; m++)
		if (strcmp(m->name, member) == 0)
			return true;
	return false;
}

/* --- words ------------------------------------------------------------------------------------ */

static bool is_near(struct str typed, const char *name)
{
	return str_distance(typed, str_of(name)) <= (typed.n > 3 ? NEAR_MAX : 1u);
}

int config_kinds_read(struct str text, unsigned *ret_kinds, struct err *err)
{
	unsigned set = 0;

	while (text.n > 0) {
		struct str word = str_trim(str_cut(&text, ','));
		int k = 0;
		while (k < CONFIG_KIND__COUNT && !str_eq(word, str_of(kinds[k].name)))
			k++;
		if (k == CONFIG_KIND__COUNT)
			return err_set(err, ERR_INVALID,
				       "there are pools, streams, routes, allowlist, credentials "
				       "and keys, and no \"%.*s\"",
				       word.n < 40 ? (int)word.n : 40, word.p);
		set |= 1u << k;
	}
	*ret_kinds = set;
	return 0;
}

static int refuse_kind(struct str word, struct err *err)
{
	for (int k = 0; k < CONFIG_KIND__COUNT; k++)
		if (is_near(word, kinds[k].word) || is_near(word, kinds[k].name))
			return err_set(err, ERR_INVALID,
				       "there is no kind \"%.*s\"; did you mean %s?",
				       word.n < 40 ? (int)word.n : 40, word.p, kinds[k].word);
	return err_set(
		err, ERR_INVALID,
		"there is no kind \"%.*s\"; there are pool, stream, route, allow, credential "
		"and key",
		word.n < 40 ? (int)word.n : 40, word.p);
}

static int refuse_member(const struct kind *k, struct str word, struct err *err)
{
	AUTO_BUF names = BUF_INIT(NAMES_MAX);

	for (const struct member *m = k->members; m->key != NULL; m++) {
		if (*m->key != '\0' && is_near(word, m->key))
			return err_set(err, ERR_INVALID, "a %s has no \"%.*s\"; did you mean %s?",
				       k->word, word.n < 40 ? (int)word.n : 40, word.p, m->key);
		if (*m->key != '\0')
			(void)buf_printf(&names, "%s%s", names.n > 0 ? ", " : "", m->key);
	}
	return err_set(err, ERR_INVALID, "a %s has no \"%.*s\"; it has %s", k->word,
		       word.n < 40 ? (int)word.n : 40, word.p, buf_cstr(&names));
}

/* --- values ----------------------------------------------------------------------------------- */

static int read_number(struct str text, int64_t *ret, struct err *err)
{
	uint64_t n;

	if (!str_u64(text, (uint64_t)NUMBER_MAX, &n))
		return err_set(err, ERR_INVALID, "that is a number up to %" PRId64, NUMBER_MAX);
	*ret = (int64_t)n;
	return 0;
}

static int read_scalar(const struct member *m, struct str text, json_t **ret, struct err *err)
{
	int64_t n = 0;
	int rc = 0;

	*ret = NULL;
	switch (m->type) {
	case MEMBER_TITLE:
	case MEMBER_TEXT:
	case MEMBER_TEXTS:
		*ret = json_stringn(text.p, text.n);
		return *ret != NULL ? 0 : err_set(err, ERR_INVALID, "that is no text");
	case MEMBER_NUMBER:
		rc = read_number(text, &n, err);
		break;
	case MEMBER_AGE:
		if (!fmt_parse_age(text, &n) || n > AGE_MAX)
			rc = err_set(err, ERR_INVALID, "that is an age such as 90s, 2h or 3d");
		break;
	case MEMBER_TIME:
	case MEMBER_DAY:
		if (!fmt_parse_time(text, &n) || n <= 0)
			rc = err_set(err, ERR_INVALID,
				     "that is a time such as \"2026-11-24T03:12:07Z\"");
		if (m->type == MEMBER_DAY)
			n -= n % DAY_MS;
		break;
	case MEMBER_YES:
		if (!str_eq(text, STR("yes")) && !str_eq(text, STR("no")))
			rc = err_set(err, ERR_INVALID, "that is yes or no");
		*ret = rc >= 0 ? json_boolean(str_eq(text, STR("yes"))) : NULL;
		return rc;
	}
	if (rc >= 0)
		*ret = json_integer(n);
	return rc;
}

static json_t *not_said(const struct member *m)
{
	switch (m->type) {
	case MEMBER_TITLE:
	case MEMBER_TEXT:
		return json_string("");
	case MEMBER_TEXTS:
		return json_array();
	case MEMBER_NUMBER:
	case MEMBER_AGE:
	case MEMBER_TIME:
	case MEMBER_DAY:
		return json_integer(m->otherwise);
	case MEMBER_YES:
		return json_false();
	}
	return json_null();
}

/* --- reading ---------------------------------------------------------------------------------- */

struct config_reading {
	struct config_reader r;
	struct config_file file; /* as it stands in the text */
	size_t cap;
	bool format;
	bool contains;
};

static int wrong(const struct config_reading *g, struct err *err)
{
	return config_text_at(err, PARAM, g->r.line);
}

static struct config_item *add_item(struct config_reading *g, enum config_kind kind, int line)
{
	struct config_file *f = &g->file;
	struct config_item *item;

	if (f->n == g->cap) {
		g->cap = g->cap != 0 ? 2 * g->cap : 64;
		f->v = xreallocarray(f->v, g->cap, sizeof(*f->v));
	}
	f->count[kind]++;
	item = &f->v[f->n++];
	*item = (struct config_item){ .kind = kind, .line = line, .object = json_object() };
	for (const struct member *m = kinds[kind].members; m->key != NULL; m++)
		(void)json_object_set_new(item->object, m->name, not_said(m));
	return item;
}

static int read_member(struct config_reading *g, struct config_item *item, struct err *err)
{
	const struct kind *k = &kinds[item->kind];
	const struct member *m = k->members;
	json_t *v = NULL;
	int *line;
	int rc;

	while (m->key != NULL && (*m->key == '\0' || !str_eq(g->r.word, str_of(m->key))))
		m++;
	if (m->key == NULL)
		return refuse_member(k, g->r.word, err);
	line = &item->lines[m - k->members];
	if (m->type != MEMBER_TEXTS && *line != 0)
		return err_set(err, ERR_INVALID, "%s is there twice; line %d has it, too", m->key,
			       *line);
	rc = read_scalar(m, buf_str(&g->r.value), &v, err);
	if (rc < 0)
		return err_prefix(err, "%s", m->key);
	if (*line == 0)
		*line = g->r.line;
	if (m->type == MEMBER_TEXTS)
		(void)json_array_append_new(json_object_get(item->object, m->name), v);
	else
		(void)json_object_set_new(item->object, m->name, v);
	return 0;
}

static int read_title(const struct config_reading *g, const struct config_item *item,
		      struct err *err)
{
	const struct kind *k = &kinds[item->kind];
	json_t *v = NULL;
	int rc = 0;

	if (g->r.quoted != (k->title != NULL))
		return k->title != NULL
			       ? err_set(err, ERR_INVALID, "behind %s stands %s in quotes", k->word,
					 k->title)
			       : err_set(err, ERR_INVALID, "behind %s stands only {", k->word);
	if (k->title == NULL)
		return 0;
	rc = read_scalar(k->members, buf_str(&g->r.value), &v, err);
	if (rc >= 0)
		(void)json_object_set_new(item->object, k->members->name, v);
	return rc;
}

static int read_item(struct config_reading *g, struct err *err)
{
	int begin = g->r.line;
	int k = 0, what;
	struct config_item *item;

	while (k < CONFIG_KIND__COUNT && !str_eq(g->r.word, str_of(kinds[k].word)))
		k++;
	if (k == CONFIG_KIND__COUNT)
		return refuse_kind(g->r.word, err), wrong(g, err);
	if ((g->file.kinds & 1u << k) == 0)
		return err_set(err, ERR_INVALID,
			       "contains does not name %s: add it there, and all %s of the "
			       "relay are meant to be in this text",
			       kinds[k].name, kinds[k].name),
		       wrong(g, err);
	if (g->file.count[k] >= kinds[k].most)
		return err_set(err, ERR_LIMIT, "there are at most %zu %s", kinds[k].most,
			       kinds[k].name),
		       wrong(g, err);
	item = add_item(g, (enum config_kind)k, begin);
	if (read_title(g, item, err) < 0)
		return wrong(g, err);
	while ((what = config_reader_next(&g->r, err)) == CONFIG_LINE_KEY)
		if (read_member(g, item, err) < 0)
			return wrong(g, err);
	if (what < 0 || what == CONFIG_LINE_CLOSE)
		return what;
	return err_set(err, ERR_INVALID,
		       "the %s of line %d is not closed: a line with } is missing", kinds[k].word,
		       begin),
	       wrong(g, err);
}

/* What stands before the objects. */
static int read_head(struct config_reading *g, struct err *err)
{
	int64_t format = 0;
	int rc = 0;

	if (str_eq(g->r.word, STR("format")) && !g->format) {
		g->format = true;
		if (read_number(buf_str(&g->r.value), &format, NULL) < 0 || format != FORMAT)
			rc = err_set(err, ERR_INVALID, "this release reads format %d", FORMAT);
	} else if (str_eq(g->r.word, STR("contains")) && g->format && !g->contains) {
		g->contains = true;
		rc = config_kinds_read(buf_str(&g->r.value), &g->file.kinds, err);
	} else {
		rc = err_set(err, ERR_INVALID,
			     "a configuration begins with format = %d and contains = \"pools, "
			     "streams, …\", once each; then come its objects",
			     FORMAT);
	}
	return rc < 0 ? wrong(g, err) : 0;
}

/* The next line of the head, or the next object. */
static int read_some(struct config_reading *g, struct err *err)
{
	int what = config_reader_next(&g->r, err);

	switch (what) {
	case CONFIG_LINE_END:
		return g->contains ? 0 : read_head(g, err);
	case CONFIG_LINE_CLOSE:
		return err_set(err, ERR_INVALID, "there is nothing that this } closes"),
		       wrong(g, err);
	case CONFIG_LINE_OPEN:
		what = g->contains ? read_item(g, err) : read_head(g, err);
		return what < 0 ? what : 1;
	case CONFIG_LINE_KEY:
		what = read_head(g, err);
		return what < 0 ? what : 1;
	}
	return what;
}

struct config_reading *config_file_begin(struct str text)
{
	struct config_reading *g = xcalloc(1, sizeof(*g));

	config_reader_init(&g->r, text);
	return g;
}

int config_file_step(struct config_reading *g, size_t most, struct err *err)
{
	int rc = 1;

	for (; rc > 0 && most > 0; most--)
		rc = read_some(g, err);
	return rc;
}

/* By kind, and within each as they stood. */
static void sort(struct config_file *f)
{
	struct config_item *v = xcalloc(f->n + 1, sizeof(*v));
	size_t at[CONFIG_KIND__COUNT] = { 0 };

	for (int k = 1; k < CONFIG_KIND__COUNT; k++)
		at[k] = at[k - 1] + f->count[k - 1];
	for (size_t i = 0; i < f->n; i++)
		v[at[f->v[i].kind]++] = f->v[i];
	free(f->v);
	f->v = v;
}

void config_file_end(struct config_reading **gp, struct config_file *ret)
{
	struct config_reading *g = *gp;

	*gp = NULL;
	config_reader_done(&g->r);
	*ret = g->file;
	sort(ret);
	free(g);
}

bool config_file_drop(struct config_file *f, size_t most)
{
	for (; most > 0 && f->n > 0; most--) {
		f->n--;
		config_file_release(&f->v[f->n]);
	}
	if (f->n > 0)
		return true;
	free(f->v);
	*f = (struct config_file){ .n = 0 };
	return false;
}

const char *config_file_said(const struct config_item *item, size_t *at)
{
	const struct member *members = kinds[item->kind].members;

	while (members[*at].key != NULL && item->lines[*at] == 0)
		(*at)++;
	return members[*at].key != NULL ? members[(*at)++].name : NULL;
}

void config_file_release(struct config_item *item)
{
	json_decref(item->object);
	item->object = NULL;
}

struct config_item *config_file_items(const struct config_file *f, enum config_kind k)
{
	size_t at = 0;

	for (int before = 0; before < (int)k; before++)
		at += f->count[before];
	return f->v + at;
}

int config_file_at(const struct config_item *item, struct err *err)
{
	const char *param = err != NULL ? err->param : "";
	const struct member *members = kinds[item->kind].members;
	int line = 0;

	for (size_t i = 0; members[i].key != NULL; i++)
		if (strcmp(members[i].name, param) == 0)
			line = item->lines[i];
	return config_text_at(err, PARAM, line > 0 ? line : item->line);
}

/* --- writing ---------------------------------------------------------------------------------- */

void config_file_put_head(struct buf *out, unsigned set)
{
	bool first = true;

	(void)buf_printf(
		out,
		"# Configuration of a relay: weir config export prints it, weir config "
		"import puts it in force.\n"
		"# It has all objects of the kinds that it contains; secrets stay where they "
		"are.\n"
		"format = %d\ncontains = \"",
		FORMAT);
	for (int k = 0; k < CONFIG_KIND__COUNT; k++) {
		if ((set & 1u << k) == 0)
			continue;
		(void)buf_printf(out, "%s%s", first ? "" : ", ", kinds[k].name);
		first = false;
	}
	(void)buf_puts(out, "\"\n");
}

static void put_line(struct buf *out, const struct member *m, const json_t *v)
{
	char time[FMT_TIME_LEN];

	(void)buf_printf(out, "\t%s = ", m->key);
	switch (m->type) {
	case MEMBER_TITLE:
	case MEMBER_TEXT:
	case MEMBER_TEXTS:
		config_text_put(out, str_from(json_string_value(v), json_string_length(v)));
		break;
	case MEMBER_NUMBER:
		(void)buf_printf(out, "%" PRId64, (int64_t)json_integer_value(v));
		break;
	case MEMBER_AGE:
		proto_put_age(out, json_integer_value(v));
		break;
	case MEMBER_TIME:
	case MEMBER_DAY:
		fmt_time(json_integer_value(v), time);
		(void)buf_printf(out, "\"%s\"", time);
		break;
	case MEMBER_YES:
		(void)buf_puts(out, json_is_true(v) ? "yes" : "no");
		break;
	}
	(void)buf_putc(out, '\n');
}

static void put_member(struct buf *out, const struct member *m, const json_t *v)
{
	json_t *otherwise = not_said(m);
	const json_t *one;
	size_t i;

	if (m->type == MEMBER_TEXTS)
		json_array_foreach(v, i, one) put_line(out, m, one);
	else if (v != NULL && !json_is_null(v) && !json_equal(v, otherwise))
		put_line(out, m, v);
	json_decref(otherwise);
}

void config_file_put(struct buf *out, enum config_kind kind, const json_t *object)
{
	const struct kind *k = &kinds[kind];

	(void)buf_printf(out, "\n%s ", k->word);
	if (k->title != NULL) {
		config_text_put(out, str_of(json_get_str(object, k->members->name)));
		(void)buf_putc(out, ' ');
	}
	(void)buf_puts(out, "{\n");
	for (const struct member *m = k->members; m->key != NULL; m++)
		if (m->type != MEMBER_TITLE)
			put_member(out, m, json_object_get(object, m->name));
	(void)buf_puts(out, "}\n");
}

/* --- the manual ------------------------------------------------------------------------------- */

static const char *type_name(enum member_type type)
{
	static const char *const names[] = {
		[MEMBER_TEXT] = "text",	    [MEMBER_TEXTS] = "texts, a line each",
		[MEMBER_NUMBER] = "number", [MEMBER_AGE] = "age",
		[MEMBER_TIME] = "time",	    [MEMBER_DAY] = "time",
		[MEMBER_YES] = "yes or no", [MEMBER_TITLE] = "",
	};
	ASSERT(type < ARRAY_LEN(names));
	return names[type];
}

void config_file_manual(struct buf *out)
{
	for (int k = 0; k < CONFIG_KIND__COUNT; k++) {
		(void)buf_printf(out, ".SS %s\n", kinds[k].word);
		(void)buf_printf(out, "In contains: %s. ", kinds[k].name);
		if (kinds[k].title != NULL)
			(void)buf_printf(out, "Behind it stands %s, in quotes.", kinds[k].title);
		(void)buf_putc(out, '\n');
		for (const struct member *m = kinds[k].members; m->key != NULL; m++) {
			if (m->type == MEMBER_TITLE)
				continue;
			(void)buf_puts(out, ".TP\n.B ");
			fmt_put_roff(out, m->key);
			(void)buf_printf(out, "\n(%s) ", type_name(m->type));
			fmt_put_roff(out, m->help);
			(void)buf_puts(out, ".\n");
		}
	}
}
