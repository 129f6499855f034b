/*
 * TLS, as the next hop's demands have it:
 *
 *	state       event                                     state
 *	EHLO        2xx; STARTTLS is offered and wanted       STARTTLS
 *	STARTTLS    220                                       HANDSHAKE
 *	STARTTLS    other replies                             as without it; or FAILED
 *	CONNECTING  connected, with implicit TLS              HANDSHAKE
 *	HANDSHAKE   over, and the certificate is as needed    EHLO; GREETING with implicit TLS
 *	HANDSHAKE   over, and it is not                       FAILED
 *	STARTTLS HANDSHAKE  end, time, no TLS                 CONNECTING to the same address,
 *                                                            without TLS; or FAILED
 *
 * What is needed follows from the next hop's demands and from what is published for the host
 * (route/tls_policy.h), anew for each address. FAILED is: the address will not do, the next one is
 * tried. Where TLS is needed nothing but EHLO and STARTTLS is ever said in the clear. Where it is
 * not, a host whose TLS does not work is spoken to in the clear for PLAIN_MS, and the attempt says
 * so.
 */
#include <stdio.h>
#include <string.h>

#include "base/obj.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

#define PLAIN_MS 3600000 /* TLS that does not work is not tried again for so long */
#define DEMAND_MAX (TLS_POLICY_TEXT_MAX + 16)
#define NO_SUPPORT "4.7.4"
#define NO_CRYPTO "4.7.5"

static bool needs_tls(enum tls_need need)
{
	switch (need) {
	case TLS_NEED_ENCRYPTED:
	case TLS_NEED_VALID:
	case TLS_NEED_STS:
	case TLS_NEED_DANE:
	case TLS_NEED_REFUSED:
		return true;
	case TLS_NEED_NEVER:
	case TLS_NEED_MAY:
		break;
	}
	return false;
}

/* What the connection has is what is needed. */
static bool meets(const struct out_session *s, enum tls_need need)
{
	switch (need) {
	case TLS_NEED_ENCRYPTED:
		return s->secure;
	case TLS_NEED_VALID:
	case TLS_NEED_STS:
		return s->secure && s->valid;
	case TLS_NEED_DANE:
		return s->secure && s->dane;
	case TLS_NEED_REFUSED:
		return false;
	case TLS_NEED_NEVER:
	case TLS_NEED_MAY:
		break;
	}
	return true;
}

void out_secure_policy(struct out_session *s, struct tls_policy *p)
{
	struct tls_policy *was = s->policy;

	s->policy = tls_policy_ref(p);
	s->need = tls_policy_need(p, s->demands.tls, &s->need_why);
	tls_policy_unref(&was);
}

bool out_secure_meets(const struct out_session *s, const struct out_hop *h)
{
	const char *why;

	for (unsigned i = 0; i < h->names_n; i++)
		if (strcmp(h->names[i], s->host) == 0)
			return meets(s, tls_policy_need(h->policies[i], s->demands.tls, &why));
	return false;
}

bool out_secure_allows(struct out_session *s)
{
	struct attempt a;

	if (s->need != TLS_NEED_REFUSED)
		return true;
	s->since_ms = loop_now_ms(s->o->loop);
	out_attempt_said(s, NO_CRYPTO, REPLY_TLS, "is not used", s->need_why, &a);
	out_hop_failed(s->hop, &s->addr, &a);
	return false;
}

void out_secure_tell(const struct out_session *s, char ret[static ATTEMPT_TLS_MAX])
{
	const char *result = s->dane		       ? "dane"
			     : !s->valid	       ? "unverified"
			     : s->need == TLS_NEED_STS ? "sts"
						       : "verified";

	if (s->secure)
		(void)snprintf(ret, ATTEMPT_TLS_MAX, "%.*s %s", ATTEMPT_TLS_MAX - 16, s->tls,
			       result);
	else
		memcpy(ret, s->tls, ATTEMPT_TLS_MAX);
}

static void fail(struct out_session *s, const char *enhanced, const char *what, const char *why)
{
	struct attempt a;

	out_attempt_said(s, enhanced, REPLY_TLS, what, why, &a);
	out_open_failed(s, &a, false);
}

