/*
 * A site that is down has no listener, so that a connection to it is refused as in the real world.
 */
#include "world/receiver.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "world/session.h"

#define LISTEN_BACKLOG 256
#define PORT_TRIES 30
#define DOOR_MAGIC 0x3071d001u

struct guest {
	struct session *session;
	LIST_ENTRY(guest) next;
};

/* One site's listener. */
struct door {
	uint32_t magic;
	struct receiver *receiver;
	enum site_id site;
	struct evconnlistener *listener; /* NULL while down */
	LIST_HEAD(, guest) guests;
};

struct receiver {
	struct world *world;
	size_t sessions;
	struct door doors[SITE__COUNT];
};

static void on_session_end(struct session *s, enum site_id site, void *arg)
{
	struct door *d = OBJ(door, DOOR_MAGIC, arg);
	struct guest *g;

	ASSERT(d->site == site);
	LIST_FOREACH (g, &d->guests, next) {
		if (g->session != s)
			continue;
		LIST_REMOVE(g, next);
		free(g);
		d->receiver->sessions--;
		return;
	}
	BUG("a session ended that was not there");
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len,
		      void *arg)
{
	struct door *d = OBJ(door, DOOR_MAGIC, arg);
	char client[INET6_ADDRSTRLEN] = "";

	(void)l;
	(void)len;
	loop_clock_refresh(d->receiver->world->loop);
	if (d->receiver->sessions >= SESSIONS_MAX) {
		close(fd);
		return;
	}
	if (addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)addr)->sin6_addr, client,
			  sizeof(client));
	else
		inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)addr)->sin_addr, client,
			  sizeof(client));
	struct guest *g = xcalloc(1, sizeof(*g));
	LIST_INSERT_HEAD(&d->guests, g, next);
	d->receiver->sessions++;
	g->session = session_new(d->receiver->world, d->site, fd, client, on_session_end, d);
}

static int door_open(struct door *d, uint16_t port, struct err *err)
{
	struct world *w = d->receiver->world;
	struct sockaddr_storage addr;
	socklen_t len = site_sockaddr(&w->sites[d->site], port, &addr);

	d->listener = evconnlistener_new_bind(
		loop_base(w->loop), on_accept, d, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
		LISTEN_BACKLOG, (struct sockaddr *)(void *)&addr, (int)len);
	if (d->listener == NULL)
		return err_sys(err, EVUTIL_SOCKET_ERROR(), "listening on %s port %u",
			       w->sites[d->site].address, (unsigned)port);
	return 0;
}

static void door_close(struct door *d)
{
	struct guest *g;

	if (d->listener != NULL)
		evconnlistener_free(d->listener);
	d->listener = NULL;
	while ((g = LIST_FIRST(&d->guests)) != NULL) {
		LIST_REMOVE(g, next);
		session_free(&g->session);
		free(g);
		d->receiver->sessions--;
	}
}

int receiver_update(struct receiver *r, struct err *err)
{
	for (size_t i = 0; i < SITE__COUNT; i++) {
		struct door *d = &r->doors[i];
		bool down = site_is_down(r->world, d->site);

		if (down)
			door_close(d);
		else if (d->listener == NULL && door_open(d, r->world->smtp_port, err) < 0)
			return -err->code;
	}
	return 0;
}

/* The port that the first open listener got from the kernel. */
static uint16_t port_of(const struct door *d)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getsockname(evconnlistener_get_fd(d->listener), (struct sockaddr *)(void *)&addr,
			&len) < 0)
		return 0;
	return ntohs(((struct sockaddr_in *)(void *)&addr)->sin_port);
}

/* IPv6 may be missing on the machine: that site is left out then. */
static int open_all(struct receiver *r, uint16_t port, struct err *err)
{
	for (size_t i = 0; i < SITE__COUNT; i++) {
		struct door *d = &r->doors[i];

		if (port != 0 && site_is_down(r->world, d->site))
			continue;
		if (door_open(d, port, err) < 0) {
			if (strchr(r->world->sites[i].address, ':') != NULL)
				continue;
			return -err->code;
		}
		if (port == 0)
			port = port_of(d);
	}
	r->world->smtp_port = port;
	return 0;
}

int receiver_start(struct world *w, uint16_t port, struct receiver **ret, struct err *err)
{
	struct receiver *r = xcalloc(1, sizeof(*r));
	int rc = -1;

	r->world = w;
	for (size_t i = 0; i < SITE__COUNT; i++) {
		r->doors[i] = (struct door){ .magic = DOOR_MAGIC,
					     .receiver = r,
					     .site = (enum site_id)i };
		LIST_INIT(&r->doors[i].guests);
	}
	for (int tries = port != 0 ? 1 : PORT_TRIES; tries > 0 && rc < 0; tries--) {
		rc = open_all(r, port, err);
		for (size_t i = 0; rc < 0 && i < SITE__COUNT; i++)
			door_close(&r->doors[i]);
	}
	if (rc < 0) {
		receiver_free(&r);
		return -err->code;
	}
	*ret = r;
	return 0;
}

void receiver_free(struct receiver **rp)
{
	struct receiver *r = rp != NULL ? *rp : NULL;

	if (r == NULL)
		return;
	for (size_t i = 0; i < SITE__COUNT; i++)
		door_close(&r->doors[i]);
	free(r);
	*rp = NULL;
}
