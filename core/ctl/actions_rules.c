/*
 * Changes of the routes, and what all have in common that change objects without a set: in force
 * when they are on disk.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

/* What a route cannot ask for: it is decided before the first attempt, and not again. */
#define NOT_FOR_ROUTES                                                                             \
	(1u << FILTER_STATE | 1u << FILTER_CODE | 1u << FILTER_ENHANCED | 1u << FILTER_CLASS |     \
	 1u << FILTER_TEXT | 1u << FILTER_AGE | 1u << FILTER_NEXT | 1u << FILTER_ATTEMPTS)

void rule_refused(struct op *op)
{
	op_fail(op, &op->err);
}

void rule_in_force(struct op *op)
{
	objects_apply(op);
	op_marks(op, op_answer);
}

struct op *rule_op(struct ctl_call *call, const char *name)
{
	struct ctl_env *env = ctl_env(call);
	struct op *op = op_new(env->actions, call, ctl_method(call));
	op_name(op, name);
	ctl_about(call, op->method, name);
	return op;
}

void rule_store_then(struct op *op, op_fn *then)
{
	json_t *more = json_incref(op->result);
	op_result(op, 0, 0);
	if (more != NULL)
		(void)json_object_update(op->result, more);
	json_decref(more);
	op_commit(op, then, rule_refused);
}

void rule_store(struct op *op)
{
	rule_store_then(op, rule_in_force);
}

static char *text_of(const char *s)
{
	return xstrdup(s != NULL ? s : "");
}

void rule_warn(struct op *op, char *text_take)
{
	json_t *list;
	if (op->result == NULL)
		op->result = json_object();
	if (json_object_get(op->result, "warnings") == NULL)
		(void)json_object_set_new(op->result, "warnings", json_array());
	list = json_object_get(op->result, "warnings");
	(void)json_array_append_new(list, json_text(str_of(text_take)));
	free(text_take);
}

/* --- routes ----------------------------------------------------------------------------------- */

static json_t *with_place(const json_t *route, double place)
{
	json_t *o = json_deep_copy(route);
	(void)json_object_set_new(o, "place", json_real(place));
	return o;
}

/* Where doubles have no room left between two places, all routes get new ones. */
static double renumber(struct op *op, const struct route *before, const struct route *self)
{
	const struct routes *r = op->env->routes;
	double place = (double)routes_n(r) + 1;
	for (size_t i = 0; i < routes_n(r); i++) {
		const struct route *x = routes_at(r, i);
		json_t *now;
		if (x == before)
			place = (double)i + 0.5;
		if (x == self)
			continue;
		now = routes_json(x);
		op_object(op, "route", x->id, now, with_place(now, (double)i + 1));
	}
	return place;
}

/* before NULL: behind all others. self: the route that moves, or NULL. */
static double place_for(struct op *op, const struct route *before, const struct route *self)
{
	const struct routes *r = op->env->routes;
	double place = routes_place(r, before);
	const struct route *prev = NULL;
	for (size_t i = 0; i < routes_n(r) && routes_at(r, i) != before; i++)
		prev = routes_at(r, i);
	if ((prev != NULL && !(prev->place < place)) ||
	    (before != NULL && !(place < before->place)))
		return renumber(op, before, self);
	return place;
}

int route_find(const struct ctl_call *call, const char *param, const struct route **ret,
	       struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *id = ctl_str(call, param);
	*ret = id != NULL ? routes_find(env->routes, str_of(id)) : NULL;
	if (id != NULL && strcmp(id, ROUTE_DEFAULT) == 0 && strcmp(param, "before") == 0)
		return 0; /* behind all others */
	if (id != NULL && strcmp(id, ROUTE_DEFAULT) == 0)
		return err_param(err, ERR_STATE, param,
				 "the default route stays where it is; a route that matches all "
				 "mail, in front of it, takes its place");
	if (id != NULL && *ret == NULL)
		return err_param(err, ERR_UNKNOWN, param,
				 "there is no route %.40s; weir route list has those there are",
				 id);
	return 0;
}

