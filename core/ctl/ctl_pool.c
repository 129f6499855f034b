/* pool.list and pool.show: a pool, its addresses, and how far its warm-up plan has come. */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

static json_t *source_json(const struct pool *p, const struct pool_source *x, int64_t now_ms)
{
	unsigned cap = pools_cap(p, now_ms);

	return json_pack("{s:s, s:o, s:i, s:i, s:o, s:o}", "address", x->text, "ehlo",
			 json_text_or_null(str_of(x->ehlo)), "weight", (int)x->weight, "sent_today",
			 (int)pools_sent(x, now_ms), "cap",
			 cap > 0 ? json_integer(cap) : json_null(), "trouble",
			 x->bad_until_ms > now_ms ? json_text(str_of(x->bad)) : json_null());
}

/* "192.0.2.1, 192.0.2.2" */
static json_t *addresses_json(const struct pool *p)
{
	AUTO_BUF b = BUF_INIT(POOL_SOURCES_MAX * (IPADDR_TEXT_LEN + 2));

	for (size_t i = 0; i < p->n; i++)
		(void)buf_printf(&b, "%s%s", i > 0 ? ", " : "", p->sources[i].text);
	return json_text(buf_str(&b));
}

/* "[####......] day 3 of 10: 120 of 400" */
static json_t *progress_json(const struct pool *p, uint64_t sent, int64_t now_ms)
{
	unsigned day = pools_plan_day(p, now_ms);
	uint64_t most = (uint64_t)pools_cap(p, now_ms) * p->n;
	char bar[11] = "..........";
	char n[FMT_TIME_LEN];
	char all[FMT_TIME_LEN];

	if (day == 0)
		return p->days > 0 ? json_string("over") : json_null();
	for (uint64_t i = 0; i < 10 && most > 0 && (i + 1) * most <= sent * 10; i++)
		bar[i] = '#';
	fmt_count(sent, n);
	fmt_count(most, all);
	return json_sprintf("[%s] day %u of %zu: %s of %s", bar, day, p->days, n, all);
}

static json_t *pool_json(const struct pool *p, int64_t now_ms)
{
	json_t *sources = json_array();
	unsigned cap = pools_cap(p, now_ms);
	unsigned day = pools_plan_day(p, now_ms);
	uint64_t sent = 0;

	for (size_t i = 0; i < p->n; i++) {
		sent += pools_sent(&p->sources[i], now_ms);
		(void)json_array_append_new(sources, source_json(p, &p->sources[i], now_ms));
	}
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "id", p->id,
		"addresses", addresses_json(p), "warmup", json_text_or_null(str_of(p->warmup_text)),
		"progress", progress_json(p, sent, now_ms), "day",
		day > 0 ? json_integer(day) : json_null(), "cap",
		cap > 0 ? json_integer((json_int_t)cap * (json_int_t)p->n) : json_null(),
		"sent_today", (json_int_t)sent, "overflow", json_text_or_null(str_of(p->overflow)),
		"note", json_text_or_null(str_of(p->note)), "by", json_text(str_of(p->by)),
		"created_at", json_time(p->created_ms), "sources", sources);
}

static size_t rows_n(const struct ctl_env *env)
{
	return pools_n(env->pools);
}

static json_t *row(const struct ctl_env *env, size_t at)
{
	return pool_json(pools_at(env->pools, at), loop_wall_ms(env->loop));
}

void ctl_pool_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = rows_n, .row = row };

	config_list(call, &list);
}

void ctl_pool_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct pool *p = pools_find(env->pools, str_of(name));
	struct err err = ERR_INIT;

	if (p != NULL) {
		ctl_reply(call, pool_json(p, loop_wall_ms(env->loop)));
		return;
	}
	(void)err_param(&err, ERR_UNKNOWN, "name",
			"there is no pool %.40s; weir pool list has those there are", name);
	ctl_fail(call, &err);
}
