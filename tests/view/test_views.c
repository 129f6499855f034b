/* The console's screens, at 80x24 and 200x50, and what their keys do. */
#include "views_rig.h"

/* --- how screens look --- */

static void test_screens(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 50, 200 } };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		start(sizes[i][0], sizes[i][1]);
		look("overview", "", "overview");
		look("queues", "", "queues");
		look("messages", "domain:gmail.example", "messages");
		look("message", "0N4XK2M8QF", "message");
		look("message", "0N4XK2M8QF attempts", "attempts");
		look("message", "0N4XK2M8QF transcript", "transcript");
		look("holds", "", "holds");
		look("events", "", "events");
		look("undo", "", "undo");
		look("audit", "", "audit");
		look("access", "", "access");
		key(K_ENTER);
		screen_golden(shell_grid(app.shell), i == 0 ? "view-cred-80" : "view-cred-200");
		key(K_ESC);
		(void)shell_open(app.shell, "allow", "");
		frame();
		key(K_DOWN);
		look("allow", "", "allow");
		look("suppress", "", "suppress");
		look("alerts", "", "alerts");
		key('0');
		key('H');
		screen_golden(shell_grid(app.shell), i == 0 ? "view-plan-80" : "view-plan-200");
		key(K_ESC);
		look("bounces", "", "bounces");
		look("streams", "", "streams");
		key(K_TAB); /* the pools stand beside them */
		screen_golden(shell_grid(app.shell), i == 0 ? "view-pools-80" : "view-pools-200");
		look("versions", "", "versions");
		(void)teardown(state);
	}
}

/* --- what keys do --- */

/* What came is shown without what it could do to a terminal, and forgotten by its number. */
static void test_bounces(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "bounces", "");
	frame();
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("bounces.show"), "\"id\":\"12\""));
	assert_true(shows("it names nobody") && shows("Subject: Complaint") && shows("[31mit."));
	key(K_ESC);
	key('D');
	assert_true(shows("Remove 12") || shows("[ OK ]"));
	for (int i = 0; i < 6 && !shows("weir bounces remove 12"); i++)
		key(K_ENTER);
	assert_int_equal(fake_rpc_calls("bounces.remove"), 0); /* asked about first */
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("bounces.remove"), "{\"id\":\"12\"}");
}

/* Filtered by its own fields; a record with what changed; whether the log is whole. */
static void test_audit(void **state)
{
	(void)state;
	key(':');
	type("audit");
	key(K_ENTER);
	frame();
	assert_true(shows("refused: denied"));
	key('/');
	type("who:bob");
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("audit.list"), "\"where\":\"who:bob\""));
	key('\\');
	frame();
	key('j');
	key('d');
	frame();
	assert_true(shows("allow 10.0.0.0/8"));
	assert_true(shows("{\"note\":\"office\"}"));
	key('q');
	key('s');
	frame();
	assert_true(shows("record 5 is missing"));
}

/* A list that nobody looked at is as old as it was left, not as the link. */
static void test_old_rows_say_how_old(void **state)
{
	struct shell_status status = *shell_status(app.shell);

	(void)state;
	fake_rpc_push("changes", "{'queue':1}", false);
	key('1');
	key('4');
	fake_rpc_push("changes", "{'queue':2}", false);
	loop_advance(app.loop, 600000);
	fake_rpc_push("changes", "{'queue':3}", false);
	status.link = LINK_LOST;
	status.data_wall_ms = shell_wall_ms(app.shell) - 3000;
	shell_status_set(app.shell, &status);
	fake_rpc_fail("queue.list", ERR_CLOSED, "no link");
	frame();
	assert_true(shows("data of 3s ago"));
	key('1');
	assert_true(shows("gmail.example"));
	assert_true(shows("data of 10m"));
	status.link = LINK_UP;
	shell_status_set(app.shell, &status);
	frame();
	assert_false(shows("data of"));
}

static void test_enter_goes_to_the_messages(void **state)
{
	(void)state;
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "messages");
	assert_non_null(strstr(fake_rpc_params("message.list"), "domain:gmail.example"));
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("message.get"), "{\"id\":\"0N4XK2M8QF\"}");
}

static void test_marks_become_one_target(void **state)
{
	(void)state;
	key('2');
	key(' ');
	key(' ');
	key('D');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "0N4XK2M8QF/1,0N4XK2M8QG/1") != NULL
			? strstr(fake_rpc_params("plan.make"), "id:")
			: strstr(fake_rpc_params("plan.make"), "id:0N4XK2M8QG/1,0N4XK2M8QF/1"));
}

static void test_all_marked_is_the_filter(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "messages", "domain:gmail.example");
	frame();
	key('*');
	key(' ');
	key('R');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "domain:gmail.example -id:0N4XK2M8QF/1"));
}

