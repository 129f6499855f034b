/*
 * How the relay's parts call each other. Nothing is decided here that has a module of its own: a
 * message comes in (smtpin), is stored (queue), judged by rules (holds, routes) and given out
 * (sched) to sessions (smtpout); what comes back is classified, recorded and reported.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/decide.h"
#include "ctl/verdict.h"
#include "loop/loop.h"

/* --- mail in ---------------------------------------------------------------------------------- */

static void on_connect(void *arg, const struct ipaddr *client, struct smtpin_client_facts *ret)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	int64_t now_ms = loop_wall_ms(r->env.loop);
	const struct allow_entry *e = allow_hit(r->env.allow, client, now_ms);

	ret->may_relay = e != NULL && e->mode == ALLOW_RELAY;
	ret->no_auth = !allow_may_authenticate(r->env.allow, e);
}

static bool refuse(struct smtp_answer *a, int code, const char *enhanced, const char *text)
{
	a->code = code;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
	(void)snprintf(a->text, sizeof(a->text), "%s", text);
	return false;
}

static bool on_mail(void *arg, const struct smtpin_envelope *e, struct smtp_answer *ret_refusal)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	(void)e;
	if (r->env.disk_full)
		return refuse(ret_refusal, 452, "4.3.1", "The disk is full, try again later");
	return true;
}

/* What a route refuses is refused here, as far as the envelope decides it. */
static bool on_rcpt(void *arg, const struct smtpin_envelope *e, const struct address *rcpt,
		    struct smtp_answer *ret_refusal)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	const struct mailstream *stream;

	if (wire_is_ours(arg, rcpt) || (e->n_rcpts > 0 && wire_is_ours(arg, &e->rcpts[0].address)))
		return wire_report_rcpt(OBJ(relayd, RELAYD_MAGIC, arg), e, rcpt, ret_refusal);
	if (address_domain(rcpt).n == 0)
		return refuse(ret_refusal, 550, "5.1.3",
			      "This relay has no mailboxes: give the whole address");
	if (wire_rejects(r, e, rcpt, &stream))
		return refuse(ret_refusal, 550, "5.7.1", "A route of this relay refuses this mail");
	return wire_suppressed(r, e, address_str(rcpt), stream, ret_refusal);
}

static struct msgid new_id(void *arg)
{
	return queue_new_id(OBJ(relayd, RELAYD_MAGIC, arg)->env.queue);
}

struct coming {
	struct relayd *relayd;
	struct smtpin_token token;
	struct msgid id;
};

static void add_message(struct relayd *r, const struct message *m)
{
	if (!r->ending)
		sched_add(r->env.sched, m);
}

static void on_read_back(void *arg, const struct message *m, const struct err *err)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	if (m == NULL) {
		/* It is on disk: the next start finds it. */
		log_error(NULL, "relayd.unreadable", F_STR("error", err->msg));
		return;
	}
	add_message(r, m);
	message_unref(&m);
}

static void schedule(struct relayd *r, struct msgid id)
{
	const struct message *m = queue_message_cached(r->env.queue, id);

	if (m != NULL)
		add_message(r, m);
	else
		queue_message_read(r->env.queue, id, false, on_read_back, r);
	message_unref(&m);
}

static void on_stored(void *arg, const struct err *err)
{
	struct coming *c = arg;
	struct smtp_answer no;

	if (err == NULL) {
		smtpin_accepted(c->relayd->env.smtpin, c->token, NULL);
		schedule(c->relayd, c->id);
	} else {
		(void)refuse(&no, 452, "4.3.1",
			     err->code == ERR_NOSPC ? "The disk is full, try again later"
						    : "The message could not be stored");
		if (err->code != ERR_NOSPC && log_limited("relayd.store"))
			log_error(NULL, "relayd.store", F_STR("error", err->msg));
		smtpin_accepted(c->relayd->env.smtpin, c->token, &no);
	}
	free(c);
}

void wire_store(struct relayd *r, const struct queue_new *n, struct coming *c)
{
	queue_accept(r->env.queue, n, on_stored, c);
}

void wire_refuse(struct coming *c, const struct smtp_answer *a)
{
	smtpin_accepted(c->relayd->env.smtpin, c->token, a);
	free(c);
}

void wire_forget(struct coming *c)
{
	free(c);
}

