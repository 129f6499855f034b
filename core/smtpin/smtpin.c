/*
 * The server keeps its sessions in a list, and those that may wait for a result in slots, whose
 * number is the low part of a token. A session whose client went while it waits keeps its slot, and
 * counts against the cap, until the result is there.
 */
#include "smtpin/smtpin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/listener.h"
#include "smtpin/smtpin_int.h"

#define MIB ((size_t)1024 * 1024)
#define SLOT_BITS 16
#define CONNECTIONS 'c' /* of an address; in the tally and in the limiter */
#define SESSIONS 's'	/* of a credential */

static void on_drain_timer(void *arg);

static void set_defaults(struct smtpin_config *c)
{
#define DEFAULT(field, value) c->field = c->field != 0 ? c->field : (value)
	DEFAULT(size_max, 25 * MIB);
	DEFAULT(memory_max, 256 * MIB);
	DEFAULT(rcpts_max, 1000);
	DEFAULT(connections_max, 2000);
	DEFAULT(per_client_max, 500);
	DEFAULT(hops_max, 100);
	DEFAULT(errors_max, 20);
	DEFAULT(command_ms, 300000);
	DEFAULT(data_ms, 3600000);
	DEFAULT(handshake_ms, 60000);
	DEFAULT(commands_max, 1000);
	DEFAULT(per_credential_max, 500);
#undef DEFAULT
	ASSERT(c->connections_max <= SMTPIN_CONNECTIONS_TOP);
}

struct smtpin *smtpin_new(struct loop *l, const struct smtpin_config *conf,
			  const struct smtpin_ops *ops, void *arg)
{
	struct smtpin *in = xcalloc(1, sizeof(*in));

	in->magic = SMTPIN_MAGIC;
	in->loop = l;
	in->conf = *conf;
	set_defaults(&in->conf);
	in->hostname = xstrdup(conf->hostname);
	in->conf.hostname = in->hostname;
	in->ops = ops;
	in->arg = arg;
	TAILQ_INIT(&in->sessions);
	TAILQ_INIT(&in->arrivals);
	in->limiter = limiter_new();
	in->tally = tally_new();
	in->n_free = in->conf.connections_max;
	in->slots = xcalloc(in->n_free, sizeof(struct smtpin_session *));
	in->free_slots = xcalloc(in->n_free, sizeof(*in->free_slots));
	for (unsigned i = 0; i < in->n_free; i++)
		in->free_slots[i] = in->n_free - 1 - i;
	in->drain_end = loop_timer_new(l, "smtpin.drain", on_drain_timer, in);
	return in;
}

static void stop_listening(struct smtpin *in)
{
	for (size_t i = 0; i < in->n_doors; i++)
		listener_free(&in->doors[i].listener);
	proxy_drop_all(in);
}

void smtpin_free(struct smtpin **sp)
{
	struct smtpin *in = sp != NULL ? *sp : NULL;
	struct smtpin_session *s;

	if (in == NULL)
		return;
	*sp = NULL;
	stop_listening(in);
	while ((s = TAILQ_FIRST(&in->sessions)) != NULL)
		session_free(&s);
	loop_timer_free(&in->drain_end);
	for (size_t i = 0; i < in->n_doors; i++)
		free(in->doors[i].proxies);
	limiter_free(&in->limiter);
	tally_free(&in->tally);
	free(in->slots);
	free(in->free_slots);
	free(in->hostname);
	in->magic = 0;
	free(in);
}

/* Few connections are left: whoever is slow makes room. */
static void look_for_stress(struct smtpin *in)
{
	bool stressed = in->n_free < in->conf.connections_max / 4;
	struct smtpin_session *s;

	if (in->stressed == stressed)
		return;
	in->stressed = stressed;
	if (!stressed)
		return;
	if (log_limited("smtpin.stress"))
		log_warn(NULL, "smtpin.stress", F_U64("connections", in->open),
			 F_STR("effect", "clients have less time until there are fewer"));
	TAILQ_FOREACH (s, &in->sessions, next)
		session_hurry(s);
}

int64_t smtpin_patience(const struct smtpin *in, int64_t usual_ms)
{
	return in->stressed && usual_ms > SMTPIN_STRESS_MS ? SMTPIN_STRESS_MS : usual_ms;
}

bool smtpin_slot_take(struct smtpin *in, struct smtpin_session *s, unsigned *ret)
{
	if (in->n_free == 0)
		return false;
	*ret = in->free_slots[--in->n_free];
	in->slots[*ret] = s;
	look_for_stress(in);
	return true;
}

