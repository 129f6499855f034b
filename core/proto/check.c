/*
 * Parameters against the table. One function a type; each says what would have been right.
 */
#include <inttypes.h>
#include <string.h>

#include "base/fmt.h"
#include "base/ipnet.h"
#include "base/mem.h"
#include "proto/proto.h"

#define NEAR_MAX 2 /* edits between a name and what was meant */
#define SHOWN 60   /* bytes of a wrong value that are repeated */

static bool is_near(const char *typed, const char *name)
{
	unsigned max = strlen(typed) > 3 ? NEAR_MAX : 1;

	return str_distance(str_of(typed), str_of(name)) <= max;
}

int method_get(const char *name, const struct method_def **ret_m, struct err *err)
{
	const struct method_def *m = method_find(name);
	const char *near = NULL;

	if (m != NULL) {
		*ret_m = m;
		return 0;
	}
	for (size_t i = 0; i < M__COUNT && near == NULL; i++)
		if (is_near(name, method_defs[i].name))
			near = method_defs[i].name;
	if (near != NULL)
		return err_set(err, ERR_METHOD, "no method \"%.*s\"; did you mean %s?", SHOWN, name,
			       near);
	return err_set(err, ERR_METHOD, "no method \"%.*s\"; method.list names them", SHOWN, name);
}

static int unknown_param(const struct method_def *m, const char *name, struct err *err)
{
	AUTO_BUF all = BUF_INIT(300);
	const struct param_def *p;

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		if (is_near(name, p->name))
			return err_param(err, ERR_INVALID, name,
					 "unknown parameter \"%.*s\" of %s; did you mean %s?",
					 SHOWN, name, m->name, p->name);
		(void)buf_printf(&all, "%s%s", i > 0 ? ", " : "", p->name);
	}
	if (all.n == 0)
		return err_param(err, ERR_INVALID, name,
				 "unknown parameter \"%.*s\": %s takes none", SHOWN, name, m->name);
	return err_param(err, ERR_INVALID, name, "unknown parameter \"%.*s\" of %s, which takes %s",
			 SHOWN, name, m->name, buf_cstr(&all));
}

/* ---- one value ---- */

static int misfit(const struct param_def *p, const char *wanted, struct err *err)
{
	return err_param(err, ERR_INVALID, p->name, "%s must be %s", p->name, wanted);
}

size_t param_bytes(const struct param_def *p)
{
	return p->type == T_FILE && p->max > 0 ? (size_t)p->max : PROTO_STRING_MAX;
}

static int check_text(const struct param_def *p, const json_t *v, struct err *err)
{
	if (!json_is_string(v))
		return misfit(p, "a string", err);
	if (json_string_length(v) > param_bytes(p))
		return err_param(err, ERR_LIMIT, p->name, "%s has at most %zu bytes", p->name,
				 param_bytes(p));
	return 0;
}

static int check_range(const struct param_def *p, int64_t n, struct err *err)
{
	if (n < p->min || n > p->max)
		return err_param(err, ERR_INVALID, p->name,
				 "%s must be from %" PRId64 " to %" PRId64, p->name, p->min,
				 p->max);
	return 0;
}

static int check_int(const struct param_def *p, const json_t *v, struct err *err)
{
	if (!json_is_integer(v))
		return misfit(p, "a whole number", err);
	return check_range(p, json_integer_value(v), err);
}

bool proto_age(const json_t *value, int64_t *ret_s)
{
	if (json_is_integer(value)) {
		*ret_s = json_integer_value(value);
		return true;
	}
	return json_is_string(value) &&
	       fmt_parse_age(str_from(json_string_value(value), json_string_length(value)), ret_s);
}

static int check_age(const struct param_def *p, const json_t *v, struct err *err)
{
	char shortest[FMT_SHORT_LEN];
	char longest[FMT_SHORT_LEN];
	int64_t s;

	if (!proto_age(v, &s))
		return misfit(p, "seconds, or an age such as \"90s\", \"2h\" or \"3d\"", err);
	if (s >= p->min && s <= p->max)
		return 0;
	fmt_age(p->min, shortest);
	fmt_age(p->max, longest);
	return err_param(err, ERR_INVALID, p->name, "%s must be from %s to %s", p->name, shortest,
			 longest);
}

