/*
 * Changes of DKIM keys. Private keys are made and read in a worker (struct making); from there they
 * go into the store and the list of keys, and nowhere else: the objects that journals and answers
 * see have only the public part (sign/keys.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"

#define MAKING_MAX 2 /* keys at a time: one of each algorithm */
#define NAMES_TRIED 26
#define ZONE_MAX ((size_t)8192)

/* --- in common -------------------------------------------------------------------------------- */

static void publish(struct op *op, const char *domain, const char *selector, struct str record)
{
	AUTO_BUF name = BUF_INIT(ZONE_MAX);
	AUTO_BUF zone = BUF_INIT(ZONE_MAX);
	if (op->result == NULL)
		op->result = json_object();
	if (json_object_get(op->result, "publish") == NULL)
		(void)json_object_set_new(op->result, "publish", json_array());
	(void)keys_record_name(domain, selector, &name);
	(void)keys_zone_txt(buf_cstr(&name), record, &zone);
	(void)json_array_append_new(json_object_get(op->result, "publish"),
				    json_text(buf_str(&zone)));
}

static int refuse_unknown(const struct ctl_env *env, const char *param, const char *id,
			  struct err *err)
{
	size_t first;
	if (keys_of(env->keys, str_of(id), &first) > 0)
		return err_param(err, ERR_UNKNOWN, param,
				 "%.100s has several keys; %s is one of them", id,
				 keys_at(env->keys, first)->id);
	return err_param(err, ERR_UNKNOWN, param,
			 "there is no key %.150s; weir dkim list has those there are", id);
}

/* An object with another state. */
static void change_state(struct op *op, const struct key_entry *e, enum key_state state)
{
	json_t *after = keys_json(e);
	(void)json_object_set_new(after, "state", json_string(key_state_name(state)));
	op_object(op, KEYS_KIND, e->id, keys_json(e), after);
}

/* --- new keys --------------------------------------------------------------------------------- */

/* Keys that are made or read. op NULL: nobody waits any more. */
struct making {
	struct op *op;
	char *pem; /* a secret */
	char *domain;
	char *selector; /* NULL: from the date */
	bool named;	/* more than one: the algorithm is put behind the selector */
	enum key_state state;
	enum dkim_algorithm want[MAKING_MAX];
	size_t n;
	struct dkim_key *key[MAKING_MAX];
	struct err err;
	int rc;
};

static void making_free(struct making *m)
{
	for (size_t i = 0; i < MAKING_MAX; i++)
		dkim_key_free(&m->key[i]);
	keys_wipe(&m->pem);
	free(m->domain);
	free(m->selector);
	free(m);
}

/* The op is over before the worker is: on_made() frees. */
static void making_leave(void *more)
{
	((struct making *)more)->op = NULL;
}

static void make_keys(void *arg)
{
	struct making *m = arg;
	if (m->pem != NULL) {
		m->rc = dkim_key_parse(str_of(m->pem), &m->key[0], &m->err);
		(void)snprintf(m->err.param, sizeof(m->err.param), "pem");
		return;
	}
	for (size_t i = 0; i < m->n && m->rc >= 0; i++)
		m->rc = dkim_key_new(m->want[i], &m->key[i], &m->err);
}

static const char *short_name(enum dkim_algorithm a)
{
	return a == DKIM_RSA ? "rsa" : "ed25519";
}

/* "w20261125-rsa", the next time on that day "w20261125b-rsa". */
static void name_by_date(const struct op *op, const char *domain, enum dkim_algorithm a,
			 char ret[static KEY_SELECTOR_MAX + 1])
{
	char now[FMT_TIME_LEN], id[KEY_ID_MAX + 1];
	fmt_time(op->at_ms, now);
	for (int k = 0; k < NAMES_TRIED; k++) {
		const char letter[2] = { k == 0 ? '\0' : (char)('a' + k), '\0' };
		(void)snprintf(ret, KEY_SELECTOR_MAX + 1, "w%.4s%.2s%.2s%s-%s", now, now + 5,
			       now + 8, letter, short_name(a));
		if (keys_name(str_of(domain), str_of(ret), id, NULL) < 0 ||
		    keys_find(op->env->keys, str_of(id)) == NULL)
			return;
	}
}

