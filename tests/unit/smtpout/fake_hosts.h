/*
 * SMTP servers on the fake network that say what they are told, driven by the test. Included by one
 * file.
 */
#ifndef UNIT_SMTPOUT_FAKE_HOSTS_H
#define UNIT_SMTPOUT_FAKE_HOSTS_H

#include "mail/dotstuff.h"
#include "unit/smtpout/fake_core.h"
#include "unit/smtpout/fake_net.h"

#define HOSTS_MAX 5
#define CONNS_MAX 64
#define REPLIES_MAX 16
#define QUIET_ROUNDS 3
#define ROUNDS_MAX 200000

/* What is said where; NULL: the usual, "": nothing from then on. */
#define HANG_UP "\x04" /* at the end of it */
struct lines {
	const char *greeting, *ehlo, *helo, *rset, *mail, *rcpt, *data, *end, *quit;
	const char *rcpts[LETTER_RCPTS_MAX]; /* by place, before `rcpt` */
	const char *later;		     /* to MAIL, after the first message */
};

struct conn {
	int fd; /* -1: none */
	struct buf in;
	struct buf out;
	struct {
		size_t end;
		int64_t due;
	} replies[REPLIES_MAX];
	unsigned replies_n;
	bool bye; /* when all is said */
	bool mute;
	bool data;
	struct dot_decoder dots;
	unsigned rcpt;
	size_t said;
	unsigned messages;
};

struct host {
	int fd;
	struct netaddr at;
	struct lines lines;
	size_t piece; /* bytes said at once; 0: all */
	bool cut;     /* the first connection ends after cut_at bytes */
	size_t cut_at;
	int64_t delay_ms;  /* before each reply */
	unsigned most;	   /* connections; more are greeted with 421; 0: any */
	bool deaf_in_data; /* reads nothing once it has said 354 */
	unsigned accepted; /* connections */
	unsigned open;
	unsigned open_max;
	unsigned messages; /* for which 250 was said */
	struct conn conns[CONNS_MAX];
	struct buf heard;
	struct buf content; /* of the last message */
};

static struct host hosts[HOSTS_MAX];
static unsigned hosts_n;
static unsigned long activity;

#define SAY_GREETING "220 mx.example ESMTP\r\n"
#define SAY_EHLO                                                                                   \
	"250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n"                \
	"250 ENHANCEDSTATUSCODES\r\n"
#define SAY_EHLO_PLAIN "250-mx.example\r\n250-SIZE\r\n250 8BITMIME\r\n"
#define SAY_OK "250 2.0.0 Ok\r\n"
#define SAY_GO "354 Go ahead\r\n"
#define SAY_QUEUED "250 2.0.0 Ok: queued as 4711\r\n"

static const char *pick(const char *a, const char *b)
{
	return a != NULL ? a : b;
}

static struct host *host_open(const char *ip)
{
	struct host *h = &hosts[hosts_n];

	memset(h, 0, sizeof(*h));
	h->heard = BUF_INIT(1 << 20);
	h->content = BUF_INIT(64 << 20);
	for (int i = 0; i < CONNS_MAX; i++)
		h->conns[i].fd = -1;
	ASSERT(hosts_n < HOSTS_MAX && ipaddr_parse(str_of(ip), &h->at.ip));
	h->at.port = 25;
	h->fd = net_listen(&h->at);
	hosts_n++;
	return h;
}

static void conn_close(struct host *h, struct conn *c)
{
	(void)close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	c->fd = -1;
	h->open--;
	activity++;
}

/* Nothing listens there any more. */
static void host_down(struct host *h)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if (h->conns[i].fd >= 0)
			conn_close(h, &h->conns[i]);
	if (h->fd >= 0)
		(void)close(h->fd);
	h->fd = -1;
}

static void hosts_close(void)
{
	while (hosts_n > 0) {
		struct host *h = &hosts[--hosts_n];
		host_down(h);
		buf_done(&h->heard);
		buf_done(&h->content);
	}
}

