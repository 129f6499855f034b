/*
 * c-ares asks, waits and repeats; this file gives it descriptors and time from the loop, and turns
 * its answers into ours.
 *
 *	WAITING   in d->waiting: DNS_ACTIVE_MAX others are with the servers
 *	ACTIVE    c-ares has it; on_ares() follows, sometimes from inside ares_query()
 *	DONE      in d->done: on_turn() calls back, outside of c-ares and of our callers
 *
 * What ends in on_ares() waits for a timer of zero, so that nobody is called back from inside a
 * call of theirs, and c-ares never sees its channel change under its own loops. The place of a
 * question that ended is filled there too.
 *
 * ARES_FLAG_NOCHECKRESP makes c-ares hand over what a server says when it fails; without it every
 * failure is "could not contact", but the next server is tried. So there is a second channel
 * without the flag, for what the first one got a failure for, when there is more than one server.
 *
 * c-ares' own questions have no AD bit, without which a server need not say what is secure: ours
 * are made here and sent as they are, and the code of the answer is looked at here. A server that
 * does not know EDNS says FORMERR; c-ares asks it again without, but only the first time.
 *
 * c-ares keeps time by itself (it does not know loop_fake_clock()).
 */
#include "net/dns.h"

#include <ares.h>
#include <bsd/sys/tree.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/dns_parse.h"
#include "net/netaddr.h"

#define DNS_MAGIC 0xd5000001u
#define DNS_CHANNEL_MAGIC 0xd5000002u
#define DNS_QUERY_MAGIC 0xd5000003u
#define BATCH 64		    /* callbacks in one wake-up */
#define EDNS_SIZE 1232		    /* what passes everywhere without fragments */
#define RECEIVE_BUFFER (512 * 1024) /* DNS_ACTIVE_MAX answers fit, as the kernel counts them */
#define CSV_MAX 8192
#define CLASS_IN 1
#define HEADER_LEN 12
#define FLAG_AD 0x20 /* in the header's fourth byte */
#define NONSENSE "the name server's answer makes no sense"
#define NOWHERE "its aliases (CNAME) lead nowhere"

struct watch {
	LIST_ENTRY(watch) next;
	struct channel *channel;
	struct loop_fd *fd;
	int number;
};

struct channel {
	uint32_t magic;
	struct dns *dns;
	ares_channel ares;
	bool no_edns; /* its servers do not know it */
	LIST_HEAD(, watch) watches;
};

struct query {
	uint32_t magic;
	struct dns *dns;
	uint64_t id;
	char *name;
	enum dns_type type;
	dns_fn *fn; /* NULL: cancelled */
	void *arg;
	bool waits;	     /* in d->waiting */
	bool again;	     /* at the other servers */
	bool edns;	     /* the last time it was asked */
	bool secure;	     /* every answer so far was */
	const char *trouble; /* what the first one said then */
	unsigned aliases;    /* followed in earlier answers */
	uint32_t ttl_s;
	enum dns_status status;
	struct dns_parsed parsed;
	RB_ENTRY(query) node;
	TAILQ_ENTRY(query) next; /* waiting, done */
};
RB_HEAD(query_tree, query);
TAILQ_HEAD(query_list, query);

struct dns {
	uint32_t magic;
	struct loop *loop;
	struct channel first;
	struct channel others; /* ares is NULL with one server */
	int64_t timeout_ms;
	bool trusts;
	struct loop_timer *repeat; /* c-ares' timeouts */
	int64_t repeat_ms;	   /* when */
	struct loop_timer *turn;
	struct query_tree queries;
	struct query_list waiting;
	struct query_list done;
	size_t waiting_n;
	size_t active_n;
	uint64_t last_id;
	bool freeing;
};

