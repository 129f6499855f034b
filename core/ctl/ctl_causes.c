/*
 * cause.list: what is stuck, by class, code and normalised reply.
 *
 * The store groups by cause itself. Where the filter asks for what it does not know (state,
 * provider), or where recipients in the trash would be counted, the rows are gone through one by
 * one instead (find.h), and since when a cause is there is not known then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/find.h"
#include "ctl/handlers.h"
#include "mail/reply_text.h"

#define CAUSES_MAX 20000 /* different ones, when they are counted here */
#define NOT_STORED (1u << FILTER_STATE | 1u << FILTER_PROVIDER)

struct cause {
	struct queue_cause c; /* text: see below */
	char *text;	      /* owned */
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

static json_t *cause_json(const struct queue_cause *c)
{
	struct classify_out o = { .meaning = "", .advice = "", .action = REPLY_RETRY };
	bool known = c->reply_class != REPLY_NONE && c->reply_class < REPLY_CLASS__COUNT;

	if (known)
		classify_class((enum reply_class)c->reply_class, c->code, &o);
	return json_pack("{s:o, s:s, s:i, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:o}", "class",
			 env_class(c->reply_class), "kind", o.hard ? "hard" : "soft", "code",
			 (int)c->code, "enhanced", json_text_or_null(str_of(c->enhanced)), "count",
			 (json_int_t)c->count, "domains", (json_int_t)c->domains, "since_at",
			 json_time(c->since_ms), "text", json_text(c->text), "meaning",
			 json_text_or_null(str_of(o.meaning)), "advice",
			 json_text_or_null(str_of(o.advice)), "action", reply_action_name(o.action),
			 "where", where_of(c));
}

static void listing_done(struct view_job *j)
{
	struct listing *l = (struct listing *)j;

	for (size_t i = 0; i < l->n; i++)
		free(l->causes[i].text);
	free(l->causes);
	free(l->slots);
	free(l->pairs);
}

/* ---- grouped by the store ---- */

static void on_causes(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	struct listing *l = arg;
	json_t *out;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	out = json_array();
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(out, cause_json(&rows[i]));
	view_reply(&l->job, view_page(out, NULL, NULL, n, n < l->limit));
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

static void on_counted(void *arg, const struct err *err)
{
	struct listing *l = arg;
	json_t *out;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	qsort(l->causes, l->n, sizeof(l->causes[0]), by_count);
	out = json_array();
	for (size_t i = 0; i < l->n && i < l->limit; i++)
		(void)json_array_append_new(out, cause_json(&l->causes[i].c));
	view_reply(&l->job, view_page(out, NULL, NULL, l->n, true));
}

/* ---- */

static bool store_can(const struct ctl_env *env, const struct filter *f)
{
	struct sched_size size;

	sched_size(env->sched, &size);
	return size.trash == 0 && (f == NULL || (filter_uses(f) & NOT_STORED) == 0);
}

void ctl_cause_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL, .done = listing_done };
	static const struct find_ops find = { .each = each, .done = on_counted };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));
	const struct filter *f = ctl_filter(call);

	if (f != NULL && filter_matches_all(f))
		f = NULL;
	l->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	view_begin(&l->job, env, call, &ops);
	if (store_can(env, f)) {
		queue_causes(env->queue, f, l->limit, loop_wall_ms(env->loop), on_causes, l);
		return;
	}
	l->causes = xcalloc(CAUSES_MAX, sizeof(l->causes[0]));
	l->slots_n = 4 * 16384;
	l->slots = xcalloc(l->slots_n, sizeof(l->slots[0]));
	find_start(env, f, FIND_ENTRIES, &find, l);
}