static void say(const struct host *h, struct conn *c, const char *text)
{
	int64_t now = loop_now_ms(core.loop);
	int64_t due = c->replies_n > 0 ? c->replies[c->replies_n - 1].due : now;
	struct str s = str_of(text);

	if (s.n > 0 && s.p[s.n - 1] == HANG_UP[0]) {
		c->bye = true;
		s.n--;
	}
	c->mute = c->mute || text[0] == '\0';
	if (c->mute)
		return;
	(void)buf_put_str(&c->out, s);
	ASSERT(c->replies_n < REPLIES_MAX);
	c->replies[c->replies_n].end = c->out.n;
	c->replies[c->replies_n++].due = due + h->delay_ms;
}

static bool begins(struct str line, const char *with)
{
	return str_starts_nocase(line, str_of(with));
}

static void command(struct host *h, struct conn *c, struct str line)
{
	const struct lines *t = &h->lines;

	(void)buf_put_str(&h->heard, line);
	(void)buf_puts(&h->heard, "\n");
	if (begins(line, "EHLO")) {
		say(h, c, pick(t->ehlo, SAY_EHLO));
	} else if (begins(line, "HELO")) {
		say(h, c, pick(t->helo, "250 mx.example\r\n"));
	} else if (begins(line, "MAIL")) {
		c->rcpt = 0;
		say(h, c, pick(c->messages > 0 ? t->later : NULL, pick(t->mail, SAY_OK)));
	} else if (begins(line, "RCPT")) {
		const char *own = c->rcpt < LETTER_RCPTS_MAX ? t->rcpts[c->rcpt] : NULL;
		c->rcpt++;
		say(h, c, pick(own, pick(t->rcpt, SAY_OK)));
	} else if (begins(line, "DATA")) {
		const char *text = pick(t->data, SAY_GO);
		c->data = begins(str_of(text), "3");
		dot_decoder_init(&c->dots, 64 << 20);
		buf_reset(&h->content);
		say(h, c, text);
	} else if (begins(line, "RSET")) {
		say(h, c, pick(t->rset, SAY_OK));
	} else if (begins(line, "QUIT")) {
		say(h, c, pick(t->quit, "221 2.0.0 Bye\r\n" HANG_UP));
	} else {
		say(h, c, "500 5.5.1 What?\r\n");
	}
}

static void content(struct host *h, struct conn *c)
{
	size_t used = dot_decode(&c->dots, (const uint8_t *)c->in.p, c->in.n, &h->content);
	const char *text = pick(h->lines.end, SAY_QUEUED);

	buf_drop(&c->in, used);
	if (!dot_decoder_ended(&c->dots))
		return;
	(void)buf_printf(&h->heard, "(%zu bytes)\n", h->content.n);
	c->data = false;
	c->messages++;
	h->messages += begins(str_of(text), "2");
	say(h, c, text);
}

static void hear(struct host *h, struct conn *c)
{
	while (c->in.n > 0 && !c->bye) {
		ptrdiff_t lf;
		if (c->data) {
			size_t before = c->in.n;
			content(h, c);
			if (c->in.n == before)
				return;
			continue;
		}
		lf = str_index(buf_str(&c->in), '\n');
		if (lf < 0)
			return;
		ASSERT(lf > 0 && c->in.p[lf - 1] == '\r');
		AUTO_FREE char *line = xstrndup(c->in.p, (size_t)lf - 1);
		buf_drop(&c->in, (size_t)lf + 1);
		command(h, c, str_of(line));
	}
}

static void conn_read(struct host *h, struct conn *c)
{
	char bytes[16384];
	ssize_t n;

	if (c->data && h->deaf_in_data)
		return;
	while ((n = recv(c->fd, bytes, sizeof(bytes), 0)) > 0) {
		activity++;
		(void)buf_put(&c->in, bytes, (size_t)n);
		hear(h, c);
		if (c->data && h->deaf_in_data)
			return;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN))
		conn_close(h, c);
}

