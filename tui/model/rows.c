/*
 * rows - the pages in use are one stretch: pages[0] begins at index `base`, each next page where
 * the one before ends. A page remembers how it was asked for (`at`, `from_end`, `backward`), so
 * that the same place of the list can be asked for again, and the cursors on to its neighbours.
 *
 *	what		asks for				answer replaces
 *	FETCH_FIRST	no cursor				everything, base 0
 *	FETCH_END	from_end				everything, base from total
 *	FETCH_NEXT	last page's next			nothing; a page behind
 *	FETCH_PREV	first page's prev			nothing; a page before
 *	FETCH_AGAIN	the way of the first page on the screen	everything, same place
 *
 * Indexes are exact from the beginning of the list on; coming from its end they rest on the
 * relay's total, and are put right when the first page is reached.
 */
#include "model/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/str.h"
#include "proto/proto.h"

#define ROWS_MAGIC 0x726f7773u

enum fetch { FETCH_NONE, FETCH_FIRST, FETCH_END, FETCH_NEXT, FETCH_PREV, FETCH_AGAIN };

struct page {
	json_t *rows;
	uint64_t *ids;
	int64_t n;
	int64_t version;
	char *at;
	char *next;
	char *prev;
	bool from_end;
	bool backward;
};

struct rows {
	uint32_t magic;
	struct rows_options o;
	struct page pages[ROWS_PAGES];
	int n_pages;
	int64_t base;
	int64_t total;
	bool exact;
	bool loaded; /* pages belong to the current query */
	bool again;  /* a refresh is wanted */
	enum fetch fetch;
	int fetch_page; /* FETCH_AGAIN: the page whose place is asked for again */
	uint64_t call;
	int64_t want_first;
	int want_n;
	struct err err;
};

uint64_t rows_key_id(const char *key)
{
	uint64_t id = str_hash(str_of(key));

	return id != 0 ? id : 1;
}

static void page_done(struct page *p)
{
	json_decref(p->rows);
	free(p->ids);
	free(p->at);
	free(p->next);
	free(p->prev);
	*p = (struct page){ .rows = NULL };
}

static void drop_pages(struct rows *r)
{
	for (int i = 0; i < r->n_pages; i++)
		page_done(&r->pages[i]);
	r->n_pages = 0;
}

static void drop_first(struct rows *r)
{
	r->base += r->pages[0].n;
	page_done(&r->pages[0]);
	r->n_pages--;
	memmove(r->pages, r->pages + 1, (size_t)r->n_pages * sizeof(r->pages[0]));
}

struct rows *rows_new(const struct rows_options *o)
{
	struct rows *r = xcalloc(1, sizeof(*r));

	r->magic = ROWS_MAGIC;
	r->o = *o;
	return r;
}

void rows_free(struct rows **rp)
{
	struct rows *r = *rp;

	if (r == NULL)
		return;
	rpc_cancel(r->o.rpc, &r->call);
	drop_pages(r);
	json_decref(r->o.params);
	free(r);
	*rp = NULL;
}

static int64_t stretch_end(const struct rows *r)
{
	int64_t end = r->base;

	for (int i = 0; i < r->n_pages; i++)
		end += r->pages[i].n;
	return end;
}

static const struct page *page_at(const struct rows *r, int64_t index, int64_t *ret_offset)
{
	int64_t begin = r->base;

	for (int i = 0; index >= begin && i < r->n_pages; i++) {
		if (index < begin + r->pages[i].n) {
			*ret_offset = index - begin;
			return &r->pages[i];
		}
		begin += r->pages[i].n;
	}
	return NULL;
}

int64_t rows_count(const struct rows *r, bool *ret_exact)
{
	int64_t end = stretch_end(r);
	bool more = r->n_pages > 0 && r->pages[r->n_pages - 1].next != NULL;

	*ret_exact = r->n_pages == 0 ? r->loaded : !more || r->exact;
	if (!more)
		return end;
	return r->total > end ? r->total : end + 1;
}

const json_t *rows_get(const struct rows *r, int64_t index)
{
	int64_t offset = 0;
	const struct page *p = page_at(r, index, &offset);

	return p != NULL ? json_array_get(p->rows, (size_t)offset) : NULL;
}

const char *rows_key(const struct rows *r, int64_t index)
{
	return js(rows_get(r, index), r->o.key);
}

