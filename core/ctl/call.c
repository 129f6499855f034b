/*
 * From a line to its handler and back. What the table says is checked here, once: permission,
 * parameters, and the grammars that proto does not know (filters, targets, message ids). Changes
 * that come a second time, because the first answer got lost with its connection, are answered from
 * the journal; when the first is still under way they wait for its answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/ctl_int.h"

#define LINGER_MS 500

static const json_t *param(const struct ctl_call *call, const char *name)
{
	const json_t *v = json_object_get(call->msg.params, name);

	return json_is_null(v) ? NULL : v;
}

const json_t *ctl_json(const struct ctl_call *call, const char *name)
{
	return param(call, name);
}

const char *ctl_str(const struct ctl_call *call, const char *name)
{
	return json_string_value(param(call, name));
}

int64_t ctl_int(const struct ctl_call *call, const char *name, int64_t otherwise)
{
	const json_t *v = param(call, name);

	return v != NULL ? json_integer_value(v) : otherwise;
}

bool ctl_bool(const struct ctl_call *call, const char *name)
{
	return json_is_true(param(call, name));
}

int64_t ctl_age(const struct ctl_call *call, const char *name)
{
	int64_t s = 0;

	return proto_age(param(call, name), &s) ? s : 0;
}

const struct filter *ctl_filter(const struct ctl_call *call)
{
	return call->filter;
}

const struct target *ctl_target(const struct ctl_call *call)
{
	return call->target.filter != NULL ? &call->target : NULL;
}

struct msgid ctl_msgid(const struct ctl_call *call)
{
	return call->msgid;
}

void *ctl_env(const struct ctl_call *call)
{
	return call->ctl->env;
}

struct ctl *ctl_of(const struct ctl_call *call)
{
	return call->ctl;
}

const struct ctl_caller *ctl_who(const struct ctl_call *call)
{
	return &call->who;
}

uint64_t ctl_conn_id(const struct ctl_call *call)
{
	return call->conn;
}

bool ctl_is_gone(const struct ctl_call *call)
{
	return ctl_conn_find(call->ctl, call->conn) == NULL;
}

const struct method_def *ctl_method(const struct ctl_call *call)
{
	return call->as != NULL ? call->as : call->method;
}

enum ctl_acting ctl_acting(const struct ctl_call *call)
{
	return call->acting;
}

ctl_handler_fn *ctl_handler(const struct ctl_call *call, const struct method_def *m)
{
	return call->ctl->services->handlers[m - method_defs];
}

json_t *ctl_params(const struct ctl_call *call)
{
	json_t *copy = json_object();

	if (call->msg.params != NULL)
		(void)json_object_update(copy, (json_t *)(uintptr_t)call->msg.params);
	(void)json_object_del(copy, "reason");
	(void)json_object_del(copy, "request");
	return copy;
}

void ctl_about(struct ctl_call *call, const struct method_def *method, const char *target)
{
	call->about = method;
	free(call->about_target);
	call->about_target = xstrdup(target);
}

/* ---- answering ---- */

void ctl_call_free(struct ctl_call **cp)
{
	struct ctl_call *call = *cp;

	*cp = NULL;
	LIST_REMOVE(call, link);
	proto_msg_done(&call->msg);
	filter_free(&call->filter);
	target_done(&call->target);
	free(call->about_target);
	json_decref(call->as_params);
	call->magic = 0;
	free(call);
}

static void run(struct ctl_conn *conn, struct ctl_call *call)
{
	call->waits = (call->method->flags & MF_LIST) != 0 && conn->lists >= CTL_LISTS_MAX;
	if (call->waits)
		return;
	conn->lists += (call->method->flags & MF_LIST) != 0;
	call->runs = true;
	conn->ctl->services->handlers[call->method - method_defs](call);
}

/* The call that waits longest, when there is room for one. */
static void run_waiting(struct ctl_conn *conn)
{
	struct ctl_call *call, *first = NULL;

	if (conn->lists >= CTL_LISTS_MAX)
		return;
	LIST_FOREACH (call, &conn->ctl->calls, link)
		if (call->waits && call->conn == conn->id)
			first = call; /* new ones stand in front */
	if (first != NULL)
		run(conn, first);
}

void ctl_calls_drop(struct ctl_conn *conn)
{
	struct ctl_call *call, *next;

	for (call = LIST_FIRST(&conn->ctl->calls); call != NULL; call = next) {
		next = LIST_NEXT(call, link);
		if (call->waits && call->conn == conn->id)
			ctl_call_free(&call);
	}
}

