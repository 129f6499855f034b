/*
 * What is known of the groups, on its way to the store, which may refuse it or be full. The linker
 * puts these in front of the queue's and the scheduler's functions (--wrap, see the Makefile).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

#define NOW INT64_C(1795480000000)
#define GROUPS 2500 /* three parts */
#define SOON 1000
#define PAUSE 10000

static struct {
	struct relayd relayd;
	struct wire_parts *parts;
	char said[32];	  /* of each group */
	char stored[200]; /* "0=a 1=a ", and "-" for what was refused */
	unsigned refuse;  /* so many of the next ones */
	struct answer {
		queue_done_fn *done;
		void *arg;
		bool refused;
	} answers[8]; /* that are under way */
	size_t answers_n;
} rig;

uint32_t __wrap_sched_groups(const struct sched *s);
uint32_t __wrap_sched_groups(const struct sched *s)
{
	(void)s;
	return GROUPS;
}

void __wrap_queue_commit(struct queue *q, const struct queue_action *a,
			 const struct queue_object *objects, size_t objects_n, queue_done_fn *done,
			 void *arg);
void __wrap_queue_commit(struct queue *q, const struct queue_action *a,
			 const struct queue_object *objects, size_t objects_n, queue_done_fn *done,
			 void *arg)
{
	size_t n = strlen(rig.stored);

	(void)q;
	(void)a;
	assert_int_equal(objects_n, 1);
	(void)snprintf(rig.stored + n, sizeof(rig.stored) - n, "%s=%s ", objects->id,
		       rig.refuse > 0	       ? "-"
		       : objects->json == NULL ? "none"
					       : objects->json);
	assert_true(rig.answers_n < ARRAY_LEN(rig.answers));
	rig.answers[rig.answers_n++] =
		(struct answer){ .done = done, .arg = arg, .refused = rig.refuse > 0 };
	rig.refuse -= rig.refuse > 0;
}

static void answer(void)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_CORRUPT, "a page is damaged");
	for (size_t i = 0; i < rig.answers_n; i++)
		rig.answers[i].done(rig.answers[i].arg, rig.answers[i].refused ? &err : NULL);
	rig.answers_n = 0;
}

static char *text(struct relayd *r, uint32_t first, uint32_t end)
{
	(void)r;
	(void)first;
	(void)end;
	return *rig.said != '\0' ? xstrdup(rig.said) : NULL;
}

static void hear(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static int setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	log_to_fn(hear, NULL);
	rig.relayd.env.loop = loop_new();
	loop_fake_clock(rig.relayd.env.loop, NOW);
	rig.parts = wire_parts_new(&rig.relayd, "test", text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_parts_free(&rig.parts);
	loop_free(&rig.relayd.env.loop);
	return 0;
}

/* What was written since the last call, in this time. */
static void expect(int64_t ms, const char *stored)
{
	for (int64_t at = 0; at < ms; at += 10) {
		loop_advance(rig.relayd.env.loop, 10);
		answer();
	}
	assert_string_equal(rig.stored, stored);
	rig.stored[0] = '\0';
}

static void say(const char *what)
{
	(void)snprintf(rig.said, sizeof(rig.said), "%s", what);
	wire_parts_changed(rig.parts);
}

static void test_what_changed_is_written(void **state)
{
	(void)state;
	say("a");
	expect(SOON + 100, "0=a 1=a 2=a ");
	wire_parts_changed(rig.parts);
	expect(2 * PAUSE, "");
	say("");
	expect(SOON + 100, "0=none 1=none 2=none ");
	expect(2 * PAUSE, "");
}

/* Nothing changes behind it. */
static void test_what_was_refused_is_written_later(void **state)
{
	(void)state;
	rig.refuse = 2;
	say("a");
	expect(SOON + 100, "0=- 1=- 2=a ");
	rig.refuse = 1;
	expect(PAUSE + 100, "0=- 1=a ");
	expect(PAUSE + 100, "0=a ");
	expect(2 * PAUSE, "");
	rig.refuse = 3;
	say("");
	expect(SOON + 100, "0=- 1=- 2=- ");
	wire_parts_store(rig.parts); /* the end */
	expect(0, "0=none 1=none 2=none ");
}

static void test_a_full_disk_is_waited_for(void **state)
{
	(void)state;
	say("a");
	expect(SOON, "0=a ");
	rig.relayd.env.disk_full = true;
	expect(2 * PAUSE, "");
	rig.relayd.env.disk_full = false;
	expect(PAUSE + 100, "1=a 2=a ");
	rig.relayd.ending = true;
	say("b");
	expect(2 * PAUSE, "");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_what_changed_is_written),
					    T(test_what_was_refused_is_written_later),
					    T(test_a_full_disk_is_waited_for) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
