/*
 * Networks stand in a tree by address and prefix length. An address is looked up once for each
 * prefix length that occurs, the longest first. The order for allow_at() is made when it is asked
 * for, so that loading many entries stays quick.
 */
#include "policy/allow.h"

#include <bsd/sys/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"

#define BITS_MAX 128

struct node {
	RB_ENTRY(node) link;
	TAILQ_ENTRY(node) news;
	bool is_news; /* the store has other counts */
	struct allow_entry e;
};
RB_HEAD(node_tree, node);
TAILQ_HEAD(node_list, node);

struct order {
	struct node **v;
	bool fresh;
};

struct allow {
	struct node_tree tree;
	struct node_list news;
	size_t n;
	size_t with_bits[BITS_MAX + 1]; /* entries of each prefix length */
	size_t authenticating;		/* entries of this mode */
	struct order *order;
};

static const char *const mode_names[ALLOW_MODE__COUNT] = {
	[ALLOW_RELAY] = "relay",
	[ALLOW_AUTHENTICATE] = "authenticate",
};

const char *allow_mode_name(enum allow_mode m)
{
	ASSERT(m < ALLOW_MODE__COUNT);
	return mode_names[m];
}

bool allow_mode_read(const char *name, enum allow_mode *ret)
{
	for (int i = 0; i < ALLOW_MODE__COUNT; i++) {
		if (strcmp(mode_names[i], name) != 0)
			continue;
		*ret = (enum allow_mode)i;
		return true;
	}
	return false;
}

static int node_cmp(const struct node *a, const struct node *b)
{
	int d = memcmp(a->e.net.addr.b, b->e.net.addr.b, sizeof(a->e.net.addr.b));

	if (d != 0)
		return d;
	return (a->e.net.bits > b->e.net.bits) - (a->e.net.bits < b->e.net.bits);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
RB_GENERATE_INTERNAL(node_tree, node, link, node_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

struct allow *allow_new(void)
{
	struct allow *a = xcalloc(1, sizeof(*a));

	RB_INIT(&a->tree);
	TAILQ_INIT(&a->news);
	a->order = xcalloc(1, sizeof(*a->order));
	return a;
}

static void node_free(struct node **np)
{
	free((*np)->e.note);
	free((*np)->e.by);
	free(*np);
	*np = NULL;
}

void allow_free(struct allow **ap)
{
	struct node *n;

	if (ap == NULL || *ap == NULL)
		return;
	while ((n = RB_ROOT(&(*ap)->tree)) != NULL) {
		RB_REMOVE(node_tree, &(*ap)->tree, n);
		node_free(&n);
	}
	free((*ap)->order->v);
	free((*ap)->order);
	free(*ap);
	*ap = NULL;
}

static struct node *find(const struct allow *a, const struct ipnet *net)
{
	struct node probe = { .e.net = *net };
	struct node_tree tree = a->tree; /* looking does not change it */

	return RB_FIND(node_tree, &tree, &probe);
}

const struct allow_entry *allow_find(const struct allow *a, struct str network)
{
	struct ipnet net;
	const struct node *n;

	if (ipnet_parse(network, &net, NULL) < 0)
		return NULL;
	n = find(a, &net);
	return n != NULL ? &n->e : NULL;
}

static void tell(struct allow *a, struct node *n)
{
	if (!n->is_news)
		TAILQ_INSERT_TAIL(&a->news, n, news);
	n->is_news = true;
}

static void take_out(struct allow *a, struct node *n)
{
	if (n->is_news)
		TAILQ_REMOVE(&a->news, n, news);
	RB_REMOVE(node_tree, &a->tree, n);
	a->n--;
	a->with_bits[n->e.net.bits]--;
	a->authenticating -= n->e.mode == ALLOW_AUTHENTICATE;
	a->order->fresh = false;
	node_free(&n);
}

static void put_in(struct allow *a, struct node *n)
{
	RB_INSERT(node_tree, &a->tree, n);
	a->n++;
	a->with_bits[n->e.net.bits]++;
	a->authenticating += n->e.mode == ALLOW_AUTHENTICATE;
	a->order->fresh = false;
}

int allow_put(struct allow *a, const char *json, struct err *err)
{
	json_t *o = NULL;
	struct node *n = NULL;
	struct node *old;
	struct ipnet net;
	enum allow_mode mode = ALLOW_RELAY;
	const char *name;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "an entry of the allowlist");
	if (ipnet_parse(str_of(json_get_str(o, "network")), &net, err) < 0) {
		rc = err_set(err, ERR_CORRUPT, "an entry of the allowlist has no proper network");
		goto out;
	}
	name = json_get_str(o, "mode");
	if (*name != '\0' && !allow_mode_read(name, &mode)) {
		rc = err_set(err, ERR_CORRUPT, "an entry of the allowlist has the mode %.40s",
			     name);
		goto out;
	}
	old = find(a, &net);
	if (old == NULL && a->n >= ALLOW_MAX) {
		rc = err_set(err, ERR_LIMIT, "the allowlist has at most %d networks", ALLOW_MAX);
		goto out;
	}
	n = xcalloc(1, sizeof(*n));
	n->e = (struct allow_entry){ .net = net,
				     .mode = mode,
				     .note = json_dup_str(o, "note"),
				     .by = json_dup_str(o, "by"),
				     .created_ms = json_get_int(o, "created_ms"),
				     .expires_ms = json_get_int(o, "expires_ms") };
	ipnet_text(&net, n->e.text);
	(void)snprintf(n->e.stream, sizeof(n->e.stream), "%s", json_get_str(o, "stream"));
	if (old != NULL) {
		n->e.hits = old->e.hits;
		n->e.last_hit_ms = old->e.last_hit_ms;
		take_out(a, old);
	}
	put_in(a, n);
	tell(a, n); /* the store may have the counts of a former one */
out:
	json_decref(o);
	return rc;
}

json_t *allow_json(const struct allow_entry *e)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:I}", "network", e->text, "mode",
			 allow_mode_name(e->mode), "stream", json_text(str_of(e->stream)), "note",
			 json_text(str_of(e->note)), "by", json_text(str_of(e->by)), "created_ms",
			 (json_int_t)e->created_ms, "expires_ms", (json_int_t)e->expires_ms);
}

