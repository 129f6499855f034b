/*
 * Connections from a load balancer, before they are anybody's: its header says whose they are
 * (net/proxy_header.h). It is read without taking a byte of what follows, which may be TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/proxy_header.h"
#include "smtpin/smtpin_int.h"

#define HEADER_MS 5000 /* to send the header */

struct smtpin_arrival {
	uint32_t magic;
	struct smtpin *in;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *late;
	struct ipaddr balancer;
	const struct smtpin_rules *rules;
	uint8_t header[PROXY_HEADER_MAX];
	size_t n;
	TAILQ_ENTRY(smtpin_arrival) next;
};

/* Leaves the descriptor to whoever calls. */
static void forget(struct smtpin_arrival *a)
{
	TAILQ_REMOVE(&a->in->arrivals, a, next);
	a->in->n_arrivals--;
	loop_fd_free(&a->watch);
	loop_timer_free(&a->late);
	a->magic = 0;
	free(a);
}

static void turn_away(struct smtpin_arrival *a, const char *why)
{
	char ip[IPADDR_TEXT_LEN];

	a->in->stats.connections_refused++;
	if (log_limited("smtpin.proxy")) {
		ipaddr_text(&a->balancer, ip);
		log_warn(NULL, "smtpin.proxy", F_STR("balancer", ip), F_STR("error", why));
	}
	(void)close(a->fd);
	forget(a);
}

static void on_late(void *arg)
{
	turn_away(OBJ(smtpin_arrival, SMTPIN_ARRIVAL_MAGIC, arg), "no PROXY header in time");
}

static void serve(struct smtpin_arrival *a, const struct proxy_header *h)
{
	struct smtpin *in = a->in;
	const struct smtpin_rules *rules = a->rules;
	struct ipaddr client = h->named ? h->client.ip : a->balancer;
	int fd = a->fd;

	forget(a);
	smtpin_admit(in, fd, &client, rules, h->named);
}

static void on_readable(int fd, unsigned what, void *arg)
{
	struct smtpin_arrival *a = OBJ(smtpin_arrival, SMTPIN_ARRIVAL_MAGIC, arg);
	struct proxy_header h;
	enum proxy_result result;
	size_t used = 0;
	size_t more;
	ssize_t n = recv(fd, a->header + a->n, sizeof(a->header) - a->n, MSG_PEEK);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		/* health checks come and go like that */
		(void)close(a->fd);
		forget(a);
		return;
	}
	result = proxy_header_parse(a->header, a->n + (size_t)n, &h, &used);
	more = result == PROXY_DONE ? used - a->n : (size_t)n;
	/* what was looked at is there: this takes it */
	if (recv(fd, a->header + a->n, more, 0) != (ssize_t)more)
		result = PROXY_WRONG;
	a->n += more;
	if (result == PROXY_DONE)
		serve(a, &h);
	else if (result == PROXY_WRONG || a->n == sizeof(a->header))
		turn_away(a, "that is no PROXY header");
}

bool proxy_trusts(const struct smtpin_rules *rules, const struct ipaddr *client)
{
	for (size_t i = 0; i < rules->n_proxies; i++)
		if (ipnet_has(&rules->proxies[i], client))
			return true;
	return false;
}

void proxy_arrives(struct smtpin *in, int fd, const struct ipaddr *balancer,
		   const struct smtpin_rules *rules)
{
	struct smtpin_arrival *a = xcalloc(1, sizeof(*a));

	a->magic = SMTPIN_ARRIVAL_MAGIC;
	a->in = in;
	a->fd = fd;
	a->balancer = *balancer;
	a->rules = rules;
	TAILQ_INSERT_TAIL(&in->arrivals, a, next);
	in->n_arrivals++;
	a->late = loop_timer_new(in->loop, "smtpin.proxy", on_late, a);
	a->watch = loop_fd_new(in->loop, "smtpin.proxy", fd, LOOP_READ, on_readable, a);
	loop_timer_set(a->late, HEADER_MS);
}

void proxy_drop_all(struct smtpin *in)
{
	struct smtpin_arrival *a;

	while ((a = TAILQ_FIRST(&in->arrivals)) != NULL) {
		(void)close(a->fd);
		forget(a);
	}
}
