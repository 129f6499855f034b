/*
 * One session:
 *
 *	state    input                           -> state
 *	SHAKING  the handshake succeeds          COMMAND; it fails: the end
 *	COMMAND  STARTTLS                        SHAKING
 *	COMMAND  a line                          COMMAND; DATA after 354; CLOSING after QUIT
 *	COMMAND  AUTH, or AUTH a response        AUTH (another is wanted), CHECKING, TARPIT, COMMAND
 *	CHECKING the secret is checked           COMMAND, TARPIT: nothing is read meanwhile
 *	TARPIT   time                            COMMAND, after the refusal
 *	COMMAND  BDAT                            CHUNK, until so many bytes have come
 *	CHUNK    all of it, and not the last     COMMAND
 *	CHUNK    all of the last, handed over    WAITING; refused: COMMAND
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

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpin/smtpin_int.h"

#define LINGER_MS 2000
#define SKIP_MAX ((size_t)64 * 1024) /* of a line that is too long, before we hang up */
#define RCPTS_KEPT 16		     /* room for so many stays with the session */
#define REPLY_MAX 1024
#define SLOT_BITS 16

/* --- replies --- */

void session_say(struct smtpin_session *s, struct str line)
{
	(void)stream_write(s->stream, line.p, line.n);
}

void session_sayf(struct smtpin_session *s, const char *fmt, ...)
{
	char line[REPLY_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	ASSERT(n > 0 && (size_t)n < sizeof(line));
	session_say(s, str_from(line, (size_t)n));
}

/* The last words of a session. */
void session_hang_up(struct smtpin_session *s, int64_t linger_ms)
{
	body_drop(s->in, &s->body);
	auth_drop(s);
	s->state = SESSION_CLOSING;
	stream_close(s->stream, linger_ms);
}

void session_end(struct smtpin_session *s, const char *text)
{
	session_sayf(s, "421 %s\r\n", text);
	session_hang_up(s, LINGER_MS);
}

void session_answer(struct smtpin_session *s, const struct smtp_answer *a)
{
	session_sayf(s, "%d %s%s%s\r\n", a->code, a->enhanced, a->enhanced[0] != '\0' ? " " : "",
		     a->text);
	if (a->code < 500 || ++s->errors < s->in->conf.errors_max)
		return;
	if (log_limited_at(LOG_LEVEL_INFO, "smtpin.errors")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.errors", F_STR("client", ip), F_STR("helo", s->helo),
			 F_STR("last", a->text));
	}
	session_end(s, "4.7.0 Too many errors");
}

void session_refuse(struct smtpin_session *s, int code, const char *enhanced, const char *fmt, ...)
{
	struct smtp_answer a = { .code = code };
	va_list ap;

	(void)snprintf(a.enhanced, sizeof(a.enhanced), "%s", enhanced);
	va_start(ap, fmt);
	(void)vsnprintf(a.text, sizeof(a.text), fmt, ap);
	va_end(ap);
	session_answer(s, &a);
}

/* --- transactions --- */

struct smtpin_envelope session_envelope(const struct smtpin_session *s)
{
	return (struct smtpin_envelope){ .client = s->client,
					 .helo = str_of(s->helo),
					 .esmtp = s->esmtp,
					 .may_relay = session_may_relay(s),
					 .credential = str_of(s->credential),
					 .tls = s->secure ? &s->tls : NULL,
					 .from = &s->from,
					 .rcpts = s->rcpts,
					 .n_rcpts = s->n_rcpts,
					 .declared_size = s->declared_size,
					 .body = s->body_type,
					 .smtputf8 = s->smtputf8,
					 .ret = s->ret,
					 .envid = str_of(s->envid) };
}

