/*
 * cause.list: what is stuck, by class, code and normalised reply; or what went wrong in a time.
 *
 * The store groups by cause itself. Where the filter asks for what it does not know (state,
 * provider), or where recipients in the trash would be counted, the rows are gone through one by
 * one instead (find.h); since when there are causes is asked of the store all the same.
 *
 * What was not tried because its next hop is in back-off is counted beside those that were (ctl/
 * waiting.h): it has no reply of its own that a filter would find.
 *
 * Whether a cause grows is told by the events of the last TREND_MS: as many in their first half as
 * in the second, or not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ctl/find.h"
#include "ctl/handlers.h"
#include "ctl/verdict.h"
#include "ctl/waiting.h"
#include "mail/reply_text.h"
#include "route/site.h"

#define CAUSES_MAX 20000 /* different ones, when they are counted here */
#define TREND_MS (20 * 60 * 1000)
#define TREND_EVENTS 20000 /* the last ones of that time that are looked at */
#define TREND_LEAST 5	   /* more or less of them are no trend yet */
#define NOT_STORED (1u << FILTER_STATE | 1u << FILTER_PROVIDER)

struct cause {
	struct queue_cause c; /* text, sample: see below */
	char *text;	      /* owned */
	struct attempt *last; /* owned */
};

struct listing {
	struct view_job job;
	size_t limit;
	struct cause *causes;
	size_t n;
	uint32_t *slots; /* causes by hash: index + 1 */
	size_t slots_n;
	uint64_t *pairs; /* cause and domain, a hash set; 0: free */
	size_t pairs_n;
	size_t pairs_size;
	json_t *trends; /* by key_of(): -1, 0 or 1 */
	const struct filter *f;
	struct waiting *waiting;
};

/* One that is shown. */
struct shown {
	const struct queue_cause *c;
	uint64_t waiting;
};

/* ---- a filter that finds the recipients behind a cause ---- */

/*
 * The normalised text as a pattern: spaces and what was taken out stand for anything. Quotes and
 * backslashes too, so that nothing has to be escaped.
 */
static void pattern_of(struct str text, struct buf *out)
{
	bool star = true;

	(void)buf_putc(out, '*');
	for (size_t i = 0; i < text.n; i++) {
		unsigned char b = (unsigned char)text.p[i];
		const char *end = b == '<' ? memchr(text.p + i, '>', text.n - i) : NULL;
		bool open = b <= ' ' || b == '"' || b == '\\' || b == '*' || b == 0x7f ||
			    b == 0xef || end != NULL;
		if (end != NULL)
			i = (size_t)(end - text.p);
		else if (b == 0xef) /* U+FFFD and its like: three bytes */
			i += 2;
		if (!open)
			(void)buf_putc(out, (char)b);
		else if (!star)
			(void)buf_putc(out, '*');
		star = open;
	}
	if (!star)
		(void)buf_putc(out, '*');
}

static json_t *where_of(const struct queue_cause *c)
{
	AUTO_BUF where = BUF_INIT(FILTER_TEXT_MAX);
	AUTO_BUF with_text = BUF_INIT(FILTER_TEXT_MAX);
	const char *class = c->reply_class < REPLY_CLASS__COUNT
				    ? reply_class_name((enum reply_class)c->reply_class)
				    : "";
	struct filter *f;

	(void)buf_printf(&where, "class:%s", *class != '\0' ? class : "\"\"");
	if (c->code != 0)
		(void)buf_printf(&where, " code:%u", c->code);
	else
		(void)buf_puts(&where, " -code>=200");
	if (c->enhanced[0] != '\0')
		(void)buf_printf(&where, " enhanced:%s", c->enhanced);
	(void)buf_printf(&with_text, "%s text:\"", buf_cstr(&where));
	pattern_of(c->text, &with_text);
	(void)buf_putc(&with_text, '"');
	f = c->text.n > 0 ? filter_parse(buf_str(&with_text), NULL) : NULL;
	if (f == NULL)
		return json_string(buf_cstr(&where));
	filter_free(&f);
	return json_text(buf_str(&with_text));
}

