/*
 * The sockets around answer.c. TCP has two bytes of length before each message (RFC 1035, 4.2.2).
 */
#include "world/dns.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "world/answer.h"

#define DNS_MAGIC 0x3071d003u
#define DNS_TCP_MAGIC 0x3071d004u
#define DNS_BACKLOG 64
#define DNS_TCP_IDLE_S 10
#define DNS_PORT_TRIES 20
#define DNS_QUERY_MAX 1500
#define DNS_PER_WAKEUP 64

struct dns_tcp {
	uint32_t magic;
	struct dns *dns;
	struct bufferevent *bev;
	LIST_ENTRY(dns_tcp) next;
};

struct dns {
	uint32_t magic;
	struct world *world;
	int udp;
	struct loop_fd *watch;
	struct evconnlistener *listener;
	size_t tcp_n;
	LIST_HEAD(, dns_tcp) tcp;
	struct buf out;
};

static void on_udp(int fd, unsigned what, void *arg)
{
	struct dns *d = OBJ(dns, DNS_MAGIC, arg);
	uint8_t query[DNS_QUERY_MAX];
	struct sockaddr_in from;

	(void)what;
	for (int i = 0; i < DNS_PER_WAKEUP; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, query, sizeof(query), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		buf_reset(&d->out);
		if (answer_query(d->world, query, (size_t)n, true, &d->out))
			(void)sendto(fd, d->out.p, d->out.n, MSG_DONTWAIT, (struct sockaddr *)&from,
				     len);
	}
}

static void tcp_close(struct dns_tcp *t)
{
	LIST_REMOVE(t, next);
	t->dns->tcp_n--;
	bufferevent_free(t->bev);
	free(t);
}

static void on_tcp_read(struct bufferevent *bev, void *arg)
{
	struct dns_tcp *t = OBJ(dns_tcp, DNS_TCP_MAGIC, arg);
	struct evbuffer *in = bufferevent_get_input(bev);
	struct buf *out = &t->dns->out;

	while (evbuffer_get_length(in) >= 2) {
		const uint8_t *p = evbuffer_pullup(in, 2);
		size_t n = (size_t)(p[0] << 8 | p[1]);

		if (evbuffer_get_length(in) < n + 2)
			return;
		p = evbuffer_pullup(in, (ev_ssize_t)n + 2);
		buf_reset(out);
		if (answer_query(t->dns->world, p + 2, n, false, out)) {
			uint8_t head[2] = { (uint8_t)(out->n >> 8), (uint8_t)out->n };

			bufferevent_write(bev, head, sizeof(head));
			bufferevent_write(bev, out->p, out->n);
		}
		evbuffer_drain(in, n + 2);
	}
}

static void on_tcp_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	tcp_close(OBJ(dns_tcp, DNS_TCP_MAGIC, arg));
}

static void on_tcp_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr,
			  int len, void *arg)
{
	struct dns *d = OBJ(dns, DNS_MAGIC, arg);
	struct timeval idle = { .tv_sec = DNS_TCP_IDLE_S };

	(void)l;
	(void)addr;
	(void)len;
	if (d->tcp_n >= DNS_TCP_MAX) {
		close(fd);
		return;
	}
	struct dns_tcp *t = xcalloc(1, sizeof(*t));
	t->magic = DNS_TCP_MAGIC;
	t->dns = d;
	t->bev = bufferevent_socket_new(loop_base(d->world->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	LIST_INSERT_HEAD(&d->tcp, t, next);
	d->tcp_n++;
	bufferevent_setcb(t->bev, on_tcp_read, NULL, on_tcp_event, t);
	bufferevent_set_timeouts(t->bev, &idle, NULL);
	bufferevent_enable(t->bev, EV_READ | EV_WRITE);
}

/* Both sockets on one port; a free one for both is not always the first that the kernel offers. */
static int open_sockets(struct dns *d, uint16_t port, uint16_t *ret_port, struct err *err)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->udp < 0 || bind(d->udp, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockname(d->udp, (struct sockaddr *)&addr, &len) < 0)
		return err_sys(err, errno, "DNS, UDP port %u", (unsigned)port);
	d->listener = evconnlistener_new_bind(loop_base(d->world->loop), on_tcp_accept, d,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE |
						      LEV_OPT_CLOSE_ON_EXEC,
					      DNS_BACKLOG, (struct sockaddr *)&addr, sizeof(addr));
	if (d->listener == NULL)
		return err_sys(err, errno, "DNS, TCP port %u", (unsigned)ntohs(addr.sin_port));
	*ret_port = ntohs(addr.sin_port);
	return 0;
}

int dns_start(struct world *w, uint16_t port, struct dns **ret, uint16_t *ret_port, struct err *err)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	int rc = -1;

	d->magic = DNS_MAGIC;
	d->world = w;
	d->udp = -1;
	d->out = BUF_INIT(DNS_MESSAGE_MAX);
	LIST_INIT(&d->tcp);
	for (int tries = port != 0 ? 1 : DNS_PORT_TRIES; tries > 0; tries--) {
		rc = open_sockets(d, port, ret_port, err);
		if (rc >= 0)
			break;
		if (d->udp >= 0)
			close(d->udp);
		d->udp = -1;
	}
	if (rc < 0) {
		dns_free(&d);
		return rc;
	}
	d->watch = loop_fd_new(w->loop, "world.dns", d->udp, LOOP_READ, on_udp, d);
	*ret = d;
	return 0;
}

void dns_free(struct dns **dp)
{
	struct dns *d = dp != NULL ? *dp : NULL;

	if (d == NULL)
		return;
	while (!LIST_EMPTY(&d->tcp))
		tcp_close(LIST_FIRST(&d->tcp));
	if (d->listener != NULL)
		evconnlistener_free(d->listener);
	loop_fd_free(&d->watch);
	if (d->udp >= 0)
		close(d->udp);
	buf_done(&d->out);
	free(d);
	*dp = NULL;
}
