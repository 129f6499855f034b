/*
 * One connection:
 *
 *	state       event                                state
 *	CONNECTING  connected                            GREETING
 *	GREETING    2xx                                  EHLO
 *	EHLO        2xx, the extensions are noted        ASKING
 *	EHLO        500, 501, 502, 504: not known        HELO
 *	HELO        2xx                                  ASKING
 *	the above   other replies, no SMTP, end, time    CONNECTING, to the next address; or OVER
 *	ASKING      the scheduler gives a message        ENVELOPE
 *	ASKING      it has none                          IDLE
 *	IDLE        there is work                        ASKING
 *	IDLE        SMTPOUT_IDLE_MS                      QUITTING
 *	ASKING IDLE anything said, end                   OVER
 *	ENVELOPE    its replies                          CONTENT, or the next transaction
 *	CONTENT     all of it is written                 END
 *	END         the reply                            the next transaction
 *	these three 421, no SMTP, end, time              OVER
 *	QUITTING    anything said, end, time             OVER
 *
 * The next transaction is ASKING; but QUITTING when the connection has done its share, others wait
 * for it or the relay stops, and OVER when the peer has said more than it was asked for.
 * Between EHLO and ASKING, where they are wanted: STARTTLS, HANDSHAKE, AUTH (smtpout_secure.c and
 * smtpout_login.c have their tables). smtpout_open.c has the other states before ASKING,
 * smtpout_mail.c the transaction.
 *
 * A session may come to its end in the midst of what it does: out_session_over() gives everything
 * up but the memory, which goes when the outermost call (enter, leave) ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpout/smtpout_int.h"

#define QUIT_MS 5000
#define ASKS_MAX 16 /* messages decided without being sent, before the loop turns */
#define OUT_LIMIT ((size_t)512 * 1024)
#define HIGH_MARK ((size_t)48 * 1024) /* below OUT_PIECE, see out_mail_feed() */
#define LOW_MARK ((size_t)16 * 1024)

/* --- its place among the others --------------------------------------------------------------- */

enum out_phase out_phase(enum out_state state)
{
	switch (state) {
	case OUT_CONNECTING:
	case OUT_GREETING:
	case OUT_EHLO:
	case OUT_HELO:
	case OUT_STARTTLS:
	case OUT_HANDSHAKE:
	case OUT_AUTH:
		return OUT_OPENING;
	case OUT_ASKING:
	case OUT_IDLE:
	case OUT_ENVELOPE:
	case OUT_CONTENT:
	case OUT_END:
		return OUT_OPEN;
	case OUT_QUITTING:
		return OUT_LEAVING;
	case OUT_OVER:
		break;
	}
	return OUT_PHASE__COUNT;
}

static void place(struct out_session *s, enum out_state state)
{
	struct out_sessions *in = out_phase(state) == OUT_OPENING ? &s->o->opening
				  : state == OUT_IDLE		  ? &s->o->idle
								  : NULL;

	if (in == s->in)
		return;
	if (s->in != NULL)
		TAILQ_REMOVE(s->in, s, order);
	if (in != NULL)
		TAILQ_INSERT_TAIL(in, s, order);
	s->in = in;
}

void out_session_state(struct out_session *s, enum out_state state)
{
	enum out_phase was = out_phase(s->state);
	enum out_phase is = out_phase(state);

	if (was != is) {
		if (was != OUT_PHASE__COUNT)
			s->hop->n[was]--;
		if (is != OUT_PHASE__COUNT)
			s->hop->n[is]++;
		s->o->leaving += is == OUT_LEAVING;
		s->o->leaving -= was == OUT_LEAVING;
	}
	place(s, state);
	s->state = state;
}

void out_session_await(struct out_session *s, int64_t ms)
{
	s->step_ms = loop_now_ms(s->o->loop);
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, ms);
}

static void reap(struct out_session *s)
{
	if (s->depth > 0 || s->state != OUT_OVER)
		return;
	smtp_reply_done(&s->reply);
	out_mail_done(&s->mail);
	out_open_forget(s);
	talk_log_done(&s->opening);
	tls_policy_unref(&s->policy);
	s->magic = 0;
	free(s);
}

