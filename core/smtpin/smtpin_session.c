/*
 * One session:
 *
 *	state    input                           -> state
 *	COMMAND  a line                          COMMAND; DATA after 354; CLOSING after QUIT
 *	DATA     CRLF "." CRLF, refused          COMMAND
 *	DATA     CRLF "." CRLF, handed over      WAITING: nothing is read
 *	WAITING  the result                      COMMAND
 *	WAITING  the client goes                 GONE, until the result is there
 *	any      time, errors, shutting down     CLOSING, after 421
 *
 * Everything depends on the bytes alone, never on how they were cut into packets.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpin/smtpin_int.h"

#define LINGER_MS 2000
#define SKIP_MAX ((size_t)64 * 1024) /* of a line that is too long, before we hang up */
#define RCPTS_KEPT 16		     /* room for so many stays with the session */
#define REPLY_MAX 1024
#define SLOT_BITS 16
#define EXTENSIONS (SMTP_EXT_SIZE | SMTP_EXT_8BITMIME)

enum session_state { COMMAND, DATA, WAITING, GONE, CLOSING };

struct smtpin_session {
	uint32_t magic;
	enum session_state state;
	struct smtpin *in;
	struct stream *stream;
	TAILQ_ENTRY(smtpin_session) next;
	unsigned slot;
	uint64_t token; /* 0: no result is awaited */
	struct ipaddr client;
	struct smtpin_client_facts facts;
	unsigned relaying; /* the generation of `facts` */
	bool greeted;
	bool esmtp;
	bool in_mail;
	bool ended;	/* the client sends no more */
	size_t skipped; /* of a line that is too long; 0: not in one */
	unsigned errors;
	char helo[SMTPIN_HELO_MAX + 1];
	struct address from;
	uint64_t declared_size;
	enum smtp_body body_type;
	struct address *rcpts;
	size_t n_rcpts;
	size_t cap_rcpts;
	struct smtpin_body body;
};

/* --- replies --- */

static void say(struct smtpin_session *s, struct str line)
{
	(void)stream_write(s->stream, line.p, line.n);
}

static void PRINTF_LIKE(2, 3) sayf(struct smtpin_session *s, const char *fmt, ...)
{
	char line[REPLY_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	ASSERT(n > 0 && (size_t)n < sizeof(line));
	say(s, str_from(line, (size_t)n));
}

/* The last words of a session. */
static void hang_up(struct smtpin_session *s, int64_t linger_ms)
{
	body_drop(s->in, &s->body);
	s->state = CLOSING;
	stream_close(s->stream, linger_ms);
}

static void end_with(struct smtpin_session *s, const char *text)
{
	sayf(s, "421 %s\r\n", text);
	hang_up(s, LINGER_MS);
}

static void answer(struct smtpin_session *s, const struct smtp_answer *a)
{
	sayf(s, "%d %s%s%s\r\n", a->code, a->enhanced, a->enhanced[0] != '\0' ? " " : "", a->text);
	if (a->code < 500 || ++s->errors < s->in->conf.errors_max)
		return;
	if (log_limited("smtpin.errors")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.errors", F_STR("client", ip), F_STR("helo", s->helo),
			 F_STR("last", a->text));
	}
	end_with(s, "4.7.0 Too many errors");
}

static void PRINTF_LIKE(4, 5)
	refuse(struct smtpin_session *s, int code, const char *enhanced, const char *fmt, ...)
{
	struct smtp_answer a = { .code = code };
	va_list ap;

	(void)snprintf(a.enhanced, sizeof(a.enhanced), "%s", enhanced);
	va_start(ap, fmt);
	(void)vsnprintf(a.text, sizeof(a.text), fmt, ap);
	va_end(ap);
	answer(s, &a);
}

/* --- transactions --- */

static struct smtpin_envelope envelope(const struct smtpin_session *s)
{
	return (struct smtpin_envelope){ .client = s->client,
					 .helo = str_of(s->helo),
					 .esmtp = s->esmtp,
					 .may_relay = s->facts.may_relay,
					 .from = &s->from,
					 .rcpts = s->rcpts,
					 .n_rcpts = s->n_rcpts,
					 .declared_size = s->declared_size,
					 .body = s->body_type };
}

static void reset(struct smtpin_session *s)
{
	s->in_mail = false;
	s->n_rcpts = 0;
	s->declared_size = 0;
	s->body_type = SMTP_BODY_UNSAID;
	if (s->cap_rcpts <= RCPTS_KEPT)
		return;
	free(s->rcpts);
	s->rcpts = NULL;
	s->cap_rcpts = 0;
}

static void await_command(struct smtpin_session *s)
{
	s->state = COMMAND;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, s->in->conf.command_ms);
}

