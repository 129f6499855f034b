#include "route/providers.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "route/resolve.h"

/* The provider stands behind the domain in `text`. */
struct entry {
	RB_ENTRY(entry) node;
	TAILQ_ENTRY(entry) next; /* the longest ago first */
	size_t domain_n;
	char text[];
};
RB_HEAD(entries, entry);

struct providers {
	struct entries tree;
	TAILQ_HEAD(, entry) order;
	size_t n;
};

static int compare(struct str a, const struct entry *b)
{
	size_t n = a.n < b->domain_n ? a.n : b->domain_n;
	int d = n > 0 ? memcmp(a.p, b->text, n) : 0;

	return d != 0 ? d : (a.n > b->domain_n) - (a.n < b->domain_n);
}

static int entry_cmp(const struct entry *a, const struct entry *b)
{
	return compare(str_from(a->text, a->domain_n), b);
}

RB_GENERATE_INTERNAL(entries, entry, node, entry_cmp, static __attribute__((unused)))

static struct entry *find(const struct providers *p, struct str domain)
{
	struct entry *e = RB_ROOT(&p->tree);

	while (e != NULL) {
		int d = compare(domain, e);
		if (d == 0)
			break;
		e = d < 0 ? RB_LEFT(e, node) : RB_RIGHT(e, node);
	}
	return e;
}

static const char *provider_of(const struct entry *e)
{
	return e->text + e->domain_n + 1;
}

static void drop(struct providers *p, struct entry *e)
{
	RB_REMOVE(entries, &p->tree, e);
	TAILQ_REMOVE(&p->order, e, next);
	p->n--;
	free(e);
}

bool providers_put(struct providers *p, struct str domain, const char *provider)
{
	struct entry *e = find(p, domain);
	size_t n = strlen(provider) + 1;

	if (e != NULL && strcmp(provider_of(e), provider) == 0) {
		TAILQ_REMOVE(&p->order, e, next);
		TAILQ_INSERT_TAIL(&p->order, e, next);
		return false;
	}
	if (e != NULL)
		drop(p, e);
	else if (p->n >= RESOLVE_PROVIDERS_MAX)
		drop(p, TAILQ_FIRST(&p->order));
	e = xcalloc(1, sizeof(*e) + domain.n + 1 + n);
	e->domain_n = domain.n;
	memcpy(e->text, domain.p, domain.n);
	memcpy(e->text + domain.n + 1, provider, n);
	RB_INSERT(entries, &p->tree, e);
	TAILQ_INSERT_TAIL(&p->order, e, next);
	p->n++;
	return true;
}

const char *providers_find(const struct providers *p, struct str domain)
{
	const struct entry *e = find(p, domain);

	return e != NULL ? provider_of(e) : NULL;
}

struct providers *providers_new(void)
{
	struct providers *p = xcalloc(1, sizeof(*p));

	RB_INIT(&p->tree);
	TAILQ_INIT(&p->order);
	return p;
}

void providers_free(struct providers **pp)
{
	struct providers *p = pp != NULL ? *pp : NULL;

	if (p == NULL)
		return;
	while (!TAILQ_EMPTY(&p->order))
		drop(p, TAILQ_FIRST(&p->order));
	free(p);
	*pp = NULL;
}