uint64_t rows_id(const struct rows *r, int64_t index)
{
	int64_t offset = 0;
	const struct page *p = page_at(r, index, &offset);

	return p != NULL ? p->ids[offset] : 0;
}

int64_t rows_version(const struct rows *r, int64_t index)
{
	int64_t offset = 0;
	const struct page *p = page_at(r, index, &offset);

	return p != NULL ? p->version : 0;
}

int64_t rows_index_of(const struct rows *r, uint64_t id)
{
	int64_t index = r->base;

	for (int i = 0; i < r->n_pages; i++) {
		for (int64_t k = 0; k < r->pages[i].n; k++, index++) {
			if (r->pages[i].ids[k] == id)
				return index;
		}
	}
	return -1;
}

void rows_each(const struct rows *r, rows_each_fn *fn, void *arg)
{
	for (int i = 0; i < r->n_pages; i++) {
		for (int64_t k = 0; k < r->pages[i].n; k++) {
			const json_t *row = json_array_get(r->pages[i].rows, (size_t)k);

			fn(arg, r->pages[i].ids[k], js(row, r->o.key), row);
		}
	}
}

bool rows_loading(const struct rows *r)
{
	return !r->loaded && r->err.code == 0;
}

bool rows_current(const struct rows *r)
{
	return r->loaded && !r->again && r->call == 0 && r->err.code == 0;
}

const struct err *rows_error(const struct rows *r)
{
	return r->err.code != 0 ? &r->err : NULL;
}

/* --- fetching --- */

static char *cursor_dup(const json_t *result, const char *name)
{
	const char *s = json_string_value(json_object_get(result, name));

	return s != NULL ? xstrdup(s) : NULL;
}

static struct page page_of(const struct rows *r, const json_t *result)
{
	struct page p = { .next = cursor_dup(result, "next"), .prev = cursor_dup(result, "prev") };
	json_t *rows = json_object_get(result, "rows");

	p.rows = json_is_array(rows) ? json_incref(rows) : json_array();
	p.n = (int64_t)json_array_size(p.rows);
	p.version = ji(result, "version");
	p.ids = xcalloc((size_t)p.n + 1, sizeof(p.ids[0]));
	for (int64_t i = 0; i < p.n; i++)
		p.ids[i] = rows_key_id(js(json_array_get(p.rows, (size_t)i), r->o.key));
	return p;
}

/* Where a page of n rows begins that ends at index `end`. */
static int64_t begin_before(const struct page *p, int64_t end)
{
	if (p->prev == NULL)
		return 0;
	return end > p->n ? end - p->n : 1;
}

static void take_page(struct rows *r, struct page p)
{
	struct page *old = &r->pages[r->fetch_page];
	int64_t begin = r->base;

	switch (r->fetch) {
	case FETCH_NONE:
		BUG("a page nobody asked for");
	case FETCH_FIRST:
		drop_pages(r);
		r->base = 0;
		break;
	case FETCH_END:
		p.from_end = true;
		drop_pages(r);
		r->base = begin_before(&p, r->total);
		break;
	case FETCH_NEXT:
		p.at = xstrdup(r->pages[r->n_pages - 1].next);
		if (r->n_pages == ROWS_PAGES)
			drop_first(r);
		r->pages[r->n_pages++] = p;
		return;
	case FETCH_PREV:
		p.at = xstrdup(r->pages[0].prev);
		p.backward = true;
		if (r->n_pages == ROWS_PAGES)
			page_done(&r->pages[--r->n_pages]);
		memmove(r->pages + 1, r->pages, (size_t)r->n_pages * sizeof(r->pages[0]));
		r->n_pages++;
		r->base = begin_before(&p, r->base);
		r->pages[0] = p;
		return;
	case FETCH_AGAIN:
		for (int i = 0; i < r->fetch_page; i++)
			begin += r->pages[i].n;
		p.at = old->at != NULL ? xstrdup(old->at) : NULL;
		p.from_end = old->from_end;
		p.backward = old->backward;
		if (p.from_end)
			begin = begin_before(&p, r->total);
		else if (p.backward)
			begin = begin_before(&p, begin + old->n);
		else if (p.at == NULL)
			begin = 0;
		drop_pages(r);
		r->base = begin;
		break;
	}
	r->pages[0] = p;
	r->n_pages = 1;
}

static void fetch_next(struct rows *r);

