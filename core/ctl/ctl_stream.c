/*
 * stream.list, stream.show and stream.test. A test does with a message that nobody has sent what is
 * done when one comes in: its stream, what that demands of it, the route, and the hosts behind it.
 *
 *	PROVIDER (when a route could need it) -> NEXT HOP -> answer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"
#include "ctl/views.h"
#include "mail/address.h"

#define HEADER_MAX 65536

/* ---- stream.list, stream.show ---- */

static void null_when(json_t *row, const char *name, bool none)
{
	if (none)
		(void)json_object_set_new(row, name, json_null());
}

/* "sender-domain:news.example, with List-Unsubscribe or X-Stream: news*" */
static json_t *rule_json(const struct mailstream *x)
{
	AUTO_BUF b = BUF_INIT(FILTER_TEXT_MAX + STREAM_CONDITIONS_MAX * STREAM_CONDITION_MAX);

	if (strcmp(x->id, STREAM_DEFAULT) == 0)
		(void)buf_puts(&b, "everything else");
	else if (*x->match_text != '\0')
		(void)buf_puts(&b, x->match_text);
	else
		(void)buf_puts(&b, x->headers[0] != NULL ? "mail" : "all mail");
	for (size_t i = 0; x->headers[i] != NULL; i++)
		(void)buf_printf(&b, "%s%s",
				 i > 0			  ? " or "
				 : *x->match_text != '\0' ? ", with "
							  : " with ",
				 x->headers[i]);
	return json_text(buf_str(&b));
}

static json_t *stream_json(const struct mailstream *x)
{
	json_t *row = json_pack("{s:s, s:o}", "id", x->id, "rule", rule_json(x));

	(void)json_object_update_missing_new(row, streams_json(x));
	(void)json_object_del(row, "place");
	(void)json_object_del(row, "created_ms");
	null_when(row, "retry", *x->retry_text == '\0');
	null_when(row, "lifetime_s", x->lifetime_s == 0);
	null_when(row, "delay_s", x->delay_s < 0);
	null_when(row, "rate", x->rate == 0);
	null_when(row, "concurrency", x->concurrency == 0);
	null_when(row, "pool", *x->pool == '\0');
	null_when(row, "dkim", *x->dkim == '\0');
	null_when(row, "suppressed", x->suppressed == STREAM_AS_RELAY);
	null_when(row, "note", *x->note == '\0');
	(void)json_object_set_new(row, "created_at", json_time(x->created_ms));
	return row;
}

void ctl_stream_list(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	json_t *rows = json_array();

	for (size_t i = 0; i < streams_n(env->streams); i++)
		(void)json_array_append_new(rows, stream_json(streams_at(env->streams, i)));
	ctl_reply(call, view_page(rows, NULL, NULL, streams_n(env->streams), true));
}

void ctl_stream_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct mailstream *x = streams_find(env->streams, str_of(name));
	struct err err = ERR_INIT;

	if (x != NULL) {
		ctl_reply(call, stream_json(x));
		return;
	}
	(void)err_param(&err, ERR_UNKNOWN, "name",
			"there is no stream %.40s; weir stream list has those there are", name);
	ctl_fail(call, &err);
}

/* ---- stream.test ---- */

struct test {
	struct view_job job;
	struct address to;
	struct address from;
	bool has_from;
	struct buf header;
	bool has_header;
	char stream[STREAM_NAME_MAX + 1]; /* the one that was found; empty: open */
	bool asked;			  /* for the provider */
	uint64_t ask;
};

static void test_done(struct view_job *j)
{
	struct test *t = (struct test *)j;

	if (t->ask != 0 && j->env->resolver != NULL)
		resolver_cancel(j->env->resolver, t->ask);
	buf_done(&t->header);
}

static void fill_row(const struct test *t, struct filter_row *row)
{
	const struct ctl_env *env = t->job.env;
	const struct ctl_call *call = t->job.call;
	const char *client = ctl_str(call, "client");
	const char *credential = ctl_str(call, "credential");
	int64_t size = ctl_int(call, "size", -1);

	*row = FILTER_ROW_INIT(loop_wall_ms(env->loop));
	filter_row_text(row, FILTER_RELAY, str_of(env->hostname));
	if (client != NULL)
		filter_row_text(row, FILTER_CLIENT, str_of(client));
	if (credential != NULL)
		filter_row_text(row, FILTER_CREDENTIAL, str_of(credential));
	if (size >= 0)
		filter_row_number(row, FILTER_SIZE, size);
	if (!t->has_from)
		return;
	filter_row_text(row, FILTER_FROM, address_str(&t->from));
	filter_row_text(row, FILTER_SENDER_DOMAIN, address_domain(&t->from));
}

static void fill_rcpt(void *arg, size_t i, struct filter_row *row)
{
	const struct test *t = arg;

	(void)i;
	filter_row_text(row, FILTER_TO, address_str(&t->to));
	filter_row_text(row, FILTER_DOMAIN, address_domain(&t->to));
}

