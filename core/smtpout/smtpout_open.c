/*
 * From connecting to the reply to EHLO: see the table in smtpout_session.c. A session tries the
 * addresses of its next hop until one serves it or none is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtpout/smtpout_int.h"

static bool connect_from(struct out_session *s, struct err *err)
{
	char why[SMTPOUT_WHY_MAX] = "";
	int rc;

	do {
		if (!out_source_choose(s, why)) {
			(void)err_set(err, ERR_NET, "%s", why);
			return false;
		}
		rc = stream_connect(s->o->loop, &s->addr, s->from.bound ? &s->from.ip : NULL,
				    s->o->cfg.connect_ms, &out_session_ops, s, &s->stream, err);
	} while (rc < 0 && out_source_failed(s, err->msg));
	return rc >= 0;
}

/* fresh: not the same address once more */
static bool connect_to(struct out_session *s, bool fresh)
{
	struct smtpout *o = s->o;
	struct err err = ERR_INIT;
	struct attempt a;

	stream_free(&s->stream);
	smtp_reply_reset(&s->reply);
	ipaddr_text(&s->addr.ip, s->ip);
	s->source[0] = s->tls[0] = '\0';
	s->ending = s->secure = s->valid = s->dane = s->logged_in = false;
	out_login_done(s);
	s->opened_ms = s->since_ms = s->step_ms = loop_now_ms(o->loop);
	out_session_state(s, OUT_CONNECTING);
	if (fresh)
		out_talk_begin(s);
	if (connect_from(s, &err))
		return true;
	if (s->sourceless)
		return false; /* no fault of the address: out_source_any() says it to the next hop
			       */
	out_talk_note(s, err.msg);
	out_attempt_lost(s, &err, &a);
	a.connection = out_talk_connection(s);
	out_hop_failed(s->hop, &s->addr, &a);
	return false;
}

/* Tries addresses until one of them takes its time. */
static void connect_next(struct out_session *s)
{
	unsigned host;

	while (!s->sourceless && out_hop_pick(s->hop, &host, &s->addr)) {
		(void)snprintf(s->host, sizeof(s->host), "%s", s->hop->names[host]);
		ipaddr_text(&s->addr.ip, s->ip);
		out_secure_policy(s, s->hop->policies[host]);
		if (out_secure_allows(s) && connect_to(s, true))
			return;
	}
	out_session_over(s);
}

void out_open_again(struct out_session *s)
{
	if (!connect_to(s, false))
		connect_next(s);
}

static bool has_open_at(const struct out_hop *h, const struct netaddr *addr)
{
	const struct out_session *s;

	TAILQ_FOREACH (s, &h->sessions, of_hop)
		if (out_phase(s->state) == OUT_OPEN && ipaddr_eq(&s->addr.ip, &addr->ip))
			return true;
	return false;
}

/* The address will not do. `said`: the host refused in words. */
void out_open_failed(struct out_session *s, const struct attempt *a, bool said)
{
	struct attempt kept = *a;

	if (said && has_open_at(s->hop, &s->addr)) {
		/* it works for others: it will not have so many at once */
		out_hop_full(s->hop);
		out_session_over(s);
		return;
	}
	kept.connection = out_talk_connection(s);
	out_hop_failed(s->hop, &s->addr, &kept);
	connect_next(s);
}

static void open_refused(struct out_session *s)
{
	struct attempt a;

	if (smtp_reply_is(&s->reply, 2) || smtp_reply_is(&s->reply, 3)) {
		char why[64];
		(void)snprintf(why, sizeof(why), "said %d", s->reply.code);
		out_session_garbage(s, why);
		return;
	}
	out_attempt_reply(s, &a);
	if (a.code == 421 && a.enhanced[0] == '\0')
		(void)snprintf(a.enhanced, sizeof(a.enhanced), "4.3.2");
	out_open_failed(s, &a, true);
}

static void say_hello(struct out_session *s, enum out_state state)
{
	if (s->ending) {
		out_session_garbage(s, "said more than it was asked for");
		return;
	}
	out_session_state(s, state);
	buf_reset(&s->o->scratch);
	(void)buf_printf(&s->o->scratch, "%s %s", state == OUT_EHLO ? "EHLO" : "HELO",
			 out_source_name(s));
	out_talk_said(s, buf_str(&s->o->scratch));
	(void)stream_printf(s->stream, "%s\r\n", buf_cstr(&s->o->scratch));
	out_session_await(s, s->o->cfg.greeting_ms);
}

