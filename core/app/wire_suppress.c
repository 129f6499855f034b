/*
 * The suppression list at work: recipients that are refused, or taken and dropped; those that are
 * queued already, which end at their next attempt; addresses that come on it by their bounces; and
 * the rows in the store, which follow the list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/decide.h"
#include "loop/loop.h"
#include "policy/limiter.h"

#define BY "weir"
#define TOLD_PER_RCPT 1	 /* refusals a minute that are events: of a recipient */
#define TOLD 300	 /* and of all; the others are counted */
#define TEND_MS 20000	 /* a pass over the list begins so often */
#define TEND_SLICE_MS 20 /* between its slices */
#define TEND_SLICE 2000	 /* entries of one */
#define AGAIN_MS 5000	 /* until what the store refused is put again */
#define AGAIN_MAX 1000	 /* so many of them; what is beyond is only logged */

/* --- the policy ------------------------------------------------------------------------------- */

static int read_classes(const struct conf_list *names, const char *key, uint64_t *ret,
			struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		enum reply_class c = reply_class_find(str_of(names->v[i]));
		if (c == REPLY_NONE)
			return err_set(err, ERR_CONFIG,
				       "suppression: %s: there is no class \"%.60s\" of replies; "
				       "\"bad-mailbox\" is one",
				       key, names->v[i]);
		*ret |= UINT64_C(1) << c;
	}
	return 0;
}

static int read_policy(const struct conf *c, struct suppression *ret, struct err *err)
{
	int rc = read_classes(&c->suppress_at_once, "at-once", &ret->at_once, err);

	if (rc >= 0)
		rc = read_classes(&c->suppress_several, "after-several", &ret->several, err);
	return rc;
}

int suppression_test(const struct conf *conf, struct err *err)
{
	struct suppression policy = { .at_once = 0 };

	return read_policy(conf, &policy, err);
}

int suppression_open(struct relayd *r, struct err *err)
{
	r->suppression.told = limiter_new();
	return read_policy(r->conf, &r->suppression, err);
}

/* --- mail ------------------------------------------------------------------------------------- */

static bool is_gone(const struct suppress_entry *e)
{
	return e->source == SUPPRESS_HARD_BOUNCE || e->source == SUPPRESS_BOUNCE;
}

/* "on this relay's suppression list since 2026-11-25 (complaint)" */
static void describe(const struct suppress_entry *e, char *ret, size_t n)
{
	char since[FMT_TIME_LEN];

	fmt_time(e->created_ms, since);
	(void)snprintf(ret, n, "%s on this relay's suppression list since %.10s (%s)",
		       suppress_is_domain(e->address) ? "The domain is" : "The address is", since,
		       suppress_source_name(e->source));
}

/* One that is offered again and again, or very many, must not push everything else out of the feed:
 * the entry's hits, and the metric, count them all. */
static bool is_to_be_told(struct relayd *r, struct str rcpt)
{
	struct limiter *told = r->suppression.told;
	int64_t now = loop_now_ms(r->env.loop);

	return limiter_has(told, 'a', STR(""), 1, TOLD, now) &&
	       limiter_take(told, 'r', rcpt, 1, TOLD_PER_RCPT, now) &&
	       limiter_take(told, 'a', STR(""), 1, TOLD, now);
}

static void tell_refused(struct relayd *r, const struct smtpin_envelope *mail, struct str rcpt,
			 const struct mailstream *stream, const struct suppress_entry *e,
			 const struct smtp_answer *said)
{
	struct queue *q = r->env.queue;
	struct queue_event event = { .to = rcpt,
				     .domain = queue_name(q, address_text_domain(rcpt)),
				     .stream = stream != NULL ? queue_name(q, str_of(stream->id))
							      : 0 };
	struct attempt *a = &event.attempt;

	*a = (struct attempt){ .at_ms = loop_wall_ms(r->env.loop),
			       .outcome = OUTCOME_REFUSED,
			       .code = said->code,
			       .reply_class = REPLY_SUPPRESSED };
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", said->enhanced);
	(void)snprintf(a->reply, sizeof(a->reply), "%d %s %s", said->code, said->enhanced,
		       said->text);
	(void)snprintf(a->host, sizeof(a->host), "%s", e->reason);
	(void)snprintf(a->source, sizeof(a->source), "%s", suppress_source_name(e->source));
	(void)snprintf(a->tls, sizeof(a->tls), "%s", e->message);
	if (mail->credential.n > 0)
		(void)snprintf(a->ip, sizeof(a->ip), "%.*s", STR_ARG(mail->credential));
	else
		ipaddr_text(&mail->client, a->ip);
	queue_note(q, &event);
}

