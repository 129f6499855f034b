/*
 * view_rig - the reading side of the control protocol on a real queue and a real scheduler: a
 * directory of its own, a clock that stands still, a client at a socketpair. Every answer is
 * checked against fields.def. One program, one rig.
 */
#ifndef TESTS_VIEW_RIG_H
#define TESTS_VIEW_RIG_H

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/actions_int.h"
#include "ctl/handlers.h"
#include "ctl/views.h"
#include "lib/reply_schema.h"

#define NOW INT64_C(1795490000000)
#define WAIT_MS 30000
#define RATE "421 4.7.28 Our system has detected an unusual rate, ticket 4711"
#define UNUSED __attribute__((__unused__)) static

static struct {
	char dir[64];
	struct ctl_env env;
	struct actions actions;
	int fd;
	struct buf in;
	int last_id;
	char error[512]; /* of the last answer: "NAME PARAM: TEXT", or empty */
	char log[8192];
	/* what the scheduler gave */
	const struct message *given;
	unsigned given_n[SCHED_DELIVERY_MAX];
	unsigned given_count;
	bool gave;
	/* the fake resolver */
	struct {
		resolve_fn *fn;
		void *arg;
		char hop[ROUTE_HOP_MAX];
	} ask;
	bool provider_known;
	struct smtpout_hop_view hop; /* of every next hop */
	bool hop_known;
} rig;

/* ---- stand-ins for what is not looked at here ---- */

const char *resolver_provider(const struct resolver *r, struct str domain)
{
	(void)r;
	if (str_eq(domain, STR("gmail.example")) || str_eq(domain, STR("startup.example")))
		return rig.provider_known ? "google.com" : NULL;
	return str_eq(domain, STR("down.example")) ? "down.example" : NULL;
}

uint64_t resolver_ask(struct resolver *r, const char *next_hop, unsigned wants, resolve_fn *fn,
		      void *arg)
{
	(void)wants;
	(void)r;
	assert_null(rig.ask.fn);
	rig.ask.fn = fn;
	rig.ask.arg = arg;
	(void)snprintf(rig.ask.hop, sizeof(rig.ask.hop), "%s", next_hop);
	return 1;
}

void resolver_cancel(struct resolver *r, uint64_t ask)
{
	(void)r;
	(void)ask;
	rig.ask.fn = NULL;
}

bool smtpout_hop(const struct smtpout *o, const char *next_hop, struct smtpout_hop_view *ret)
{
	(void)o;
	(void)next_hop;
	*ret = rig.hop;
	return rig.hop_known;
}

unsigned smtpout_connections(const struct smtpout *o)
{
	(void)o;
	return 7;
}

int actions_replay(struct ctl_env *env, const struct ctl_call *call, json_t **ret, struct err *err)
{
	(void)env;
	(void)call;
	(void)ret;
	(void)err;
	return 0;
}

void actions_audit(struct ctl_env *env, const struct ctl_caller *who,
		   const struct ctl_change *change)
{
	(void)env;
	(void)who;
	(void)change;
}

/* Methods that change something are tested elsewhere. */
static void not_here(struct ctl_call *call)
{
	ctl_reply(call, json_object());
}
#define NOT_HERE(fn)                                                                               \
	void ctl_##fn(struct ctl_call *call)                                                       \
	{                                                                                          \
		not_here(call);                                                                    \
	}
NOT_HERE(queue_hold)
NOT_HERE(queue_release)
NOT_HERE(queue_retry)
NOT_HERE(queue_bounce)
NOT_HERE(queue_delete)
NOT_HERE(plan_make)
NOT_HERE(plan_rows)
NOT_HERE(plan_commit)
NOT_HERE(plan_drop)
NOT_HERE(action_list)
NOT_HERE(action_undo)
NOT_HERE(config_history)
NOT_HERE(config_diff)
NOT_HERE(config_rollback)
NOT_HERE(config_confirm)
NOT_HERE(config_export)
NOT_HERE(config_import)
NOT_HERE(config_load)
NOT_HERE(hold_list)
NOT_HERE(allow_add)
NOT_HERE(allow_remove)
NOT_HERE(allow_set)
NOT_HERE(dkim_add)
NOT_HERE(dkim_rotate)
NOT_HERE(dkim_activate)
NOT_HERE(dkim_retire)
NOT_HERE(dkim_remove)
NOT_HERE(cred_add)
NOT_HERE(cred_set)
NOT_HERE(cred_rotate)
NOT_HERE(cred_retire)
NOT_HERE(cred_import)
NOT_HERE(cred_incident)
NOT_HERE(cred_disable)
NOT_HERE(cred_enable)
NOT_HERE(cred_revoke)
NOT_HERE(cred_unblock)
NOT_HERE(route_add)
NOT_HERE(route_set)
NOT_HERE(route_remove)
NOT_HERE(route_move)
NOT_HERE(pool_add)
NOT_HERE(pool_set)
NOT_HERE(pool_remove)
NOT_HERE(stream_add)
NOT_HERE(stream_set)
NOT_HERE(stream_remove)
NOT_HERE(stream_move)
NOT_HERE(suppress_add)
NOT_HERE(suppress_remove)
NOT_HERE(suppress_load)
NOT_HERE(suppress_import)
NOT_HERE(bounces_remove)