void session_reset(struct smtpin_session *s)
{
	for (size_t i = 0; i < s->n_rcpts; i++)
		free(s->rcpts[i].orcpt);
	s->in->stats.memory -= s->orcpt_bytes;
	s->orcpt_bytes = 0;
	chunk_reset(s);
	if (s->day_taken)
		creds_day_give(s->in->conf.creds, str_of(s->credential), loop_wall_ms(s->in->loop));
	s->day_taken = false;
	s->in_mail = false;
	s->n_rcpts = 0;
	s->declared_size = 0;
	s->body_type = SMTP_BODY_UNSAID;
	s->smtputf8 = false;
	s->ret = SMTP_RET_UNSAID;
	s->envid[0] = '\0';
	if (s->cap_rcpts <= RCPTS_KEPT)
		return;
	free(s->rcpts);
	s->rcpts = NULL;
	s->cap_rcpts = 0;
}

static void await_command(struct smtpin_session *s)
{
	s->state = SESSION_COMMAND;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, smtpin_patience(s->in, s->in->conf.command_ms));
}

void session_ready(struct smtpin_session *s)
{
	if (s->state == SESSION_CLOSING)
		return;
	await_command(s);
	if (s->in->draining)
		session_end(s, "4.3.2 Service is shutting down");
	else if (s->ended)
		session_hang_up(s, 0);
}

bool session_may_relay(const struct smtpin_session *s)
{
	if (s->credential[0] != '\0')
		return true;
	return s->facts.may_relay && s->rules->auth != SMTPIN_AUTH_REQUIRED;
}

void session_ask(struct smtpin_session *s)
{
	s->facts = (struct smtpin_client_facts){ .may_relay = false };
	s->relaying = s->in->relaying;
	if (s->named)
		s->in->ops->on_connect(s->in->arg, &s->client, &s->facts);
}

/* --- lines --- */

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
		session_end(s, "4.7.0 This is not SMTP");
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
		if (s->state == SESSION_AUTH)
			auth_response(s, str_from(in.p, (size_t)lf));
		else
			session_command(s, str_from(in.p, (size_t)lf), (size_t)lf + 1 == in.n);
		if (s->state == SESSION_COMMAND)
			stream_deadline(s->stream, smtpin_patience(s->in, s->in->conf.command_ms));
		return (size_t)lf + 1;
	}
	if (part.n < SMTP_CMD_LINE_MAX)
		return 0;
	s->skipped = part.n;
	if (s->state == SESSION_AUTH)
		auth_line_too_long(s);
	else
		session_line_too_long(s, part);
	return part.n;
}

/* --- messages --- */

static void refuse_message(struct smtpin_session *s, const struct smtp_answer *a)
{
	s->in->stats.refused_messages++;
	if (log_limited_at(LOG_LEVEL_INFO, "smtpin.refused_message")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->client, ip);
		log_info(NULL, "smtpin.refused_message", F_STR("client", ip),
			 F_SLICE("from", address_str(&s->from)), F_U64("bytes", s->body.dot.size),
			 F_I64("code", a->code), F_STR("enhanced", a->enhanced),
			 F_STR("text", a->text));
	}
	session_answer(s, a);
}

/* The transaction is over, whichever way; goes on, or ends with the service. */
static void next_transaction(struct smtpin_session *s)
{
	session_reset(s);
	session_ready(s);
}

void session_hand_over(struct smtpin_session *s)
{
	struct smtpin *in = s->in;
	struct smtpin_message m = { .envelope = session_envelope(s) };
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
	s->state = SESSION_WAITING;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, 0);
	in->stats.accepted_bytes += m.size;
	s->handed_size = m.size;
	s->stream_name[0] = '\0';
	/* the result may come from inside the call, and free the bytes if they are still here */
	s->body.bytes = BUF_INIT(0);
	in->ops->accept(in->arg, &m, (struct smtpin_token){ token });
	free(m.data);
}

static size_t take_data(struct smtpin_session *s, struct str in)
{
	size_t used = body_take(s->in, &s->body, in);

	if (dot_decoder_ended(&s->body.dot))
		session_hand_over(s);
	return used;
}

