/*
 * AUTH (RFC 4954): the session's side of an exchange whose grammar is policy/sasl's.
 *
 * A failure is answered after a delay in which nothing is read (the tarpit); how long, and when an
 * address is not heard any more, is the guard's to say.
 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/fmt.h"
#include "base/log.h"
#include "base/obj.h"
#include "base/secret.h"
#include "smtpin/smtpin_int.h"

#define RESPONSE_MAX ((size_t)SMTP_CMD_LINE_MAX)
#define FAILURES_MAX 3 /* of one session */

static bool is_loopback(const struct ipaddr *a)
{
	struct ipaddr one;

	if (ipaddr_is_v4(a))
		return a->b[12] == 127;
	return ipaddr_parse(STR("::1"), &one) && ipaddr_eq(a, &one);
}

bool auth_offered(const struct smtpin_session *s)
{
	if (s->rules->auth == SMTPIN_AUTH_NONE || s->credential[0] != '\0' || s->facts.no_auth)
		return false;
	return s->secure || (s->rules->auth_loopback && s->named && is_loopback(&s->client));
}

bool auth_blocked(const struct smtpin_session *s)
{
	return s->rules->auth != SMTPIN_AUTH_NONE && s->named &&
	       guard_blocked(s->in->conf.guard, &s->client, loop_wall_ms(s->in->loop)) != 0;
}

bool auth_good(const struct smtpin_session *s)
{
	const struct cred *c;
	const struct cred_secret *secret;

	if (s->credential[0] == '\0')
		return true;
	if (s->facts.no_auth)
		return false;
	c = creds_find(s->in->conf.creds, str_of(s->credential));
	secret = c != NULL ? cred_secret_find(c, str_of(s->secret)) : NULL;
	return secret != NULL && cred_secret_usable(c, secret, loop_wall_ms(s->in->loop)) &&
	       cred_in_networks(c, &s->client);
}

void auth_sent(const struct smtpin_session *s)
{
	const struct cred_sight seen = { .sign = CRED_SENT,
					 .secret = str_of(s->secret),
					 .client = &s->client,
					 .helo = str_of(s->helo),
					 .stream = str_of(s->stream_name),
					 .recipients = s->n_rcpts,
					 .bytes = s->handed_size };

	if (s->credential[0] != '\0')
		creds_note(s->in->conf.creds, str_of(s->credential), &seen,
			   loop_wall_ms(s->in->loop));
}

void auth_drop(struct smtpin_session *s)
{
	sasl_free(&s->sasl);
	s->proved = false;
}

/* --- results ---------------------------------------------------------------------------------- */

static void note(const struct smtpin_session *s, enum cred_sign sign, const char *credential,
		 const char *secret)
{
	const struct cred_sight seen = { .sign = sign,
					 .secret = str_of(secret),
					 .client = &s->client,
					 .helo = str_of(s->helo) };

	creds_note(s->in->conf.creds, str_of(credential), &seen, loop_wall_ms(s->in->loop));
}

static void succeed(struct smtpin_session *s)
{
	struct smtpin *in = s->in;

	in->stats.authenticated++;
	note(s, CRED_CAME, s->credential, s->secret);
	if (!smtpin_authenticates(in, s)) {
		session_end(s, "4.7.0 Too many sessions of this credential");
		return;
	}
	session_say(s, STR("235 2.7.0 Welcome\r\n"));
	session_ready(s);
}

static void log_failure(const struct smtpin_session *s, const struct sasl_answer *a)
{
	char ip[IPADDR_TEXT_LEN];

	if (!log_limited_at(LOG_LEVEL_INFO, "smtpin.auth_failed"))
		return;
	ipaddr_text(&s->client, ip);
	/* of names only those that are known: people type secrets into the wrong field */
	log_info(NULL, "smtpin.auth_failed", F_STR("client", ip), F_STR("helo", s->helo),
		 F_STR("credential", a->name != NULL ? a->name : "-"), F_STR("why", a->why));
}

static void log_block(const struct smtpin_session *s)
{
	char ip[IPADDR_TEXT_LEN];
	char until[FMT_TIME_LEN];
	int64_t until_ms = guard_blocked(s->in->conf.guard, &s->client, loop_wall_ms(s->in->loop));

	if (until_ms == 0 || !log_limited_at(LOG_LEVEL_INFO, "smtpin.auth_blocked"))
		return;
	ipaddr_text(&s->client, ip);
	fmt_time(until_ms, until);
	log_info(NULL, "smtpin.auth_blocked", F_STR("client", ip), F_STR("until", until));
}

static void fail(struct smtpin_session *s, const struct sasl_answer *a)
{
	struct smtpin *in = s->in;
	int64_t wait_ms = guard_failed(in->conf.guard, &s->client, loop_wall_ms(in->loop));

	in->stats.auth_failed++;
	s->auth_failures++;
	if (a->name != NULL && a->secret[0] != '\0')
		note(s, CRED_LATE, a->name, a->secret);
	log_failure(s, a);
	log_block(s);
	s->state = SESSION_TARPIT;
	stream_deadline(s->stream, wait_ms);
}