static int add_one(struct op *op, const struct making *m, const struct dkim_key *key,
		   struct err *err)
{
	char selector[KEY_SELECTOR_MAX + 1], id[KEY_ID_MAX + 1], secret[KEY_SECRET_LEN];
	const struct key_entry *old;
	json_t *public;
	char *text;
	int n = 0;
	int rc;
	if (m->selector == NULL)
		name_by_date(op, m->domain, dkim_key_algorithm(key), selector);
	else
		n = snprintf(selector, sizeof(selector), m->named ? "%s-%s" : "%s", m->selector,
			     short_name(dkim_key_algorithm(key)));
	if (n >= (int)sizeof(selector))
		return err_param(err, ERR_INVALID, "selector", "the selector is too long");
	rc = keys_name(str_of(m->domain), str_of(selector), id, err);
	if (rc < 0)
		return rc;
	old = keys_find(op->env->keys, str_of(id));
	if (old != NULL && old->key != NULL)
		return err_param(err, ERR_EXISTS, "selector",
				 "there is a key %s already, made by %s", id, old->by);
	rc = op_lock(op, KEYS_KIND, id, err);
	if (rc < 0)
		return rc;
	text = keys_secret(key, secret);
	if (old != NULL && text != NULL && strcmp(old->secret, secret) != 0) {
		keys_wipe(&text);
		return err_param(err, ERR_EXISTS, "selector",
				 "the key %s lacks its private part, and this is that of another "
				 "one",
				 id);
	}
	public = keys_public(str_of(m->domain), str_of(selector), key, m->state, op->who->user,
			     op->at_ms);
	if (text == NULL || public == NULL) {
		keys_wipe(&text);
		json_decref(public);
		return err_set(err, ERR_INTERNAL, "OpenSSL cannot write the key");
	}
	op_secret(op, KEYS_KIND_SECRET, secret, text);
	publish(op, json_get_str(public, "domain"), json_get_str(public, "selector"),
		str_of(json_get_str(public, "public")));
	if (old != NULL)
		(void)json_object_set_new(public, "state", json_string(key_state_name(old->state)));
	op_object(op, KEYS_KIND, id, old != NULL ? keys_json(old) : NULL, public);
	return op_lock(op, KEYS_KIND_SECRET, secret, err);
}

static int add_all(struct op *op, struct making *m, struct err *err)
{
	int rc = m->rc;
	if (rc < 0) {
		*err = m->err;
		return rc;
	}
	if (m->pem != NULL && m->n == 1 && m->want[0] != dkim_key_algorithm(m->key[0]))
		return err_param(err, ERR_INVALID, "algorithm", "the key is for %s",
				 dkim_algorithm_name(dkim_key_algorithm(m->key[0])));
	op_begin(op, true);
	for (size_t i = 0; i < MAKING_MAX && rc >= 0; i++)
		if (m->key[i] != NULL)
			rc = add_one(op, m, m->key[i], err);
	return rc;
}

static void on_made(void *arg)
{
	struct making *m = arg;
	struct op *op = m->op;
	struct err err = ERR_INIT;
	if (op != NULL) {
		op->more_free = NULL;
		op->more = NULL;
		if (add_all(op, m, &err) < 0)
			op_fail(op, &err);
		else
			rule_store(op);
	}
	making_free(m);
}

static void make(struct ctl_call *call, struct making *m)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	char id[KEY_ID_MAX + 1];
	size_t first;
	struct op *op;
	int rc = keys_name(str_of(m->domain), str_of(m->selector != NULL ? m->selector : "s"), id,
			   &err);
	if (rc >= 0 &&
	    keys_of(env->keys, str_of(m->domain), &first) + (m->n > 0 ? m->n : 1) > KEYS_DOMAIN_MAX)
		rc = err_param(&err, ERR_LIMIT, "domain",
			       "a domain has at most %d keys; remove what is retired",
			       KEYS_DOMAIN_MAX);
	if (rc < 0) {
		ctl_fail(call, &err);
		making_free(m);
		return;
	}
	id[strlen(m->domain)] = '\0'; /* in lower case */
	op = rule_op(call, id);
	op->more = m;
	op->more_free = making_leave;
	m->op = op;
	(void)loop_job_start(env->loop, "dkim.make", make_keys, on_made, m);
}

