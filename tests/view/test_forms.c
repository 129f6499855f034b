/* What forms, lines of the palette and notices make of what stands in them, on a fake relay. */
#include "views_rig.h"

#define PLAN                                                                                       \
	"{'plan':'p9','messages':3,'recipients':3,'undo_window_s':600,'command':'weir hold all'}"
#define EDIT                                                                                       \
	"{'plan':'p9','undo_window_s':600,'command':'weir stream set marketing','changes':["       \
	"{'op':'~','kind':'stream','id':'marketing','text':'note'}],'moves':{'moves':[],"          \
	"'in_delivery':4,'undecided':0,'whole':true}}"

static json_t *serve_one_stream(const json_t *params)
{
	(void)params;
	return json_pack("{s:[{s:s, s:s, s:s, s:[s,s], s:i, s:i, s:i, s:s, s:s}], s:n}", "rows",
			 "id", "marketing", "rule", "a", "match", "from:a*", "headers", "X-A: a,b",
			 "X-B: \\", "priority", 5, "rate", 600, "lifetime_s", 432000, "suppressed",
			 "drop", "note", "one\nline", "next");
}

static int setup_streams(void **state)
{
	(void)state;
	start(40, 120);
	be_admin();
	fake_rpc_answer("plan.make", EDIT);
	fake_rpc_answer_fn("stream.list", serve_one_stream);
	(void)shell_open(app.shell, "streams", "");
	frame();
	return 0;
}

/* As frame(), without letting the relay answer. */
static void draw(void)
{
	shell_dirty(app.shell, SHELL_RELAYOUT | SHELL_RECALC | SHELL_REPAINT);
	shell_frame(app.shell);
}

static void press(uint32_t k)
{
	draw();
	shell_event(app.shell, &EVENT_OF_KEY(k));
	draw();
}

static void command(const char *line)
{
	struct err err = ERR_INIT;

	if (act_command(app.acts, str_of(line), &err) < 0)
		fail_msg("%s: %s", line, err.msg);
	frame();
}

static void refused(const char *line, const char *why)
{
	struct err err = ERR_INIT;

	assert_true(act_command(app.acts, str_of(line), &err) < 0);
	if (strstr(err.msg, why) == NULL)
		fail_msg("%s: %s", line, err.msg);
}

/* The parameters of the plan asked for last; borrows until the next call. */
static const json_t *planned(void)
{
	static json_t *last;

	json_decref(last);
	last = json_loads(fake_rpc_params("plan.make"), 0, NULL);
	assert_non_null(last);
	return json_object_get(last, "params");
}

static void expect_planned(const char *json)
{
	json_t *want = json_loads(json, 0, NULL);

	assert_non_null(want);
	if (!json_equal(planned(), want))
		fail_msg("%s instead of %s", fake_rpc_params("plan.make"), json);
	json_decref(want);
}

static void go_down(int fields)
{
	for (int i = 0; i < fields; i++)
		key(K_DOWN);
}

static void enter_all(void)
{
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 0; i++)
		key(K_ENTER);
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
}

/* What somebody else changed meanwhile does not go back because a form showed it. */
static void test_only_what_was_touched_is_sent(void **state)
{
	(void)state;
	key('E');
	assert_true(shows("5d") && !shows("432000")); /* lifetime */
	go_down(14);				      /* to the note */
	assert_true(shows("What it is for"));
	type("!");
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"note\":\"one line!\"}");
	assert_true(shows("4 more would, but are in delivery this moment"));
}

static json_t *serve_a_version(const json_t *params)
{
	json_t *page = serve_one_stream(params);

	(void)json_object_set_new(page, "version", json_integer(12));
	return page;
}

/* What somebody else changed since the form was filled is not overwritten: the relay is told of
 * which version it is, also when the plan leads back to it. */
static void test_an_edit_says_what_it_was_made_from(void **state)
{
	(void)state;
	fake_rpc_answer_fn("stream.list", serve_a_version);
	fake_rpc_push("changes", "{'streams':9}", true);
	loop_advance(app.loop, 2000);
	frame();
	key('E');
	fake_rpc_answer_fn("stream.list", serve_one_stream);
	go_down(4);
	key(K_BACKSPACE);
	type("6");
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"priority\":6,\"base\":12}");
	for (int i = 0; i < 10 && !shows("[>Change<]"); i++)
		key(K_TAB);
	fake_rpc_fail("plan.make", ERR_CONFLICT, "stream marketing was changed by eva");
	key(K_ENTER);
	assert_false(shows("base"));
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 1; i++)
		key(K_ENTER);
	expect_planned("{\"name\":\"marketing\",\"priority\":6,\"base\":12}");
	assert_true(shows("was changed by eva"));
}