static void ask_facts(struct smtpin_session *s)
{
	s->facts = (struct smtpin_client_facts){ .may_relay = false };
	s->relaying = s->in->relaying;
	s->in->ops->on_connect(s->in->arg, &s->client, &s->facts);
}

/* --- commands --- */

static void cmd_hello(struct smtpin_session *s, const struct smtp_cmd *c)
{
	char ip[IPADDR_TEXT_LEN];

	reset(s);
	s->greeted = true;
	s->esmtp = c->verb == SMTP_VERB_EHLO;
	(void)snprintf(s->helo, sizeof(s->helo), "%.*s", STR_ARG(c->arg));
	if (!s->esmtp) {
		sayf(s, "250 %s\r\n", s->in->hostname);
		return;
	}
	ipaddr_text(&s->client, ip);
	sayf(s,
	     "250-%s greets [%s]\r\n250-PIPELINING\r\n250-SIZE %zu\r\n250-8BITMIME\r\n"
	     "250 ENHANCEDSTATUSCODES\r\n",
	     s->in->hostname, ip, s->in->conf.size_max);
}

static void cmd_mail(struct smtpin_session *s, const struct smtp_cmd *c)
{
	struct smtpin *in = s->in;
	struct smtp_answer refusal = { .code = 452 };
	struct smtpin_envelope e;

	if (!s->greeted) {
		refuse(s, 503, "5.5.1", "EHLO or HELO first");
		return;
	}
	if (s->in_mail) {
		refuse(s, 503, "5.5.1", "A transaction is open already");
		return;
	}
	if (c->size > in->conf.size_max) {
		refuse(s, 552, "5.3.4", "A message may have %zu bytes", in->conf.size_max);
		return;
	}
	if (in->stats.memory + c->size > in->conf.memory_max) {
		refuse(s, 452, "4.3.1", "Too much mail at once, try again later");
		return;
	}
	if (s->relaying != in->relaying)
		ask_facts(s);
	s->from = c->address;
	s->declared_size = c->size;
	s->body_type = c->body;
	e = envelope(s);
	if (in->ops->on_mail != NULL && !in->ops->on_mail(in->arg, &e, &refusal)) {
		reset(s);
		answer(s, &refusal);
		return;
	}
	s->in_mail = true;
	say(s, STR("250 2.1.0 OK\r\n"));
}

static void refuse_rcpt(struct smtpin_session *s, const struct smtp_cmd *c,
			const struct smtp_answer *a)
{
	s->in->stats.refused_rcpts++;
	if (log_limited("smtpin.refused")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.refused", F_STR("client", ip), F_STR("helo", s->helo),
			 F_SLICE("from", address_str(&s->from)),
			 F_SLICE("rcpt", address_str(&c->address)), F_I64("code", a->code),
			 F_STR("enhanced", a->enhanced), F_STR("text", a->text));
	}
	answer(s, a);
}

static void add_rcpt(struct smtpin_session *s, const struct address *a)
{
	if (s->n_rcpts == s->cap_rcpts) {
		s->cap_rcpts = s->cap_rcpts != 0 ? s->cap_rcpts * 2 : 4;
		s->rcpts = xreallocarray(s->rcpts, s->cap_rcpts, sizeof(*s->rcpts));
	}
	s->rcpts[s->n_rcpts++] = *a;
}

static void cmd_rcpt(struct smtpin_session *s, const struct smtp_cmd *c)
{
	struct smtpin *in = s->in;
	struct smtp_answer a = { .code = 550 };
	struct smtpin_envelope e = envelope(s);
	char ip[IPADDR_TEXT_LEN];

	if (!s->in_mail) {
		refuse(s, 503, "5.5.1", "MAIL first");
	} else if (!s->facts.may_relay) {
		ipaddr_text(&s->client, ip);
		(void)smtpin_refuse(&a, 550, "5.7.1",
				    "[%s] may not relay here; an operator can change that: "
				    "weir allow add %s",
				    ip, ip);
		refuse_rcpt(s, c, &a);
	} else if (s->n_rcpts >= in->conf.rcpts_max) {
		refuse(s, 452, "4.5.3", "Too many recipients, send the rest in another message");
	} else if (!in->ops->on_rcpt(in->arg, &e, &c->address, &a)) {
		refuse_rcpt(s, c, &a);
	} else {
		add_rcpt(s, &c->address);
		say(s, STR("250 2.1.5 OK\r\n"));
	}
}

static void cmd_data(struct smtpin_session *s)
{
	struct smtpin_envelope e = envelope(s);

	if (!s->in_mail) {
		refuse(s, 503, "5.5.1", "MAIL first");
		return;
	}
	if (s->n_rcpts == 0) {
		refuse(s, 554, "5.5.1", "No valid recipients");
		return;
	}
	body_begin(s->in, &s->body, &e);
	s->state = DATA;
	stream_idle(s->stream, s->in->conf.command_ms);
	stream_deadline(s->stream, s->in->conf.data_ms);
	say(s, STR("354 End with a dot on a line of its own\r\n"));
}

