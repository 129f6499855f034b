#include "ctl/decide.h"

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "route/hop.h"
#include "route/site.h"
#include "sign/author.h"

/* ---- streams ---- */

void decide_row(const struct ctl_env *env, const struct decide_mail *m,
		char client[static IPADDR_TEXT_LEN], struct filter_row *ret)
{
	*ret = FILTER_ROW_INIT(loop_wall_ms(env->loop));
	filter_row_text(ret, FILTER_RELAY, str_of(env->hostname));
	if (m->from != NULL) {
		filter_row_text(ret, FILTER_FROM, address_str(m->from));
		filter_row_text(ret, FILTER_SENDER_DOMAIN, address_domain(m->from));
	}
	if (m->client != NULL) {
		ipaddr_text(m->client, client);
		filter_row_text(ret, FILTER_CLIENT, str_of(client));
	}
	if (m->credential.p != NULL)
		filter_row_text(ret, FILTER_CREDENTIAL, m->credential);
	if (m->subject.p != NULL)
		filter_row_text(ret, FILTER_SUBJECT, m->subject);
	if (m->msgid.p != NULL)
		filter_row_text(ret, FILTER_MSGID, m->msgid);
	if (m->size >= 0)
		filter_row_number(ret, FILTER_SIZE, m->size);
}

const struct allow_entry *decide_network(const struct ctl_env *env, const struct streams *streams,
					 const struct ipaddr *client)
{
	const struct allow_entry *x = allow_check(env->allow, client, loop_wall_ms(env->loop));

	return x != NULL && *x->stream != '\0' && streams_find(streams, str_of(x->stream)) != NULL
		       ? x
		       : NULL;
}

const struct allow_entry *decide_network_of(const struct ctl_env *env, const struct decide_mail *m)
{
	return m->client != NULL && m->credential.p != NULL && m->credential.n == 0
		       ? decide_network(env, env->streams, m->client)
		       : NULL;
}

static void put_rcpt(const struct address *to, struct filter_row *row)
{
	filter_row_text(row, FILTER_TO, address_str(to));
	filter_row_text(row, FILTER_DOMAIN, address_domain(to));
}

static void fill_rcpt(void *arg, size_t i, struct filter_row *row)
{
	const struct decide_mail *m = arg;

	put_rcpt(m->rcpt(m->arg, i), row);
}

const struct mailstream *decide_stream(const struct ctl_env *env, const struct decide_mail *m,
				       const struct mailstream **ret_open)
{
	struct decide_mail mine = *m;
	char client[IPADDR_TEXT_LEN];
	const struct allow_entry *network;
	struct filter_row row;
	const struct stream_facts f = { .row = &row,
					.rcpts_n = m->rcpts_n,
					.rcpt = fill_rcpt,
					.arg = &mine,
					.all_rcpts = m->all_rcpts,
					.has_header = m->has_header,
					.header = m->header };

	*ret_open = NULL;
	if (m->stream != NULL)
		return m->stream;
	if (streams_n(env->streams) == 1)
		return streams_at(env->streams, 0);
	network = decide_network_of(env, m);
	if (network != NULL)
		return streams_find(env->streams, str_of(network->stream));
	decide_row(env, m, client, &row);
	return streams_assign(env->streams, &f, ret_open);
}

const struct route *decide_rcpt(const struct ctl_env *env, const struct decide_mail *m,
				const struct address *rcpt, const struct mailstream **ret_stream)
{
	struct str domain = address_domain(rcpt);
	const char *provider = resolver_provider(env->resolver, domain);
	const struct mailstream *open;
	const struct route *route = NULL;
	char client[IPADDR_TEXT_LEN], hop[ROUTE_HOP_MAX];
	struct filter_row row;

	*ret_stream = decide_stream(env, m, &open);
	decide_row(env, m, client, &row);
	put_rcpt(rcpt, &row);
	if (*ret_stream != NULL)
		filter_row_text(&row, FILTER_STREAM, str_of((*ret_stream)->id));
	if (provider != NULL)
		filter_row_text(&row, FILTER_PROVIDER, str_of(provider));
	if (!routes_judge(env->routes, &row, domain, &route, hop) || strcmp(hop, "reject") != 0)
		return NULL;
	return route;
}

bool decide_is_feedback(const struct ctl_env *env, const struct address *rcpt)
{
	return env->feedback != NULL && env->feedback->n > 0 &&
	       str_eq_nocase(address_str(rcpt), address_str(env->feedback));
}

bool decide_is_ours(const struct ctl_env *env, const struct address *rcpt)
{
	return env->bounce_domain != NULL &&
	       (str_eq_nocase(address_domain(rcpt), str_of(env->bounce_domain)) ||
		decide_is_feedback(env, rcpt));
}

