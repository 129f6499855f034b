/*
 * States: HELO -> READY -> MAIL -> DATA -> READY …; MUTE swallows whatever comes (hang).
 *
 * Replies pass send_out(), which holds them back for the behaviour's delay; while one is held
 * back no further input is looked at. `sync` is set from a command that ends a pipelined group
 * until its reply is out: input in that time is a protocol error of the client.
 *
 * A session is only freed at the end of a callback of libevent, by finish_callback().
 */
#include "world/session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "world/content.h"
#include "world/receiver.h"

#define SESSION_MAGIC 0x3071d002u
#define REPLY_MAX (16u * 1024)
#define ITEMS_PER_WAKEUP 256
#define ADDRESS_MAX 512
#define CLIENT_LEN 64

enum session_state { S_HELO, S_READY, S_MAIL, S_DATA, S_MUTE, S_DEAD };

struct session {
	uint32_t magic;
	struct world *world;
	enum site_id site;
	struct bufferevent *bev;
	char client[CLIENT_LEN];
	enum session_state state;
	bool esmtp;
	bool sync;    /* a command that ends a group is being answered */
	bool waiting; /* a reply is held back */
	bool closing; /* close when all is written */
	struct loop_timer *delay;
	struct buf out;
	struct buf from;
	json_t *rcpts; /* array of accepted addresses */
	struct content *content;
	session_ended_fn *ended;
	void *arg;
};

static void on_read(struct bufferevent *bev, void *arg);

static struct site *site_of(const struct session *s)
{
	return &s->world->sites[s->site];
}

static void protocol_error(struct session *s, const char *what)
{
	struct site *site = site_of(s);

	site->protocol_errors++;
	snprintf(site->last_protocol_error, sizeof(site->last_protocol_error), "%s", what);
	log_debug(site->address, "world.protocol_error", F_STR("what", what));
}

static void flush(struct session *s)
{
	s->waiting = false;
	s->sync = false;
	bufferevent_write(s->bev, s->out.p, s->out.n);
	buf_reset(&s->out);
}

static void on_delay(void *arg)
{
	struct session *s = OBJ(session, SESSION_MAGIC, arg);

	flush(s);
	on_read(s->bev, s);
}

/* Sends what stands in s->out, after the owner's delay. */
static void send_out(struct session *s)
{
	int64_t delay_ms = site_owner(s->world, s->site)->behaviour.delay;

	if (s->closing)
		return;
	if (delay_ms <= 0) {
		flush(s);
		return;
	}
	s->waiting = true;
	loop_timer_set(s->delay, delay_ms);
}

static void say(struct session *s, const char *line)
{
	buf_puts(&s->out, line);
	buf_puts(&s->out, "\r\n");
	send_out(s);
}

static void reset_transaction(struct session *s)
{
	buf_reset(&s->from);
	json_array_clear(s->rcpts);
	content_free(&s->content);
	if (s->state == S_MAIL || s->state == S_DATA)
		s->state = S_READY;
}

/* Lets the behaviour of `d` act at a stage. True when it did, and the caller has nothing to add. */
static bool behave(struct session *s, struct domain *d, enum stage at, struct str rcpt)
{
	struct contact c = { .at = at,
			     .mx = domain_mx_of(d, s->site),
			     .client = str_of(s->client),
			     .from = buf_str(&s->from),
			     .rcpt = rcpt,
			     .now_ms = loop_now_ms(s->world->loop),
			     .dice = world_random(s->world) };

	if (!behaviour_acts(&d->behaviour, &d->state, &c))
		return false;
	if (d->behaviour.act != ACT_REPLY) {
		d->stats.broken++;
		s->state = d->behaviour.act == ACT_HANG ? S_MUTE : S_DEAD;
		return true;
	}
	int code = behaviour_reply(&d->behaviour, &c, site_of(s)->host, &s->out);
	if (code >= 500)
		d->stats.rejected++;
	else
		d->stats.deferred++;
	send_out(s);
	if (code == 421)
		s->closing = true;
	return true;
}

static void greet(struct session *s)
{
	const struct site *site = site_of(s);

	s->state = S_HELO;
	s->sync = true; /* the client waits for the banner */
	if (behave(s, site_owner(s->world, s->site), STAGE_BANNER, STR("")))
		return;
	buf_printf(&s->out, "220 %s %s\r\n", site->host, site->banner);
	send_out(s);
}

static void cmd_ehlo(struct session *s, struct str args)
{
	s->state = S_HELO;
	reset_transaction(s);
	if (args.n == 0) {
		protocol_error(s, "EHLO without a name");
		say(s, "501 5.5.4 EHLO wants a name");
		return;
	}
	if (behave(s, site_owner(s->world, s->site), STAGE_HELO, STR("")))
		return;
	s->state = S_READY;
	s->esmtp = true;
	buf_printf(&s->out,
		   "250-%s at your service, [%s]\r\n250-SIZE %d\r\n250-8BITMIME\r\n"
		   "250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n",
		   site_of(s)->host, s->client, RECEIVER_SIZE_MAX);
	send_out(s);
}

