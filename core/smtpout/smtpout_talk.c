/*
 * What is said is written down here (mail/talk.h): on a connection until its first transaction,
 * then transaction by transaction. A connection's part is handed to the queue with the first
 * attempt that refers to it, together with the replies of the transaction that goes on: the next
 * ones are likely to be the same, and need not be kept then.
 *
 * Those who listen hear every line at the same time.
 *
 * A login's words are not kept; what the host answers to it is, without what it repeats of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "mail/talk.h"
#include "smtpout/smtpout_int.h"

#define LEFT_OUT "(left out)"
#define ECHO_MIN 6 /* characters of a login's line that a reply is searched for */

static bool is_kept(const struct smtpout *o)
{
	return o->cfg.queue != NULL && o->cfg.transcripts != SMTPOUT_TRANSCRIPTS_NO;
}

enum talk_step out_talk_step_of(enum out_step step)
{
	switch (step) {
	case OUT_STEP_RSET:
		return TALK_RSET;
	case OUT_STEP_MAIL:
		return TALK_MAIL;
	case OUT_STEP_RCPT:
		return TALK_RCPT;
	case OUT_STEP_DATA:
		break;
	}
	return TALK_DATA;
}

static enum talk_step step_now(const struct out_session *s)
{
	switch (s->state) {
	case OUT_CONNECTING:
		return TALK_CONNECT;
	case OUT_GREETING:
		return TALK_GREETING;
	case OUT_EHLO:
	case OUT_HELO:
		return TALK_EHLO;
	case OUT_STARTTLS:
		return TALK_STARTTLS;
	case OUT_HANDSHAKE:
		return TALK_TLS;
	case OUT_AUTH:
		return TALK_AUTH;
	case OUT_ENVELOPE:
		return out_talk_step_of(s->mail.step);
	case OUT_CONTENT:
	case OUT_END:
		return TALK_END;
	case OUT_ASKING:
	case OUT_IDLE:
	case OUT_QUITTING:
	case OUT_OVER:
		break;
	}
	return TALK_QUIT;
}

static void tell(const struct out_session *s, enum talk_by by, unsigned rcpt, struct str text)
{
	const struct out_mail *ml = &s->mail;
	struct smtpout_spoken sp = { .session = s->token,
				     .at_ms = loop_wall_ms(s->o->loop),
				     .next_hop = s->hop->key,
				     .host = s->host,
				     .ip = s->ip,
				     .m = ml->m,
				     .by = by,
				     .text = text };

	for (unsigned i = 0; ml->m != NULL && i < ml->rcpts_n; i++)
		if ((rcpt == 0 || rcpt == ml->rcpts[i].r->n) && sp.rcpts_n < SMTPOUT_SPOKEN_RCPTS)
			sp.rcpts[sp.rcpts_n++] = ml->rcpts[i].r;
	s->o->cfg.spoken(s->o->cfg.arg, &sp);
}

static void add(struct out_session *s, enum talk_by by, enum talk_step step, unsigned rcpt,
		struct str text)
{
	int64_t now = loop_now_ms(s->o->loop);

	if (s->hop != NULL && s->o->cfg.heard != NULL && s->o->cfg.heard(s->o->cfg.arg))
		tell(s, by, rcpt, text);
	if (!is_kept(s->o))
		return;
	if (s->mail.m != NULL)
		talk_log_add(&s->mail.log, by, step, rcpt, now, text);
	else if (out_phase(s->state) == OUT_OPENING)
		talk_log_add(&s->opening, by, step, 0, now, text);
}

void out_talk_begin(struct out_session *s)
{
	int64_t now = loop_now_ms(s->o->loop);

	talk_log_begin(&s->opening, now - s->hop->dns_ms);
	s->connection = 0;
	add(s, TALK_NOTE, TALK_DNS, 0, STR("hosts and addresses were looked up"));
}

void out_talk_mail(struct out_session *s)
{
	talk_log_begin(&s->mail.log, loop_now_ms(s->o->loop));
}

void out_talk_said(struct out_session *s, struct str line)
{
	add(s, TALK_RELAY, step_now(s), 0, line);
}

