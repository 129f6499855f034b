#include "lib/fake_dns.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/str.h"
#include "net/listener.h"
#include "net/netaddr.h"
#include "net/stream.h"

#define MESSAGE_MAX 65535
#define HEADER_LEN 12
#define QUERY_MAX 1500
#define ALIASES_MAX 10
#define PORT_TRIES 50
#define DEFAULT_TTL 300
#define TYPE_CNAME 5
#define FLAGS 0x8180u /* an answer, recursion wanted and available */
#define FLAG_TC 0x0200u
#define FLAG_AD 0x0020u
enum { RCODE_OK = 0, RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_REFUSED = 5 };

static const struct {
	const char *name;
	unsigned number;
} types[] = { { "A", 1 },    { "CNAME", TYPE_CNAME }, { "MX", 15 },  { "AAAA", 28 },
	      { "PTR", 12 }, { "TXT", 16 },	      { "TLSA", 52 } };

struct asked {
	STAILQ_ENTRY(asked) next;
	unsigned n;
	char name[];
};

/* A question over UDP, kept while the server holds. */
struct held {
	STAILQ_ENTRY(held) next;
	struct sockaddr_in from;
	size_t n;
	uint8_t p[QUERY_MAX];
};

struct connection {
	LIST_ENTRY(connection) next;
	struct fake_dns *server;
	struct stream *stream;
};

struct fake_dns {
	const struct fake_dns_row *rows;
	size_t rows_n;
	struct loop *loop;
	int udp;
	struct loop_fd *watch;
	struct listener *listener;
	char address[NETADDR_TEXT_LEN];
	unsigned tcp_n;
	bool hold;
	LIST_HEAD(, connection) connections;
	STAILQ_HEAD(, asked) asked;
	STAILQ_HEAD(, held) held;
};

struct question {
	char name[256];
	unsigned type;
	size_t n; /* of the section */
};

struct reply {
	struct buf *out;
	unsigned records;
	bool alias_alone;
	bool other_owner;
	bool insecure; /* a row that was used is */
};

static void put16(struct buf *b, unsigned v)
{
	(void)buf_putc(b, (char)(v >> 8 & 0xff));
	(void)buf_putc(b, (char)(v & 0xff));
}

static void put_name(struct buf *b, struct str name)
{
	if (str_eq(name, STR(".")))
		name.n = 0;
	while (name.n > 0) {
		struct str label = str_cut(&name, '.');
		(void)buf_putc(b, (char)label.n);
		(void)buf_put_str(b, label);
	}
	(void)buf_putc(b, 0);
}

static bool read_question(const uint8_t *p, size_t n, struct question *q)
{
	size_t at = HEADER_LEN;
	size_t len = 0;

	while (at < n && p[at] != 0) {
		size_t label = p[at++];
		if (label > 63 || at + label > n || len + label + 2 > sizeof(q->name))
			return false;
		if (len > 0)
			q->name[len++] = '.';
		memcpy(q->name + len, p + at, label);
		len += label;
		at += label;
	}
	q->name[len] = '\0';
	if (at + 5 > n)
		return false;
	q->type = (unsigned)(p[at + 1] << 8 | p[at + 2]);
	q->n = at + 5 - HEADER_LEN;
	return true;
}

static unsigned type_number(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (type != NULL && strcmp(types[i].name, type) == 0)
			return types[i].number;
	return 0;
}

static bool same_name(const char *a, const char *b)
{
	return str_eq_nocase(str_of(a), str_of(b));
}

/* "3 1 1 00ff…" */
static void put_tlsa(struct buf *b, struct str data)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t number;

	for (int i = 0; i < 3; i++) {
		ASSERT(str_u64(str_cut(&data, ' '), UINT8_MAX, &number));
		(void)buf_putc(b, (char)number);
	}
	for (size_t i = 0; i + 1 < data.n; i += 2)
		(void)buf_putc(b, (char)((strchr(digits, data.p[i]) - digits) << 4 |
					 (strchr(digits, data.p[i + 1]) - digits)));
}