static void accept_message(void *arg, struct smtpin_message *take, struct smtpin_token token)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	const struct smtpin_envelope *e = &take->envelope;
	struct queue_new n = { .content_take = take->data };
	AUTO_FREE struct message_rcpt *rcpts = xcalloc(e->n_rcpts, sizeof(*rcpts));
	const struct mailstream *stream = wire_stream(r, take);
	int64_t lifetime_s = stream->lifetime_s > 0 ? stream->lifetime_s : r->conf->lifetime_s;
	struct coming *c;
	char client[IPADDR_TEXT_LEN];
	struct smtp_answer no;

	if (wire_is_ours(r, &e->rcpts[0].address)) {
		wire_report(r, take, token);
		return;
	}
	smtpin_in_stream(r->env.smtpin, token, str_of(stream->id));
	if (wire_stream_refuses(r, stream, take, &no)) {
		smtpin_accepted(r->env.smtpin, token, &no);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct coming){ .relayd = r, .token = token, .id = take->id };
	for (size_t i = 0; i < e->n_rcpts; i++) {
		rcpts[i].n = (unsigned)i + 1;
		const struct smtpin_rcpt *from = &e->rcpts[i];
		rcpts[i].address = address_str(&from->address);
		rcpts[i].domain = queue_name(r->env.queue, address_domain(&from->address));
		rcpts[i].notify = from->notify;
		rcpts[i].orcpt = str_of(from->orcpt);
	}
	ipaddr_text(&e->client, client);
	n.m = (struct message){
		.id = take->id,
		.received_ms = take->received_ms,
		.expires_ms = take->received_ms + lifetime_s * 1000,
		.sender = address_str(e->from),
		.client = str_of(client),
		.helo = e->helo,
		.credential = e->credential,
		.msgid_header = take->message_id,
		.subject = str_of(take->subject),
		.stream = queue_name(r->env.queue, str_of(stream->id)),
		.eight_bit = take->eight_bit,
		.smtputf8 = take->smtputf8,
		.ret = e->ret,
		.envid = e->envid,
		.size = take->size,
		.content = str_from(take->data, take->size),
		.rcpts = rcpts,
		.rcpts_n = (unsigned)e->n_rcpts,
	};
	take->data = NULL;
	if (!wire_sign(r, &n, take->longest_line, stream, c))
		wire_store(r, &n, c);
}

static void on_in_drained(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	r->in_drained = true;
	wire_drained(r);
}

const struct smtpin_ops wire_smtpin_ops = {
	.on_connect = on_connect,
	.on_mail = on_mail,
	.is_ours = wire_is_ours,
	.on_rcpt = on_rcpt,
	.new_id = new_id,
	.accept = accept_message,
	.on_drained = on_in_drained,
};

/* --- rules ------------------------------------------------------------------------------------ */

static void on_nothing(void *arg, const struct resolve_answer *answer)
{
	(void)arg;
	(void)answer;
}

/* last: nothing more is going to be known. */
static void judge(const struct relayd *r, const struct filter_row *row, struct str domain,
		  bool last, struct sched_verdict *ret)
{
	const struct decide_rules rules = decide_rules_of(&r->env);
	struct decide_way way;

	_Static_assert(sizeof(way.next_hop) <= sizeof(ret->next_hop), "it fits");
	ret->hold = holds_judge(r->env.holds, row, &ret->hold_asks);
	decide_way(&rules, row, domain, &way);
	if (last)
		(void)decide_by_provider(&rules, row, domain, &way);
	memcpy(ret->next_hop, way.next_hop, sizeof(way.next_hop));
}

static void judge_group(void *arg, uint32_t domain, uint32_t stream, struct sched_verdict *ret)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct filter_row row;
	struct str name = queue_name_text(r->env.queue, domain);
	char hop[ROUTE_HOP_MAX];

	env_group_row(&r->env, domain, stream, &row);
	judge(r, &row, name, false, ret);
	if ((row.known & (1u << FILTER_PROVIDER)) != 0 || r->env.smtpout == NULL)
		return;
	/* A rule may wait for the provider: wire_provider() judges again when it is known. */
	if (ret->hold_asks || ret->next_hop[0] == '\0') {
		(void)snprintf(hop, sizeof(hop), "mx:%.*s", STR_ARG(name));
		(void)resolver_ask(r->env.resolver, hop, 0, on_nothing, NULL);
	}
}

