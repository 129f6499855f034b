/* allow.add, allow.set and allow.remove: who may relay, and what may not have been meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "ctl/actions_rules.h"
#include "ctl/allow_notices.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

/* --- what is worth a warning ------------------------------------------------------------------ */

static void warn_of_narrower(struct op *op, const struct ipnet *net)
{
	const struct allow_entry *first = NULL;
	size_t n = 0;
	for (size_t i = 0; i < allow_n(op->env->allow); i++) {
		const struct allow_entry *e = allow_at(op->env->allow, i);
		if (ipnet_prefix(&e->net) <= ipnet_prefix(net) || !ipnet_covers(net, &e->net))
			continue;
		first = first != NULL ? first : e;
		n++;
	}
	if (n > 0)
		rule_warn(op, xasprintf("it has %zu other %s of the list in it, %s for one", n,
					n == 1 ? "entry" : "entries", first->text));
}

void allow_warn(struct op *op, const struct allow_entry *e, int64_t now)
{
	json_t *notices = allow_notices(op->env->allow, e, now);
	size_t i;
	json_t *one;
	json_array_foreach(notices, i, one) rule_warn(op, xstrdup(json_string_value(one)));
	json_decref(notices);
}

/* Clients that authenticated before, and may not any more: the first one, and how many. */
static size_t locked_out(const struct ctl_env *env, const struct ipnet *net, int64_t now,
			 const struct cred **ret_cred, struct ipaddr *ret_client)
{
	size_t n = 0;
	for (size_t i = 0; i < creds_n(env->creds); i++) {
		const struct cred *x = creds_at(env->creds, i);
		for (size_t k = 0; k < x->use->n_secrets; k++) {
			const struct cred_secret_use *s = &x->use->secrets[k];
			if (s->uses == 0 || ipnet_has(net, &s->last_client) ||
			    allow_check(env->allow, &s->last_client, now) != NULL)
				continue;
			*ret_cred = x;
			*ret_client = s->last_client;
			n++;
		}
	}
	return n;
}

/* With the first entry that lets a network authenticate, all others may not any more. */
static void warn_of_lockout(struct op *op, const struct ipnet *net, int64_t now)
{
	const struct ctl_env *env = op->env;
	const struct cred *x = NULL;
	struct ipaddr client;
	char text[IPADDR_TEXT_LEN];
	size_t n;
	if (!allow_may_authenticate(env->allow, NULL))
		return;
	rule_warn(op,
		  xstrdup("from now on only clients in networks of this list may authenticate"));
	n = locked_out(env, net, now, &x, &client);
	if (n == 0 || x == NULL)
		return;
	ipaddr_text(&client, text);
	rule_warn(op, xasprintf("that shuts out %zu secret%s last used from elsewhere: %s from %s, "
				"for one",
				n, n == 1 ? "" : "s", x->name, text));
}

/* --- what an entry may be --------------------------------------------------------------------- */

static int check_everybody(const struct ctl_call *call, const char *param, const struct ipnet *net,
			   const char *text, enum allow_mode mode, struct err *err)
{
	if (ipnet_prefix(net) != 0 || mode != ALLOW_RELAY || ctl_bool(call, "everything"))
		return 0;
	return err_param(err, ERR_INVALID, param,
			 "%s would let everybody in the Internet relay; if that is really meant, "
			 "say so with everything (--everything)",
			 text);
}

static int check_stream_mode(const char *stream, enum allow_mode mode, struct err *err)
{
	if (*stream == '\0' || mode == ALLOW_RELAY)
		return 0;
	return err_param(err, ERR_INVALID, "stream",
			 "a stream is for mail without authentication: other mail belongs where "
			 "the rules or its credential say");
}

/* The network that the call names, and its text; on failure the call is answered. */
static bool take_network(struct ctl_call *call, struct ipnet *ret_net,
			 char ret_text[static IPNET_TEXT_LEN])
{
	struct err err = ERR_INIT;

	if (ipnet_parse(str_of(ctl_str(call, "network")), ret_net, &err) < 0) {
		ctl_fail(call, &err);
		return false;
	}
	ipnet_text(ret_net, ret_text);
	return true;
}

/* --- entries that come and go ----------------------------------------------------------------- */

static int check_new(const struct ctl_call *call, const struct ipnet *net, const char *text,
		     enum allow_mode mode, int64_t now, struct err *err)
{
	const char *stream = ctl_str(call, "stream");
	const struct ctl_env *env = ctl_env(call);
	const struct allow_entry *e = allow_find(env->allow, str_of(text));
	const struct mailstream *x;
	char since[FMT_TIME_LEN];
	if (check_everybody(call, "network", net, text, mode, err) < 0)
		return -ERR_INVALID;
	if (e != NULL && (e->expires_ms == 0 || e->expires_ms > now)) {
		fmt_time(e->created_ms, since);
		return err_param(err, ERR_EXISTS, "network",
				 "%s is on the allowlist already, added by %s at %s: %.100s", text,
				 e->by, since, e->note[0] != '\0' ? e->note : "no note");
	}
	if (stream != NULL && check_stream_mode(stream, mode, err) < 0)
		return -ERR_INVALID;
	if (stream != NULL && stream_get(env->streams, "stream", stream, &x, err) < 0)
		return -ERR_UNKNOWN;
	if (allow_n(env->allow) >= ALLOW_MAX)
		return err_set(err, ERR_LIMIT, "the allowlist has %d entries already", ALLOW_MAX);
	return 0;
}

static enum allow_mode mode_of(const struct ctl_call *call)
{
	const char *name = ctl_str(call, "mode");
	enum allow_mode mode = ALLOW_RELAY;
	if (name != NULL)
		(void)allow_mode_read(name, &mode);
	return mode;
}