static void on_page(void *arg, const json_t *result, const struct err *err)
{
	struct rows *r = OBJ(rows, ROWS_MAGIC, arg);

	r->call = 0;
	if (result == NULL) {
		r->err = *err;
		r->fetch = FETCH_NONE;
		r->o.changed(r->o.arg);
		return;
	}
	r->err.code = 0;
	if (json_is_integer(json_object_get(result, "total"))) {
		r->total = ji(result, "total");
		r->exact = json_is_true(json_object_get(result, "exact"));
	}
	take_page(r, page_of(r, result));
	if (r->n_pages == 1 && r->pages[0].n == 0 && r->base > 0) {
		drop_pages(r); /* all that was here is gone */
		r->base = 0;
		r->loaded = false;
	} else {
		r->loaded = true;
	}
	r->fetch = FETCH_NONE;
	fetch_next(r);
	r->o.changed(r->o.arg);
}

static void fetch(struct rows *r, enum fetch what, const char *cursor, bool from_end, int64_t limit)
{
	json_t *params = r->o.params != NULL ? json_copy(r->o.params) : json_object();

	if (!r->o.whole) {
		limit = limit < ROWS_PAGE ? ROWS_PAGE : limit;
		limit = limit > PROTO_PAGE_MAX ? PROTO_PAGE_MAX : limit;
		(void)json_object_set_new(params, "limit", json_integer(limit));
	}
	if (cursor != NULL)
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	if (from_end)
		(void)json_object_set_new(params, "from_end", json_true());
	r->fetch = what;
	r->call = rpc_call(r->o.rpc, r->o.method, params, on_page, r);
}

static void fetch_again(struct rows *r)
{
	int64_t begin = r->base;
	int i = 0;

	while (i + 1 < r->n_pages && begin + r->pages[i].n <= r->want_first) {
		begin += r->pages[i].n;
		i++;
	}
	r->again = false;
	r->fetch_page = i;
	if (r->n_pages == 0)
		fetch(r, FETCH_FIRST, NULL, false, 0);
	else
		fetch(r, FETCH_AGAIN, r->pages[i].at, r->pages[i].from_end,
		      r->want_first + r->want_n + ROWS_MARGIN - begin);
}

/* Starts the one call that brings the stretch nearer to what is wanted. */
static void fetch_next(struct rows *r)
{
	int64_t end = stretch_end(r), first = r->want_first - ROWS_MARGIN;
	int64_t last = r->want_first + r->want_n + ROWS_MARGIN;
	const struct page *head = &r->pages[0];
	const struct page *tail = &r->pages[r->n_pages > 0 ? r->n_pages - 1 : 0];

	if (r->call != 0)
		return;
	if (!r->loaded) {
		fetch(r, FETCH_FIRST, NULL, false, 0);
	} else if (r->again) {
		fetch_again(r);
	} else if (r->n_pages == 0) {
		return;
	} else if (last > end && tail->next != NULL) {
		if (r->o.from_end && r->want_first > end + 2 * ROWS_PAGE &&
		    r->total - last < r->want_first - end)
			fetch(r, FETCH_END, NULL, true, r->total - r->want_first + ROWS_MARGIN);
		else
			fetch(r, FETCH_NEXT, tail->next, false, r->want_first - end);
	} else if (first < r->base && head->prev != NULL) {
		if (first <= 0 || r->want_first < r->base - r->want_first)
			fetch(r, r->want_first + r->want_n < r->base ? FETCH_FIRST : FETCH_PREV,
			      r->want_first + r->want_n < r->base ? NULL : head->prev, false, 0);
		else
			fetch(r, FETCH_PREV, head->prev, false, r->base - r->want_first);
	}
}

void rows_want(struct rows *r, int64_t first, int n)
{
	r->want_first = first;
	r->want_n = n;
	if (r->err.code == 0)
		fetch_next(r);
}

void rows_refresh(struct rows *r)
{
	r->err.code = 0;
	r->again = true;
	fetch_next(r);
}

void rows_query(struct rows *r, json_t *params)
{
	rpc_cancel(r->o.rpc, &r->call);
	json_decref(r->o.params);
	r->o.params = params;
	r->fetch = FETCH_NONE;
	r->err.code = 0;
	r->loaded = false;
	r->again = false;
	r->want_first = 0;
	fetch_next(r);
}
