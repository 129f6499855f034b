/*
 * ops_rig - a relay without a network: real scheduler, queue, rules and control server in a
 * directory of its own, asked over a control connection. One program, one rig.
 *
 * The clock is told (loop_advance); what waits for the disk is waited for.
 */
#ifndef TESTS_OPS_RIG_H
#define TESTS_OPS_RIG_H

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <event2/event.h>
#include <cmocka.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/actions.h"
#include "ctl/handlers.h"
#include "ctl/uploads.h"
#include "ctl/views.h"
#include "loop/loop.h"

#define RIG_NOW INT64_C(1795500000000)
#define RIG_WAIT_MS 30000 /* real time; then the test fails */
#define RIG_UNUSED __attribute__((__unused__)) static
#define RIG_UNDO_MS 600000
#define RIG_GRACE_MS 60000

static struct ops_rig {
	char dir[64];
	struct loop *loop;
	int64_t clock_ms; /* goes on over restarts */
	struct ctl_env env;
	int fd;
	struct buf in;
	int last_id;
	json_t *early;	 /* answers that nobody has asked for yet */
	char log[65536]; /* all lines */
	struct err err;	 /* of the last refused call */
	struct ctl_caller who;
	unsigned forgotten; /* resolver_forget() calls */
	unsigned asked;	    /* resolver_ask() calls, and the last one */
	resolve_fn *asked_fn;
	void *asked_arg;
	/* of the last give() */
	const struct message *given;
	unsigned given_ns[SCHED_DELIVERY_MAX];
	unsigned given_n;
	bool answered;
	unsigned kicks;
	/* events */
	unsigned events[OUTCOME__COUNT];
	char last_reply[600];
	/* stored by rig_accept() */
	bool stored;
	/* for measuring: the real clock, and the longest turn of the loop */
	bool real_clock;
	int64_t longest_us;
} rig;

/* --- what the relay has a network for --------------------------------------------------------- */

const char *resolver_provider(const struct resolver *r, struct str domain)
{
	(void)r;
	if (str_eq(domain, STR("gmail.com")) || str_eq(domain, STR("startup.example")))
		return "google.com";
	return NULL;
}

/* DNS is silent, unless a test answers. */
uint64_t resolver_ask(struct resolver *r, const char *next_hop, unsigned wants, resolve_fn *fn,
		      void *arg)
{
	(void)r;
	(void)next_hop;
	(void)wants;
	rig.asked++;
	rig.asked_fn = fn;
	rig.asked_arg = arg;
	return 1;
}

void resolver_cancel(struct resolver *r, uint64_t ask)
{
	(void)r;
	(void)ask;
}

void resolver_forget(struct resolver *r, const char *next_hop)
{
	(void)r;
	(void)next_hop;
	rig.forgotten++;
}

void smtpout_hurry(struct smtpout *o, const char *next_hop)
{
	(void)o;
	(void)next_hop;
}

/* --- the wiring ------------------------------------------------------------------------------- */

static void rig_judge(const struct filter_row *row, struct str domain, struct sched_verdict *ret)
{
	const struct route *route;
	ret->hold = holds_judge(rig.env.holds, row, &ret->hold_asks);
	(void)routes_judge(rig.env.routes, row, domain, &route, ret->next_hop);
}

static void judge_group(void *arg, uint32_t domain, uint32_t stream, struct sched_verdict *ret)
{
	struct filter_row row;
	(void)arg;
	env_group_row(&rig.env, domain, stream, &row);
	rig_judge(&row, queue_name_text(rig.env.queue, domain), ret);
}

static void judge_rcpt(void *arg, const struct message *m, const struct message_rcpt *r,
		       const struct sched_view *v, struct sched_verdict *ret)
{
	struct filter_row row;
	(void)arg;
	env_rcpt_row(&rig.env, m, r, v, &row);
	rig_judge(&row, queue_name_text(rig.env.queue, r->domain), ret);
}

static int64_t extra_life(void *arg, const struct sched_view *v)
{
	(void)arg;
	(void)v;
	return 0;
}

static void on_kick(void *arg, const char *next_hop, unsigned n)
{
	(void)arg;
	(void)next_hop;
	(void)n;
	rig.kicks++;
}

static void on_give(void *arg, uint64_t token, const struct message *m_take,
		    const unsigned *rcpts_n, unsigned n)
{
	(void)arg;
	(void)token;
	rig.given = m_take;
	rig.given_n = n;
	rig.answered = true;
	if (n > 0)
		memcpy(rig.given_ns, rcpts_n, n * sizeof(*rcpts_n));
}

