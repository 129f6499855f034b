/* feed - an array in order of seq; a batch is merged by its place, nearly always the end. */
#include "model/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

#define FEED_MAGIC 0x46656564u
#define FEED_PAGE 200

struct feed {
	uint32_t magic;
	struct rpc rpc;
	char *where;
	void (*changed)(void *arg);
	void *arg;
	uint64_t sub;
	uint64_t call;
	json_t *rows[FEED_MAX];
	int64_t n;
	char *older; /* cursor; NULL: nothing older is known */
	struct err err;
};

int64_t feed_count(const struct feed *f)
{
	return f->n;
}

const json_t *feed_get(const struct feed *f, int64_t index)
{
	return index >= 0 && index < f->n ? f->rows[index] : NULL;
}

/* The first index whose seq is not below. */
static int64_t place_of(const struct feed *f, int64_t seq)
{
	int64_t low = 0, high = f->n;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;

		if (ji(f->rows[middle], "seq") < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int64_t feed_index_of(const struct feed *f, int64_t seq)
{
	int64_t i = place_of(f, seq);

	return i < f->n && ji(f->rows[i], "seq") == seq ? i : -1;
}

static void add(struct feed *f, const json_t *row)
{
	int64_t seq = ji(row, "seq"), i = place_of(f, seq);

	if (i < f->n && ji(f->rows[i], "seq") == seq)
		return;
	if (f->n == FEED_MAX) {
		if (i == 0)
			return; /* older than all of a full ring */
		json_decref(f->rows[0]);
		f->n--;
		i--;
		memmove(f->rows, f->rows + 1, (size_t)f->n * sizeof(f->rows[0]));
	}
	memmove(f->rows + i + 1, f->rows + i, (size_t)(f->n - i) * sizeof(f->rows[0]));
	f->rows[i] = json_incref((json_t *)(uintptr_t)row);
	f->n++;
}

static void add_all(struct feed *f, const json_t *rows)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row) add(f, row);
}

static void on_list(void *arg, const json_t *result, const struct err *err)
{
	struct feed *f = OBJ(feed, FEED_MAGIC, arg);
	const char *next = json_string_value(json_object_get(result, "next"));

	f->call = 0;
	if (result == NULL) {
		f->err = *err;
	} else {
		f->err.code = 0;
		free(f->older);
		f->older = next != NULL ? xstrdup(next) : NULL;
		add_all(f, json_object_get(result, "rows"));
	}
	f->changed(f->arg);
}

static void ask(struct feed *f, const char *cursor)
{
	json_t *params = json_pack("{s:i}", "limit", FEED_PAGE);

	if (f->where[0] != '\0')
		(void)json_object_set_new(params, "where", json_string(f->where));
	if (cursor != NULL)
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	rpc_cancel(f->rpc, &f->call);
	f->call = rpc_call(f->rpc, "event.list", params, on_list, f);
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	struct feed *f = OBJ(feed, FEED_MAGIC, arg);

	add_all(f, json_is_array(data) ? data : json_object_get(data, "rows"));
	if (resync)
		ask(f, NULL);
	f->changed(f->arg);
}

struct feed *feed_new(struct rpc rpc, const char *where, void (*changed)(void *arg), void *arg)
{
	struct feed *f = xcalloc(1, sizeof(*f));

	f->magic = FEED_MAGIC;
	f->rpc = rpc;
	f->where = xstrdup(where);
	f->changed = changed;
	f->arg = arg;
	f->sub = rpc_sub(rpc, "events", *where != '\0' ? json_pack("{s:s}", "where", where) : NULL,
			 on_push, f);
	ask(f, NULL);
	return f;
}

void feed_free(struct feed **fp)
{
	struct feed *f = *fp;

	if (f == NULL)
		return;
	rpc_cancel(f->rpc, &f->call);
	rpc_unsub(f->rpc, &f->sub);
	for (int64_t i = 0; i < f->n; i++)
		json_decref(f->rows[i]);
	free(f->older);
	free(f->where);
	free(f);
	*fp = NULL;
}

void feed_older(struct feed *f)
{
	if (f->call == 0 && f->older != NULL && f->n < FEED_MAX)
		ask(f, f->older);
}

const struct err *feed_error(const struct feed *f)
{
	return f->err.code != 0 ? &f->err : NULL;
}
