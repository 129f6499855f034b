/*
 * Holds stand in one array in the order of their numbers, and in one of two indexes: those that are
 * active decide, those that ended are only asked how long they stopped a lifetime.
 */
#include "policy/holds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter_index.h"

/* What is known of a whole group of recipients. */
#define GROUP_FIELDS                                                                               \
	(1u << FILTER_DOMAIN | 1u << FILTER_PROVIDER | 1u << FILTER_STREAM | 1u << FILTER_RELAY)

struct holds {
	struct hold **v; /* by number */
	size_t n;
	size_t cap;
	struct filter_index *active;
	struct filter_index *ended;
};

struct holds *holds_new(void)
{
	struct holds *h = xcalloc(1, sizeof(*h));

	h->active = filter_index_new();
	h->ended = filter_index_new();
	return h;
}

static void hold_free(struct hold **xp)
{
	struct hold *x = *xp;

	if (x == NULL)
		return;
	target_done(&x->target);
	free(x->reason);
	free(x->by);
	free(x);
	*xp = NULL;
}

void holds_free(struct holds **hp)
{
	if (hp == NULL || *hp == NULL)
		return;
	filter_index_free(&(*hp)->active);
	filter_index_free(&(*hp)->ended);
	for (size_t i = 0; i < (*hp)->n; i++)
		hold_free(&(*hp)->v[i]);
	free((*hp)->v);
	free(*hp);
	*hp = NULL;
}