void out_session_enter(struct out_session *s)
{
	s->depth++;
}

void out_session_leave(struct out_session *s)
{
	s->depth--;
	reap(s);
}

void out_session_over(struct out_session *s)
{
	struct smtpout *o = s->o;
	struct out_hop *h = s->hop;
	struct out_site *site;
	bool useless;

	if (s->state == OUT_OVER)
		return;
	if (s->state == OUT_ASKING)
		sched_unwant(o->sched, s->token);
	out_mail_end(s);
	out_source_done(s, false);
	useless = out_phase(s->state) == OUT_OPEN && s->used && !s->useful;
	out_session_state(s, OUT_OVER);
	stream_free(&s->stream);
	out_slot_give(o, s);
	TAILQ_REMOVE(&h->sessions, s, of_hop);
	if (--h->sessions_n == 0)
		o->hops_live--;
	o->total--;
	site = s->site;
	out_site_end(s);
	if (useless && h->site == site)
		out_site_pause(site, h->trouble);
	out_look(h);
	s->hop = NULL;
	reap(s);
}

/* --- work ------------------------------------------------------------------------------------- */

static void rest(struct out_session *s)
{
	struct out_hop *h = s->hop;

	if (s->o->draining) {
		out_session_quit(s);
		return;
	}
	out_session_state(s, OUT_IDLE);
	s->rested = true;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, SMTPOUT_IDLE_MS);
	TAILQ_REMOVE(&h->sessions, s, of_hop);
	TAILQ_INSERT_HEAD(&h->sessions, s, of_hop);
	if (s->o->lines_n[OUT_WAIT_FIRST] + s->o->lines_n[OUT_WAIT_MORE] > 0)
		out_turn(s->o); /* for this connection, perhaps */
}

static void ask(struct out_session *s)
{
	for (int i = 0; i < ASKS_MAX; i++) {
		if (!out_source_take(s)) {
			if (s->hop->work == 0)
				s->hop->work = 1; /* perhaps */
			out_session_quit(s);	  /* another one may go on from another address */
			return;
		}
		out_session_state(s, OUT_ASKING);
		stream_idle(s->stream, 0);
		stream_deadline(s->stream, 0);
		if (s->hop->work > 0)
			s->hop->work--;
		s->again = false;
		s->asking = true;
		sched_want(s->o->sched, s->hop->key, s->token);
		s->asking = false;
		if (!s->again)
			return;
	}
	if (s->hop->work == 0)
		s->hop->work = 1; /* perhaps: it will be asked */
	rest(s);
	out_look(s->hop);
}

void out_session_move(struct out_session *s, struct out_hop *h)
{
	struct out_hop *was = s->hop;
	enum out_phase phase = out_phase(s->state);

	ASSERT(phase == OUT_OPEN && s->mail.m == NULL);
	TAILQ_REMOVE(&was->sessions, s, of_hop);
	was->n[phase]--;
	if (--was->sessions_n == 0)
		s->o->hops_live--;
	out_look(was);
	s->hop = h;
	for (unsigned i = 0; i < h->names_n; i++)
		if (strcmp(h->names[i], s->host) == 0)
			out_secure_policy(s, h->policies[i]);
	TAILQ_INSERT_HEAD(&h->sessions, s, of_hop);
	h->n[phase]++;
	if (h->sessions_n++ == 0)
		s->o->hops_live++;
	out_site_line_done(h);
}

/* Turns to the next hop that waits for a connection of its site. */
static bool serves_another(struct out_session *s)
{
	struct out_hop *h = out_site_next(s);

	if (h == NULL || h == s->hop || h->work == 0 || s->o->draining || !out_site_fits(s, h))
		return false;
	out_session_move(s, h);
	return true;
}

/* A transaction is over, or none was begun. */
void out_session_go_on(struct out_session *s)
{
	if (s->ending)
		out_session_over(s);
	else if (s->o->draining || s->transactions >= s->o->cfg.per_connection_max)
		out_session_quit(s);
	else if (!out_must_yield(s) || serves_another(s))
		ask(s);
	else
		out_session_quit(s);
}