static int check_time(const struct param_def *p, const json_t *v, struct err *err)
{
	int64_t ms;

	if (!json_is_string(v) || !fmt_parse_time(str_of(json_string_value(v)), &ms))
		return misfit(p, "a time such as \"2026-11-24T03:12:07Z\"", err);
	return 0;
}

static int check_enum(const struct param_def *p, const json_t *v, struct err *err)
{
	const char *text = json_string_value(v);
	struct str rest = str_of(p->choices);
	struct str choice;

	if (text == NULL)
		return err_param(err, ERR_INVALID, p->name, "%s must be one of %s", p->name,
				 p->choices);
	while (rest.n > 0) {
		choice = str_cut(&rest, '|');
		if (str_eq(choice, str_of(text)))
			return 0;
	}
	rest = str_of(p->choices);
	while (rest.n > 0) {
		choice = str_cut(&rest, '|');
		if (str_distance(choice, str_of(text)) <= NEAR_MAX)
			return err_param(err, ERR_INVALID, p->name,
					 "%s cannot be \"%.*s\"; did you mean %.*s?", p->name,
					 SHOWN, text, STR_ARG(choice));
	}
	return err_param(err, ERR_INVALID, p->name, "%s cannot be \"%.*s\"; it is one of %s",
			 p->name, SHOWN, text, p->choices);
}

static int check_network(const struct param_def *p, const json_t *v, struct err *err)
{
	struct err why = ERR_INIT;
	struct ipnet net;
	int rc = check_text(p, v, err);

	if (rc < 0)
		return rc;
	if (ipnet_parse(str_of(json_string_value(v)), &net, &why) < 0)
		return err_param(err, ERR_INVALID, p->name, "%s cannot be \"%.*s\": %s", p->name,
				 SHOWN, json_string_value(v), why.msg);
	return 0;
}

/* "HOST[:PORT]" with an address in brackets when it is v6; what the host is, routing decides. */
static bool is_host_port(struct str s)
{
	uint64_t port;
	struct str host = s;
	struct str tail = STR("");
	ptrdiff_t at = s.n > 0 && s.p[0] == '[' ? str_index(s, ']') : str_index(s, ':');

	if (s.n > 0 && s.p[0] == '[') {
		struct ipaddr a;
		if (at < 0 || !ipaddr_parse(str_from(s.p + 1, (size_t)at - 1), &a))
			return false;
		host = str_from(s.p, (size_t)at + 1);
		tail = str_from(s.p + host.n, s.n - host.n);
	} else if (at >= 0) {
		host = str_from(s.p, (size_t)at);
		tail = str_from(s.p + at, s.n - (size_t)at);
	}
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= ' ' || host.p[i] == 0x7f)
			return false;
	if (tail.n > 0 && (tail.p[0] != ':' ||
			   !str_u64(str_from(tail.p + 1, tail.n - 1), 65535, &port) || port == 0))
		return false;
	return host.n > 0 && host.n <= 255;
}

static int check_route(const struct param_def *p, const json_t *v, struct err *err)
{
	static const char *const plain[] = { "mx", "hold", "reject", "discard" };
	struct str text = str_of(json_string_value(v));
	struct str smarthost = STR("smarthost:");
	int rc = check_text(p, v, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (str_eq(text, str_of(plain[i])))
			return 0;
	if (str_starts(text, smarthost) &&
	    is_host_port(str_from(text.p + smarthost.n, text.n - smarthost.n)))
		return 0;
	return err_param(err, ERR_INVALID, p->name,
			 "%s cannot be \"%.*s\"; it is mx, smarthost:HOST, smarthost:HOST:PORT, "
			 "hold, reject or discard",
			 p->name, SHOWN, json_string_value(v));
}

static int check_strings(const struct param_def *p, const json_t *v, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(v))
		return misfit(p, "an array of strings", err);
	if (json_array_size(v) > PROTO_STRINGS_MAX)
		return err_param(err, ERR_LIMIT, p->name, "%s has at most %d strings", p->name,
				 PROTO_STRINGS_MAX);
	for (i = 0; i < json_array_size(v); i++) {
		item = json_array_get(v, i);
		if (!json_is_string(item) || json_string_length(item) > PROTO_STRING_MAX)
			return misfit(p, "an array of strings", err);
	}
	return 0;
}