/* ---- the wiring ---- */

static void judge(const struct filter_row *row, struct str domain, struct sched_verdict *ret)
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
	judge(&row, queue_name_text(rig.env.queue, domain), ret);
}

static void judge_rcpt(void *arg, const struct message *m, const struct message_rcpt *r,
		       const struct sched_view *v, struct sched_verdict *ret)
{
	struct filter_row row;

	(void)arg;
	env_rcpt_row(&rig.env, m, r, v, &row);
	judge(&row, queue_name_text(rig.env.queue, r->domain), ret);
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
}

static void on_give(void *arg, uint64_t token, const struct message *m_take,
		    const unsigned *rcpts_n, unsigned n)
{
	(void)arg;
	(void)token;
	rig.gave = true;
	rig.given = m_take;
	rig.given_count = n;
	for (unsigned i = 0; i < n; i++)
		rig.given_n[i] = rcpts_n[i];
}

static void on_classify(void *arg, struct attempt *a)
{
	(void)arg;
	if (a->reply_class != 0)
		return;
	a->reply_class = a->code == 421					   ? REPLY_RATE_LIMITED
			 : a->code == 450				   ? REPLY_GREYLISTED
			 : a->code == 550				   ? REPLY_BAD_MAILBOX
			 : a->code == 0 && a->outcome != OUTCOME_DELIVERED ? REPLY_NETWORK
			 : a->code < 400				   ? REPLY_NONE
									   : REPLY_OTHER;
}

static void on_failed(void *arg, const struct message *m, const struct queue_result *results,
		      unsigned n, uint64_t ticket)
{
	(void)arg;
	(void)m;
	(void)results;
	(void)n;
	sched_failed_recorded(rig.env.sched, ticket);
}

static void on_event(void *arg, const struct queue_event *e)
{
	(void)arg;
	rates_add(&rig.env.rates,
		  e->attempt.outcome == OUTCOME_RECEIVED    ? RATE_ACCEPTED
		  : e->attempt.outcome == OUTCOME_DELIVERED ? RATE_DELIVERED
		  : e->attempt.outcome == OUTCOME_DEFERRED  ? RATE_DEFERRED
							    : RATE_FAILED,
		  1, loop_wall_ms(rig.env.loop));
}

static void on_log(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(rig.log);

	(void)arg;
	if (level <= LOG_LEVEL_WARN)
		(void)snprintf(rig.log + n, sizeof(rig.log) - n, "%s\n", line);
}

/* ---- turning the loop ---- */

/* One turn; waits a moment for the queue's threads. */
UNUSED void turn(void)
{
	loop_advance(rig.env.loop, 0);
	(void)poll(NULL, 0, 1);
	loop_advance(rig.env.loop, 0);
}

UNUSED void settle(void)
{
	for (int i = 0; queue_record_backlog(rig.env.queue) > 0; i++) {
		if (i == WAIT_MS)
			fail_msg("results are not written: %s", rig.log);
		turn();
	}
}

/* ---- mail ---- */

struct letter {
	const char *from;
	const char *to; /* several with commas */
	const char *subject;
	const char *stream;
	const char *credential;
	size_t size; /* of the body */
};

struct stored {
	bool done;
	int code;
};

static void on_stored(void *arg, const struct err *err)
{
	struct stored *s = arg;

	s->done = true;
	s->code = err != NULL ? err->code : 0;
}

