/*
 * Start: sockets (as root), then the queue (as the account that stays), then rules, and mail only
 * when all of it stands. The end: no new mail, sessions finish what they are in, then the parts go
 * in the reverse order, the queue last, which writes what is under way.
 */
#include "app/relayd_int.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/views.h"
#include "loop/loop.h"
#include "net/dns.h"
#include "policy/limiter.h"

#define WORKERS 4
#define IN_GRACE_MS 3000
#define OUT_GRACE_MS 5000
#define END_MS 15000 /* then it ends with whatever is left */
#define CHECK_TIMEOUT_MS 1500
#define CHECK_TRIES 2

/* --- roles ------------------------------------------------------------------------------------ */

static int read_users(const struct conf_list *names, const char *role, struct ctl_role_rule *ret,
		      struct err *err)
{
	uid_t *uids = xcalloc(names->n + 1, sizeof(*uids));

	ret->uids = uids;
	for (size_t i = 0; i < names->n; i++) {
		const struct passwd *pw = getpwnam(names->v[i]);

		if (pw == NULL)
			return err_set(err, ERR_CONFIG, "role %s: there is no account %s", role,
				       names->v[i]);
		uids[ret->uids_n++] = pw->pw_uid;
	}
	return 0;
}

static int read_groups(const struct conf_list *names, const char *role, struct ctl_role_rule *ret,
		       struct err *err)
{
	gid_t *gids = xcalloc(names->n + 1, sizeof(*gids));

	ret->gids = gids;
	for (size_t i = 0; i < names->n; i++) {
		const struct group *gr = getgrnam(names->v[i]);

		if (gr == NULL)
			return err_set(err, ERR_CONFIG, "role %s: there is no group %s", role,
				       names->v[i]);
		gids[ret->gids_n++] = gr->gr_gid;
	}
	return 0;
}

static int read_roles(struct relayd *r, struct err *err)
{
	static const enum access of[CONF_ROLE__COUNT] = {
		[CONF_VIEWER] = ACCESS_VIEWER,
		[CONF_OPERATOR] = ACCESS_OPERATOR,
		[CONF_ADMIN] = ACCESS_ADMIN,
	};
	int rc = 0;

	for (int k = 0; rc == 0 && k < CONF_ROLE__COUNT; k++) {
		const char *name = access_name(of[k]);

		rc = read_users(&r->conf->roles[k].users, name, &r->roles[of[k]], err);
		if (rc == 0)
			rc = read_groups(&r->conf->roles[k].groups, name, &r->roles[of[k]], err);
	}
	return rc;
}

static int open_control(struct relayd *r, struct err *err)
{
	struct ctl_config cfg = {
		.path = r->conf->control_socket,
		.mode = (mode_t)r->conf->control_mode,
		.group = (gid_t)-1,
		.relay = r->conf->hostname,
		.version = WEIR_VERSION,
	};
	int rc = read_roles(r, err);

	if (rc < 0)
		return rc;
	for (int k = 0; k < ACCESS__COUNT; k++)
		cfg.roles[k] = &r->roles[k];
	if (r->conf->control_group != NULL) {
		const struct group *gr = getgrnam(r->conf->control_group);

		if (gr == NULL)
			return err_set(err, ERR_CONFIG,
				       "control: there is no group %s; `group` names one that is",
				       r->conf->control_group);
		cfg.group = gr->gr_gid;
	}
	return ctl_new(r->env.loop, &cfg, &ctl_services, &r->env, &r->env.ctl, err);
}

/* --- mail in ---------------------------------------------------------------------------------- */

static void own_add(void *arg, const struct ipaddr *a)
{
	struct relayd *r = arg;

	if (r->own_n < RELAYD_OWN_MAX)
		r->own[r->own_n++] = *a;
}

