/*
 * The commands. Each answers by itself; what the client may do at this moment is decided here, what
 * becomes of it by the ops.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpin/smtpin_int.h"

/* What is offered to this client now. */
static unsigned extensions(const struct smtpin_session *s)
{
	unsigned ext = SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN |
		       SMTP_EXT_CHUNKING;

	/* whoever sends chunks without having asked must not have them taken for commands */
	if (!s->esmtp)
		return SMTP_EXT_CHUNKING;
	if (s->rules->tls == SMTPIN_TLS_STARTTLS && !s->secure)
		ext |= SMTP_EXT_STARTTLS;
	/* not offered in the clear, but known: whoever tries hears why */
	if (s->rules->auth != SMTPIN_AUTH_NONE)
		ext |= SMTP_EXT_AUTH;
	return ext;
}

static void cmd_hello(struct smtpin_session *s, const struct smtp_cmd *c)
{
	char ip[IPADDR_TEXT_LEN];
	unsigned ext;

	session_reset(s);
	s->greeted = true;
	s->esmtp = c->verb == SMTP_VERB_EHLO;
	(void)snprintf(s->helo, sizeof(s->helo), "%.*s", STR_ARG(c->arg));
	if (!s->esmtp) {
		session_sayf(s, "250 %s\r\n", s->in->hostname);
		return;
	}
	ext = extensions(s);
	ipaddr_text(&s->client, ip);
	session_sayf(s,
		     "250-%s greets [%s]\r\n250-PIPELINING\r\n250-SIZE %zu\r\n250-8BITMIME\r\n"
		     "%s%s250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n"
		     "250 ENHANCEDSTATUSCODES\r\n",
		     s->in->hostname, ip, s->in->conf.size_max,
		     (ext & SMTP_EXT_STARTTLS) != 0 ? "250-STARTTLS\r\n" : "",
		     auth_offered(s) ? "250-AUTH " SASL_MECHANISMS "\r\n" : "");
}

/* What the credential, or its absence, has against this sender; answers when there is something. */
static bool may_send(struct smtpin_session *s, const struct address *from)
{
	const struct cred *c;

	if (s->credential[0] == '\0') {
		if (s->rules->auth == SMTPIN_AUTH_REQUIRED)
			session_refuse(s, 530, "5.7.0", "Authentication is required here");
		return s->rules->auth != SMTPIN_AUTH_REQUIRED;
	}
	c = creds_find(s->in->conf.creds, str_of(s->credential));
	if (c != NULL && cred_may_send(c, from))
		return true;
	session_refuse(s, 550, "5.7.1", "The credential %s may not send for this address",
		       s->credential);
	return false;
}

/* The message is one of its credential's messages of this day, unless nothing comes of it. */
static bool take_of_day(struct smtpin_session *s)
{
	struct creds *creds = s->in->conf.creds;

	if (s->credential[0] == '\0')
		return true;
	s->day_taken = creds_day_take(creds, str_of(s->credential), loop_wall_ms(s->in->loop));
	if (!s->day_taken)
		session_refuse(s, 450, "4.7.1",
			       "The credential %s has sent its messages of this day (UTC)",
			       s->credential);
	return s->day_taken;
}

static void cmd_mail(struct smtpin_session *s, const struct smtp_cmd *c)
{
	struct smtpin *in = s->in;
	struct smtp_answer refusal = { .code = 452 };
	struct smtpin_envelope e;

	if (!s->greeted) {
		session_refuse(s, 503, "5.5.1", "EHLO or HELO first");
		return;
	}
	if (s->in_mail) {
		session_refuse(s, 503, "5.5.1", "A transaction is open already");
		return;
	}
	if (c->size > in->conf.size_max) {
		session_refuse(s, 552, "5.3.4", "A message may have %zu bytes", in->conf.size_max);
		return;
	}
	if (in->stats.memory + c->size > in->conf.memory_max) {
		session_refuse(s, 452, "4.3.1", "Too much mail at once, try again later");
		return;
	}
	if (s->relaying != in->relaying)
		session_ask(s);
	if (!auth_good(s)) {
		session_end(s, "4.7.0 Your credential is not good any more");
		return;
	}
	if (!may_send(s, &c->address))
		return;
	if (!smtpin_take(in, 'm', s)) {
		session_refuse(s, 450, "4.7.1", "Too many messages in a minute, try again later");
		return;
	}
	if (!take_of_day(s))
		return;
	s->from = c->address;
	s->declared_size = c->size;
	s->body_type = c->body;
	s->smtputf8 = (c->given & 1u << SMTP_PARAM_SMTPUTF8) != 0;
	s->ret = c->ret;
	(void)snprintf(s->envid, sizeof(s->envid), "%.*s", STR_ARG(c->envid));
	e = session_envelope(s);
	if (in->ops->on_mail != NULL && !in->ops->on_mail(in->arg, &e, &refusal)) {
		session_reset(s);
		session_answer(s, &refusal);
		return;
	}
	s->in_mail = true;
	session_say(s, STR("250 2.1.0 OK\r\n"));
}