/* A comma in a list's string is told from one between two. */
static void test_lists_keep_their_commas(void **state)
{
	(void)state;
	key('E');
	go_down(2);
	assert_true(shows("X-A: a\\,b,X-B: \\\\"));
	type(", X-C");
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"headers\":[\"X-A: a,b\",\"X-B: \\\\\",\"X-C\"]}");
}

static json_t *serve_long_note(const json_t *params)
{
	json_t *page = serve_one_stream(params);
	AUTO_BUF note = BUF_INIT(4000);

	for (int i = 0; i < 3000; i++)
		(void)buf_putc(&note, 'n');
	(void)json_object_set_new(json_array_get(json_object_get(page, "rows"), 0), "note",
				  json_string(buf_cstr(&note)));
	return page;
}

/* What a line cannot hold loses nothing: it stays, or is changed elsewhere. */
static void test_long_texts_are_not_cut(void **state)
{
	(void)state;
	fake_rpc_answer_fn("stream.list", serve_long_note);
	fake_rpc_push("changes", "{'streams':9}", true);
	loop_advance(app.loop, 2000);
	frame();
	key('E');
	go_down(14);
	key(K_BACKSPACE);
	key(K_ENTER);
	key(K_ENTER);
	assert_true(shows("too long to be changed in a line: in a shell, weir stream set"));
	assert_int_equal(fake_rpc_calls("plan.make"), 0);
	key(K_ESC);
	key('E');
	go_down(4);
	key(K_BACKSPACE);
	type("6");
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"priority\":6}");
}

/* Back in the form, what was not sent stands there as before, and what was emptied is empty. */
static void test_change_keeps_what_was_not_sent(void **state)
{
	(void)state;
	key('E');
	go_down(1);
	key(K_CTRL | 'u');
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"reset\":[\"match\"]}");
	for (int i = 0; i < 4; i++)
		key(K_TAB);
	while (!shows("[>Change<]"))
		key(K_TAB);
	fake_rpc_answer("plan.make", PLAN);
	key(K_ENTER);
	assert_true(shows("X-A: a\\,b") && shows("5d") && !shows("from:a*"));
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 1; i++)
		key(K_ENTER);
	expect_planned("{\"name\":\"marketing\",\"reset\":[\"match\"]}");
}

static void change(void)
{
	for (int i = 0; i < 10 && !shows("[>Change<]"); i++)
		key(K_TAB);
	assert_true(shows("[>Change<]"));
	key(K_ENTER);
}

static void enter_again(int calls)
{
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == calls; i++)
		key(K_ENTER);
	assert_int_equal(fake_rpc_calls("plan.make"), calls + 1);
}

/* A form asks for no resets, nor for the version; what a line says of them is not lost in it. */
static void test_a_form_keeps_what_it_has_no_field_for(void **state)
{
	(void)state;
	key(K_ESC);
	command("stream set news --reset retry,lifetime --rate 9");
	expect_planned("{\"name\":\"news\",\"reset\":[\"retry\",\"lifetime\"],\"rate\":9}");
	change();
	enter_again(1);
	expect_planned("{\"name\":\"news\",\"reset\":[\"retry\",\"lifetime\"],\"rate\":9}");
	change(); /* and what is said after all takes its place */
	go_down(5);
	type("1m,5m");
	enter_again(2);
	expect_planned("{\"name\":\"news\",\"retry\":\"1m,5m\",\"reset\":[\"lifetime\"],"
		       "\"rate\":9}");
	key(K_ESC);
	command("stream set --reset retry --base 7");
	type("news");
	enter_again(3);
	expect_planned("{\"name\":\"news\",\"reset\":[\"retry\"],\"base\":7}");
	key(K_ESC);
}

/* What was emptied and stands there again is not reset. */
static void test_a_reset_can_be_taken_back(void **state)
{
	(void)state;
	key('E');
	go_down(1);
	key(K_CTRL | 'u');
	enter_all();
	expect_planned("{\"name\":\"marketing\",\"reset\":[\"match\"]}");
	change();
	go_down(1);
	type("from:a*");
	go_down(3);
	key(K_BACKSPACE);
	type("6");
	enter_again(1);
	expect_planned("{\"name\":\"marketing\",\"priority\":6}");
}

/* --- notices --- */

static void commit(void)
{
	for (int i = 0; i < 10 && !shows("[>Retry now<]") && !shows("[>Commit<]"); i++)
		key(K_TAB);
	key(K_ENTER);
}

/* What is to be thought of is told before and after. */
static void test_warnings_are_told(void **state)
{
	(void)state;
	fake_rpc_answer("plan.make",
			"{'plan':'p9','messages':3,'recipients':3,'undo_window_s':0,'warnings':["
			"'2 of them are held'],'command':'weir retry all'}");
	fake_rpc_answer("plan.commit", "{'action':'a8','recipients':3,'skipped':0,'undo_until_at':"
				       "null,'warnings':['2 are held','and 1 waits for a slot']}");
	command("retry all");
	assert_true(shows("careful") && shows("2 of them are held"));
	commit();
	assert_true(shows("3 recipients") && shows("careful: 2 are held"));
	assert_true(shows("careful: and 1 waits for a slot"));
}

