/*
 * One transaction. Where PIPELINING is offered the whole envelope goes out in one piece, and the
 * replies are taken in the order of the steps; else one command waits for the other.
 *
 *	step   reply    what follows
 *	RSET   2xx      MAIL
 *	       other    the session ends; everybody is given back
 *	MAIL   2xx      RCPT
 *	       4xx 5xx  everybody has it for a result; replies still to come are passed over
 *	RCPT   2xx      this one is accepted
 *	       4xx 5xx  this one has it for a result
 *	       too many and some are accepted: this one is given back, for the next transaction
 *	DATA   3xx      the content; or only the dot, when nobody was accepted
 *	       4xx 5xx  those accepted have it for a result
 *	END    2xx 4xx 5xx  the same
 *	any    421      everybody without a result has it; the session ends
 *	any    other    no SMTP: the same with what we make of it
 *
 * A reply counts as the one to the content only when the whole content has left: what is said
 * earlier may refuse the message, but never accept it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "mail/header.h"
#include "mail/smtp_cmd.h"
#include "mail/verp.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

#define RCPTS_KEPT 4 /* room for so many stays with the session */
#define MARK_MAX (sizeof(VERP_FIELD) + ADDRESS_MAX + 8)
#define SLOWEST_BYTES_PER_MS 1 /* a host that takes less in the long run is given up */

/* --- results ---------------------------------------------------------------------------------- */

static void decide(struct out_session *s, struct out_rcpt *r, const struct attempt *a)
{
	struct out_mail *ml = &s->mail;

	ASSERT(ml->results_n < ml->results_cap && r->fate != OUT_FATE_DECIDED);
	r->fate = OUT_FATE_DECIDED;
	ml->results[ml->results_n].rid = rid_of(ml->m->id, r->r->n);
	ml->results[ml->results_n++].attempt = *a;
	out_site_result(s, a);
}

static void decide_rest(struct out_session *s, const struct attempt *a)
{
	for (unsigned i = 0; i < s->mail.rcpts_n; i++)
		if (s->mail.rcpts[i].fate == OUT_FATE_OPEN ||
		    s->mail.rcpts[i].fate == OUT_FATE_ACCEPTED)
			decide(s, &s->mail.rcpts[i], a);
	s->mail.accepted = 0;
}

/* Makes room; what a large transaction needed is not kept. */
static void make_room(struct out_mail *ml, unsigned n)
{
	if (ml->rcpts_cap >= n)
		return;
	ml->rcpts = xreallocarray(ml->rcpts, n, sizeof(*ml->rcpts));
	ml->results = xreallocarray(ml->results, n, sizeof(*ml->results));
	ml->rcpts_cap = ml->results_cap = n;
}

void out_mail_done(struct out_mail *ml)
{
	free(ml->rcpts);
	free(ml->results);
	talk_log_done(&ml->log);
	*ml = OUT_MAIL_INIT;
}

static void give_back(struct out_session *s)
{
	struct rid rids[SCHED_DELIVERY_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < s->mail.rcpts_n; i++)
		if (s->mail.rcpts[i].fate != OUT_FATE_DECIDED)
			rids[n++] = rid_of(s->mail.m->id, s->mail.rcpts[i].r->n);
	if (n > 0)
		sched_give_back(s->o->sched, rids, n);
}

/* Somebody has it now. */
static bool note_success(struct out_session *s)
{
	for (unsigned i = 0; i < s->mail.results_n; i++)
		if (s->mail.results[i].attempt.outcome == OUTCOME_DELIVERED)
			return s->useful = true;
	return false;
}

/* A host without DSN will tell nobody of its success: that mail went there is told by us. */
static void tell_relayed(struct out_session *s)
{
	const struct smtpout_config *cfg = &s->o->cfg;
	const struct out_mail *ml = &s->mail;

	if (cfg->relayed == NULL || (s->extensions & OUT_EXT_DSN) != 0)
		return;
	for (unsigned i = 0; i < ml->rcpts_n; i++)
		if ((ml->rcpts[i].r->notify & SMTP_NOTIFY_SUCCESS) != 0) {
			cfg->relayed(cfg->arg, ml->m, ml->results, ml->results_n);
			return;
		}
}

void out_mail_end(struct out_session *s)
{
	struct out_mail *ml = &s->mail;

	if (ml->m == NULL)
		return;
	out_source_done(s, note_success(s));
	if (ml->results_n > 0)
		out_talk_keep(s);
	if (ml->results_n > 0)
		tell_relayed(s);
	if (ml->results_n > 0)
		sched_done(s->o->sched, ml->m, ml->results, ml->results_n);
	give_back(s);
	message_unref(&ml->m);
	ml->rcpts_n = ml->results_n = 0;
	if (ml->rcpts_cap > RCPTS_KEPT)
		out_mail_done(ml);
}