static void want(struct making *m, enum dkim_algorithm a)
{
	m->want[m->n++] = a;
}

static void want_named(struct making *m, const char *algorithm)
{
	bool both = strcmp(algorithm, "both") == 0;
	if (both || strcmp(algorithm, "rsa") == 0)
		want(m, DKIM_RSA);
	if (both || strcmp(algorithm, "ed25519") == 0)
		want(m, DKIM_ED25519);
}

static struct making *making_new(const struct ctl_call *call)
{
	struct making *m = xcalloc(1, sizeof(*m));
	const char *selector = ctl_str(call, "selector");
	m->err = ERR_INIT;
	m->domain = xstrdup(ctl_str(call, "domain"));
	m->selector = selector != NULL ? xstrdup(selector) : NULL;
	return m;
}

void ctl_dkim_add(struct ctl_call *call)
{
	const char *algorithm = ctl_str(call, "algorithm");
	const char *pem = ctl_str(call, "pem");
	struct making *m = making_new(call);
	struct err err = ERR_INIT;
	m->state = ctl_bool(call, "waiting") ? KEY_WAITING : KEY_ACTIVE;
	if (algorithm != NULL || pem == NULL)
		want_named(m, algorithm != NULL ? algorithm : "rsa");
	m->named = m->n > 1;
	if (pem != NULL && m->n > 1) {
		(void)err_param(&err, ERR_INVALID, "algorithm",
				"one key is given, so it cannot be of both kinds");
		ctl_fail(call, &err);
		making_free(m);
		return;
	}
	m->pem = pem != NULL ? xstrdup(pem) : NULL;
	make(call, m);
}

/* What the active keys are, unless a waiting one stands in the way. */
static int rotate_what(const struct ctl_env *env, struct making *m, bool said, struct err *err)
{
	bool active[DKIM_ALGORITHM__COUNT] = { false };
	const struct key_entry *waiting[DKIM_ALGORITHM__COUNT] = { NULL };
	size_t first, n = keys_of(env->keys, str_of(m->domain), &first);
	if (n == 0)
		return err_param(err, ERR_UNKNOWN, "domain",
				 "there is no key for %.100s; weir dkim add %.100s makes one",
				 m->domain, m->domain);
	for (size_t i = 0; i < n; i++) {
		const struct key_entry *e = keys_at(env->keys, first + i);
		active[keys_algorithm(e)] |= e->state == KEY_ACTIVE;
		if (e->state == KEY_WAITING)
			waiting[keys_algorithm(e)] = e;
	}
	for (int a = 0; a < DKIM_ALGORITHM__COUNT && !said; a++)
		if (active[a])
			want(m, (enum dkim_algorithm)a);
	if (m->n == 0)
		return err_param(err, ERR_STATE, "domain",
				 "%.100s has no active key; weir dkim add %.100s makes one",
				 m->domain, m->domain);
	for (size_t i = 0; i < m->n; i++)
		if (waiting[m->want[i]] != NULL)
			return err_param(
				err, ERR_EXISTS, "domain",
				"%s waits already; weir dkim activate goes on with it, weir "
				"dkim remove ends it",
				waiting[m->want[i]]->id);
	return 0;
}

void ctl_dkim_rotate(struct ctl_call *call)
{
	const char *algorithm = ctl_str(call, "algorithm");
	struct making *m = making_new(call);
	struct err err = ERR_INIT;
	m->state = KEY_WAITING;
	if (algorithm != NULL)
		want_named(m, algorithm);
	if (rotate_what(ctl_env(call), m, algorithm != NULL, &err) < 0) {
		ctl_fail(call, &err);
		making_free(m);
		return;
	}
	m->named = m->n > 1;
	make(call, m);
}

/* --- states ----------------------------------------------------------------------------------- */

/* Changes states of all keys of a domain: those that are meant sign, those in their place do not.
 * The number of keys that begin to sign, or an error. */
