/*
 * metrics - what the relay counts, as Prometheus reads it (text format 0.0.4).
 *
 * Model:   names and kinds follow Prometheus' conventions: weir_ in front, base units, _total for
 *          what only grows since the relay started. Labels have few values: streams, classes,
 *          states, sinks.
 * Context: loop thread; one page takes well under a millisecond.
 */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include "base/buf.h"
#include "ctl/env.h"

struct metrics;
struct metrics *metrics_new(void);
void metrics_free(struct metrics **mp);
void metrics_event(struct metrics *m, const struct queue_event *e);
/* Appends the page. */
void metrics_text(const struct metrics *m, struct ctl_env *env, struct buf *out);

#endif