static bool is_wildcard(const struct ipaddr *a)
{
	struct ipaddr v4, v6;

	return (ipaddr_parse(STR("0.0.0.0"), &v4) && ipaddr_eq(a, &v4)) ||
	       (ipaddr_parse(STR("::"), &v6) && ipaddr_eq(a, &v6));
}

/* A mail exchanger where we listen ourselves would be a loop. */
static void note_own(struct relayd *r, const struct netaddr *at)
{
	if (at->port != r->conf->delivery_port)
		return;
	if (!is_wildcard(&at->ip)) {
		own_add(r, &at->ip);
		return;
	}
	addresses_each(own_add, r);
}

static void tell_certificate(const struct relayd *r)
{
	int64_t ends_ms = tls_server_expires_ms(r->tls);
	char ends[FMT_TIME_LEN];

	fmt_time(ends_ms, ends);
	if (ends_ms <= loop_wall_ms(r->env.loop))
		log_warn(NULL, "relayd.certificate", F_STR("file", r->conf->tls_certificate),
			 F_STR("ended", ends));
	else
		log_info(NULL, "relayd.certificate", F_STR("file", r->conf->tls_certificate),
			 F_STR("until", ends));
}

static int open_certificate(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;

	if (c->tls_certificate == NULL)
		return 0;
	if (tls_server_new(c->tls_certificate, c->tls_key, &r->tls, err) < 0)
		return err_prefix(err, "tls");
	r->env.tls = r->tls;
	tell_certificate(r);
	return 0;
}

/* Networks of the configuration, which were checked when it was read. */
static void read_networks(const struct conf_list *list, struct ipnet *ret)
{
	for (size_t i = 0; i < list->n; i++)
		if (ipnet_parse(str_of(list->v[i]), &ret[i], NULL) < 0)
			BUG("a network that was checked");
}

static struct smtpin_rules rules_of(const struct conf_listen *l, struct ipnet *proxies)
{
	static const enum smtpin_tls tls[] = {
		[CONF_TLS_NONE] = SMTPIN_TLS_NONE,
		[CONF_TLS_STARTTLS] = SMTPIN_TLS_STARTTLS,
		[CONF_TLS_IMPLICIT] = SMTPIN_TLS_IMPLICIT,
	};

	static const enum smtpin_auth auth[] = {
		[CONF_AUTH_NONE] = SMTPIN_AUTH_NONE,
		[CONF_AUTH_OPTIONAL] = SMTPIN_AUTH_OPTIONAL,
		[CONF_AUTH_REQUIRED] = SMTPIN_AUTH_REQUIRED,
	};

	read_networks(&l->proxy, proxies);
	return (struct smtpin_rules){ .tls = tls[l->tls],
				      .proxies = proxies,
				      .n_proxies = l->proxy.n,
				      .auth = auth[l->auth],
				      .auth_loopback = l->loopback_auth != 0 };
}

static int read_postmaster(const struct conf *c, struct address *ret, struct err *err)
{
	ret->n = 0;
	if (c->postmaster == NULL)
		return 0;
	if (address_parse(str_of(c->postmaster), 0, ret, err) < 0)
		return err_set(err, ERR_CONFIG, "postmaster: an address is expected, not '%.100s'",
			       c->postmaster);
	return 0;
}

