/* lines - an array; when it is full a part of it goes at once, so that a line costs little. */
#include "model/lines.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/str.h"

#define LINES_MAGIC 0x4c696e65u
#define CLOCK_AT 11 /* in "2026-11-24T03:12:07.123Z" */
#define TEXTS 5
#define DROP (LINES_MAX / 10)

struct kept {
	struct line line;
	size_t bytes;
	char texts[];
};

struct lines {
	uint32_t magic;
	struct rpc rpc;
	char *where;
	struct lines_ops ops;
	void *arg;
	uint64_t sub;
	struct kept *rows[LINES_MAX];
	int64_t n;
	size_t bytes;
	uint64_t last;
	uint64_t unkept; /* that came while what is here was held */
};

int64_t lines_count(const struct lines *l)
{
	return l->n;
}

const struct line *lines_get(const struct lines *l, int64_t index)
{
	return index >= 0 && index < l->n ? &l->rows[index]->line : NULL;
}

int64_t lines_index_of(const struct lines *l, uint64_t n)
{
	/* numbers have no gaps */
	int64_t index = l->n > 0 ? (int64_t)(n - l->rows[0]->line.n) : -1;

	return l->n > 0 && n >= l->rows[0]->line.n && index < l->n ? index : -1;
}

static void drop(struct lines *l, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		l->bytes -= l->rows[i]->bytes;
		free(l->rows[i]);
	}
	l->n -= n;
	memmove(l->rows, l->rows + n, (size_t)l->n * sizeof(l->rows[0]));
}

static bool has_room(const struct lines *l)
{
	return l->n < LINES_MAX && l->bytes < LINES_BYTES_MAX;
}

static void put_texts(struct kept *k, const char *const texts[TEXTS])
{
	const char **const fields[TEXTS] = { &k->line.text, &k->line.host, &k->line.ip,
					     &k->line.hop, &k->line.id };
	char *at = k->texts;

	for (int i = 0; i < TEXTS; i++) {
		size_t n = strlen(texts[i]) + 1;

		memcpy(at, texts[i], n);
		*fields[i] = at;
		at += n;
	}
}

static void add(struct lines *l, const struct line *from, const char *const texts[TEXTS])
{
	struct kept *k;
	size_t bytes = 0;

	if (!has_room(l) && l->ops.held != NULL && l->ops.held(l->arg)) {
		l->unkept++;
		return;
	}
	while (!has_room(l))
		drop(l, l->n < DROP ? l->n : DROP);
	for (int i = 0; i < TEXTS; i++)
		bytes += strlen(texts[i]) + 1;
	k = xmalloc(sizeof(*k) + bytes);
	k->line = *from;
	k->line.n = ++l->last;
	k->bytes = sizeof(*k) + bytes;
	put_texts(k, texts);
	l->bytes += k->bytes;
	l->rows[l->n++] = k;
}

static void note(struct lines *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void note(struct lines *l, const char *fmt, ...)
{
	const struct line line = { .by = LINE_NOTE };
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(l, &line, (const char *const[TEXTS]){ text, "", "", "", "" });
}

static void tell_unkept(struct lines *l)
{
	uint64_t n = l->unkept;

	if (n == 0 || (l->ops.held != NULL && l->ops.held(l->arg)))
		return;
	l->unkept = 0;
	note(l, "%" PRIu64 " line%s came while the screen was frozen, and %s not kept", n,
	     n == 1 ? "" : "s", n == 1 ? "was" : "were");
}

static void take(struct lines *l, const json_t *row)
{
	const char *at = js(row, "at");
	const char *by = js(row, "by");
	struct line line = { .by = strcmp(by, "relay") == 0  ? LINE_RELAY
				   : strcmp(by, "host") == 0 ? LINE_HOST
							     : LINE_NOTE,
			     .session = ji(row, "session") };

	if (strlen(at) >= CLOCK_AT + LINES_CLOCK - 1)
		(void)snprintf(line.clock, sizeof(line.clock), "%.12s", at + CLOCK_AT);
	add(l, &line,
	    (const char *const[TEXTS]){ js(row, "text"), js(row, "host"), js(row, "ip"),
					js(row, "hop"), js(row, "id") });
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	struct lines *l = OBJ(lines, LINES_MAGIC, arg);
	const json_t *row;
	size_t i;

	tell_unkept(l);
	if (resync)
		note(l, "the link was lost: what was said meanwhile is missing here");
	json_array_foreach(json_object_get(data, "rows"), i, row) take(l, row);
	if (ji(data, "left") > 0)
		note(l, "%" PRId64 " line%s left out: too many at once", ji(data, "left"),
		     ji(data, "left") == 1 ? "" : "s");
	l->ops.changed(l->arg);
}

static void listen_now(struct lines *l)
{
	l->sub = rpc_sub(l->rpc, "trace",
			 l->where[0] != '\0' ? json_pack("{s:s}", "where", l->where) : NULL,
			 on_push, l);
}

struct lines *lines_new(struct rpc rpc, const char *where, const struct lines_ops *ops, void *arg)
{
	struct lines *l = xcalloc(1, sizeof(*l));

	l->magic = LINES_MAGIC;
	l->rpc = rpc;
	l->where = xstrdup(where);
	l->ops = *ops;
	l->arg = arg;
	listen_now(l);
	return l;
}

void lines_free(struct lines **lp)
{
	struct lines *l = *lp;

	if (l == NULL)
		return;
	rpc_unsub(l->rpc, &l->sub);
	drop(l, l->n);
	free(l->where);
	l->magic = 0;
	free(l);
	*lp = NULL;
}

void lines_pause(struct lines *l, bool pause)
{
	if (pause) {
		rpc_unsub(l->rpc, &l->sub);
	} else if (l->sub == 0) {
		tell_unkept(l);
		note(l, "nobody listened until now: what was said meanwhile is missing here");
		listen_now(l);
	}
}

void lines_resume(struct lines *l)
{
	tell_unkept(l);
}
