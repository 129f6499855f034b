/*
 * A webhook through days of trouble: the receiver is killed, answers 500, comes back hours later;
 * the relay is restarted meanwhile. Mail is not delayed by a moment, every event arrives at least
 * once, those of a message in their order, and the alerts say what is the matter.
 */
#include "sim/sim.h"

#define FROM "app@h4.test"
#define SECRET "correct horse battery staple"
#define EVENTS_MAX 2000
#define RETRY_MAX_MS 61000 /* within which a sink tries again */
#define WORKERS_MAX 16	   /* of the relay's loop, and more */

/* --- the receiver ----------------------------------------------------------------------------- */

struct post {
	uint32_t magic;
	struct loop_fd *w;
	int fd;
	struct buf in;
};

static struct hook {
	char secret[40]; /* file */
	char config[512];
	uint16_t port;
	int reserved; /* the port, also while nobody is there */
	int fd;
	struct loop_fd *listener;
	int status;
	unsigned posts;
	unsigned refused;
	int64_t seqs[EVENTS_MAX];
	char ids[EVENTS_MAX][24];
	char kinds[EVENTS_MAX][16];
	char whom[EVENTS_MAX][64];
	size_t n;
} hook;

static void take_events(struct str body)
{
	json_t *v = json_loadb(body.p, body.n, 0, NULL);
	const json_t *e;
	size_t i;

	assert_non_null(v);
	json_array_foreach(json_object_get(v, "events"), i, e)
	{
		assert_true(hook.n < EVENTS_MAX);
		hook.seqs[hook.n] = json_get_int(e, "seq");
		(void)snprintf(hook.ids[hook.n], sizeof(hook.ids[0]), "%s", json_get_str(e, "id"));
		(void)snprintf(hook.kinds[hook.n], sizeof(hook.kinds[0]), "%s",
			       json_get_str(e, "event"));
		(void)snprintf(hook.whom[hook.n++], sizeof(hook.whom[0]), "%s",
			       json_get_str(e, "to"));
	}
	json_decref(v);
}

static void post_end(struct post *p)
{
	loop_fd_free(&p->w);
	(void)close(p->fd);
	buf_done(&p->in);
	free(p);
}

/* The whole of it, once it is there. */
static bool answered(struct post *p)
{
	static const char length[] = "Content-Length: ";
	const char *text = buf_cstr(&p->in);
	const char *end = strstr(text, "\r\n\r\n");
	const char *at = strstr(text, length);
	AUTO_FREE char *answer = NULL;
	uint64_t n;

	if (end == NULL || at == NULL)
		return false;
	n = strtoul(at + strlen(length), NULL, 10);
	if (p->in.n < (size_t)(end - text) + 4 + n)
		return false;
	hook.posts++;
	if (hook.status == 200)
		take_events(str_from(end + 4, n));
	else
		hook.refused++;
	answer = xasprintf("HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			   hook.status);
	(void)send(p->fd, answer, strlen(answer), MSG_NOSIGNAL);
	return true;
}

static void on_post(int fd, unsigned what, void *arg)
{
	struct post *p = OBJ(post, SIM_MAGIC + 7, arg);
	ssize_t n;

	(void)what;
	if (!buf_reserve(&p->in, 65536) || (n = recv(fd, p->in.p + p->in.n, 65536, 0)) <= 0) {
		post_end(p);
		return;
	}
	p->in.n += (size_t)n;
	if (answered(p))
		post_end(p);
}

static void on_hook(int fd, unsigned what, void *arg)
{
	struct post *p;
	int in = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	(void)arg;
	if (in < 0)
		return;
	p = xcalloc(1, sizeof(*p));
	*p = (struct post){ .magic = SIM_MAGIC + 7, .fd = in, .in = BUF_INIT(8u << 20) };
	p->w = loop_fd_new(sim.loop, "hook", in, LOOP_READ, on_post, p);
}

static void hook_up(void)
{
	hook.fd = sim_bind("127.0.0.1", &hook.port);
	assert_true(hook.fd >= 0);
	hook.listener = loop_fd_new(sim.loop, "hook", hook.fd, LOOP_READ, on_hook, NULL);
}

static void hook_down(void)
{
	loop_fd_free(&hook.listener);
	(void)close(hook.fd);
}

/* --- looking ---------------------------------------------------------------------------------- */

static json_t *sink(void)
{
	json_t *v = sim_do("sink.list", "{}");
	json_t *row = json_incref(json_array_get(json_object_get(v, "rows"), 0));

	json_decref(v);
	return row;
}

static int64_t behind(void)
{
	json_t *row = sink();
	int64_t n = json_get_int(row, "behind");

	json_decref(row);
	return n;
}

/* Results are written by a thread, in its own time: until all are. */
static void written(void)
{
	for (unsigned n = 0; queue_record_backlog(sim.relay->env.queue) > 0; n++) {
		loop_advance(sim.loop, 0);
		sim_wait(n);
	}
	sim_settle();
}

/* Within the longest time between two tries. */
static void until_caught_up(void)
{
	int64_t end_ms = sim_now() + RETRY_MAX_MS;

	written();
	while (behind() > 0 && sim_now() < end_ms) {
		sim_pass(1000);
		written();
	}
	assert_int_equal(behind(), 0);
}

/* What the alerts say of the sink: owned, NULL when it is none. */
static json_t *alert(void)
{
	json_t *v = sim_do("alert.list", "{}");
	json_t *found = NULL;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(v, "rows"), i, row)
	{
		if (strcmp(json_get_str(row, "id"), "sink:crm") == 0)
			found = json_incref(row);
	}
	json_decref(v);
	return found;
}