static void on_classify(void *arg, struct attempt *a)
{
	(void)arg;
	(void)a;
}

static void on_failed(void *arg, const struct message *m, const struct queue_result *results,
		      unsigned n, uint64_t ticket)
{
	(void)arg;
	report_failed(&rig.env, m, results, n, ticket);
}

static const struct sched_ops rig_sched_ops = {
	.judge_group = judge_group,
	.judge_rcpt = judge_rcpt,
	.extra_life = extra_life,
	.kick = on_kick,
	.give = on_give,
	.classify = on_classify,
	.failed = on_failed,
};

static ctl_handler_fn *const rig_handlers[M__COUNT] = {
	[M_PING] = ctl_ping,
	[M_QUEUE_HOLD] = ctl_queue_hold,
	[M_QUEUE_RELEASE] = ctl_queue_release,
	[M_QUEUE_RETRY] = ctl_queue_retry,
	[M_QUEUE_BOUNCE] = ctl_queue_bounce,
	[M_QUEUE_DELETE] = ctl_queue_delete,
	[M_PLAN_MAKE] = ctl_plan_make,
	[M_PLAN_ROWS] = ctl_plan_rows,
	[M_PLAN_COMMIT] = ctl_plan_commit,
	[M_PLAN_DROP] = ctl_plan_drop,
	[M_ACTION_LIST] = ctl_action_list,
	[M_ACTION_UNDO] = ctl_action_undo,
	[M_HOLD_LIST] = ctl_hold_list,
	[M_DKIM_LIST] = ctl_dkim_list,
	[M_DKIM_SHOW] = ctl_dkim_show,
	[M_DKIM_ADD] = ctl_dkim_add,
	[M_DKIM_ROTATE] = ctl_dkim_rotate,
	[M_DKIM_ACTIVATE] = ctl_dkim_activate,
	[M_DKIM_RETIRE] = ctl_dkim_retire,
	[M_DKIM_REMOVE] = ctl_dkim_remove,
	[M_ALLOW_ADD] = ctl_allow_add,
	[M_ALLOW_REMOVE] = ctl_allow_remove,
	[M_CRED_ADD] = ctl_cred_add,
	[M_CRED_ROTATE] = ctl_cred_rotate,
	[M_CRED_REVOKE] = ctl_cred_revoke,
	[M_CRED_UNBLOCK] = ctl_cred_unblock,
	[M_ROUTE_ADD] = ctl_route_add,
	[M_ROUTE_REMOVE] = ctl_route_remove,
	[M_ROUTE_MOVE] = ctl_route_move,
	[M_ROUTE_SET] = ctl_route_set,
	[M_STREAM_ADD] = ctl_stream_add,
	[M_STREAM_SET] = ctl_stream_set,
	[M_STREAM_MOVE] = ctl_stream_move,
	[M_CONFIG_IMPORT] = ctl_config_import,
	[M_BOUNCES_REMOVE] = ctl_bounces_remove,
	[M_CONFIG_LOAD] = ctl_config_load,
	[M_CONFIG_EXPORT] = ctl_config_export,
	[M_CONFIG_DIFF] = ctl_config_diff,
	[M_CONFIG_HISTORY] = ctl_config_history,
	[M_CONFIG_CONFIRM] = ctl_config_confirm,
	[M_CONFIG_ROLLBACK] = ctl_config_rollback,
	[M_POOL_ADD] = ctl_pool_add,
	[M_AUDIT_LIST] = ctl_audit_list,
	[M_AUDIT_VERIFY] = ctl_audit_verify,
};

static int rig_replay(void *env, const struct ctl_call *call, json_t **ret, struct err *err)
{
	return actions_replay(env, call, ret, err);
}

static void rig_audit(void *env, const struct ctl_caller *who, const struct ctl_change *change)
{
	actions_audit(env, who, change);
}

static void rig_gone(void *arg, uint64_t conn)
{
	const struct ctl_env *env = arg;
	if (env->actions != NULL)
		uploads_gone(env->actions, conn);
}

static json_t *rig_nothing(void *env)
{
	(void)env;
	return json_object();
}

static const struct ctl_services rig_services = {
	.handlers = rig_handlers,
	.replay = rig_replay,
	.audit = rig_audit,
	.gone = rig_gone,
	.status = rig_nothing,
	.changes = rig_nothing,
};