/* Who demands it. */
static const char *demand_text(const struct out_session *s, char scratch[static DEMAND_MAX])
{
	if (s->need == TLS_NEED_VALID)
		return s->need_why;
	(void)snprintf(scratch, DEMAND_MAX, "demanded by %s", s->need_why);
	return scratch;
}

/* Without TLS after all. */
static void note_plain(struct out_session *s, const char *why)
{
	(void)snprintf(s->tls, sizeof(s->tls), "none: %s", why);
}

bool out_secure_begin(struct out_session *s)
{
	char who[DEMAND_MAX];
	bool offered = (s->extensions & OUT_EXT_STARTTLS) != 0;

	if (s->secure || s->need == TLS_NEED_NEVER)
		return false;
	if (!offered || s->o->cfg.tls == NULL) {
		if (!needs_tls(s->need))
			return false;
		fail(s, NO_SUPPORT, "does not offer STARTTLS", demand_text(s, who));
		return true;
	}
	if (!needs_tls(s->need) && out_plain_is(s->o, &s->addr)) {
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
	const struct tls_policy *p = s->policy;
	struct tls_peer peer = { .host = s->host };
	const char *names[2];

	if (s->need == TLS_NEED_DANE) {
		/* RFC 7672, 3.2.2: what a certificate under DANE-TA may be made out to */
		peer.host = p->base;
		peer.tlsa = p->tlsa;
		peer.tlsa_n = p->tlsa_n;
		names[peer.names_n++] = s->host;
		if (p->domain != NULL)
			names[peer.names_n++] = p->domain;
		peer.names = names;
	}
	out_session_state(s, OUT_HANDSHAKE);
	stream_tls_connect(s->stream, s->o->cfg.tls, &peer);
	out_session_await(s, s->o->cfg.greeting_ms);
}

void out_secure_reply(struct out_session *s)
{
	char why[DEMAND_MAX + 240];
	char who[DEMAND_MAX];
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
	out_attempt_reply(s, &a);
	if (needs_tls(s->need)) {
		/* whatever its words are, this is the reason */
		(void)snprintf(why, sizeof(why), "it answers STARTTLS with \"%.200s\"; %s", a.reply,
			       demand_text(s, who));
		fail(s, NO_SUPPORT, "does not get to TLS with us", why);
		return;
	}
	if (s->reply.code == 421) {
		a.outcome = OUTCOME_DEFERRED;
		out_open_failed(s, &a, false);
		return;
	}
	(void)snprintf(s->tls, sizeof(s->tls), "none: STARTTLS was answered with %d",
		       s->reply.code);
	out_open_go_on(s);
}

static void fail_certificate(struct out_session *s, const char *why)
{
	char who[DEMAND_MAX];
	char text[DEMAND_MAX + 160];

	(void)snprintf(text, sizeof(text), "%s; %s",
		       why[0] != '\0' ? why : "no TLSA record names it", demand_text(s, who));
	fail(s, NO_CRYPTO, "has a certificate that will not do", text);
}

void out_secure_done(struct out_session *s)
{
	struct tls_facts facts = { .verified = false };
	char told[ATTEMPT_TLS_MAX];

	if (!stream_tls_facts(s->stream, &facts))
		BUG("no TLS after its handshake");
	(void)snprintf(s->tls, sizeof(s->tls), "%s %s", facts.protocol, facts.cipher);
	s->secure = true;
	s->dane = facts.dane;
	s->valid = facts.verified && s->need != TLS_NEED_DANE;
	out_secure_tell(s, told);
	out_talk_note(s, told);
	if (!meets(s, s->need))
		fail_certificate(s, facts.why);
	else if (s->demands.tls == ROUTE_TLS_IMPLICIT)
		out_open_greeting(s);
	else
		out_open_hello(s);
}

void out_secure_lost(struct out_session *s, const char *why)
{
	char who[DEMAND_MAX];
	char text[DEMAND_MAX + 240];

	if (needs_tls(s->need)) {
		(void)snprintf(text, sizeof(text), "%.230s; %s", why, demand_text(s, who));
		fail(s, NO_CRYPTO, "does not get to TLS with us", text);
		return;
	}
	out_plain_note(s->o, &s->addr, PLAIN_MS);
	out_open_again(s);
	if (s->state != OUT_OVER)
		note_plain(s, why);
}
