/* The steps from the queue to the host that takes it. */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "conf/conf.h"
#include "ctl/trial.h"
#include "ctl/why.h"
#include "route/hop.h"

#define CHANGE_MAX 400

static bool has_place(const struct trial_found *f)
{
	return strchr(f->way.next_hop, ':') != NULL;
}

/* ---- holds and routes ---- */

static void step_hold(struct trial_found *f)
{
	bool asks;
	uint32_t number = holds_judge(f->env->holds, &f->row, &asks);
	const struct hold *x = number != 0 ? holds_find(f->env->holds, number) : NULL;
	char change[CHANGE_MAX];

	if (x != NULL) {
		(void)snprintf(change, sizeof(change), "weir release '%s'", x->target.canonical);
		steps_add(&f->steps, "hold", STEP_HELD, x->id, change,
			  "hold %s on %s, by %s, keeps it back now: %s", x->id, x->target.canonical,
			  x->by, x->reason);
	} else if (asks) {
		steps_add(&f->steps, "hold", STEP_OPEN, NULL, "weir holds",
			  "a hold may keep it back, depending on what was not said");
	} else {
		steps_add(&f->steps, "hold", STEP_NONE, NULL, NULL, "no hold covers it");
	}
}

/* The first one that asks for what is not known. */
static const struct route *open_route(const struct trial_found *f)
{
	const struct routes *r = f->env->routes;

	for (size_t i = 0; i < routes_n(r); i++)
		if (filter_eval(routes_at(r, i)->match, &f->row) != FILTER_FALSE)
			return routes_at(r, i);
	return NULL;
}

static enum step_verdict verdict_of(const struct trial_found *f)
{
	if (strcmp(f->way.next_hop, "hold") == 0)
		return STEP_HELD;
	if (strcmp(f->way.next_hop, "discard") == 0)
		return STEP_DISCARDED;
	if (strcmp(f->way.next_hop, "reject") == 0)
		return f->rejects != NULL ? STEP_REFUSED : STEP_FAILS;
	return STEP_OK;
}

static const char *effect_of(enum step_verdict v)
{
	switch (v) {
	case STEP_HELD:
		return ": mail is accepted and kept back";
	case STEP_DISCARDED:
		return ": mail is accepted and thrown away";
	case STEP_REFUSED:
		return ": mail is refused";
	case STEP_FAILS:
		return ": mail is accepted, because the envelope alone does not decide it, and "
		       "returned to its sender";
	case STEP_OK:
	case STEP_NONE:
	case STEP_OPEN:
	case STEP_WAITS:
	case STEP__COUNT:
		break;
	}
	return "";
}

static void step_route(struct trial_found *f)
{
	const struct route *r = f->way.route;
	char change[CHANGE_MAX];

	if (!f->way.known)
		r = open_route(f);
	if (!f->way.known && f->by_provider && r != NULL &&
	    (filter_uses(r->match) & ~f->row.known) == 1u << FILTER_PROVIDER) {
		steps_add(&f->steps, "route", STEP_NONE, r->id, "weir route list",
			  "route %s asks for the provider (%s), which only DNS can say", r->id,
			  r->match_text);
		return;
	}
	if (!f->way.known) {
		steps_add(&f->steps, "route", STEP_OPEN, r != NULL ? r->id : NULL,
			  "weir route list",
			  "it depends on what was not said: route %s asks for %s; give the rest "
			  "with --from, --client, --credential, --size or --header",
			  r != NULL ? r->id : "", r != NULL ? r->match_text : "");
		return;
	}
	if (r == NULL) {
		steps_add(&f->steps, "route", STEP_OK, ROUTE_DEFAULT, "weir route add",
			  "no route matches, so mail goes by MX");
		return;
	}
	(void)snprintf(change, sizeof(change), "weir route remove %s", r->id);
	steps_add(&f->steps, "route", verdict_of(f), r->id, change,
		  "route %s decides (%s): %s%s%s%s", r->id,
		  *r->match_text != '\0' ? r->match_text : "all mail", r->to,
		  effect_of(verdict_of(f)), *r->note != '\0' ? "; its note: " : "", r->note);
}

/* ---- hosts ---- */