UNUSED struct msgid post(const struct letter *l)
{
	struct message_rcpt rcpts[64];
	struct stored stored = { .done = false };
	struct str to = str_of(l->to);
	struct str subject = str_of(l->subject != NULL ? l->subject : "Hello");
	unsigned n = 0;
	char *content = xasprintf("Subject: %.*s\r\nFrom: x\r\n\r\n%*s\r\n", STR_ARG(subject),
				  (int)(l->size != 0 ? l->size : 10), "body");
	struct queue_new q = { .content_take = content };
	const struct message *m;

	for (; to.n > 0 && n < ARRAY_LEN(rcpts); n++) {
		struct str one = str_cut(&to, ',');
		rcpts[n] = (struct message_rcpt){
			.n = n + 1,
			.address = one,
			.domain = queue_name(rig.env.queue, address_text_domain(one)),
		};
	}
	q.m = (struct message){
		.id = queue_new_id(rig.env.queue),
		.received_ms = loop_wall_ms(rig.env.loop),
		.expires_ms = loop_wall_ms(rig.env.loop) + INT64_C(5) * 86400000,
		.sender = str_of(l->from != NULL ? l->from : "shop@shop.example"),
		.client = STR("192.0.2.7"),
		.helo = STR("client.example"),
		.msgid_header = STR("<1@shop.example>"),
		.subject = subject,
		.credential = str_of(l->credential != NULL ? l->credential : ""),
		.stream = queue_name(rig.env.queue,
				     str_of(l->stream != NULL ? l->stream : "default")),
		.size = strlen(content),
		.content = str_of(content),
		.rcpts = rcpts,
		.rcpts_n = n,
	};
	queue_accept(rig.env.queue, &q, on_stored, &stored);
	while (!stored.done)
		turn();
	assert_int_equal(stored.code, 0);
	m = queue_message_cached(rig.env.queue, q.m.id);
	assert_non_null(m);
	sched_add(rig.env.sched, m);
	message_unref(&m);
	return q.m.id;
}

/* Takes one transaction to the next hop into a session; false: there is none. */
UNUSED bool take_one(const char *next_hop)
{
	rig.gave = false;
	sched_want(rig.env.sched, next_hop, 1);
	for (int i = 0; !rig.gave; i++) {
		assert_true(i < WAIT_MS);
		turn();
	}
	return rig.given != NULL;
}