/* A letter is delivered in the moment in which it was sent. */
static void letter(unsigned n)
{
	AUTO_FREE char *to = xasprintf("u%u@h0.test", n);
	unsigned before = sim.host[0].letters;
	int64_t sent_ms = sim_now();

	sim_send(FROM, to);
	sim_pass(1000);
	assert_int_equal(sim.host[0].letters, before + 1);
	assert_in_range(sim.host[0].letter_ms[before] - sent_ms, 0, 500);
}

/* Every event of the feed at least once; those of each message in their order. */
static void check_all(void)
{
	json_t *v = sim_do("event.list", "{\"after\":0,\"limit\":1000}");
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(v, "rows"), i, row)
	{
		bool there = false;
		for (size_t k = 0; k < hook.n && !there; k++)
			there = hook.seqs[k] == json_get_int(row, "seq");
		if (!there)
			fail_msg("event %lld did not arrive", (long long)json_get_int(row, "seq"));
	}
	json_decref(v);
	for (size_t k = 0; k < hook.n; k++)
		for (size_t j = 0; j < k; j++)
			/* a repetition may come behind what it repeats */
			if (strcmp(hook.ids[j], hook.ids[k]) == 0 && hook.seqs[j] > hook.seqs[k]) {
				bool again = false;
				for (size_t x = 0; x < j; x++)
					again = again || hook.seqs[x] == hook.seqs[k];
				assert_true(again);
			}
}

static void prepare(void)
{
	int fd;

	memset(&hook, 0, sizeof(hook));
	(void)snprintf(hook.secret, sizeof(hook.secret), "/tmp/weir-sim-secret-XXXXXX");
	fd = mkstemp(hook.secret);
	hook.status = 200;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, SECRET "\n", strlen(SECRET) + 1), (ssize_t)strlen(SECRET) + 1);
	(void)close(fd);
	hook.reserved = sim_reserve("127.0.0.1", &hook.port);
	assert_true(hook.reserved >= 0);
	(void)snprintf(hook.config, sizeof(hook.config),
		       "sink crm {\n url = \"http://127.0.0.1:%u/x\"\n secret-file = \"%s\"\n"
		       " batch = 3\n}\n",
		       hook.port, hook.secret);
}

static void begin(void)
{
	prepare();
	sim_open(hook.config);
	hook_up();
	sim_must("allow.add", "{\"network\":\"127.0.0.0/8\"}");
}