/* Says what is due, at most a piece of it. */
static void conn_write(struct host *h, struct conn *c)
{
	size_t n = 0;

	for (unsigned i = 0; i < c->replies_n && c->replies[i].due <= loop_now_ms(core.loop); i++)
		n = c->replies[i].end;
	if (h->piece != 0 && n > h->piece)
		n = h->piece;
	if (h->cut && h->accepted == 1 && n > h->cut_at - c->said)
		n = h->cut_at - c->said;
	if (n > 0) {
		ssize_t sent = send(c->fd, c->out.p, n, MSG_NOSIGNAL);
		if (sent < 0) {
			conn_close(h, c);
			return;
		}
		activity++;
		n = (size_t)sent;
		c->said += n;
		buf_drop(&c->out, n);
		for (unsigned i = 0; i < c->replies_n; i++)
			c->replies[i].end -= c->replies[i].end < n ? c->replies[i].end : n;
		while (c->replies_n > 0 && c->replies[0].end == 0) {
			c->replies_n--;
			memmove(&c->replies[0], &c->replies[1],
				c->replies_n * sizeof(c->replies[0]));
		}
	}
	if ((c->bye && c->out.n == 0) || (h->cut && h->accepted == 1 && c->said == h->cut_at))
		conn_close(h, c);
}

static void host_accept(struct host *h)
{
	int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int i = 0;

	if (fd < 0)
		return;
	while (i < CONNS_MAX && h->conns[i].fd >= 0)
		i++;
	ASSERT(i < CONNS_MAX);
	h->conns[i] = (struct conn){ .fd = fd, .in = BUF_INIT(64 << 20), .out = BUF_INIT(1 << 20) };
	activity++;
	h->accepted++;
	if (++h->open > h->open_max)
		h->open_max = h->open;
	if (h->most != 0 && h->open > h->most)
		say(h, &h->conns[i], "421 4.7.0 Too many connections\r\n" HANG_UP);
	else
		say(h, &h->conns[i], pick(h->lines.greeting, SAY_GREETING));
}

static void hosts_turn(void)
{
	for (unsigned k = 0; k < hosts_n; k++) {
		struct host *h = &hosts[k];
		if (h->fd >= 0)
			host_accept(h);
		for (int i = 0; i < CONNS_MAX; i++) {
			struct conn *c = &h->conns[i];
			if (c->fd >= 0)
				conn_read(h, c);
			if (c->fd >= 0)
				conn_write(h, c);
		}
	}
}

/* Until nothing happens any more at this moment of the clock. */
static void settle(void)
{
	unsigned quiet = 0;
	for (unsigned n = 0; quiet < QUIET_ROUNDS; n++) {
		unsigned long before = activity + core.done + core.asks_n + core.wants_n;
		ASSERT(n < ROUNDS_MAX);
		core_turn();
		hosts_turn();
		quiet = activity + core.done + core.asks_n + core.wants_n == before ? quiet + 1 : 0;
	}
}

/* Lets the clock go on in steps. */
static void pass(int64_t ms, int64_t step)
{
	for (int64_t t = 0; t < ms; t += step) {
		loop_advance(core.loop, step);
		settle();
	}
}

/* --- what tests begin and end with --- */

#define HOP "mx:d.example"
#define LETTER "Subject: x\r\n\r\n.dot\r\nbody\r\n"
#define BODY STR(LETTER)
#define D OUTCOME_DELIVERED
#define T OUTCOME_DEFERRED
#define F OUTCOME_FAILED

static const struct smtpout_config usual = { .hostname = NULL };

/* One next hop with one host, mx.d.example, on 127.0.0.1. */
static struct host *begin(const struct smtpout_config *cfg)
{
	hosts_close(); /* of a test that failed */
	core_open(cfg != NULL ? cfg : &usual);
	struct host *h = host_open("127.0.0.1");
	core_host(HOP, "mx.d.example", 10, h->at.port, "127.0.0.1");
	return h;
}

static void finish(void)
{
	core_close();
	hosts_close();
	memset(&net, 0, sizeof(net));
}

static void go(void)
{
	core_kick(HOP);
	settle();
}

static struct letter *send_one(unsigned rcpts)
{
	struct letter *l = core_submit(HOP, BODY, rcpts);
	go();
	return l;
}

static __attribute__((unused)) void assert_has(const char *text, const char *piece)
{
	if (strstr(text, piece) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", piece, text);
}

static unsigned done_with(enum outcome o)
{
	unsigned n = 0;
	for (unsigned i = 0; i < core.letters_n; i++)
		for (unsigned k = 0; k < core.letters[i].m.rcpts_n; k++)
			n += core.letters[i].state[k] == RCPT_DONE &&
			     core.letters[i].result[k].outcome == o;
	return n;
}

#endif