/* The session's result for all that it took. */
UNUSED void result(enum outcome outcome, int code, const char *enhanced, const char *reply)
{
	struct sched_result r[SCHED_DELIVERY_MAX];

	for (unsigned i = 0; i < rig.given_count; i++) {
		struct attempt *a = &r[i].attempt;
		r[i] = (struct sched_result){ .rid = rid_of(rig.given->id, rig.given_n[i]) };
		a->at_ms = loop_wall_ms(rig.env.loop);
		a->outcome = outcome;
		a->code = code;
		a->duration_ms = 12;
		(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
		(void)snprintf(a->reply, sizeof(a->reply), "%s", reply);
		(void)snprintf(a->host, sizeof(a->host), "mx.remote.example");
		(void)snprintf(a->ip, sizeof(a->ip), "192.0.2.25");
	}
	sched_done(rig.env.sched, rig.given, r, rig.given_count);
	message_unref(&rig.given);
}

/* All that is ready for a domain meets the same. */
UNUSED void meet(const char *domain, enum outcome outcome, int code, const char *enhanced,
		 const char *reply)
{
	AUTO_FREE char *hop = xasprintf("mx:%s", domain);

	while (take_one(hop))
		result(outcome, code, enhanced, reply);
	settle();
}

UNUSED void hold(unsigned number, const char *target, const char *more)
{
	AUTO_FREE char *json = xasprintf("{\"id\":\"h%u\",\"target\":\"%s\",\"reason\":\"incident "
					 "7\",\"by\":\"eva\",\"created_ms\":%lld%s}",
					 number, target, (long long)(NOW - 60000), more);

	assert_int_equal(holds_put(rig.env.holds, json, NULL), 0);
	rig.env.holds_generation++;
	sched_rejudge(rig.env.sched, false);
	turn();
}

UNUSED void route(unsigned number, const char *match, const char *to)
{
	AUTO_FREE char *json =
		xasprintf("{\"id\":\"r%u\",\"place\":%u,\"match\":\"%s\",\"to\":\"%s\",\"note\":"
			  "\"n\",\"by\":\"eva\",\"created_ms\":%lld}",
			  number, number, match, to, (long long)NOW);

	assert_int_equal(routes_put(rig.env.routes, json, NULL), 0);
	sched_rejudge(rig.env.sched, true);
	turn();
}

/* Three destinations: one that is slow, one that is down, one that is well. */
UNUSED void mail(void)
{
	char to[64];

	for (int i = 0; i < 6; i++) {
		(void)snprintf(to, sizeof(to), "user%d@gmail.example", i);
		(void)post(
			&(struct letter){ .to = to,
					  .from = i < 2 ? "news@shop.example" : "shop@shop.example",
					  .stream = i < 4 ? "marketing" : "default",
					  .credential = i < 3 ? "crm" : "",
					  .size = (size_t)(100 + 100 * i) });
		loop_advance(rig.env.loop, 1000);
	}
	(void)post(&(struct letter){ .to = "anna@startup.example" });
	loop_advance(rig.env.loop, 1000);
	(void)post(&(struct letter){ .to = "bob@down.example,eve@down.example", .size = 5000 });
	loop_advance(rig.env.loop, 1000);
	(void)post(&(struct letter){ .to = "carl@fast.example", .subject = "Invoice" });
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
}

UNUSED void down(void)
{
	struct attempt why = { .at_ms = loop_wall_ms(rig.env.loop),
			       .outcome = OUTCOME_DEFERRED,
			       .reply_class = REPLY_NETWORK,
			       .reply = "connect to mx.down.example: connection refused" };

	sched_unreachable(rig.env.sched, "mx:down.example", &why, false);
	settle();
}

UNUSED const char *text_of(const json_t *o, const char *name)
{
	return json_get_str(o, name);
}

/* ---- the client ---- */

static void client_in(enum access role)
{
	struct ctl_caller who = { .uid = 4242, .role = role, .from_where = "local" };
	int fds[2];

	(void)snprintf(who.user, sizeof(who.user), "olga");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ctl_serve(rig.env.ctl, fds[0], &who);
	rig.fd = fds[1];
	rig.in = BUF_INIT(64u << 20);
}

/* The next line (owned), waiting for it; NULL when none comes within `ms`. */
UNUSED json_t *next_line(int ms)
{
	for (int i = 0; i <= ms; i++) {
		ptrdiff_t end;
		ssize_t n;
		loop_advance(rig.env.loop, 0);
		assert_true(buf_reserve(&rig.in, 65536));
		while ((n = recv(rig.fd, rig.in.p + rig.in.n, 65536, MSG_DONTWAIT)) > 0) {
			rig.in.n += (size_t)n;
			loop_advance(rig.env.loop, 0);
			assert_true(buf_reserve(&rig.in, 65536));
		}
		end = str_index(buf_str(&rig.in), '\n');
		if (end >= 0) {
			json_t *v = json_loadb(rig.in.p, (size_t)end, 0, NULL);
			assert_non_null(v);
			buf_drop(&rig.in, (size_t)end + 1);
			return v;
		}
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

UNUSED json_t *parse(const char *text)
{
	AUTO_FREE char *copy = xstrdup(text);
	json_t *v;

	for (char *c = copy; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	v = json_loads(copy, 0, NULL);
	if (v == NULL)
		fail_msg("bad JSON in the test: %s", copy);
	return v;
}

UNUSED void send_call(const char *method, const json_t *params)
{
	AUTO_BUF line = BUF_INIT(1u << 20);

	assert_true(proto_put_request(&line, (uint64_t)++rig.last_id, method, params));
	assert_int_equal(send(rig.fd, line.p, line.n, MSG_NOSIGNAL), (ssize_t)line.n);
}

static void check_answer(const char *method, const json_t *params, const json_t *result)
{
	AUTO_FREE char *wrong = reply_schema_check(method_find(method), params, result);

	if (wrong != NULL) {
		AUTO_FREE char *text = json_dumps(result, 0);
		fail_msg("%s: %s in %.2000s", method, wrong, text);
	}
}

static json_t *take_answer(const char *method, const json_t *params, json_t *line)
{
	json_t *result = json_object_get(line, "result");
	const json_t *error = json_object_get(line, "error");

	rig.error[0] = '\0';
	if (result != NULL) {
		check_answer(method, params, result);
		return json_incref(result);
	}
	(void)snprintf(rig.error, sizeof(rig.error), "%s %s: %s",
		       json_get_str(json_object_get(error, "data"), "name"),
		       json_get_str(json_object_get(error, "data"), "param"),
		       json_get_str(error, "message"));
	return NULL;
}

/* The result (owned), checked; NULL when it was refused, see rig.error. Params with ' for ". */
UNUSED json_t *ask(const char *method, const char *params_text)
{
	json_t *params = parse(params_text);
	json_t *result = NULL;
	json_t *line;

	send_call(method, params);
	for (;;) {
		line = next_line(WAIT_MS);
		if (line == NULL)
			fail_msg("no answer to %s %s: %s", method, params_text, rig.log);
		if (json_get_int(line, "id") == rig.last_id)
			break;
		json_decref(line);
	}
	result = take_answer(method, params, line);
	json_decref(line);
	json_decref(params);
	return result;
}

UNUSED json_t *ask_well(const char *method, const char *params)
{
	json_t *v = ask(method, params);

	if (v == NULL)
		fail_msg("%s %s: %s", method, params, rig.error);
	return v;
}

UNUSED void refused(const char *method, const char *params, const char *with)
{
	json_t *v = ask(method, params);

	if (v != NULL || strstr(rig.error, with) == NULL)
		fail_msg("%s %s: wanted %s, got %s", method, params, with, rig.error);
}

/* The texts of a field, joined by spaces; owned. */
UNUSED char *column(const json_t *result, const char *name)
{
	AUTO_BUF out = BUF_INIT(1u << 20);
	size_t i;
	json_t *row;

	json_array_foreach(json_object_get(result, "rows"), i, row)
	{
		const json_t *v = json_object_get(row, name);
		AUTO_FREE char *text = json_dumps(v, JSON_ENCODE_ANY);
		(void)buf_printf(&out, "%s%s", i > 0 ? " " : "",
				 json_is_string(v) ? json_string_value(v) : text);
	}
	return buf_take(&out);
}

/* One call, one column. */
UNUSED void expect(const char *method, const char *params, const char *name, const char *want)
{
	json_t *v = ask_well(method, params);
	AUTO_FREE char *got = column(v, name);

	if (strcmp(got, want) != 0)
		fail_msg("%s %s %s:\nwanted %s\ngot    %s", method, params, name, want, got);
	json_decref(v);
}

/* ---- life ---- */

static int rig_setup(void **state)
{
	static const struct queue_ops queue_ops = { .on_disk = NULL };
	static const struct sched_ops sched_ops = {
		.judge_group = judge_group,
		.judge_rcpt = judge_rcpt,
		.extra_life = extra_life,
		.kick = on_kick,
		.give = on_give,
		.classify = on_classify,
		.failed = on_failed,
	};
	struct ctl_config ctl = { .group = (gid_t)-1, .relay = "mx1.example.net", .version = "1" };
	struct err err = ERR_INIT;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/weir-view-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	log_to_fn(on_log, NULL);
	rig.provider_known = true;
	rig.env.loop = loop_new();
	rig.env.actions = &rig.actions;
	loop_fake_clock(rig.env.loop, NOW);
	rig.env.holds = holds_new();
	rig.env.routes = routes_new();
	rig.env.streams = streams_new();
	rig.env.pools = pools_new();
	rig.env.allow = allow_new();
	rig.env.creds = creds_new();
	rig.env.guard = guard_new(&(struct guard_config){ .failures_max = 3 });
	rig.env.keys = keys_new();
	rig.env.suppress = suppress_new();
	rig.env.hostname = "mx1.example.net";
	rig.env.started_ms = NOW - 3600000;
	/* opaque, and only asked through the stand-ins */
	rig.env.smtpout = (struct smtpout *)&rig;
	if (queue_open(rig.env.loop,
		       &(struct queue_config){ .dir = rig.dir,
					       .keep_finished_ms = 86400000,
					       .keep_finished_max = 10000,
					       .relay = "mx1.example.net" },
		       &queue_ops, NULL, &rig.env.queue, &err) < 0)
		fail_msg("%s", err.msg);
	rig.env.sched = sched_new(rig.env.loop, rig.env.queue,
				  &(struct sched_config){ .retry_first_ms = 60000,
							  .retry_max_ms = 3600000,
							  .lifetime_ms = INT64_C(5) * 86400000,
							  .backoff_first_ms = 30000,
							  .backoff_max_ms = 600000 },
				  &sched_ops, NULL);
	assert_int_equal(queue_load(rig.env.queue, NULL, NULL, &err), 0);
	queue_watch(rig.env.queue, on_event, NULL);
	sched_start(rig.env.sched);
	assert_int_equal(ctl_new(rig.env.loop, &ctl, &ctl_services, &rig.env, &rig.env.ctl, &err),
			 0);
	client_in(ACCESS_OPERATOR);
	json_decref(next_line(WAIT_MS)); /* hello */
	return 0;
}

static int rig_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int rig_teardown(void **state)
{
	(void)state;
	assert_string_equal(rig.log, "");
	queue_close(&rig.env.queue);
	views_close(&rig.env);
	ctl_free(&rig.env.ctl);
	sched_free(&rig.env.sched);
	holds_free(&rig.env.holds);
	routes_free(&rig.env.routes);
	streams_free(&rig.env.streams);
	pools_free(&rig.env.pools);
	allow_free(&rig.env.allow);
	creds_free(&rig.env.creds);
	guard_free(&rig.env.guard);
	keys_free(&rig.env.keys);
	suppress_free(&rig.env.suppress);
	(void)close(rig.fd);
	buf_done(&rig.in);
	loop_free(&rig.env.loop);
	return nftw(rig.dir, rig_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