static void test_filter_is_live_and_esc_takes_it_back(void **state)
{
	(void)state;
	key('2');
	key('/');
	type("state:held");
	assert_non_null(strstr(fake_rpc_params("message.list"), "\"where\":\"state:held\""));
	key(K_ESC);
	assert_null(strstr(fake_rpc_params("message.list"), "where"));
}

/* What does not fit is refused instead of being left out without a word. */
static void test_a_filter_has_its_length(void **state)
{
	AUTO_BUF line = BUF_INIT(4000);

	(void)state;
	(void)buf_puts(&line, "to:");
	for (int i = 0; i < 1100; i++)
		(void)buf_putc(&line, 'a');
	key('2');
	key('/');
	type(buf_cstr(&line));
	key(K_ENTER);
	assert_true(shows("the filter is longer than 1023 bytes"));
	key(K_ESC);
}

static void test_queues_group_and_release_by_hold(void **state)
{
	(void)state;
	key('1');
	key('j');
	key('L');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"hold\":\"h3\""));
	key(K_ESC);
	key('b');
	key('s');
	assert_true(shows("marketing"));
	assert_non_null(strstr(fake_rpc_params("queue.list"), "\"by\":\"stream\""));
	key('H');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"target\":\"stream:marketing\""));
}

static void test_changes_refetch_without_moving_the_cursor(void **state)
{
	int calls;

	(void)state;
	key('2');
	key('j');
	loop_advance(app.loop, 2000);
	calls = fake_rpc_calls("message.list");
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("message.list"), calls + 1);
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("message.list"), calls + 1);
	key('R');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "0N4XK2M8QG/1"));
}

static void test_overview_in_a_small_window(void **state)
{
	start(10, 40);
	assert_true(shows("Needs attention"));
	assert_true(shows("gmail.example"));
	assert_false(shows("Holds ("));
	assert_true(shows("12 405 deferred 600 held"));
	be_admin();
	(void)shell_open(app.shell, "streams", "");
	key('A');
	assert_true(shows("[ OK ]") && shows("name") && shows("match"));
	(void)teardown(state);
}

/* A refusal is read to its end where it appears. */
static void test_long_notices(void **state)
{
	(void)state;
	fake_rpc_fail("plan.make", ERR_UNKNOWN,
		      "there is no hold on domain:flaky.example; weir holds lists those that there "
		      "are, and a filter finds what they hold");
	key('H');
	assert_true(shows("there is no hold on domain:flaky.example"));
	assert_true(shows("finds what they hold"));
	key('/');
}

/* d on an action says what it changed; Enter on what leads nowhere describes it. */
static void test_described(void **state)
{
	(void)state;
	fake_rpc_answer_fn("action.list", serve_edit);
	key('6');
	key('d');
	assert_true(shows("+ route r9: match domain:down.example, to discard"));
	key(K_ESC);
	assert_true(shell_open(app.shell, "pools", ""));
	frame();
	key(K_ENTER);
	assert_true(shows("Esc close") && shows("EHLO mta9.example.net"));
}

/* What is the matter besides destinations stands above them, and in a small window they come
 * first. */
static void test_overview_says_what_is_the_matter(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 10, 40 }, { 50, 200 } };
	AUTO_FREE char *status =
		xasprintf("%.*s,'urgent':" URGENT "}", (int)strlen(STATUS) - 1, STATUS);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char golden[40];

		start(sizes[i][0], sizes[i][1]);
		fake_rpc_push("status", status, false);
		frame();
		assert_true(shows("gmail.example"));
		(void)snprintf(golden, sizeof(golden), "view-overview-urgent-%d", sizes[i][1]);
		screen_golden(shell_grid(app.shell), golden);
		(void)teardown(NULL);
	}
}

/* From an alert to where it can be seen to. */
static void test_alerts(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "alerts", "");
	frame();
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("message.list"), "domain:gmail.example"));
	key(K_ESC);
	key('w');
	frame();
	assert_string_equal(fake_rpc_params("why.get"), "{\"target\":\"domain:gmail.example\"}");
	key(K_ESC);
	key('j');
	key('H');
	assert_true(shows("it is about no destination"));
	key(K_ENTER); /* a sink has no screen: all that is known of it */
	frame();
	assert_true(shows("they are kept for it"));
	key(K_ESC);
	key('j');
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "pools");
}