static int open_listeners(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;
	struct address postmaster;
	int rc = read_postmaster(c, &postmaster, err);

	if (rc < 0)
		return rc;

	r->env.smtpin = smtpin_new(
		r->env.loop,
		&(struct smtpin_config){
			.hostname = c->hostname,
			.tls = r->tls,
			.creds = r->env.creds,
			.sasl = r->sasl,
			.guard = r->env.guard,
			.postmaster = postmaster,
			.postmaster_domain = r->env.bounce_domain,
			.line_max = c->long_lines == CONF_LINES_REFUSE ? (size_t)c->line_length : 0,
			.size_max = (size_t)c->message_size,
			.memory_max = (size_t)c->memory,
			.rcpts_max = (unsigned)c->recipients,
			.connections_max = (unsigned)c->connections,
			.per_client_max = (unsigned)c->connections_per_client,
			.per_credential_max = (unsigned)c->connections_per_credential,
			.connection_rate = (unsigned)c->connection_rate,
			.client_rate = { (unsigned)c->message_rate, (unsigned)c->recipient_rate },
			.credential_rate = { (unsigned)c->credential_message_rate,
					     (unsigned)c->credential_recipient_rate },
			.commands_max = (unsigned)c->commands,
			.errors_max = (unsigned)c->errors,
			.command_ms = c->command_s * 1000,
			.data_ms = c->message_s * 1000 },
		&wire_smtpin_ops, r);
	for (size_t i = 0; rc == 0 && i < c->listen_n; i++) {
		struct ipnet proxies[CONF_LIST_MAX];
		const struct smtpin_rules rules = rules_of(&c->listen[i], proxies);
		struct netaddr at;

		rc = netaddr_parse(str_of(c->listen[i].address), &at, err);
		if (rc == 0)
			rc = smtpin_listen(r->env.smtpin, &at, &rules, NULL, err);
		if (rc < 0) {
			(void)err_prefix(err, "listen %s", c->listen[i].name);
			return -err->code;
		}
		note_own(r, &at);
	}
	return rc;
}

int relayd_new(const struct conf *conf, struct loop *loop_take, struct relayd **ret_relayd,
	       struct err *err)
{
	struct relayd *r = xcalloc(1, sizeof(*r));
	int rc;

	r->magic = RELAYD_MAGIC;
	r->conf = conf;
	r->env.loop = loop_take;
	r->env.conf = conf;
	r->env.hostname = conf->hostname;
	r->env.started_ms = loop_wall_ms(r->env.loop);
	r->env.undo_window_ms = conf->undo_window_s * 1000;
	r->env.probation_ms = conf->probation_s * 1000;
	r->env.bounce_grace_ms = conf->bounce_grace_s * 1000;
	r->env.holds = holds_new();
	r->env.routes = routes_new();
	r->env.streams = streams_new();
	r->env.pools = pools_new();
	r->env.allow = allow_new();
	r->env.creds = creds_new();
	r->env.guard =
		guard_new(&(struct guard_config){ .failures_max = (unsigned)conf->auth_failures,
						  .block_ms = conf->auth_block_s * 1000 });
	r->sasl = sasl_server_new(r->env.loop, r->env.creds);
	r->env.keys = keys_new();
	r->env.suppress = suppress_new();
	loop_workers(r->env.loop, WORKERS);
	rc = classify_load(conf->classify_rules, &r->env.rules, err);
	if (rc >= 0)
		rc = suppression_open(r, err);
	if (rc >= 0)
		rc = bounces_prepare(r, err);
	if (rc >= 0)
		rc = sinks_prepare(r, err);
	if (rc >= 0)
		rc = open_control(r, err);
	if (rc >= 0)
		rc = open_certificate(r, err);
	if (rc >= 0)
		rc = open_listeners(r, err);
	if (rc < 0)
		relayd_free(&r);
	else
		*ret_relayd = r;
	return rc;
}

/* --- the queue, and what stands on it --------------------------------------------------------- */

/* What comes back by mail is about messages that are over. */
static int64_t kept_s(const struct conf *c)
{
	return c->bounces_domain != NULL && c->bounces_valid_s > c->keep_finished_s
		       ? c->bounces_valid_s
		       : c->keep_finished_s;
}

static int open_queue(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;
	int rc = queue_open(r->env.loop,
			    &(struct queue_config){
				    .dir = c->state_dir,
				    .cache_bytes = (size_t)c->cache_bytes,
				    .keep_finished_ms = kept_s(c) * 1000,
				    .keep_finished_max = (uint64_t)c->keep_finished_max,
				    .relay = c->hostname,
			    },
			    &wire_queue_ops, r, &r->env.queue, err);
	if (rc < 0)
		return rc;
	queue_watch(r->env.queue, wire_event, r);
	return 0;
}

