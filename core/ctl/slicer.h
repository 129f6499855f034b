/*
 * slicer - long work in the loop thread, a slice at a time.
 *
 * Model:   step() does a little (some 100 us) and says how it goes on. It is called again and again
 *          until SLICER_US are used up; then the loop turns, and so on until it says END. Then
 *          done() is called, once.
 * Owner:   embedded in what it works for; slicer_done() ends it, also from inside done() (which may
 *          free the whole) but not from inside step(). One work at a time; done() may start
 *          the next.
 * Context: loop thread. Nothing is called from inside slicer_run().
 */
#ifndef CTL_SLICER_H
#define CTL_SLICER_H

#include <stdbool.h>

#define SLICER_US 2000
#define SLICER_STEPS 50	  /* and no more, should the clock stand still */
#define SLICER_WAIT_MS 10 /* after WAIT */
#define SLICER_ITEMS 256  /* what a step usually does */

struct loop;
struct loop_timer;

enum slice {
	SLICE_MORE,
	SLICE_WAIT, /* for somebody else: go on a little later */
	SLICE_END,
};
typedef enum slice slicer_step_fn(void *arg);
typedef void slicer_done_fn(void *arg);

struct slicer {
	struct loop_timer *timer;
	slicer_step_fn *step;
	slicer_done_fn *done;
	void *arg;
};
#define SLICER_INIT ((struct slicer){ .timer = 0 })

/* `name` is for the log; static. */
void slicer_init(struct slicer *s, struct loop *l, const char *name, void *arg);
void slicer_run(struct slicer *s, slicer_step_fn *step, slicer_done_fn *done);
bool slicer_busy(const struct slicer *s);
void slicer_done(struct slicer *s);

#endif