static void put_hosts(const struct resolve_answer *a, struct buf *b)
{
	for (size_t i = 0; i < a->hosts_n; i++)
		(void)buf_printf(b, "%s%s (%u)", i > 0 ? ", " : "", a->hosts[i].name,
				 (unsigned)a->hosts[i].preference);
}

static void step_dns(struct trial_found *f)
{
	const struct resolve_answer *a = f->answer;
	AUTO_BUF hosts = BUF_INIT(STEPS_TEXT_MAX);
	struct str place = hop_place(f->way.next_hop);

	if (a->hosts_n == 0) {
		bool fails = a->failure != NULL && a->failure->permanent;
		steps_add(&f->steps, "dns", fails ? STEP_FAILS : STEP_WAITS, "dns", NULL,
			  "%.*s: %s; mail would %s", STR_ARG(place),
			  a->failure != NULL ? a->failure->text : "no host has an address",
			  fails ? "fail" : "wait");
		return;
	}
	put_hosts(a, &hosts);
	steps_add(&f->steps, "dns", STEP_OK, "dns", NULL, "%.*s: %s%s%s", STR_ARG(place),
		  buf_cstr(&hosts), *a->provider != '\0' ? "; the provider is " : "", a->provider);
}

/* Where a connection to the address can come from. True: there is something; none: the system's
 * choice. */
static enum pool_answer sources_for(struct trial_found *f, const struct ipaddr *to,
				    char why[static POOL_WHY_MAX])
{
	struct str pool = hop_ways(f->way.next_hop).pool;
	const struct pool_source *one;
	bool v4 = ipaddr_is_v4(to);
	enum pool_answer got;

	f->sources_n = 0;
	if (pool.n == 0)
		return POOL_FOUND;
	got = pools_pick(f->env->pools, pool, v4, false, f->now_ms, &one, why);
	if (got == POOL_FOUND)
		f->sources_n = pools_choice(f->env->pools, pool, v4, f->now_ms, f->sources);
	return got;
}

/* The first host and address in their order that a connection can be made to. */
static void find_first(struct trial_found *f, char why[static POOL_WHY_MAX])
{
	const struct resolve_answer *a = f->answer;
	const char *refused;

	(void)snprintf(why, POOL_WHY_MAX, "no host has an address");
	for (size_t i = 0; i < a->hosts_n; i++) {
		const struct resolve_host *h = &a->hosts[i];
		if (tls_policy_need(h->tls, f->demands.tls, &refused) == TLS_NEED_REFUSED) {
			(void)snprintf(why, POOL_WHY_MAX, "%s is passed over: %s", h->name,
				       refused);
			continue;
		}
		for (size_t k = 0; k < h->addresses_n; k++) {
			if (sources_for(f, &h->addresses[k], why) != POOL_FOUND)
				continue;
			f->host = h;
			f->address = &h->addresses[k];
			return;
		}
	}
}

static void step_host(struct trial_found *f, const char *why)
{
	const struct resolve_answer *a = f->answer;
	char ip[IPADDR_TEXT_LEN];

	if (f->host == NULL) {
		steps_add(&f->steps, "host", STEP_WAITS, NULL, NULL,
			  "none of the %zu can be connected to: %s", a->hosts_n, why);
		return;
	}
	ipaddr_text(f->address, ip);
	steps_add(&f->steps, "host", STEP_OK, NULL, NULL, "%s [%s]:%u first, %zu host%s in all",
		  f->host->name, ip, (unsigned)a->port, a->hosts_n, a->hosts_n == 1 ? "" : "s");
}

static void put_sources(const struct trial_found *f, struct buf *b)
{
	for (size_t i = 0; i < f->sources_n; i++) {
		const struct pool_source *x = f->sources[i];
		(void)buf_printf(b, "%s%s as %s", i > 0 ? " or " : "", x->text,
				 x->ehlo[0] != '\0' ? x->ehlo : f->env->hostname);
	}
}

