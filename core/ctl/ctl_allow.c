/* allow.list and allow.test: who may relay, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ctl/allow_notices.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"
#include "ctl/steps.h"
#include "ctl/views.h"

#define CREDS_SHOWN 5

static json_t *entry_json(const struct ctl_env *env, size_t at)
{
	const struct allow_entry *e = allow_at(env->allow, at);

	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "network", e->text, "mode",
		allow_mode_name(e->mode), "stream", json_text_or_null(str_of(e->stream)), "notices",
		allow_notices(env->allow, e, loop_wall_ms(env->loop)), "note",
		json_text_or_null(str_of(e->note)), "by", json_text(str_of(e->by)), "created_at",
		json_time(e->created_ms), "expires_at", json_time(e->expires_ms), "last_hit_at",
		json_time(e->last_hit_ms), "hits", (json_int_t)e->hits);
}

static size_t entries_n(const struct ctl_env *env)
{
	return allow_n(env->allow);
}

void ctl_allow_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = entries_n, .row = entry_json };

	config_list(call, &list);
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

void view_client(const struct ctl_env *env, const struct ipaddr *client, struct buf *out)
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

/* Names of credentials that can be used from there; a few of them. */
static size_t put_creds(const struct ctl_env *env, const struct ipaddr *client, struct buf *out)
{
	int64_t now_ms = loop_wall_ms(env->loop);
	size_t n = 0;

	for (size_t i = 0; i < creds_n(env->creds); i++) {
		const struct cred *x = creds_at(env->creds, i);
		if (!cred_in_networks(x, client) || strcmp(cred_status(x, now_ms), "active") != 0)
			continue;
		if (n++ < CREDS_SHOWN)
			(void)buf_printf(out, "%s%s", n > 1 ? ", " : "", x->name);
	}
	if (n > CREDS_SHOWN)
		(void)buf_printf(out, " and %zu more", n - CREDS_SHOWN);
	return n;
}

static void step_relay(struct steps *s, const struct ctl_env *env, const struct ipaddr *client,
		       const struct allow_entry *e)
{
	AUTO_BUF text = BUF_INIT(4000);
	char address[IPADDR_TEXT_LEN], change[IPNET_TEXT_LEN + 40];
	char stream[IPNET_TEXT_LEN + 40];
	bool relays = e != NULL && e->mode == ALLOW_RELAY;

	ipaddr_text(client, address);
	(void)snprintf(change, sizeof(change), "weir allow %s %s", relays ? "remove" : "add",
		       relays ? e->text : address);
	view_client(env, client, &text);
	steps_add(s, "client", relays ? STEP_OK : STEP_REFUSED, e != NULL ? e->text : NULL, change,
		  "%s", buf_cstr(&text));
	if (!relays)
		return;
	(void)snprintf(stream, sizeof(stream), "weir allow set %s --stream", e->text);
	if (*e->stream != '\0')
		steps_add(s, "stream", STEP_OK, e->text, stream, "%s, unless it authenticates",
			  e->stream);
	else
		steps_add(s, "stream", STEP_NONE, NULL, "weir stream list",
			  "by the streams' rules");
}

static void step_auth(struct steps *s, const struct ctl_env *env, const struct ipaddr *client,
		      const struct allow_entry *e)
{
	int64_t blocked_ms = guard_blocked(env->guard, client, loop_wall_ms(env->loop));
	AUTO_BUF names = BUF_INIT(4000);
	char when[FMT_TIME_LEN];

	if (!allow_may_authenticate(env->allow, e)) {
		steps_add(s, "auth", STEP_REFUSED, NULL, "weir allow add --mode authenticate",
			  "it may not authenticate: only networks on the list may, since it has "
			  "some of the mode authenticate");
	} else if (blocked_ms != 0) {
		fmt_time(blocked_ms, when);
		steps_add(s, "auth", STEP_REFUSED, NULL, "weir cred unblock",
			  "blocked until %s: it failed too often", when);
	} else if (put_creds(env, client, &names) == 0) {
		steps_add(s, "auth", STEP_NONE, NULL, "weir cred add",
			  "it may, but no credential can be used from there");
	} else {
		steps_add(s, "auth", STEP_OK, NULL, "weir cred set --networks",
			  "with a secret of %s", buf_cstr(&names));
	}
}

static void step_listeners(struct steps *s, const struct conf *c)
{
	static const char *const tls[] = { "no TLS", "STARTTLS", "TLS" };
	static const char *const auth[] = { "no AUTH", "AUTH", "nothing without AUTH" };

	for (size_t i = 0; i < c->listen_n; i++)
		steps_add(s, "listener",
			  c->listen[i].auth == CONF_AUTH_REQUIRED ? STEP_NONE : STEP_OK,
			  c->listen[i].name, "relayd.conf, listen", "%s: %s, %s",
			  c->listen[i].address, tls[c->listen[i].tls], auth[c->listen[i].auth]);
}

static void put_limit(struct buf *b, int64_t n, const char *what)
{
	if (n > 0)
		(void)buf_printf(b, "%s%lld %s", b->n > 0 ? ", " : "", (long long)n, what);
}

static void step_limits(struct steps *s, const struct conf *c)
{
	AUTO_BUF b = BUF_INIT(400);

	put_limit(&b, c->connections_per_client, "connections");
	put_limit(&b, c->connection_rate, "connections a minute");
	put_limit(&b, c->message_rate, "messages a minute");
	put_limit(&b, c->recipient_rate, "recipients a minute");
	steps_add(s, "limits", STEP_OK, "relayd.conf", "relayd.conf, limits", "%s of one address",
		  buf_cstr(&b));
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
	struct steps s;
	bool may_relay;

	if (!ipaddr_parse(str_of(param), &client)) {
		(void)err_param(&err, ERR_INVALID, "address",
				"address is one address, such as 192.0.2.7, not a network");
		ctl_fail(call, &err);
		return;
	}
	e = allow_check(env->allow, &client, now_ms);
	may_relay = e != NULL && e->mode == ALLOW_RELAY;
	view_client(env, &client, &text);
	steps_init(&s);
	step_relay(&s, env, &client, e);
	step_auth(&s, env, &client, e);
	if (env->conf != NULL) {
		step_listeners(&s, env->conf);
		step_limits(&s, env->conf);
	}
	ctl_reply(call, json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:O}", "address", param,
				  "verdict", step_verdict_name(may_relay ? STEP_OK : STEP_REFUSED),
				  "may_relay", may_relay, "may_authenticate",
				  allow_may_authenticate(env->allow, e), "network",
				  e != NULL ? json_string(e->text) : json_null(), "stream",
				  e != NULL ? json_text_or_null(str_of(e->stream)) : json_null(),
				  "blocked_until_at",
				  json_time(guard_blocked(env->guard, &client, now_ms)), "text",
				  json_text(buf_str(&text)), "steps", s.rows));
	steps_done(&s);
}