static void refuse_rcpt(struct smtpin_session *s, const struct smtp_cmd *c,
			const struct smtp_answer *a)
{
	s->in->stats.refused_rcpts++;
	if (log_limited_at(LOG_LEVEL_INFO, "smtpin.refused")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.refused", F_STR("client", ip), F_STR("helo", s->helo),
			 F_SLICE("from", address_str(&s->from)),
			 F_SLICE("rcpt", address_str(&c->address)), F_I64("code", a->code),
			 F_STR("enhanced", a->enhanced), F_STR("text", a->text));
	}
	session_answer(s, a);
}

static void add_rcpt(struct smtpin_session *s, const struct smtp_cmd *c, const struct address *to)
{
	struct smtpin_rcpt r = { .address = *to, .notify = c->notify };

	if (c->orcpt.n > 0) {
		r.orcpt = xstrndup(c->orcpt.p, c->orcpt.n);
		s->orcpt_bytes += c->orcpt.n;
		s->in->stats.memory += c->orcpt.n;
	}
	if (s->n_rcpts == s->cap_rcpts) {
		s->cap_rcpts = s->cap_rcpts != 0 ? s->cap_rcpts * 2 : 4;
		s->rcpts = xreallocarray(s->rcpts, s->cap_rcpts, sizeof(*s->rcpts));
	}
	s->rcpts[s->n_rcpts++] = r;
}

/* Everybody may write to the relay's postmaster. */
static bool is_postmaster(const struct smtpin *in, const struct address *a)
{
	struct str domain = address_domain(a);

	return in->conf.postmaster.n > 0 && str_eq_nocase(address_local(a), STR("postmaster")) &&
	       (domain.n == 0 || str_eq_nocase(domain, str_of(in->hostname)) ||
		(in->conf.postmaster_domain != NULL &&
		 str_eq_nocase(domain, str_of(in->conf.postmaster_domain))));
}

static void cmd_rcpt(struct smtpin_session *s, const struct smtp_cmd *c)
{
	struct smtpin *in = s->in;
	struct smtp_answer a = { .code = 550 };
	struct smtpin_envelope e = session_envelope(s);
	bool master = is_postmaster(in, &c->address);
	bool ours = master || (in->ops->is_ours != NULL && in->ops->is_ours(in->arg, &c->address));
	const struct address *to = master ? &in->conf.postmaster : &c->address;
	char ip[IPADDR_TEXT_LEN];

	if (!s->in_mail) {
		session_refuse(s, 503, "5.5.1", "MAIL first");
	} else if (s->chunked) {
		session_refuse(s, 503, "5.5.1", "Recipients come before the message");
	} else if (c->utf8 && !s->smtputf8) {
		session_refuse(s, 553, "5.6.7",
			       "A non-ASCII address needs the parameter SMTPUTF8 of MAIL");
	} else if (!ours && !session_may_relay(s)) {
		ipaddr_text(&s->client, ip);
		if (s->rules->auth != SMTPIN_AUTH_NONE)
			(void)smtpin_refuse(&a, 550, "5.7.1",
					    "[%s] may not relay here without authentication", ip);
		else
			(void)smtpin_refuse(&a, 550, "5.7.1",
					    "[%s] may not relay here; an operator can change that: "
					    "weir allow add %s",
					    ip, ip);
		refuse_rcpt(s, c, &a);
	} else if (s->n_rcpts >= smtpin_rcpts_max(in, s)) {
		session_refuse(s, 452, "4.5.3",
			       "Too many recipients, send the rest in another message");
	} else if (in->stats.memory + c->orcpt.n > in->conf.memory_max) {
		session_refuse(s, 452, "4.3.1", "Too much mail at once, try again later");
	} else if (!smtpin_take(in, 'r', s)) {
		session_refuse(s, 450, "4.7.1", "Too many recipients in a minute, try again later");
	} else if (!in->ops->on_rcpt(in->arg, &e, to, &a)) {
		refuse_rcpt(s, c, &a);
	} else {
		add_rcpt(s, c, to);
		session_say(s, STR("250 2.1.5 OK\r\n"));
	}
}

