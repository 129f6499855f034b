/*
 * The login at a smarthost (RFC 4954), between EHLO and the first transaction: the best mechanism
 * that both have, SCRAM-SHA-256 before PLAIN and LOGIN. libgsasl makes the messages.
 *
 *	state  event                                         state
 *	AUTH   334                                           AUTH
 *	AUTH   235, and the server proved itself where the   ASKING
 *	       mechanism has it do so
 *	AUTH   anything else                                 the address will not do
 *
 * The secret leaves only under TLS, or to this machine. That a login fails is never the message's
 * fault: mail waits.
 */
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

#define ITERATIONS_MAX 200000 /* that a server may have us compute, in the loop */
#define CHALLENGE_MAX 8192

/* By preference. */
static const struct {
	const char *name;
	unsigned flag;
	bool first;  /* the client begins */
	bool proves; /* the server shows that it knows the secret */
} mechanisms[] = {
	{ "SCRAM-SHA-256", 1u << 0, true, true },
	{ "PLAIN", 1u << 1, true, false },
	{ "LOGIN", 1u << 2, false, false },
};

void out_login_offer(struct out_session *s, struct str names)
{
	while (names.n > 0) {
		struct str name = str_cut(&names, ' ');
		for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
			if (str_eq_nocase(name, str_of(mechanisms[i].name)))
				s->mechanisms |= mechanisms[i].flag;
	}
}

static void fail(struct out_session *s, const char *enhanced, uint8_t reply_class, const char *what,
		 const char *why)
{
	struct attempt a;

	out_login_done(s);
	out_attempt_said(s, enhanced, reply_class, what, why, &a);
	out_open_failed(s, &a, false);
}

static bool is_loopback(const struct ipaddr *a)
{
	static const char *const nets[] = { "127.0.0.0/8", "::1/128" };
	struct ipnet net;

	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		if (ipnet_parse(str_of(nets[i]), &net, NULL) >= 0 && ipnet_has(&net, a))
			return true;
	return false;
}

static bool choose(struct out_session *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(mechanisms); i++)
		if ((s->mechanisms & mechanisms[i].flag) != 0) {
			s->mechanism = i;
			return true;
		}
	return false;
}

static bool begin(struct out_session *s)
{
	struct smtpout *o = s->o;

	if (o->gsasl == NULL && gsasl_init(&o->gsasl) != GSASL_OK)
		return false;
	if (gsasl_client_start(o->gsasl, mechanisms[s->mechanism].name, &s->login) != GSASL_OK)
		return false;
	(void)gsasl_property_set(s->login, GSASL_AUTHID, s->demands.user);
	(void)gsasl_property_set(s->login, GSASL_PASSWORD, s->demands.password);
	return true;
}

static void forget_said(struct out_session *s)
{
	if (s->login_said != NULL)
		explicit_bzero(s->login_said, strlen(s->login_said));
	free(s->login_said);
	s->login_said = NULL;
}

void out_login_done(struct out_session *s)
{
	forget_said(s);
	if (s->login != NULL)
		gsasl_finish(s->login);
	s->login = NULL;
}

void out_login_free(struct smtpout *o)
{
	if (o->gsasl != NULL)
		gsasl_done(o->gsasl);
	o->gsasl = NULL;
}

/* The work that a server asks for is done in our loop. */
static bool is_dear(struct str challenge)
{
	AUTO_BUF text = BUF_INIT(CHALLENGE_MAX);
	struct str rest;
	uint64_t n;

	if (!base64_read(&text, challenge))
		return false; /* libgsasl finds that out, too */
	rest = buf_str(&text);
	while (rest.n > 0) {
		struct str field = str_cut(&rest, ',');
		if (field.n > 2 && field.p[0] == 'i' && field.p[1] == '=')
			return !str_u64(str_from(field.p + 2, field.n - 2), ITERATIONS_MAX, &n);
	}
	return false;
}