static void say_queued(struct smtpin_session *s)
{
	char id[MSGID_TEXT_LEN];

	msgid_text(s->body.id, id);
	session_sayf(s, "250 2.0.0 queued as %s\r\n", id);
}

void session_result(struct smtpin_session *s, uint64_t token, const struct smtp_answer *refusal)
{
	if (s->token == 0 || s->token != token)
		return;
	s->token = 0;
	body_drop(s->in, &s->body);
	if (refusal == NULL) {
		s->in->stats.accepted++;
		s->commands = 0;
		s->day_taken = false;
		auth_sent(s);
	}
	if (s->state == SESSION_GONE) {
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

/* Whether anything can be done with what comes. */
static bool reads(const struct smtpin_session *s)
{
	switch (s->state) {
	case SESSION_COMMAND:
	case SESSION_AUTH:
	case SESSION_DATA:
	case SESSION_CHUNK:
	case SESSION_SHAKING: /* the stream itself */
	case SESSION_CLOSING:
	case SESSION_GONE:
		return true;
	case SESSION_CHECKING:
	case SESSION_TARPIT:
	case SESSION_WAITING:
		break;
	}
	return false;
}

static size_t on_data(void *arg, struct str in)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);
	size_t used = 0;

	while (used < in.n && !stream_full(s->stream)) {
		struct str rest = str_from(in.p + used, in.n - used);
		size_t n = 0;
		if (s->state == SESSION_DATA)
			n = take_data(s, rest);
		else if (s->state == SESSION_CHUNK)
			n = chunk_take(s, rest);
		else if (s->state == SESSION_COMMAND || s->state == SESSION_AUTH)
			n = take_line(s, rest);
		if (n == 0)
			break;
		used += n;
	}
	if (!reads(s) || stream_full(s->stream))
		stream_pause(s->stream, true);
	return used;
}

static void on_drain(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	if (reads(s))
		stream_pause(s->stream, false);
}

static void on_end(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	s->ended = true;
	if (s->state != SESSION_WAITING)
		session_hang_up(s, 0);
}

static void on_timeout(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	if (s->state == SESSION_SHAKING) {
		s->in->stats.secure_failed++;
		session_hang_up(s, 0);
		return;
	}
	if (s->state == SESSION_TARPIT) {
		auth_tarpit_over(s);
		return;
	}
	session_end(s, "4.4.2 Timeout, closing the connection");
}

static void handshake_failed(struct smtpin_session *s, const struct err *err)
{
	char ip[IPADDR_TEXT_LEN];

	s->in->stats.secure_failed++;
	if (!log_limited_at(LOG_LEVEL_INFO, "smtpin.tls"))
		return;
	ipaddr_text(&s->client, ip);
	log_info(NULL, "smtpin.tls", F_STR("client", ip), F_STR("error", err->msg));
}

static void on_closed(void *arg, const struct err *err)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	/* clients come and go; what they leave unfinished is theirs to repeat */
	if (s->state == SESSION_SHAKING)
		handshake_failed(s, err);
	if (s->token == 0) {
		session_free(&s);
		return;
	}
	s->state = SESSION_GONE;
	s->in->open--;
	stream_free(&s->stream);
}

static void greet(struct smtpin_session *s)
{
	await_command(s);
	if (s->facts.refused) {
		s->in->stats.connections_refused++;
		session_answer(s, &s->facts.refusal);
		session_hang_up(s, LINGER_MS);
		return;
	}
	session_sayf(s, "220 %s ESMTP\r\n", s->in->hostname);
}

static void on_secure(void *arg)
{
	struct smtpin_session *s = OBJ(smtpin_session, SMTPIN_SESSION_MAGIC, arg);

	s->secure = stream_tls_facts(s->stream, &s->tls);
	s->in->stats.secured++;
	if (s->rules->tls == SMTPIN_TLS_IMPLICIT)
		greet(s);
	else
		await_command(s);
	if (s->in->draining)
		session_drain(s, false);
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
	.on_secure = on_secure,
};

