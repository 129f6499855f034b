/* route.set: a route that stays where it stands, and says something else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

static int put_match(const struct ctl_call *call, json_t *o, struct err *err)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX + 1);

	if (ctl_str(call, "match") != NULL && str_trim(str_of(ctl_str(call, "match"))).n == 0)
		(void)json_object_set_new(o, "match", json_string("")); /* all mail */
	if (ctl_filter(call) == NULL)
		return 0;
	if (route_check_match(ctl_filter(call), err) < 0)
		return -ERR_INVALID;
	(void)filter_print(ctl_filter(call), &text);
	(void)json_object_set_new(o, "match", json_text(buf_str(&text)));
	return 0;
}

static int put_to(const struct ctl_call *call, json_t *o, struct err *err)
{
	const char *text = ctl_str(call, "to");
	char to[ROUTE_HOP_MAX];
	int rc = 0;

	if (text == NULL)
		return 0;
	rc = routes_parse_to(str_of(text), to, err);
	if (rc < 0 && err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "to");
	if (rc >= 0)
		(void)json_object_set_new(o, "to", json_string(to));
	return rc;
}

/* What a route demands without being told follows from where it goes and its login: another login
 * or another host has its own. */
static void put_default_tls(const struct ctl_call *call, const struct route *was, json_t *o)
{
	enum route_tls tls = routes_default_tls(json_get_str(o, "to"), json_get_str(o, "user"));

	if (ctl_str(call, "tls") == NULL && was->tls == routes_default_tls(was->to, was->user))
		(void)json_object_set_new(o, "tls", json_string(route_tls_name(tls)));
}

static void put_texts(const struct ctl_call *call, json_t *o)
{
	static const char *const names[] = { "tls", "user", "note" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (ctl_str(call, names[i]) != NULL)
			(void)json_object_set_new(o, names[i],
						  json_text(str_of(ctl_str(call, names[i]))));
}

/* What it is to be, or the one that it has, at where it goes now. */
static int put_pool(const struct ctl_call *call, json_t *o, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "pool");
	const struct pool *p = name != NULL ? pools_find(env->pools, str_of(name)) : NULL;
	int rc = pool_check_name(env, "pool", name, err);

	if (p != NULL)
		(void)json_object_set_new(o, "pool", json_string(p->id));
	else if (name != NULL)
		(void)json_object_del(o, "pool");
	return rc >= 0 ? route_check_pool(json_get_str(o, "to"), json_get_str(o, "pool"), err) : rc;
}

/* It stays for the same login at the same host; one that an import left without may stay so. */
static int put_password(const struct ctl_call *call, const struct route *was, json_t *o,
			struct err *err)
{
	const char *to = json_get_str(o, "to");
	const char *user = json_get_str(o, "user");
	bool same = strcmp(to, was->to) == 0 && strcmp(user, was->user) == 0;
	bool given = ctl_str(call, "password") != NULL;
	struct secret password = { .p = NULL };
	enum route_tls tls = ROUTE_TLS_OPPORTUNISTIC;
	const char *check;
	int rc;

	route_password(call, &password);
	(void)route_tls_parse(str_of(json_get_str(o, "tls")), &tls);
	check = given ? password.p : same && *user != '\0' ? "?" : "";
	rc = routes_check_demands(to, tls, user, check, err);
	if (rc >= 0 && (given || !same))
		(void)json_object_set_new(o, "password", json_string(given ? password.p : ""));
	secret_done(&password);
	return rc;
}

static const struct route *behind(const struct ctl_env *env, const struct route *x)
{
	for (size_t i = 0; i + 1 < routes_n(env->routes); i++)
		if (routes_at(env->routes, i) == x)
			return routes_at(env->routes, i + 1);
	return NULL;
}

void ctl_route_set(struct ctl_call *call)
{
	const struct route *x = NULL;
	struct err err = ERR_INIT;
	json_t *o = NULL;
	struct op *op;
	int rc = route_find(call, "id", &x, &err);

	if (rc >= 0) {
		o = routes_json(x);
		rc = put_to(call, o, &err);
	}
	if (rc >= 0)
		rc = put_match(call, o, &err);
	if (rc >= 0)
		rc = put_pool(call, o, &err);
	if (rc >= 0) {
		put_texts(call, o);
		put_default_tls(call, x, o);
		rc = put_password(call, x, o, &err);
	}
	if (rc < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, x->id);
	if (op_lock(op, "route", x->id, &err) < 0) {
		json_decref(o);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	route_object(op, x->id, x, o, behind(ctl_env(call), x));
	rule_store(op);
}