static enum dns_trust trust_of(const struct conf *c)
{
	static const enum dns_trust of[] = { [CONF_TRUST_NO] = DNS_TRUST_NO,
					     [CONF_TRUST_AUTO] = DNS_TRUST_AUTO,
					     [CONF_TRUST_YES] = DNS_TRUST_YES };

	return of[c->trust_ad];
}

/* Checks are made for somebody who waits: they give up sooner than mail does. */
static int open_dns(struct relayd *r, struct err *err)
{
	const struct dns_config cfg = {
		.servers = (const char *const *)r->conf->dns_servers.v,
		.servers_n = r->conf->dns_servers.n,
		.timeout_ms = CHECK_TIMEOUT_MS,
		.tries = CHECK_TRIES,
		.trust = trust_of(r->conf),
	};

	r->env.addresses = r->addresses;
	r->env.addresses_n = public_addresses(r->addresses, ARRAY_LEN(r->addresses));
	return dns_new(r->env.loop, &cfg, &r->env.dns, err);
}

static int open_resolver(struct relayd *r, struct err *err)
{
	struct ipnet avoid[CONF_LIST_MAX];

	read_networks(&r->conf->delivery_avoid, avoid);
	return resolver_new(r->env.loop,
			    &(struct resolver_config){
				    .hostname = r->conf->hostname,
				    .servers = (const char *const *)r->conf->dns_servers.v,
				    .servers_n = r->conf->dns_servers.n,
				    .mx_port = (uint16_t)r->conf->delivery_port,
				    .own = r->own,
				    .own_n = r->own_n,
				    .avoid = avoid,
				    .avoid_n = r->conf->delivery_avoid.n,
				    .trust = trust_of(r->conf),
				    .sts_trust = r->trust,
				    .sts_port = (uint16_t)r->conf->sts_port,
				    .sts_keep = wire_keep_sts,
			    },
			    wire_provider, r, &r->env.resolver, err);
}

static int load(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;
	int64_t from_ms = loop_clock_us() / 1000;
	struct sched_counts counts;
	uint64_t messages;
	int64_t oldest_ms;
	int rc;

	r->env.sched = sched_new(r->env.loop, r->env.queue,
				 &(struct sched_config){ .retry_first_ms = c->retry_first_s * 1000,
							 .retry_max_ms = c->retry_max_s * 1000,
							 .lifetime_ms = c->lifetime_s * 1000,
							 .delay_ms = c->delay_warning_s * 1000,
							 .backoff_first_ms = 30000,
							 .backoff_max_ms = 600000 },
				 &wire_sched_ops, r);
	rc = queue_load(r->env.queue, wire_load, r, err);
	if (rc >= 0)
		rc = queue_load_objects(r->env.queue, WIRE_KIND_STS, wire_load_sts, r, err);
	if (rc >= 0)
		rc = wire_providers_load(r, err);
	if (rc >= 0)
		rc = bounces_open(r, err);
	if (rc >= 0)
		rc = actions_open(&r->env, err);
	if (rc < 0)
		return rc;
	sched_rejudge(r->env.sched, true);
	rc = wire_trouble_load(r, err);
	if (rc < 0)
		return rc;
	sched_totals(r->env.sched, &counts, &messages, &oldest_ms);
	log_info(NULL, "queue.loaded", F_U64("messages", messages),
		 F_U64("recipients", counts.total), F_I64("ms", loop_clock_us() / 1000 - from_ms));
	return 0;
}

static enum smtpout_transcripts transcripts_of(const struct conf *c)
{
	static const enum smtpout_transcripts kept[] = {
		[CONF_KEEP_YES] = SMTPOUT_TRANSCRIPTS_YES,
		[CONF_KEEP_FAILURES] = SMTPOUT_TRANSCRIPTS_FAILURES,
		[CONF_KEEP_NO] = SMTPOUT_TRANSCRIPTS_NO,
	};

