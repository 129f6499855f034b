/*
 * A connection: CLOSED -> GREETING -> EHLO -> IDLE -> ENVELOPE -> CONTENT -> IDLE …
 * In ENVELOPE one reply a command is awaited (MAIL, each RCPT, DATA); only the codes matter. A 354
 * without an accepted recipient cannot be, so the last code says what to do.
 */
#include "world/source.h"

#include <errno.h>
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
#include "world/letter.h"

#define SOURCE_MAGIC 0x3071d005u
#define CARRIER_MAGIC 0x3071d006u
#define TICK_MS 50
#define RECONNECT_MS 1000
#define REPLY_TIMEOUT_S 120
#define IDLE_NOOP_MS 60000

enum carrier_state { C_CLOSED, C_GREETING, C_EHLO, C_IDLE, C_ENVELOPE, C_CONTENT, C_RESET };

struct carrier {
	uint32_t magic;
	struct source *source;
	struct bufferevent *bev;
	enum carrier_state state;
	size_t awaited; /* replies of the envelope still to come */
	int64_t retry_at_ms;
	int64_t idle_since_ms;
	struct letter letter;
};

struct burst {
	const struct domain *domain;
	uint64_t left;
};

struct source {
	uint32_t magic;
	struct world *world;
	struct sockaddr_storage addr;
	int addr_len;
	struct loop_timer *tick;
	int64_t last_tick_ms;
	int64_t rate;
	double due;
	size_t bursts_n;
	struct burst bursts[SOURCE_BURSTS_MAX];
	struct carrier carriers[SOURCE_CONNECTIONS];
	int64_t submitted;
	int64_t refused;
	int64_t failed;
	int64_t connects;
};

static void work(struct source *s);

static void carrier_close(struct carrier *c)
{
	if (c->state == C_ENVELOPE || c->state == C_CONTENT)
		c->source->failed++;
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	c->bev = NULL;
	c->state = C_CLOSED;
	c->retry_at_ms = loop_now_ms(c->source->world->loop) + RECONNECT_MS;
}

static void idle(struct carrier *c)
{
	c->state = C_IDLE;
	c->idle_since_ms = loop_now_ms(c->source->world->loop);
}

static void send_letter(struct carrier *c, const struct domain *only)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	letter_write(&c->letter, c->source->world, only);
	evbuffer_add_printf(out, "MAIL FROM:<%s> BODY=8BITMIME SIZE=%zu\r\n", c->letter.from,
			    c->letter.text.n);
	for (size_t i = 0; i < c->letter.rcpts_n; i++)
		evbuffer_add_printf(out, "RCPT TO:<%s>\r\n", c->letter.rcpts[i]);
	evbuffer_add_printf(out, "DATA\r\n");
	c->awaited = c->letter.rcpts_n + 2;
	c->state = C_ENVELOPE;
}

/* The last line of a reply came. */
static void on_reply(struct carrier *c, int code)
{
	struct source *s = c->source;

	switch (c->state) {
	case C_GREETING:
		evbuffer_add_printf(bufferevent_get_output(c->bev), "EHLO app1.shop.example\r\n");
		c->state = code == 220 ? C_EHLO : C_GREETING;
		break;
	case C_EHLO:
	case C_RESET:
	case C_IDLE: /* the answer to a NOOP */
		idle(c);
		break;
	case C_ENVELOPE:
		if (--c->awaited > 0)
			break;
		if (code == 354) {
			bufferevent_write(c->bev, c->letter.text.p, c->letter.text.n);
			bufferevent_write(c->bev, ".\r\n", 3);
			c->state = C_CONTENT;
		} else {
			s->refused++;
			bufferevent_write(c->bev, "RSET\r\n", 6);
			c->state = C_RESET;
		}
		break;
	case C_CONTENT:
		if (code == 250)
			s->submitted++;
		else
			s->refused++;
		idle(c);
		break;
	case C_CLOSED:
		break;
	}
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct carrier *c = OBJ(carrier, CARRIER_MAGIC, arg);
	char *line;
	size_t n;

	loop_clock_refresh(c->source->world->loop);
	while ((line = evbuffer_readln(bufferevent_get_input(bev), &n, EVBUFFER_EOL_CRLF)) !=
	       NULL) {
		uint64_t code = 0;
		bool good = n >= 3 && str_u64(str_from(line, 3), 599, &code);
		bool last = n < 4 || line[3] != '-';

		free(line);
		if (!good || code == 421) {
			carrier_close(c);
			return;
		}
		if (last)
			on_reply(c, (int)code);
	}
	work(c->source);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct carrier *c = OBJ(carrier, CARRIER_MAGIC, arg);

	(void)bev;
	loop_clock_refresh(c->source->world->loop);
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		carrier_close(c);
}

