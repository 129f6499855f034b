/*
 * TLS, as the next hop's demands have it:
 *
 *	state       event                                     state
 *	EHLO        2xx; STARTTLS is offered and wanted       STARTTLS
 *	STARTTLS    220                                       HANDSHAKE
 *	STARTTLS    other replies                             as without it; or FAILED
 *	CONNECTING  connected, with implicit TLS              HANDSHAKE
 *	HANDSHAKE   over, and the certificate is as demanded  EHLO; GREETING with implicit TLS
 *	HANDSHAKE   over, and it is not                       FAILED
 *	STARTTLS HANDSHAKE  end, time, no TLS                 CONNECTING to the same address,
 *without TLS; or FAILED
 *
 * FAILED is: the address will not do, the next one is tried. Where TLS is demanded nothing but EHLO
 * and STARTTLS is ever said in the clear. Where it is not, a host whose TLS does not work is spoken
 * to in the clear for PLAIN_MS, and the attempt says so.
 */
#include <stdio.h>
#include <string.h>

#include "base/obj.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

#define PLAIN_MS 3600000 /* TLS that does not work is not tried again for so long */
#define NO_SUPPORT "4.7.4"
#define NO_CRYPTO "4.7.5"

static bool demands_tls(const struct out_session *s)
{
	switch (s->demands.tls) {
	case SMTPOUT_TLS_REQUIRED:
	case SMTPOUT_TLS_IMPLICIT:
		return true;
	case SMTPOUT_TLS_OPPORTUNISTIC:
	case SMTPOUT_TLS_NONE:
		break;
	}
	return false;
}

static void fail(struct out_session *s, const char *enhanced, const char *what, const char *why)
{
	struct attempt a;

	out_attempt_said(s, enhanced, REPLY_TLS, what, why, &a);
	out_open_failed(s, &a, false);
}

/* Without TLS after all. */
static void note_plain(struct out_session *s, const char *why)
{
	(void)snprintf(s->tls, sizeof(s->tls), "none: %s", why);
}

bool out_secure_begin(struct out_session *s)
{
	bool offered = (s->extensions & OUT_EXT_STARTTLS) != 0;

	if (s->secure || s->demands.tls == SMTPOUT_TLS_NONE)
		return false;
	if (!offered || s->o->cfg.tls == NULL) {
		if (!demands_tls(s))
			return false;
		fail(s, NO_SUPPORT, "does not offer STARTTLS", "the route demands TLS");
		return true;
	}
	if (!demands_tls(s) && out_plain_is(s->o, &s->addr)) {
		if (s->tls[0] == '\0') /* else it was found out just now */
			note_plain(s, "this host's TLS did not work before");
		return false;
	}
	out_session_state(s, OUT_STARTTLS);
	out_talk_said(s, STR("STARTTLS"));
	(void)stream_printf(s->stream, "STARTTLS\r\n");
	out_session_await(s, s->o->cfg.greeting_ms);
	return true;
}

void out_secure_shake(struct out_session *s)
{
	struct tls_peer peer = { .host = s->host };

	out_session_state(s, OUT_HANDSHAKE);
	stream_tls_connect(s->stream, s->o->cfg.tls, &peer);
	out_session_await(s, s->o->cfg.greeting_ms);
}

void out_secure_reply(struct out_session *s)
{
	struct attempt a;

	if (s->ending) {
		/* what came behind the reply came in the clear, whoever sent it */
		out_session_garbage(s, "said more than it was asked for");
		return;
	}
	if (smtp_reply_is(&s->reply, 2)) {
		out_secure_shake(s);
		return;
	}
	if (demands_tls(s) || s->reply.code == 421) {
		out_attempt_reply(s, &a);
		a.outcome = OUTCOME_DEFERRED;
		out_open_failed(s, &a, false);
		return;
	}
	(void)snprintf(s->tls, sizeof(s->tls), "none: STARTTLS was answered with %d",
		       s->reply.code);
	out_open_go_on(s);
}

void out_secure_done(struct out_session *s)
{
	struct tls_facts facts = { .verified = false };

	if (!stream_tls_facts(s->stream, &facts))
		BUG("no TLS after its handshake");
	(void)snprintf(s->tls, sizeof(s->tls), "%s %s %s", facts.protocol, facts.cipher,
		       facts.dane	? "dane"
		       : facts.verified ? "verified"
					: "unverified");
	s->secure = true;
	out_talk_note(s, s->tls);
	if (demands_tls(s) && !facts.verified)
		fail(s, NO_CRYPTO, "has a certificate that will not do", facts.why);
	else if (s->demands.tls == SMTPOUT_TLS_IMPLICIT)
		out_open_greeting(s);
	else
		out_open_hello(s);
}

void out_secure_lost(struct out_session *s, const char *why)
{
	if (demands_tls(s)) {
		fail(s, NO_CRYPTO, "does not get to TLS with us", why);
		return;
	}
	out_plain_note(s->o, &s->addr, PLAIN_MS);
	out_open_again(s);
	if (s->state != OUT_OVER)
		note_plain(s, why);
}