bool allow_drop(struct allow *a, struct str network)
{
	struct ipnet net;
	struct node *n = ipnet_parse(network, &net, NULL) < 0 ? NULL : find(a, &net);

	if (n == NULL)
		return false;
	take_out(a, n);
	return true;
}

void allow_copy(struct allow *to, const struct allow_entry *e)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->e = *e;
	n->e.note = xstrdup(e->note);
	n->e.by = xstrdup(e->by);
	put_in(to, n);
}

static void make_order(const struct allow *a)
{
	struct node_tree tree = a->tree;
	struct order *o = a->order;
	struct node *n;
	size_t i = 0;

	o->v = xreallocarray(o->v, a->n + 1, sizeof(struct node *));
	RB_FOREACH(n, node_tree, &tree)
	o->v[i++] = n;
	o->fresh = true;
}

static const struct node *node_at(const struct allow *a, size_t i)
{
	ASSERT(i < a->n);
	if (!a->order->fresh)
		make_order(a);
	return a->order->v[i];
}

static void swap_news(struct allow *a, struct allow *other)
{
	struct node_list all;

	TAILQ_INIT(&all);
	TAILQ_CONCAT(&all, &a->news, news);
	TAILQ_CONCAT(&a->news, &other->news, news);
	TAILQ_CONCAT(&other->news, &all, news);
}

void allow_swap(struct allow *a, struct allow *other)
{
	const struct allow was = *a;

	swap_news(a, other);
	a->tree = other->tree;
	a->n = other->n;
	memcpy(a->with_bits, other->with_bits, sizeof(a->with_bits));
	a->authenticating = other->authenticating;
	a->order = other->order;
	other->tree = was.tree;
	other->n = was.n;
	memcpy(other->with_bits, was.with_bits, sizeof(other->with_bits));
	other->authenticating = was.authenticating;
	other->order = was.order;
	for (size_t i = 0; i < other->n; i++) {
		const struct node *old = node_at(other, i);
		struct node *n = old->is_news || old->e.hits != 0 ? find(a, &old->e.net) : NULL;
		if (n == NULL || (!old->is_news && n->e.hits == old->e.hits &&
				  n->e.last_hit_ms == old->e.last_hit_ms))
			continue;
		n->e.hits = old->e.hits;
		n->e.last_hit_ms = old->e.last_hit_ms;
		tell(a, n);
	}
}

