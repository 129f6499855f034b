/*
 * lines - what is spoken with next hops now, as it comes: a ring of the last lines.
 *
 * Model:   a subscription to `trace`. Lines are numbered from 1 on as they come. What the relay
 *          left out, and what was lost with the link or while nobody listened, is a note in its
 *          place. While held() says so nothing that is here goes: what does not fit any more is
 *          counted, and a note says how much, as soon as it is held no more.
 * Owner:   lines_free() ends the subscription. Lines are borrowed until the next call into the
 *          loop.
 * Limits:  LINES_MAX lines and LINES_BYTES_MAX bytes; the oldest go first.
 */
#ifndef MODEL_LINES_H
#define MODEL_LINES_H

#include "model/rpc.h"

#define LINES_MAX 5000
#define LINES_BYTES_MAX ((size_t)2 << 20)
#define LINES_CLOCK 13 /* "03:12:07.123" */

enum line_by { LINE_RELAY, LINE_HOST, LINE_NOTE };

struct line {
	uint64_t n;
	char clock[LINES_CLOCK]; /* UTC; empty for notes of our own */
	enum line_by by;
	int64_t session; /* the same for all lines of a connection; 0: none */
	const char *text;
	const char *host;
	const char *ip;
	const char *hop;
	const char *id; /* of the message in delivery, or "" */
};

struct lines;

struct lines_ops {
	void (*changed)(void *arg);
	bool (*held)(void *arg); /* NULL: never */
};

/* `where`: a filter, "" for all. */
struct lines *lines_new(struct rpc rpc, const char *where, const struct lines_ops *ops, void *arg);
void lines_free(struct lines **lp);
int64_t lines_count(const struct lines *l);
const struct line *lines_get(const struct lines *l, int64_t index); /* NULL: there is none */
int64_t lines_index_of(const struct lines *l, uint64_t n);	    /* -1: not here any more */
/* Nobody looks: the relay sends nothing meanwhile. */
void lines_pause(struct lines *l, bool pause);
/* held() may answer otherwise from now on. */
void lines_resume(struct lines *l);

#endif