static void cmd_helo(struct session *s, struct str args)
{
	s->state = S_HELO;
	reset_transaction(s);
	if (behave(s, site_owner(s->world, s->site), STAGE_HELO, STR("")))
		return;
	(void)args;
	s->state = S_READY;
	s->esmtp = false;
	buf_printf(&s->out, "250 %s\r\n", site_of(s)->host);
	send_out(s);
}

/* Takes "<address>" after the prefix; the rest are parameters. */
static bool cut_path(struct str *args, struct str prefix, struct str *ret_address)
{
	if (!str_starts_nocase(*args, prefix))
		return false;
	struct str rest = str_from(args->p + prefix.n, args->n - prefix.n);
	ptrdiff_t end = str_index(rest, '>');
	if (rest.n == 0 || rest.p[0] != '<' || end < 0)
		return false;
	*ret_address = str_from(rest.p + 1, (size_t)end - 1);
	*args = str_trim(str_from(rest.p + end + 1, rest.n - (size_t)end - 1));
	return true;
}

/* Checks the ESMTP parameters of MAIL; NULL, or the reply that refuses them. */
static const char *check_mail_params(struct session *s, struct str params)
{
	uint64_t size;

	if (params.n > 0 && !s->esmtp) {
		protocol_error(s, "parameters without EHLO");
		return "555 5.5.4 Parameters need EHLO";
	}
	while (params.n > 0) {
		struct str value = str_cut(&params, ' ');
		struct str key = str_cut(&value, '=');

		if (str_eq_nocase(key, STR("SIZE"))) {
			if (!str_u64(value, UINT64_MAX, &size)) {
				protocol_error(s, "SIZE is not a number");
				return "501 5.5.4 SIZE wants a number";
			}
			if (size > RECEIVER_SIZE_MAX)
				return "552 5.3.4 Message is too big";
		} else if (!str_eq_nocase(key, STR("BODY"))) {
			protocol_error(s, "parameter that was not offered");
			return "555 5.5.4 Unknown parameter";
		}
	}
	return NULL;
}

static void cmd_mail(struct session *s, struct str args)
{
	struct str from;

	if (s->state != S_READY) {
		protocol_error(s, "MAIL out of order");
		say(s, "503 5.5.1 MAIL is not possible now");
		return;
	}
	if (!cut_path(&args, STR("FROM:"), &from) || from.n > ADDRESS_MAX) {
		protocol_error(s, "MAIL without a path");
		say(s, "501 5.1.7 MAIL FROM:<address> is wanted");
		return;
	}
	const char *refusal = check_mail_params(s, args);
	if (refusal != NULL) {
		say(s, refusal);
		return;
	}
	buf_put_str(&s->from, from);
	if (behave(s, site_owner(s->world, s->site), STAGE_MAIL, STR(""))) {
		buf_reset(&s->from);
		return;
	}
	s->state = S_MAIL;
	site_of(s)->transactions++;
	say(s, "250 2.1.0 OK");
}

/* True when an earlier recipient of the transaction is in the domain. */
static bool has_domain(struct session *s, const struct domain *d)
{
	size_t i;
	json_t *rcpt;

	json_array_foreach(s->rcpts, i,
			   rcpt) if (world_domain_of(s->world, str_of(json_string_value(rcpt))) ==
				     d) return true;
	return false;
}

static void cmd_rcpt(struct session *s, struct str args)
{
	struct str rcpt;

	if (s->state != S_MAIL) {
		/* Legal in a pipelined group behind a refused MAIL: no fault of the client. */
		say(s, "503 5.5.1 MAIL first");
		return;
	}
	if (!cut_path(&args, STR("TO:"), &rcpt) || rcpt.n == 0 || rcpt.n > ADDRESS_MAX ||
	    args.n > 0) {
		protocol_error(s, "RCPT without a path");
		say(s, "501 5.1.3 RCPT TO:<address> is wanted");
		return;
	}
	struct domain *d = world_domain_of(s->world, rcpt);
	if (d == NULL || domain_mx_of(d, s->site) == 0) {
		say(s, "550 5.7.1 Relaying denied");
		return;
	}
	if (json_array_size(s->rcpts) >= RCPTS_MAX) {
		say(s, "452 4.5.3 Too many recipients");
		return;
	}
	if (behave(s, d, STAGE_RCPT, rcpt))
		return;
	json_t *address = json_stringn(rcpt.p, rcpt.n);
	if (address == NULL) {
		protocol_error(s, "address is not UTF-8");
		say(s, "501 5.1.3 The address is not UTF-8");
		return;
	}
	if (!has_domain(s, d))
		d->stats.transactions++;
	json_array_append_new(s->rcpts, address);
	say(s, "250 2.1.5 OK");
}

