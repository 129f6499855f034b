/*
 * route.list and route.test. A test asks what a message would be asked: its provider first (when a
 * rule could need it), then the routes, then the hosts of the next hop.
 *
 *	PROVIDER -> NEXT HOP -> answer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"
#include "mail/address.h"

#define STEP_ROWS 500
#define DEFAULT_STREAM "default"

/* ---- route.list ---- */

struct listing {
	struct view_job job;
	json_t *rows;
	size_t at;
};

static json_t *route_json(const struct route *r)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", r->id, "match",
			 r->match_text, "to", r->to, "tls", route_tls_name(r->tls), "user",
			 json_text_or_null(str_of(r->user)), "pool",
			 json_text_or_null(str_of(r->pool)), "note",
			 json_text_or_null(str_of(r->note)), "by", json_text(str_of(r->by)),
			 "created_at", json_time(r->created_ms));
}

/* It is no object: it cannot be removed, and nothing stands behind it. */
static json_t *default_json(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:s, s:s, s:n}", "id", ROUTE_DEFAULT,
			 "match", "", "to", "mx", "tls", route_tls_name(ROUTE_TLS_OPPORTUNISTIC),
			 "user", "pool", "note", "everything else", "by", "", "created_at");
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct routes *r = j->env->routes;

	for (size_t end = l->at + STEP_ROWS; l->at < routes_n(r) && l->at < end; l->at++)
		(void)json_array_append_new(l->rows, route_json(routes_at(r, l->at)));
	if (l->at < routes_n(r)) {
		view_soon(j);
		return;
	}
	(void)json_array_append_new(l->rows, default_json());
	view_reply(j, view_page(json_incref(l->rows), NULL, NULL, routes_n(r) + 1, true));
}

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void ctl_route_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	listing_step(&l->job);
}

/* ---- route.test ---- */

struct test {
	struct view_job job;
	struct address to;
	struct address from;
	bool has_from;
	const char *stream; /* borrows from the call */
	bool has_provider;  /* it was asked for */
	uint64_t ask;
};

static void test_done(struct view_job *j)
{
	struct test *t = (struct test *)j;

	if (t->ask != 0 && j->env->resolver != NULL)
		resolver_cancel(j->env->resolver, t->ask);
}

static void fill_row(const struct test *t, struct filter_row *row)
{
	const struct ctl_env *env = t->job.env;
	struct str domain = address_domain(&t->to);
	const char *provider = resolver_provider(env->resolver, domain);

	*row = FILTER_ROW_INIT(loop_wall_ms(env->loop));
	filter_row_text(row, FILTER_DOMAIN, domain);
	filter_row_text(row, FILTER_TO, address_str(&t->to));
	filter_row_text(row, FILTER_STREAM, str_of(t->stream));
	filter_row_text(row, FILTER_RELAY, str_of(env->hostname));
	if (provider != NULL)
		filter_row_text(row, FILTER_PROVIDER, str_of(provider));
	if (!t->has_from)
		return;
	filter_row_text(row, FILTER_FROM, address_str(&t->from));
	filter_row_text(row, FILTER_SENDER_DOMAIN, address_domain(&t->from));
}

/* What a connection to the host has to be, and why; what is not demanded may still be found. */
static void put_tls(json_t *row, const struct resolve_host *h, enum route_tls demand)
{
	const char *why;
	enum tls_need need = tls_policy_need(h->tls, demand, &why);
	json_t *text = json_text_or_null(str_of(why));

	if (why[0] == '\0' && h->tls != NULL) {
		json_decref(text);
		text = json_sprintf("%s; %s", h->tls->dane_text, h->tls->sts_text);
	}
	(void)json_object_set_new(row, "tls", json_string(tls_need_name(need)));
	(void)json_object_set_new(row, "tls_why", text);
}

static json_t *hosts_json(const struct resolve_answer *a, enum route_tls demand)
{
	json_t *hosts = json_array();

	for (size_t i = 0; a != NULL && i < a->hosts_n; i++) {
		const struct resolve_host *h = &a->hosts[i];
		json_t *addresses = json_array();
		for (size_t k = 0; k < h->addresses_n; k++) {
			char text[IPADDR_TEXT_LEN];
			ipaddr_text(&h->addresses[k], text);
			(void)json_array_append_new(addresses, json_string(text));
		}
		json_t *row = json_pack("{s:o, s:i, s:i, s:o}", "host", json_text(str_of(h->name)),
					"preference", (int)h->preference, "port", (int)a->port,
					"addresses", addresses);
		put_tls(row, h, demand);
		(void)json_array_append_new(hosts, row);
	}
	return hosts;
}