/* However much is marked, the notice says how it is taken back. */
static void test_long_targets_leave_room(void **state)
{
	AUTO_BUF line = BUF_INIT(2000);

	(void)state;
	fake_rpc_answer("plan.commit", "{'action':'a8','recipients':36,'skipped':0,'undo_until_at':"
				       "'2026-11-24T04:42:07.000Z'}");
	(void)buf_puts(&line, "retry id:");
	for (int i = 0; i < 36; i++)
		(void)buf_printf(&line, "%s0N4XK2M8%02d", i > 0 ? "," : "", i);
	fake_rpc_answer("plan.make", PLAN);
	command(buf_cstr(&line));
	commit();
	assert_true(shows("Retry now id:0N4XK2M800,"));
	assert_true(shows("36 recipients; z takes it back") && shows("04:42:07Z"));
}

/* --- what is left while the relay is asked --- */

static void test_a_plan_on_its_way_is_dropped(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fake_rpc_answer("plan.make", PLAN);
	assert_int_equal(act_command(app.acts, STR("retry all"), &err), 0);
	press(K_ESC);
	frame();
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
	assert_string_equal(fake_rpc_params("plan.drop"), "{\"plan\":\"p9\"}");
	/* From a form, too. */
	fake_rpc_answer("plan.make", EDIT);
	key('E');
	go_down(14);
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 1; i++)
		press(K_ENTER);
	press(K_ESC);
	frame();
	assert_int_equal(fake_rpc_calls("plan.drop"), 2);
	/* What does not come leaves nothing. */
	assert_int_equal(act_command(app.acts, STR("retry all"), &err), 0);
	press(K_ESC);
	fake_rpc_fail("plan.make", ERR_CLOSED, "no link");
	frame();
	assert_int_equal(fake_rpc_calls("plan.drop"), 2);
	assert_false(shows("no link"));
}

/* What was on its way when the link broke is not sent again once nobody waits for it. */
static void test_left_calls_end_with_the_link(void **state)
{
	(void)state;
	command("undo a12 --reason \"not now\"");
	assert_true(shows("Take it back?"));
	key(K_RIGHT);
	press(K_ENTER);
	assert_string_equal(fake_rpc_params("action.undo"),
			    "{\"action\":\"a12\",\"reason\":\"not now\"}");
	acts_unlinked(app.acts);
	draw();
	assert_true(shows("weir undo a12") && shows("is not sent again"));
	fake_rpc_answer("action.undo", "{'action':'a9'}");
	frame();
	assert_false(shows("Done"));
}

/* How long there is goes on, also while nothing comes from the relay. */
static void test_a_probation_runs_out(void **state)
{
	struct shell_status status = *shell_status(app.shell);

	(void)state;
	status.link = LINK_LOST;
	(void)snprintf(status.banner, sizeof(status.banner), "version 12 goes back");
	(void)snprintf(status.banner_about, sizeof(status.banner_about), ": route.add by olga");
	status.banner_wall_ms = shell_wall_ms(app.shell) + 100500;
	shell_status_set(app.shell, &status);
	frame();
	assert_true(shows("version 12 goes back in 1m40s: route.add by olga"));
	loop_advance(app.loop, 30000);
	frame();
	assert_true(shows("version 12 goes back in 1m10s: route.add by olga"));
}

/* --- lines of the palette --- */

/* As plans and answers print them, to be copied into a shell. */
static void test_lines_are_read_as_a_shell_reads_them(void **state)
{
	(void)state;
	command("hold 'subject:it'\\''s' --for=2h --keep-expiry --reason \"a b\"");
	assert_int_equal(json_integer_value(json_object_get(planned(), "for_s")), 7200);
	assert_string_equal(json_string_value(json_object_get(planned(), "target")),
			    "subject:it's");
	key(K_ESC);
	command("hold --for 2h -- '-from:*@vip'");
	assert_string_equal(json_string_value(json_object_get(planned(), "target")), "-from:*@vip");
	key(K_ESC);
	command("cred set shop --senders 'a\\,b,c' --senders d --networks '' --note ''");
	expect_planned("{\"name\":\"shop\",\"senders\":[\"a,b\",\"c\",\"d\"],\"networks\":[],"
		       "\"note\":\"\"}");
	key(K_ESC);
	refused("hold all --for 2h --for 3h", "given twice");
	refused("hold all --for --keep-expiry", "looks like an option");
	refused("hold all some", "\"some\" is one word too many");
	refused("hold 'all", "quote");
}

