/* What the console changes: plans, forms, lines of the palette, answers. */
#include "views_rig.h"

static void test_hold_in_three_keys(void **state)
{
	(void)state;
	key('H');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "\"target\":\"domain:gmail.example\""));
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"method\":\"queue.hold\""));
	assert_true(shows("804 recipients of 790 messages"));
	key(K_TAB);
	type("rate limited");
	key(K_TAB);
	key(K_ENTER);
	if (fake_rpc_calls("plan.commit") == 0)
		key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"rate limited\"}");
	assert_int_equal(fake_rpc_calls("plan.drop"), 0);
	assert_true(shows("803 recipients, 1 in delivery or gone"));
}

/* Taken off with the stream that the entry is for; a message's recipient is put on it. */
static void test_suppress(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "suppress", "");
	frame();
	key('/');
	type("to:anna*");
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("suppress.list"), "\"where\":\"to:anna*\""));
	key('\\');
	frame();
	key(K_ENTER);
	frame();
	assert_true(shows("550 5.1.1 No such user"));
	key('q');
	key('j');
	key('D');
	frame();
	assert_true(shows("old.example") && shows("bulk"));
	key(K_ESC);
	(void)shell_open(app.shell, "messages", "domain:gmail.example");
	frame();
	key('S');
	frame();
	assert_true(shows("@gmail.example") && shows("stream"));
	for (int i = 0; i < 3; i++)
		key(K_ENTER);
	assert_true(shows("weir suppress add") && shows("[>Cancel<]")); /* asked about first */
	assert_int_equal(fake_rpc_calls("suppress.add"), 0);
	key(K_TAB);
	type("left us");
	key(K_TAB);
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("suppress.add"), "\"reason\":\"left us\""));
}

static void test_leaving_a_plan_drops_it(void **state)
{
	(void)state;
	key('H');
	key(K_ESC);
	assert_int_equal(fake_rpc_calls("plan.drop"), 1);
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
}

static void test_refused_plan_says_why(void **state)
{
	(void)state;
	fake_rpc_fail("plan.make", ERR_CONFLICT, "bob has a plan for gmail.example open");
	key('H');
	assert_true(shows("bob has a plan"));
	assert_false(shows("Cancel"));
}

static void test_undo_asks_first(void **state)
{
	(void)state;
	key('z');
	assert_true(shows("queue.hold"));
	key('z');
	assert_int_equal(fake_rpc_calls("action.undo"), 0);
	key(K_RIGHT);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("action.undo"), "{\"action\":\"a7\"}");
}

static void test_palette_commands(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(act_command(app.acts, STR("hold domain:a.example --for 2h"), &err), 0);
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"for_s\":7200"));
	assert_true(act_command(app.acts, STR("hold domain:a --nonsense 1"), &err) < 0);
	assert_true(act_command(app.acts, STR("allow add 10.0.0.0/8"), &err) < 0);
	assert_int_equal(err.code, ERR_DENIED);
	app.readonly = true;
	assert_true(act_command(app.acts, STR("retry all"), &err) < 0);
	app.readonly = false;
}

#define EDIT_PLAN                                                                                  \
	"{'plan':'p9','method':'stream.set','target':'marketing','recipients':0,'messages':0,"     \
	"'in_delivery':0,'undo_window_s':600,'command':'weir stream set marketing','base':7,"      \
	"'changes':[{'op':'~','kind':'stream','id':'marketing','text':'match a -> b'},"            \
	"{'op':'+','kind':'route','id':'r9','text':'to discard'}],'moves':{'queued':12,"           \
	"'recent':300,'undecided':0,'whole':true,'moves':[{'what':'route','from':'mx',"            \
	"'to':'discard','queued':12,'recent':300}]},'others':[],'probation_s':600,"                \
	"'warnings':['needs a secret: credential crm (weir cred rotate crm)']}"