int route_check_match(const struct filter *match, struct err *err)
{
	uint32_t wrong = match != NULL ? filter_uses(match) & NOT_FOR_ROUTES : 0;
	for (int f = 0; f < FILTER__COUNT; f++)
		if ((wrong & 1u << f) != 0)
			return err_param(err, ERR_INVALID, "match",
					 "a route cannot depend on %s: it is chosen before a "
					 "message is tried",
					 filter_field_name((enum filter_field)f));
	return 0;
}

void route_password(const struct ctl_call *call, struct secret *ret)
{
	const char *text = ctl_str(call, "password");

	secret_set(ret,
		   str_from(text != NULL ? text : "", text != NULL ? strcspn(text, "\r\n") : 0));
}

static int route_check_demands(const struct ctl_call *call, const char *to, enum route_tls *ret_tls,
			       struct err *err)
{
	const char *tls = ctl_str(call, "tls");
	const char *user = ctl_str(call, "user");
	struct secret password = { .p = NULL };
	int rc;

	user = user != NULL ? user : "";
	*ret_tls = routes_default_tls(to, user);
	(void)route_tls_parse(str_of(tls), ret_tls);
	route_password(call, &password);
	rc = routes_check_demands(to, *ret_tls, user, password.p, err);
	secret_done(&password);
	return rc;
}

/* By the name that it is kept under; owned. */
static char *pool_param(const struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "pool");
	const struct pool *p = name != NULL ? pools_find(env->pools, str_of(name)) : NULL;

	return xstrdup(p != NULL ? p->id : "");
}

int route_check_pool(const char *to, const char *pool, struct err *err)
{
	if (*pool != '\0' && strchr(to, ':') == NULL && strcmp(to, "mx") != 0)
		return err_param(err, ERR_INVALID, "pool",
				 "a route to %s makes no connections, and none from the pool %.40s",
				 to, pool);
	return 0;
}

static json_t *new_route(const struct op *op, const char *to, enum route_tls tls, double place)
{
	AUTO_BUF match = BUF_INIT(FILTER_TEXT_MAX + 1);
	AUTO_FREE char *note = text_of(ctl_str(op->call, "note"));
	AUTO_FREE char *by = text_of(op->who->user);
	AUTO_FREE char *where = xstrdup(to);
	AUTO_FREE char *match_text = NULL;
	AUTO_FREE char *user = text_of(ctl_str(op->call, "user"));
	AUTO_FREE char *pool = pool_param(op->call);
	struct secret password = { .p = NULL };
	json_t *json;
	struct route x = { .number = (uint32_t)op->id,
			   .place = place,
			   .to = where,
			   .tls = tls,
			   .user = user,
			   .pool = pool,
			   .note = note,
			   .by = by,
			   .created_ms = op->at_ms };
	if (ctl_filter(op->call) != NULL)
		(void)filter_print(ctl_filter(op->call), &match);
	match_text = xstrdup(buf_cstr(&match));
	x.match_text = match_text;
	(void)snprintf(x.id, sizeof(x.id), "r%" PRIu32, x.number);
	route_password(op->call, &password);
	x.password = password.p;
	json = routes_json(&x);
	secret_done(&password);
	return json;
}

/* A route without a condition decides for all mail that comes to it. before: what it stands in
 * front of, or NULL. */