static void put_data(struct buf *b, const struct fake_dns_row *row)
{
	struct str data = str_of(row->data);
	struct ipaddr ip;
	uint64_t preference = 0;

	if (strcmp(row->type, "TLSA") == 0) {
		put_tlsa(b, data);
	} else if (row->type[0] == 'T') {
		while (data.n > 0) {
			struct str piece = str_cut(&data, '|');
			(void)buf_putc(b, (char)piece.n);
			(void)buf_put_str(b, piece);
		}
	} else if (row->type[0] == 'A') {
		ASSERT(ipaddr_parse(data, &ip));
		if (row->type[1] == '\0')
			(void)buf_put(b, ip.b + 12, 4);
		else
			(void)buf_put(b, ip.b, 16);
	} else {
		if (row->type[0] == 'M') {
			ASSERT(str_u64(str_cut(&data, ' '), UINT16_MAX, &preference));
			put16(b, (unsigned)preference);
		}
		put_name(b, data);
	}
}

static void put_record(struct reply *r, const struct fake_dns_row *row)
{
	AUTO_BUF data = BUF_INIT(8192);
	unsigned ttl = row->ttl_s != 0 ? row->ttl_s : DEFAULT_TTL;

	put_data(&data, row);
	put_name(r->out, r->other_owner ? STR("other.test") : str_of(row->name));
	put16(r->out, type_number(row->type));
	put16(r->out, 1);
	put16(r->out, ttl >> 16);
	put16(r->out, ttl & 0xffff);
	put16(r->out, (unsigned)data.n);
	(void)buf_put_str(r->out, buf_str(&data));
	r->records++;
}

/* The records of a type at a name, along its aliases; false when no row has the name. */
static bool put_records(struct fake_dns *f, const char *name, unsigned type, unsigned depth,
			struct reply *r)
{
	const char *target = NULL;
	bool exists = false;

	for (size_t i = 0; i < f->rows_n; i++) {
		const struct fake_dns_row *row = &f->rows[i];
		if (!same_name(row->name, name))
			continue;
		exists = true;
		if (type_number(row->type) == type || type_number(row->type) == TYPE_CNAME)
			r->insecure |= !row->secure;
		if (row->data == NULL ||
		    (type_number(row->type) != type && type_number(row->type) != TYPE_CNAME))
			continue;
		put_record(r, row);
		if (type_number(row->type) == TYPE_CNAME)
			target = row->data;
	}
	if (target != NULL && !r->alias_alone && depth < ALIASES_MAX)
		exists = put_records(f, target, type, depth + 1, r);
	return exists;
}

static enum fake_dns_act act_of(const struct fake_dns *f, const struct question *q)
{
	for (size_t i = 0; i < f->rows_n; i++) {
		const struct fake_dns_row *row = &f->rows[i];
		if (row->act != FAKE_DNS_RECORD && same_name(row->name, q->name) &&
		    (row->type == NULL || type_number(row->type) == q->type))
			return row->act;
	}
	return FAKE_DNS_RECORD;
}

static void count(struct fake_dns *f, const char *name)
{
	struct asked *a;

	STAILQ_FOREACH (a, &f->asked, next)
		if (same_name(a->name, name))
			break;
	if (a == NULL) {
		a = xcalloc(1, sizeof(*a) + strlen(name) + 1);
		memcpy(a->name, name, strlen(name) + 1);
		STAILQ_INSERT_TAIL(&f->asked, a, next);
	}
	a->n++;
}

/* The message of an answer, begun with the question as it came. */
static void compose(struct fake_dns *f, const uint8_t *p, const struct question *q,
		    enum fake_dns_act act, bool udp, struct buf *out)
{
	struct reply r = { .out = out,
			   .alias_alone = act == FAKE_DNS_ALIAS_ALONE,
			   .other_owner = act == FAKE_DNS_OTHER_OWNER };
	unsigned flags = FLAGS;