static void end(void)
{
	hook_down();
	(void)close(hook.reserved);
	(void)unlink(hook.secret);
	sim_close();
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_killed_and_back_hours_later(void **state)
{
	json_t *a;
	json_t *v;
	unsigned n = 0;

	(void)state;
	begin();
	letter(n++);
	until_caught_up();
	assert_int_equal(hook.n, 2);
	assert_null(alert());
	hook_down();
	letter(n++);
	sim_pass(10000);
	assert_null(alert()); /* a moment is nothing */
	sim_pass(30000);
	a = alert();
	assert_non_null(a);
	assert_non_null(strstr(json_get_str(a, "text"), "2 wait"));
	assert_true(strlen(json_get_str(a, "since_at")) > 0);
	json_decref(a);
	for (int k = 0; k < 6; k++) { /* an hour, and mail goes on */
		sim_pass(10 * MINUTE);
		letter(n++);
	}
	hook.status = 500; /* somebody is there again, and does not take it, for an hour */
	hook_up();
	for (int k = 0; k < 6; k++) {
		sim_pass(10 * MINUTE);
		letter(n++);
	}
	assert_true(hook.refused >= 50 && hook.refused <= 70); /* once a minute */
	written();
	v = sink();
	assert_string_equal(json_get_str(v, "state"), "failing");
	assert_non_null(strstr(json_get_str(v, "error"), "500"));
	assert_int_equal(json_get_int(v, "behind"), 2 * 13);
	json_decref(v);
	hook_down();
	sim_restart(20 * MINUTE);
	hook.status = 200;
	letter(n++);
	hook_up();
	until_caught_up();
	assert_null(alert());
	check_all();
	assert_int_equal(hook.n, 2 * n); /* and here not one of them twice */
	end();
}

/* What ends by itself is told when it does. */
static void test_a_suppression_ends(void **state)
{
	(void)state;
	begin();
	sim_must("suppress.add",
		 "{\"address\":\"anna@h0.test\",\"for_s\":3600,\"reason\":\"a week off\","
		 "\"request\":\"s1\"}");
	until_caught_up();
	assert_int_equal(hook.n, 1);
	assert_string_equal(hook.kinds[0], "suppressed");
	sim_pass(HOUR - MINUTE);
	assert_int_equal(hook.n, 1);
	for (unsigned k = 0; k < 120 && hook.n < 2; k++)
		sim_pass(1000);
	assert_int_equal(hook.n, 2);
	assert_string_equal(hook.kinds[1], "unsuppressed");
	assert_string_equal(hook.whom[1], "anna@h0.test");
	end();
}

static int held[2];

static void hold(void *arg)
{
	char c;

	(void)arg;
	(void)read(held[0], &c, 1);
}

static void held_no_more(void *arg)
{
	(void)arg;
}

/* Whatever the relay reads while it starts waits: the workers are all busy. */
static void hold_workers(void)
{
	for (unsigned k = 0; k < WORKERS_MAX; k++)
		(void)loop_job_start(sim.loop, "hold", hold, held_no_more, NULL);
}

/* It begins with what happens from its start on, however late it comes to read: nothing before, and
 * the first event is not passed over. */
static void test_a_new_sink_has_the_first_event(void **state)
{
	const struct queue_event e = { .attempt = { .outcome = OUTCOME_REFUSED,
						    .reply_class = REPLY_SUPPRESSED },
				       .to = STR("first@h0.test") };

	(void)state;
	prepare();
	sim_open("");
	sim_must("allow.add", "{\"network\":\"127.0.0.0/8\"}");
	letter(0);
	written();
	(void)snprintf(sim.config, sizeof(sim.config), "%s", hook.config);
	assert_int_equal(pipe(held), 0);
	sim.made = hold_workers;
	sim_restart(MINUTE);
	hook_up();
	queue_note(sim.relay->env.queue, &e);
	for (unsigned n = 0; behind() == 0; n++)
		sim_wait(n);
	(void)close(held[1]);
	until_caught_up();
	(void)close(held[0]);
	assert_int_equal(hook.n, 1);
	assert_string_equal(hook.whom[0], "first@h0.test");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_and_back_hours_later),
		cmocka_unit_test(test_a_suppression_ends),
		cmocka_unit_test(test_a_new_sink_has_the_first_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