/* The row that routes and holds are asked with. */
static void fill_whole(struct test *t, struct filter_row *row)
{
	struct str domain = address_domain(&t->to);
	const char *provider = resolver_provider(t->job.env->resolver, domain);

	fill_row(t, row);
	fill_rcpt(t, 0, row);
	if (t->stream[0] != '\0')
		filter_row_text(row, FILTER_STREAM, str_of(t->stream));
	if (provider != NULL)
		filter_row_text(row, FILTER_PROVIDER, str_of(provider));
}

static const struct mailstream *assign(struct test *t, const struct mailstream **ret_open)
{
	const struct mailstream *x;
	struct filter_row row;
	struct stream_facts f = { .row = &row,
				  .rcpts_n = 1,
				  .rcpt = fill_rcpt,
				  .arg = t,
				  .all_rcpts = true,
				  .has_header = t->has_header,
				  .header = buf_str(&t->header) };

	fill_row(t, &row);
	x = streams_assign(t->job.env->streams, &f, ret_open);
	if (x != NULL)
		(void)snprintf(t->stream, sizeof(t->stream), "%s", x->id);
	return x;
}

static void explain_rule(const struct test *t, const struct mailstream *x, struct buf *out)
{
	const char *met = streams_met(x, buf_str(&t->header));

	(void)buf_printf(out, "stream %s takes it: ", x->id);
	if (strcmp(x->id, STREAM_DEFAULT) == 0)
		(void)buf_puts(out, "no other one does");
	else if (met == NULL)
		(void)buf_puts(out, *x->match_text != '\0' ? x->match_text : "it takes all mail");
	else if (*x->match_text == '\0')
		(void)buf_printf(out, "it has the header field %s", met);
	else
		(void)buf_printf(out, "%s, with the header field %s", x->match_text, met);
}

static void explain_route(const struct route *r, const struct resolve_answer *a, struct buf *out)
{
	if (r == NULL)
		(void)buf_puts(out, ". No route matches, so it goes by MX");
	else
		(void)buf_printf(out, ". Route %s (%s) sends it to %s", r->id,
				 *r->match_text != '\0' ? r->match_text : "all mail", r->to);
	if (a != NULL && a->failure != NULL)
		(void)buf_printf(out, ": %s", a->failure->text);
	else if (a != NULL && a->hosts_n > 0)
		(void)buf_printf(out, ": %s first, %zu host%s in all", a->hosts[0].name, a->hosts_n,
				 a->hosts_n == 1 ? "" : "s");
}

static void explain_hold(const struct ctl_env *env, const struct filter_row *row, struct buf *out)
{
	bool asks;
	uint32_t number = holds_judge(env->holds, row, &asks);
	const struct hold *x = number != 0 ? holds_find(env->holds, number) : NULL;

	if (x != NULL)
		(void)buf_printf(out, ". Hold %s on %s keeps it back now: %s", x->id,
				 x->target.canonical, x->reason);
}

static void add_settings(const struct mailstream *x, json_t *answer)
{
	static const char *const shown[] = { STREAM_SETTINGS };
	json_t *row = stream_json(x);

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		(void)json_object_set(answer, shown[i], json_object_get(row, shown[i]));
	json_decref(row);
}

static json_t *refusal_of(const struct test *t, const struct mailstream *x, struct buf *text)
{
	AUTO_BUF lacks = BUF_INIT(1000);

	if (x->require[0] == NULL || !streams_lacks(x, buf_str(&t->header), &lacks))
		return json_null();
	(void)buf_printf(text, ". It is refused at the end of DATA, for want of %s",
			 buf_cstr(&lacks));
	return json_text(buf_str(&lacks));
}

static void answer(struct test *t, const struct resolve_answer *a)
{
	const struct ctl_env *env = t->job.env;
	const struct mailstream *x = streams_of(env->streams, str_of(t->stream));
	AUTO_BUF text = BUF_INIT(8000);
	const struct route *r = NULL;
	struct filter_row row;
	char hop[ROUTE_HOP_MAX];
	bool known;
	json_t *o = json_object();

	fill_whole(t, &row);
	known = routes_judge(env->routes, &row, address_domain(&t->to), &r, hop);
	explain_rule(t, x, &text);
	(void)json_object_set_new(o, "stream", json_string(x->id));
	(void)json_object_set_new(o, "refused", refusal_of(t, x, &text));
	if (known)
		explain_route(r, a, &text);
	else
		(void)buf_puts(&text, ". Some route asks for more than was said");
	explain_hold(env, &row, &text);
	(void)json_object_set_new(
		o, "route", !known ? json_null() : json_string(r != NULL ? r->id : ROUTE_DEFAULT));
	(void)json_object_set_new(o, "to",
				  !known ? json_null() : json_string(r != NULL ? r->to : "mx"));
	(void)json_object_set_new(o, "host",
				  a != NULL && a->hosts_n > 0 ? json_string(a->hosts[0].name)
							      : json_null());
	add_settings(x, o);
	(void)json_object_set_new(o, "text", json_text(buf_str(&text)));
	view_reply(&t->job, o);
}