	(void)buf_put(out, p, 2);
	(void)buf_put(out, "\0\0\0\1\0\0\0\0\0\0", 10);
	(void)buf_put(out, p + HEADER_LEN, q->n);
	if (act == FAKE_DNS_TRUNCATE && udp) {
		flags |= FLAG_TC;
	} else if (act == FAKE_DNS_GARBAGE) {
		(void)buf_put(out, "\xc0\xff\xff\xff\x00\x0f", 6);
		r.records = 1;
	} else if (act == FAKE_DNS_SERVFAIL) {
		flags |= RCODE_SERVFAIL;
	} else if (act == FAKE_DNS_NO_EDNS && p[11] != 0) {
		flags |= RCODE_FORMERR;
	} else if (act == FAKE_DNS_REFUSED) {
		flags |= RCODE_REFUSED;
	} else if (act == FAKE_DNS_NXDOMAIN || !put_records(f, q->name, q->type, 0, &r)) {
		flags |= RCODE_NXDOMAIN;
	}
	if (!r.insecure && (flags & 0xfu) == RCODE_OK && (p[3] & FLAG_AD) != 0)
		flags |= FLAG_AD;
	out->p[2] = (char)(flags >> 8);
	out->p[3] = (char)(flags & 0xff);
	out->p[6] = (char)(r.records >> 8);
	out->p[7] = (char)(r.records & 0xff);
}

typedef void send_fn(struct fake_dns *f, const struct buf *message, void *to);

static void reply(struct fake_dns *f, const uint8_t *p, size_t n, bool udp, send_fn *fn, void *to)
{
	AUTO_BUF out = BUF_INIT(MESSAGE_MAX);
	struct question q;
	enum fake_dns_act act;

	if (n < HEADER_LEN || !read_question(p, n, &q))
		return;
	act = act_of(f, &q);
	if (act == FAKE_DNS_SILENT)
		return;
	compose(f, p, &q, act, udp, &out);
	if (act == FAKE_DNS_WRONG_ID || act == FAKE_DNS_WRONG_QUESTION) {
		size_t at = act == FAKE_DNS_WRONG_ID ? 1 : HEADER_LEN + 1;
		out.p[at] ^= 1;
		fn(f, &out, to);
		out.p[at] ^= 1;
	}
	fn(f, &out, to);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static void send_udp(struct fake_dns *f, const struct buf *message, void *to)
{
	(void)sendto(f->udp, message->p, message->n, 0, to, sizeof(struct sockaddr_in));
}

static void send_tcp(struct fake_dns *f, const struct buf *message, void *to)
{
	char head[2] = { (char)(message->n >> 8), (char)(message->n & 0xff) };

	(void)f;
	(void)stream_write(to, head, sizeof(head));
	(void)stream_write(to, message->p, message->n);
}

static void count_question(struct fake_dns *f, const uint8_t *p, size_t n)
{
	struct question q;

	if (n >= HEADER_LEN && read_question(p, n, &q))
		count(f, q.name);
}

static void keep(struct fake_dns *f, const struct held *h)
{
	struct held *copy = xmalloc(sizeof(*copy));

	*copy = *h;
	STAILQ_INSERT_TAIL(&f->held, copy, next);
}

static void on_udp(int fd, unsigned what, void *arg)
{
	struct fake_dns *f = arg;
	struct held h;

	(void)what;
	for (;;) {
		socklen_t len = sizeof(h.from);
		ssize_t n = recvfrom(fd, h.p, sizeof(h.p), MSG_DONTWAIT, (struct sockaddr *)&h.from,
				     &len);
		if (n < 0)
			return;
		h.n = (size_t)n;
		count_question(f, h.p, h.n);
		if (f->hold)
			keep(f, &h);
		else
			reply(f, h.p, h.n, true, send_udp, &h.from);
	}
}

static size_t on_tcp_data(void *arg, struct str in)
{
	struct connection *c = arg;
	size_t used = 0;

	while (in.n - used >= 2) {
		const uint8_t *p = (const uint8_t *)in.p + used;
		size_t n = (size_t)(p[0] << 8 | p[1]);
		if (in.n - used < n + 2)
			break;
		count_question(c->server, p + 2, n);
		c->server->tcp_n++;
		reply(c->server, p + 2, n, false, send_tcp, c->stream);
		used += n + 2;
	}
	return used;
}

static void on_tcp_closed(void *arg, const struct err *err)
{
	struct connection *c = arg;

	(void)err;
	LIST_REMOVE(c, next);
	stream_free(&c->stream);
	free(c);
}

static const struct stream_ops tcp_ops = {
	.name = "fake_dns",
	.on_data = on_tcp_data,
	.on_closed = on_tcp_closed,
};

static bool on_tcp(int fd, const struct netaddr *peer, void *arg)
{
	struct fake_dns *f = arg;
	struct connection *c = xcalloc(1, sizeof(*c));

	(void)peer;
	c->server = f;
	c->stream = stream_new(f->loop, fd, &tcp_ops, c);
	LIST_INSERT_HEAD(&f->connections, c, next);
	return true;
}

/* TCP takes a free port, UDP the same one, when it is free there too. */
static bool open_sockets(struct fake_dns *f)
{
	struct netaddr at;
	struct sockaddr_storage sa;
	socklen_t len;

	if (netaddr_parse(STR("127.0.0.1:0"), &at, NULL) < 0 ||
	    listener_new(f->loop, &at, on_tcp, f, &f->listener, NULL) < 0)
		return false;
	at = listener_address(f->listener);
	len = netaddr_sockaddr(&at, &sa);
	f->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->udp >= 0 && bind(f->udp, (struct sockaddr *)&sa, len) == 0) {
		netaddr_text(&at, f->address);
		return true;
	}
	(void)close(f->udp);
	listener_free(&f->listener);
	return false;
}

