/* allow.list and allow.test: who may relay, and why. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/allow_notices.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ROWS_MAX 10000 /* of a list, which has no pages */
#define STEP_ROWS 500

struct listing {
	struct view_job job;
	json_t *rows;
	size_t at;
};

static json_t *entry_json(const struct ctl_env *env, const struct allow_entry *e)
{
	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "network", e->text, "mode",
		allow_mode_name(e->mode), "stream", json_text_or_null(str_of(e->stream)), "notices",
		allow_notices(env->allow, e, loop_wall_ms(env->loop)), "note",
		json_text_or_null(str_of(e->note)), "by", json_text(str_of(e->by)), "created_at",
		json_time(e->created_ms), "expires_at", json_time(e->expires_ms), "last_hit_at",
		json_time(e->last_hit_ms), "hits", (json_int_t)e->hits);
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct allow *a = j->env->allow;
	size_t n = allow_n(a) < ROWS_MAX ? allow_n(a) : ROWS_MAX;

	for (size_t end = l->at + STEP_ROWS; l->at < n && l->at < end; l->at++)
		(void)json_array_append_new(l->rows, entry_json(j->env, allow_at(a, l->at)));
	if (l->at < n)
		view_soon(j);
	else
		view_reply(j, view_page(json_incref(l->rows), NULL, NULL, allow_n(a), true));
}

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void ctl_allow_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	listing_step(&l->job);
}

/* ---- */

/* The narrowest entry that has the address, also when its time is over. */
static const struct allow_entry *covering(const struct allow *a, const struct ipaddr *client)
{
	return allow_check(a, client, INT64_MIN);
}

static void put_entry(const struct allow_entry *e, struct buf *out)
{
	char when[FMT_TIME_LEN];

	(void)buf_printf(out, "%s is on the allowlist", e->text);
	if (*e->note != '\0')
		(void)buf_printf(out, " (%s)", e->note);
	if (*e->by != '\0')
		(void)buf_printf(out, ", added by %s", e->by);
	if (e->expires_ms != 0) {
		fmt_time(e->expires_ms, when);
		(void)buf_printf(out, ", until %s", when);
	}
	if (*e->stream != '\0')
		(void)buf_printf(out, "; what it sends belongs to the stream %s", e->stream);
}

/* Why nothing lets it relay. */
static void put_lack(const struct ctl_env *env, const struct ipaddr *client, const char *address,
		     struct buf *out)
{
	const struct allow_entry *past = covering(env->allow, client);
	char when[FMT_TIME_LEN];

	if (past != NULL) {
		fmt_time(past->expires_ms, when);
		(void)buf_printf(out, "%s may not relay: the entry %s ended at %s", address,
				 past->text, when);
	} else if (allow_n(env->allow) == 0) {
		(void)buf_printf(out, "%s may not relay: the allowlist is empty", address);
	} else {
		(void)buf_printf(out, "%s may not relay: no network on the allowlist has it",
				 address);
	}
	(void)buf_printf(out, "; weir allow add %s lets it", address);
}

static void explain(const struct ctl_env *env, const struct ipaddr *client, struct buf *out)
{
	int64_t now_ms = loop_wall_ms(env->loop);
	const struct allow_entry *e = allow_check(env->allow, client, now_ms);
	int64_t blocked_ms = guard_blocked(env->guard, client, now_ms);
	char address[IPADDR_TEXT_LEN];
	char when[FMT_TIME_LEN];

	ipaddr_text(client, address);
	if (e == NULL) {
		put_lack(env, client, address, out);
	} else {
		(void)buf_printf(out, "%s may %s: ", address,
				 e->mode == ALLOW_RELAY ? "relay"
							: "not relay without authentication");
		put_entry(e, out);
	}
	if (!allow_may_authenticate(env->allow, e))
		(void)buf_puts(out, ". It may not authenticate either: only networks on the list "
				    "may, since it has some of the mode authenticate");
	else
		(void)buf_puts(out, ". It may authenticate where that is offered");
	if (blocked_ms != 0) {
		fmt_time(blocked_ms, when);
		(void)buf_printf(out,
				 ", but is blocked until %s: it failed too often; weir cred "
				 "unblock %s forgets that",
				 when, address);
	}
}

void ctl_allow_test(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	int64_t now_ms = loop_wall_ms(env->loop);
	AUTO_BUF text = BUF_INIT(4000);
	const char *param = ctl_str(call, "address");
	const struct allow_entry *e;
	struct ipaddr client;
	struct err err = ERR_INIT;
	bool may_relay;

	if (!ipaddr_parse(str_of(param), &client)) {
		(void)err_param(&err, ERR_INVALID, "address",
				"address is one address, such as 192.0.2.7, not a network");
		ctl_fail(call, &err);
		return;
	}
	e = allow_check(env->allow, &client, now_ms);
	may_relay = e != NULL && e->mode == ALLOW_RELAY;
	explain(env, &client, &text);
	ctl_reply(call,
		  json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:o}", "address", param, "may_relay",
			    may_relay, "may_authenticate", allow_may_authenticate(env->allow, e),
			    "network", e != NULL ? json_string(e->text) : json_null(), "stream",
			    e != NULL ? json_text_or_null(str_of(e->stream)) : json_null(),
			    "blocked_until_at",
			    json_time(guard_blocked(env->guard, &client, now_ms)), "text",
			    json_text(buf_str(&text))));
}