static void step_source(struct trial_found *f, const char *why)
{
	struct str pool = hop_ways(f->way.next_hop).pool;
	bool of_route = f->way.route != NULL && *f->way.route->pool != '\0';
	AUTO_BUF text = BUF_INIT(STEPS_TEXT_MAX);
	AUTO_BUF first = BUF_INIT(200);
	char change[CHANGE_MAX];

	if (f->stream == NULL && !of_route) {
		steps_add(&f->steps, "source", STEP_NONE, NULL, NULL, "depends on the stream");
		return;
	}
	if (pool.n == 0) {
		(void)snprintf(change, sizeof(change), "weir stream set %s --pool", f->stream->id);
		steps_add(&f->steps, "source", STEP_OK, NULL, change,
			  "any address of this machine, as %s: there is no pool", f->env->hostname);
		return;
	}
	(void)snprintf(change, sizeof(change), "weir pool set %.*s", STR_ARG(pool));
	if (!str_eq(pool, str_of(f->way.pool)))
		(void)buf_printf(&first, "pool %s has no room today; ", f->way.pool);
	put_sources(f, &text);
	if (f->sources_n == 0)
		steps_add(&f->steps, "source", f->host == NULL ? STEP_WAITS : STEP_OK,
			  of_route ? f->way.route->id : f->stream->id, change, "%s%s",
			  buf_cstr(&first), why);
	else
		steps_add(&f->steps, "source", STEP_OK, of_route ? f->way.route->id : f->stream->id,
			  change, "%spool %.*s of the %s %s: %s", buf_cstr(&first), STR_ARG(pool),
			  of_route ? "route" : "stream",
			  of_route ? f->way.route->id : f->stream->id, buf_cstr(&text));
}

/* ---- TLS ---- */

/* Who says how much there has to be. */
static const char *tls_rule(const struct trial_found *f, enum tls_need need)
{
	enum route_tls demand = f->demands.tls;

	if (need == TLS_NEED_DANE && demand != ROUTE_TLS_DANE)
		return "dane";
	if (need == TLS_NEED_STS && demand != ROUTE_TLS_STS)
		return "mta-sts";
	if (f->way.route != NULL && f->way.route->tls == demand &&
	    demand != ROUTE_TLS_OPPORTUNISTIC)
		return f->way.route->id;
	if (f->stream != NULL && hop_ways(f->way.next_hop).tls != ROUTE_TLS_OPPORTUNISTIC)
		return f->stream->id;
	return NULL;
}

static void step_tls(struct trial_found *f)
{
	const struct resolve_host *h = f->host != NULL ? f->host : f->answer->hosts;
	const char *why;
	enum tls_need need = tls_policy_need(h->tls, f->demands.tls, &why);
	const char *rule = tls_rule(f, need);
	char change[CHANGE_MAX] = "weir route add --tls";

	if (f->way.route != NULL)
		(void)snprintf(change, sizeof(change), "weir route set %s --tls", f->way.route->id);
	if (f->stream != NULL && hop_ways(f->way.next_hop).tls != ROUTE_TLS_OPPORTUNISTIC)
		(void)snprintf(change, sizeof(change), "weir stream set %s --tls", f->stream->id);
	else if (rule != NULL && strcmp(rule, "dane") == 0)
		(void)snprintf(change, sizeof(change), "the TLSA records of %s", h->name);
	else if (rule != NULL && strcmp(rule, "mta-sts") == 0)
		(void)snprintf(change, sizeof(change), "the domain's MTA-STS policy");
	steps_add(&f->steps, "tls", need == TLS_NEED_REFUSED ? STEP_WAITS : STEP_OK, rule, change,
		  "%s: %s%s%s%s", h->name, tls_need_name(need), *why != '\0' ? "; " : "", why,
		  *why == '\0' && h->tls == NULL ? "; nothing is published, or it was not asked for"
		  : *why == '\0' && *h->tls->dane_text != '\0' ? "; nothing published demands more"
							       : "");
}

static void step_login(struct trial_found *f)
{
	const struct route *r = f->way.route;
	char change[CHANGE_MAX];

	if (r == NULL || *r->user == '\0')
		return;
	(void)snprintf(change, sizeof(change), "weir route set %s --user", r->id);
	steps_add(&f->steps, "login", STEP_OK, r->id, change,
		  "as %s, with the password that the route has", r->user);
}

/* ---- limits, and what is the case now ---- */