static int activate(struct op *op, const char *domain, const char *selector, struct err *err)
{
	const struct keys *k = op->env->keys;
	bool begins[DKIM_ALGORITHM__COUNT] = { false };
	size_t first, n = keys_of(k, str_of(domain), &first);
	int count = 0;
	int rc = 0;
	for (size_t i = 0; i < n && rc >= 0; i++) {
		const struct key_entry *e = keys_at(k, first + i);
		bool meant = selector != NULL ? str_eq_nocase(str_of(selector), str_of(e->selector))
					      : e->state == KEY_WAITING;
		if (!meant || e->state == KEY_ACTIVE)
			continue;
		begins[keys_algorithm(e)] = true;
		count++;
		rc = op_lock(op, KEYS_KIND, e->id, err);
		change_state(op, e, KEY_ACTIVE);
	}
	for (size_t i = 0; i < n && rc >= 0; i++) {
		const struct key_entry *e = keys_at(k, first + i);
		if (e->state != KEY_ACTIVE || !begins[keys_algorithm(e)])
			continue;
		rc = op_lock(op, KEYS_KIND, e->id, err);
		change_state(op, e, KEY_RETIRED);
	}
	return rc < 0 ? rc : count;
}

void ctl_dkim_activate(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *domain = ctl_str(call, "domain");
	const char *selector = ctl_str(call, "selector");
	struct err err = ERR_INIT;
	struct op *op;
	size_t first;
	int rc;
	if (keys_of(env->keys, str_of(domain), &first) == 0) {
		(void)refuse_unknown(env, "domain", domain, &err);
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, keys_at(env->keys, first)->domain);
	op_begin(op, true);
	rc = activate(op, domain, selector, &err);
	if (rc == 0)
		rc = selector != NULL
			     ? err_param(&err, ERR_STATE, "selector",
					 "%.80s is no key of %.100s that does not sign yet",
					 selector, domain)
			     : err_param(&err, ERR_STATE, "domain",
					 "%.100s has no waiting key; weir dkim rotate "
					 "%.100s makes one",
					 domain, domain);
	if (rc < 0)
		op_fail(op, &err);
	else
		rule_store(op);
}

/* Mail would go unsigned from now on. */
static void warn_of_last(struct op *op, const struct key_entry *e)
{
	size_t first, active = 0;
	size_t n = keys_of(op->env->keys, str_of(e->domain), &first);
	for (size_t i = 0; i < n; i++)
		active += keys_at(op->env->keys, first + i)->state == KEY_ACTIVE;
	if (e->state == KEY_ACTIVE && active == 1)
		rule_warn(op, xasprintf("it was the only active key: mail of %s is not signed with "
					"a key of its own any more",
					e->domain));
}

static struct op *key_op(struct ctl_call *call, const struct key_entry **ret_e)
{
	const struct ctl_env *env = ctl_env(call);
	const char *id = ctl_str(call, "id");
	const struct key_entry *e = keys_find(env->keys, str_of(id));
	struct err err = ERR_INIT;
	struct op *op;
	if (e == NULL) {
		(void)refuse_unknown(env, "id", id, &err);
		ctl_fail(call, &err);
		return NULL;
	}
	op = rule_op(call, e->id);
	if (op_lock(op, KEYS_KIND, e->id, &err) < 0) {
		op_fail(op, &err);
		return NULL;
	}
	op_begin(op, true);
	*ret_e = e;
	return op;
}

void ctl_dkim_retire(struct ctl_call *call)
{
	const struct key_entry *e = NULL;
	struct op *op = key_op(call, &e);
	struct err err = ERR_INIT;
	if (op == NULL)
		return;
	if (e->state == KEY_RETIRED) {
		(void)err_param(&err, ERR_STATE, "id", "%s is retired already", e->id);
		op_fail(op, &err);
		return;
	}
	warn_of_last(op, e);
	change_state(op, e, KEY_RETIRED);
	rule_store(op);
}

void ctl_dkim_remove(struct ctl_call *call)
{
	const struct key_entry *e = NULL;
	struct op *op = key_op(call, &e);
	if (op == NULL)
		return;
	warn_of_last(op, e);
	op_object(op, KEYS_KIND, e->id, keys_json(e), NULL);
	rule_store(op);
}