bool allow_free_some(struct allow **ap, size_t most)
{
	struct allow *a = *ap;
	struct node *n;

	for (; most > 0 && (n = RB_ROOT(&a->tree)) != NULL; most--)
		take_out(a, n);
	if (a->n > 0)
		return true;
	allow_free(ap);
	return false;
}

/* The network of that prefix length that has the address. */
static struct ipnet net_of(const struct ipaddr *client, unsigned bits)
{
	struct ipnet net = { .addr = *client, .bits = bits };

	for (unsigned i = 0; i < sizeof(net.addr.b); i++) {
		if (bits <= i * 8)
			net.addr.b[i] = 0;
		else if (bits < i * 8 + 8)
			net.addr.b[i] &= (uint8_t)(0xff << (i * 8 + 8 - bits));
	}
	return net;
}

static struct node *check(const struct allow *a, const struct ipaddr *client, int64_t now_ms)
{
	for (unsigned bits = BITS_MAX + 1; bits-- > 0;) {
		struct ipnet net;
		struct node *n;
		if (a->with_bits[bits] == 0)
			continue;
		net = net_of(client, bits);
		n = find(a, &net);
		if (n != NULL && ipnet_has(&n->e.net, client) &&
		    (n->e.expires_ms == 0 || n->e.expires_ms > now_ms))
			return n;
	}
	return NULL;
}

const struct allow_entry *allow_check(const struct allow *a, const struct ipaddr *client,
				      int64_t now_ms)
{
	const struct node *n = check(a, client, now_ms);

	return n != NULL ? &n->e : NULL;
}

const struct allow_entry *allow_above(const struct allow *a, const struct ipnet *net,
				      int64_t now_ms)
{
	for (unsigned bits = net->bits; bits-- > 0;) {
		struct ipnet wider;
		const struct node *n;
		if (a->with_bits[bits] == 0)
			continue;
		wider = net_of(&net->addr, bits);
		n = find(a, &wider);
		if (n != NULL && ipnet_covers(&n->e.net, net) &&
		    (n->e.expires_ms == 0 || n->e.expires_ms > now_ms))
			return &n->e;
	}
	return NULL;
}

bool allow_may_authenticate(const struct allow *a, const struct allow_entry *e)
{
	return e != NULL || a->authenticating == 0;
}

const struct allow_entry *allow_hit(struct allow *a, const struct ipaddr *client, int64_t now_ms)
{
	struct node *n = check(a, client, now_ms);

	if (n == NULL)
		return NULL;
	n->e.hits++;
	n->e.last_hit_ms = now_ms;
	tell(a, n);
	return &n->e;
}

const struct allow_entry *allow_dirty(struct allow *a)
{
	struct node *n = TAILQ_FIRST(&a->news);

	if (n == NULL)
		return NULL;
	TAILQ_REMOVE(&a->news, n, news);
	n->is_news = false;
	return &n->e;
}

void allow_dirty_again(struct allow *a, struct str network)
{
	struct ipnet net;
	struct node *n = ipnet_parse(network, &net, NULL) < 0 ? NULL : find(a, &net);

	if (n != NULL)
		tell(a, n);
}

bool allow_is_dirty(const struct allow *a)
{
	return !TAILQ_EMPTY(&a->news);
}

json_t *allow_use_json(const struct allow_entry *e)
{
	return json_pack("{s:I, s:I}", "hits", (json_int_t)e->hits, "last_hit_ms",
			 (json_int_t)e->last_hit_ms);
}

bool allow_put_use(struct allow *a, struct str network, const json_t *o)
{
	struct ipnet net;
	struct node *n = ipnet_parse(network, &net, NULL) < 0 ? NULL : find(a, &net);
	int64_t hits = json_get_int(o, "hits");

	if (n == NULL)
		return false;
	n->e.hits = hits > 0 ? (uint64_t)hits : 0;
	n->e.last_hit_ms = json_get_int(o, "last_hit_ms");
	return true;
}

size_t allow_n(const struct allow *a)
{
	return a->n;
}

const struct allow_entry *allow_at(const struct allow *a, size_t i)
{
	return &node_at(a, i)->e;
}