/* The domain that decides on DATA and what follows. */
static struct domain *deciding_domain(struct session *s, struct str *ret_rcpt)
{
	*ret_rcpt = str_of(json_string_value(json_array_get(s->rcpts, 0)));
	return world_domain_of(s->world, *ret_rcpt);
}

static void cmd_data(struct session *s, struct str args)
{
	struct str rcpt;

	(void)args;
	if (s->state != S_MAIL || json_array_size(s->rcpts) == 0) {
		say(s,
		    s->state == S_MAIL ? "554 5.5.1 No valid recipients" : "503 5.5.1 MAIL first");
		return;
	}
	if (behave(s, deciding_domain(s, &rcpt), STAGE_DATA, rcpt)) {
		reset_transaction(s);
		return;
	}
	s->state = S_DATA;
	s->content = content_new();
	say(s, "354 End with a dot on a line");
}

static void cmd_rset(struct session *s, struct str args)
{
	(void)args;
	reset_transaction(s);
	say(s, "250 2.0.0 OK");
}

static void cmd_noop(struct session *s, struct str args)
{
	(void)args;
	say(s, "250 2.0.0 OK");
}

static void cmd_vrfy(struct session *s, struct str args)
{
	(void)args;
	say(s, "252 2.5.0 Send some mail, and see");
}

static void cmd_quit(struct session *s, struct str args)
{
	(void)args;
	say(s, "221 2.0.0 Bye");
	s->closing = true;
}

static const struct command {
	const char *name;
	bool ends_group; /* RFC 2920: nothing may follow it before its reply */
	void (*fn)(struct session *s, struct str args);
} commands[] = {
	{ "EHLO", true, cmd_ehlo },  { "HELO", true, cmd_helo }, { "MAIL", false, cmd_mail },
	{ "RCPT", false, cmd_rcpt }, { "DATA", true, cmd_data }, { "RSET", false, cmd_rset },
	{ "NOOP", true, cmd_noop },  { "VRFY", true, cmd_vrfy }, { "QUIT", true, cmd_quit },
};

static void command(struct session *s, struct str line)
{
	bool more = evbuffer_get_length(bufferevent_get_input(s->bev)) > line.n;
	size_t text = line.n - 1;

	if (text == 0 || line.p[text - 1] != '\r')
		protocol_error(s, "bare LF in a command");
	else
		text--;
	if (text + 2 > COMMAND_MAX)
		protocol_error(s, "command line too long");
	struct str args = str_from(line.p, text);
	struct str verb = str_cut(&args, ' ');
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = &commands[i];

		if (!str_eq_nocase(verb, str_of(c->name)))
			continue;
		if (s->state == S_HELO && (c->fn == cmd_mail || c->fn == cmd_rcpt)) {
			protocol_error(s, "MAIL or RCPT before EHLO");
			say(s, "503 5.5.1 EHLO first");
			return;
		}
		if (more && (c->ends_group || !s->esmtp))
			protocol_error(s, "input behind a command that ends a group");
		s->sync = c->ends_group;
		c->fn(s, str_trim(args));
		return;
	}
	protocol_error(s, "unknown command");
	say(s, "500 5.5.2 Command unknown");
}

/* Hands the accepted message to each domain that has recipients in it. */
static void accept_message(struct session *s)
{
	char whole[CONTENT_HEX_LEN], body[CONTENT_HEX_LEN];
	struct accepted m = { .from = buf_str(&s->from),
			      .msgid = content_field(s->content, "Message-ID"),
			      .tag = content_field(s->content, "X-Weir-Test"),
			      .size = s->content->size,
			      .head = buf_str(&s->content->head),
			      .sha256 = whole,
			      .body_sha256 = body };

	content_digests(s->content, whole, body);
	while (json_array_size(s->rcpts) > 0) {
		struct str first;
		struct domain *d = deciding_domain(s, &first);
		json_t *rcpts = json_array();

		for (size_t i = 0; i < json_array_size(s->rcpts);) {
			json_t *rcpt = json_array_get(s->rcpts, i);

			if (world_domain_of(s->world, str_of(json_string_value(rcpt))) != d) {
				i++;
				continue;
			}
			json_array_append(rcpts, rcpt);
			json_array_remove(s->rcpts, i);
		}
		world_accept(s->world, d, &m, rcpts);
		json_decref(rcpts);
	}
}