void auth_tarpit_over(struct smtpin_session *s)
{
	/* a session in the tarpit is in the place of one that reads */
	session_ready(s);
	if (s->state == SESSION_CLOSING)
		return;
	session_refuse(s, 535, "5.7.8", "Authentication failed");
	if (s->state == SESSION_COMMAND && (s->auth_failures >= FAILURES_MAX || auth_blocked(s)))
		session_end(s, "4.7.0 Too many failures to authenticate");
	stream_pause(s->stream, false);
}

static void challenge(struct smtpin_session *s, struct str text)
{
	AUTO_BUF line = BUF_INIT(BASE64_LEN(RESPONSE_MAX) + 10);

	(void)buf_puts(&line, "334 ");
	(void)base64_put(&line, text);
	(void)buf_puts(&line, "\r\n");
	ASSERT(!line.full);
	session_say(s, buf_str(&line));
	s->state = SESSION_AUTH;
	stream_deadline(s->stream, smtpin_patience(s->in, s->in->conf.command_ms));
}

static void take_answer(struct smtpin_session *s, const struct sasl_answer *a)
{
	switch (a->outcome) {
	case SASL_CONTINUE:
		challenge(s, a->challenge);
		return;
	case SASL_DONE:
		(void)snprintf(s->credential, sizeof(s->credential), "%s", a->name);
		(void)snprintf(s->secret, sizeof(s->secret), "%s", a->secret);
		s->proved = a->challenge.n > 0;
		if (s->proved)
			challenge(s, a->challenge);
		else
			succeed(s);
		return;
	case SASL_REFUSED:
		fail(s, a);
		return;
	case SASL_MALFORMED:
		session_ready(s);
		session_refuse(s, 501, "5.5.2", "That is no response of this mechanism");
		return;
	case SASL_BUSY:
		session_ready(s);
		session_refuse(s, 454, "4.7.0", "Too many are authenticating, try again later");
		return;
	}
}

static void on_answer(void *arg, const struct sasl_answer *a)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	stream_cork(s->stream);
	take_answer(s, a);
	if (s->state != SESSION_AUTH)
		sasl_free(&s->sasl);
	if (s->state != SESSION_TARPIT)
		stream_pause(s->stream, false);
	stream_uncork(s->stream);
}

/* --- input ------------------------------------------------------------------------------------ */

static void cancel(struct smtpin_session *s, int code, const char *enhanced, const char *text)
{
	auth_drop(s);
	s->credential[0] = '\0';
	session_ready(s);
	session_refuse(s, code, enhanced, "%s", text);
}

static void respond(struct smtpin_session *s, struct str line)
{
	AUTO_BUF bytes = BUF_INIT(RESPONSE_MAX);

	if (!base64_read(&bytes, line)) {
		cancel(s, 501, "5.5.2", "That is not base64");
		return;
	}
	s->state = SESSION_CHECKING;
	stream_deadline(s->stream, 0);
	sasl_step(s->sasl, buf_str(&bytes));
	if (bytes.n > 0)
		secret_wipe(bytes.p, bytes.n);
}

/* AUTH stays in force until the end: RFC 4954, 4. */
static bool may_begin(struct smtpin_session *s)
{
	if (s->credential[0] != '\0')
		session_refuse(s, 503, "5.5.1", "You are authenticated already");
	else if (s->in_mail)
		session_refuse(s, 503, "5.5.1", "AUTH is not possible during a transaction");
	else if (s->facts.no_auth)
		session_refuse(s, 554, "5.7.1", "Your address may not authenticate here");
	else if (!auth_offered(s))
		session_refuse(s, 538, "5.7.11", "AUTH needs TLS here");
	else if (auth_blocked(s))
		session_end(s, "4.7.0 Too many failures to authenticate, try again later");
	else
		return true;
	return false;
}

void auth_command(struct smtpin_session *s, struct str arg)
{
	struct str initial = arg;
	struct str mechanism = str_cut(&initial, ' ');

	if (!may_begin(s))
		return;
	s->sasl = sasl_start(s->in->conf.sasl, mechanism, &s->client, on_answer, s);
	if (s->sasl == NULL) {
		session_refuse(s, 504, "5.5.4", "AUTH takes one of " SASL_MECHANISMS);
		return;
	}
	initial = str_trim(initial);
	if (initial.n == 0) {
		s->state = SESSION_CHECKING;
		sasl_begin(s->sasl);
	} else {
		respond(s, str_eq(initial, STR("=")) ? STR("") : initial);
	}
}

void auth_response(struct smtpin_session *s, struct str line)
{
	if (line.n == 0 || line.p[line.n - 1] != '\r') {
		cancel(s, 501, "5.5.2", "A response ends with CR LF");
		return;
	}
	line.n--;
	if (str_eq(line, STR("*"))) {
		cancel(s, 501, "5.7.0", "Authentication cancelled");
	} else if (s->proved) {
		auth_drop(s);
		if (line.n == 0)
			succeed(s);
		else
			cancel(s, 501, "5.5.2", "Nothing is expected here");
	} else {
		respond(s, line);
	}
}

void auth_line_too_long(struct smtpin_session *s)
{
	cancel(s, 500, "5.5.6", "The response is too long");
}