	return kept[c->transcripts];
}

int relayd_open(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;
	int rc = tls_client_new(c->tls_authorities, &r->trust, err);

	if (rc < 0)
		return err_prefix(err, "tls");
	rc = open_queue(r, err);

	if (rc >= 0)
		rc = open_resolver(r, err);
	if (rc >= 0)
		rc = open_dns(r, err);
	if (rc >= 0)
		rc = sinks_open(r, err);
	if (rc >= 0)
		rc = load(r, err);
	if (rc < 0)
		return rc;
	r->env.smtpout =
		smtpout_new(r->env.loop,
			    &(struct smtpout_config){
				    .hostname = c->hostname,
				    .connections_max = (unsigned)c->delivery_connections,
				    .per_hop_max = (unsigned)c->delivery_per_hop,
				    .per_connection_max = (unsigned)c->delivery_per_connection,
				    .tls = r->trust,
				    .queue = r->env.queue,
				    .transcripts = transcripts_of(c),
				    .demands = wire_demands,
				    .sender = r->bounces.domain[0] != '\0' ? wire_sender : NULL,
				    .source = wire_source,
				    .source_take = wire_source_take,
				    .source_untake = wire_source_untake,
				    .source_bad = wire_source_bad,
				    .slows = wire_slows,
				    .relayed = wire_relayed,
				    .heard = wire_heard,
				    .spoken = wire_spoken,
				    .arg = r },
			    r->env.sched, r->env.resolver);
	wire_pools_open(r);
	sched_start(r->env.sched);
	actions_start(r->env.actions);
	suppression_start(r);
	sinks_start(r->env.sinks);
	return 0;
}

/* --- running and ending ----------------------------------------------------------------------- */

void wire_drained(struct relayd *r)
{
	if (r->ending && r->in_drained && r->out_drained)
		loop_stop(r->env.loop);
}

static void on_out_drained(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	r->out_drained = true;
	wire_drained(r);
}

static void on_overdue(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	log_warn(NULL, "relayd.end-overdue", F_U64("in", smtpin_connections(r->env.smtpin)),
		 F_U64("out", smtpout_connections(r->env.smtpout)));
	loop_stop(r->env.loop);
}

static void on_end(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	if (r->ending) { /* told twice */
		loop_stop(r->env.loop);
		return;
	}
	r->ending = true;
	log_info(NULL, "relayd.ending");
	loop_timer_set(r->shutdown, END_MS);
	sched_stop(r->env.sched);
	smtpin_drain(r->env.smtpin, IN_GRACE_MS);
	smtpout_drain(r->env.smtpout, OUT_GRACE_MS, on_out_drained, r);
}

/* What may change under a running relay: the certificate. All else needs a restart. */
static void reload_certificate(struct relayd *r)
{
	const struct conf *c = r->conf;
	struct err err = ERR_INIT;

	if (r->tls == NULL)
		log_info(NULL, "relayd.reload", F_STR("effect", "there is no certificate"));
	else if (tls_server_load(r->tls, c->tls_certificate, c->tls_key, &err) < 0)
		log_error(NULL, "relayd.reload", F_STR("error", err.msg),
			  F_STR("effect", "the former certificate stays in use"));
	else
		tell_certificate(r);
}

static void reload_rules(struct relayd *r)
{
	struct classify_rules *rules = NULL;
	struct err err = ERR_INIT;

	if (r->conf->classify_rules == NULL)
		return;
	if (classify_load(r->conf->classify_rules, &rules, &err) < 0) {
		log_error(NULL, "relayd.reload", F_STR("error", err.msg),
			  F_STR("effect", "the former rules stay in use"));
		return;
	}
	classify_free(&r->env.rules);
	r->env.rules = rules;
	log_info(NULL, "relayd.reload", F_STR("rules", r->conf->classify_rules),
		 F_U64("n", classify_rules_count(rules)));
}

