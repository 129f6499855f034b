/*
 * Which address sends next, and how much each has sent today.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "route/pools_int.h"

#define DAY_MS (INT64_C(86400) * 1000)
#define CHAIN_MAX 8 /* pools that overflow into each other */

int64_t pools_day(int64_t now_ms)
{
	return now_ms / DAY_MS;
}

int64_t pools_next_day_ms(int64_t now_ms)
{
	return (pools_day(now_ms) + 1) * DAY_MS;
}

unsigned pools_plan_day(const struct pool *p, int64_t now_ms)
{
	int64_t day = pools_day(now_ms) - pools_day(p->warmup_from_ms);

	if (p->days == 0 || day >= (int64_t)p->days)
		return 0;
	return day < 0 ? 1 : (unsigned)day + 1;
}

unsigned pools_cap(const struct pool *p, int64_t now_ms)
{
	unsigned day = pools_plan_day(p, now_ms);

	return day > 0 ? p->caps[day - 1] : 0;
}

unsigned pools_sent(const struct pool_source *x, int64_t now_ms)
{
	return x->day == pools_day(now_ms) ? x->sent : 0;
}

static bool is_full(const struct pool *p, const struct pool_source *x, int64_t now_ms)
{
	unsigned cap = pools_cap(p, now_ms);

	return cap > 0 && pools_sent(x, now_ms) >= cap;
}

bool pools_has_room(const struct pool *p, int64_t now_ms)
{
	for (size_t i = 0; i < p->n; i++)
		if (!is_full(p, &p->sources[i], now_ms))
			return true;
	return false;
}

const char *pools_effective(const struct pools *s, const char *id, int64_t now_ms)
{
	const struct pool *first = pools_find(s, str_of(id));
	const struct pool *p = first;

	for (int i = 0; i < CHAIN_MAX && p != NULL; i++) {
		if (pools_has_room(p, now_ms))
			return p->id;
		p = *p->overflow != '\0' ? pools_find(s, str_of(p->overflow)) : NULL;
	}
	return first != NULL ? first->id : "";
}

static bool may_send(const struct pool *p, const struct pool_source *x, bool v4, bool any,
		     int64_t now_ms)
{
	return (any || ipaddr_is_v4(&x->ip) == v4) && x->bad_until_ms <= now_ms &&
	       !is_full(p, x, now_ms);
}

/* Those that are left, their weights summed. */
static unsigned weigh(const struct pool *p, bool v4, bool any, int64_t now_ms, unsigned at,
		      const struct pool_source **ret)
{
	unsigned sum = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct pool_source *x = &p->sources[i];
		if (!may_send(p, x, v4, any, now_ms))
			continue;
		sum += x->weight;
		if (at < sum) {
			*ret = x;
			return sum;
		}
	}
	return sum;
}

static bool has_family(const struct pool *p, bool v4)
{
	for (size_t i = 0; i < p->n; i++)
		if (ipaddr_is_v4(&p->sources[i].ip) == v4)
			return true;
	return false;
}

static enum pool_answer say_why(const struct pool *p, int64_t now_ms, char why[static POOL_WHY_MAX])
{
	const struct pool_source *bad = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (p->sources[i].bad_until_ms > now_ms)
			bad = &p->sources[i];
	if (bad == NULL || !pools_has_room(p, now_ms)) {
		(void)snprintf(why, POOL_WHY_MAX,
			       "pool %s has sent what its warm-up plan allows today: %u messages "
			       "from each address",
			       p->id, pools_cap(p, now_ms));
		return POOL_CAPPED;
	}
	(void)snprintf(why, POOL_WHY_MAX, "pool %s has no usable source address: %s: %.100s", p->id,
		       bad->text, bad->bad);
	return POOL_UNUSABLE;
}

