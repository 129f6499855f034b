/* allow.set: an entry of the allowlist that stays, and says something else. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "route/streams.h"

static int put_stream(const struct ctl_call *call, enum allow_mode mode, json_t *o, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "stream");
	const struct mailstream *x = streams_find(env->streams, str_of(name));

	if (name != NULL && *name != '\0' && x == NULL)
		return err_param(err, ERR_UNKNOWN, "stream",
				 "there is no stream %.40s; weir stream list has those there are",
				 name);
	if (name != NULL)
		(void)json_object_set_new(o, "stream", json_string(x != NULL ? x->id : ""));
	if (mode != ALLOW_RELAY && *json_get_str(o, "stream") != '\0')
		return err_param(err, ERR_INVALID, "stream",
				 "a stream is for mail without authentication: other mail belongs "
				 "where the rules or its credential say");
	return 0;
}

static int put_all(const struct ctl_call *call, const struct allow_entry *e, json_t *o,
		   int64_t now_ms, struct err *err)
{
	enum allow_mode mode = e->mode;
	int64_t for_s = ctl_age(call, "for_s");

	if (ctl_str(call, "mode") != NULL)
		(void)allow_mode_read(ctl_str(call, "mode"), &mode);
	if (ipnet_prefix(&e->net) == 0 && mode == ALLOW_RELAY && e->mode != ALLOW_RELAY &&
	    !ctl_bool(call, "everything"))
		return err_param(err, ERR_INVALID, "mode",
				 "%s would let everybody in the Internet relay; if that is really "
				 "meant, say so with everything (--everything)",
				 e->text);
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
		allow_warn_lockout(op, &e->net, op->at_ms);
}

void ctl_allow_set(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct allow_entry *e = NULL;
	struct err err = ERR_INIT;
	char text[IPNET_TEXT_LEN];
	struct ipnet net;
	json_t *o = NULL;
	struct op *op;
	int rc = ipnet_parse(str_of(ctl_str(call, "network")), &net, &err);

	if (rc >= 0) {
		ipnet_text(&net, text);
		e = allow_find(env->allow, str_of(text));
		rc = e != NULL ? 0 : allow_refuse_unknown(env, &net, text, &err);
	}
	if (rc >= 0) {
		o = allow_json(e);
		rc = put_all(call, e, o, loop_wall_ms(env->loop), &err);
	}
	if (rc < 0) {
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