void smtpin_slot_give(struct smtpin *in, unsigned slot)
{
	in->slots[slot] = NULL;
	in->free_slots[in->n_free++] = slot;
	look_for_stress(in);
	if (in->draining && in->n_free == in->conf.connections_max)
		loop_timer_set(in->drain_end, 0);
}

/* Without a session: one line, if the client reads it. */
static void turn_away(struct smtpin *in, int fd, const struct ipaddr *client, const char *text)
{
	char line[256];
	char ip[IPADDR_TEXT_LEN];
	int n = snprintf(line, sizeof(line), "421 %s\r\n", text);

	in->stats.connections_refused++;
	if (log_limited_at(LOG_LEVEL_INFO, "smtpin.turned_away")) {
		ipaddr_text(client, ip);
		log_info(NULL, "smtpin.turned_away", F_STR("client", ip), F_STR("reason", text));
	}
	(void)send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

/* What stands for one client: of IPv6, everybody has a /64. */
static struct str client_key(const struct ipaddr *client)
{
	return str_from((const char *)client->b, ipaddr_is_v4(client) ? sizeof(client->b) : 8);
}

void smtpin_comes(struct smtpin *in, const struct smtpin_session *s)
{
	tally_add(in->tally, CONNECTIONS, client_key(&s->client));
}

void smtpin_goes(struct smtpin *in, const struct smtpin_session *s)
{
	tally_drop(in->tally, CONNECTIONS, client_key(&s->client));
	if (s->counted)
		tally_drop(in->tally, SESSIONS, str_of(s->credential));
}

bool smtpin_authenticates(struct smtpin *in, struct smtpin_session *s)
{
	struct str name = str_of(s->credential);

	if (tally_get(in->tally, SESSIONS, name) >= in->conf.per_credential_max)
		return false;
	tally_add(in->tally, SESSIONS, name);
	s->counted = true;
	return true;
}

static const struct cred *cred_of(const struct smtpin *in, const struct smtpin_session *s)
{
	return s->credential[0] != '\0' ? creds_find(in->conf.creds, str_of(s->credential)) : NULL;
}

unsigned smtpin_rcpts_max(const struct smtpin *in, const struct smtpin_session *s)
{
	const struct cred *x = cred_of(in, s);
	unsigned own = x != NULL ? x->recipients_max : 0;

	return own != 0 && own < in->conf.rcpts_max ? own : in->conf.rcpts_max;
}

static unsigned messages_of(const struct smtpin *in, const struct cred *x)
{
	return x != NULL && x->per_minute != 0 ? x->per_minute : in->conf.credential_rate.messages;
}

bool smtpin_credential_full(const struct smtpin *in, const struct cred *x, unsigned *ret_limit)
{
	*ret_limit = messages_of(in, x);
	return !limiter_has(in->limiter, 'm', str_of(x->name), 1, *ret_limit,
			    loop_now_ms(in->loop));
}

bool smtpin_take(struct smtpin *in, char what, const struct smtpin_session *s)
{
	const struct smtpin_config *c = &in->conf;
	const struct cred *x = cred_of(in, s);
	int64_t now_ms = loop_now_ms(in->loop);
	bool rcpt = what == 'r';
	unsigned messages = messages_of(in, x);

	if (!limiter_take(in->limiter, what, client_key(&s->client), 1,
			  rcpt ? c->client_rate.rcpts : c->client_rate.messages, now_ms))
		return false;
	return s->credential[0] == '\0' ||
	       limiter_take(in->limiter, what, str_of(s->credential), 1,
			    rcpt ? c->credential_rate.rcpts : messages, now_ms);
}

void smtpin_admit(struct smtpin *in, int fd, const struct ipaddr *client,
		  const struct smtpin_rules *rules, bool named)
{
	if (in->draining)
		turn_away(in, fd, client, "4.3.2 Service is shutting down");
	else if (in->n_free <= in->n_arrivals)
		turn_away(in, fd, client, "4.3.2 Too many connections, try again later");
	else if (named &&
		 tally_get(in->tally, CONNECTIONS, client_key(client)) >= in->conf.per_client_max)
		turn_away(in, fd, client, "4.7.0 Too many connections from your address");
	else if (named && !limiter_take(in->limiter, CONNECTIONS, client_key(client), 1,
					in->conf.connection_rate, loop_now_ms(in->loop)))
		turn_away(in, fd, client, "4.7.0 Too many connections a minute from your address");
	else
		session_start(in, fd, client, rules, named);
}

void smtpin_serve(struct smtpin *in, int fd, const struct ipaddr *client,
		  const struct smtpin_rules *rules)
{
	if (!in->draining && in->n_free > in->n_arrivals && proxy_trusts(rules, client))
		proxy_arrives(in, fd, client, rules);
	else
		smtpin_admit(in, fd, client, rules, true);
}

static bool on_accept(int fd, const struct netaddr *peer, void *arg)
{
	struct smtpin_door *d = OBJ(smtpin_door, SMTPIN_DOOR_MAGIC, arg);

	smtpin_serve(d->in, fd, &peer->ip, &d->rules);
	return true;
}

int smtpin_listen(struct smtpin *in, const struct netaddr *at, const struct smtpin_rules *rules,
		  struct netaddr *ret_bound, struct err *err)
{
	struct smtpin_door *d = &in->doors[in->n_doors];
	int rc;

	ASSERT(rules->tls == SMTPIN_TLS_NONE || in->conf.tls != NULL);
	ASSERT(rules->auth == SMTPIN_AUTH_NONE || in->conf.sasl != NULL);
	if (in->n_doors == SMTPIN_LISTENERS_MAX)
		return err_set(err, ERR_CONFIG, "no more than %d addresses to listen on",
			       SMTPIN_LISTENERS_MAX);
	*d = (struct smtpin_door){ .magic = SMTPIN_DOOR_MAGIC, .in = in, .rules = *rules };
	rc = listener_new(in->loop, at, on_accept, d, &d->listener, err);
	if (rc < 0)
		return rc;
	if (rules->n_proxies > 0) {
		d->proxies = xreallocarray(NULL, rules->n_proxies, sizeof(*d->proxies));
		memcpy(d->proxies, rules->proxies, rules->n_proxies * sizeof(*d->proxies));
		d->rules.proxies = d->proxies;
	}
	if (ret_bound != NULL)
		*ret_bound = listener_address(d->listener);
	in->n_doors++;
	return 0;
}

void smtpin_accepted(struct smtpin *in, struct smtpin_token token,
		     const struct smtp_answer *refusal)
{
	unsigned slot = token.v & ((1u << SLOT_BITS) - 1);

	if (slot < in->conf.connections_max && in->slots[slot] != NULL)
		session_result(in->slots[slot], token.v, refusal);
}

void smtpin_in_stream(struct smtpin *in, struct smtpin_token token, struct str stream)
{
	unsigned slot = token.v & ((1u << SLOT_BITS) - 1);
	struct smtpin_session *s = slot < in->conf.connections_max ? in->slots[slot] : NULL;

	if (s != NULL && s->token == token.v)
		(void)snprintf(s->stream_name, sizeof(s->stream_name), "%.*s", STR_ARG(stream));
}

void smtpin_recheck(struct smtpin *in)
{
	struct smtpin_session *s = TAILQ_FIRST(&in->sessions);

	in->relaying++;
	while (s != NULL) {
		struct smtpin_session *next = TAILQ_NEXT(s, next);
		session_recheck(s);
		s = next;
	}
}

static void drain_sessions(struct smtpin *in, bool now)
{
	struct smtpin_session *s = TAILQ_FIRST(&in->sessions);

	while (s != NULL) {
		struct smtpin_session *next = TAILQ_NEXT(s, next);
		session_drain(s, now);
		s = next;
	}
}

/* The last session has gone, or the grace is over. */
static void on_drain_timer(void *arg)
{
	struct smtpin *in = OBJ(smtpin, SMTPIN_MAGIC, arg);

	if (!TAILQ_EMPTY(&in->sessions))
		drain_sessions(in, true);
	else if (in->ops->on_drained != NULL)
		in->ops->on_drained(in->arg);
}

void smtpin_drain(struct smtpin *in, int64_t grace_ms)
{
	in->draining = true;
	stop_listening(in);
	loop_timer_set(in->drain_end, TAILQ_EMPTY(&in->sessions) ? 0 : grace_ms);
	drain_sessions(in, false);
}

unsigned smtpin_sessions_of(const struct smtpin *in, struct str credential, bool storing)
{
	const struct smtpin_session *s;
	unsigned n = 0;

	if (!storing)
		return tally_get(in->tally, SESSIONS, credential);
	TAILQ_FOREACH (s, &in->sessions, next)
		n += s->token != 0 && str_eq(str_of(s->credential), credential);
	return n;
}

unsigned smtpin_connections(const struct smtpin *in)
{
	return in->open;
}

const struct smtpin_stats *smtpin_stats(const struct smtpin *in)
{
	return &in->stats;
}
