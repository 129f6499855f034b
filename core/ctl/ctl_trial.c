/* route.test and stream.test: what happens to a message that nobody has sent. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"
#include "ctl/trial.h"
#include "ctl/views.h"
#include "route/hop.h"

/* ---- parts ---- */

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

static json_t *hosts_json(const struct trial_found *f)
{
	const struct resolve_answer *a = f->answer;
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
		put_tls(row, h, f->demands.tls);
		(void)json_array_append_new(hosts, row);
	}
	return hosts;
}

static json_t *sources_json(const struct trial_found *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->sources_n; i++) {
		const struct pool_source *x = f->sources[i];
		const char *ehlo = x->ehlo[0] != '\0' ? x->ehlo : f->env->hostname;
		(void)json_array_append_new(
			list, json_pack("{s:s, s:s}", "address", x->text, "ehlo", ehlo));
	}
	return list;
}

/* The name that all of them have; NULL: they differ. */
static const char *ehlo_of(const struct trial_found *f)
{
	const char *name = f->env->hostname;

	for (size_t i = 0; i < f->sources_n; i++) {
		const char *its =
			f->sources[i]->ehlo[0] != '\0' ? f->sources[i]->ehlo : f->env->hostname;
		if (i > 0 && strcmp(name, its) != 0)
			return NULL;
		name = its;
	}
	return name;
}

static json_t *signers_json(const struct trial_found *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->signers_n; i++)
		(void)json_array_append_new(list, json_string(f->signers[i]->id));
	return list;
}

/* "x@y.example would go to mx.y.example", or what keeps it from that. */
static json_t *summary(const struct trial_found *f)
{
	const char *stream = f->stream != NULL ? f->stream->id : "?";
	const char *route = !f->way.known	   ? "?"
			    : f->way.route != NULL ? f->way.route->id
						   : ROUTE_DEFAULT;

	if (f->steps.decided != NULL)
		return json_text(str_of(f->steps.text));
	if (f->ours)
		return json_string("the relay reads it itself");
	return json_sprintf("goes by route %s, in the stream %s, to %s first", route, stream,
			    f->host != NULL ? f->host->name : f->way.next_hop);
}

static json_t *common(struct trial_found *f)
{
	json_t *o = json_object();
	const struct route *r = f->way.route;
	bool place = f->way.known && f->answer != NULL;
	bool refused = f->steps.verdict == STEP_REFUSED;

	(void)json_object_set_new(o, "verdict", json_string(step_verdict_name(f->steps.verdict)));
	(void)json_object_set_new(o, "decided_by", json_text_or_null(str_of(f->steps.decided)));
	(void)json_object_set_new(o, "text", summary(f));
	(void)json_object_set_new(o, "stream",
				  f->stream != NULL ? json_string(f->stream->id) : json_null());
	(void)json_object_set_new(o, "refused",
				  refused ? json_text(str_of(f->steps.text)) : json_null());
	(void)json_object_set_new(o, "route",
				  !f->way.known ? json_null()
						: json_string(r != NULL ? r->id : ROUTE_DEFAULT));
	(void)json_object_set_new(
		o, "to", !f->way.known ? json_null() : json_string(r != NULL ? r->to : "mx"));
	(void)json_object_set_new(o, "host",
				  f->host != NULL ? json_text(str_of(f->host->name)) : json_null());
	(void)json_object_set_new(o, "provider",
				  place ? json_text_or_null(str_of(f->answer->provider))
					: json_null());
	return o;
}

/* ---- route.test ---- */

/* How it would leave. */
static void put_way(const struct trial_found *f, json_t *o)
{
	char ip[IPADDR_TEXT_LEN] = "";
	struct str pool = hop_ways(f->way.next_hop).pool;
	const char *why;
	bool decided = f->host != NULL && f->stream != NULL;

	if (f->address != NULL)
		ipaddr_text(f->address, ip);
	(void)json_object_set_new(o, "next_hops", hosts_json(f));
	(void)json_object_set_new(o, "address", json_text_or_null(str_of(ip)));
	(void)json_object_set_new(o, "port",
				  f->host != NULL ? json_integer(f->answer->port) : json_null());
	(void)json_object_set_new(o, "pool", decided ? json_text_or_null(pool) : json_null());
	(void)json_object_set_new(o, "sources", sources_json(f));
	(void)json_object_set_new(o, "source",
				  decided && f->sources_n == 1 ? json_string(f->sources[0]->text)
							       : json_null());
	(void)json_object_set_new(o, "ehlo",
				  decided ? json_text_or_null(str_of(ehlo_of(f))) : json_null());
	(void)json_object_set_new(o, "tls",
				  decided ? json_string(tls_need_name(tls_policy_need(
						    f->host->tls, f->demands.tls, &why)))
					  : json_null());
	(void)json_object_set_new(o, "tls_demand",
				  f->stream != NULL ? json_string(route_tls_name(f->demands.tls))
						    : json_null());
	(void)json_object_set_new(o, "user",
				  f->host != NULL ? json_text_or_null(str_of(f->demands.user))
						  : json_null());
	(void)json_object_set_new(o, "dkim", signers_json(f));
}

static void put_limits(const struct trial_found *f, json_t *o)
{
	static const char *const all[] = { "priority", "rate",	     "concurrency",
					   "retry",    "lifetime_s", "delay_s" };
	const struct mailstream *x = f->stream;
	AUTO_BUF retry = BUF_INIT(400);
	int64_t delay;

	for (size_t i = 0; x == NULL && i < ARRAY_LEN(all); i++)
		(void)json_object_set_new(o, all[i], json_null());
	if (x == NULL)
		return;
	delay = trial_delay_s(f->env, x);
	trial_retry(f->env, x, &retry);
	(void)json_object_set_new(o, "priority", json_integer(x->priority));
	(void)json_object_set_new(o, "rate", x->rate != 0 ? json_integer(x->rate) : json_null());
	(void)json_object_set_new(o, "concurrency",
				  x->concurrency != 0 ? json_integer(x->concurrency) : json_null());
	(void)json_object_set_new(o, "retry", json_text_or_null(buf_str(&retry)));
	(void)json_object_set_new(o, "lifetime_s", json_integer(trial_lifetime_s(f->env, x)));
	(void)json_object_set_new(o, "delay_s", delay >= 0 ? json_integer(delay) : json_null());
}

static json_t *of_route(struct trial_found *f)
{
	json_t *o = common(f);

	put_way(f, o);
	put_limits(f, o);
	(void)json_object_set(o, "steps", f->steps.rows);
	return o;
}

void ctl_route_test(struct ctl_call *call)
{
	trial_start(call, of_route);
}

/* ---- stream.test ---- */

static json_t *of_stream(struct trial_found *f)
{
	static const char *const shown[] = { STREAM_SETTINGS };
	json_t *o = common(f);
	json_t *row = f->stream != NULL ? view_stream_row(f->stream) : NULL;

	for (size_t i = 0; row != NULL && i < ARRAY_LEN(shown); i++)
		(void)json_object_set(o, shown[i], json_object_get(row, shown[i]));
	json_decref(row);
	(void)json_object_set(o, "steps", f->steps.rows);
	return o;
}

void ctl_stream_test(struct ctl_call *call)
{
	trial_start(call, of_stream);
}