/* What tells causes apart, as one text. */
static void key_of(const struct queue_cause *c, struct buf *out)
{
	AUTO_BUF raw = BUF_INIT(REPLY_TEXT_MAX + 64);

	buf_reset(out);
	(void)buf_printf(&raw, "%u %u %s ", c->code, c->reply_class, c->enhanced);
	(void)buf_put_str(&raw, c->text);
	(void)utf8_put_clean(out, buf_str(&raw));
}

static const char *trend_of(const struct listing *l, const struct queue_cause *c)
{
	AUTO_BUF key = BUF_INIT(3 * REPLY_TEXT_MAX + 256);
	const json_t *v;

	key_of(c, &key);
	v = json_object_get(l->trends, buf_cstr(&key));
	if (v == NULL || json_integer_value(v) == 0)
		return "steady";
	return json_integer_value(v) > 0 ? "rising" : "falling";
}

static const char *phase_name(uint8_t phase)
{
	static const char *const names[CLASSIFY_PHASE__COUNT] = {
		[CLASSIFY_PHASE_UNKNOWN] = "unknown", [CLASSIFY_PHASE_CONNECT] = "connect",
		[CLASSIFY_PHASE_MAIL] = "mail",	      [CLASSIFY_PHASE_RCPT] = "rcpt",
		[CLASSIFY_PHASE_DATA] = "data",
	};

	return names[phase < CLASSIFY_PHASE__COUNT ? phase : CLASSIFY_PHASE_UNKNOWN];
}

static void set(json_t *o, const char *name, json_t *value_take)
{
	(void)json_object_set_new(o, name, value_take);
}

static void set_verdict(const struct listing *l, const struct queue_cause *c, json_t *o)
{
	struct classify_out v = { .meaning = "", .advice = "", .rule = "" };
	struct attempt a = { .code = c->code, .reply_class = c->reply_class };

	if (c->sample != NULL)
		a = *c->sample;
	if (c->reply_class != REPLY_NONE && c->reply_class < REPLY_CLASS__COUNT)
		verdict_again(l->job.env->rules, STR(""), &a, &v);
	set(o, "kind", json_string(v.hard ? "hard" : "soft"));
	set(o, "meaning", json_text_or_null(str_of(v.meaning)));
	set(o, "advice", json_text_or_null(str_of(v.advice)));
	set(o, "action", json_string(reply_action_name(v.action)));
	set(o, "rule", json_text_or_null(str_of(v.rule)));
	set(o, "reply", json_text_or_null(str_of(a.reply)));
	set(o, "provider", json_text_or_null(str_of(a.host[0] != '\0' ? site_of(a.host) : "")));
	set(o, "phase", json_string(phase_name(a.phase)));
}

static json_t *cause_json(const struct listing *l, const struct queue_cause *c, uint64_t waiting)
{
	json_t *o = json_object();

	set(o, "class", env_class(c->reply_class));
	set(o, "code", json_integer(c->code));
	set(o, "enhanced", json_text_or_null(str_of(c->enhanced)));
	set(o, "count", json_integer((json_int_t)c->count));
	set(o, "waiting", json_integer((json_int_t)waiting));
	set(o, "domains", json_integer((json_int_t)c->domains));
	set(o, "since_at", json_time(c->since_ms));
	set(o, "trend", json_string(trend_of(l, c)));
	set(o, "text", json_text(c->text));
	set_verdict(l, c, o);
	set(o, "where", where_of(c));
	return o;
}

static void listing_done(struct view_job *j)
{
	struct listing *l = (struct listing *)j;

	for (size_t i = 0; i < l->n; i++) {
		free(l->causes[i].text);
		free(l->causes[i].last);
	}
	free(l->causes);
	free(l->slots);
	free(l->pairs);
	json_decref(l->trends);
	waiting_free(&l->waiting);
}

/* ---- with what waits for the same ---- */

static bool is_same(const struct queue_cause *c, const struct waiting_cause *x)
{
	return c->code == x->why.code && c->reply_class == x->why.reply_class &&
	       strcmp(c->enhanced, x->why.enhanced) == 0 && str_eq(c->text, str_of(x->text));
}