void out_talk_step(struct out_session *s, enum talk_step step, unsigned rcpt, struct str lines)
{
	while (lines.n > 0) {
		struct str line = str_cut(&lines, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		add(s, TALK_RELAY, step, rcpt, line);
	}
}

void out_talk_note(struct out_session *s, const char *text)
{
	add(s, TALK_NOTE, step_now(s), 0, str_of(text));
}

void out_talk_content(struct out_session *s, size_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", n);
	add(s, TALK_CONTENT, TALK_END, 0, str_of(text));
}

/* --- the host --------------------------------------------------------------------------------- */

static void mask(struct buf *in, struct str what)
{
	char *at = in->p;

	while (what.n >= ECHO_MIN && at != NULL &&
	       (at = memmem(at, in->n - (size_t)(at - in->p), what.p, what.n)) != NULL)
		memset(at, '*', what.n);
}

static void login_reply(struct out_session *s, struct str raw)
{
	AUTO_BUF text = BUF_INIT(TALK_TEXT_MAX);

	if (str_starts(raw, STR("334"))) {
		add(s, TALK_HOST, TALK_AUTH, 0, STR("334 " LEFT_OUT "\r\n"));
		return;
	}
	if (raw.n > TALK_TEXT_MAX)
		raw.n = TALK_TEXT_MAX;
	(void)buf_put_str(&text, raw);
	out_talk_mask(s, &text);
	add(s, TALK_HOST, TALK_AUTH, 0, buf_str(&text));
}

void out_talk_mask(const struct out_session *s, struct buf *text)
{
	if (s->login_said != NULL)
		mask(text, str_of(s->login_said));
	if (s->demands.password != NULL)
		mask(text, str_of(s->demands.password));
}

void out_talk_heard(struct out_session *s, struct str raw)
{
	if (s->state == OUT_AUTH)
		login_reply(s, raw);
	else
		add(s, TALK_HOST, step_now(s),
		    s->state == OUT_ENVELOPE && s->mail.step == OUT_STEP_RCPT
			    ? s->mail.rcpts[s->mail.at].r->n
			    : 0,
		    raw);
}

/* --- keeping ---------------------------------------------------------------------------------- */

static const enum talk_step usual_steps[] = { TALK_MAIL, TALK_RCPT, TALK_DATA };

static void note_usual(struct out_session *s)
{
	for (size_t i = 0; i < ARRAY_LEN(usual_steps); i++) {
		struct str reply = talk_reply_of(&s->mail.log, usual_steps[i]);
		s->usual_n[i] = (uint8_t)reply.n;
		memcpy(s->usual[i], reply.p, reply.n);
	}
}

static void find_usual(const struct out_session *s, struct talk_facts *f)
{
	for (size_t i = 0; i < ARRAY_LEN(usual_steps); i++)
		f->usual[usual_steps[i]] = str_from(s->usual[i], s->usual_n[i]);
}

uint64_t out_talk_connection(struct out_session *s)
{
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);

	if (!is_kept(s->o))
		return 0;
	if (s->connection != 0 && out_phase(s->state) != OUT_OPENING)
		return s->connection;
	if (s->mail.m != NULL)
		note_usual(s);
	talk_pack(&s->opening, 0, 0, NULL, &out);
	for (size_t i = 0; s->mail.m != NULL && i < ARRAY_LEN(usual_steps); i++)
		talk_pack_usual(usual_steps[i], str_from(s->usual[i], s->usual_n[i]), &out);
	s->connection = queue_connection(s->o->cfg.queue, buf_str(&out));
	return s->connection;
}

static bool wants(const struct smtpout *o, const struct attempt *a)
{
	return o->cfg.transcripts != SMTPOUT_TRANSCRIPTS_FAILURES ||
	       a->outcome != OUTCOME_DELIVERED;
}

static struct str rcpt_address(const struct out_mail *ml, unsigned n)
{
	for (unsigned i = 0; i < ml->m->rcpts_n; i++)
		if (ml->m->rcpts[i].n == n)
			return ml->m->rcpts[i].address;
	return STR("");
}

void out_talk_keep(struct out_session *s)
{
	struct out_mail *ml = &s->mail;
	struct buf *out = &s->o->packed;
	struct talk_facts f = { .sender = ml->m->sender, .size = ml->m->size };

	if (!is_kept(s->o))
		return;
	for (unsigned i = 0; i < ml->results_n; i++) {
		struct sched_result *r = &ml->results[i];
		unsigned n = rid_n(r->rid);
		if (!wants(s->o, &r->attempt))
			continue;
		r->attempt.connection = out_talk_connection(s);
		find_usual(s, &f);
		f.rcpt = rcpt_address(ml, n);
		f.reply = str_of(r->attempt.reply);
		buf_reset(out);
		talk_pack(&ml->log, n, ml->number, &f, out);
		queue_talk(s->o->cfg.queue, r->rid, buf_str(out));
	}
}