/* Answers a challenge; NULL: begins. False: it makes no sense. */
static bool step(struct out_session *s, const char *challenge, char **ret_line)
{
	int rc = gsasl_step64(s->login, challenge, ret_line);

	s->proven = rc == GSASL_OK;
	return rc == GSASL_OK || rc == GSASL_NEEDS_MORE;
}

static void send_line(struct out_session *s, const char *prefix, char *line_take)
{
	AUTO_BUF said = BUF_INIT(128);

	(void)buf_printf(&said, "%s(left out)", prefix);
	out_talk_said(s, buf_str(&said));
	(void)stream_printf(s->stream, "%s%s\r\n", prefix, line_take);
	forget_said(s);
	s->login_said = xstrdup(line_take);
	explicit_bzero(line_take, strlen(line_take));
	gsasl_free(line_take);
	out_session_await(s, s->o->cfg.command_ms);
}

static void start(struct out_session *s)
{
	bool first = mechanisms[s->mechanism].first;
	char prefix[32];
	char *line = NULL;

	if (!begin(s) || (first && !step(s, NULL, &line))) {
		gsasl_free(line);
		fail(s, "4.7.0", REPLY_OTHER, "cannot be logged in to",
		     "the route's user or password has impossible characters");
		return;
	}
	out_session_state(s, OUT_AUTH);
	(void)snprintf(prefix, sizeof(prefix), "AUTH %s%s", mechanisms[s->mechanism].name,
		       first ? " " : "");
	if (line != NULL) {
		send_line(s, prefix, line);
		return;
	}
	out_talk_said(s, str_of(prefix));
	(void)stream_printf(s->stream, "%s\r\n", prefix);
	out_session_await(s, s->o->cfg.command_ms);
}

bool out_login_begin(struct out_session *s)
{
	if (s->demands.user == NULL || s->logged_in)
		return false;
	if (!s->secure && !is_loopback(&s->addr.ip))
		fail(s, "4.7.0", REPLY_TLS, "is not given a password",
		     "the connection is not encrypted");
	else if (s->demands.password == NULL || *s->demands.password == '\0')
		fail(s, "4.7.0", REPLY_OTHER, "cannot be logged in to",
		     "the route has no password yet: weir route set gives it one");
	else if (!choose(s))
		fail(s, "4.7.4", REPLY_PROTOCOL, "does not offer AUTH",
		     "or not with SCRAM-SHA-256, PLAIN or LOGIN");
	else
		start(s);
	return true;
}

static void refused(struct out_session *s)
{
	struct attempt a;

	out_talk_mask(s, &s->reply.text);
	out_attempt_reply(s, &a);
	a.outcome = OUTCOME_DEFERRED;
	out_login_done(s);
	out_open_failed(s, &a, false);
}

void out_login_reply(struct out_session *s)
{
	bool proves = mechanisms[s->mechanism].proves;
	struct str text = s->reply.lines > 0 ? smtp_reply_line(&s->reply, 0) : STR("");
	AUTO_FREE char *challenge = xstrndup(text.n > 0 ? text.p : "", text.n);
	char *line = NULL;

	if (s->ending) {
		out_session_garbage(s, "said more than it was asked for");
	} else if (s->reply.code == 235 && (!proves || s->proven)) {
		s->logged_in = true;
		out_login_done(s);
		out_open_go_on(s);
	} else if (s->reply.code == 235) {
		fail(s, "4.7.0", REPLY_TLS, "accepted the login",
		     "but did not prove that it knows the password");
	} else if (s->reply.code != 334) {
		refused(s);
	} else if ((proves && is_dear(text)) || !step(s, challenge, &line)) {
		gsasl_free(line);
		fail(s, "4.7.0", REPLY_PROTOCOL, "cannot be logged in to",
		     "what it said about that makes no sense");
	} else {
		send_line(s, "", line);
	}
}