void session_secure(struct smtpin_session *s)
{
	/* RFC 3207, 4.2: nothing that was said in the clear counts */
	session_reset(s);
	s->greeted = false;
	s->esmtp = false;
	s->helo[0] = '\0';
	s->state = SESSION_SHAKING;
	stream_idle(s->stream, 0);
	stream_deadline(s->stream, smtpin_patience(s->in, s->in->conf.handshake_ms));
	stream_tls_accept(s->stream, s->in->conf.tls);
}

void session_start(struct smtpin *in, int fd, const struct ipaddr *client,
		   const struct smtpin_rules *rules, bool named)
{
	struct smtpin_session *s = xcalloc(1, sizeof(*s));

	s->magic = SMTPIN_SESSION_MAGIC;
	s->in = in;
	s->client = *client;
	s->rules = rules;
	s->named = named;
	if (!smtpin_slot_take(in, s, &s->slot))
		BUG("a session without a slot");
	TAILQ_INSERT_TAIL(&in->sessions, s, next);
	smtpin_comes(in, s);
	in->open++;
	in->stats.connections++;
	s->stream = stream_new(in->loop, fd, &session_ops, s);
	session_ask(s);
	if (!s->facts.refused && !s->facts.may_relay && auth_blocked(s)) {
		s->facts.refused = true;
		(void)smtpin_refuse(&s->facts.refusal, 421, "4.7.0",
				    "Too many failures to authenticate, try again later");
	}
	if (rules->tls == SMTPIN_TLS_IMPLICIT)
		session_secure(s);
	else
		greet(s);
}

void session_free(struct smtpin_session **sp)
{
	struct smtpin_session *s = *sp;
	struct smtpin *in = s->in;

	*sp = NULL;
	if (s->state != SESSION_GONE)
		in->open--;
	TAILQ_REMOVE(&in->sessions, s, next);
	smtpin_goes(in, s);
	smtpin_slot_give(in, s->slot);
	stream_free(&s->stream);
	session_reset(s);
	body_drop(in, &s->body);
	sasl_free(&s->sasl);
	free(s->rcpts);
	s->magic = 0;
	free(s);
}

void session_drain(struct smtpin_session *s, bool now)
{
	static const char bye[] = "4.3.2 Service is shutting down";

	switch (s->state) {
	case SESSION_COMMAND:
	case SESSION_AUTH:
	case SESSION_TARPIT:
		session_end(s, bye);
		return;
	case SESSION_CHECKING:
	case SESSION_DATA:
	case SESSION_CHUNK:
		if (now)
			session_end(s, bye);
		return;
	case SESSION_SHAKING:
		if (now)
			session_hang_up(s, 0);
		return;
	case SESSION_WAITING:
	case SESSION_GONE:
	case SESSION_CLOSING:
		return;
	}
}

void session_hurry(struct smtpin_session *s)
{
	switch (s->state) {
	case SESSION_SHAKING:
	case SESSION_COMMAND:
	case SESSION_AUTH:
		stream_deadline(s->stream, SMTPIN_STRESS_MS);
		return;
	case SESSION_DATA:
	case SESSION_CHUNK:
		stream_idle(s->stream, SMTPIN_STRESS_MS);
		return;
	case SESSION_CHECKING:
	case SESSION_TARPIT:
	case SESSION_WAITING:
	case SESSION_GONE:
	case SESSION_CLOSING:
		return;
	}
}

void session_recheck(struct smtpin_session *s)
{
	switch (s->state) {
	case SESSION_COMMAND:
	case SESSION_DATA:
	case SESSION_CHUNK:
		if (!auth_good(s))
			session_end(s, "4.7.0 Your credential is not good any more");
		return;
	case SESSION_AUTH:
	case SESSION_CHECKING:
	case SESSION_TARPIT:
	case SESSION_SHAKING:
	case SESSION_WAITING: /* told at the next MAIL */
	case SESSION_GONE:
	case SESSION_CLOSING:
		return;
	}
}