static void finish(struct ctl_call *call, struct str line)
{
	struct ctl_conn *conn = ctl_conn_find(call->ctl, call->conn);
	bool list = call->runs && (call->method->flags & MF_LIST) != 0;

	ctl_call_free(&call);
	if (conn == NULL)
		return;
	conn->calls--;
	conn->lists -= list;
	ctl_send(conn, line);
	if (conn->ended && conn->calls == 0)
		stream_close(conn->stream, 0);
	else
		run_waiting(conn);
}

/* Whether a parameter's text may stand in logs. */
static bool is_shown(enum param_type type)
{
	switch (type) {
	case T_STRING:
	case T_TIME:
	case T_ENUM:
	case T_FILTER:
	case T_AUDIT_FILTER:
	case T_TARGET:
	case T_MSGID:
	case T_NETWORK:
	case T_ROUTE:
		return true;
	case T_BOOL:
	case T_INT:
	case T_AGE:
	case T_FILE:
	case T_CURSOR:
	case T_STRINGS:
	case T_OBJECT:
	case T__COUNT:
		return false;
	}
	return false;
}

/* What was it done to: what the handler said, else the first parameter that must be there. */
static const char *change_target(const struct ctl_call *call)
{
	const struct param_def *p = call->method->params;

	if (call->about_target != NULL)
		return call->about_target;
	if (call->target.canonical != NULL)
		return call->target.canonical;
	for (size_t i = 0; i < PROTO_PARAMS_MAX && p[i].name != NULL; i++)
		if (p[i].required && is_shown(p[i].type) && ctl_str(call, p[i].name) != NULL)
			return ctl_str(call, p[i].name);
	return "";
}

static bool is_change(const struct ctl_call *call)
{
	return call->method != NULL && (call->method->flags & MF_MUTATES) != 0;
}

/* Actions are in the audit log with their transaction; here is what is no action. */
static void audit_change(const struct ctl_call *call, const struct err *err)
{
	const struct ctl_services *services = call->ctl->services;
	const char *reason = ctl_str(call, "reason");
	const struct ctl_change change = {
		.method = call->about != NULL ? call->about : call->method,
		.target = change_target(call),
		.reason = reason != NULL ? reason : "",
		.err = err,
	};

	if (services->audit != NULL)
		services->audit(call->ctl->env, &call->who, &change);
}

static void log_change(const struct ctl_call *call, const json_t *result, const struct err *err)
{
	const struct method_def *m = call->about != NULL ? call->about : call->method;
	const char *reason = ctl_str(call, "reason");
	const char *action = json_string_value(json_object_get(result, "action"));

	if (!is_change(call))
		return;
	log_info(call->who.user, "ctl.change", F_STR("method", m->name),
		 F_STR("target", change_target(call)),
		 F_STR("reason", reason != NULL ? reason : ""),
		 F_STR("action", action != NULL ? action : ""),
		 F_I64("recipients", json_integer_value(json_object_get(result, "recipients"))),
		 F_STR("error", err != NULL ? err->msg : ""));
	if (action == NULL)
		audit_change(call, err);
}

/* Before a handler had it: anybody can cause these, so not all are logged. */
static void log_refusal(struct ctl_call *call, const struct err *err)
{
	if (call->method == NULL && call->msg.method != NULL)
		call->method = method_find(call->msg.method);
	if (!is_change(call))
		return;
	if (log_limited_at(LOG_LEVEL_INFO, "ctl.refused-change"))
		log_info(call->who.user, "ctl.refused-change", F_STR("method", call->method->name),
			 F_STR("error", err->msg));
	audit_change(call, err);
}

static int refuse_large(struct err *err)
{
	return err_set(err, ERR_LIMIT, "the answer is larger than %u bytes; ask for fewer rows",
		       PROTO_RESPONSE_MAX);
}

static void answer(struct ctl_call *call, const json_t *result, const struct err *err)
{
	AUTO_BUF b = BUF_INIT(PROTO_RESPONSE_MAX);
	struct err too_large = ERR_INIT;

	if (err == NULL && !proto_put_result(&b, call->id, result)) {
		buf_reset(&b);
		(void)refuse_large(&too_large);
		err = &too_large;
	}
	if (err != NULL)
		(void)proto_put_error(&b, call->id, err);
	finish(call, buf_str(&b));
}

static struct ctl_call *follower(const struct ctl_call *leader)
{
	struct ctl_call *call;