static void cmd_help(struct smtpin_session *s)
{
	for (int i = 0; i < SMTP_VERB__COUNT; i++) {
		enum smtp_verb verb = (enum smtp_verb)i;
		if (verb != SMTP_VERB_BDAT && verb != SMTP_VERB_STARTTLS && verb != SMTP_VERB_AUTH)
			sayf(s, "214-2.0.0 %s\r\n", smtp_verb_syntax(verb));
	}
	say(s, STR("214 2.0.0 That is all\r\n"));
}

static void run_command(struct smtpin_session *s, const struct smtp_cmd *c)
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
		reset(s);
		say(s, STR("250 2.0.0 OK\r\n"));
		return;
	case SMTP_VERB_NOOP:
		say(s, STR("250 2.0.0 OK\r\n"));
		return;
	case SMTP_VERB_QUIT:
		sayf(s, "221 2.0.0 %s says goodbye\r\n", s->in->hostname);
		hang_up(s, 0);
		return;
	case SMTP_VERB_VRFY:
		say(s, STR("252 2.5.0 Send some mail, and see\r\n"));
		return;
	case SMTP_VERB_HELP:
		cmd_help(s);
		return;
	case SMTP_VERB_EXPN:
		refuse(s, 502, "5.5.1", "EXPN is not offered");
		return;
	case SMTP_VERB_BDAT:
	case SMTP_VERB_STARTTLS:
	case SMTP_VERB_AUTH:
	case SMTP_VERB__COUNT:
		break;
	}
	BUG("verb %d was not offered", (int)c->verb);
}

static void command(struct smtpin_session *s, struct str line)
{
	struct smtp_cmd c;
	struct smtp_answer a;

	if (line.n == 0 || line.p[line.n - 1] != '\r') {
		refuse(s, 500, "5.5.2", "A command ends with CR LF");
		return;
	}
	line.n--;
	if (smtp_cmd_parse(line, s->esmtp ? EXTENSIONS : 0, &c, &a))
		run_command(s, &c);
	else
		answer(s, &a);
}

/* Drops the rest of a line that is too long; hangs up on one that does not end. */
static size_t skip_line(struct smtpin_session *s, struct str in)
{
	size_t room = SKIP_MAX - s->skipped;
	struct str part = str_from(in.p, in.n < room ? in.n : room);
	ptrdiff_t lf = str_index(part, '\n');

	if (lf >= 0) {
		s->skipped = 0;
		return (size_t)lf + 1;
	}
	s->skipped += part.n;
	if (s->skipped == SKIP_MAX)
		end_with(s, "4.7.0 This is not SMTP");
	return part.n;
}

static size_t take_line(struct smtpin_session *s, struct str in)
{
	struct str part = str_from(in.p, in.n < SMTP_CMD_LINE_MAX ? in.n : SMTP_CMD_LINE_MAX);
	ptrdiff_t lf;

	if (s->skipped > 0)
		return skip_line(s, in);
	lf = str_index(part, '\n');
	if (lf >= 0) {
		command(s, str_from(in.p, (size_t)lf));
		if (s->state == COMMAND)
			stream_deadline(s->stream, s->in->conf.command_ms);
		return (size_t)lf + 1;
	}
	if (part.n < SMTP_CMD_LINE_MAX)
		return 0;
	s->skipped = part.n;
	refuse(s, 500, "5.5.2", "A command may have %d bytes", SMTP_CMD_LINE_MAX);
	return part.n;
}

/* --- messages --- */

static void refuse_message(struct smtpin_session *s, const struct smtp_answer *a)
{
	s->in->stats.refused_messages++;
	if (log_limited("smtpin.refused_message")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.refused_message", F_STR("client", ip),
			 F_SLICE("from", address_str(&s->from)), F_U64("bytes", s->body.dot.size),
			 F_I64("code", a->code), F_STR("enhanced", a->enhanced),
			 F_STR("text", a->text));
	}
	answer(s, a);
}

/* The transaction is over, whichever way; goes on, or ends with the service. */
static void next_transaction(struct smtpin_session *s)
{
	reset(s);
	if (s->state == CLOSING)
		return;
	await_command(s);
	if (s->in->draining)
		end_with(s, "4.3.2 Service is shutting down");
	else if (s->ended)
		hang_up(s, 0);
}

