/* Edits of credentials: bounds, disabled and enabled again, revoked, a secret that ends; and
 * addresses that are heard again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/cred_bounds.h"
#include "ctl/handlers.h"

/* The credential that the call names, which nobody else changes meanwhile. */
static int edit_begin(struct op *op, const char *name, const struct cred **ret, struct err *err)
{
	const struct cred *x = creds_find(op->env->creds, str_of(name));

	if (x == NULL)
		return err_param(err, ERR_UNKNOWN, "name",
				 "there is no credential %.64s; weir cred list has those there are",
				 name);
	*ret = x;
	return op_lock(op, "cred", x->name, err);
}

static struct op *edit_op(struct ctl_call *call, const struct cred **ret, int *ret_rc,
			  struct err *err)
{
	struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	struct op *op = rule_op(call, x != NULL ? x->name : name);

	*ret_rc = edit_begin(op, name, ret, err);
	return op;
}

/* Takes `after`. */
static void edit_store(struct op *op, const struct cred *x, json_t *after)
{
	op_object(op, "cred", x->name, creds_json(x), after);
	rule_store(op);
}

void ctl_cred_set(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	json_t *params = ctl_params(call);
	json_t *before = NULL, *after = NULL;
	const struct cred *x = NULL;
	struct err err = ERR_INIT;
	int rc;
	struct op *op = edit_op(call, &x, &rc, &err);

	if (rc >= 0) {
		before = creds_json(x);
		after = creds_json(x);
		rc = cred_bounds_put(after, params, env->streams, loop_wall_ms(env->loop), &err);
	}
	if (rc >= 0 && json_equal(before, after))
		rc = err_set(&err, ERR_STATE, "that is how %s is already", x->name);
	json_decref(params);
	json_decref(before);
	if (rc < 0) {
		json_decref(after);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	edit_store(op, x, after);
}

static void set_time(struct ctl_call *call, const char *field, bool on)
{
	const struct cred *x = NULL;
	struct err err = ERR_INIT;
	json_t *after;
	int rc;
	struct op *op = edit_op(call, &x, &rc, &err);

	if (rc >= 0 && x->revoked_ms != 0)
		rc = err_param(&err, ERR_STATE, "name",
			       on ? "%s is revoked already"
				  : "%s was revoked, which stays; only weir undo takes that back, "
				    "within its time (weir actions). weir cred add makes another",
			       x->name);
	else if (rc >= 0 && on && x->disabled_ms != 0 && op->method == &method_defs[M_CRED_DISABLE])
		rc = err_param(&err, ERR_STATE, "name", "%s is disabled already", x->name);
	else if (rc >= 0 && !on && x->disabled_ms == 0)
		rc = err_param(&err, ERR_STATE, "name", "%s is not disabled", x->name);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	after = creds_json(x);
	(void)json_object_set_new(after, field, json_integer(on ? op->at_ms : 0));
	edit_store(op, x, after);
}

void ctl_cred_disable(struct ctl_call *call)
{
	set_time(call, "disabled_ms", true);
}

void ctl_cred_enable(struct ctl_call *call)
{
	set_time(call, "disabled_ms", false);
}

void ctl_cred_revoke(struct ctl_call *call)
{
	set_time(call, "revoked_ms", true);
}

/* Another one stays good: a credential without any is revoked or disabled, which says so. */
static int check_retire(const struct cred *x, const char *id, int64_t now_ms, struct err *err)
{
	const struct cred_secret *s = cred_secret_find(x, str_of(id));
	bool others = false;

	if (s == NULL)
		return err_param(err, ERR_UNKNOWN, "secret",
				 "%s has no secret %.20s; weir cred show %s has those there are",
				 x->name, id, x->name);
	if (s->expires_ms != 0 && s->expires_ms <= now_ms)
		return err_param(err, ERR_STATE, "secret", "%s has ended already", s->id);
	for (size_t i = 0; i < x->n_secrets; i++)
		others = others ||
			 (&x->secrets[i] != s && cred_secret_usable(x, &x->secrets[i], now_ms));
	if (!others)
		return err_param(err, ERR_STATE, "secret",
				 "%s is the only secret of %s that is good; weir cred rotate puts "
				 "another beside it, weir cred disable and revoke end them all",
				 s->id, x->name);
	return 0;
}

/* What is left ends by itself: then nobody can log in. */
static void warn_of_end(struct op *op, const struct cred *x, const char *id)
{
	const struct cred_secret *last = NULL;
	char left[FMT_SHORT_LEN];

	for (size_t i = 0; i < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		if (strcmp(s->id, id) == 0 || !cred_secret_usable(x, s, op->at_ms))
			continue;
		if (s->expires_ms == 0)
			return;
		if (last == NULL || s->expires_ms > last->expires_ms)
			last = s;
	}
	if (last == NULL)
		return;
	fmt_age((last->expires_ms - op->at_ms) / 1000, left);
	rule_warn(op, xasprintf("%s is then its last secret, and ends in %s: after that nobody can "
				"log in as %s; weir cred rotate %s puts another beside it",
				last->id, left, x->name, x->name));
}

json_t *cred_retired(const struct cred *x, const char *id, int64_t now_ms)
{
	json_t *after = creds_json(x);
	size_t i;
	json_t *s;

	json_array_foreach(json_object_get(after, "secrets"), i, s)
	{
		if (strcmp(json_get_str(s, "id"), id) == 0)
			(void)json_object_set_new(s, "expires_ms", json_integer(now_ms));
	}
	return after;
}

void ctl_cred_retire(struct ctl_call *call)
{
	const char *id = ctl_str(call, "secret");
	const struct cred *x = NULL;
	struct err err = ERR_INIT;
	int rc;
	struct op *op = edit_op(call, &x, &rc, &err);

	if (rc >= 0)
		rc = check_retire(x, id, loop_wall_ms(op->env->loop), &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	warn_of_end(op, x, id);
	edit_store(op, x, cred_retired(x, id, op->at_ms));
}

/* Only memory is changed; the journal has who did it. */
void ctl_cred_unblock(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	struct ipnet net;
	char text[IPNET_TEXT_LEN];
	struct op *op;

	if (ipnet_parse(str_of(ctl_str(call, "network")), &net, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	ipnet_text(&net, text);
	op = rule_op(call, text);
	if (guard_forgive(env->guard, &net) == 0) {
		(void)err_param(&err, ERR_UNKNOWN, "network",
				"nothing is counted for %s; weir cred blocked has what is", text);
		op_fail(op, &err);
		return;
	}
	op_begin(op, false);
	op_result(op, 0, 0);
	op_commit(op, rule_in_force, rule_refused);
}
