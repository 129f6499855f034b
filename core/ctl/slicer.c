#include "ctl/slicer.h"

#include <stddef.h>

#include "base/obj.h"
#include "loop/loop.h"

static void on_timer(void *arg)
{
	struct slicer *s = arg;
	int64_t since = loop_clock_us();
	enum slice how = SLICE_MORE;

	for (int n = 0; n < SLICER_STEPS && how == SLICE_MORE; n++) {
		how = s->step(s->arg);
		if (loop_clock_us() - since >= SLICER_US)
			break;
	}
	if (how != SLICE_END) {
		loop_timer_set(s->timer, how == SLICE_WAIT ? SLICER_WAIT_MS : 0);
		return;
	}
	slicer_done_fn *done = s->done;
	s->step = NULL;
	s->done = NULL;
	done(s->arg);
}

void slicer_init(struct slicer *s, struct loop *l, const char *name, void *arg)
{
	*s = SLICER_INIT;
	s->arg = arg;
	s->timer = loop_timer_new(l, name, on_timer, s);
}

void slicer_run(struct slicer *s, slicer_step_fn *step, slicer_done_fn *done)
{
	ASSERT(s->step == NULL);
	s->step = step;
	s->done = done;
	loop_timer_set(s->timer, 0);
}

bool slicer_busy(const struct slicer *s)
{
	return s->step != NULL;
}

void slicer_done(struct slicer *s)
{
	loop_timer_free(&s->timer);
	s->step = NULL;
	s->done = NULL;
}