static void cmd_data(struct smtpin_session *s)
{
	struct smtpin_envelope e = session_envelope(s);

	if (!s->in_mail) {
		session_refuse(s, 503, "5.5.1", "MAIL first");
		return;
	}
	if (s->n_rcpts == 0) {
		session_refuse(s, 554, "5.5.1", "No valid recipients");
		return;
	}
	if (s->chunked) {
		session_refuse(s, 503, "5.5.1", "The message has begun with BDAT");
		return;
	}
	body_begin(s->in, &s->body, &e);
	s->state = SESSION_DATA;
	stream_idle(s->stream, smtpin_patience(s->in, s->in->conf.command_ms));
	stream_deadline(s->stream, s->in->conf.data_ms);
	session_say(s, STR("354 End with a dot on a line of its own\r\n"));
}

static void cmd_help(struct smtpin_session *s)
{
	for (int i = 0; i < SMTP_VERB__COUNT; i++) {
		enum smtp_verb verb = (enum smtp_verb)i;
		if (smtp_verb_offered(verb, s->esmtp ? extensions(s) : 0))
			session_sayf(s, "214-2.0.0 %s\r\n", smtp_verb_syntax(verb));
	}
	session_say(s, STR("214 2.0.0 That is all\r\n"));
}

/*
 * Whatever came in the same breath was sent before the client knew of the server's consent, or put
 * there by somebody else, and would be taken for what TLS protects: such a client is not served.
 */
static void cmd_starttls(struct smtpin_session *s, bool last)
{
	if (!last) {
		session_refuse(s, 554, "5.5.1", "Nothing may follow STARTTLS before its reply");
		if (s->state == SESSION_COMMAND)
			session_end(s, "4.7.0 Closing the connection");
		return;
	}
	session_say(s, STR("220 2.0.0 Go ahead\r\n"));
	session_secure(s);
}

/* What does not bring a message nearer must not go on for ever. */
static bool is_busy_work(enum smtp_verb verb)
{
	return verb != SMTP_VERB_MAIL && verb != SMTP_VERB_RCPT && verb != SMTP_VERB_DATA &&
	       verb != SMTP_VERB_BDAT && verb != SMTP_VERB_QUIT;
}

static void run_command(struct smtpin_session *s, const struct smtp_cmd *c, bool last)
{
	switch (c->verb) {
	case SMTP_VERB_EHLO:
	case SMTP_VERB_HELO:
		cmd_hello(s, c);
		return;
	case SMTP_VERB_MAIL:
		cmd_mail(s, c);
		return;
	case SMTP_VERB_RCPT:
		cmd_rcpt(s, c);
		return;
	case SMTP_VERB_DATA:
		cmd_data(s);
		return;
	case SMTP_VERB_RSET:
		session_reset(s);
		session_say(s, STR("250 2.0.0 OK\r\n"));
		return;
	case SMTP_VERB_NOOP:
		session_say(s, STR("250 2.0.0 OK\r\n"));
		return;
	case SMTP_VERB_QUIT:
		session_sayf(s, "221 2.0.0 %s says goodbye\r\n", s->in->hostname);
		session_hang_up(s, 0);
		return;
	case SMTP_VERB_VRFY:
		session_say(s, STR("252 2.5.0 Send some mail, and see\r\n"));
		return;
	case SMTP_VERB_HELP:
		cmd_help(s);
		return;
	case SMTP_VERB_EXPN:
		session_refuse(s, 502, "5.5.1", "EXPN is not offered");
		return;
	case SMTP_VERB_STARTTLS:
		cmd_starttls(s, last);
		return;
	case SMTP_VERB_AUTH:
		auth_command(s, c->arg);
		return;
	case SMTP_VERB_BDAT:
		chunk_begin(s, c->size, c->last);
		return;
	case SMTP_VERB__COUNT:
		break;
	}
	BUG("verb %d was not offered", (int)c->verb);
}

/* What follows a BDAT that was not understood is anybody's guess, and must not be run. */
static void end_if_chunk(struct smtpin_session *s, struct str line)
{
	if (s->state == SESSION_COMMAND && str_starts_nocase(str_trim(line), STR("BDAT")))
		session_end(s, "4.5.2 Where the chunk ends is not known");
}

void session_line_too_long(struct smtpin_session *s, struct str part)
{
	session_refuse(s, 500, "5.5.2", "A command may have %d bytes", SMTP_CMD_LINE_MAX);
	end_if_chunk(s, part);
}

void session_command(struct smtpin_session *s, struct str line, bool last)
{
	struct smtp_cmd c;
	struct smtp_answer a;

	if (line.n == 0 || line.p[line.n - 1] != '\r') {
		session_refuse(s, 500, "5.5.2", "A command ends with CR LF");
		end_if_chunk(s, line);
		return;
	}
	line.n--;
	if (smtp_cmd_parse(line, extensions(s), &c, &a)) {
		if (is_busy_work(c.verb) && ++s->commands > s->in->conf.commands_max) {
			session_end(s, "4.7.0 Too many commands without a message");
			return;
		}
		run_command(s, &c, last);
		return;
	}
	session_answer(s, &a);
	end_if_chunk(s, line);
}