static int by_reach(const void *a, const void *b)
{
	const struct shown *x = a;
	const struct shown *y = b;
	uint64_t m = x->c->count + x->waiting;
	uint64_t n = y->c->count + y->waiting;

	return m != n ? (m < n) - (m > n) : (x->c > y->c) - (x->c < y->c); /* as they came */
}

/* A cause that nobody in the list was told himself. */
static struct queue_cause cause_of(const struct waiting_cause *x)
{
	struct queue_cause c = { .code = (uint16_t)x->why.code,
				 .reply_class = x->why.reply_class,
				 .text = str_of(x->text),
				 .domains = x->domains,
				 .since_ms = x->since_ms,
				 .sample = &x->why };

	(void)snprintf(c.enhanced, sizeof(c.enhanced), "%s", x->why.enhanced);
	return c;
}

/* The rows; *ret_n: how many there would be without a limit. */
static json_t *rows_json(const struct listing *l, const struct queue_cause *const *rows, size_t n,
			 size_t *ret_n)
{
	size_t more = waiting_n(l->waiting);
	AUTO_FREE struct shown *shown = xcalloc(n + more + 1, sizeof(*shown));
	AUTO_FREE struct queue_cause *made = xcalloc(more + 1, sizeof(*made));
	json_t *out = json_array();
	size_t all = n;

	for (size_t i = 0; i < n; i++)
		shown[i].c = rows[i];
	for (size_t k = 0; k < more; k++) {
		const struct waiting_cause *x = waiting_at(l->waiting, k);
		size_t i = 0;
		while (i < n && !is_same(rows[i], x))
			i++;
		if (x->count == 0)
			continue;
		if (i == n) {
			made[k] = cause_of(x);
			shown[all++].c = &made[k];
			i = all - 1;
		}
		shown[i].waiting = x->count;
	}
	if (more > 0)
		qsort(shown, all, sizeof(*shown), by_reach);
	for (size_t i = 0; i < all && i < l->limit; i++)
		(void)json_array_append_new(out, cause_json(l, shown[i].c, shown[i].waiting));
	*ret_n = all;
	return out;
}

/* -1: it gets less, 1: more. */
static int direction(const struct queue_cause *c)
{
	uint64_t more = c->recent > c->before ? c->recent : c->before;
	uint64_t less = c->recent > c->before ? c->before : c->recent;

	if (more - less < TREND_LEAST || more * 2 < less * 3)
		return 0;
	return c->recent > c->before ? 1 : -1;
}

static void note_trends(struct listing *l, const struct queue_cause *rows, size_t n)
{
	AUTO_BUF key = BUF_INIT(3 * REPLY_TEXT_MAX + 256);

	l->trends = json_object();
	for (size_t i = 0; i < n; i++) {
		key_of(&rows[i], &key);
		(void)json_object_set_new(l->trends, buf_cstr(&key),
					  json_integer(direction(&rows[i])));
	}
}

/* ---- grouped by the store ---- */

/* With what waits the order is another one. */
static size_t store_limit(const struct listing *l)
{
	return waiting_n(l->waiting) > 0 ? QUEUE_PAGE_MAX : l->limit;
}

static void on_causes(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	struct listing *l = arg;
	AUTO_FREE const struct queue_cause **list = xcalloc(n + 1, sizeof(*list));
	json_t *out;
	size_t all;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	for (size_t i = 0; i < n; i++)
		list[i] = &rows[i];
	out = rows_json(l, list, n, &all);
	view_reply(&l->job, view_page(out, NULL, NULL, all, n < store_limit(l)));
}

/* ---- what went wrong in a time ---- */

static void on_past(void *arg, const struct queue_cause *rows, size_t n, bool all,
		    const struct err *err)
{
	struct listing *l = arg;
	json_t *out;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	note_trends(l, rows, n);
	out = json_array();
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(out, cause_json(l, &rows[i], 0));
	view_reply(&l->job, view_page(out, NULL, NULL, n, all && n < l->limit));
}