static void note_extension(struct out_session *s, struct str line)
{
	static const struct {
		const char *name;
		unsigned flag;
	} known[] = {
		{ "PIPELINING", OUT_EXT_PIPELINING },
		{ "SIZE", OUT_EXT_SIZE },
		{ "8BITMIME", OUT_EXT_8BITMIME },
		{ "STARTTLS", OUT_EXT_STARTTLS },
		{ "AUTH", OUT_EXT_AUTH },
		{ "SMTPUTF8", OUT_EXT_SMTPUTF8 },
		{ "DSN", OUT_EXT_DSN },
		{ "CHUNKING", OUT_EXT_CHUNKING },
	};
	struct str rest = str_trim(line);
	struct str name = str_cut(&rest, ' ');

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(name, str_of(known[i].name)))
			s->extensions |= known[i].flag;
	if (str_eq_nocase(name, STR("AUTH")))
		out_login_offer(s, rest);
	if (str_eq_nocase(name, STR("SIZE")) && !str_u64(str_trim(rest), UINT64_MAX, &s->size_max))
		s->size_max = 0;
}

static void opened(struct out_session *s, bool esmtp)
{
	if (s->ending) {
		out_session_garbage(s, "said more than it was asked for");
		return;
	}
	s->extensions = 0;
	s->size_max = 0;
	s->mechanisms = 0;
	for (unsigned i = 1; esmtp && i < s->reply.lines; i++)
		note_extension(s, smtp_reply_line(&s->reply, i));
	if (!out_secure_begin(s))
		out_open_go_on(s);
}

void out_open_go_on(struct out_session *s)
{
	if (out_login_begin(s))
		return;
	out_session_state(s, OUT_ASKING);
	out_hop_opened(s->hop, s);
	out_session_go_on(s);
}

void out_open_greeting(struct out_session *s)
{
	out_session_state(s, OUT_GREETING);
	out_session_await(s, s->o->cfg.greeting_ms);
}

void out_open_connected(struct out_session *s)
{
	if (s->demands.tls == ROUTE_TLS_IMPLICIT && s->o->cfg.tls != NULL)
		out_secure_shake(s);
	else
		out_open_greeting(s);
}

void out_open_hello(struct out_session *s)
{
	say_hello(s, OUT_EHLO);
}

/* It does not know EHLO; other refusals are meant for us (RFC 5321, 4.1.4). */
static bool wants_helo(const struct out_session *s)
{
	int code = s->reply.code;

	return s->state == OUT_EHLO && !s->ending &&
	       (code == 500 || code == 501 || code == 502 || code == 504);
}

void out_open_reply(struct out_session *s)
{
	if (wants_helo(s))
		say_hello(s, OUT_HELO);
	else if (!smtp_reply_is(&s->reply, 2))
		open_refused(s);
	else if (s->state == OUT_GREETING)
		say_hello(s, OUT_EHLO);
	else
		opened(s, s->state == OUT_EHLO);
}

void out_open_forget(struct out_session *s)
{
	char *user = (char *)(uintptr_t)s->demands.user;
	char *password = (char *)(uintptr_t)s->demands.password;

	out_login_done(s);
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	free(user);
	free(password);
	s->demands.user = s->demands.password = NULL;
}

static bool get_demands(const struct out_hop *h, struct smtpout_demands *ret)
{
	const struct smtpout_config *cfg = &h->o->cfg;
	struct smtpout_demands d = { .tls = ROUTE_TLS_OPPORTUNISTIC };

	if (cfg->demands != NULL && !cfg->demands(cfg->arg, h->key, &d))
		return false;
	d.user = d.user != NULL ? xstrdup(d.user) : NULL;
	d.password = d.user != NULL ? xstrdup(d.password != NULL ? d.password : "") : NULL;
	*ret = d;
	return true;
}

void out_session_open(struct out_hop *h)
{
	struct smtpout_demands demands;
	struct smtpout *o = h->o;
	struct out_session *s;

	if (!out_source_any(h))
		return;
	if (!get_demands(h, &demands)) {
		h->work = 0; /* its mail is on its way to another next hop */
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->magic = OUT_SESSION_MAGIC;
	s->demands = demands;
	s->o = o;
	s->hop = h;
	s->born_ms = loop_now_ms(o->loop);
	s->reply = SMTP_REPLY_INIT;
	s->mail = OUT_MAIL_INIT;
	s->opening = TALK_LOG_INIT;
	s->state = OUT_OVER;
	out_slot_take(o, s);
	TAILQ_INSERT_TAIL(&h->sessions, s, of_hop);
	if (h->sessions_n++ == 0)
		o->hops_live++;
	out_site_begin(s);
	out_site_line_done(h);
	o->total++;
	out_session_enter(s);
	out_session_state(s, OUT_CONNECTING);
	connect_next(s);
	out_session_leave(s);
}