static void carrier_open(struct carrier *c)
{
	struct source *s = c->source;
	struct timeval timeout = { .tv_sec = REPLY_TIMEOUT_S };

	if (loop_now_ms(s->world->loop) < c->retry_at_ms)
		return;
	s->connects++;
	c->state = C_GREETING;
	c->bev = bufferevent_socket_new(loop_base(s->world->loop), -1,
					BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
	bufferevent_set_timeouts(c->bev, &timeout, &timeout);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	int on = 1;
	if (bufferevent_socket_connect(c->bev, (struct sockaddr *)(void *)&s->addr, s->addr_len) <
	    0)
		carrier_close(c);
	else
		(void)setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NODELAY, &on,
				 sizeof(on));
}

/* Takes the next letter to send; bursts first. False when there is none. */
static bool take_work(struct source *s, const struct domain **ret_only)
{
	if (s->bursts_n > 0) {
		struct burst *b = &s->bursts[0];

		*ret_only = b->domain;
		if (--b->left == 0)
			memmove(b, b + 1, --s->bursts_n * sizeof(*b));
		return true;
	}
	if (s->due < 1.0)
		return false;
	s->due -= 1.0;
	*ret_only = NULL;
	return true;
}

/* Gives what is due to free connections, opening them as they are needed. */
static void work(struct source *s)
{
	const struct domain *only;

	for (size_t i = 0; i < SOURCE_CONNECTIONS; i++) {
		struct carrier *c = &s->carriers[i];

		if (s->bursts_n == 0 && s->due < 1.0)
			return;
		if (c->state == C_CLOSED)
			carrier_open(c);
		else if (c->state == C_IDLE && take_work(s, &only))
			send_letter(c, only);
	}
}

static void on_tick(void *arg)
{
	struct source *s = OBJ(source, SOURCE_MAGIC, arg);
	int64_t now_ms = loop_now_ms(s->world->loop);
	double most = (double)(s->rate * SOURCE_BACKLOG_S);

	s->due += (double)s->rate * (double)(now_ms - s->last_tick_ms) / 1000.0;
	if (s->due > most)
		s->due = most;
	s->last_tick_ms = now_ms;
	work(s);
	for (size_t i = 0; i < SOURCE_CONNECTIONS; i++) {
		struct carrier *c = &s->carriers[i];

		if (c->state != C_IDLE || now_ms - c->idle_since_ms < IDLE_NOOP_MS)
			continue;
		bufferevent_write(c->bev, "NOOP\r\n", 6);
		c->idle_since_ms = now_ms;
	}
	loop_timer_set(s->tick, TICK_MS);
}

int source_start(struct world *w, const char *relay, int64_t rate, struct source **ret,
		 struct err *err)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->magic = SOURCE_MAGIC;
	s->world = w;
	s->rate = rate;
	s->last_tick_ms = loop_now_ms(w->loop);
	s->addr_len = sizeof(s->addr);
	for (size_t i = 0; i < SOURCE_CONNECTIONS; i++) {
		struct carrier *c = &s->carriers[i];

		c->magic = CARRIER_MAGIC;
		c->source = s;
		letter_init(&c->letter);
	}
	s->tick = loop_timer_new(w->loop, "world.source", on_tick, s);
	if (evutil_parse_sockaddr_port(relay, (struct sockaddr *)(void *)&s->addr, &s->addr_len) <
	    0) {
		source_free(&s);
		return err_param(err, ERR_INVALID, "relay", "%s: ADDRESS:PORT is wanted", relay);
	}
	loop_timer_set(s->tick, TICK_MS);
	*ret = s;
	return 0;
}

void source_free(struct source **sp)
{
	struct source *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	for (size_t i = 0; i < SOURCE_CONNECTIONS; i++) {
		if (s->carriers[i].bev != NULL)
			bufferevent_free(s->carriers[i].bev);
		letter_done(&s->carriers[i].letter);
	}
	loop_timer_free(&s->tick);
	free(s);
	*sp = NULL;
}

void source_rate(struct source *s, int64_t rate)
{
	s->rate = rate;
}

int source_burst(struct source *s, const struct domain *d, uint64_t n, struct err *err)
{
	if (s->bursts_n >= SOURCE_BURSTS_MAX)
		return err_set(err, ERR_LIMIT, "%d bursts are under way", SOURCE_BURSTS_MAX);
	if (n == 0)
		return 0;
	s->bursts[s->bursts_n++] = (struct burst){ .domain = d, .left = n };
	work(s);
	return 0;
}

json_t *source_stats_json(const struct source *s)
{
	json_int_t waiting = 0;

	for (size_t i = 0; i < s->bursts_n; i++)
		waiting += (json_int_t)s->bursts[i].left;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "rate", (json_int_t)s->rate, "submitted",
			 (json_int_t)s->submitted, "refused", (json_int_t)s->refused, "failed",
			 (json_int_t)s->failed, "connects", (json_int_t)s->connects, "waiting",
			 waiting);
}