/* An edit says what is to be as in a new stream again, and what a pool has no more of. */
static void test_emptied_settings(void **state)
{
	const char *sent;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit", "{'action':'a9','undo_until_at':null}");
	assert_true(shell_open(app.shell, "streams", ""));
	frame();
	key('E');
	key(K_ENTER);
	key(K_CTRL | 'u'); /* match */
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 0; i++)
		key(K_ENTER);
	sent = fake_rpc_params("plan.make");
	assert_non_null(sent);
	assert_non_null(strstr(sent, "\"reset\":[\"match\"]"));
	assert_null(strstr(sent, "\"match\":"));
	assert_null(strstr(sent, "rate")); /* what stays is not said */
	assert_true(shows("~ stream marketing: match a -> b"));
	assert_true(shows("12 queued and 300 recent recipients: from mx to discard"));
	key(K_TAB);
	type("all mail");
	key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"all mail\"}");
	frame();
	key(K_TAB);
	key('E');
	assert_true(shows("192.0.2.9=mta9.example.net*2,192.0.2.10"));
	key(K_ENTER);
	type(","); /* the same addresses, written another way */
	for (int i = 0; i < 3; i++)
		key(K_ENTER);
	key(K_CTRL | 'u'); /* overflow */
	key(K_ENTER);
	key(K_ENTER);
	type("10m"); /* probation */
	key(K_ENTER);
	sent = fake_rpc_params("plan.make");
	assert_non_null(sent);
	assert_non_null(strstr(sent, "\"overflow\":\"\""));
	assert_non_null(strstr(sent, "\"probation_s\":600"));
	assert_non_null(strstr(sent, "\"192.0.2.9=mta9.example.net*2\",\"192.0.2.10\""));
}

/* Enter shows what a version did, and what was done since; Z plans its return, C keeps. */
static void test_versions(void **state)
{
	(void)state;
	be_admin();
	fake_rpc_answer("config.diff", "{'rows':[{'op':'~','kind':'pool','id':'bulk','text':"
				       "'warmup none -> 50,100'}],'next':null}");
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("config.confirm", "{'action':'a9'}");
	assert_true(shell_open(app.shell, "versions", ""));
	frame();
	assert_true(shows("C keeps it, Z takes it back"));
	key('j');
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("config.diff"), "{\"a\":11}");
	assert_true(shows("- allow 10.0.0.0/8: mode relay, note office"));
	assert_true(shows("~ pool bulk: warmup none -> 50,100"));
	key(K_ESC);
	key('Z');
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"config.rollback\",\"params\":{\"version\":11}}");
	assert_true(shows("+ route r9: to discard"));
	screen_golden(shell_grid(app.shell), "view-rollback");
	key(K_ESC);
	key('k');
	key('Z'); /* on probation: what it does is taken back */
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"config.rollback\",\"params\":{}}");
	key(K_ESC);
	key('C');
	key(K_TAB);
	type("works");
	key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("config.confirm"), "{\"reason\":\"works\"}");
}

/* Tab goes to and fro; what is done to a credential is chosen from a menu, and asked about. */
static void test_access(void **state)
{
	(void)state;
	key('7');
	assert_true(shows("1 client of shop still uses an old secret"));
	key(K_TAB);
	assert_true(shows("the office"));
	key(K_TAB);
	assert_true(shows("revoked"));
	key('E');
	assert_true(shows("needs the role admin"));
	be_admin();
	key('E');
	key('b');
	assert_true(shows("shop.example,*.news.example"));
	assert_true(shows("5000"));
	key(K_ESC);
	key('E');
	key('t');
	assert_true(shows("s1"));
	key(K_ESC);
	fake_rpc_answer(
		"plan.make",
		"{'plan':'p9','method':'cred.incident','target':'credential:shop',"
		"'messages':790,'recipients':804,'in_delivery':0,'by_state':{'deferred':804},"
		"'undo_window_s':600,'effects':['revokes shop, which is active','ends the "
		"sessions that use it: 3'],'command':'weir cred incident shop'}");
	key('D');
	key('i');
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"cred.incident\",\"params\":{\"name\":\"shop\"}}");
	assert_true(shows("revokes shop, which is active"));
	assert_true(shows("Revoke and hold"));
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
	key(K_ESC);
}

/* A new secret stands in a window until it is sent away, and in no notice or log. */
static void test_a_secret_is_shown_once(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit", "{'action':'a9','recipients':0,'messages':0,'skipped':0,"
				       "'undo_until_at':null,'name':'shop','secret':'k7mq-2xdp'}");
	assert_int_equal(act_command(app.acts, STR("cred add shop"), &err), 0);
	frame();
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_int_equal(fake_rpc_calls("plan.commit"), 1);
	assert_true(shows("The secret of shop"));
	assert_true(shows("k7mq-2xdp") && shows("[>Close<]"));
	key(K_ESC);
	assert_false(shows("k7mq-2xdp"));
}