static void judge_rcpt(void *arg, const struct message *m, const struct message_rcpt *rcpt,
		       const struct sched_view *v, struct sched_verdict *ret)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct filter_row row;

	env_rcpt_row(&r->env, m, rcpt, v, &row);
	judge(r, &row, queue_name_text(r->env.queue, rcpt->domain), true, ret);
}

static int64_t extra_life(void *arg, const struct sched_view *v)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct filter_row row;

	env_group_row(&r->env, v->domain, v->stream, &row);
	filter_row_number(&row, FILTER_ID, (int64_t)v->rid.v);
	return holds_extra_life(r->env.holds, &row, msgid_time_ms(rid_msgid(v->rid)));
}

void wire_provider(void *arg, struct str domain, const char *provider)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	uint32_t name = queue_name_find(r->env.queue, domain);

	(void)provider;
	if (name == 0)
		return;
	sched_rejudge_domain(r->env.sched, name);
	wire_parts_changed(r->providers);
}

/* --- mail out --------------------------------------------------------------------------------- */

static const char *on_site(void *arg, const char *next_hop)
{
	return smtpout_site(OBJ(relayd, RELAYD_MAGIC, arg)->env.smtpout, next_hop);
}

static void on_kick(void *arg, const char *next_hop, unsigned n)
{
	smtpout_kick(OBJ(relayd, RELAYD_MAGIC, arg)->env.smtpout, next_hop, n);
}

static void on_give(void *arg, uint64_t token, const struct message *m_take,
		    const unsigned *rcpts_n, unsigned n)
{
	smtpout_give(OBJ(relayd, RELAYD_MAGIC, arg)->env.smtpout, token, m_take, rcpts_n, n);
}

void wire_classify(void *arg, struct attempt *a)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct classify_out out;

	if (a->outcome == OUTCOME_DELIVERED || a->outcome == OUTCOME_DELETED ||
	    a->reply_class == REPLY_SUPPRESSED)
		return;
	verdict_make(r->env.rules, a, &out);
	a->reply_class = (uint8_t)out.reply_class;
}

bool wire_slows(void *arg, const struct attempt *a)
{
	struct attempt copy = *a;

	wire_classify(arg, &copy);
	return copy.reply_class == REPLY_RATE_LIMITED;
}

static void on_kept(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL && log_limited("relayd.sts"))
		log_warn(NULL, "relayd.sts", F_STR("error", err->msg),
			 F_STR("effect", "a policy of MTA-STS is fetched again after a restart"));
}

/* A cache: earlier versions are of no interest. */
void wire_keep_sts(void *arg, const char *domain, const char *json)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	const struct queue_object o = {
		.kind = WIRE_KIND_STS, .id = domain, .json = json, .secret = true
	};

	if (r->env.queue != NULL && !r->ending)
		queue_commit(r->env.queue, NULL, &o, 1, on_kept, NULL);
}

void wire_load_sts(void *arg, const struct queue_object *o)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct err err = ERR_INIT;

	if (resolver_load_sts(r->env.resolver, o->id, o->json, &err) < 0)
		log_warn(NULL, "relayd.sts", F_STR("error", err.msg));
}

bool wire_demands(void *arg, const char *next_hop, struct smtpout_demands *ret)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct route_demands d;

	if (!routes_demands(r->env.routes, next_hop, &d))
		return false;
	*ret = (struct smtpout_demands){ .tls = d.tls, .user = d.user, .password = d.password };
	return true;
}

static void on_failed(void *arg, const struct message *m, const struct queue_result *results,
		      unsigned n, uint64_t ticket)
{
	report_failed(&OBJ(relayd, RELAYD_MAGIC, arg)->env, m, results, n, ticket);
}

static void on_delayed(void *arg, const struct message *m, const struct queue_result *results,
		       unsigned n)
{
	report_other(&OBJ(relayd, RELAYD_MAGIC, arg)->env, m, results, n);
}

void wire_relayed(void *arg, const struct message *m, const struct sched_result *results,
		  unsigned n)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	AUTO_FREE struct queue_result *done = xcalloc(n, sizeof(*done));
	unsigned done_n = 0;

	for (unsigned i = 0; i < n; i++)
		if (results[i].attempt.outcome == OUTCOME_DELIVERED)
			done[done_n++] = (struct queue_result){ .rid = results[i].rid,
								.attempt = results[i].attempt };
	if (done_n > 0 && !r->ending)
		report_other(&r->env, m, done, done_n);
}

