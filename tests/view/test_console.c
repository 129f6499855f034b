/*
 * The whole console in a terminal, on a relay that is a thread here: what is on the screen after
 * which key, a resize, and a link that breaks, also in the middle of a change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bsd/string.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/console.h"
#include "base/mem.h"
#include "lib/screen.h"
#include "lib/vt.h"
#include "model/rpc.h"
#include "proto/proto.h"

#define WAIT_STEPS 1000 /* of 10 ms */

/* --- the relay --- */

static struct {
	char dir[64];
	char path[96];
	int listener;
	_Atomic int conn;
	atomic_bool refuse;
	atomic_bool break_at_commit; /* once */
	atomic_bool silent;	     /* commits are not answered */
	atomic_bool stop;
	atomic_int commits;
	char request[2][64];
	pthread_t thread;
} relay;

static const struct {
	const char *method, *answer;
} answers[] = {
	{ "status.get",
	  "{\"relay\":\"mx1.example.net\",\"queued\":{\"messages\":1204,\"recipients\":1204,"
	  "\"deferred\":1204},\"oldest_age_s\":7200,\"holds\":0,\"attention\":[{\"domain\":"
	  "\"slow.example\",\"total\":1204,\"deferred\":1204,\"last_reply\":\"421 go away\"}]}" },
	{ "queue.list", "{\"rows\":[{\"domain\":\"slow.example\",\"total\":1204,\"deferred\":1204,"
			"\"last_reply\":\"421 go away\"}],\"next\":null}" },
	{ "plan.make", "{\"plan\":\"p1\",\"messages\":12,\"recipients\":12,\"undo_window_s\":600,"
		       "\"command\":\"weir hold domain:slow.example\"}" },
	{ "plan.rows", "{\"rows\":[],\"next\":null}" },
	{ "plan.commit", "{\"action\":\"a1\",\"messages\":12,\"recipients\":12,\"skipped\":0}" },
	{ "sub.open", "{\"sub\":1}" },
};

static void say(int fd, const char *line)
{
	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
}

static bool answer(int fd, struct proto_msg *m)
{
	AUTO_BUF out = BUF_INIT(65536);
	const char *text = "{\"rows\":[],\"next\":null}";
	json_t *result;

	if (strcmp(m->method, "plan.commit") == 0) {
		int n = atomic_fetch_add(&relay.commits, 1);

		if (n < 2)
			(void)snprintf(relay.request[n], sizeof(relay.request[n]), "%s",
				       js(m->params, "request"));
		if (atomic_exchange(&relay.break_at_commit, false))
			return false;
		if (atomic_load(&relay.silent))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		text = strcmp(m->method, answers[i].method) == 0 ? answers[i].answer : text;
	result = json_loads(text, 0, NULL);
	(void)proto_put_result(&out, m->id, result);
	json_decref(result);
	say(fd, buf_cstr(&out));
	return true;
}

static void serve(int fd)
{
	FILE *in = fdopen(dup(fd), "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	bool good = true;

	say(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":1,\"relay\":"
		"\"mx1.example.net\",\"version\":\"0\",\"role\":\"operator\",\"user\":\"eva\"}}\n");
	while (good && (n = getline(&line, &cap, in)) > 0) {
		struct proto_msg m;

		if (proto_parse(str_from(line, (size_t)n - 1), &m, NULL) < 0)
			break;
		good = answer(fd, &m);
		proto_msg_done(&m);
	}
	free(line);
	(void)fclose(in);
}

static void *run_relay(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(relay.listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		atomic_store(&relay.conn, fd);
		if (!atomic_load(&relay.refuse) && !atomic_load(&relay.stop))
			serve(fd);
		atomic_store(&relay.conn, -1);
		(void)close(fd);
	}
}

/* The same relay under a name, as $XDG_CONFIG_HOME/weir/relays. */
static void write_relays(void)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/weir", relay.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)strlcat(path, "/relays", sizeof(path));
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fprintf(f, "relay prod {\n url = \"%s\"\n production = true\n}\n", relay.path);
	(void)fclose(f);
}

static void remove_relays(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/weir/relays", relay.dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/weir", relay.dir);
	(void)rmdir(path);
}