/* So are those of the screens with a page of their own. */
static void test_old_rows_of_all_lists(void **state)
{
	static const char *const names[] = { "access", "allow", "keys", "pools" };
	struct shell_status status = *shell_status(app.shell);

	(void)state;
	fake_rpc_answer("dkim.list", "{'rows':[],'next':null}");
	fake_rpc_push("changes", "{'creds':1,'allow':1,'keys':1,'pools':1}", false);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)shell_open(app.shell, names[i], "");
		frame();
	}
	key('0');
	fake_rpc_push("changes", "{'creds':2,'allow':2,'keys':2,'pools':2}", false);
	loop_advance(app.loop, 600000);
	status.link = LINK_LOST;
	status.data_wall_ms = shell_wall_ms(app.shell) - 3000;
	shell_status_set(app.shell, &status);
	frame();
	assert_true(shows("data of 3s ago"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)shell_open(app.shell, names[i], "");
		shell_dirty(app.shell, SHELL_REPAINT);
		shell_frame(app.shell); /* without an answer */
		if (!shows("data of 10m"))
			fail_msg("%s", names[i]);
	}
}

/* Who may not call what an action leads to here is told before it is asked for. */
static void test_roles_of_methods(void **state)
{
	static const struct {
		const char *view;
		const char *keys;
	} admins[] = { { "routes", "AEDM" }, { "streams", "AEDM" }, { "pools", "AED" },
		       { "allow", "AED" },   { "access", "AED" },   { "keys", "AED" },
		       { "versions", "ZC" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(admins); i++) {
		fake_rpc_answer("dkim.list",
				"{'rows':[{'id':'a/s','state':'active'}],'next':null}");
		fake_rpc_answer("route.list", "{'rows':[{'id':'r1','to':'mx'}],'next':null}");
		(void)shell_open(app.shell, admins[i].view, "");
		frame();
		for (const char *k = admins[i].keys; *k != '\0'; k++) {
			key((uint32_t)*k);
			if (!shows("needs the role admin, you are operator"))
				fail_msg("%s %c", admins[i].view, *k);
			shell_notice(app.shell, NOTICE_INFO, "next");
		}
	}
	(void)shell_open(app.shell, "bounces", "");
	frame();
	key('D');
	assert_false(shows("needs the role"));
}

/* What a stream demands ends there, where the row has room for all else. */
static void test_streams_foot(void **state)
{
	(void)state;
	start(50, 400);
	(void)shell_open(app.shell, "streams", "");
	frame();
	assert_true(shows("refused without one-click"));
	assert_false(shows("refused without one-click;"));
	(void)teardown(state);
}

static json_t *serve_other_alerts(const json_t *params)
{
	(void)params;
	return no_more("[{'id':'unread-bounces','kind':'unread-bounces','severity':'warn','target':"
		       "null,'text':'3 reports','command':'weir bounces list','meaning':'kept'},"
		       "{'id':'ageing','kind':'ageing','severity':'warn','target':null,'text':"
		       "'old','command':'weir queue --where \\'age>1d\\'','meaning':'old'}]");
}

/* The command of an alert says which screen it is, and with which filter. */
static void test_alerts_lead_to_screens(void **state)
{
	(void)state;
	fake_rpc_answer_fn("alert.list", serve_other_alerts);
	(void)shell_open(app.shell, "alerts", "");
	frame();
	key('l');
	assert_true(shows("it is about no destination"));
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "bounces");
	key('[');
	key('j');
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "queues");
	assert_non_null(strstr(fake_rpc_params("queue.list"), "age>1d"));
}

/* Why a destination is slowed down is said where no reply is known, too. */
static void test_overview_says_all_it_knows(void **state)
{
	(void)state;
	fake_rpc_push(
		"status",
		"{'relay':'mx1','queued':{'messages':1,'recipients':1},'attention':[{'domain':"
		"'slow.example','total':1,'backoff':'rate limited'}]}",
		false);
	frame();
	key('j');
	assert_true(shows("slowed down: rate limited"));
}

/* What a hold covers grows with the queue, and the overview says how much that is. */
static void test_overview_counts_what_is_held_now(void **state)
{
	int calls;

	(void)state;
	loop_advance(app.loop, 2000);
	calls = fake_rpc_calls("hold.list");
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("hold.list"), calls + 1);
}

static void test_events_follow(void **state)
{
	(void)state;
	key('5');
	assert_true(shows("following"));
	key('k');
	assert_true(shows("stopped"));
	fake_rpc_push("events",
		      "[{'seq':43,'at':'2026-11-24T04:32:02.000Z','event':'failed','id':'X','to':"
		      "'zed@fast.example'}]",
		      false);
	frame();
	assert_true(shows("zed@fast.example"));
	key('G');
	assert_true(shows("following"));
}

static void test_body_is_decoded(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key(K_TAB);
	key(K_TAB);
	key(K_TAB);
	assert_true(shows("Subject: gr\u00fcn"));
	key(K_TAB);
	assert_true(shows("hello"));
}