static void rig_log(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(rig.log);
	(void)arg;
	(void)level;
	if (n + strlen(line) + 2 > sizeof(rig.log))
		rig.log[n = 0] = '\0';
	(void)snprintf(rig.log + n, sizeof(rig.log) - n, "%s\n", line);
}

static void rig_on_event(void *arg, const struct queue_event *e)
{
	(void)arg;
	rig.events[e->attempt.outcome]++;
	(void)snprintf(rig.last_reply, sizeof(rig.last_reply), "%s", e->attempt.reply);
}

static void rig_on_disk(void *arg, const struct err *err)
{
	(void)arg;
	rig.env.disk_full = err != NULL;
}

static void rig_on_row(void *arg, const struct queue_row *row)
{
	(void)arg;
	sched_load(rig.env.sched, row);
}

/* --- start and end ---------------------------------------------------------------------------- */

RIG_UNUSED void rig_login(const char *user, uid_t uid, enum access role)
{
	int fds[2];
	if (rig.fd > 0)
		(void)close(rig.fd);
	rig.who = (struct ctl_caller){ .uid = uid, .role = role, .from_where = "local" };
	(void)snprintf(rig.who.user, sizeof(rig.who.user), "%s", user);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ctl_serve(rig.env.ctl, fds[0], &rig.who);
	rig.fd = fds[1];
	buf_reset(&rig.in);
}

RIG_UNUSED void rig_open(void)
{
	static const struct queue_ops ops = { .on_disk = rig_on_disk };
	static const struct queue_config cfg = { .dir = rig.dir,
						 .keep_finished_ms = 86400000,
						 .keep_finished_max = 100000,
						 .relay = "mx.example.net" };
	static const struct sched_config scfg = { .retry_first_ms = 60000,
						  .retry_max_ms = 3600000,
						  .lifetime_ms = INT64_C(5) * 86400000,
						  .backoff_first_ms = 30000,
						  .backoff_max_ms = 600000 };
	struct ctl_config ccfg = { .relay = "mx.example.net", .version = "1" };
	struct ctl_env *e = &rig.env;
	struct err err = ERR_INIT;
	rig.loop = loop_new();
	if (!rig.real_clock)
		loop_fake_clock(rig.loop, rig.clock_ms);
	*e = (struct ctl_env){ .loop = rig.loop,
			       .holds = holds_new(),
			       .routes = routes_new(),
			       .streams = streams_new(),
			       .pools = pools_new(),
			       .allow = allow_new(),
			       .creds = creds_new(),
			       .guard = guard_new(&(struct guard_config){ .failures_max = 3 }),
			       .keys = keys_new(),
			       .suppress = suppress_new(),
			       .hostname = "mx.example.net",
			       .undo_window_ms = RIG_UNDO_MS,
			       .bounce_grace_ms = RIG_GRACE_MS };
	e->resolver = (struct resolver *)&rig; /* never looked into */
	if (queue_open(rig.loop, &cfg, &ops, NULL, &e->queue, &err) < 0)
		fail_msg("%s", err.msg);
	queue_watch(e->queue, rig_on_event, NULL);
	e->sched = sched_new(rig.loop, e->queue, &scfg, &rig_sched_ops, NULL);
	if (queue_load(e->queue, rig_on_row, NULL, &err) < 0 || actions_open(e, &err) < 0)
		fail_msg("%s", err.msg);
	sched_start(e->sched);
	actions_start(e->actions);
	assert_int_equal(ctl_new(rig.loop, &ccfg, &rig_services, e, &e->ctl, &err), 0);
	rig_login("olga", 4242, ACCESS_ADMIN);
}

RIG_UNUSED void rig_close(void)
{
	struct ctl_env *e = &rig.env;
	rig.clock_ms = loop_wall_ms(rig.loop);
	queue_close(&e->queue);
	views_close(e);
	actions_close(&e->actions);
	ctl_free(&e->ctl);
	sched_free(&e->sched);
	holds_free(&e->holds);
	routes_free(&e->routes);
	streams_free(&e->streams);
	pools_free(&e->pools);
	allow_free(&e->allow);
	keys_free(&e->keys);
	suppress_free(&e->suppress);
	loop_free(&rig.loop);
	creds_free(&e->creds);
	guard_free(&e->guard);
	(void)close(rig.fd);
	rig.fd = 0;
}

RIG_UNUSED void rig_restart(void)
{
	rig_close();
	rig_open();
}

RIG_UNUSED int rig_setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.clock_ms = RIG_NOW;
	rig.in = BUF_INIT(16u << 20);
	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/weir-ops-XXXXXX");
	if (mkdtemp(rig.dir) == NULL)
		return -1;
	log_to_fn(rig_log, NULL);
	rig_open();
	return 0;
}

