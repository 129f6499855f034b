/*
 * New credentials and new secrets. A secret is derived by a worker, shown in the one answer that is
 * given when all is on disk, and nowhere else: the journal keeps the answer without it, and so does
 * what a repeated request gets. One that was given is not shown at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "ctl/actions_rules.h"
#include "ctl/cred_bounds.h"
#include "ctl/handlers.h"

#define FIRST_SECRET "s1"

/* A secret on its way; op->more. */
struct making {
	struct op *op; /* NULL: given up */
	char *name;
	json_t *before; /* of the credential; NULL: it is new */
	json_t *after;	/* without the secret */
	struct cred_secret secret;
	uint8_t salt[CRED_SALT_LEN];
	char text[CRED_GIVEN_MAX + 1];
	bool given; /* by the operator, who knows it */
};

static void making_free(struct making *m)
{
	free(m->name);
	json_decref(m->before);
	json_decref(m->after);
	secret_wipe(m, sizeof(*m));
	free(m);
}

/* The stored answer, and beside it the secret. */
static void made(struct op *op)
{
	const struct making *m = op->more;
	json_t *answer = json_deep_copy(op->result);

	objects_apply(op);
	if (!m->given)
		(void)json_object_set_new(answer, "secret", json_string(m->text));
	json_decref(op->result);
	op->result = answer;
	op_answer(op);
}

static void making_done(void *more)
{
	making_free(more);
}

/* The change is given up while the worker has it. */
static void making_left(void *more)
{
	((struct making *)more)->op = NULL;
}

static void work(void *arg)
{
	struct making *m = arg;

	cred_derive(str_of(m->text), m->salt, &m->secret.keys);
}

static void on_worked(void *arg)
{
	struct making *m = arg;
	struct op *op = m->op;

	if (op == NULL) {
		making_free(m);
		return;
	}
	op->more_free = making_done;
	op_begin(op, true);
	m->secret.created_ms = op->at_ms;
	(void)json_array_append_new(json_object_get(m->after, "secrets"),
				    cred_secret_json(&m->secret));
	op_object(op, "cred", m->name, json_incref(m->before), json_incref(m->after));
	op_result(op, 0, 0);
	(void)json_object_set_new(op->result, "name", json_string(m->name));
	(void)json_object_set_new(op->result, "secret_id", json_string(m->secret.id));
	op_commit(op, made, rule_refused);
}

/* The first line of what was given, or one of our own. */
static int take_secret(const struct ctl_call *call, struct making *m, struct err *err)
{
	const char *given = ctl_str(call, "secret");
	struct str line = str_from(given, given != NULL ? strcspn(given, "\r\n") : 0);
	int rc;

	if (given == NULL) {
		char made_up[CRED_SECRET_LEN];
		cred_secret_make(made_up);
		memcpy(m->text, made_up, sizeof(made_up));
		secret_wipe(made_up, sizeof(made_up));
		return 0;
	}
	rc = cred_given_check(line, err);
	if (rc < 0)
		return rc;
	m->given = true;
	memcpy(m->text, line.p, line.n);
	return 0;
}

static struct making *making_new(struct op *op, const char *name)
{
	struct making *m = xcalloc(1, sizeof(*m));

	m->op = op;
	m->name = xstrdup(name);
	op->more = m;
	op->more_free = making_done;
	return m;
}

static void making_start(struct making *m)
{
	m->op->more_free = making_left;
	(void)loop_job_start(m->op->env->loop, "cred.secret", work, on_worked, m);
}

/* --- a new credential ------------------------------------------------------------------------- */

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

/* Without secrets; owned. */
static json_t *new_cred(const struct op *op, const struct making *m)
{
	AUTO_FREE char *by = xstrdup(op->who->user);
	struct cred x = { .name = m->name,
			  .note = (char[]){ "" },
			  .by = by,
			  .created_ms = loop_wall_ms(op->env->loop) };

	memcpy(x.salt, m->salt, sizeof(x.salt));
	return creds_json(&x);
}

void ctl_cred_add(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	json_t *params = ctl_params(call);
	struct err err = ERR_INIT;
	struct op *op = rule_op(call, name);
	struct making *m = making_new(op, name);
	int rc = check_new(env, str_of(name), &err);

	creds_salt(env->creds, str_of(name), m->salt);
	m->after = new_cred(op, m);
	if (rc >= 0)
		rc = cred_bounds_put(m->after, params, loop_wall_ms(env->loop), &err);
	json_decref(params);
	if (rc >= 0)
		rc = take_secret(call, m, &err);
	if (rc >= 0)
		rc = op_lock(op, "cred", name, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	(void)snprintf(m->secret.id, sizeof(m->secret.id), "%s", FIRST_SECRET);
	making_start(m);
}