static void start_relay(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	(void)snprintf(relay.dir, sizeof(relay.dir), "/tmp/weir-console-XXXXXX");
	assert_non_null(mkdtemp(relay.dir));
	(void)snprintf(relay.path, sizeof(relay.path), "unix:%s/s", relay.dir);
	(void)strlcpy(to.sun_path, relay.path + 5, sizeof(to.sun_path));
	relay.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(relay.listener, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(relay.listener, 5), 0);
	atomic_store(&relay.conn, -1);
	atomic_store(&relay.stop, false);
	atomic_store(&relay.refuse, false);
	atomic_store(&relay.commits, 0);
	atomic_store(&relay.silent, false);
	write_relays();
	assert_int_equal(pthread_create(&relay.thread, NULL, run_relay, NULL), 0);
}

static void hang_up(void)
{
	int fd = atomic_load(&relay.conn);

	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
}

/* --- the console --- */

static struct vt *vt;
static pid_t child;

static void run_console(void)
{
	struct err err = ERR_INIT;
	int fd = vt_slave(vt);

	(void)setsid();
	(void)ioctl(fd, TIOCSCTTY, 0);
	(void)dup2(fd, 0);
	(void)setenv("TERM", "xterm-256color", 1);
	(void)setenv("XDG_CONFIG_HOME", relay.dir, 1);
	(void)unsetenv("NO_COLOR");
	if (console_run(&(struct console_options){ .relay = relay.path }, &err) < 0)
		_exit(1);
	_exit(0);
}

static int setup(void **state)
{
	(void)state;
	start_relay();
	vt = vt_new(24, 80);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run_console();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)kill(child, SIGTERM);
	(void)waitpid(child, NULL, 0);
	vt_free(&vt);
	atomic_store(&relay.stop, true);
	hang_up();
	(void)shutdown(relay.listener, SHUT_RDWR);
	(void)pthread_join(relay.thread, NULL);
	(void)close(relay.listener);
	(void)unlink(relay.path + 5);
	remove_relays();
	(void)rmdir(relay.dir);
	return 0;
}

static bool on_screen(const char *text, int rows)
{
	bool found = false;

	for (int i = 0; i < rows && !found; i++) {
		AUTO_FREE char *row = vt_row(vt, i);

		found = strstr(row, text) != NULL;
	}
	return found;
}

