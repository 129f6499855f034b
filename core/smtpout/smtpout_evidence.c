/*
 * The record of an attempt: what the peer said, or, where it said nothing, what went wrong in plain
 * words: which host, which address, at which step, after how long.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

static enum classify_phase phase_now(const struct out_session *s)
{
	static const enum classify_phase steps[] = { [OUT_STEP_RSET] = CLASSIFY_PHASE_MAIL,
						     [OUT_STEP_MAIL] = CLASSIFY_PHASE_MAIL,
						     [OUT_STEP_RCPT] = CLASSIFY_PHASE_RCPT,
						     [OUT_STEP_DATA] = CLASSIFY_PHASE_DATA };

	switch (out_phase(s->state)) {
	case OUT_OPENING:
		return CLASSIFY_PHASE_CONNECT;
	case OUT_OPEN:
		return s->state == OUT_ENVELOPE ? steps[s->mail.step] : CLASSIFY_PHASE_DATA;
	case OUT_LEAVING:
	case OUT_PHASE__COUNT:
		break;
	}
	return CLASSIFY_PHASE_UNKNOWN;
}

void out_attempt(const struct out_session *s, enum outcome outcome, struct attempt *ret)
{
	int64_t took = loop_now_ms(s->o->loop) - s->since_ms;

	memset(ret, 0, sizeof(*ret));
	ret->at_ms = loop_wall_ms(s->o->loop);
	ret->outcome = outcome;
	ret->phase = (uint8_t)phase_now(s);
	ret->duration_ms = took < 0 ? 0 : took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	if (s->state == OUT_CONNECTING)
		return; /* no host was reached */
	memcpy(ret->host, s->host, sizeof(ret->host));
	memcpy(ret->ip, s->ip, sizeof(ret->ip));
	memcpy(ret->source, s->source, sizeof(ret->source));
	out_secure_tell(s, ret->tls);
}

void out_attempt_reply(const struct out_session *s, struct attempt *ret)
{
	const struct smtp_reply *r = &s->reply;
	enum outcome o = smtp_reply_is(r, 2)   ? OUTCOME_DELIVERED
			 : smtp_reply_is(r, 5) ? OUTCOME_FAILED
					       : OUTCOME_DEFERRED;
	int n;

	out_attempt(s, o, ret);
	ret->code = r->code;
	memcpy(ret->enhanced, r->enhanced, sizeof(ret->enhanced));
	n = snprintf(ret->reply, sizeof(ret->reply), "%d%s%s%s", r->code,
		     r->enhanced[0] != '\0' ? " " : "", r->enhanced, r->text.n > 0 ? " " : "");
	/* the text may hold zero bytes, which would end it */
	for (size_t i = 0; i < r->text.n && (size_t)n < sizeof(ret->reply) - 1; i++)
		ret->reply[n++] = r->text.p[i] != '\0' ? r->text.p[i] : '?';
	ret->reply[n] = '\0';
}

static void PRINTF_LIKE(5, 6)
	say(const struct out_session *s, struct attempt *ret, const char *enhanced,
	    enum reply_class given, const char *fmt, ...)
{
	va_list ap;

	out_attempt(s, OUTCOME_DEFERRED, ret);
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%s", enhanced);
	ret->reply_class = (uint8_t)given;
	va_start(ap, fmt);
	(void)vsnprintf(ret->reply, sizeof(ret->reply), fmt, ap);
	va_end(ap);
}

/* What is awaited in this state. */
static const char *awaited(const struct out_session *s)
{
	static const char *const steps[] = { [OUT_STEP_RSET] = "its reply to RSET",
					     [OUT_STEP_MAIL] = "its reply to MAIL",
					     [OUT_STEP_RCPT] = "its reply to RCPT",
					     [OUT_STEP_DATA] = "its reply to DATA" };

	switch (s->state) {
	case OUT_CONNECTING:
		return "the connection";
	case OUT_GREETING:
		return "its greeting";
	case OUT_EHLO:
		return "its reply to EHLO";
	case OUT_HELO:
		return "its reply to HELO";
	case OUT_STARTTLS:
		return "its reply to STARTTLS";
	case OUT_HANDSHAKE:
		return "the end of the TLS handshake";
	case OUT_AUTH:
		return "its reply to AUTH";
	case OUT_ENVELOPE:
		return steps[s->mail.step];
	case OUT_CONTENT:
		return "the end of the content";
	case OUT_END:
		return stream_pending(s->stream) > 0 ? "the end of the content"
						     : "its reply to the content";
	case OUT_ASKING:
	case OUT_IDLE:
	case OUT_QUITTING:
	case OUT_OVER:
		break;
	}
	return "the end of the session";
}

/* After the whole content only the reply is missing. */
static const char *perhaps(const struct out_session *s)
{
	return s->state == OUT_END && stream_pending(s->stream) == 0
		       ? "; it may have taken the message"
		       : "";
}

void out_attempt_lost(const struct out_session *s, const struct err *err, struct attempt *ret)
{
	if (s->state == OUT_CONNECTING)
		say(s, ret, "4.4.1", REPLY_NETWORK, "%s [%s]:%u: %s", s->host, s->ip,
		    (unsigned)s->addr.port, err->msg);
	else if (err->code == ERR_CLOSED)
		say(s, ret, "4.4.2", REPLY_NETWORK, "%s [%s] closed the connection before %s%s",
		    s->host, s->ip, awaited(s), perhaps(s));
	else
		say(s, ret, "4.4.2", REPLY_NETWORK, "%s [%s]: %s, before %s%s", s->host, s->ip,
		    err->msg, awaited(s), perhaps(s));
}

void out_attempt_timeout(const struct out_session *s, struct attempt *ret)
{
	char took[FMT_SHORT_LEN];

	fmt_age((loop_now_ms(s->o->loop) - s->step_ms + 500) / 1000, took);
	if (s->state == OUT_CONNECTING)
		say(s, ret, "4.4.1", REPLY_NETWORK, "%s [%s]:%u: no answer to connecting within %s",
		    s->host, s->ip, (unsigned)s->addr.port, took);
	else if (s->state == OUT_CONTENT)
		say(s, ret, "4.4.2", REPLY_NETWORK,
		    "%s [%s] takes the content too slowly: %zu of %zu bytes in %s", s->host, s->ip,
		    s->mail.sent, s->mail.m->content.n, took);
	else
		say(s, ret, "4.4.2", REPLY_NETWORK, "%s [%s]: waited %s for %s%s", s->host, s->ip,
		    took, awaited(s), perhaps(s));
}

void out_attempt_garbage(const struct out_session *s, const char *why, struct attempt *ret)
{
	say(s, ret, "4.5.0", REPLY_PROTOCOL, "%s [%s] %s (%s was due)", s->host, s->ip, why,
	    awaited(s));
}

void out_attempt_said(const struct out_session *s, const char *enhanced, uint8_t reply_class,
		      const char *what, const char *why, struct attempt *ret)
{
	say(s, ret, enhanced, (enum reply_class)reply_class, "%s [%s] %s: %s", s->host, s->ip, what,
	    why);
}