/* What is typed in the palette goes to the plan as it is, and nothing is done before it is asked.
 */
static void test_lines_are_planned(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	assert_int_equal(act_command(app.acts,
				     STR("hold domain:a.example --for 2h --reason incident7"),
				     &err),
			 0);
	frame();
	assert_true(shows("incident7") && shows("by itself after 2h"));
	assert_null(strstr(fake_rpc_params("plan.make"), "reason"));
	for (int i = 0; i < 2; i++)
		key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"incident7\"}");
	fake_rpc_answer("plan.make", EDIT_PLAN);
	assert_int_equal(act_command(app.acts, STR("allow add 8.8.8.8"), &err), 0);
	frame();
	assert_true(shows("careful") && shows("[>Cancel<]"));
	assert_int_equal(fake_rpc_calls("allow.add"), 0);
	key(K_ESC);
	/* No file is read here. */
	assert_true(act_command(app.acts, STR("suppress import /tmp/x.csv"), &err) < 0);
	assert_non_null(strstr(err.msg, "in a shell, weir suppress import FILE"));
}

/* A hold's end is set from its plan: Change leads to the form, with what was typed. */
static void test_change_leads_back_to_the_form(void **state)
{
	(void)state;
	key('H');
	assert_true(shows("Change sets a time"));
	key(K_TAB);
	type("too many");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER); /* Change */
	assert_int_equal(fake_rpc_calls("plan.drop"), 1);
	assert_true(shows("domain:gmail.example") && shows("keep-expiry"));
	key(K_TAB);
	type("2x");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("such as 90s")); /* at its field, which is kept */
	key(K_BACKSPACE);
	type("h");
	fake_rpc_fail("plan.make", ERR_CONFLICT, "bob has a plan for gmail.example open");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("bob has a plan") && shows("2h")); /* the form stays */
	fake_rpc_answer("plan.make", "{'plan':'p10','recipients':3,'messages':3}");
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"for_s\":7200"));
	assert_true(shows("by itself after 2h") && shows("too many"));
}

/* Nothing is sent while the link is lost, and nothing of it later. */
static void test_nothing_is_sent_without_a_link(void **state)
{
	struct shell_status status;
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	assert_int_equal(act_command(app.acts, STR("allow add"), &err), 0);
	frame();
	type("8.8.8.8");
	status = *shell_status(app.shell);
	status.link = LINK_LOST;
	shell_status_set(app.shell, &status);
	for (int i = 0; i < 20; i++)
		key(K_DOWN);
	for (int i = 0; i < 12; i++)
		key(K_ENTER);
	assert_true(shows("the relay is not connected: nothing was sent"));
	assert_int_equal(fake_rpc_calls("plan.make"), 0);
	assert_true(act_command(app.acts, STR("retry all"), &err) < 0);
	status.link = LINK_UP;
	shell_status_set(app.shell, &status);
	for (int i = 0; i < 12 && fake_rpc_calls("plan.make") == 0; i++)
		key(K_ENTER);
	assert_true(shows("careful"));
	status.link = LINK_LOST;
	shell_status_set(app.shell, &status);
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("nothing was sent"));
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
	assert_int_equal(fake_rpc_calls("allow.add"), 0);
}