static void pause_shortly(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static void expect_rows(const char *text, int rows)
{
	for (int i = 0; i < WAIT_STEPS && !on_screen(text, rows); i++)
		pause_shortly();
	if (!on_screen(text, rows)) {
		for (int i = 0; i < rows; i++) {
			AUTO_FREE char *row = vt_row(vt, i);

			print_message("%s\n", row);
		}
		fail_msg("'%s' does not come", text);
	}
}

static void expect(const char *text)
{
	expect_rows(text, 24);
}

static void hold(void)
{
	expect("slow.example");
	vt_type(vt, "H");
	expect("12 recipients of 12 messages");
	vt_type(vt, "\t");
	vt_type(vt, "too many");
	expect("too many");
	vt_type(vt, "\t\r");
}

static void test_first_screen(void **state)
{
	(void)state;
	expect("mx1.example.net  operator");
	expect("1 204 messages");
	expect("slow.example");
	expect("421 go away");
}

static void test_keys_and_leaving(void **state)
{
	int status = -1;

	(void)state;
	expect("Needs attention");
	vt_type(vt, "1");
	expect("by domain");
	vt_type(vt, "?");
	expect("Esc close");
	vt_type(vt, "\033");
	for (int i = 0; i < WAIT_STEPS && on_screen("Esc close", 24); i++)
		pause_shortly(); /* Esc and a key right behind it would be Alt and that key */
	vt_type(vt, "\021");	 /* Ctrl-Q */
	for (int i = 0; i < WAIT_STEPS && waitpid(child, &status, WNOHANG) == 0; i++)
		pause_shortly();
	assert_int_equal(status, 0);
}

static void test_resize(void **state)
{
	(void)state;
	expect("Needs attention");
	vt_resize(vt, 50, 200);
	expect_rows("7 Access", 50);
}

static void test_hold(void **state)
{
	(void)state;
	hold();
	expect("12 recipients");
	expect("Hold domain:slow.example");
	for (int i = 0; i < WAIT_STEPS && atomic_load(&relay.commits) == 0; i++)
		pause_shortly();
	assert_int_equal(atomic_load(&relay.commits), 1);
}

static void test_lost_link_shows_and_comes_back(void **state)
{
	(void)state;
	expect("slow.example");
	atomic_store(&relay.refuse, true);
	hang_up();
	expect("LOST");
	expect("slow.example"); /* what was known stays readable */
	atomic_store(&relay.refuse, false);
	expect("1 204 queued");
}

/* The change is sent again with the request id by which the relay knows it. */
static void test_link_lost_in_a_change(void **state)
{
	(void)state;
	atomic_store(&relay.break_at_commit, true);
	hold();
	for (int i = 0; i < WAIT_STEPS && atomic_load(&relay.commits) < 2; i++)
		pause_shortly();
	assert_int_equal(atomic_load(&relay.commits), 2);
	expect("12 recipients");
	assert_string_not_equal(relay.request[0], "");
	assert_string_equal(relay.request[0], relay.request[1]);
}

/* Esc while the link is lost takes the change back: it is not sent again when the relay is back. */
static void test_left_change_is_not_sent_again(void **state)
{
	(void)state;
	expect("slow.example");
	atomic_store(&relay.break_at_commit, true);
	atomic_store(&relay.refuse, true); /* those that come after this one */
	hold();
	expect("LOST");
	vt_type(vt, "\033");
	expect("is not sent again");
	atomic_store(&relay.refuse, false);
	expect("1 204 queued");
	vt_type(vt, "1"); /* a call and its answer: what waited would have been sent before */
	expect("by domain");
	assert_int_equal(atomic_load(&relay.commits), 1);
}

/* Nor is one that was left while the relay was thinking about it, and that is what is told then. */
static void test_change_left_before_the_break(void **state)
{
	(void)state;
	expect("slow.example");
	atomic_store(&relay.silent, true);
	hold();
	for (int i = 0; i < WAIT_STEPS && atomic_load(&relay.commits) == 0; i++)
		pause_shortly();
	vt_type(vt, "\033");
	expect("what came of it is told here");
	atomic_store(&relay.refuse, true);
	hang_up();
	expect("LOST");
	expect("is not sent again");
	atomic_store(&relay.silent, false);
	atomic_store(&relay.refuse, false);
	expect("1 204 queued");
	vt_type(vt, "1");
	expect("by domain");
	assert_int_equal(atomic_load(&relay.commits), 1);
}

/* The menu changes to a relay of the file, which is marked; a wrong address leaves all as it is. */
static void test_another_relay(void **state)
{
	(void)state;
	expect("Needs attention");
	vt_type(vt, "@");
	expect("another");
	vt_type(vt, "anoth\r");
	expect("ssh://[user@]host");
	vt_type(vt, "nonsense\r");
	expect("no relay named nonsense");
	vt_type(vt, "\003"); /* Ctrl-C: leave the prompt */
	for (int i = 0; i < WAIT_STEPS && on_screen("no relay named", 24); i++)
		pause_shortly();
	assert_false(on_screen("PRODUCTION", 24));
	vt_type(vt, "@");
	expect("prod");
	vt_type(vt, "prod\r");
	expect("mx1.example.net PRODUCTION");
	expect("slow.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_screen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_and_leaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_link_shows_and_comes_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_link_lost_in_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_change_is_not_sent_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_change_left_before_the_break, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_relay, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