static void step_limits(struct trial_found *f)
{
	const struct mailstream *x = f->stream;
	const struct conf *c = f->env->conf;
	AUTO_BUF text = BUF_INIT(STEPS_TEXT_MAX);
	char change[CHANGE_MAX];

	if (x == NULL) {
		steps_add(&f->steps, "limits", STEP_NONE, NULL, NULL, "depends on the stream");
		return;
	}
	(void)snprintf(change, sizeof(change), "weir stream set %s --rate --concurrency", x->id);
	(void)buf_printf(&text, "priority %d of 9", x->priority);
	if (x->rate != 0)
		(void)buf_printf(&text, "; %u messages a minute to one destination", x->rate);
	if (x->concurrency != 0)
		(void)buf_printf(&text, "; %u at once to one destination", x->concurrency);
	if (c != NULL)
		(void)buf_printf(&text,
				 "; %lld connections to hosts of one site, %lld in all "
				 "(relayd.conf)",
				 (long long)c->delivery_per_hop,
				 (long long)c->delivery_connections);
	steps_add(&f->steps, "limits", STEP_OK, x->id, change, "%s", buf_cstr(&text));
}

static void step_now(struct trial_found *f)
{
	struct why w = WHY_INIT;

	if (f->stream != NULL && why_backoff(f->env, &w, f->way.next_hop, REPLY_NONE))
		steps_add(&f->steps, "now", STEP_WAITS, w.rule[0] != '\0' ? w.rule : NULL,
			  "weir retry", "%s", buf_cstr(&w.text));
	else
		steps_add(&f->steps, "now", STEP_OK, NULL, NULL,
			  "the destination is not in back-off");
	buf_done(&w.text);
}

/* ---- retries ---- */

void trial_retry(const struct ctl_env *env, const struct mailstream *x, struct buf *out)
{
	char first[FMT_SHORT_LEN], most[FMT_SHORT_LEN];

	if (*x->retry_text != '\0' || env->conf == NULL) {
		(void)buf_puts(out, x->retry_text);
		return;
	}
	fmt_age(env->conf->retry_first_s, first);
	fmt_age(env->conf->retry_max_s, most);
	(void)buf_printf(out, "%s..%s", first, most);
}

int64_t trial_lifetime_s(const struct ctl_env *env, const struct mailstream *x)
{
	return x->lifetime_s > 0 || env->conf == NULL ? x->lifetime_s : env->conf->lifetime_s;
}

int64_t trial_delay_s(const struct ctl_env *env, const struct mailstream *x)
{
	return x->delay_s >= 0 || env->conf == NULL ? x->delay_s : env->conf->delay_warning_s;
}

static void step_retry(struct trial_found *f)
{
	const struct mailstream *x = f->stream;
	AUTO_BUF retry = BUF_INIT(400);
	char life[FMT_SHORT_LEN], delay[FMT_SHORT_LEN], change[CHANGE_MAX];
	bool own;

	if (x == NULL) {
		steps_add(&f->steps, "retry", STEP_NONE, NULL, NULL, "depends on the stream");
		return;
	}
	own = *x->retry_text != '\0' || x->lifetime_s > 0 || x->delay_s >= 0;
	trial_retry(f->env, x, &retry);
	fmt_age(trial_lifetime_s(f->env, x), life);
	fmt_age(trial_delay_s(f->env, x), delay);
	(void)snprintf(change, sizeof(change), "weir stream set %s --retry --lifetime", x->id);
	steps_add(&f->steps, "retry", STEP_OK, own ? x->id : "relayd.conf", change,
		  "again after %s%s; returned after %s; the sender is warned %s%s",
		  buf_cstr(&retry), strstr(buf_cstr(&retry), "..") != NULL ? ", doubling" : "",
		  life, trial_delay_s(f->env, x) > 0 ? "after " : "never",
		  trial_delay_s(f->env, x) > 0 ? delay : "");
}

void trial_way_out(struct trial_found *f)
{
	char why[POOL_WHY_MAX] = "";

	step_hold(f);
	step_route(f);
	if (!has_place(f) || f->answer == NULL)
		return;
	step_dns(f);
	if (f->answer->hosts_n > 0) {
		find_first(f, why);
		step_host(f, why);
		step_source(f, why);
		step_tls(f);
		step_login(f);
	}
	step_limits(f);
	step_now(f);
	step_retry(f);
}