static int query_cmp(const struct query *a, const struct query *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(query_tree, query, node, query_cmp, static __attribute__((unused)))

/* --- c-ares' descriptors and time ------------------------------------------------------------- */

static void arm(struct dns *d, int64_t after_ms)
{
	int64_t at = loop_now_ms(d->loop) + after_ms;

	if (loop_timer_pending(d->repeat) && d->repeat_ms <= at)
		return;
	d->repeat_ms = at;
	loop_timer_set(d->repeat, after_ms);
}

static void arm_channel(struct dns *d, const struct channel *c)
{
	struct timeval tv;

	if (c->ares != NULL && ares_timeout(c->ares, NULL, &tv) != NULL)
		arm(d, (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void on_repeat(void *arg)
{
	struct dns *d = OBJ(dns, DNS_MAGIC, arg);

	ares_process_fd(d->first.ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (d->others.ares != NULL)
		ares_process_fd(d->others.ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_channel(d, &d->first);
	arm_channel(d, &d->others);
}

static void on_fd(int fd, unsigned what, void *arg)
{
	struct channel *c = OBJ(channel, DNS_CHANNEL_MAGIC, arg);

	ares_process_fd(c->ares, (what & LOOP_READ) != 0 ? fd : ARES_SOCKET_BAD,
			(what & LOOP_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
}

static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = OBJ(channel, DNS_CHANNEL_MAGIC, arg);
	unsigned what = (readable != 0 ? LOOP_READ : 0) | (writable != 0 ? LOOP_WRITE : 0);
	struct watch *w;

	LIST_FOREACH (w, &c->watches, next)
		if (w->number == fd)
			break;
	if (w == NULL && what != 0) {
		w = xcalloc(1, sizeof(*w));
		w->number = fd;
		w->fd = loop_fd_new(c->dns->loop, "dns", fd, what, on_fd, c);
		LIST_INSERT_HEAD(&c->watches, w, next);
	} else if (w != NULL && what != 0) {
		loop_fd_want(w->fd, what);
	} else if (w != NULL) {
		LIST_REMOVE(w, next);
		loop_fd_free(&w->fd);
		free(w);
	}
}

/* --- answers ---------------------------------------------------------------------------------- */

static void done(struct query *q, enum dns_status status, const char *trouble)
{
	struct dns *d = q->dns;

	q->status = status;
	q->trouble = trouble;
	TAILQ_INSERT_TAIL(&d->done, q, next);
	if (!loop_timer_pending(d->turn))
		loop_timer_set(d->turn, 0);
}

/* What c-ares says about a question without an answer, or NULL for one that has it. */
static const char *trouble_of(int ares_status)
{
	switch (ares_status) {
	case ARES_SUCCESS:
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return NULL;
	case ARES_ESERVFAIL:
		return "the name server failed (SERVFAIL)";
	case ARES_EREFUSED:
		return "the name server refused (REFUSED)";
	case ARES_EFORMERR:
		return "the name server did not understand the question (FORMERR)";
	case ARES_ENOTIMP:
		return "the name server does not know such questions (NOTIMP)";
	case ARES_ETIMEOUT:
		return "no name server answered in time";
	case ARES_ECONNREFUSED:
		return "no name server can be reached";
	default:
		return NONSENSE;
	}
}

static bool other_may_know(int ares_status)
{
	return ares_status == ARES_ESERVFAIL || ares_status == ARES_EREFUSED ||
	       ares_status == ARES_EFORMERR || ares_status == ARES_ENOTIMP;
}

static void send_query(struct query *q);

/* An answer with something in it: records, or the way to them. */
static void on_records(struct query *q, const uint8_t *p, size_t n)
{
	int rc = dns_parse(p, n, q->name, q->type, &q->parsed, NULL);

	if (rc < 0) {
		done(q, DNS_TROUBLE, rc == -ERR_LIMIT ? NOWHERE : NONSENSE);
		return;
	}
	q->aliases += q->parsed.aliases;
	if (q->parsed.ttl_s < q->ttl_s)
		q->ttl_s = q->parsed.ttl_s;
	if (q->parsed.records_n > 0) {
		done(q, DNS_OK, "");
	} else if (q->parsed.aliases == 0) {
		done(q, DNS_NODATA, "");
	} else if (q->aliases > DNS_ALIASES_MAX) {
		done(q, DNS_TROUBLE, NOWHERE);
	} else {
		/* The end of the chain was left to us, or has nothing: asked for by itself. */
		free(q->name);
		q->name = xstrdup(q->parsed.name);
		dns_parsed_done(&q->parsed);
		send_query(q);
	}
}

/* What an answer says, as c-ares names it. */
static int status_of(const uint8_t *p, size_t n)
{
	static const int of_code[16] = { [1] = ARES_EFORMERR,
					 [2] = ARES_ESERVFAIL,
					 [3] = ARES_ENOTFOUND,
					 [4] = ARES_ENOTIMP,
					 [5] = ARES_EREFUSED };
	unsigned code;

	if (p == NULL || n < HEADER_LEN)
		return ARES_EBADRESP;
	code = p[3] & 0xfu;
	if (code == 0)
		return p[6] == 0 && p[7] == 0 ? ARES_ENODATA : ARES_SUCCESS;
	return of_code[code] != 0 ? of_code[code] : ARES_EBADRESP;
}

static void on_ares(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct query *q = OBJ(query, DNS_QUERY_MAGIC, arg);
	struct dns *d = q->dns;
	struct channel *c = q->again ? &d->others : &d->first;
	const char *trouble;

	(void)timeouts;
	if (d->freeing)
		return;
	d->active_n--;
	if (status == ARES_SUCCESS)
		status = status_of(p, n < 0 ? 0 : (size_t)n);
	/* without a proper answer there are no flags: nobody vouches for it */
	q->secure &= p != NULL && n >= HEADER_LEN && (p[3] & FLAG_AD) != 0;
	trouble = trouble_of(status);
	if (status == ARES_EFORMERR && q->edns) {
		c->no_edns = true;
		send_query(q);
	} else if (trouble != NULL && other_may_know(status) && !q->again &&
		   d->others.ares != NULL) {
		q->again = true;
		q->trouble = trouble;
		send_query(q);
	} else if (trouble != NULL) {
		done(q, DNS_TROUBLE, q->again ? q->trouble : trouble);
	} else if (status == ARES_SUCCESS && p != NULL && n > 0) {
		on_records(q, p, (size_t)n);
	} else {
		/* EBADNAME: no server is needed to know that there is none of that name. */
		done(q, status == ARES_ENODATA ? DNS_NODATA : DNS_NXDOMAIN, "");
	}
}

static void send_query(struct query *q)
{
	struct dns *d = q->dns;
	struct channel *c = q->again ? &d->others : &d->first;
	unsigned char *p = NULL;
	int n = 0;
	int rc;

	d->active_n++;
	q->edns = !c->no_edns;
	rc = ares_create_query(q->name, CLASS_IN, (int)q->type, (unsigned short)arc4random(), 1, &p,
			       &n, q->edns ? EDNS_SIZE : 0);
	if (rc != ARES_SUCCESS || n < HEADER_LEN) {
		on_ares(q, rc != ARES_SUCCESS ? rc : ARES_EBADNAME, 0, NULL, 0);
	} else {
		if (d->trusts)
			p[3] |= FLAG_AD;
		ares_send(c->ares, p, n, on_ares, q);
		arm(d, d->timeout_ms);
	}
	if (p != NULL)
		ares_free_string(p);
}

static void query_free(struct query *q)
{
	RB_REMOVE(query_tree, &q->dns->queries, q);
	dns_parsed_done(&q->parsed);
	free(q->name);
	q->magic = 0;
	free(q);
}

static void leave_waiting(struct query *q)
{
	TAILQ_REMOVE(&q->dns->waiting, q, next);
	q->waits = false;
	q->dns->waiting_n--;
}

static void answer(struct query *q)
{
	struct dns_answer a = {
		.status = q->status,
		.trouble = q->trouble,
		.secure = q->dns->trusts && q->secure && q->status != DNS_TROUBLE,
		.name = q->parsed.name != NULL ? q->parsed.name : q->name,
		.ttl_s = q->parsed.records_n > 0 ? q->ttl_s : 0,
		.records = q->parsed.records,
		.records_n = q->parsed.records_n,
	};

	if (q->fn != NULL)
		q->fn(q->arg, &a);
	query_free(q);
}

static void on_turn(void *arg)
{
	struct dns *d = OBJ(dns, DNS_MAGIC, arg);
	struct query *q;

	for (unsigned i = 0; i < BATCH && (q = TAILQ_FIRST(&d->done)) != NULL; i++) {
		TAILQ_REMOVE(&d->done, q, next);
		answer(q);
	}
	while (d->active_n < DNS_ACTIVE_MAX && (q = TAILQ_FIRST(&d->waiting)) != NULL) {
		leave_waiting(q);
		send_query(q);
	}
	if (!TAILQ_EMPTY(&d->done))
		loop_timer_set(d->turn, 0);
}

uint64_t dns_ask(struct dns *d, const char *name, enum dns_type type, dns_fn *fn, void *arg)
{
	struct query *q = xcalloc(1, sizeof(*q));

	q->magic = DNS_QUERY_MAGIC;
	q->dns = d;
	q->id = ++d->last_id;
	q->name = xstrdup(name);
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	q->trouble = "";
	q->ttl_s = UINT32_MAX;
	q->secure = true;
	RB_INSERT(query_tree, &d->queries, q);
	if (strlen(name) > DNS_NAME_MAX) {
		q->secure = false; /* nobody was asked */
		done(q, DNS_NXDOMAIN, "");
	} else if (d->active_n < DNS_ACTIVE_MAX) {
		send_query(q);
	} else if (d->waiting_n < DNS_WAITING_MAX) {
		TAILQ_INSERT_TAIL(&d->waiting, q, next);
		q->waits = true;
		d->waiting_n++;
	} else {
		done(q, DNS_TROUBLE, "too many questions wait for the name servers");
	}
	return q->id;
}

/* c-ares cannot forget a single question: what it answers is dropped. */
void dns_cancel(struct dns *d, uint64_t id)
{
	struct query *q = RB_FIND(query_tree, &d->queries, &(struct query){ .id = id });

	if (q == NULL)
		return;
	q->fn = NULL;
	if (q->waits) {
		leave_waiting(q);
		query_free(q);
	}
}

void dns_reverse(const struct ipaddr *a, char ret[static DNS_REVERSE_LEN])
{
	size_t n = 0;

	if (ipaddr_is_v4(a)) {
		(void)snprintf(ret, DNS_REVERSE_LEN, "%u.%u.%u.%u.in-addr.arpa", a->b[15], a->b[14],
			       a->b[13], a->b[12]);
		return;
	}
	for (size_t i = sizeof(a->b); i-- > 0;)
		n += (size_t)snprintf(ret + n, DNS_REVERSE_LEN - n, "%x.%x.", a->b[i] & 15u,
				      (unsigned)a->b[i] >> 4);
	(void)snprintf(ret + n, DNS_REVERSE_LEN - n, "ip6.arpa");
}

/* --- channels --------------------------------------------------------------------------------- */

static int server_list(const struct dns_config *cfg, struct buf *csv, struct err *err)
{
	for (size_t i = 0; i < cfg->servers_n; i++) {
		char text[NETADDR_TEXT_LEN];
		struct netaddr a;
		if (netaddr_parse(str_of(cfg->servers[i]), &a, err) < 0 || a.port == 0)
			return err_set(err, ERR_CONFIG,
				       "'%.80s' is no address of a name server; 127.0.0.1:53 or "
				       "[::1]:53 would be one",
				       cfg->servers[i]);
		netaddr_text(&a, text);
		(void)buf_printf(csv, i == 0 ? "%s" : ",%s", text);
	}
	if (csv->full)
		return err_set(err, ERR_CONFIG, "too many name servers");
	return 0;
}

static int open_channel(struct channel *c, const struct dns_config *cfg, int flags,
			const char *servers, struct err *err)
{
	static char lookups[] = "b"; /* DNS only, no hosts file */
	struct ares_options o = {
		.flags = flags | ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS,
		.timeout = (int)c->dns->timeout_ms,
		.tries = cfg->tries != 0 ? (int)cfg->tries : DNS_TRIES,
		.lookups = lookups,
		.ednspsz = EDNS_SIZE,
		.socket_receive_buffer_size = RECEIVE_BUFFER,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = c,
	};
	int rc = ares_init_options(&c->ares, &o,
				   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					   ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_EDNSPSZ |
					   ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB);

	if (rc != ARES_SUCCESS)
		c->ares = NULL;
	if (rc == ARES_SUCCESS && servers[0] != '\0')
		rc = ares_set_servers_ports_csv(c->ares, servers);
	return rc == ARES_SUCCESS ? 0 : err_set(err, ERR_CONFIG, "DNS: %s", ares_strerror(rc));
}

static bool many_servers(const struct channel *c)
{
	struct ares_addr_port_node *list = NULL;
	bool many = ares_get_servers_ports(c->ares, &list) == ARES_SUCCESS && list != NULL &&
		    list->next != NULL;

	if (list != NULL)
		ares_free_data(list);
	return many;
}

static bool is_loopback(const struct ares_addr_port_node *s)
{
	if (s->family == AF_INET)
		return ntohl(s->addr.addr4.s_addr) >> 24 == 127;
	return s->family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)&s->addr.addr6);
}

static bool all_loopback(const struct channel *c)
{
	struct ares_addr_port_node *list = NULL;
	bool all = ares_get_servers_ports(c->ares, &list) == ARES_SUCCESS && list != NULL;

	for (const struct ares_addr_port_node *s = list; s != NULL; s = s->next)
		all = all && is_loopback(s);
	if (list != NULL)
		ares_free_data(list);
	return all;
}

static bool is_trusted(const struct channel *c, enum dns_trust trust)
{
	switch (trust) {
	case DNS_TRUST_AUTO:
		return all_loopback(c);
	case DNS_TRUST_YES:
		return true;
	case DNS_TRUST_NO:
		break;
	}
	return false;
}

bool dns_trusts(const struct dns *d)
{
	return d->trusts;
}

static void channel_init(struct channel *c, struct dns *d)
{
	c->magic = DNS_CHANNEL_MAGIC;
	c->dns = d;
	LIST_INIT(&c->watches);
}

int dns_new(struct loop *l, const struct dns_config *cfg, struct dns **ret, struct err *err)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	AUTO_BUF csv = BUF_INIT(CSV_MAX);
	int rc = 0;

	d->magic = DNS_MAGIC;
	d->loop = l;
	d->timeout_ms = cfg->timeout_ms != 0 ? cfg->timeout_ms : DNS_TIMEOUT_MS;
	d->repeat = loop_timer_new(l, "dns.repeat", on_repeat, d);
	d->turn = loop_timer_new(l, "dns.turn", on_turn, d);
	RB_INIT(&d->queries);
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->done);
	channel_init(&d->first, d);
	channel_init(&d->others, d);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		BUG("c-ares does not start");
	rc = server_list(cfg, &csv, err);
	if (rc >= 0)
		rc = open_channel(&d->first, cfg, ARES_FLAG_NOCHECKRESP, buf_cstr(&csv), err);
	if (rc >= 0)
		d->trusts = is_trusted(&d->first, cfg->trust);
	if (rc >= 0 && many_servers(&d->first))
		rc = open_channel(&d->others, cfg, 0, buf_cstr(&csv), err);
	if (rc >= 0)
		*ret = d;
	else
		dns_free(&d);
	return rc;
}

void dns_free(struct dns **dp)
{
	struct dns *d = dp != NULL ? *dp : NULL;
	struct query *q;

	if (d == NULL)
		return;
	d->freeing = true;
	if (d->first.ares != NULL)
		ares_destroy(d->first.ares);
	if (d->others.ares != NULL)
		ares_destroy(d->others.ares);
	ares_library_cleanup();
	while ((q = RB_MIN(query_tree, &d->queries)) != NULL)
		query_free(q);
	loop_timer_free(&d->turn);
	loop_timer_free(&d->repeat);
	d->magic = 0;
	free(d);
	*dp = NULL;
}