/* What only reads is answered on the screen, also from a form. */
static void test_answers(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fake_rpc_answer("config.diff", "{'rows':[{'op':'~','kind':'pool','id':'bulk','text':"
				       "'warmup none -> 50,100'}],'next':null}");
	fake_rpc_answer("route.test",
			"{'route':'r2','to':'mx','next_hops':[{'host':'mx1.a.example',"
			"'preference':10,'addresses':['192.0.2.1','192.0.2.2']}],"
			"'text':'route r2 takes it'}");
	assert_int_equal(act_command(app.acts, STR("config diff 3 5"), &err), 0);
	frame();
	assert_true(shows("~ pool bulk: warmup none -> 50,100"));
	key(K_ESC);
	fake_rpc_answer("config.diff", "{'rows':[{'op':'-','kind':'suppress','id':'a@b.example',"
				       "'text':'by hand'}],'total':120001,'next':null}");
	assert_int_equal(act_command(app.acts, STR("config diff 3 5"), &err), 0);
	frame();
	assert_true(shows("- suppress a@b.example: by hand") && shows("and 120 000 more"));
	key(K_ESC);
	assert_int_equal(act_command(app.acts, STR("route test"), &err), 0);
	frame();
	type("anna@a.example");
	for (int i = 0; i < 20 && fake_rpc_calls("route.test") == 0; i++)
		key(K_ENTER);
	assert_true(shows("route r2 takes it"));
	assert_true(shows("host mx1.a.example, preference 10, addresses"));
	key(K_ESC);
	assert_int_equal(act_command(app.acts, STR("config history"), &err), 0);
	frame();
	assert_true(shows("Versions"));
}

/* The record of a new key stands on the screen when it is there. */
static void test_records_to_publish(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit",
			"{'action':'a9','undo_until_at':null,'publish':"
			"['s1._domainkey.shop.example. IN TXT \\\"v=DKIM1; p=AAAA\\\"']}");
	assert_int_equal(act_command(app.acts, STR("dkim add shop.example"), &err), 0);
	frame();
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("To be published in DNS"));
	assert_true(shows("s1._domainkey.shop.example. IN TXT"));
	assert_true(shows("Close"));
}

/* Keys are told as what they do where they are pressed, and none is told that does nothing. */
static void test_keys_are_told_as_they_are(void **state)
{
	static const char *const names[] = {
		"overview", "queues",  "messages", "causes", "holds",	 "events",   "undo",
		"access",   "allow",   "routes",   "keys",   "audit",	 "suppress", "streams",
		"pools",    "bounces", "trace",	   "alerts", "versions",
	};
	bool used[A__COUNT] = { false };

	(void)state;
	be_admin();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const enum action_id *a;

		assert_true(shell_open(app.shell, names[i], ""));
		for (a = view_def_of(shell_view(app.shell))->actions; *a != A_NONE; a++)
			used[*a] = true;
	}
	for (int a = 0; a < A__COUNT; a++)
		if (action_defs[a].group == GROUP_CHANGE && !used[a])
			fail_msg("%s can be done nowhere", action_defs[a].name);
	for (int slot = 1; slot <= 9; slot++) {
		AUTO_FREE char *title = NULL;

		key((uint32_t)('0' + slot));
		title = xasprintf("The screen %s.", view_def_of(shell_view(app.shell))->title);
		assert_string_equal(action_defs[A_OVERVIEW + slot].help, title);
	}
	key('?');
	assert_true(shows("private part is erased"));
	assert_false(shows("trash") || shows("no more mail for this address"));
	key(K_ESC);
	key('7');
	assert_true(shows("[7] 8") && shows("Tab Allowlist"));
	key('?');
	assert_true(shows("revoke it, or treat it as leaked"));
	key(K_ESC);
	key('0');
	assert_true(shows("[0Ove]1Que 2Mes"));
	type(":suppressions");
	key(K_ENTER);
	assert_true(shows("old.example"));
	type(":history");
	key(K_ENTER);
	assert_true(shows("Versions"));
}

/* Fields have the names that they have on the command line, and say what fits. */
static void test_forms_speak_as_the_command_line(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	assert_int_equal(act_command(app.acts, STR("route add"), &err), 0);
	frame();
	assert_true(shows("smarthost:HOST:PORT"));
	key(K_ESC);
	assert_true(shell_open(app.shell, "streams", ""));
	frame();
	key('E');
	for (int i = 0; i < 30; i++) {
		assert_false(shows("reset") || shows("headers "));
		key(K_DOWN);
		if (shows("delay-warning"))
			break;
	}
	assert_true(shows("delay-warning"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hold_in_three_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suppress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving_a_plan_drops_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_plan_says_why, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo_asks_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_secret_is_shown_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_palette_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_are_planned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_leads_back_to_the_form, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_sent_without_a_link, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_told_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forms_speak_as_the_command_line, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_records_to_publish, setup, teardown),
	};

	screen_locale();
	assert_non_null(getcwd(root, sizeof(root)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