	LIST_FOREACH (call, &leader->ctl->calls, link)
		if (call->leader == leader)
			return call;
	return NULL;
}

static void answer_all(struct ctl_call *call, const json_t *result, const struct err *err)
{
	struct ctl_call *second;

	log_change(call, result, err);
	while ((second = follower(call)) != NULL)
		answer(second, result, err);
	answer(call, result, err);
}

void ctl_reply(struct ctl_call *call, json_t *result_take)
{
	struct ctl_call *live = OBJ(ctl_call, CTL_CALL_MAGIC, call);

	answer_all(live, result_take, NULL);
	json_decref(result_take);
}

void ctl_reply_text(struct ctl_call *call, struct str result)
{
	struct ctl_call *live = OBJ(ctl_call, CTL_CALL_MAGIC, call);
	AUTO_BUF b = BUF_INIT(PROTO_RESPONSE_MAX);
	struct err err = ERR_INIT;

	ASSERT(!is_change(live));
	if (proto_put_result_text(&b, live->id, result)) {
		finish(live, buf_str(&b));
		return;
	}
	(void)refuse_large(&err);
	answer(live, NULL, &err);
}

void ctl_fail(struct ctl_call *call, const struct err *err)
{
	answer_all(OBJ(ctl_call, CTL_CALL_MAGIC, call), NULL, err);
}

/* ---- checking ---- */

static int parse_filter(struct ctl_call *call, enum filter_about about, struct str text,
			struct err *err)
{
	filter_free(&call->filter);
	call->filter = filter_parse_about(about, text, err);
	return call->filter != NULL ? 0 : -err->code;
}

/* Questions may name a message by its id alone; what acts on mail says id:ID. */
static int parse_target(struct ctl_call *call, struct str text, struct err *err)
{
	AUTO_FREE char *with_field = NULL;
	struct msgid id;
	unsigned n;

	if ((ctl_method(call)->flags & MF_MUTATES) == 0 &&
	    msgid_parse_rcpt(str_trim(text), &id, &n)) {
		with_field = xasprintf("id:%.*s", STR_ARG(str_trim(text)));
		text = str_of(with_field);
	}
	target_done(&call->target);
	return target_parse(text, &call->target, err);
}

static int parse_id(struct ctl_call *call, struct str text, struct err *err)
{
	unsigned n;

	if (msgid_parse_rcpt(str_trim(text), &call->msgid, &n))
		return 0;
	return err_set(err, ERR_INVALID,
		       "a message id has ten letters and digits, such as 0N4XK2M8QF");
}

static int parse_values(struct ctl_call *call, struct err *err)
{
	const struct method_def *m = ctl_method(call);

	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		const struct param_def *p = &m->params[i];
		const char *text = ctl_str(call, p->name);
		int rc = 0;

		if (text == NULL)
			continue;
		if (p->type == T_FILTER)
			rc = parse_filter(call, FILTER_MAIL, str_of(text), err);
		else if (p->type == T_AUDIT_FILTER)
			rc = parse_filter(call, FILTER_AUDIT, str_of(text), err);
		else if (p->type == T_TARGET)
			rc = parse_target(call, str_of(text), err);
		else if (p->type == T_MSGID)
			rc = parse_id(call, str_of(text), err);
		if (rc < 0) {
			(void)snprintf(err->param, sizeof(err->param), "%s", p->name);
			return rc;
		}
	}
	return 0;
}

int ctl_act(struct ctl_call *call, const struct method_def *m, json_t *params_take,
	    enum ctl_acting acting, struct err *err)
{
	json_decref(call->as_params);
	call->as = m;
	call->as_params = params_take;
	call->msg.params = params_take;
	call->acting = acting;
	return parse_values(call, err);
}

static int count_calls(const struct ctl_conn *conn, struct err *err)
{
	const struct ctl_call *call;
	unsigned same = 0;

	if (conn->calls >= PROTO_CALLS_MAX)
		return err_set(err, ERR_LIMIT, "%d calls are under way on this connection already",
			       PROTO_CALLS_MAX);
	LIST_FOREACH (call, &conn->ctl->calls, link)
		same += call->who.uid == conn->who.uid;
	if (same >= CTL_CALLS_UID)
		return err_set(err, ERR_LIMIT, "%d calls of this account are under way already",
			       CTL_CALLS_UID);
	return 0;
}