void out_session_wake(struct out_session *s)
{
	out_session_enter(s);
	ask(s);
	out_session_leave(s);
}

static void return_all(struct out_session *s, const struct message *m, const unsigned *ns,
		       unsigned n)
{
	struct rid rids[SCHED_DELIVERY_MAX];

	ASSERT(n <= SCHED_DELIVERY_MAX);
	for (unsigned i = 0; i < n; i++)
		rids[i] = rid_of(m->id, ns[i]);
	sched_give_back(s->o->sched, rids, n);
	message_unref(&m);
}

void out_session_given(struct out_session *s, const struct message *m, const unsigned *ns,
		       unsigned n)
{
	struct out_hop *h = s->hop;

	ASSERT(s->state == OUT_ASKING);
	out_session_enter(s);
	if (m == NULL) {
		out_source_done(s, false);
		h->work = 0;
		if (!serves_another(s))
			rest(s);
		else if (s->asking)
			s->again = true;
		else
			ask(s);
	} else if (!s->reply.complete && s->reply.lines + s->reply.line.n > 0) {
		/* half a reply to nothing: what comes next could not be told from it */
		out_session_state(s, OUT_IDLE);
		return_all(s, m, ns, n);
		out_session_over(s);
	} else {
		h->work -= h->work < n - 1 ? h->work : n - 1;
		if (!out_mail_begin(s, m, ns, n)) {
			s->again = s->asking;
			if (!s->asking)
				out_session_go_on(s);
		}
	}
	out_session_leave(s);
}

void out_session_quit(struct out_session *s)
{
	out_session_state(s, OUT_QUITTING);
	out_talk_said(s, STR("QUIT"));
	(void)stream_write(s->stream, "QUIT\r\n", 6);
	out_session_await(s, QUIT_MS);
	out_look(s->hop);
}

void out_session_drain(struct out_session *s)
{
	out_session_enter(s);
	switch (s->state) {
	case OUT_CONNECTING:
	case OUT_GREETING:
	case OUT_EHLO:
	case OUT_HELO:
	case OUT_STARTTLS:
	case OUT_HANDSHAKE:
	case OUT_AUTH:
		out_session_over(s);
		break;
	case OUT_ASKING:
		sched_unwant(s->o->sched, s->token);
		out_session_quit(s);
		break;
	case OUT_IDLE:
		out_session_quit(s);
		break;
	case OUT_ENVELOPE:
	case OUT_CONTENT:
	case OUT_END:
	case OUT_QUITTING:
	case OUT_OVER:
		break; /* they end by themselves */
	}
	out_session_leave(s);
}

/* --- trouble ---------------------------------------------------------------------------------- */

/* Everything that ends a session before its time; *a is what an attempt would say. */
static void broken(struct out_session *s, const struct attempt *a)
{
	switch (out_phase(s->state)) {
	case OUT_OPENING:
		out_open_failed(s, a, false);
		return;
	case OUT_OPEN:
		out_mail_broken(s, a);
		out_session_over(s);
		return;
	case OUT_LEAVING:
		out_session_over(s);
		return;
	case OUT_PHASE__COUNT:
		return;
	}
}

void out_session_garbage(struct out_session *s, const char *why)
{
	struct attempt a;

	out_talk_note(s, why);
	out_attempt_garbage(s, why, &a);
	broken(s, &a);
}

void out_session_give_way(struct out_session *s)
{
	struct attempt a;

	out_session_enter(s);
	out_talk_note(s, "given up for others that wait");
	out_attempt_timeout(s, &a);
	a.connection = out_talk_connection(s);
	out_hop_failed(s->hop, &s->addr, &a);
	out_session_over(s);
	out_session_leave(s);
}

/* --- the stream ------------------------------------------------------------------------------- */

static void take_reply(struct out_session *s)
{
	switch (s->state) {
	case OUT_GREETING:
	case OUT_EHLO:
	case OUT_HELO:
		out_open_reply(s);
		return;
	case OUT_STARTTLS:
		out_secure_reply(s);
		return;
	case OUT_AUTH:
		out_login_reply(s);
		return;
	case OUT_ENVELOPE:
	case OUT_CONTENT:
	case OUT_END:
		out_mail_reply(s);
		if (s->state != OUT_OVER && s->mail.m == NULL)
			out_session_go_on(s);
		return;
	case OUT_ASKING:
	case OUT_IDLE:
	case OUT_QUITTING:
		out_session_over(s); /* 421, 221, or more than was asked for */
		return;
	case OUT_CONNECTING:
	case OUT_HANDSHAKE:
	case OUT_OVER:
		return;
	}
}

