/*
 * Changes of credentials. A new secret is derived by a worker, shown in the one answer that is
 * given when all is on disk, and nowhere else: the journal keeps the answer without it, and so does
 * what a repeated request gets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"

#define FIRST_SECRET "s1"

/* A credential on its way; op->more. */
struct adding {
	struct op *op; /* NULL: given up */
	struct cred cred;
	struct cred_secret first;
	char secret[CRED_SECRET_LEN];
};

static void adding_free(struct adding *a)
{
	free(a->cred.name);
	free(a->cred.note);
	free(a->cred.by);
	for (size_t i = 0; i < a->cred.n_senders; i++)
		free(a->cred.senders[i]);
	free(a->cred.senders);
	free(a->cred.networks);
	secret_wipe(a, sizeof(*a));
	free(a);
}

/* The stored answer, and beside it the secret. */
static void added(struct op *op)
{
	const struct adding *a = op->more;
	json_t *answer = json_deep_copy(op->result);

	objects_apply(op);
	(void)json_object_set_new(answer, "secret", json_string(a->secret));
	json_decref(op->result);
	op->result = answer;
	op_answer(op);
}

static void adding_done(void *more)
{
	adding_free(more);
}

/* The change is given up while the worker has it. */
static void adding_left(void *more)
{
	((struct adding *)more)->op = NULL;
}

static void work(void *arg)
{
	struct adding *a = arg;

	cred_derive(str_of(a->secret), a->cred.salt, &a->first.keys);
}

static void on_worked(void *arg)
{
	struct adding *a = arg;
	struct op *op = a->op;

	if (op == NULL) {
		adding_free(a);
		return;
	}
	op->more_free = adding_done;
	op_begin(op, true);
	a->cred.created_ms = op->at_ms;
	a->first.created_ms = op->at_ms;
	if (a->first.expires_ms != 0)
		a->first.expires_ms += op->at_ms;
	op_object(op, "cred", a->cred.name, NULL, creds_json(&a->cred));
	op_result(op, 0, 0);
	(void)json_object_set_new(op->result, "name", json_string(a->cred.name));
	(void)json_object_set_new(op->result, "secret_id", json_string(a->first.id));
	op_commit(op, added, rule_refused);
}

/* --- what is asked for ------------------------------------------------------------------------ */

static int read_senders(struct adding *a, const json_t *list, struct err *err)
{
	size_t n = json_array_size(list);
	int rc = 0;

	if (n > CRED_BOUNDS_MAX)
		return err_param(err, ERR_LIMIT, "senders", "a credential has up to %d senders",
				 CRED_BOUNDS_MAX);
	a->cred.senders = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; rc >= 0 && i < n; i++) {
		char sender[CRED_SENDER_LEN];
		rc = cred_sender_read(str_of(json_string_value(json_array_get(list, i))), sender,
				      err);
		if (rc >= 0)
			a->cred.senders[a->cred.n_senders++] = xstrdup(sender);
	}
	return rc;
}

static int read_networks(struct adding *a, const json_t *list, struct err *err)
{
	size_t n = json_array_size(list);

	if (n > CRED_BOUNDS_MAX)
		return err_param(err, ERR_LIMIT, "networks", "a credential has up to %d networks",
				 CRED_BOUNDS_MAX);
	a->cred.networks = xcalloc(n + 1, sizeof(*a->cred.networks));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (ipnet_parse(str_of(text), &a->cred.networks[a->cred.n_networks++], err) < 0) {
			if (err != NULL)
				(void)snprintf(err->param, sizeof(err->param), "networks");
			return err_prefix(err, "%.60s", text);
		}
	}
	return 0;
}

static int check_new(const struct ctl_env *env, struct str name, struct err *err)
{
	const struct cred *x;
	int rc = cred_name_check(name, err);

	if (rc < 0)
		return rc;
	x = creds_find(env->creds, name);
	if (x != NULL)
		return err_param(err, ERR_EXISTS, "name",
				 "there is a credential %s already; it is %s", x->name,
				 cred_status(x, loop_wall_ms(env->loop)));
	if (creds_n(env->creds) >= CREDS_MAX)
		return err_set(err, ERR_LIMIT, "there are %d credentials already", CREDS_MAX);
	return 0;
}

void ctl_cred_add(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const char *note = ctl_str(call, "note");
	struct adding *a = xcalloc(1, sizeof(*a));
	struct err err = ERR_INIT;
	struct op *op = rule_op(call, name);
	int rc = check_new(env, str_of(name), &err);

	op->more = a;
	op->more_free = adding_done;
	a->op = op;
	if (rc >= 0)
		rc = read_senders(a, ctl_json(call, "senders"), &err);
	if (rc >= 0)
		rc = read_networks(a, ctl_json(call, "networks"), &err);
	if (rc >= 0)
		rc = op_lock(op, "cred", name, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	a->cred.name = xstrdup(name);
	a->cred.note = xstrdup(note != NULL ? note : "");
	a->cred.by = xstrdup(op->who->user);
	a->cred.secrets = &a->first;
	a->cred.n_secrets = 1;
	a->first.expires_ms = ctl_age(call, "for_s") * 1000; /* from the moment it is stored */
	(void)snprintf(a->first.id, sizeof(a->first.id), "%s", FIRST_SECRET);
	cred_secret_make(a->secret);
	creds_salt(env->creds, str_of(name), a->cred.salt);
	op->more_free = adding_left;
	(void)loop_job_start(env->loop, "cred.add", work, on_worked, a);
}

void ctl_cred_revoke(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	struct err err = ERR_INIT;
	struct op *op = rule_op(call, x != NULL ? x->name : name);
	json_t *after;
	int rc = 0;

	if (x == NULL)
		rc = err_param(&err, ERR_UNKNOWN, "name",
			       "there is no credential %.64s; weir cred list has those there are",
			       name);
	else if (x->revoked_ms != 0)
		rc = err_param(&err, ERR_STATE, "name", "%s is revoked already", x->name);
	if (rc >= 0)
		rc = op_lock(op, "cred", x->name, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	after = creds_json(x);
	(void)json_object_set_new(after, "revoked_ms", json_integer(op->at_ms));
	op_object(op, "cred", x->name, creds_json(x), after);
	op_result(op, 0, 0);
	op_commit(op, rule_in_force, rule_refused);
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