bool wire_suppressed(struct relayd *r, const struct smtpin_envelope *mail, struct str rcpt,
		     const struct mailstream *stream, struct smtp_answer *ret_refusal)
{
	struct suppress_entry *e = decide_suppressed(&r->env, rcpt, stream);

	if (e == NULL) /* what is to be dropped ends before its first attempt */
		return true;
	suppress_hit(r->env.suppress, e, loop_wall_ms(r->env.loop));
	r->env.suppressed_refused++;
	ret_refusal->code = 550;
	(void)snprintf(ret_refusal->enhanced, sizeof(ret_refusal->enhanced), "%s",
		       is_gone(e) ? "5.1.1" : "5.7.1");
	describe(e, ret_refusal->text, sizeof(ret_refusal->text));
	if (is_to_be_told(r, rcpt))
		tell_refused(r, mail, rcpt, stream, e, ret_refusal);
	return false;
}

bool wire_ends(void *arg, const struct message *m, const struct message_rcpt *rcpt,
	       struct attempt *ret)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct str stream = queue_name_text(r->env.queue, m->stream);
	struct suppress_entry *e =
		suppress_check(r->env.suppress, rcpt->address, stream, loop_wall_ms(r->env.loop));

	if (e == NULL)
		return false;
	suppress_hit(r->env.suppress, e, loop_wall_ms(r->env.loop));
	ret->outcome = decide_drops(&r->env, streams_of(r->env.streams, stream)) ? OUTCOME_DELETED
										 : OUTCOME_FAILED;
	ret->code = 550;
	ret->reply_class = REPLY_SUPPRESSED;
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%s", is_gone(e) ? "5.1.1" : "5.7.1");
	describe(e, ret->reply, sizeof(ret->reply));
	return true;
}

/* --- bounces ---------------------------------------------------------------------------------- */

static void on_put(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL && log_limited("suppress.store"))
		log_error(NULL, "suppress.store", F_STR("error", err->msg));
}

/* An entry on its way to the store. The full disk is the queue's to wait for: what comes back was
 * refused, by something damaged, and what is stored next says that its event was seen. So it is put
 * again until it is stored. */
struct suppression_put {
	LIST_ENTRY(suppression_put) link;
	struct relayd *relayd;
	bool refused;
	int64_t created_ms; /* of the entry: another one is stored by who made it */
	char id[SUPPRESS_ID_MAX + 1];
};

static void put_done(struct suppression_put *p)
{
	LIST_REMOVE(p, link);
	p->relayd->suppression.refused_n -= p->refused;
	free(p);
}

static void on_stored(void *arg, const struct err *err)
{
	struct suppression_put *p = arg;
	struct suppression *s = &p->relayd->suppression;

	on_put(NULL, err);
	if (err == NULL || s->refused_n >= AGAIN_MAX) {
		put_done(p);
		return;
	}
	p->refused = true;
	s->refused_n++;
	if (!loop_timer_pending(s->again))
		loop_timer_set(s->again, AGAIN_MS);
}

static void store(struct suppression_put *p, const struct suppress_entry *e)
{
	const struct queue_suppress row = { .id = p->id,
					    .source = suppress_source_name(e->source),
					    .reason = e->reason,
					    .by = e->by,
					    .message = e->message,
					    .reply = e->reply,
					    .created_ms = e->created_ms,
					    .expires_ms = e->expires_ms,
					    .batch = e->batch,
					    .watch = e->watch,
					    .tell = e->watch == 0 };

	queue_suppress_put(p->relayd->env.queue, &row, 1, on_stored, p);
}