/* What the command line prints or has printed can be typed here as it stands. */
static void test_lines_are_those_of_the_command_line(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fake_rpc_answer("plan.make", PLAN);
	command("weir hold --where 'from:a* size>1000' --for 2h --plan");
	expect_planned("{\"target\":\"from:a* size>1000\",\"for_s\":7200}");
	key(K_ESC);
	refused("hold all --where from:a*", "a target and --where are two");
	refused("hold all --json", "in a shell, weir hold");
	refused("dkim add a.example --json", "in a shell, weir dkim add");
	refused("demo --rate 3", "in a shell, weir demo");
	refused("trace all --hop mx:a.example", "in a shell, weir trace");
	refused("allow", "no such action, screen or command");
	/* Mistakes are told before anything is sent, and where they are. */
	assert_true(act_command(app.acts, STR("hold --where 'to:a age>soon'"), &err) < 0);
	assert_int_equal(err.column, 24);
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
	/* A recipient's row leads to its message. */
	fake_rpc_answer("why.get", "{'text':'nothing keeps it'}");
	command("why 0n4xk2m8qf/2");
	assert_string_equal(fake_rpc_params("why.get"), "{\"target\":\"id:0n4xk2m8qf/2\"}");
	key(K_ESC);
	command("show 0N4XK2M8QF/1");
	assert_string_equal(fake_rpc_params("message.get"), "{\"id\":\"0N4XK2M8QF\"}");
	command("trace domain:a.example");
	assert_true(shows("domain:a.example  listening"));
	command("trace all");
	assert_true(shows("all next hops  listening"));
}

static void offers(const char *line, const char *with, const char *without)
{
	key(':');
	type(line);
	if (!shows(with) || (*without != '\0' && shows(without)))
		fail_msg("%s: %s, not %s", line, with, without);
	key(K_ESC);
	key(K_ESC);
}

/* And what could stand there is offered as there, without what is the command line's alone. */
static void test_lines_are_completed(void **state)
{
	(void)state;
	offers("allow a", "Let a network relay", "Remove");
	offers("weir allow a", "Let a network relay", "");
	offers("flus", "Try deferred mail of a target now", "");
	offers("flush --", "The target as a filter", "");
	offers("hold --", "Release by itself after this time", "JSON document");
	offers("hold --wh", "The target as a filter", "");
	offers("hold domain:a --k", "Let the messages' lifetime run on", "");
	offers("route add --to s", "smarthost:", "discard");
	offers("hold --where 'from:a --", "", "Release by itself");
	offers("show --", "", "byte for byte");
	key(':');
	type("hold --where st");
	key(K_TAB);
	assert_true(shows("hold --where state:"));
}

/* --yes does it without asking, if all that it demands was said. */
static void test_yes_commits_the_plan(void **state)
{
	(void)state;
	fake_rpc_answer("plan.make", "{'plan':'p9','messages':5000,'recipients':5000,"
				     "'undo_window_s':600,'command':'weir delete all'}");
	fake_rpc_answer("plan.commit", "{'action':'a8','recipients':5000,'undo_until_at':null}");
	command("delete all --yes");
	assert_int_equal(fake_rpc_calls("plan.commit"), 0); /* why? */
	assert_true(shows("Reason:"));
	key(K_ESC);
	refused("delete all --plan --yes --reason 'they asked'", "one of them");
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
	command("delete all --yes --reason 'they asked'");
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"they asked\"}");
	assert_int_equal(fake_rpc_calls("plan.commit"), 1);
	assert_true(shows("5 000 recipients") && !shows("Cancel"));
	/* What was refused can be tried again. */
	fake_rpc_fail("plan.commit", ERR_CONFLICT, "bob is at it");
	command("retry all -y");
	assert_int_equal(fake_rpc_calls("plan.commit"), 2);
	assert_true(shows("bob is at it") && shows("Cancel"));
	key(K_ESC);
	fake_rpc_answer("plan.commit", "{'action':'a8','recipients':5000,'undo_until_at':null}");
	command("retry all");
	assert_int_equal(fake_rpc_calls("plan.commit"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_what_was_touched_is_sent, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_edit_says_what_it_was_made_from,
						setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_lists_keep_their_commas, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_change_keeps_what_was_not_sent, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_form_keeps_what_it_has_no_field_for,
						setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_a_reset_can_be_taken_back, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_long_texts_are_not_cut, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_warnings_are_told, setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_long_targets_leave_room, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_plan_on_its_way_is_dropped, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_left_calls_end_with_the_link, setup_streams,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_probation_runs_out, setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_lines_are_read_as_a_shell_reads_them,
						setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_lines_are_those_of_the_command_line,
						setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_yes_commits_the_plan, setup_streams, teardown),
		cmocka_unit_test_setup_teardown(test_lines_are_completed, setup_streams, teardown),
	};

	screen_locale();
	assert_non_null(getcwd(root, sizeof(root)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