/* The reply that is complete now is the last one that was asked for. */
static bool is_last(const struct out_session *s)
{
	return s->state != OUT_ENVELOPE || !s->mail.pipelined || s->mail.step == OUT_STEP_DATA;
}

static size_t on_data(void *arg, struct str in)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);
	const struct stream *from = s->stream;
	size_t all = in.n;

	out_session_enter(s);
	while (in.n > 0 && s->stream == from && s->state != OUT_OVER) {
		struct err err = ERR_INIT;
		size_t used;
		int rc = smtp_reply_feed(&s->reply, in, &used, &err);
		out_talk_heard(s, str_from(in.p, rc < 0 ? in.n : used));
		if (rc < 0) {
			char why[sizeof(err.msg) + 16];
			(void)snprintf(why, sizeof(why), "spoke no SMTP (%s)", err.msg);
			out_session_garbage(s, why);
			break;
		}
		in = str_from(in.p + used, in.n - used);
		if (rc == 0)
			break;
		s->ending = s->ending || (in.n > 0 && is_last(s));
		take_reply(s);
		if (s->state != OUT_OVER && s->stream == from)
			smtp_reply_reset(&s->reply);
	}
	out_session_leave(s);
	return all;
}

static void say_connected(struct out_session *s)
{
	char text[sizeof(s->host) + 3 * IPADDR_TEXT_LEN];

	(void)snprintf(text, sizeof(text), "connected to %s [%s]:%u from %s", s->host, s->ip,
		       (unsigned)s->addr.port, s->source);
	out_talk_note(s, text);
}

static void on_open(void *arg)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);
	struct netaddr local;

	if (netaddr_local(stream_fd(s->stream), &local))
		ipaddr_text(&local.ip, s->source);
	say_connected(s);
	out_open_connected(s);
}

static void on_secure(void *arg)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);

	out_session_enter(s);
	out_secure_done(s);
	out_session_leave(s);
}

static void on_closed(void *arg, const struct err *err)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);
	struct attempt a;

	out_session_enter(s);
	out_talk_note(s, err->code == ERR_CLOSED ? "the host closed the connection" : err->msg);
	if (s->state == OUT_CONNECTING && err->code == ERR_TIMEOUT)
		out_attempt_timeout(s, &a);
	else
		out_attempt_lost(s, err, &a);
	if (s->state == OUT_ENVELOPE && s->transactions > 0 && !s->mail.replied)
		out_session_over(s); /* it had been closed while it was idle: nobody was tried */
	else if (s->state == OUT_STARTTLS || s->state == OUT_HANDSHAKE)
		out_secure_lost(s, err->msg);
	else
		broken(s, &a);
	out_session_leave(s);
}

static void on_drain(void *arg)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);

	if (s->state == OUT_CONTENT)
		out_mail_feed(s);
}

static void on_timeout(void *arg)
{
	struct out_session *s = OBJ(out_session, OUT_SESSION_MAGIC, arg);
	struct attempt a;

	out_session_enter(s);
	if (s->state == OUT_IDLE) {
		out_session_quit(s);
	} else if (s->state == OUT_STARTTLS || s->state == OUT_HANDSHAKE) {
		out_talk_note(s, "no answer in time");
		out_secure_lost(s, "no answer in time");
	} else {
		out_talk_note(s, "no answer in time");
		out_attempt_timeout(s, &a);
		broken(s, &a);
	}
	out_session_leave(s);
}

const struct stream_ops out_session_ops = {
	.name = "smtpout",
	.out_limit = OUT_LIMIT,
	.high = HIGH_MARK,
	.low = LOW_MARK,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_open = on_open,
	.on_secure = on_secure,
	.on_drain = on_drain,
	.on_timeout = on_timeout,
};