static void add_entry(struct op *op, const struct ipnet *net, const char *text)
{
	const char *stream = ctl_str(op->call, "stream");
	int64_t for_s = ctl_age(op->call, "for_s");
	const char *given = ctl_str(op->call, "note");
	AUTO_FREE char *note = xstrdup(given != NULL ? given : "");
	AUTO_FREE char *by = xstrdup(op->who->user);
	struct allow_entry e = { .net = *net,
				 .mode = mode_of(op->call),
				 .note = note,
				 .by = by,
				 .created_ms = op->at_ms,
				 .expires_ms = for_s > 0 ? op->at_ms + for_s * 1000 : 0 };
	(void)snprintf(e.text, sizeof(e.text), "%s", text);
	if (stream != NULL)
		(void)snprintf(e.stream, sizeof(e.stream), "%s",
			       streams_find(op->env->streams, str_of(stream))->id);
	allow_warn(op, &e, op->at_ms);
	warn_of_narrower(op, net);
	if (e.mode == ALLOW_AUTHENTICATE)
		warn_of_lockout(op, net, op->at_ms);
	op_object(op, "allow", text, object_current(op->env, "allow", text), allow_json(&e));
}

void ctl_allow_add(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	int64_t now = loop_wall_ms(env->loop);
	struct err err = ERR_INIT;
	char text[IPNET_TEXT_LEN];
	struct ipnet net;
	struct op *op;
	if (!take_network(call, &net, text))
		return;
	op = rule_op(call, text);
	if (check_new(call, &net, text, mode_of(call), now, &err) < 0 ||
	    op_lock(op, "allow", text, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	add_entry(op, &net, text);
	rule_store(op);
}

static int refuse_unknown(const struct ctl_env *env, const struct ipnet *net, const char *text,
			  struct err *err)
{
	for (size_t i = 0; i < allow_n(env->allow); i++) {
		const struct allow_entry *e = allow_at(env->allow, i);
		if (ipnet_covers(&e->net, net))
			return err_param(err, ERR_UNKNOWN, "network",
					 "%s is no entry of the allowlist; it is a part of %s",
					 text, e->text);
	}
	return err_param(err, ERR_UNKNOWN, "network", "%s is not on the allowlist", text);
}

void ctl_allow_remove(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	char text[IPNET_TEXT_LEN];
	struct ipnet net;
	struct op *op;
	if (!take_network(call, &net, text))
		return;
	op = rule_op(call, text);
	if (allow_find(env->allow, str_of(text)) == NULL) {
		(void)refuse_unknown(env, &net, text, &err);
		op_fail(op, &err);
		return;
	}
	if (op_lock(op, "allow", text, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	op_object(op, "allow", text, object_current(env, "allow", text), NULL);
	rule_store(op);
}

/* --- an entry that stays, and says something else --------------------------------------------- */

static int put_stream(const struct ctl_call *call, enum allow_mode mode, json_t *o, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "stream");
	const struct mailstream *x = NULL;

	if (name != NULL && *name != '\0' && stream_get(env->streams, "stream", name, &x, err) < 0)
		return -ERR_UNKNOWN;
	if (name != NULL)
		(void)json_object_set_new(o, "stream", json_string(x != NULL ? x->id : ""));
	return check_stream_mode(json_get_str(o, "stream"), mode, err);
}

static int put_all(const struct ctl_call *call, const struct allow_entry *e, json_t *o,
		   int64_t now_ms, struct err *err)
{
	enum allow_mode mode = e->mode;
	int64_t for_s = ctl_age(call, "for_s");

	if (ctl_str(call, "mode") != NULL)
		(void)allow_mode_read(ctl_str(call, "mode"), &mode);
	if (e->mode != ALLOW_RELAY &&
	    check_everybody(call, "mode", &e->net, e->text, mode, err) < 0)
		return -ERR_INVALID;
	(void)json_object_set_new(o, "mode", json_string(allow_mode_name(mode)));
	if (ctl_str(call, "note") != NULL)
		(void)json_object_set_new(o, "note", json_text(str_of(ctl_str(call, "note"))));
	if (ctl_json(call, "for_s") != NULL)
		(void)json_object_set_new(o, "expires_ms",
					  json_integer(for_s > 0 ? now_ms + for_s * 1000 : 0));
	return put_stream(call, mode, o, err);
}

static void warn(struct op *op, const struct allow_entry *e, const json_t *o)
{
	struct allow_entry changed = *e;

	(void)allow_mode_read(json_get_str(o, "mode"), &changed.mode);
	if (changed.mode == e->mode)
		return;
	allow_warn(op, &changed, op->at_ms);
	if (changed.mode == ALLOW_AUTHENTICATE)
		warn_of_lockout(op, &e->net, op->at_ms);
}

void ctl_allow_set(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct allow_entry *e;
	struct err err = ERR_INIT;
	char text[IPNET_TEXT_LEN];
	struct ipnet net;
	struct op *op;
	json_t *o;

	if (!take_network(call, &net, text))
		return;
	e = allow_find(env->allow, str_of(text));
	if (e == NULL) {
		(void)refuse_unknown(env, &net, text, &err);
		ctl_fail(call, &err);
		return;
	}
	o = allow_json(e);
	if (put_all(call, e, o, loop_wall_ms(env->loop), &err) < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, text);
	if (op_lock(op, "allow", text, &err) < 0) {
		json_decref(o);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	warn(op, e, o);
	op_object(op, "allow", text, allow_json(e), o);
	rule_store(op);
}