static int rig_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

RIG_UNUSED int rig_teardown(void **state)
{
	(void)state;
	rig_close();
	buf_done(&rig.in);
	json_decref(rig.early);
	rig.early = NULL;
	return nftw(rig.dir, rig_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int64_t rig_cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Measured in CPU time of the loop's thread: what others do on the machine does not count. */
RIG_UNUSED void rig_real_turn(void)
{
	int64_t since = rig_cpu_us();
	(void)event_base_loop(loop_base(rig.loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	int64_t took = rig_cpu_us() - since;
	if (took > rig.longest_us)
		rig.longest_us = took;
	if (took < 100)
		(void)poll(NULL, 0, 1);
}

/* One turn of the loop; the clock does not move, unless something waits for a moment. */
RIG_UNUSED void rig_turn(unsigned n)
{
	if (rig.real_clock) {
		rig_real_turn();
		return;
	}
	loop_advance(rig.loop, 0);
	if (n % 16 == 15)
		loop_advance(rig.loop, 10);
	if (n >= 16)
		(void)poll(NULL, 0, 1);
	if (n > RIG_WAIT_MS)
		fail_msg("nothing came; log: %s", rig.log);
}

RIG_UNUSED void rig_disk(void)
{
	for (unsigned n = 0; queue_record_backlog(rig.env.queue) > 0; n++)
		rig_turn(n);
}

RIG_UNUSED void rig_advance(int64_t ms)
{
	loop_advance(rig.loop, ms);
	for (unsigned n = 0; n < 40; n++)
		loop_advance(rig.loop, 0);
	rig_disk();
}

/* --- calls ------------------------------------------------------------------------------------ */

static json_t *rig_line(void)
{
	for (;;) {
		ptrdiff_t end = str_index(buf_str(&rig.in), '\n');
		ssize_t n;
		if (end >= 0) {
			json_t *v = json_loadb(rig.in.p, (size_t)end, 0, NULL);
			assert_non_null(v);
			buf_drop(&rig.in, (size_t)end + 1);
			return v;
		}
		assert_true(buf_reserve(&rig.in, 65536));
		n = recv(rig.fd, rig.in.p + rig.in.n, 65536, MSG_DONTWAIT);
		if (n <= 0)
			return NULL;
		rig.in.n += (size_t)n;
	}
}

/* Sends a request; its id. */
RIG_UNUSED int rig_ask(const char *method, const char *params)
{
	AUTO_FREE char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\","
					 "\"params\":%s}\n",
					 ++rig.last_id, method, params);
	size_t n = strlen(line);
	assert_int_equal(send(rig.fd, line, n, MSG_NOSIGNAL), (ssize_t)n);
	return rig.last_id;
}

static json_t *rig_take(int id)
{
	size_t i;
	json_t *v;
	json_array_foreach(rig.early, i, v)
	{
		if (json_get_int(v, "id") != id)
			continue;
		json_incref(v);
		(void)json_array_remove(rig.early, i);
		return v;
	}
	return NULL;
}

/* The answer to it: the result (owned), or NULL with rig.err. */
RIG_UNUSED json_t *rig_answer(int id)
{
	json_t *v, *line, *result, *error;
	if (rig.early == NULL)
		rig.early = json_array();
	for (unsigned n = 0; (v = rig_take(id)) == NULL; n++) {
		while ((line = rig_line()) != NULL)
			(void)json_array_append_new(rig.early, line);
		rig_turn(n);
	}
	result = json_incref(json_object_get(v, "result"));
	error = json_object_get(v, "error");
	memset(&rig.err, 0, sizeof(rig.err));
	if (error != NULL) {
		const json_t *data = json_object_get(error, "data");
		rig.err.code = err_from_name(json_get_str(data, "name"));
		(void)snprintf(rig.err.msg, sizeof(rig.err.msg), "%s",
			       json_get_str(error, "message"));
		(void)snprintf(rig.err.param, sizeof(rig.err.param), "%s",
			       json_get_str(data, "param"));
	}
	json_decref(v);
	return result;
}

RIG_UNUSED json_t *rig_call(const char *method, const char *params)
{
	return rig_answer(rig_ask(method, params));
}

/* Must succeed; owned. */
RIG_UNUSED json_t *rig_do(const char *method, const char *params)
{
	json_t *v = rig_call(method, params);
	if (v == NULL)
		fail_msg("%s %s: %s", method, params, rig.err.msg);
	return v;
}

/* Must be refused, with these words in the message. */
RIG_UNUSED void rig_refuse(const char *method, const char *params, int code, const char *words)
{
	json_t *v = rig_call(method, params);
	if (v != NULL)
		fail_msg("%s %s was not refused: %s", method, params, json_dumps(v, 0));
	if (rig.err.code != code || strstr(rig.err.msg, words) == NULL)
		fail_msg("%s %s: %s: %s", method, params, err_name(rig.err.code), rig.err.msg);
}

/* --- mail ------------------------------------------------------------------------------------- */

static void rig_on_stored(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL)
		fail_msg("%s", err->msg);
	rig.stored = true;
}

static void rig_on_read(void *arg, const struct message *m, const struct err *err)
{
	(void)arg;
	if (m == NULL)
		fail_msg("%s", err->msg);
	sched_add(rig.env.sched, m);
	message_unref(&m);
	rig.stored = true;
}

/* A message comes in; `to` with commas. */
RIG_UNUSED struct msgid rig_accept(const char *from, const char *to)
{
	static const char content[] = "Subject: a test\r\n\r\nbody\r\n";
	struct message_rcpt rcpts[64];
	struct queue_new n = { .content_take = xstrdup(content) };
	struct str rest = str_of(to);
	unsigned k = 0;
	while (rest.n > 0 && k < ARRAY_LEN(rcpts)) {
		struct str one = str_cut(&rest, ',');
		rcpts[k++] =
			(struct message_rcpt){ .address = one,
					       .domain = queue_name(rig.env.queue,
								    address_text_domain(one)) };
	}
	n.m = (struct message){ .id = queue_new_id(rig.env.queue),
				.received_ms = loop_wall_ms(rig.loop),
				.expires_ms = loop_wall_ms(rig.loop) + INT64_C(5) * 86400000,
				.sender = str_of(from),
				.client = STR("192.0.2.1"),
				.helo = STR("client.example"),
				.msgid_header = STR("<1@example>"),
				.subject = STR("a test"),
				.credential = STR(""),
				.stream = queue_name(rig.env.queue, STR("default")),
				.size = sizeof(content) - 1,
				.content = str_from(n.content_take, sizeof(content) - 1),
				.rcpts = rcpts,
				.rcpts_n = k };
	rig.stored = false;
	queue_accept(rig.env.queue, &n, rig_on_stored, NULL);
	for (unsigned t = 0; !rig.stored; t++)
		rig_turn(t);
	rig.stored = false;
	queue_message_read(rig.env.queue, n.m.id, false, rig_on_read, NULL);
	for (unsigned t = 0; !rig.stored; t++)
		rig_turn(t);
	return n.m.id;
}

/* A session of this next hop takes something. True when there was something. */
RIG_UNUSED bool rig_want(const char *next_hop)
{
	rig.answered = false;
	sched_want(rig.env.sched, next_hop, 1);
	for (unsigned n = 0; !rig.answered; n++)
		rig_turn(n);
	return rig.given_n > 0;
}

/* How the transaction that was given ends. */
RIG_UNUSED void rig_end(enum outcome o, int code, const char *enhanced, const char *reply)
{
	const struct message *m = rig.given;
	struct sched_result v[SCHED_DELIVERY_MAX];
	for (unsigned k = 0; k < rig.given_n; k++) {
		struct attempt *a = &v[k].attempt;
		v[k] = (struct sched_result){ .rid = rid_of(m->id, rig.given_ns[k]) };
		a->at_ms = loop_wall_ms(rig.loop);
		a->outcome = o;
		a->code = code;
		(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
		(void)snprintf(a->reply, sizeof(a->reply), "%s", reply);
	}
	sched_done(rig.env.sched, m, v, rig.given_n);
	message_unref(&m);
}

/* Everything that is ready for the next hop is deferred. */
RIG_UNUSED void rig_defer(const char *next_hop)
{
	while (rig_want(next_hop))
		rig_end(OUTCOME_DEFERRED, 451, "4.3.2", "451 4.3.2 Later");
	rig_disk();
}

RIG_UNUSED enum sched_state rig_state(struct msgid id, unsigned n)
{
	struct sched_view v;
	return sched_find(rig.env.sched, rid_of(id, n), &v) ? v.state : SCHED_STATE__COUNT;
}

RIG_UNUSED uint64_t rig_count(enum sched_state s)
{
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest;
	sched_totals(rig.env.sched, &c, &messages, &oldest);
	return c.state[s];
}

#endif