void out_mail_broken(struct out_session *s, const struct attempt *a)
{
	decide_rest(s, a);
	out_mail_end(s);
}

/* The transaction came to its end in order; `unclean`: but not for the server. */
static void finish(struct out_session *s, bool unclean)
{
	out_hop_timed(s->hop, loop_now_ms(s->o->loop) - s->mail.given_ms);
	s->unclean = unclean;
	s->transactions++;
	out_mail_end(s);
}

/* --- before anything is sent ------------------------------------------------------------------ */

static bool has_eight_bit(struct str content)
{
	unsigned char all = 0;

	for (size_t i = 0; i < content.n; i++)
		all |= (unsigned char)content.p[i];
	return (all & 0x80) != 0;
}

static struct str sender_of(const struct out_mail *ml)
{
	return ml->disguised ? str_of(ml->sender) : ml->m->sender;
}

/* RFC 6531, 3.5: not of its recipients. A client that did not say so may have 8-bit bytes in its
 * header: they are passed on as they always were. */
static bool needs_utf8(const struct out_session *s, const struct message *m)
{
	struct header_facts facts;

	if (has_eight_bit(sender_of(&s->mail)))
		return true;
	if (!m->smtputf8)
		return false;
	header_scan(m->content, &facts);
	return facts.eight_bit;
}

static void no_utf8(const struct out_session *s, const char *what, struct attempt *ret)
{
	out_attempt(s, OUTCOME_FAILED, ret);
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "5.6.7");
	(void)snprintf(ret->reply, sizeof(ret->reply),
		       "%s [%s] does not offer SMTPUTF8, and %s needs it", s->host, s->ip, what);
}

/* What this host cannot take, as far as it said so (RFC 1870, 6; RFC 6152, 3). */
static bool refused_here(const struct out_session *s, const struct message *m, struct attempt *ret)
{
	bool eight_bit_ok = (s->extensions & OUT_EXT_8BITMIME) != 0;

	if (s->size_max != 0 && m->size > s->size_max) {
		out_attempt(s, OUTCOME_FAILED, ret);
		(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "5.3.4");
		ret->reply_class = REPLY_TOO_LARGE;
		(void)snprintf(ret->reply, sizeof(ret->reply),
			       "%s [%s] takes messages of up to %llu bytes, this one has %zu",
			       s->host, s->ip, (unsigned long long)s->size_max, m->size);
		return true;
	}
	if ((s->extensions & OUT_EXT_SMTPUTF8) == 0 && needs_utf8(s, m)) {
		no_utf8(s, "the message", ret);
		return true;
	}
	if (m->eight_bit && !eight_bit_ok && has_eight_bit(m->content)) {
		out_attempt(s, OUTCOME_FAILED, ret);
		(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "5.6.3");
		(void)snprintf(ret->reply, sizeof(ret->reply),
			       "%s [%s] does not offer 8BITMIME, and the message has 8-bit content",
			       s->host, s->ip);
		return true;
	}
	return false;
}

/* Recipients with addresses that the host cannot be told. */
static void refuse_addresses(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	struct attempt a;
	unsigned kept = 0;

	for (unsigned i = 0; i < ml->rcpts_n; i++) {
		if ((s->extensions & OUT_EXT_SMTPUTF8) != 0 ||
		    !has_eight_bit(ml->rcpts[i].r->address)) {
			ml->rcpts[kept++] = ml->rcpts[i];
			continue;
		}
		no_utf8(s, "the recipient's address", &a);
		decide(s, &ml->rcpts[i], &a);
	}
	ml->rcpts_n = kept;
}

/* --- commands --------------------------------------------------------------------------------- */

/* RFC 3461, 4.3 and 4.4 */
static void put_dsn_mail(const struct out_mail *ml, struct buf *b)
{
	const struct message *m = ml->m;

	if (ml->disguised)
		(void)buf_puts(b, " RET=HDRS");
	else if (m->ret != SMTP_RET_UNSAID)
		(void)buf_printf(b, " RET=%s", m->ret == SMTP_RET_FULL ? "FULL" : "HDRS");
	if (m->envid.n > 0)
		(void)buf_printf(b, " ENVID=%.*s", STR_ARG(m->envid));
}