static void on_trouble(void *arg)
{
	wire_parts_changed(OBJ(relayd, RELAYD_MAGIC, arg)->trouble);
}

const struct sched_ops wire_sched_ops = {
	.judge_group = judge_group,
	.judge_rcpt = judge_rcpt,
	.ends = wire_ends,
	.alone = wire_alone,
	.extra_life = extra_life,
	.site = on_site,
	.kick = on_kick,
	.give = on_give,
	.classify = wire_classify,
	.delayed = on_delayed,
	.failed = on_failed,
	.trouble = on_trouble,
};

/* --- what happened ---------------------------------------------------------------------------- */

static void on_disk(void *arg, const struct err *err)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	r->env.disk_full = err != NULL;
	if (err != NULL)
		log_warn(NULL, "queue.disk-full", F_STR("error", err->msg),
			 F_STR("effect", "new mail is put off with 452"));
	else
		log_info(NULL, "queue.disk-has-room");
}

const struct queue_ops wire_queue_ops = { .on_disk = on_disk };

void wire_load(void *arg, const struct queue_row *row)
{
	sched_load(OBJ(relayd, RELAYD_MAGIC, arg)->env.sched, row);
}

static void count(struct relayd *r, enum outcome o)
{
	int64_t now = loop_wall_ms(r->env.loop);

	switch (o) {
	case OUTCOME_RECEIVED:
		rates_add(&r->env.rates, RATE_ACCEPTED, 1, now);
		break;
	case OUTCOME_DELIVERED:
		rates_add(&r->env.rates, RATE_DELIVERED, 1, now);
		break;
	case OUTCOME_DEFERRED:
		rates_add(&r->env.rates, RATE_DEFERRED, 1, now);
		break;
	case OUTCOME_FAILED:
	case OUTCOME_EXPIRED:
		rates_add(&r->env.rates, RATE_FAILED, 1, now);
		break;
	case OUTCOME_DELETED:
	case OUTCOME_SUPPRESSED:
	case OUTCOME_UNSUPPRESSED:
	case OUTCOME_BOUNCED: /* it was delivered when it counted */
	case OUTCOME_COMPLAINED:
	case OUTCOME_REFUSED:
	case OUTCOME_NONE:
	case OUTCOME__COUNT:
		break;
	}
}

/* One line an event: what an administrator greps for. */
static void log_event(const struct queue_event *e)
{
	char id[RID_TEXT_LEN], event[32];
	const struct attempt *a = &e->attempt;

	if (e->rid.v == 0) {
		(void)snprintf(event, sizeof(event), "suppress.%s",
			       a->outcome == OUTCOME_SUPPRESSED	    ? "added"
			       : a->outcome == OUTCOME_UNSUPPRESSED ? "ended"
								    : "refused");
		log_info(NULL, event, F_SLICE("address", e->to), F_STR("source", a->source),
			 F_STR("reason", a->host), F_STR("message", a->tls));
		return;
	}
	if (rid_n(e->rid) == 0)
		msgid_text(rid_msgid(e->rid), id);
	else
		rid_text(e->rid, id);
	(void)snprintf(event, sizeof(event), "message.%s", outcome_name(a->outcome));
	if (a->outcome == OUTCOME_RECEIVED)
		log_info(id, event, F_SLICE("from", e->from));
	else
		log_info(id, event, F_SLICE("from", e->from), F_SLICE("to", e->to),
			 F_STR("host", a->host), F_STR("ip", a->ip), F_STR("reply", a->reply),
			 F_U64("ms", a->duration_ms));
}

struct publication {
	const struct ctl_env *env;
	const struct queue_event *event;
};

static json_t *make_event(void *arg)
{
	const struct publication *p = arg;

	return env_event_json(p->env, p->event);
}

static void publish(struct relayd *r, const struct queue_event *e)
{
	struct publication p = { .env = &r->env, .event = e };
	struct filter_row row;

	env_event_row(&r->env, e, &row);
	ctl_event(r->env.ctl, &row, make_event, &p);
}

void wire_event(void *arg, const struct queue_event *e)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	count(r, e->attempt.outcome);
	sinks_event(r, e);
	wire_follow(r, e);
	if (log_enabled(LOG_LEVEL_INFO))
		log_event(e);
	if (ctl_events_wanted(r->env.ctl))
		publish(r, e);
}