static void hand_over(struct smtpin_session *s)
{
	struct smtpin *in = s->in;
	struct smtpin_message m = { .envelope = envelope(s) };
	struct smtp_answer refusal;
	uint64_t token;

	if (!body_end(in, &s->body, &m, &refusal)) {
		refuse_message(s, &refusal);
		body_drop(in, &s->body);
		next_transaction(s);
		return;
	}
	token = ++in->serial << SLOT_BITS | s->slot;
	s->token = token;
	s->state = WAITING;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, 0);
	in->stats.accepted_bytes += m.size;
	/* the result may come from inside the call, and free the bytes if they are still here */
	s->body.bytes = BUF_INIT(0);
	in->ops->accept(in->arg, &m, (struct smtpin_token){ token });
	free(m.data);
}

static size_t take_data(struct smtpin_session *s, struct str in)
{
	size_t used = body_take(s->in, &s->body, in);

	if (dot_decoder_ended(&s->body.dot))
		hand_over(s);
	return used;
}

static void say_queued(struct smtpin_session *s)
{
	char id[MSGID_TEXT_LEN];

	msgid_text(s->body.id, id);
	sayf(s, "250 2.0.0 queued as %s\r\n", id);
}

void session_result(struct smtpin_session *s, uint64_t token, const struct smtp_answer *refusal)
{
	if (s->token == 0 || s->token != token)
		return;
	s->token = 0;
	body_drop(s->in, &s->body);
	if (refusal == NULL)
		s->in->stats.accepted++;
	if (s->state == GONE) {
		session_free(&s);
		return;
	}
	stream_cork(s->stream);
	if (refusal != NULL)
		refuse_message(s, refusal);
	else
		say_queued(s);
	next_transaction(s);
	stream_pause(s->stream, false);
	stream_uncork(s->stream);
}

/* --- the stream --- */

static size_t on_data(void *arg, struct str in)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);
	size_t used = 0;

	while (used < in.n && !stream_full(s->stream)) {
		struct str rest = str_from(in.p + used, in.n - used);
		size_t n = 0;
		if (s->state == DATA)
			n = take_data(s, rest);
		else if (s->state == COMMAND)
			n = take_line(s, rest);
		if (n == 0)
			break;
		used += n;
	}
	if (s->state == WAITING || stream_full(s->stream))
		stream_pause(s->stream, true);
	return used;
}

static void on_drain(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	if (s->state == COMMAND || s->state == DATA)
		stream_pause(s->stream, false);
}

static void on_end(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	s->ended = true;
	if (s->state != WAITING)
		hang_up(s, 0);
}

static void on_timeout(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	end_with(s, "4.4.2 Timeout, closing the connection");
}

static void on_closed(void *arg, const struct err *err)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	(void)err; /* clients come and go; what they leave unfinished is theirs to repeat */
	if (s->token == 0) {
		session_free(&s);
		return;
	}
	s->state = GONE;
	s->in->open--;
	stream_free(&s->stream);
}

static const struct stream_ops session_ops = {
	.name = "smtpin",
	.out_limit = (size_t)256 * 1024,
	.high = (size_t)32 * 1024,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_timeout = on_timeout,
};

void session_start(struct smtpin *in, int fd, const struct ipaddr *client)
{
	struct smtpin_session *s = xcalloc(1, sizeof(*s));

	s->magic = SMTPIN_SESSION_MAGIC;
	s->in = in;
	s->client = *client;
	if (!smtpin_slot_take(in, s, &s->slot))
		BUG("a session without a slot");
	TAILQ_INSERT_TAIL(&in->sessions, s, next);
	in->open++;
	in->stats.connections++;
	s->stream = stream_new(in->loop, fd, &session_ops, s);
	ask_facts(s);
	await_command(s);
	if (s->facts.refused) {
		in->stats.connections_refused++;
		answer(s, &s->facts.refusal);
		hang_up(s, LINGER_MS);
		return;
	}
	sayf(s, "220 %s ESMTP\r\n", in->hostname);
}

void session_free(struct smtpin_session **sp)
{
	struct smtpin_session *s = *sp;
	struct smtpin *in = s->in;

	*sp = NULL;
	if (s->state != GONE)
		in->open--;
	TAILQ_REMOVE(&in->sessions, s, next);
	smtpin_slot_give(in, s->slot);
	stream_free(&s->stream);
	body_drop(in, &s->body);
	free(s->rcpts);
	s->magic = 0;
	free(s);
}

void session_drain(struct smtpin_session *s, bool now)
{
	if (s->state == COMMAND || (s->state == DATA && now))
		end_with(s, "4.3.2 Service is shutting down");
}

const struct ipaddr *session_client(const struct smtpin_session *s)
{
	return &s->client;
}

struct smtpin_session *session_next(const struct smtpin_session *s)
{
	return TAILQ_NEXT(s, next);
}