/* RFC 3461, 4.1 and 4.2. What comes to our own address is for us. */
static void put_dsn_rcpt(const struct message_rcpt *r, bool disguised, struct buf *b)
{
	unsigned notify = disguised ? SMTP_NOTIFY_FAILURE : r->notify;
	static const struct {
		unsigned flag;
		const char *word;
	} words[] = { { SMTP_NOTIFY_NEVER, "NEVER" },
		      { SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		      { SMTP_NOTIFY_FAILURE, "FAILURE" },
		      { SMTP_NOTIFY_DELAY, "DELAY" } };
	const char *before = " NOTIFY=";

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if ((notify & words[i].flag) == 0)
			continue;
		(void)buf_printf(b, "%s%s", before, words[i].word);
		before = ",";
	}
	if (r->orcpt.n > 0)
		(void)buf_printf(b, " ORCPT=%.*s", STR_ARG(r->orcpt));
}

static size_t mark_size(const struct out_mail *ml)
{
	return ml->disguised ? sizeof(VERP_FIELD ": <>\r\n") - 1 + strlen(ml->sender) : 0;
}

static void put_mail(const struct out_session *s, struct buf *b)
{
	const struct message *m = s->mail.m;

	(void)buf_puts(b, "MAIL FROM:<");
	(void)buf_put_str(b, sender_of(&s->mail));
	(void)buf_puts(b, ">");
	if ((s->extensions & OUT_EXT_SIZE) != 0)
		(void)buf_printf(b, " SIZE=%zu", m->size + mark_size(&s->mail));
	if (m->eight_bit && (s->extensions & OUT_EXT_8BITMIME) != 0)
		(void)buf_puts(b, " BODY=8BITMIME");
	if ((s->extensions & OUT_EXT_SMTPUTF8) != 0 &&
	    (m->smtputf8 || has_eight_bit(sender_of(&s->mail))))
		(void)buf_puts(b, " SMTPUTF8");
	if ((s->extensions & OUT_EXT_DSN) != 0)
		put_dsn_mail(&s->mail, b);
	(void)buf_puts(b, "\r\n");
}

static void put_rcpt(const struct out_session *s, unsigned i, struct buf *b)
{
	(void)buf_puts(b, "RCPT TO:<");
	(void)buf_put_str(b, s->mail.rcpts[i].r->address);
	(void)buf_puts(b, ">");
	if ((s->extensions & OUT_EXT_DSN) != 0)
		put_dsn_rcpt(s->mail.rcpts[i].r, s->mail.disguised, b);
	(void)buf_puts(b, "\r\n");
}

static void put_step(const struct out_session *s, enum out_step step, struct buf *b)
{
	const struct out_mail *ml = &s->mail;

	switch (step) {
	case OUT_STEP_RSET:
		(void)buf_puts(b, "RSET\r\n");
		return;
	case OUT_STEP_MAIL:
		put_mail(s, b);
		return;
	case OUT_STEP_RCPT:
		if (!ml->pipelined)
			put_rcpt(s, ml->at, b);
		else
			for (unsigned i = 0; i < ml->rcpts_n; i++)
				put_rcpt(s, i, b);
		return;
	case OUT_STEP_DATA:
		(void)buf_puts(b, "DATA\r\n");
		return;
	}
}

/* What was put: one line a step, but one a recipient where all are told at once. */
static void note_steps(struct out_session *s, const struct buf *b)
{
	struct str rest = buf_str(b);
	unsigned step = s->mail.step;
	unsigned at = s->mail.pipelined ? 0 : s->mail.at;

	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		bool rcpt = step == OUT_STEP_RCPT;
		out_talk_step(s, out_talk_step_of((enum out_step)step),
			      rcpt ? s->mail.rcpts[at++].r->n : 0, line);
		if (!rcpt || !s->mail.pipelined || at == s->mail.rcpts_n)
			step++;
	}
}

/* From the present step on: all of them, or one. */
static void send_steps(struct out_session *s)
{
	struct buf *b = &s->o->scratch;
	enum out_step last = s->mail.pipelined ? OUT_STEP_DATA : s->mail.step;

	if (s->ending) {
		out_session_garbage(s, "said more than it was asked for");
		return;
	}
	buf_reset(b);
	for (unsigned step = s->mail.step; step <= (unsigned)last; step++)
		put_step(s, (enum out_step)step, b);
	note_steps(s, b);
	ASSERT(!b->full);
	(void)stream_write(s->stream, b->p, b->n);
	out_session_await(s, s->o->cfg.command_ms);
}

