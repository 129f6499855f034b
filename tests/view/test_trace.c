/* What is spoken now, on the screen. */
#include "views_rig.h"

#define SPOKEN(clock, session, by, text)                                                           \
	"{'at':'2026-11-24T" clock "Z','session':" session                                         \
	",'hop':'mx:gmail.example','host':'mx.gmail.example','ip':'192.0.2.7','id':"               \
	"'0N4XK2M8QF','by':'" by "','text':'" text "'}"

static void speak(void)
{
	fake_rpc_push(
		"trace",
		"{'rows':[" SPOKEN("04:32:06.100", "7", "note", "connected to mx.gmail.example [192.0.2.7]:25") "," SPOKEN(
			"04:32:06.140", "7", "host",
			"220 mx.gmail.example ESMTP") "," SPOKEN("04:32:06.141", "7", "relay",
								 "EHLO mx1.example.net") "," SPOKEN("04:32:06.190",
												    "7",
												    "host",
												    REPLY_SLOW) "],'left':0}",
		false);
	frame();
}

/* With a destination, from where it stands; silence says what the mail waits for and how to
 * provoke. */
static void test_trace(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 50, 200 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		start(sizes[i][0], sizes[i][1]);
		key('l');
		assert_string_equal(view_def_of(shell_view(app.shell))->name, "trace");
		assert_string_equal(view_arg(shell_view(app.shell)), "domain:gmail.example");
		assert_string_equal(fake_rpc_params("why.get"),
				    "{\"target\":\"domain:gmail.example\"}");
		look("trace", "domain:gmail.example", "trace-silent");
		key('R');
		assert_non_null(strstr(fake_rpc_params("plan.make"), "\"method\":\"queue.retry\""));
		assert_non_null(strstr(fake_rpc_params("plan.make"),
				       "\"target\":\"domain:gmail.example\""));
		key(K_ESC);
		speak();
		screen_golden(shell_grid(app.shell), i == 0 ? "view-trace-80" : "view-trace-200");
		key('r');
		assert_string_equal(view_def_of(shell_view(app.shell))->name, "events");
		(void)teardown(NULL);
	}
}

static void test_trace_frozen(void **state)
{
	(void)state;
	key('l');
	speak();
	assert_true(shows("listening"));
	key('k');
	assert_true(shows("stopped"));
	key('G');
	key('p');
	fake_rpc_push("trace",
		      "{'rows':[" SPOKEN("04:32:07.000", "8", "relay", "QUIT") "],'left':3}",
		      false);
	frame();
	assert_false(shows("QUIT"));
	key('p');
	assert_true(shows("QUIT"));
	assert_true(shows("3 lines left out: too many at once"));
	key('0'); /* nobody looks: nothing is sent */
	assert_int_equal(fake_rpc_subs(), 2);
	key('[');
	assert_int_equal(fake_rpc_subs(), 3);
	frame();
	assert_true(shows("nobody listened until now"));
	fake_rpc_push("trace", "{'rows':[],'left':0}", true);
	frame();
	assert_true(shows("the link was lost"));
}

/* What the mail waits for is asked while somebody looks, also after a freeze. */
static void test_trace_asks_while_it_is_seen(void **state)
{
	int calls;

	(void)state;
	key('l');
	calls = fake_rpc_calls("why.get");
	key('p');
	loop_advance(app.loop, 6000);
	frame();
	assert_int_equal(fake_rpc_calls("why.get"), calls);
	key('p');
	loop_advance(app.loop, 6000);
	frame();
	assert_int_equal(fake_rpc_calls("why.get"), calls + 1);
	loop_advance(app.loop, 5000); /* asked, and left before it is answered */
	assert_int_equal(fake_rpc_calls("why.get"), calls + 2);
	shell_event(app.shell, &EVENT_OF_KEY('0'));
	frame();
	loop_advance(app.loop, 60000);
	frame();
	assert_int_equal(fake_rpc_calls("why.get"), calls + 2);
}

/* Bounded, however much is spoken and however long the screen stands still. */
static void test_trace_is_bounded(void **state)
{
	AUTO_BUF rows = BUF_INIT(1 << 20);

	(void)state;
	key('l');
	(void)buf_puts(&rows, "{'rows':[");
	for (int i = 0; i < 500; i++)
		(void)buf_puts(&rows,
			       i > 0 ? "," SPOKEN("04:32:08.000", "9", "host", "250 2.0.0 Ok")
				     : SPOKEN("04:32:08.000", "9", "host", "250 2.0.0 Ok"));
	(void)buf_puts(&rows, "],'left':0}");
	speak();
	key('g');
	key('p');
	for (int i = 0; i < 30; i++)
		fake_rpc_push("trace", buf_cstr(&rows), false);
	frame();
	assert_true(shows("220 mx.gmail.example ESMTP")); /* stands still */
	key('p');
	frame();
	key('G');
	frame();
	assert_true(shows("lines came while the screen was frozen, and were not kept"));
	for (int i = 0; i < 30; i++)
		fake_rpc_push("trace", buf_cstr(&rows), false);
	frame();
	key('g');
	frame();
	assert_false(shows("220 mx.gmail.example ESMTP"));
}

/* From a message: of whom it goes to, for its own lines alone would not show the connection. */
static void test_trace_of_a_message(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key('l');
	assert_string_equal(view_arg(shell_view(app.shell)), "domain:gmail.example");
	(void)shell_open(app.shell, "queues", "");
	frame();
	key('j');
	key('l');
	assert_string_equal(view_arg(shell_view(app.shell)), "domain:down.example");
	(void)shell_open(app.shell, "holds", "");
	frame();
	key('l');
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "events");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace),
		cmocka_unit_test_setup_teardown(test_trace_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_asks_while_it_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_a_message, setup, teardown),
	};

	screen_locale();
	assert_non_null(getcwd(root, sizeof(root)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
