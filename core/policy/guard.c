/*
 * Entries stand in a tree by address and in a list by the time of their last failure, the latest
 * first; what is quiet is thrown away from the list's end whenever somebody fails.
 */
#include "policy/guard.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"

#define BITS_V6 64
#define BITS_ALL 128
#define MINUTE INT64_C(60000)
#define TIDY_AT_ONCE 64

struct node {
	RB_ENTRY(node) link;
	TAILQ_ENTRY(node) turn;
	struct guard_entry e;
};
RB_HEAD(guard_tree, node);
TAILQ_HEAD(guard_list, node);

struct guard {
	struct guard_config conf;
	struct guard_tree tree;
	struct guard_list latest;
	size_t n;
};

static int node_cmp(const struct node *a, const struct node *b)
{
	return memcmp(a->e.net.addr.b, b->e.net.addr.b, sizeof(a->e.net.addr.b));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
RB_GENERATE_INTERNAL(guard_tree, node, link, node_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

struct guard *guard_new(const struct guard_config *conf)
{
	struct guard *g = xcalloc(1, sizeof(*g));

	g->conf = *conf;
	if (g->conf.failures_max == 0)
		g->conf.failures_max = 10;
	if (g->conf.block_ms == 0)
		g->conf.block_ms = 15 * MINUTE;
	if (g->conf.quiet_ms == 0)
		g->conf.quiet_ms = 30 * MINUTE;
	RB_INIT(&g->tree);
	TAILQ_INIT(&g->latest);
	return g;
}

static void forget(struct guard *g, struct node *n)
{
	RB_REMOVE(guard_tree, &g->tree, n);
	TAILQ_REMOVE(&g->latest, n, turn);
	g->n--;
	free(n);
}

void guard_free(struct guard **gp)
{
	struct node *n;

	if (gp == NULL || *gp == NULL)
		return;
	while ((n = TAILQ_FIRST(&(*gp)->latest)) != NULL)
		forget(*gp, n);
	free(*gp);
	*gp = NULL;
}

static struct ipnet net_of(const struct ipaddr *client)
{
	struct ipnet net = { .addr = *client, .bits = BITS_ALL };

	if (ipaddr_is_v4(client))
		return net;
	net.bits = BITS_V6;
	memset(net.addr.b + BITS_V6 / 8, 0, sizeof(net.addr.b) - BITS_V6 / 8);
	return net;
}

static struct node *find(struct guard *g, const struct ipnet *net)
{
	struct node probe = { .e.net = *net };

	return RB_FIND(guard_tree, &g->tree, &probe);
}

static bool is_quiet(const struct guard *g, const struct guard_entry *e, int64_t now_ms)
{
	int64_t from = e->until_ms > e->last_ms ? e->until_ms : e->last_ms;

	return from + g->conf.quiet_ms <= now_ms;
}

static void tidy(struct guard *g, int64_t now_ms)
{
	struct node *n;

	for (int i = 0; i < TIDY_AT_ONCE; i++) {
		n = TAILQ_LAST(&g->latest, guard_list);
		if (n == NULL || (!is_quiet(g, &n->e, now_ms) && g->n < GUARD_MAX))
			return;
		forget(g, n);
	}
}

static struct node *add(struct guard *g, const struct ipnet *net)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->e.net = *net;
	RB_INSERT(guard_tree, &g->tree, n);
	TAILQ_INSERT_HEAD(&g->latest, n, turn);
	g->n++;
	return n;
}

static void count(const struct guard *g, struct guard_entry *e, int64_t now_ms)
{
	unsigned doubled;

	if (e->failures == 0)
		e->first_ms = now_ms;
	e->failures++;
	e->last_ms = now_ms;
	/* after a block a single further failure brings the next one */
	if (e->failures < g->conf.failures_max || e->until_ms > now_ms)
		return;
	doubled = e->blocks < GUARD_BLOCK_TOP ? e->blocks : GUARD_BLOCK_TOP;
	e->until_ms = now_ms + (g->conf.block_ms << doubled);
	e->blocks++;
}

int64_t guard_failed(struct guard *g, const struct ipaddr *client, int64_t now_ms)
{
	struct ipnet net = net_of(client);
	struct node *n;
	unsigned doubled;
	int64_t delay;

	tidy(g, now_ms);
	n = find(g, &net);
	if (n == NULL) {
		n = add(g, &net);
	} else {
		if (is_quiet(g, &n->e, now_ms))
			n->e = (struct guard_entry){ .net = net };
		TAILQ_REMOVE(&g->latest, n, turn);
		TAILQ_INSERT_HEAD(&g->latest, n, turn);
	}
	count(g, &n->e, now_ms);
	doubled = n->e.failures - 1 < 10 ? n->e.failures - 1 : 10;
	delay = (int64_t)GUARD_DELAY_MS << doubled;
	return delay < GUARD_DELAY_MAX_MS ? delay : GUARD_DELAY_MAX_MS;
}

int64_t guard_blocked(struct guard *g, const struct ipaddr *client, int64_t now_ms)
{
	struct ipnet net = net_of(client);
	const struct node *n = find(g, &net);

	return n != NULL && n->e.until_ms > now_ms ? n->e.until_ms : 0;
}

size_t guard_forgive(struct guard *g, const struct ipnet *net)
{
	struct node *n = TAILQ_FIRST(&g->latest);
	size_t forgiven = 0;

	while (n != NULL) {
		struct node *next = TAILQ_NEXT(n, turn);
		/* of IPv6, one address stands for its /64 */
		if (ipnet_covers(net, &n->e.net) || ipnet_covers(&n->e.net, net)) {
			forget(g, n);
			forgiven++;
		}
		n = next;
	}
	return forgiven;
}

size_t guard_list(struct guard *g, int64_t now_ms, const struct guard_entry **ret, size_t n)
{
	const struct node *x;
	size_t got = 0;

	TAILQ_FOREACH (x, &g->latest, turn)
		if (got < n && !is_quiet(g, &x->e, now_ms))
			ret[got++] = &x->e;
	return got;
}

size_t guard_blocked_n(struct guard *g, int64_t now_ms)
{
	const struct node *x;
	size_t n = 0;

	TAILQ_FOREACH (x, &g->latest, turn)
		n += x->e.until_ms > now_ms;
	return n;
}