static void warn_of_catch_all(struct op *op, const char *to, const struct route *before,
			      const struct route *self)
{
	const struct routes *r = op->env->routes;
	const struct route *first = NULL;
	bool behind = false;
	size_t n = 0;
	for (size_t i = 0; before != NULL && i < routes_n(r); i++) {
		const struct route *x = routes_at(r, i);
		behind = behind || x == before;
		if (!behind || x == self)
			continue;
		first = first != NULL ? first : x;
		n++;
	}
	if (first != NULL)
		rule_warn(op, xasprintf("it matches all mail: %s%s behind it %s used for nothing "
					"any more",
					first->id, n > 1 ? " and the other routes" : ", the route",
					n > 1 ? "are" : "is"));
	else if (strcmp(to, "mx") != 0)
		rule_warn(op, xstrdup("it matches all mail that no route in front of it matches, "
				      "instead of the default route to the MX"));
}

static bool is_catch_all(const json_t *route)
{
	return route != NULL && json_get_str(route, "match")[0] == '\0';
}

void route_object(struct op *op, const char *id, const struct route *self, json_t *after_take,
		  const struct route *before)
{
	json_t *was = self != NULL ? routes_json(self) : NULL;

	/* one that stays what it was is no news */
	if (is_catch_all(after_take) &&
	    (!is_catch_all(was) ||
	     !json_equal(json_object_get(was, "place"), json_object_get(after_take, "place"))))
		warn_of_catch_all(op, json_get_str(after_take, "to"), before, self);
	op_object(op, "route", id, was, after_take);
}

/* The id that it is called by from now on is answered. */
void rule_answer_id(struct op *op, const char *id)
{
	if (op->result == NULL)
		op->result = json_object();
	(void)json_object_set_new(op->result, "id", json_string(id));
}

void ctl_route_add(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct route *before;
	struct err err = ERR_INIT;
	char to[ROUTE_HOP_MAX];
	enum route_tls tls = ROUTE_TLS_OPPORTUNISTIC;
	struct op *op;
	json_t *route;
	char id[16];
	int rc = routes_parse_to(str_of(ctl_str(call, "to")), to, &err);
	if (rc < 0)
		(void)snprintf(err.param, sizeof(err.param), "to");
	if (rc >= 0)
		rc = route_check_demands(call, to, &tls, &err);
	if (rc >= 0)
		rc = pool_check_name(env, "pool", ctl_str(call, "pool"), &err);
	if (rc >= 0 && ctl_str(call, "pool") != NULL)
		rc = route_check_pool(to, ctl_str(call, "pool"), &err);
	if (rc >= 0)
		rc = route_check_match(ctl_filter(call), &err);
	if (rc >= 0)
		rc = route_find(call, "before", &before, &err);
	if (rc >= 0 && routes_n(env->routes) >= ROUTES_MAX)
		rc = err_set(&err, ERR_LIMIT, "there are %d routes already", ROUTES_MAX);
	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, to);
	op_begin(op, true);
	if (ctl_str(call, "before") == NULL && routes_n(env->routes) > 0)
		before = routes_at(env->routes, 0);
	(void)snprintf(id, sizeof(id), "r%" PRIu32, (uint32_t)op->id);
	route = new_route(op, to, tls, place_for(op, before, NULL));
	rule_answer_id(op, id);
	route_object(op, id, NULL, route, before);
	rule_store(op);
}

static void route_change(struct ctl_call *call, bool remove)
{
	const struct route *x;
	const struct route *before = NULL;
	struct err err = ERR_INIT;
	struct op *op;
	json_t *now;
	int rc = route_find(call, "id", &x, &err);
	if (rc >= 0 && !remove)
		rc = route_find(call, "before", &before, &err);
	if (rc >= 0 && before == x && !remove)
		rc = err_param(&err, ERR_INVALID, "before", "a route cannot stand before itself");
	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, x->id);
	if (op_lock(op, "route", x->id, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	now = routes_json(x);
	route_object(op, x->id, x, remove ? NULL : with_place(now, place_for(op, before, x)),
		     before);
	json_decref(now);
	rule_store(op);
}

void ctl_route_remove(struct ctl_call *call)
{
	route_change(call, true);
}

void ctl_route_move(struct ctl_call *call)
{
	route_change(call, false);
}