static void end_of_data(struct session *s)
{
	struct str rcpt;
	struct domain *d = deciding_domain(s, &rcpt);

	if (s->content->faults > 0)
		protocol_error(s, s->content->fault);
	if (s->content->bare_lf) {
		say(s, "550 5.6.11 Bare line feeds are not accepted");
	} else if (s->content->size > RECEIVER_SIZE_MAX) {
		say(s, "552 5.3.4 Message is too big");
	} else if (!behave(s, d, STAGE_EOD, rcpt)) {
		accept_message(s);
		buf_printf(&s->out, "250 2.0.0 OK %012llx\r\n",
			   (unsigned long long)(world_random(s->world) >> 16));
		send_out(s);
	}
	reset_transaction(s);
}

static void data_line(struct session *s, struct str line)
{
	struct str rcpt;
	bool first = s->content->size == 0;

	if (content_line(s->content, line))
		end_of_data(s);
	else if (first && s->content->size > 0)
		(void)behave(s, deciding_domain(s, &rcpt), STAGE_BODY, rcpt);
}

/* Takes one line from the input; false when there is none to take. */
static bool step(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);
	size_t have = evbuffer_get_length(in);

	if (s->state == S_MUTE || s->state == S_DEAD || s->closing) {
		evbuffer_drain(in, have);
		return false;
	}
	if (s->waiting || have == 0)
		return false;
	struct evbuffer_ptr lf = evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF);
	if (lf.pos < 0 || lf.pos >= LINE_MAX_BYTES) {
		if (have < LINE_MAX_BYTES)
			return false;
		protocol_error(s, "endless line");
		say(s, "500 5.5.2 Line too long");
		s->closing = true;
		return false;
	}
	struct str line = { .n = (size_t)lf.pos + 1 };
	line.p = (const char *)evbuffer_pullup(in, lf.pos + 1);
	if (s->state == S_DATA)
		data_line(s, line);
	else
		command(s, line);
	evbuffer_drain(in, line.n);
	return true;
}

static void end_session(struct session *s)
{
	session_ended_fn *ended = s->ended;
	void *arg = s->arg;
	enum site_id site = s->site;

	ended(s, site, arg);
	session_free(&s);
}

static void finish_callback(struct session *s)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);

	if (s->state == S_DEAD || (s->closing && !s->waiting && evbuffer_get_length(out) == 0))
		end_session(s);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct session *s = OBJ(session, SESSION_MAGIC, arg);
	unsigned items = 0;

	loop_clock_refresh(s->world->loop);
	if (s->waiting && s->sync)
		protocol_error(s, "input before the reply to a command that ends a group");
	while (items < ITEMS_PER_WAKEUP && step(s))
		items++;
	if (items == ITEMS_PER_WAKEUP)
		bufferevent_trigger(bev, EV_READ,
				    BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
	finish_callback(s);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	finish_callback(OBJ(session, SESSION_MAGIC, arg));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		end_session(OBJ(session, SESSION_MAGIC, arg));
}

struct session *session_new(struct world *w, enum site_id site, int fd, const char *client,
			    session_ended_fn *ended, void *arg)
{
	struct session *s = xcalloc(1, sizeof(*s));
	struct timeval idle = { .tv_sec = IDLE_S };
	struct site *row = &w->sites[site];
	int on = 1;

	/* Replies to pipelined commands must not wait for the client's delayed acknowledgement. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	s->magic = SESSION_MAGIC;
	s->world = w;
	s->site = site;
	s->ended = ended;
	s->arg = arg;
	snprintf(s->client, sizeof(s->client), "%s", client);
	s->out = BUF_INIT(REPLY_MAX);
	s->from = BUF_INIT(ADDRESS_MAX);
	s->rcpts = json_array();
	s->delay = loop_timer_new(w->loop, "world.delay", on_delay, s);
	s->bev = bufferevent_socket_new(loop_base(w->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(s->bev, on_read, on_written, on_event, s);
	bufferevent_set_timeouts(s->bev, &idle, NULL);
	bufferevent_setwatermark(s->bev, EV_READ, 0, 2 * LINE_MAX_BYTES);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
	row->connections++;
	if (++row->current > row->max_connections)
		row->max_connections = row->current;
	greet(s);
	/* Also a session that is to be dropped at its banner ends in a callback. */
	if (s->state == S_DEAD || s->closing)
		bufferevent_trigger(s->bev, EV_WRITE,
				    BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
	return s;
}

void session_free(struct session **sp)
{
	struct session *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	site_of(s)->current--;
	loop_timer_free(&s->delay);
	bufferevent_free(s->bev);
	content_free(&s->content);
	json_decref(s->rcpts);
	buf_done(&s->out);
	buf_done(&s->from);
	s->magic = 0;
	free(s);
	*sp = NULL;
}
