#include "net/dnsbook.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

#define DNSBOOK_MAGIC 0xd5b00001u

struct page {
	struct dnsbook *book;
	char *name;
	enum dns_type type;
	uint64_t ask; /* under way; 0: not */
	bool there;
	struct dns_answer answer;
};

struct dnsbook {
	uint32_t magic;
	struct dns *dns;
	dnsbook_fn *fn;
	void *arg;
	struct page *pages[DNSBOOK_MAX];
	size_t n;
	size_t waiting;
};

struct dnsbook *dnsbook_new(struct dns *d, dnsbook_fn *fn, void *arg)
{
	struct dnsbook *b = xcalloc(1, sizeof(*b));

	*b = (struct dnsbook){ .magic = DNSBOOK_MAGIC, .dns = d, .fn = fn, .arg = arg };
	return b;
}

static void page_free(struct page *p)
{
	struct dns_record *v = (struct dns_record *)(uintptr_t)p->answer.records;

	for (size_t i = 0; i < p->answer.records_n; i++) {
		mem_auto_free(&v[i].host);
		mem_auto_free(&v[i].text.p);
	}
	free(v);
	mem_auto_free(&p->answer.name);
	free(p->name);
	free(p);
}

void dnsbook_free(struct dnsbook **bp)
{
	struct dnsbook *b = *bp;

	if (b == NULL)
		return;
	for (size_t i = 0; i < b->n; i++) {
		if (b->pages[i]->ask != 0)
			dns_cancel(b->dns, b->pages[i]->ask);
		page_free(b->pages[i]);
	}
	b->magic = 0;
	free(b);
	*bp = NULL;
}

static struct page *find(const struct dnsbook *b, const char *name, enum dns_type type)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->pages[i]->type == type && strcasecmp(b->pages[i]->name, name) == 0)
			return b->pages[i];
	return NULL;
}

static struct page *page_new(struct dnsbook *b, const char *name, enum dns_type type)
{
	struct page *p = xcalloc(1, sizeof(*p));

	p->book = b;
	p->name = xstrdup(name);
	p->type = type;
	b->pages[b->n++] = p;
	return p;
}

const struct dns_answer *dnsbook_get(struct dnsbook *b, const char *name, enum dns_type type)
{
	static const struct dns_answer too_many = { .status = DNS_TROUBLE,
						    .trouble = "it takes too many questions",
						    .name = "" };
	struct page *p = find(b, name, type);

	if (p == NULL && b->n == DNSBOOK_MAX)
		return &too_many;
	if (p == NULL)
		p = page_new(b, name, type);
	return p->there ? &p->answer : NULL;
}

static void fill(struct page *p, const struct dns_answer *a)
{
	struct dns_record *v = xcalloc(a->records_n + 1, sizeof(*v));

	for (size_t i = 0; i < a->records_n; i++) {
		v[i] = a->records[i];
		if (v[i].host != NULL)
			v[i].host = xstrdup(v[i].host);
		if (v[i].text.p != NULL)
			v[i].text.p = xstrndup(v[i].text.p, v[i].text.n);
	}
	p->answer = *a;
	p->answer.name = xstrdup(a->name != NULL ? a->name : p->name);
	p->answer.records = v;
	p->there = true;
}

void dnsbook_put(struct dnsbook *b, const char *name, enum dns_type type,
		 const struct dns_answer *answer)
{
	ASSERT(b->n < DNSBOOK_MAX && find(b, name, type) == NULL);
	fill(page_new(b, name, type), answer);
}

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct page *p = arg;
	struct dnsbook *b = OBJ(dnsbook, DNSBOOK_MAGIC, p->book);

	p->ask = 0;
	fill(p, a);
	if (--b->waiting == 0)
		b->fn(b->arg);
}

bool dnsbook_ask(struct dnsbook *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct page *p = b->pages[i];
		if (p->there || p->ask != 0 || b->dns == NULL)
			continue;
		b->waiting++;
		p->ask = dns_ask(b->dns, p->name, p->type, on_answer, p);
	}
	return b->waiting > 0;
}