/* False: what is stuck now is asked for. */
static bool asks_past(const struct ctl_call *call, int64_t now_ms, struct queue_past *ret)
{
	int64_t last_s = ctl_int(call, "last_s", 0);
	int64_t since_ms = 0;
	int64_t until_ms = now_ms;
	bool since = ctl_str(call, "since") != NULL &&
		     fmt_parse_time(str_of(ctl_str(call, "since")), &since_ms);
	bool until = ctl_str(call, "until") != NULL &&
		     fmt_parse_time(str_of(ctl_str(call, "until")), &until_ms);

	if (last_s == 0 && !since && !until)
		return false;
	if (!since && last_s != 0)
		since_ms = until_ms - last_s * 1000;
	*ret = (struct queue_past){ .from_ms = since_ms, .to_ms = until_ms, .now_ms = now_ms };
	return true;
}

/* ---- counted here ---- */

static size_t slot_of(const struct listing *l, const struct queue_entry *e, struct str text)
{
	size_t slot = (str_hash(text) + e->code * 31u + e->reply_class) & (l->slots_n - 1);

	for (; l->slots[slot] != 0; slot = (slot + 1) & (l->slots_n - 1)) {
		const struct cause *x = &l->causes[l->slots[slot] - 1];
		if (x->c.code == e->code && x->c.reply_class == e->reply_class &&
		    strcmp(x->c.enhanced, e->enhanced) == 0 && str_eq(x->c.text, text))
			break;
	}
	return slot;
}

/* True when the pair is new. */
static bool add_pair(struct listing *l, uint32_t cause, uint32_t domain)
{
	uint64_t pair = (uint64_t)cause << 32 | domain;
	size_t slot;

	if (2 * l->pairs_n >= l->pairs_size) {
		uint64_t *old = l->pairs;
		size_t old_size = l->pairs_size;
		l->pairs_size = old_size != 0 ? 2 * old_size : 1024;
		l->pairs = xcalloc(l->pairs_size, sizeof(l->pairs[0]));
		l->pairs_n = 0;
		for (size_t i = 0; i < old_size; i++)
			if (old[i] != 0)
				(void)add_pair(l, (uint32_t)(old[i] >> 32), (uint32_t)old[i]);
		free(old);
	}
	slot = (pair * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (l->pairs_size - 1);
	for (; l->pairs[slot] != 0; slot = (slot + 1) & (l->pairs_size - 1))
		if (l->pairs[slot] == pair)
			return false;
	l->pairs[slot] = pair;
	l->pairs_n++;
	return true;
}

static struct attempt *last_of(const struct queue_entry *e)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	a->code = e->code;
	a->reply_class = e->reply_class;
	a->phase = e->phase;
	memcpy(a->enhanced, e->enhanced, sizeof(a->enhanced));
	(void)snprintf(a->reply, sizeof(a->reply), "%.*s", STR_ARG(e->reply));
	(void)snprintf(a->host, sizeof(a->host), "%.*s", STR_ARG(e->host));
	return a;
}

static bool each(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct listing *l = arg;
	char text[REPLY_TEXT_MAX + 1];
	struct cause *x;
	size_t slot;

	(void)v;
	(void)sure;
	if (e->code == 0 && e->reply_class == REPLY_NONE && e->reply.n == 0)
		return true; /* nothing has stopped it yet */
	(void)reply_text_normalise(e->reply, text);
	slot = slot_of(l, e, str_of(text));
	if (l->slots[slot] == 0) {
		if (l->n == CAUSES_MAX)
			return false;
		x = &l->causes[l->n];
		*x = (struct cause){ .text = xstrdup(text) };
		x->c = (struct queue_cause){ .code = e->code,
					     .reply_class = e->reply_class,
					     .text = str_of(x->text) };
		x->c.sample = x->last = last_of(e);
		(void)snprintf(x->c.enhanced, sizeof(x->c.enhanced), "%s", e->enhanced);
		l->slots[slot] = (uint32_t)++l->n;
	}
	x = &l->causes[l->slots[slot] - 1];
	x->c.count++;
	x->c.domains += add_pair(l, l->slots[slot], e->domain);
	return true;
}

