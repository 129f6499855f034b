/*
 * bench_ctl - what operators' changes cost with many queued.
 *
 *	bench_ctl DIR
 *
 * DIR is a state directory that `fill` made; it is changed. Prints for each change the time to its
 * answer and the longest turn of the loop meanwhile, in CPU time (several callbacks may fall into
 * one).
 */
#include "unit/ctl/ops_rig.h"

#define HOLD(target) "{\"target\":\"" target "\",\"reason\":\"r\"}"

static int64_t began_us;

static void begin(void)
{
	rig.longest_us = 0;
	began_us = loop_clock_us();
}

static void end(const char *what, const json_t *answer)
{
	(void)printf("%-44s %8.1f ms, longest turn %6.1f ms, %lld recipients\n", what,
		     (double)(loop_clock_us() - began_us) / 1e3, (double)rig.longest_us / 1e3,
		     (long long)json_get_int(answer, "recipients"));
	(void)fflush(stdout);
}

static void measure(const char *what, const char *method, const char *params)
{
	json_t *answer;
	begin();
	answer = rig_do(method, params);
	end(what, answer);
	json_decref(answer);
}

/* What goes on behind an answer. */
static void settle(const char *what)
{
	begin();
	do
		rig_real_turn();
	while (queue_record_backlog(rig.env.queue) > 0 || loop_clock_us() - began_us < 1500000);
	end(what, NULL);
}

static void defer_all(void)
{
	int64_t next = loop_wall_ms(rig.loop) + 3600000;
	for (uint32_t p = 0; p < sched_places(rig.env.sched); p++) {
		struct sched_view v;
		if (sched_at(rig.env.sched, p, &v))
			(void)sched_set_next(rig.env.sched, v.rid, next + p % 1000);
	}
}

static void rules(void)
{
	measure("hold domain of half", "queue.hold", HOLD("domain:big.example"));
	measure("hold.list", "hold.list", "{}");
	measure("undo", "action.undo", "{}");
	measure("hold all", "queue.hold", HOLD("all"));
	measure("release all", "queue.release", "{\"target\":\"all\"}");
	measure("hold stream", "queue.hold", HOLD("stream:default"));
	measure("release stream", "queue.release", "{\"target\":\"stream:default\"}");
	measure("hold that asks (sender, a seventh)", "queue.hold",
		HOLD("sender:app1@shop.example"));
	measure("hold.list with it", "hold.list", "{}");
	measure("release it", "queue.release", "{\"target\":\"sender:app1@shop.example\"}");
	measure("hold that asks (attempts:0, all)", "queue.hold", HOLD("attempts:0"));
	measure("release it", "queue.release", "{\"target\":\"attempts:0\"}");
	measure("route add, all to a smarthost", "route.add",
		"{\"to\":\"smarthost:127.0.0.9:25\"}");
	measure("route undo", "action.undo", "{}");
	measure("route add, half to a smarthost", "route.add",
		"{\"to\":\"smarthost:127.0.0.9:25\",\"match\":\"domain:big.example\"}");
	measure("route undo", "action.undo", "{}");
	settle("afterwards");
}

static void sets(void)
{
	measure("plan delete of half", "plan.make",
		"{\"method\":\"queue.delete\",\"params\":{\"target\":\"domain:big.example\"}}");
	measure("plan delete by sender", "plan.make",
		"{\"method\":\"queue.delete\",\"params\":"
		"{\"target\":\"from:app1@shop.example state:deferred,ready\"}}");
	measure("delete half", "queue.delete", HOLD("domain:big.example"));
	measure("undo", "action.undo", "{}");
	defer_all();
	measure("retry all", "queue.retry", "{\"target\":\"all\"}");
	measure("undo at once", "action.undo", "{}");
	measure("retry all", "queue.retry", "{\"target\":\"all\"}");
	settle("its times written");
	measure("delete all", "queue.delete", HOLD("all"));
	settle("and its end (undo window 5 s)");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	(void)snprintf(rig.dir, sizeof(rig.dir), "%s", argv[1]);
	rig.in = BUF_INIT(16u << 20);
	rig.real_clock = true;
	log_to_fn(rig_log, NULL);
	began_us = loop_clock_us();
	rig_open();
	sched_stop(rig.env.sched);
	end("start", NULL);
	rules();
	rig.env.undo_window_ms = 5000;
	sets();
	(void)fputs(rig.log, stderr);
	rig_close();
	json_decref(rig.early);
	buf_done(&rig.in);
	return 0;
}