static const struct message_rcpt *rcpt_of(const struct message *m, unsigned n)
{
	if (n >= 1 && n <= m->rcpts_n && m->rcpts[n - 1].n == n)
		return &m->rcpts[n - 1];
	for (unsigned i = 0; i < m->rcpts_n; i++)
		if (m->rcpts[i].n == n)
			return &m->rcpts[i];
	BUG("recipient %u is not of its message", n);
}

bool out_mail_begin(struct out_session *s, const struct message *m_take, const unsigned *ns,
		    unsigned n)
{
	struct out_mail *ml = &s->mail;
	struct attempt a;

	ASSERT(ml->m == NULL && n > 0 && n <= SCHED_DELIVERY_MAX);
	make_room(ml, n);
	ml->m = m_take;
	ml->rcpts_n = n;
	for (unsigned i = 0; i < n; i++)
		ml->rcpts[i] = (struct out_rcpt){ .r = rcpt_of(m_take, ns[i]) };
	ml->results_n = ml->accepted = ml->at = 0;
	ml->open = ml->replied = ml->nobody = false;
	ml->given_ms = loop_now_ms(s->o->loop);
	ml->number = s->transactions + 1;
	ml->disguised = n == 1 && s->o->cfg.sender != NULL &&
			s->o->cfg.sender(s->o->cfg.arg, m_take, ml->rcpts[0].r, ml->sender);
	out_talk_mail(s);
	if (s->transactions > 0 || s->rested)
		s->since_ms = ml->given_ms;
	if (refused_here(s, m_take, &a)) {
		out_mail_broken(s, &a);
		return false;
	}
	refuse_addresses(s);
	if (ml->rcpts_n == 0) {
		out_mail_end(s);
		return false;
	}
	s->used = true;
	ml->dots = DOT_ENCODER_INIT;
	ml->sent = 0;
	ml->pipelined = (s->extensions & OUT_EXT_PIPELINING) != 0;
	ml->step = s->unclean ? OUT_STEP_RSET : OUT_STEP_MAIL;
	out_session_state(s, OUT_ENVELOPE);
	send_steps(s);
	return true;
}

/* --- the content ------------------------------------------------------------------------------ */

/* Our own sender, on top of the message. */
static void put_mark(struct out_mail *ml, struct buf *b)
{
	AUTO_BUF field = BUF_INIT(MARK_MAX);

	if (!ml->disguised)
		return;
	(void)buf_printf(&field, VERP_FIELD ": <%s>\r\n", ml->sender);
	(void)dot_encode(&ml->dots, (const uint8_t *)field.p, field.n, b);
}

void out_mail_feed(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	struct str content = ml->m->content;
	struct buf *b = &s->o->scratch;
	size_t n = content.n - ml->sent < OUT_PIECE ? content.n - ml->sent : OUT_PIECE;

	buf_reset(b);
	if (ml->sent == 0)
		put_mark(ml, b);
	if (n > 0)
		(void)dot_encode(&ml->dots, (const uint8_t *)content.p + ml->sent, n, b);
	ml->sent += n;
	if (ml->sent == content.n)
		(void)dot_encode_end(&ml->dots, b);
	ASSERT(!b->full);
	(void)stream_write(s->stream, b->p, b->n);
	if (ml->sent < content.n)
		return; /* a piece is above the stream's high mark: on_drain() brings us back */
	out_session_state(s, OUT_END);
	out_session_await(s, s->o->cfg.end_ms);
}