static void on_again(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct suppression_put *next;

	for (struct suppression_put *p = LIST_FIRST(&r->suppression.puts); p != NULL; p = next) {
		const struct suppress_entry *e;
		next = LIST_NEXT(p, link);
		if (!p->refused)
			continue;
		e = suppress_by_id(r->env.suppress, str_of(p->id));
		if (e == NULL || e->created_ms != p->created_ms) {
			put_done(p);
			continue;
		}
		p->refused = false;
		r->suppression.refused_n--;
		store(p, e);
	}
}

static int64_t end_of(const struct relayd *r, int64_t now)
{
	return r->conf->suppress_keep_s > 0 ? now + r->conf->suppress_keep_s * 1000 : 0;
}

static void put(struct relayd *r, const struct suppress_entry *e)
{
	struct suppression_put *p;
	struct err err = ERR_INIT;

	if (suppress_put(r->env.suppress, e, &err) < 0) {
		if (log_limited("suppress.full"))
			log_warn(e->address, "suppress.full", F_STR("error", err.msg));
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->relayd = r;
	p->created_ms = e->created_ms;
	suppress_id(e->address, e->scope, p->id);
	LIST_INSERT_HEAD(&r->suppression.puts, p, link);
	store(p, e);
	if (e->watch != 0)
		return;
	r->env.suppress_generation++;
}

void wire_suppress(struct relayd *r, const struct wire_offence *o)
{
	struct suppress *s = r->env.suppress;
	int64_t now = loop_wall_ms(r->env.loop);
	char address[ADDRESS_DOMAIN_MAX + 1], scope[SUPPRESS_SCOPE_MAX + 1] = "";
	char message[RID_TEXT_LEN] = "", reply[SUPPRESS_REPLY_MAX + 1];
	const struct suppress_entry *old;
	uint32_t bounces;

	if (suppress_address(o->address, address, NULL) < 0 || suppress_is_domain(address))
		return;
	if (r->conf->suppress_scope == CONF_SCOPE_STREAM)
		(void)snprintf(scope, sizeof(scope), "%.*s", STR_ARG(o->stream));
	old = suppress_find(s, address, scope);
	if (old != NULL && suppress_active(s, old, now))
		return;
	bounces = 1 + (old != NULL && old->expires_ms > now ? old->watch : 0);
	if (!o->several || bounces >= (uint32_t)r->conf->suppress_count)
		bounces = 0;
	if (o->rid.v != 0)
		rid_text(o->rid, message);
	(void)snprintf(reply, sizeof(reply), "%.*s", STR_ARG(o->reply));
	put(r, &(struct suppress_entry){
		       .address = address,
		       .scope = scope,
		       .source = o->source,
		       .reason = o->reason,
		       .by = BY,
		       .message = message,
		       .reply = reply,
		       .created_ms = now,
		       .expires_ms = bounces == 0 ? end_of(r, now)
				     : old != NULL && old->watch != 0 && old->expires_ms > now
					     ? old->expires_ms
					     : now + r->conf->suppress_within_s * 1000,
		       .watch = bounces });
}

static void bounced(struct relayd *r, const struct queue_event *e)
{
	uint64_t bit = UINT64_C(1) << e->attempt.reply_class;

	if ((r->suppression.at_once & bit) == 0 && (r->suppression.several & bit) == 0)
		return;
	wire_suppress(
		r, &(struct wire_offence){
			   .address = e->to,
			   .stream = queue_name_text(r->env.queue, e->stream),
			   .source = e->attempt.outcome == OUTCOME_BOUNCED ? SUPPRESS_BOUNCE
									   : SUPPRESS_HARD_BOUNCE,
			   .reason = reply_class_name((enum reply_class)e->attempt.reply_class),
			   .reply = str_of(e->attempt.reply),
			   .rid = e->rid,
			   .several = (r->suppression.at_once & bit) == 0 });
}

static void complained(struct relayd *r, const struct queue_event *e)
{
	if (r->conf->suppress_complaints == 0)
		return;
	wire_suppress(r, &(struct wire_offence){ .address = e->to,
						 .stream = queue_name_text(r->env.queue, e->stream),
						 .source = SUPPRESS_COMPLAINT,
						 .reason = "complaint",
						 .reply = str_of(e->attempt.reply),
						 .rid = e->rid });
}

void wire_follow(struct relayd *r, const struct queue_event *e)
{
	queue_suppress_seen(r->env.queue, e->seq);
	r->suppression.moved = true;
	if (e->attempt.outcome == OUTCOME_FAILED || e->attempt.outcome == OUTCOME_BOUNCED)
		bounced(r, e);
	if (e->attempt.outcome == OUTCOME_COMPLAINED)
		complained(r, e);
}

static void follow(void *arg, const struct queue_event *e)
{
	wire_follow(OBJ(relayd, RELAYD_MAGIC, arg), e);
}

/* What was recorded, and a kill came before it was on the list. */
static void catch_up(struct relayd *r)
{
	struct err err = ERR_INIT;

	if (queue_load_unseen(r->env.queue, follow, r, &err) < 0)
		log_error(NULL, "suppress.catch-up", F_STR("error", err.msg));
}

/* --- the store follows ------------------------------------------------------------------------ */

struct tending {
	struct relayd *relayd;
	struct queue_suppress rows[TEND_SLICE];
	char ids[TEND_SLICE][SUPPRESS_ID_MAX + 1];
	size_t n;
};

static void tend_one(struct tending *t, const struct suppress_entry *e, bool gone)
{
	suppress_id(e->address, e->scope, t->ids[t->n]);
	t->rows[t->n] = (struct queue_suppress){ .id = t->ids[t->n],
						 .hits = e->hits,
						 .last_hit_ms = e->last_hit_ms,
						 .gone = gone,
						 .counted = !gone };
	/* what was counted only, or imported and taken back, suppressed nobody */
	if (gone && e->watch == 0 && e->expires_ms != 0 &&
	    e->expires_ms <= loop_wall_ms(t->relayd->env.loop)) {
		t->rows[t->n].tell = true;
		t->rows[t->n].source = suppress_source_name(e->source);
		t->rows[t->n].by = BY;
		t->rows[t->n].reason = "its time was over";
	}
	t->n++;
}

static void on_gone(void *arg, const struct suppress_entry *e)
{
	tend_one(arg, e, true);
}

static void on_counted(void *arg, const struct suppress_entry *e)
{
	tend_one(arg, e, false);
}

static bool tend(struct relayd *r)
{
	static const struct suppress_sweep_ops ops = { .gone = on_gone, .counted = on_counted };
	struct tending *t = xmalloc(sizeof(*t));
	bool end;

	t->relayd = r;
	t->n = 0;
	end = suppress_sweep(r->env.suppress, TEND_SLICE, loop_wall_ms(r->env.loop), &ops, t);
	/* with how far it is, so that there is little to catch up with after a kill */
	if (t->n > 0 || (end && r->suppression.moved)) {
		queue_suppress_put(r->env.queue, t->rows, t->n, on_put, NULL);
		r->suppression.moved = false;
	}
	free(t);
	return end;
}

static void on_tend(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	loop_timer_set(r->suppression.tend, tend(r) ? TEND_MS : TEND_SLICE_MS);
}

void suppression_start(struct relayd *r)
{
	r->suppression.again = loop_timer_new(r->env.loop, "relayd.suppress-again", on_again, r);
	catch_up(r);
	r->suppression.tend = loop_timer_new(r->env.loop, "relayd.suppress", on_tend, r);
	loop_timer_set(r->suppression.tend, TEND_MS);
}

/* The counters of the last seconds. */
void suppression_end(struct relayd *r)
{
	if (r->suppression.tend == NULL)
		return;
	on_again(r);
	loop_timer_free(&r->suppression.again);
	loop_timer_free(&r->suppression.tend);
	while (!tend(r)) /* the rest of the pass that is under way */
		;
	while (!tend(r))
		;
}

/* Behind the queue's end: no answer comes any more. */
void suppression_close(struct relayd *r)
{
	struct suppression_put *p;

	while ((p = LIST_FIRST(&r->suppression.puts)) != NULL)
		put_done(p);
	limiter_free(&r->suppression.told);
}
