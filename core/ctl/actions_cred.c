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
#define OVERLAP_S (INT64_C(7) * 24 * 3600) /* methods.def tells it, too */

/* A secret on its way; op->more. */
struct making {
	struct op *op; /* NULL: given up */
	char *name;
	json_t *before; /* of the credential; NULL: it is new */
	json_t *after;	/* without the secret */
	struct cred_secret secret;
	uint8_t salt[CRED_SALT_LEN];
	char text[CRED_GIVEN_MAX + 1];
	bool given;	   /* by the operator, who knows it */
	bool replaces;	   /* the others end: */
	int64_t overlap_s; /* after this time, */
	int64_t silent_s;  /* and when they are silent so long; 0: not for that */
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

static bool is_past(const json_t *secret, int64_t now_ms)
{
	int64_t end = json_get_int(secret, "expires_ms");

	return end != 0 && end <= now_ms;
}

/* Those that are past their end go; an end that was set before stays when it is earlier. */
static void replace_others(struct making *m)
{
	json_t *secrets = json_object_get(m->after, "secrets");
	int64_t now = m->op->at_ms;
	int64_t until = now + m->overlap_s * 1000;

	for (size_t i = json_array_size(secrets); i-- > 0;) {
		json_t *s = json_array_get(secrets, i);
		int64_t end = json_get_int(s, "expires_ms");
		if (is_past(s, now)) {
			(void)json_array_remove(secrets, i);
			continue;
		}
		if (end == 0 || end > until)
			(void)json_object_set_new(s, "expires_ms", json_integer(until));
		if (json_get_int(s, "replaced_ms") == 0)
			(void)json_object_set_new(s, "replaced_ms", json_integer(now));
		(void)json_object_set_new(s, "silent_ms", json_integer(m->silent_s * 1000));
	}
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
	if (m->replaces)
		replace_others(m);
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
		rc = cred_bounds_put(m->after, params, env->streams, loop_wall_ms(env->loop), &err);
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

/* --- a new secret beside the others ----------------------------------------------------------- */

static int check_rotation(const struct cred *x, int64_t now_ms, struct err *err)
{
	size_t good = 0;

	if (x->revoked_ms != 0)
		return err_param(err, ERR_STATE, "name",
				 "%s is revoked; weir undo, or another name, is needed", x->name);
	for (size_t i = 0; i < x->n_secrets; i++)
		good += x->secrets[i].expires_ms == 0 || x->secrets[i].expires_ms > now_ms;
	if (good >= CRED_SECRETS_MAX)
		return err_param(err, ERR_LIMIT, "name",
				 "%s has %d secrets that are good; weir cred retire ends one",
				 x->name, CRED_SECRETS_MAX);
	return 0;
}

void ctl_cred_rotate(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	struct err err = ERR_INIT;
	struct op *op = rule_op(call, x != NULL ? x->name : name);
	struct making *m = making_new(op, x != NULL ? x->name : name);
	int rc = x != NULL ? check_rotation(x, loop_wall_ms(env->loop), &err)
			   : err_param(&err, ERR_UNKNOWN, "name",
				       "there is no credential %.64s; weir cred list has those "
				       "there are",
				       name);

	if (rc >= 0)
		rc = take_secret(call, m, &err);
	if (rc >= 0)
		rc = op_lock(op, "cred", m->name, &err);
	if (rc < 0 || x == NULL) {
		op_fail(op, &err);
		return;
	}
	m->before = creds_json(x);
	m->after = creds_json(x);
	m->replaces = true;
	m->overlap_s = ctl_json(call, "overlap_s") != NULL ? ctl_age(call, "overlap_s") : OVERLAP_S;
	m->silent_s = ctl_age(call, "silent_s");
	memcpy(m->salt, x->salt, sizeof(m->salt));
	cred_next_id(x, m->secret.id);
	making_start(m);
}