static void judge(struct test *t);

static void on_provider(void *arg, const struct resolve_answer *a)
{
	struct test *t = arg;

	(void)a;
	t->ask = 0;
	judge(t);
}

static void on_hosts(void *arg, const struct resolve_answer *a)
{
	struct test *t = arg;

	t->ask = 0;
	answer(t, a);
}

static void judge(struct test *t)
{
	const struct ctl_env *env = t->job.env;
	struct str domain = address_domain(&t->to);
	const struct route *r;
	struct filter_row row;
	char hop[ROUTE_HOP_MAX];
	bool known;

	fill_whole(t, &row);
	known = routes_judge(env->routes, &row, domain, &r, hop);
	if (!known && !t->asked && (row.known & 1u << FILTER_PROVIDER) == 0) {
		t->asked = true;
		(void)snprintf(hop, sizeof(hop), "mx:%.*s", STR_ARG(domain));
		t->ask = resolver_ask(env->resolver, hop, 0, on_provider, t);
	} else if (known && strchr(hop, ':') != NULL) {
		t->ask = resolver_ask(env->resolver, hop, 0, on_hosts, t);
	} else {
		answer(t, NULL);
	}
}

/* What is not known decides, and can be said. */
static void answer_open(struct test *t, const struct mailstream *open)
{
	json_t *o =
		json_pack("{s:n, s:n, s:n, s:n, s:n}", "stream", "refused", "route", "to", "host");
	AUTO_BUF text = BUF_INIT(8000);

	(void)buf_printf(&text,
			 "it depends on what was not said: stream %s asks for %s%s%s; give the "
			 "rest with --from, --client, --credential, --size or --header",
			 open->id, open->match_text,
			 open->headers[0] != NULL ? " and a header field " : "",
			 open->headers[0] != NULL ? open->headers[0] : "");
	(void)json_object_set_new(o, "text", json_text(buf_str(&text)));
	view_reply(&t->job, o);
}

static int read_address(const struct ctl_call *call, const char *param, bool null_too,
			struct address *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct str text = str_of(ctl_str(call, param));

	if (null_too && (text.n == 0 || str_eq(text, STR("<>")))) {
		*ret = (struct address){ .n = 0 };
		return 0;
	}
	if (address_parse(text, ADDRESS_UTF8, ret, &why) >= 0)
		return 0;
	(void)err_param(err, ERR_INVALID, param, "%s is an address such as anna@example.org: %s",
			param, why.msg);
	err->column = why.column;
	return -ERR_INVALID;
}

static bool is_field(struct str s)
{
	size_t n = 0;

	while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '-' || s.p[n] == '_' ||
			   ((s.p[n] | 0x20) >= 'a' && (s.p[n] | 0x20) <= 'z')))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':';
}

/* The fields that were given, as a message has them. */
static int read_header(struct test *t, struct err *err)
{
	const json_t *list = ctl_json(t->job.call, "headers");
	const json_t *v;
	size_t i;

	t->has_header = list != NULL;
	json_array_foreach(list, i, v)
	{
		struct str s = str_of(json_string_value(v));
		bool field = is_field(s);
		if (str_index(s, '\n') >= 0 || str_index(s, '\r') >= 0 ||
		    (!field && t->header.n == 0))
			return err_param(err, ERR_INVALID, "headers",
					 "a header field is NAME: VALUE, such as X-Stream: news");
		/* what has no name is the rest of a value with a comma in it */
		if (t->header.n > 0)
			(void)buf_puts(&t->header, field ? "\r\n" : ",");
		(void)buf_put_str(&t->header, s);
	}
	(void)buf_puts(&t->header, t->header.n > 0 ? "\r\n" : "");
	return 0;
}

void ctl_stream_test(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL, .done = test_done };
	struct test *t = xcalloc(1, sizeof(*t));
	const struct mailstream *open = NULL;
	struct err err = ERR_INIT;
	int rc;

	t->header = BUF_INIT(HEADER_MAX);
	view_begin(&t->job, ctl_env(call), call, &ops);
	t->has_from = ctl_str(call, "from") != NULL;
	rc = read_address(call, "to", false, &t->to, &err);
	if (rc >= 0 && t->has_from)
		rc = read_address(call, "from", true, &t->from, &err);
	if (rc >= 0)
		rc = read_header(t, &err);
	if (rc < 0)
		view_fail(&t->job, &err);
	else if (assign(t, &open) == NULL)
		answer_open(t, open);
	else
		judge(t);
}