/* Where its recipients go stands there once for all, and that there is more than is shown. */
static void test_ways_of_a_message(void **state)
{
	(void)state;
	fake_rpc_answer(
		"message.get",
		"{'id':'0N4XK2M8QF','recipients':[{'to':'a@a','next_hop':'mx:a','pool':'p'},"
		"{'to':'b@a','next_hop':'mx:a','pool':'p'},{'to':'b@b','next_hop':'mx:b'},"
		"{'to':'c@c','next_hop':'mx:c'},{'to':'d@d','next_hop':'mx:d'},"
		"{'to':'e@e','next_hop':'mx:e'},{'to':'f@f','next_hop':'mx:f'},"
		"{'to':'f@f','next_hop':'mx:f'},{'to':'g@g','next_hop':'mx:g'},"
		"{'to':'h@h','next_hop':null}],'attempts':[]}");
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	assert_true(shows("goes by       mx:a") && shows("mx:e") && shows("and 2 more"));
	assert_false(shows("mx:f") || shows("and 1 more") || shows("and 0 more"));
}

static void test_others_with_the_same_cause(void **state)
{
	(void)state;
	fake_rpc_answer("cause.list",
			"{'rows':[{'class':'rate-limited','where':'class:rate-limited "
			"code:421','count':7}],'next':null,'total':1,'exact':true}");
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key('r');
	frame();
	assert_non_null(strstr(fake_rpc_params("cause.list"), "id:0N4XK2M8QF"));
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "messages");
	assert_non_null(strstr(fake_rpc_params("message.list"), "class:rate-limited code:421"));
}

static void test_save_writes_all_rows(void **state)
{
	char path[] = "/tmp/weir-save-XXXXXX";
	char line[512] = "";
	FILE *file;
	int lines = 0;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(chdir(path), 0);
	key('2');
	key(K_CTRL | 's');
	key(K_ENTER);
	assert_true(shows("2 rows written"));
	file = fopen("weir-messages.tsv", "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		lines++;
	(void)fclose(file);
	assert_int_equal(lines, 3);
	assert_non_null(strstr(line, "0N4XK2M8QG\t0N4XK2M8QG/1\theld\t"));
	key(K_CTRL | 's');
	key(K_ENTER);
	assert_true(shows("File exists")); /* never overwritten */
	key(K_ESC);
	(void)unlink("weir-messages.tsv");
	assert_int_equal(chdir(root), 0);
	(void)rmdir(path);
}

static void test_why(void **state)
{
	(void)state;
	static const char sentence[] = "gmail.example asked to slow down";
	AUTO_FREE char *text = NULL;
	const char *first;

	key('w');
	frame();
	text = screen_text(shell_grid(app.shell));
	first = strstr(text, sentence);
	assert_non_null(first);
	assert_null(strstr(first + 1, sentence)); /* once */
}

static void test_keys(void **state)
{
	(void)state;
	fake_rpc_answer("dkim.list",
			"{'rows':[{'id':'shop.example/s1','state':'active','domain':'shop.example',"
			"'selector':'s1','algorithm':'rsa-sha256','by':'eva','created_at':"
			"'2026-11-24T04:02:00.000Z','signed':12,'failed':0,'last_signed_at':null}],"
			"'next':null,'prev':null,'total':1,'exact':true}");
	fake_rpc_answer(
		"dkim.show",
		"{'domain':'shop.example','records':[{'id':'shop.example/s1','state':'active',"
		"'algorithm':'rsa-sha256','name':'s1._domainkey.shop.example','type':'TXT',"
		"'value':'v=DKIM1; k=rsa; p=AAAA','zone':'s1._domainkey.shop.example. IN TXT "
		"x'}]}");
	assert_true(shell_open(app.shell, "keys", ""));
	frame();
	assert_true(shows("shop.example/s1"));
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("dkim.show"),
			    "{\"domain\":\"shop.example\",\"selector\":\"s1\"}");
	assert_true(shows("s1._domainkey.shop.example. IN TXT x"));
	key(K_ESC);
	key('A');
	assert_true(shows("needs the role admin"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_screens),
		cmocka_unit_test(test_overview_in_a_small_window),
		cmocka_unit_test_setup_teardown(test_long_notices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_described, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_rows_say_how_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enter_goes_to_the_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_become_one_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_marked_is_the_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_filter_has_its_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filter_is_live_and_esc_takes_it_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_queues_group_and_release_by_hold, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_changes_refetch_without_moving_the_cursor,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_overview_counts_what_is_held_now, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_events_follow, setup, teardown),
		cmocka_unit_test(test_overview_says_what_is_the_matter),
		cmocka_unit_test_setup_teardown(test_old_rows_of_all_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roles_of_methods, setup, teardown),
		cmocka_unit_test(test_streams_foot),
		cmocka_unit_test_setup_teardown(test_alerts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alerts_lead_to_screens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overview_says_all_it_knows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body_is_decoded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ways_of_a_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_with_the_same_cause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_writes_all_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_why, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
	};

	screen_locale();
	assert_non_null(getcwd(root, sizeof(root)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