static void on_reload(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	reload_certificate(r);
	reload_rules(r);
}

void relayd_run(struct relayd *r)
{
	static const int signals[] = { SIGTERM, SIGINT };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		r->ends[i] = loop_signal_new(r->env.loop, signals[i], on_end, r);
	r->reload = loop_signal_new(r->env.loop, SIGHUP, on_reload, r);
	r->shutdown = loop_timer_new(r->env.loop, "relayd.shutdown", on_overdue, r);
	log_info(NULL, "relayd.ready", F_STR("version", WEIR_VERSION),
		 F_STR("hostname", r->conf->hostname));
	loop_run(r->env.loop);
	log_info(NULL, "relayd.ended");
}

int relayd_test(const struct conf *conf, struct err *err)
{
	struct tls_server *tls = NULL;
	struct classify_rules *rules = NULL;
	struct address postmaster;
	struct netaddr at;
	int rc = read_postmaster(conf, &postmaster, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < conf->listen_n; i++)
		if (netaddr_parse(str_of(conf->listen[i].address), &at, err) < 0)
			return err_prefix(err, "listen %s", conf->listen[i].name);
	if (conf->tls_certificate != NULL &&
	    tls_server_new(conf->tls_certificate, conf->tls_key, &tls, err) < 0)
		return err_prefix(err, "tls");
	tls_server_free(&tls);
	rc = classify_load(conf->classify_rules, &rules, err);
	classify_free(&rules);
	if (rc >= 0)
		rc = sinks_test(conf, err);
	if (rc >= 0)
		rc = bounces_test(conf, err);
	return rc < 0 ? rc : suppression_test(conf, err);
}

void relayd_free(struct relayd **rp)
{
	struct relayd *r;

	if (rp == NULL || *rp == NULL)
		return;
	r = *rp;
	*rp = NULL;
	for (size_t i = 0; i < ARRAY_LEN(r->ends); i++)
		loop_signal_free(&r->ends[i]);
	loop_signal_free(&r->reload);
	loop_timer_free(&r->shutdown);
	smtpout_free(&r->env.smtpout);
	if (r->env.actions != NULL)
		actions_flush(r->env.actions);
	suppression_end(r);
	if (r->env.queue != NULL) {
		wire_pools_store(r);
		wire_parts_store(r->trouble);
	}
	wire_pools_close(r);
	wire_parts_free(&r->providers);
	wire_parts_free(&r->trouble);
	/* no reader works on anybody's filter any more, and no answer comes */
	queue_close(&r->env.queue);
	suppression_close(r);
	bounces_end(r);
	sinks_end(r);
	views_close(&r->env);
	actions_close(&r->env.actions);
	ctl_free(&r->env.ctl);
	smtpin_free(&r->env.smtpin);
	sasl_server_free(&r->sasl);
	tls_server_free(&r->tls);
	sched_free(&r->env.sched);
	resolver_free(&r->env.resolver);
	tls_client_free(&r->trust); /* the resolver fetches policies with it */
	dns_free(&r->env.dns);
	holds_free(&r->env.holds);
	routes_free(&r->env.routes);
	streams_free(&r->env.streams);
	pools_free(&r->env.pools);
	allow_free(&r->env.allow);
	guard_free(&r->env.guard);
	keys_free(&r->env.keys);
	suppress_free(&r->env.suppress);
	unread_free(&r->env.unread);
	classify_free(&r->env.rules);
	for (int k = 0; k < ACCESS__COUNT; k++) {
		free((void *)(uintptr_t)r->roles[k].uids);
		free((void *)(uintptr_t)r->roles[k].gids);
	}
	loop_free(&r->env.loop); /* waits for jobs, which may look at credentials */
	creds_free(&r->env.creds);
	free(r);
}