bool decide_drops(const struct ctl_env *env, const struct mailstream *x)
{
	switch (x->suppressed) {
	case STREAM_AS_RELAY:
		break;
	case STREAM_REJECT:
		return false;
	case STREAM_DROP:
		return true;
	}
	return env->conf != NULL && env->conf->suppress_answer == CONF_ANSWER_DROP;
}

/* Of any stream, when it is not known yet: then it is for later, when it is. */
static bool may_drop(const struct ctl_env *env)
{
	for (size_t i = 0; i < streams_n(env->streams); i++)
		if (decide_drops(env, streams_at(env->streams, i)))
			return true;
	return false;
}

struct suppress_entry *decide_suppressed(const struct ctl_env *env, struct str rcpt,
					 const struct mailstream *x)
{
	if (x != NULL ? decide_drops(env, x) : may_drop(env))
		return NULL;
	return suppress_check(env->suppress, rcpt, str_of(x != NULL ? x->id : ""),
			      loop_wall_ms(env->loop));
}

static bool refuse(struct smtp_answer *ret)
{
	ret->code = 550;
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "5.7.1");
	return true;
}

bool decide_refuses(const struct ctl_env *env, const struct mailstream *x, struct str credential,
		    struct str header, struct smtp_answer *ret_refusal)
{
	AUTO_BUF lacks = BUF_INIT(STREAM_CONDITION_MAX + 200);
	const struct cred *c = credential.n > 0 ? creds_find(env->creds, credential) : NULL;

	if (c != NULL && !cred_in_streams(c, str_of(x->id))) {
		(void)snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			       "The credential %.*s may not send mail of the stream %s",
			       STR_ARG(credential), x->id);
		return refuse(ret_refusal);
	}
	if (x->require[0] == NULL || !streams_lacks(x, header, &lacks))
		return false;
	(void)snprintf(ret_refusal->text, sizeof(ret_refusal->text),
		       "The stream %s wants the header field %s", x->id, buf_cstr(&lacks));
	return refuse(ret_refusal);
}

/* ---- signatures ---- */

static bool add_signers(const struct keys *k, const char *domain, const struct key_entry **ret,
			size_t *n)
{
	size_t first, all = keys_of(k, str_of(domain), &first), before = *n;

	for (size_t i = 0; i < all && *n < KEYS_DOMAIN_MAX; i++)
		if (keys_at(k, first + i)->state == KEY_ACTIVE &&
		    keys_at(k, first + i)->key != NULL)
			ret[(*n)++] = keys_at(k, first + i);
	return *n > before;
}

size_t decide_signers(const struct ctl_env *env, struct str content, const struct mailstream *x,
		      const struct key_entry *ret[static KEYS_DOMAIN_MAX])
{
	const struct keys *k = env->keys;
	char domain[AUTHOR_DOMAIN_MAX + 1] = "";
	size_t n = 0;

	if (keys_n(k) == 0)
		return 0;
	if (author_domain(content, domain) && !add_signers(k, domain, ret, &n))
		(void)add_signers(k, site_of(domain), ret, &n);
	if (*x->dkim != '\0' && (n == 0 || strcmp(ret[0]->domain, x->dkim) != 0))
		(void)add_signers(k, x->dkim, ret, &n);
	return n;
}

/* ---- where it goes ---- */

struct decide_rules decide_rules_of(const struct ctl_env *env)
{
	return (struct decide_rules){ .routes = env->routes,
				      .streams = env->streams,
				      .pools = env->pools };
}

/* The pool, or the one behind it when it has no room. One that is gone stays: mail does not leave
 * from anywhere else. */
static const char *open_pool(const struct pools *pools, const char *name, int64_t now_ms)
{
	const char *open;

	if (*name == '\0')
		return name;
	open = pools_effective(pools, name, now_ms);
	return *open != '\0' ? open : name;
}

/* How the stream and the route's pool have it go there. */
static void add_ways(const struct decide_rules *r, int64_t now_ms, struct decide_way *way)
{
	const struct mailstream *x = way->stream;

	way->pool = way->route != NULL && *way->route->pool != '\0' ? way->route->pool : x->pool;
	hop_add(way->next_hop, sizeof(way->next_hop), x->tls,
		open_pool(r->pools, way->pool, now_ms));
}

void decide_way(const struct decide_rules *r, const struct filter_row *row, struct str domain,
		struct decide_way *ret)
{
	ret->route = NULL;
	ret->stream = streams_of(r->streams, row->text[FILTER_STREAM]);
	ret->known = routes_judge(r->routes, row, domain, &ret->route, ret->next_hop);
	add_ways(r, row->now_ms, ret);
}

bool decide_by_provider(const struct decide_rules *r, const struct filter_row *row,
			struct str domain, struct decide_way *way)
{
	if (way->known || (row->known & 1u << FILTER_PROVIDER) != 0)
		return false;
	(void)snprintf(way->next_hop, sizeof(way->next_hop), "mx:%.*s", STR_ARG(domain));
	add_ways(r, row->now_ms, way);
	return true;
}