static int check(struct ctl_conn *conn, struct ctl_call *call, struct err *err)
{
	const struct method_def *m;
	int rc = method_get(call->msg.method, &call->method, err);

	if (rc < 0)
		return rc;
	m = call->method;
	if (conn->who.role < m->role)
		return err_set(err, ERR_DENIED, "%s needs the role %s; %s is %s", m->name,
			       access_name(m->role), conn->who.user, access_name(conn->who.role));
	rc = method_check(m, call->msg.params, err);
	return rc < 0 ? rc : parse_values(call, err);
}

/* ---- dispatch ---- */

static struct ctl_call *same_request(const struct ctl_call *call)
{
	struct ctl_call *other;

	LIST_FOREACH (other, &call->ctl->calls, link)
		if (other != call && other->request != NULL && other->leader == NULL &&
		    other->who.uid == call->who.uid && strcmp(other->request, call->request) == 0)
			return other;
	return NULL;
}

/* True when the change was answered from what is known of its request id, or waits for it. */
static bool answered_before(struct ctl_call *call)
{
	json_t *result = NULL;
	struct err err = ERR_INIT;
	struct ctl_call *same;
	int rc = 0;

	if ((call->method->flags & MF_MUTATES) == 0)
		return false;
	call->request = ctl_str(call, "request");
	if (call->request == NULL)
		return false;
	same = same_request(call);
	if (same != NULL && same->method == call->method &&
	    json_equal(same->msg.params, call->msg.params)) {
		call->leader = same;
		return true;
	}
	if (same != NULL)
		rc = err_param(&err, ERR_CONFLICT, "request",
			       "this request id is that of another change that is under way (%s); "
			       "each change needs its own",
			       same->method->name);
	else if (call->ctl->services->replay != NULL)
		rc = call->ctl->services->replay(call->ctl->env, call, &result, &err);
	if (rc == 0)
		return false;
	if (rc < 0)
		log_refusal(call, &err);
	answer(call, result, rc < 0 ? &err : NULL);
	json_decref(result);
	return true;
}

static void dispatch(struct ctl_conn *conn, struct proto_msg *msg)
{
	struct ctl_call *call = xcalloc(1, sizeof(*call));
	struct err err = ERR_INIT;
	int rc = count_calls(conn, &err);

	call->magic = CTL_CALL_MAGIC;
	call->ctl = conn->ctl;
	call->conn = conn->id;
	call->id = msg->id;
	call->msg = *msg;
	call->who = conn->who;
	call->target = TARGET_INIT;
	LIST_INSERT_HEAD(&conn->ctl->calls, call, link);
	conn->calls++;
	if (rc >= 0)
		rc = check(conn, call, &err);
	if (rc < 0) {
		log_refusal(call, &err);
		answer(call, NULL, &err);
		return;
	}
	if (!answered_before(call))
		run(conn, call);
}

static void garbage(struct ctl_conn *conn, uint64_t id, const struct err *err)
{
	struct err last = ERR_INIT;

	ctl_send_error(conn, id, err);
	if (++conn->garbage < CTL_GARBAGE_MAX)
		return;
	(void)err_set(&last, ERR_FRAME, "%d lines were not requests; goodbye", CTL_GARBAGE_MAX);
	ctl_send_error(conn, 0, &last);
	stream_close(conn->stream, LINGER_MS);
}

void ctl_take_line(struct ctl_conn *conn, struct str line)
{
	struct proto_msg msg;
	struct err err = ERR_INIT;

	if (proto_parse(line, &msg, &err) < 0) {
		garbage(conn, msg.id, &err);
		return;
	}
	if (msg.method == NULL || !msg.has_id) {
		(void)err_set(&err, ERR_FRAME, "a request has a method and a number as id");
		garbage(conn, msg.id, &err);
		proto_msg_done(&msg);
		return;
	}
	dispatch(conn, &msg);
}

/* ---- the server's own methods ---- */

void ctl_ping(struct ctl_call *call)
{
	char now[FMT_TIME_LEN];

	fmt_time(loop_wall_ms(call->ctl->loop), now);
	ctl_reply(call, json_pack("{s:s}", "now_at", now));
}

void ctl_method_list(struct ctl_call *call)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < M__COUNT; i++)
		if (method_defs[i].role <= call->who.role)
			(void)json_array_append_new(
				rows, json_pack("{s:s, s:s, s:s}", "name", method_defs[i].name,
						"role", access_name(method_defs[i].role), "summary",
						method_defs[i].summary));
	ctl_reply(call, json_pack("{s:o, s:n, s:n, s:I, s:b}", "rows", rows, "next", "prev",
				  "total", (json_int_t)json_array_size(rows), "exact", 1));
}
