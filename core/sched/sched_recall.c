/*
 * What a process before this one met: why destinations are in trouble, after a restart.
 *
 * While recipients are loaded each group keeps, without counting all classes, the one that most of
 * its tried recipients have (a vote: the same class adds to it, another one takes from it), and one
 * recipient that has it. That is enough for classes and alerts. The texts are read from the store
 * afterwards, one a group, a page at a time, beside the mail. Since when there is trouble is kept
 * outside, and told here; what is not told is in trouble since its first recipient came in.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/sched_int.h"

#define RECALL_PAGE 200

void sched_recall_note(struct sched *s, struct group *g, const struct queue_row *row)
{
	int64_t received = msgid_time_ms(rid_msgid(row->rid));

	if (row->code == 0 && row->reply_class == 0)
		return;
	if (g->votes > 0 && g->last_class != row->reply_class) {
		g->votes--;
	} else {
		g->votes++;
		g->last_class = row->reply_class;
		g->told = row->rid.v;
	}
	if (g->trouble_since_ms == 0 || received < g->trouble_since_ms)
		g->trouble_since_ms = received;
	g->last_ms = loop_wall_ms(s->loop);
}

void sched_load_trouble(struct sched *s, uint32_t domain, uint32_t stream, const char *next_hop,
			int64_t since_ms, int64_t hop_since_ms)
{
	struct dest *d = sched_dest_find(s, next_hop);
	struct group *g = d != NULL ? sched_group_find(s, domain, stream, d) : NULL;

	if (g != NULL && g->trouble_since_ms != 0 && since_ms != 0)
		g->trouble_since_ms = since_ms;
	if (d != NULL && d->kind == DEST_REAL && hop_since_ms != 0)
		d->since_ms = hop_since_ms;
}

void sched_trouble(struct sched *s, int64_t *since_ms, int64_t to_ms)
{
	if (*since_ms == to_ms)
		return;
	*since_ms = to_ms;
	if (s->ops->trouble != NULL)
		s->ops->trouble(s->arg);
}

static void on_told(void *arg, const struct queue_entry *rows, size_t n, const struct err *err)
{
	struct sched *s = arg;

	for (size_t k = 0; err == NULL && k < n; k++) {
		uint32_t i = sched_lookup(s, rows[k].rid);
		struct group *g = i != SCHED_NONE ? s->groups[sched_rec(s, i)->group] : NULL;

		if (g == NULL || g->told != rows[k].rid.v || g->last_reply != NULL)
			continue;
		g->last_reply =
			xstrndup(rows[k].reply.n > 0 ? rows[k].reply.p : "", rows[k].reply.n);
		g->last_class = rows[k].reply_class;
	}
	if (s->running)
		sched_recall_start(s);
}

/* The next page of them, until there are no more groups. */
void sched_recall_start(struct sched *s)
{
	struct rid rids[RECALL_PAGE];
	size_t n = 0;

	while (n < RECALL_PAGE && s->recall_at < s->groups_n) {
		const struct group *g = s->groups[s->recall_at++];

		if (g->told != 0 && g->last_reply == NULL)
			rids[n++].v = g->told;
	}
	if (n > 0)
		queue_entries(s->queue, rids, n, on_told, s);
}