struct fake_dns *fake_dns_new(struct loop *l, const struct fake_dns_row *rows, size_t n)
{
	struct fake_dns *f = xcalloc(1, sizeof(*f));
	int tries = PORT_TRIES;

	f->loop = l;
	LIST_INIT(&f->connections);
	STAILQ_INIT(&f->asked);
	STAILQ_INIT(&f->held);
	fake_dns_rows(f, rows, n);
	while (!open_sockets(f))
		ASSERT(--tries > 0);
	f->watch = loop_fd_new(l, "fake_dns", f->udp, LOOP_READ, on_udp, f);
	return f;
}

void fake_dns_free(struct fake_dns **fp)
{
	struct fake_dns *f = *fp;
	struct connection *c;
	struct asked *a;
	struct held *h;

	if (f == NULL)
		return;
	while ((c = LIST_FIRST(&f->connections)) != NULL) {
		LIST_REMOVE(c, next);
		stream_free(&c->stream);
		free(c);
	}
	while ((a = STAILQ_FIRST(&f->asked)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->asked, next);
		free(a);
	}
	while ((h = STAILQ_FIRST(&f->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->held, next);
		free(h);
	}
	listener_free(&f->listener);
	loop_fd_free(&f->watch);
	(void)close(f->udp);
	free(f);
	*fp = NULL;
}

void fake_dns_rows(struct fake_dns *f, const struct fake_dns_row *rows, size_t n)
{
	f->rows = rows;
	f->rows_n = n;
}

const char *fake_dns_address(const struct fake_dns *f)
{
	return f->address;
}

unsigned fake_dns_asked(const struct fake_dns *f, const char *name)
{
	const struct asked *a;
	unsigned n = 0;

	STAILQ_FOREACH (a, &f->asked, next)
		if (name == NULL || same_name(a->name, name))
			n += a->n;
	return n;
}

unsigned fake_dns_asked_tcp(const struct fake_dns *f)
{
	return f->tcp_n;
}

void fake_dns_hold(struct fake_dns *f, bool hold)
{
	struct held *h;

	f->hold = hold;
	while (!hold && (h = STAILQ_FIRST(&f->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->held, next);
		reply(f, h->p, h->n, true, send_udp, &h->from);
		free(h);
	}
}