static int check_value(const struct param_def *p, const json_t *v, struct err *err)
{
	switch (p->type) {
	case T_STRING:
	case T_FILTER:
	case T_AUDIT_FILTER:
	case T_TARGET:
	case T_MSGID:
	case T_CURSOR:
	case T_FILE:
		return check_text(p, v, err);
	case T_BOOL:
		return json_is_boolean(v) ? 0 : misfit(p, "true or false", err);
	case T_INT:
		return check_int(p, v, err);
	case T_AGE:
		return check_age(p, v, err);
	case T_TIME:
		return check_time(p, v, err);
	case T_ENUM:
		return check_enum(p, v, err);
	case T_NETWORK:
		return check_network(p, v, err);
	case T_ROUTE:
		return check_route(p, v, err);
	case T_STRINGS:
		return check_strings(p, v, err);
	case T_OBJECT:
		return json_is_object(v) ? 0 : misfit(p, "an object", err);
	case T__COUNT:
		break;
	}
	return misfit(p, "of a known type", err);
}

/* ---- what changes carry ---- */

static int check_reason(const struct method_def *m, const json_t *v, struct err *err)
{
	if (v != NULL && json_string_length(v) > PROTO_REASON_MAX)
		return err_param(err, ERR_LIMIT, "reason", "reason has at most %d bytes",
				 PROTO_REASON_MAX);
	if ((m->flags & MF_REASON) == 0)
		return 0;
	if (v == NULL || str_trim(str_of(json_string_value(v))).n == 0)
		return err_param(err, ERR_REASON, "reason",
				 "%s needs a reason: a few words for those who find it later",
				 m->name);
	return 0;
}

static int check_request(const json_t *v, struct err *err)
{
	size_t n = json_string_length(v);

	for (size_t i = 0; i < n; i++)
		if (json_string_value(v)[i] <= ' ' || json_string_value(v)[i] == 0x7f)
			n = 0;
	if (v != NULL && (n == 0 || n > PROTO_REQUEST_ID_MAX))
		return err_param(err, ERR_INVALID, "request",
				 "request is 1 to %d characters of ASCII without spaces",
				 PROTO_REQUEST_ID_MAX);
	return 0;
}

static const json_t *given(const json_t *params, const char *name)
{
	const json_t *v = json_object_get(params, name);

	return json_is_null(v) ? NULL : v;
}

int method_check(const struct method_def *m, const json_t *params, struct err *err)
{
	const struct param_def *p;
	void *it;

	/* jansson takes no const object here, though it does not change it */
	for (it = json_object_iter((json_t *)(uintptr_t)params); it != NULL;
	     it = json_object_iter_next((json_t *)(uintptr_t)params, it)) {
		const json_t *v = json_object_iter_value(it);
		p = method_param(m, json_object_iter_key(it));
		if (p == NULL)
			return unknown_param(m, json_object_iter_key(it), err);
		if (!json_is_null(v)) {
			int rc = check_value(p, v, err);
			if (rc < 0)
				return rc;
		}
	}
	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		if (p->required && given(params, p->name) == NULL)
			return err_param(err, ERR_INVALID, p->name, "%s needs %s: %s", m->name,
					 p->name, p->help);
	if ((m->flags & MF_MUTATES) == 0)
		return 0;
	if (check_request(given(params, "request"), err) < 0)
		return -ERR_INVALID;
	return check_reason(m, given(params, "reason"), err);
}