enum pool_answer pools_pick(const struct pools *s, struct str id, bool v4, bool any, int64_t now_ms,
			    const struct pool_source **ret, char why[static POOL_WHY_MAX])
{
	const struct pool *p = pools_find(s, id);
	unsigned sum;

	if (p == NULL) {
		(void)snprintf(why, POOL_WHY_MAX, "pool %.*s is there no more", STR_ARG(id));
		return POOL_UNUSABLE;
	}
	if (!any && !has_family(p, v4)) {
		(void)snprintf(why, POOL_WHY_MAX, "pool %s has no IPv%c address", p->id,
			       v4 ? '4' : '6');
		return POOL_OTHER_FAMILY;
	}
	sum = weigh(p, v4, any, now_ms, UINT32_MAX, ret);
	if (sum == 0)
		return say_why(p, now_ms, why);
	(void)weigh(p, v4, any, now_ms, arc4random_uniform(sum), ret);
	return POOL_FOUND;
}

static struct pool_source *source_of(struct pool *p, const struct ipaddr *ip)
{
	for (size_t i = 0; p != NULL && i < p->n; i++)
		if (ipaddr_eq(&p->sources[i].ip, ip))
			return &p->sources[i];
	return NULL;
}

bool pools_take(struct pools *s, struct str id, const struct ipaddr *ip, int64_t now_ms)
{
	struct pool *p = pools_get(s, id);
	struct pool_source *x = source_of(p, ip);

	if (x == NULL || is_full(p, x, now_ms))
		return false;
	x->sent = pools_sent(x, now_ms) + 1;
	x->day = pools_day(now_ms);
	p->count_changed = true;
	if (is_full(p, x, now_ms) && !pools_has_room(p, now_ms))
		s->turned = true;
	return true;
}

void pools_untake(struct pools *s, struct str id, const struct ipaddr *ip, int64_t now_ms)
{
	struct pool *p = pools_get(s, id);
	struct pool_source *x = source_of(p, ip);
	bool had_room;

	if (x == NULL || x->day != pools_day(now_ms) || x->sent == 0)
		return;
	had_room = pools_has_room(p, now_ms);
	x->sent--;
	p->count_changed = true;
	s->turned = s->turned || (!had_room && pools_has_room(p, now_ms));
}

void pools_bad(struct pools *s, struct str id, const struct ipaddr *ip, const char *why,
	       int64_t now_ms)
{
	struct pool_source *x = source_of(pools_get(s, id), ip);

	if (x == NULL)
		return;
	x->bad_until_ms = now_ms + POOL_BAD_MS;
	(void)snprintf(x->bad, sizeof(x->bad), "%s", why);
}

bool pools_turned(struct pools *s)
{
	bool turned = s->turned;

	s->turned = false;
	return turned;
}

json_t *pools_count_json(struct pools *s, size_t i)
{
	struct pool *p = s->v[i];
	json_t *sent;
	int64_t day = 0;

	if (!p->count_changed)
		return NULL;
	p->count_changed = false;
	sent = json_object();
	for (size_t k = 0; k < p->n; k++)
		day = p->sources[k].day > day ? p->sources[k].day : day;
	for (size_t k = 0; k < p->n; k++)
		if (p->sources[k].day == day)
			(void)json_object_set_new(sent, p->sources[k].text,
						  json_integer(p->sources[k].sent));
	return json_pack("{s:s, s:I, s:o}", "id", p->id, "day", (json_int_t)day, "sent", sent);
}

void pools_count_put(struct pools *s, const char *json)
{
	json_t *o = NULL;
	struct pool *p = NULL;
	const json_t *sent;

	if (json_read(json, &o, NULL) >= 0)
		p = pools_get(s, str_of(json_get_str(o, "id")));
	sent = json_object_get(o, "sent");
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		struct pool_source *x = &p->sources[i];
		if (json_get_int(sent, x->text) <= 0)
			continue;
		x->day = json_get_int(o, "day");
		x->sent = (unsigned)json_get_int(sent, x->text);
	}
	json_decref(o);
}

size_t pools_choice(const struct pools *s, struct str id, bool v4, int64_t now_ms,
		    const struct pool_source *ret[static POOL_SOURCES_MAX])
{
	const struct pool *p = pools_find(s, id);
	size_t n = 0;

	for (size_t i = 0; p != NULL && i < p->n && n < POOL_SOURCES_MAX; i++)
		if (may_send(p, &p->sources[i], v4, false, now_ms))
			ret[n++] = &p->sources[i];
	return n;
}
