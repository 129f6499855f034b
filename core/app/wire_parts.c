/*
 * What is known of the scheduler's groups, kept in parts of PART groups: each is an object of the
 * store, its id the part's number. Soon after something changed all groups are gone through, a part
 * at a time, and what is another text than the last one is written. What is beyond PARTS_MAX is not
 * kept. The order of the groups is another one after a restart, so a part says whom it is about.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app/relayd_int.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

#define PART 1000
#define PARTS_MAX 50
#define SOON_MS 1000   /* after something changed */
#define SLICE_MS 20    /* between two parts */
#define PAUSE_MS 10000 /* between two passes of several parts */

struct wire_parts {
	struct relayd *relayd;
	const char *kind;
	wire_part_fn *text;
	wire_part_load_fn *load;
	struct loop_timer *timer;
	bool more;     /* something changed since the pass began */
	uint32_t part; /* the next one */
	uint32_t end;  /* behind the last one that is stored */
	struct part {
		struct wire_parts *of;
		uint64_t hash; /* of what is stored, or on its way; 0: there is none */
		bool refused;  /* by the store: that is not there */
	} parts[PARTS_MAX];
};

/* What was refused is written in a later pass, whether it changes again or not. */
static void on_kept(void *arg, const struct err *err)
{
	struct part *x = arg;
	struct wire_parts *p = x->of;

	if (err == NULL)
		return;
	if (log_limited("relayd.parts"))
		log_warn(NULL, "relayd.parts", F_STR("error", err->msg));
	x->refused = true;
	p->more = true;
	if (!loop_timer_pending(p->timer))
		loop_timer_set(p->timer, PAUSE_MS);
}

static bool is_last(const struct wire_parts *p, uint32_t part)
{
	return part >= PARTS_MAX ||
	       (part * PART >= sched_groups(p->relayd->env.sched) && part >= p->end);
}

static void keep(struct wire_parts *p, uint32_t part)
{
	AUTO_FREE char *text = p->text(p->relayd, part * PART, (part + 1) * PART);
	uint64_t hash = text != NULL ? str_hash(str_of(text)) : 0;
	struct part *x = &p->parts[part];
	char id[16];

	if (hash == x->hash && !x->refused)
		return;
	x->hash = hash;
	x->refused = false;
	if (hash != 0 && part >= p->end)
		p->end = part + 1;
	(void)snprintf(id, sizeof(id), "%u", (unsigned)part);
	queue_commit(p->relayd->env.queue, NULL,
		     &(struct queue_object){ .kind = p->kind, .id = id, .json = text }, 1, on_kept,
		     x);
}

static void on_turn(void *arg)
{
	struct wire_parts *p = arg;
	bool several = p->part > 0;

	if (p->relayd->ending)
		return;
	if (p->relayd->env.disk_full) {
		loop_timer_set(p->timer, PAUSE_MS);
		return;
	}
	if (p->part == 0)
		p->more = false;
	keep(p, p->part++);
	if (!is_last(p, p->part)) {
		loop_timer_set(p->timer, SLICE_MS);
		return;
	}
	p->part = 0;
	if (p->more)
		loop_timer_set(p->timer, several ? PAUSE_MS : SOON_MS);
}

void wire_parts_changed(struct wire_parts *p)
{
	if (p == NULL)
		return;
	p->more = true;
	if (!loop_timer_pending(p->timer))
		loop_timer_set(p->timer, SOON_MS);
}

void wire_parts_store(struct wire_parts *p)
{
	for (uint32_t part = 0; p != NULL && !is_last(p, part); part++)
		keep(p, part);
}

struct wire_parts *wire_parts_new(struct relayd *r, const char *kind, wire_part_fn *text)
{
	struct wire_parts *p = xcalloc(1, sizeof(*p));

	*p = (struct wire_parts){ .relayd = r, .kind = kind, .text = text };
	for (uint32_t part = 0; part < PARTS_MAX; part++)
		p->parts[part].of = p;
	p->timer = loop_timer_new(r->env.loop, kind, on_turn, p);
	return p;
}

static void load_part(void *arg, const struct queue_object *o)
{
	struct wire_parts *p = arg;
	uint64_t part = 0;
	json_t *v = NULL;

	if (!str_u64(str_of(o->id), PARTS_MAX - 1, &part))
		return;
	p->parts[part].hash = str_hash(str_of(o->json));
	if (part >= p->end)
		p->end = (uint32_t)part + 1;
	if (json_read(o->json, &v, NULL) < 0)
		return; /* it is found out again */
	p->load(p->relayd, v);
	json_decref(v);
}

int wire_parts_load(struct wire_parts *p, wire_part_load_fn *load, struct err *err)
{
	p->load = load;
	return queue_load_objects(p->relayd->env.queue, p->kind, load_part, p, err);
}

void wire_parts_free(struct wire_parts **pp)
{
	if (*pp == NULL)
		return;
	loop_timer_free(&(*pp)->timer);
	free(*pp);
	*pp = NULL;
}