static void explain_hops(const struct route *r, const struct resolve_answer *a, struct buf *out)
{
	const char *to = r != NULL ? r->to : "mx";

	if (strcmp(to, "hold") == 0)
		(void)buf_puts(out, ": mail is accepted and kept back");
	else if (strcmp(to, "reject") == 0)
		(void)buf_puts(out, ": mail is refused");
	else if (strcmp(to, "discard") == 0)
		(void)buf_puts(out, ": mail is accepted and thrown away");
	else if (a != NULL && a->failure != NULL)
		(void)buf_printf(out, ": %s%s", a->failure->text,
				 a->failure->permanent ? "; mail would fail" : "; mail would wait");
	else if (a != NULL && a->hosts_n > 0)
		(void)buf_printf(out, ": %s first, %zu host%s in all", a->hosts[0].name, a->hosts_n,
				 a->hosts_n == 1 ? "" : "s");
}

/* A hold comes before every route. */
static void explain_hold(const struct ctl_env *env, const struct filter_row *row, struct buf *out)
{
	bool asks;
	uint32_t number = holds_judge(env->holds, row, &asks);
	const struct hold *x = number != 0 ? holds_find(env->holds, number) : NULL;

	if (x != NULL)
		(void)buf_printf(out, ". Hold %s on %s keeps it back now: %s", x->id,
				 x->target.canonical, x->reason);
	else if (asks)
		(void)buf_puts(out, ". A hold may keep it back, depending on the message");
}

static void answer(struct test *t, const struct resolve_answer *a)
{
	const struct ctl_env *env = t->job.env;
	AUTO_BUF text = BUF_INIT(4000);
	const struct route *r = NULL;
	struct route_demands demands;
	struct filter_row row;
	char hop[ROUTE_HOP_MAX];
	bool known;

	fill_row(t, &row);
	known = routes_judge(env->routes, &row, address_domain(&t->to), &r, hop);
	(void)routes_demands(env->routes, hop, &demands);
	if (!known)
		(void)buf_printf(&text,
				 "it depends on the message: some route asks for more than %s",
				 t->has_from ? "sender, recipient and stream"
					     : "recipient and stream; say the sender with --from");
	else if (r == NULL)
		(void)buf_puts(&text, "no route matches, so mail goes by MX");
	else
		(void)buf_printf(&text, "route %s decides (%s): %s", r->id,
				 *r->match_text != '\0' ? r->match_text : "all mail", r->to);
	if (known)
		explain_hops(r, a, &text);
	explain_hold(env, &row, &text);
	view_reply(&t->job,
		   json_pack("{s:o, s:o, s:o, s:o}", "route",
			     !known ? json_null() : json_string(r != NULL ? r->id : ROUTE_DEFAULT),
			     "to",
			     !known	 ? json_null()
			     : r != NULL ? json_string(r->to)
					 : json_string("mx"),
			     "next_hops", hosts_json(a, demands.tls), "text",
			     json_text(buf_str(&text))));
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

	fill_row(t, &row);
	known = routes_judge(env->routes, &row, domain, &r, hop);
	if (!known && !t->has_provider && (row.known & 1u << FILTER_PROVIDER) == 0) {
		t->has_provider = true;
		(void)snprintf(hop, sizeof(hop), "mx:%.*s", STR_ARG(domain));
		t->ask = resolver_ask(env->resolver, hop, 0, on_provider, t);
	} else if (known && strchr(hop, ':') != NULL) {
		t->ask = resolver_ask(env->resolver, hop, RESOLVE_DANE | RESOLVE_STS, on_hosts, t);
	} else {
		answer(t, NULL);
	}
}

static int read_address(const struct ctl_call *call, const char *param, unsigned flags,
			struct address *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct str text = str_of(ctl_str(call, param));

	if (str_eq(text, STR("<>")) && (flags & ADDRESS_NULL) != 0)
		text.n = 0;
	if (text.n == 0 && (flags & ADDRESS_NULL) != 0) {
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

void ctl_route_test(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL, .done = test_done };
	const char *stream = ctl_str(call, "stream");
	struct test *t = xcalloc(1, sizeof(*t));
	struct err err = ERR_INIT;
	int rc;

	t->stream = stream != NULL ? stream : DEFAULT_STREAM;
	t->has_from = ctl_str(call, "from") != NULL;
	rc = read_address(call, "to", 0, &t->to, &err);
	if (rc >= 0 && t->has_from)
		rc = read_address(call, "from", ADDRESS_NULL, &t->from, &err);
	view_begin(&t->job, ctl_env(call), call, &ops);
	if (rc < 0)
		view_fail(&t->job, &err);
	else
		judge(t);
}