/* The place of the first hold with that number or a higher one. */
static size_t place(const struct holds *h, uint32_t number)
{
	size_t lo = 0;
	size_t hi = h->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (h->v[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct hold *find(const struct holds *h, uint32_t number)
{
	size_t i = place(h, number);

	return i < h->n && h->v[i]->number == number ? h->v[i] : NULL;
}

static struct filter_index *index_of(const struct holds *h, const struct hold *x)
{
	return x->ended_ms == 0 ? h->active : h->ended;
}

static struct filter_rule rule_of(const struct hold *x)
{
	return (struct filter_rule){
		.place = x->number, .number = x->number, .filter = x->target.filter, .arg = x
	};
}

static void insert(struct holds *h, struct hold *x)
{
	struct filter_rule rule = rule_of(x);
	size_t at = place(h, x->number);

	if (h->n == h->cap) {
		h->cap = h->cap != 0 ? 2 * h->cap : 16;
		h->v = xreallocarray(h->v, h->cap, sizeof(struct hold *));
	}
	memmove(h->v + at + 1, h->v + at, (h->n - at) * sizeof(struct hold *));
	h->v[at] = x;
	h->n++;
	filter_index_add(index_of(h, x), &rule);
}

static bool parse_id(struct str id, uint32_t *ret_number)
{
	uint64_t n;

	if (id.n < 2 || id.p[0] != 'h' || !str_u64(str_from(id.p + 1, id.n - 1), UINT32_MAX, &n) ||
	    n == 0)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

static int read_hold(const json_t *o, struct hold *x, struct err *err)
{
	int rc;

	if (!parse_id(str_of(json_get_str(o, "id")), &x->number))
		return err_set(err, ERR_CORRUPT, "a hold without a proper id");
	(void)snprintf(x->id, sizeof(x->id), "h%u", x->number);
	rc = target_parse(str_of(json_get_str(o, "target")), &x->target, err);
	if (rc < 0) {
		(void)err_prefix(err, "target of hold %s", x->id);
		if (err != NULL)
			err->code = ERR_CORRUPT;
		return -ERR_CORRUPT;
	}
	x->reason = json_dup_str(o, "reason");
	x->by = json_dup_str(o, "by");
	x->created_ms = json_get_int(o, "created_ms");
	x->expires_ms = json_get_int(o, "expires_ms");
	x->ended_ms = json_get_int(o, "ended_ms");
	x->keep_expiry = json_get_bool(o, "keep_expiry");
	x->asks = (filter_uses(x->target.filter) & ~GROUP_FIELDS) != 0;
	return 0;
}

int holds_put(struct holds *h, const char *json, struct err *err)
{
	json_t *o = NULL;
	struct hold *x = NULL;
	const struct hold *old;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a hold");
	x = xcalloc(1, sizeof(*x));
	rc = read_hold(o, x, err);
	if (rc < 0)
		goto out;
	old = find(h, x->number);
	if (x->ended_ms == 0 && (old == NULL || old->ended_ms != 0) &&
	    holds_active(h) >= HOLDS_MAX) {
		rc = err_set(err, ERR_LIMIT, "there are %d holds already; release some", HOLDS_MAX);
		goto out;
	}
	(void)holds_drop(h, x->number);
	insert(h, x);
	x = NULL;
out:
	hold_free(&x);
	json_decref(o);
	return rc;
}

json_t *holds_json(const struct hold *x)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:b}", "id", x->id, "target",
			 x->target.canonical, "reason", json_text(str_of(x->reason)), "by",
			 json_text(str_of(x->by)), "created_ms", (json_int_t)x->created_ms,
			 "expires_ms", (json_int_t)x->expires_ms, "ended_ms",
			 (json_int_t)x->ended_ms, "keep_expiry", (int)x->keep_expiry);
}

bool holds_drop(struct holds *h, uint32_t number)
{
	struct hold *x = find(h, number);
	struct filter_rule rule;
	size_t at;

	if (x == NULL)
		return false;
	rule = rule_of(x);
	(void)filter_index_drop(index_of(h, x), &rule);
	at = place(h, number);
	h->n--;
	memmove(h->v + at, h->v + at + 1, (h->n - at) * sizeof(struct hold *));
	hold_free(&x);
	return true;
}

const struct hold *holds_find(const struct holds *h, uint32_t number)
{
	return find(h, number);
}

const struct hold *holds_by_id(const struct holds *h, struct str id)
{
	uint32_t number;

	return parse_id(id, &number) ? find(h, number) : NULL;
}

uint32_t holds_next_number(const struct holds *h)
{
	return h->n > 0 ? h->v[h->n - 1]->number + 1 : 1;
}

size_t holds_active(const struct holds *h)
{
	return filter_index_n(h->active);
}

size_t holds_n(const struct holds *h)
{
	return h->n;
}

const struct hold *holds_at(const struct holds *h, size_t i)
{
	ASSERT(i < h->n);
	return h->v[i];
}

uint32_t holds_judge(const struct holds *h, const struct filter_row *row, bool *ret_asks)
{
	const struct hold *x = filter_index_first(h->active, row, ret_asks);

	return x != NULL ? x->number : 0;
}

/* ---- lifetimes ---- */

struct span {
	int64_t from;
	int64_t to;
};
struct spans {
	int64_t received_ms;
	int64_t now_ms;
	struct span *v;
	size_t n;
	size_t cap;
};

/* A hold that cannot be decided counts: rather kept too long than given up too early. */
static void add_span(void *arg, const struct filter_rule *rule, bool known)
{
	struct spans *s = arg;
	const struct hold *x = rule->arg;
	struct span span = { x->created_ms, x->ended_ms != 0 ? x->ended_ms : s->now_ms };

	(void)known;
	if (span.from < s->received_ms)
		span.from = s->received_ms;
	if (span.to > s->now_ms)
		span.to = s->now_ms;
	if (x->keep_expiry || span.from >= span.to)
		return;
	if (s->n == s->cap) {
		s->cap = s->cap != 0 ? 2 * s->cap : 8;
		s->v = xreallocarray(s->v, s->cap, sizeof(s->v[0]));
	}
	s->v[s->n++] = span;
}

static int span_cmp(const void *a, const void *b)
{
	const struct span *x = a;
	const struct span *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Where holds overlap the time counts once. */
int64_t holds_extra_life(const struct holds *h, const struct filter_row *row, int64_t received_ms)
{
	struct spans s = { .received_ms = received_ms, .now_ms = row->now_ms };
	int64_t until = INT64_MIN;
	int64_t sum = 0;

	filter_index_each(h->active, row, add_span, &s);
	filter_index_each(h->ended, row, add_span, &s);
	if (s.n > 0)
		qsort(s.v, s.n, sizeof(s.v[0]), span_cmp);
	for (size_t i = 0; i < s.n; i++) {
		int64_t from = s.v[i].from > until ? s.v[i].from : until;
		if (s.v[i].to <= from)
			continue;
		sum += s.v[i].to - from;
		until = s.v[i].to;
	}
	free(s.v);
	return sum;
}

int64_t holds_next_end(const struct holds *h)
{
	int64_t first = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct hold *x = h->v[i];
		if (x->ended_ms == 0 && x->expires_ms != 0 && (first == 0 || x->expires_ms < first))
			first = x->expires_ms;
	}
	return first;
}