static void send_content(struct out_session *s)
{
	const struct smtpout_config *cfg = &s->o->cfg;
	struct out_mail *ml = &s->mail;

	if (s->ending) {
		out_session_garbage(s, "said more than it was asked for");
		return;
	}
	out_talk_content(s, ml->accepted == 0 ? 0 : ml->m->content.n + mark_size(ml));
	if (ml->accepted == 0) {
		ml->nobody = true;
		(void)stream_write(s->stream, ".\r\n", 3);
		out_session_state(s, OUT_END);
		out_session_await(s, cfg->command_ms);
		return;
	}
	out_session_state(s, OUT_CONTENT);
	out_session_await(s, cfg->data_ms + (int64_t)(ml->m->content.n / SLOWEST_BYTES_PER_MS));
	stream_idle(s->stream, cfg->data_ms);
	out_mail_feed(s);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void unexpected(struct out_session *s, const char *to)
{
	char why[64];

	(void)snprintf(why, sizeof(why), "answered %s with %d", to, s->reply.code);
	out_session_garbage(s, why);
}

/* 421: the host ends the session, and says why. */
static void shut(struct out_session *s, bool first)
{
	struct attempt a;

	/* Said to the first command on a used connection it is about that connection: its age, its
	 * count of messages. Another one decides, unless it is said to be a matter of policy. */
	if (first && s->transactions > 0 && strncmp(s->reply.enhanced, "4.7.", 4) != 0) {
		out_session_over(s);
		return;
	}
	out_attempt_reply(s, &a);
	out_mail_broken(s, &a);
	out_session_over(s);
}

static void mail_reply(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	struct attempt a;

	if (smtp_reply_is(&s->reply, 3)) {
		unexpected(s, "MAIL");
		return;
	}
	ml->open = smtp_reply_is(&s->reply, 2);
	if (!ml->open)
		out_attempt_reply(s, &a);
	ml->step = OUT_STEP_RCPT;
	if (!ml->open) {
		decide_rest(s, &a);
		if (!ml->pipelined)
			finish(s, false);
	} else if (!ml->pipelined) {
		send_steps(s);
	}
}

/* RFC 5321, 4.5.3.1.10: the rest may come in another transaction, at once. */
static bool too_many(const struct out_session *s)
{
	const struct smtp_reply *r = &s->reply;

	if (s->mail.accepted == 0 || (r->code != 452 && r->code != 552))
		return false;
	if (r->enhanced[0] != '\0')
		return strcmp(r->enhanced + 1, ".5.3") == 0;
	return str_glob(STR("*too many*recipient*"), buf_str(&r->text));
}

static void rcpt_reply(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	struct out_rcpt *r = &ml->rcpts[ml->at];
	struct attempt a;

	if (smtp_reply_is(&s->reply, 3)) {
		unexpected(s, "RCPT");
		return;
	}
	if (r->fate == OUT_FATE_DECIDED) {
		/* by the reply to MAIL */
	} else if (smtp_reply_is(&s->reply, 2)) {
		r->fate = OUT_FATE_ACCEPTED;
		ml->accepted++;
	} else if (too_many(s)) {
		r->fate = OUT_FATE_BACK;
	} else {
		out_attempt_reply(s, &a);
		decide(s, r, &a);
	}
	if (++ml->at == ml->rcpts_n)
		ml->step = OUT_STEP_DATA;
	if (ml->pipelined)
		return;
	if (ml->step == OUT_STEP_DATA && ml->accepted == 0)
		finish(s, true);
	else
		send_steps(s);
}

static void data_reply(struct out_session *s)
{
	struct attempt a;

	if (smtp_reply_is(&s->reply, 2)) {
		unexpected(s, "DATA");
	} else if (smtp_reply_is(&s->reply, 3)) {
		send_content(s);
	} else {
		out_attempt_reply(s, &a);
		decide_rest(s, &a);
		finish(s, s->mail.open);
	}
}

static void end_reply(struct out_session *s)
{
	struct attempt a;

	if (smtp_reply_is(&s->reply, 3)) {
		unexpected(s, "the content");
		return;
	}
	if (!s->mail.nobody) {
		out_attempt_reply(s, &a);
		decide_rest(s, &a);
	}
	finish(s, false);
}

/* Said while the content is still being sent: it may be refused so, and the session is over. */
static void early_reply(struct out_session *s)
{
	struct attempt a;

	if (s->reply.code < 400) {
		unexpected(s, "unfinished content");
		return;
	}
	out_attempt_reply(s, &a);
	out_mail_broken(s, &a);
	out_session_over(s);
}

void out_mail_reply(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	bool first = !ml->replied;

	ml->replied = true;
	if (s->reply.code == 421) {
		shut(s, first);
		return;
	}
	if (s->state == OUT_CONTENT || (s->state == OUT_END && stream_pending(s->stream) > 0)) {
		early_reply(s);
		return;
	}
	if (s->state == OUT_END) {
		end_reply(s);
		return;
	}
	out_session_await(s, s->o->cfg.command_ms);
	switch (ml->step) {
	case OUT_STEP_RSET:
		if (!smtp_reply_is(&s->reply, 2)) {
			out_session_over(s);
			return;
		}
		ml->replied = false;
		s->unclean = false;
		ml->step = OUT_STEP_MAIL;
		if (!ml->pipelined)
			send_steps(s);
		return;
	case OUT_STEP_MAIL:
		mail_reply(s);
		return;
	case OUT_STEP_RCPT:
		rcpt_reply(s);
		return;
	case OUT_STEP_DATA:
		data_reply(s);
		return;
	}
}