static int by_count(const void *a, const void *b)
{
	const struct cause *x = a;
	const struct cause *y = b;

	return (x->c.count < y->c.count) - (x->c.count > y->c.count);
}

static void find_since(struct cause *x, const struct queue_cause *rows, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (rows[k].code == x->c.code && rows[k].reply_class == x->c.reply_class &&
		    strcmp(rows[k].enhanced, x->c.enhanced) == 0 && str_eq(rows[k].text, x->c.text))
			x->c.since_ms = rows[k].since_ms;
}

/* All there are, for since when. */
static void on_since(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	struct listing *l = arg;
	AUTO_FREE const struct queue_cause **list = xcalloc(l->n + 1, sizeof(*list));
	json_t *out;
	size_t all;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		find_since(&l->causes[i], rows, n);
		list[i] = &l->causes[i].c;
	}
	out = rows_json(l, list, l->n, &all);
	view_reply(&l->job, view_page(out, NULL, NULL, all, true));
}

static void on_counted(void *arg, const struct err *err)
{
	struct listing *l = arg;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	qsort(l->causes, l->n, sizeof(l->causes[0]), by_count);
	queue_causes(l->job.env->queue, NULL, QUEUE_PAGE_MAX, loop_wall_ms(l->job.env->loop),
		     on_since, l);
}

/* ---- */

static bool store_can(const struct ctl_env *env, const struct filter *f)
{
	struct sched_size size;

	sched_size(env->sched, &size);
	return size.trash == 0 && (f == NULL || (filter_uses(f) & NOT_STORED) == 0);
}

static void on_waiting(void *arg, const struct err *err)
{
	static const struct find_ops find = { .each = each, .done = on_counted };
	struct listing *l = arg;
	struct ctl_env *env = l->job.env;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	if (store_can(env, l->f)) {
		queue_causes(env->queue, l->f, store_limit(l), loop_wall_ms(env->loop), on_causes,
			     l);
		return;
	}
	l->causes = xcalloc(CAUSES_MAX, sizeof(l->causes[0]));
	l->slots_n = 4 * 16384;
	l->slots = xcalloc(l->slots_n, sizeof(l->slots[0]));
	find_start(env, l->f, FIND_ENTRIES, &find, l);
}

static void on_trends(void *arg, const struct queue_cause *rows, size_t n, bool all,
		      const struct err *err)
{
	struct listing *l = arg;
	struct ctl_env *env = l->job.env;

	(void)all;
	if (err == NULL)
		note_trends(l, rows, n); /* else they are not told */
	if (sched_backs_off(env->sched))
		l->waiting = waiting_start(env, l->f, on_waiting, l);
	else
		on_waiting(l, NULL);
}

void ctl_cause_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL, .done = listing_done };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));
	int64_t now_ms = loop_wall_ms(env->loop);
	struct err err = ERR_INIT;
	struct queue_past past;

	l->f = ctl_filter(call);
	if (l->f != NULL && filter_matches_all(l->f))
		l->f = NULL;
	l->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	view_begin(&l->job, env, call, &ops);
	if (asks_past(call, now_ms, &past)) {
		if (past.to_ms <= past.from_ms) {
			(void)err_param(&err, ERR_INVALID, "until",
					"that time ends before it begins: since comes first, then "
					"until");
			view_fail(&l->job, &err);
			return;
		}
		if (l->f != NULL && (filter_uses(l->f) & NOT_STORED) != 0) {
			(void)err_param(&err, ERR_INVALID, "where",
					"what happened is not known by state or provider");
			view_fail(&l->job, &err);
			return;
		}
		past.filter = l->f;
		past.limit = l->limit;
		queue_past_causes(env->queue, &past, on_past, l);
		return;
	}
	past = (struct queue_past){ .from_ms = now_ms - TREND_MS,
				    .to_ms = now_ms,
				    .most = TREND_EVENTS,
				    .limit = QUEUE_PAGE_MAX,
				    .now_ms = now_ms };
	queue_past_causes(env->queue, &past, on_trends, l);
}
