/* Recipients, one message, why it waits, what happened to it, and its causes, as clients read them.
 */
#include "view_rig.h"

#include <event2/event.h>

/* ---- windows onto recipients ---- */

static void test_messages(void **state)
{
	struct msgid id;
	struct rid rid;
	json_t *v;

	(void)state;
	mail();
	expect("message.list", "{'sort':'size','descending':true,'limit':2}", "to",
	       "eve@down.example bob@down.example");
	expect("message.list", "{'sort':'size','descending':true,'limit':2}", "domain",
	       "down.example down.example");
	expect("message.list", "{'where':'domain:gmail.example','limit':3}", "to",
	       "user0@gmail.example user1@gmail.example user2@gmail.example");
	expect("message.list", "{'where':'domain:gmail.example','from_end':true,'limit':2}", "to",
	       "user4@gmail.example user5@gmail.example");
	expect("message.list", "{'where':'state:ready'}", "to",
	       "anna@startup.example bob@down.example eve@down.example carl@fast.example");
	expect("message.list", "{'where':'provider:google.com state:ready'}", "to",
	       "anna@startup.example");
	expect("message.list", "{'where':'state:deferred from:news@shop.example'}", "to",
	       "user0@gmail.example user1@gmail.example");
	expect("message.list", "{'where':'subject:invoice'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'carl'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'code:4.7.* domain:gmail.example size>400'}", "to",
	       "user3@gmail.example user4@gmail.example user5@gmail.example");
	expect("message.list", "{'where':'subject:invoice or stream:marketing','limit':5}",
	       "domain", "gmail.example gmail.example gmail.example gmail.example fast.example");
	v = ask_well("message.list", "{'where':'code:421'}");
	const json_t *row = json_array_get(json_object_get(v, "rows"), 0);
	assert_int_equal(json_get_int(v, "total"), 6);
	assert_true(json_get_bool(v, "exact"));
	assert_string_equal(text_of(row, "state"), "deferred");
	assert_int_equal(json_get_int(row, "last_code"), 421);
	assert_string_equal(text_of(row, "last_enhanced"), "4.7.28");
	assert_string_equal(text_of(row, "class"), "rate-limited");
	assert_string_equal(text_of(row, "last_reply"), RATE);
	assert_int_equal(json_get_int(row, "attempts"), 1);
	assert_true(json_get_int(row, "next_attempt_s") > 0);
	assert_string_equal(text_of(row, "client"), "192.0.2.7");
	json_decref(v);
	v = ask_well("message.list", "{'where':'from:shop@shop.example','count':true,'limit':2}");
	assert_int_equal(json_get_int(v, "total"), 8);
	assert_true(json_get_bool(v, "exact"));
	json_decref(v);
	v = ask_well("message.list", "{'limit':2}");
	assert_int_equal(json_get_int(v, "total"), 10);
	json_decref(v);
	/* trash and ends are there when they are asked for */
	id = post(&(struct letter){ .to = "zoe@trash.example,zed@trash.example" });
	rid = rid_of(id, 1);
	assert_true(sched_trash(rig.env.sched, rid, true));
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	expect("message.list", "{'where':'domain:trash.example'}", "to", "zed@trash.example");
	expect("message.list", "{'where':'state:trash'}", "to", "zoe@trash.example");
	expect("message.list", "{'where':'state:trash subject:hello'}", "state", "trash");
	expect("message.list", "{'where':'state:trash,ready domain:trash.example'}", "to",
	       "zoe@trash.example zed@trash.example");
	expect("message.list", "{'where':'-state:trash domain:trash.example'}", "to",
	       "zed@trash.example");
	expect("message.list", "{'where':'carl'}", "to", "");
	expect("message.list", "{'where':'state:delivered'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'state:delivered'}", "next_attempt_s", "null");
	expect("message.list", "{'where':'state:delivered,ready','sort':'age','limit':1}", "to",
	       "zed@trash.example");
	expect("message.list", "{'where':'state:failed'}", "to", "");
	v = ask_well("message.list", "{'where':'state:trash,delivered','count':true,'limit':1}");
	assert_int_equal(json_get_int(v, "total"), 2);
	json_decref(v);
	hold(3, "domain:startup.example", "");
	expect("message.list", "{'where':'state:held'}", "hold", "h3");
	refused("message.list", "{'where':'state:nonsense'}", "syntax where");
	refused("message.list", "{'cursor':'x'}", "invalid cursor");
	refused("message.list", "{'cursor':'id:a:f:0:5','sort':'size'}", "invalid cursor");
}

/* Every order, every kind of filter: pages forth and back are the whole list. */
static void test_message_pages(void **state)
{
	static const char *const wheres[] = {
		"",
		"state:deferred",
		"from:b*",
		"attempts>=1 from:a*",
		"size>300 or state:ready",
		"state:ready,delivered,trash",
	};
	static const char *const sorts[] = { "id", "age", "next", "size", "attempts" };
	static const char *const domains[] = { "a.example", "b.example", "c.example" };

	(void)state;
	for (int i = 0; i < 60; i++) {
		AUTO_FREE char *to = xasprintf("u%d@%s", i, domains[i % 3]);
		AUTO_FREE char *from = xasprintf("%c@shop.example", 'a' + i % 2);
		struct msgid id = post(&(struct letter){
			.to = to, .from = from, .size = (size_t)(50 * (i * 7 % 11)) + 10 });
		loop_advance(rig.env.loop, i % 4 * 500);
		if (i % 10 == 9)
			assert_true(sched_trash(rig.env.sched, rid_of(id, 1), true));
		if (i == 20)
			meet("a.example", OUTCOME_DELIVERED, 250, "", "250 ok");
		if (i % 25 == 24)
			meet("b.example", OUTCOME_DEFERRED, 421, "4.7.0", "421 4.7.0 slow");
		if (i == 40) {
			loop_advance(rig.env.loop, 120000);
			meet("b.example", OUTCOME_DEFERRED, 450, "4.2.0", "450 4.2.0 grey");
		}
	}
	for (size_t w = 0; w < ARRAY_LEN(wheres); w++)
		for (size_t s = 0; s < 2 * ARRAY_LEN(sorts); s++) {
			AUTO_FREE char *base =
				xasprintf("'where':'%s','sort':'%s','descending':%s", wheres[w],
					  sorts[s / 2], s % 2 == 0 ? "false" : "true");
			AUTO_FREE char *whole_params = xasprintf("{%s}", base);
			AUTO_FREE char *first_params = xasprintf("{%s,'limit':7}", base);
			AUTO_FREE char *end_params =
				xasprintf("{%s,'limit':7,'from_end':true}", base);
			AUTO_BUF forth = BUF_INIT(100000);
			AUTO_FREE char *back = xstrdup("");
			json_t *v = ask_well("message.list", whole_params);
			AUTO_FREE char *whole = column(v, "row");
			size_t n = json_array_size(json_object_get(v, "rows"));
			assert_true(n > 5);
			assert_true(json_get_bool(v, "exact"));
			assert_int_equal(json_get_int(v, "total"), n);
			json_decref(v);
			v = ask_well("message.list", first_params);
			for (;;) {
				AUTO_FREE char *page = column(v, "row");
				const char *next = json_string_value(json_object_get(v, "next"));
				AUTO_FREE char *params = xasprintf("{%s,'limit':7,'cursor':'%s'}",
								   base, next != NULL ? next : "");
				(void)buf_printf(&forth, "%s%s", forth.n > 0 ? " " : "", page);
				json_decref(v);
				if (params[strlen(params) - 3] == '\'')
					break;
				v = ask_well("message.list", params);
				assert_false(json_is_null(json_object_get(v, "prev")));
			}
			if (strcmp(buf_cstr(&forth), whole) != 0)
				fail_msg("%s:\nwhole %s\nforth %s", base, whole, buf_cstr(&forth));
			v = ask_well("message.list", end_params);
			assert_true(json_is_null(json_object_get(v, "next")));
			for (;;) {
				AUTO_FREE char *page = column(v, "row");
				const char *prev = json_string_value(json_object_get(v, "prev"));
				AUTO_FREE char *params = xasprintf("{%s,'limit':7,'cursor':'%s'}",
								   base, prev != NULL ? prev : "");
				char *longer =
					xasprintf("%s%s%s", page, *back != '\0' ? " " : "", back);
				free(back);
				back = longer;
				json_decref(v);
				if (params[strlen(params) - 3] == '\'')
					break;
				v = ask_well("message.list", params);
				assert_false(json_is_null(json_object_get(v, "next")));
			}
			if (strcmp(back, whole) != 0)
				fail_msg("%s:\nwhole %s\nback  %s", base, whole, back);
		}
}

/* ---- one message ---- */

static void test_message(void **state)
{
	struct msgid id;
	char text[MSGID_TEXT_LEN];
	char params[200];
	json_t *v;

	(void)state;
	id = post(&(struct letter){ .to = "user@gmail.example,anna@fast.example",
				    .subject = "Week 48",
				    .credential = "crm" });
	msgid_text(id, text);
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	loop_advance(rig.env.loop, 3700000);
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	(void)snprintf(params, sizeof(params), "{'id':'%s'}", text);
	v = ask_well("message.get", params);
	assert_string_equal(text_of(v, "id"), text);
	assert_string_equal(text_of(v, "subject"), "Week 48");
	assert_string_equal(text_of(v, "content"), "stored");
	assert_string_equal(text_of(v, "credential"), "crm");
	assert_string_equal(text_of(v, "helo"), "client.example");
	assert_int_equal(json_get_int(v, "recipients_n"), 2);
	const json_t *attempts = json_object_get(v, "attempts");
	assert_int_equal(json_array_size(attempts), 3);
	assert_string_equal(text_of(json_array_get(attempts, 0), "to"), "user@gmail.example");
	assert_string_equal(text_of(json_array_get(attempts, 1), "outcome"), "delivered");
	assert_string_equal(text_of(json_array_get(attempts, 1), "reply"), "250 2.0.0 queued");
	assert_string_equal(text_of(json_array_get(attempts, 2), "outcome"), "deferred");
	assert_int_equal(json_get_int(json_array_get(attempts, 2), "code"), 421);
	const json_t *rcpts = json_object_get(v, "recipients");
	assert_string_equal(text_of(json_array_get(rcpts, 0), "state"), "deferred");
	assert_int_equal(json_get_int(json_array_get(rcpts, 0), "attempts"), 2);
	assert_string_equal(text_of(json_array_get(rcpts, 1), "state"), "delivered");
	json_decref(v);
	refused("message.get", "{'id':'0N4XK2M8QF'}", "unknown id");
	refused("message.get", "{'id':'no'}", "invalid id");
	loop_advance(rig.env.loop, 7200000);
	meet("gmail.example", OUTCOME_FAILED, 550, "5.1.1", "550 5.1.1 no such user");
	v = ask_well("message.get", params);
	assert_string_equal(text_of(v, "content"), "gone");
	assert_string_equal(text_of(json_array_get(json_object_get(v, "recipients"), 0), "class"),
			    "bad-mailbox");
	json_decref(v);
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	loop_advance(rig.env.loop, VIEW_KEEP_MS + 1);
	refused("message.content", params, "until its last recipient");
}

static char *decoded(const json_t *v)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *s = text_of(v, "base64");
	AUTO_BUF out = BUF_INIT(100000);
	unsigned bits = 0;
	unsigned n = 0;

	for (; *s != '\0' && *s != '='; s++) {
		bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			(void)buf_putc(&out, (char)(bits >> n & 0xff));
		}
	}
	return buf_take(&out);
}

static void test_content(void **state)
{
	struct msgid id =
		post(&(struct letter){ .to = "u@x.example", .subject = "S", .size = 100 });
	char text[MSGID_TEXT_LEN];
	char params[200];
	json_t *v;

	(void)state;
	msgid_text(id, text);
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	v = ask_well("message.content", params);
	AUTO_FREE char *headers = decoded(v);
	assert_string_equal(headers, "Subject: S\r\nFrom: x\r\n\r\n");
	assert_int_equal(json_get_int(v, "total"), strlen(headers));
	json_decref(v);
	AUTO_BUF all = BUF_INIT(10000);
	for (int at = 0;; at += 50) {
		(void)snprintf(params, sizeof(params), "{'id':'%s','offset':%d,'limit':50}", text,
			       at);
		v = ask_well("message.content", params);
		AUTO_FREE char *piece = decoded(v);
		int64_t total = json_get_int(v, "total");
		json_decref(v);
		(void)buf_puts(&all, piece);
		if (*piece == '\0') {
			assert_int_equal(all.n, total);
			break;
		}
	}
	assert_non_null(strstr(buf_cstr(&all), "\r\n\r\n  "));
	assert_non_null(strstr(buf_cstr(&all), "body\r\n"));
	/* viewers: headers only */
	(void)close(rig.fd);
	buf_done(&rig.in);
	turn();
	client_in(ACCESS_VIEWER);
	json_decref(next_line(WAIT_MS));
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	json_decref(ask_well("message.content", params));
	(void)snprintf(params, sizeof(params), "{'id':'%s'}", text);
	refused("message.content", params, "denied part");
}

/* ---- why ---- */

static void why(const char *target, const char *binding, const char *words, const char *rule)
{
	char params[200];
	json_t *v;

	(void)snprintf(params, sizeof(params), "{'target':'%s'}", target);
	v = ask_well("why.get", params);
	if (strcmp(text_of(v, "binding"), binding) != 0 ||
	    strstr(text_of(v, "text"), words) == NULL || strcmp(text_of(v, "rule"), rule) != 0)
		fail_msg("%s: %s, %s: %s", target, text_of(v, "binding"), text_of(v, "rule"),
			 text_of(v, "text"));
	json_decref(v);
}

static void test_why_message(void **state)
{
	struct msgid id = post(&(struct letter){ .to = "u@x.example,v@y.example" });
	char one[MSGID_TEXT_LEN];
	char first[RID_TEXT_LEN];
	char second[RID_TEXT_LEN];

	(void)state;
	msgid_text(id, one);
	rid_text(rid_of(id, 1), first);
	rid_text(rid_of(id, 2), second);
	why(one, "waiting", "u@x.example: due now", "");
	rig.hop_known = true;
	rig.hop = (struct smtpout_hop_view){ .of_site = 20, .limit = 20, .reason = "" };
	why(first, "concurrency", "20 connections", "");
	rig.hop = (struct smtpout_hop_view){
		.connections = 2, .limit = 20, .waits_for_room = true, .reason = ""
	};
	why(first, "concurrency", "as many connections open", "");
	rig.hop = (struct smtpout_hop_view){ .limit = 20,
					     .pause_until_ms = loop_wall_ms(rig.env.loop) + 60000,
					     .reason = "421 4.7.0 go slow" };
	why(first, "backoff", "421 4.7.0 go slow", "");
	rig.hop_known = false;
	assert_true(take_one("mx:x.example"));
	why(first, "delivering", "in delivery to x.example", "");
	result(OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	settle();
	why(first, "remote", "unusual rate", "");
	why(first, "remote", "Next attempt in", "");
	struct attempt refused_ = { .outcome = OUTCOME_DEFERRED,
				    .reply_class = REPLY_NETWORK,
				    .reply = "connect to mx.y.example: connection refused" };
	sched_unreachable(rig.env.sched, "mx:y.example", &refused_, false);
	settle();
	why(second, "connect", "connection refused", "");
	why(one, "connect", "v@y.example: ", "");
	hold(4, "domain:y.example", ",\"expires_ms\":1795490600000");
	why(second, "held", "incident 7", "h4");
	why(second, "held", "eva", "h4");
	why(second, "held", "ends by itself in 10m", "h4");
	why(one, "held", "v@y.example", "h4");
	assert_true(holds_drop(rig.env.holds, 4));
	sched_rejudge(rig.env.sched, false);
	route(2, "domain:y.example", "hold");
	why(second, "route", "route r2 (domain:y.example) keeps it back", "r2");
	assert_true(sched_trash(rig.env.sched, rid_of(id, 2), true));
	why(second, "trash", "taken back", "");
	loop_advance(rig.env.loop, 3700000);
	meet("x.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 thanks");
	why(first, "done", "delivered by mx.remote.example: 250 2.0.0 thanks", "");
	refused("why.get", "{'target':'0N4XK2M8QF'}", "unknown target");
}

static void test_why_destination(void **state)
{
	(void)state;
	why("domain:gmail.example", "done", "nothing is queued for domain:gmail.example", "");
	mail();
	why("domain:gmail.example", "remote", "6 recipients waiting: ", "");
	why("domain:gmail.example", "remote", "unusual rate", "");
	why("provider:google.com", "remote", "6 of 7 recipients", "");
	why("provider:google.com", "remote", "Besides: 1 due", "");
	why("domain:fast.example", "waiting", "1 recipient due now", "");
	why("from:news@shop.example", "remote", "2 recipients", "");
	down();
	why("domain:down.example", "connect", "refused", "");
	why("all", "remote", "8 of 10 recipients", "");
	hold(2, "stream:marketing", "");
	why("stream:marketing", "held", "4 recipients held by eva", "h2");
	why("domain:gmail.example", "held", "Besides: 2 waiting", "h2");
	route(1, "domain:fast.example", "hold");
	why("domain:fast.example", "route", "route r1", "r1");
}

/* ---- events and causes ---- */

static void test_events(void **state)
{
	json_t *v;
	char params[200];
	int64_t seq;

	(void)state;
	mail();
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	expect("event.list", "{'limit':2}", "event", "delivered deferred");
	expect("event.list", "{'limit':1}", "to", "carl@fast.example");
	expect("event.list", "{'where':'state:delivered'}", "to", "carl@fast.example");
	expect("event.list", "{'where':'code:421 from:news@shop.example'}", "to",
	       "user1@gmail.example user0@gmail.example");
	expect("event.list", "{'where':'provider:google.com code:421','limit':1}", "class",
	       "rate-limited");
	v = ask_well("event.list", "{'limit':5}");
	AUTO_FREE char *five = column(v, "seq");
	json_decref(v);
	v = ask_well("event.list", "{'limit':3}");
	AUTO_FREE char *three = column(v, "seq");
	(void)snprintf(params, sizeof(params), "{'limit':2,'cursor':'%s'}",
		       json_get_str(v, "next"));
	seq = json_get_int(json_array_get(json_object_get(v, "rows"), 2), "seq");
	json_decref(v);
	v = ask_well("event.list", params);
	AUTO_FREE char *two = column(v, "seq");
	AUTO_FREE char *both = xasprintf("%s %s", three, two);
	json_decref(v);
	assert_string_equal(both, five);
	(void)snprintf(params, sizeof(params), "{'after':%lld,'limit':1}", (long long)seq);
	v = ask_well("event.list", params);
	assert_int_equal(json_get_int(json_array_get(json_object_get(v, "rows"), 0), "seq"),
			 seq + 1);
	(void)snprintf(params, sizeof(params), "{'cursor':'%s'}", json_get_str(v, "next"));
	json_decref(v);
	v = ask_well("event.list", params);
	assert_int_equal(json_get_int(json_array_get(json_object_get(v, "rows"), 0), "seq"),
			 seq + 2);
	assert_true(json_is_null(json_object_get(v, "next")));
	json_decref(v);
	refused("event.list", "{'cursor':'z:1'}", "invalid cursor");
}

/* The filter of each cause finds as many rows as it counts; counting here is as the store's. */
static void check_causes(const char *params, const char *more)
{
	json_t *v = ask_well("cause.list", params);
	size_t i;
	json_t *row;

	assert_true(json_array_size(json_object_get(v, "rows")) > 0);
	json_array_foreach(json_object_get(v, "rows"), i, row)
	{
		AUTO_BUF where = BUF_INIT(5000);
		json_t *p;
		json_t *found;
		AUTO_FREE char *text = NULL;
		(void)buf_printf(&where, "%s %s", text_of(row, "where"), more);
		p = json_pack("{s:s}", "where", buf_cstr(&where));
		text = json_dumps(p, 0);
		found = ask_well("message.list", text);
		if (json_get_int(found, "total") != json_get_int(row, "count"))
			fail_msg("%s: %d rows for %d", text, (int)json_get_int(found, "total"),
				 (int)json_get_int(row, "count"));
		json_decref(found);
		json_decref(p);
	}
	json_decref(v);
}

static void test_causes(void **state)
{
	struct msgid id;

	(void)state;
	mail();
	down();
	meet("startup.example", OUTCOME_DEFERRED, 450, "4.2.0",
	     "450 4.2.0 <anna@startup.example>: \"Greylisted\"\n450 4.2.0 see "
	     "http://x.example/4711");
	meet("fast.example", OUTCOME_DEFERRED, 452, "", "452 out of space (#4.3.1) \\o/");
	expect("cause.list", "{}", "count", "6 2 1 1");
	expect("cause.list", "{'limit':2}", "class", "rate-limited network");
	expect("cause.list", "{'limit':1}", "kind", "soft");
	expect("cause.list", "{'limit':1}", "domains", "1");
	expect("cause.list", "{'where':'domain:fast.example,down.example'}", "count", "2 1");
	check_causes("{}", "");
	/* the store cannot: the same causes */
	expect("cause.list", "{'where':'state:deferred'}", "count", "6 2 1 1");
	check_causes("{'where':'state:deferred'}", "");
	expect("cause.list", "{'where':'provider:google.com'}", "count", "6 1");
	id = post(&(struct letter){ .to = "last@gmail.example" });
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	expect("cause.list", "{'limit':1}", "count", "7");
	assert_true(sched_trash(rig.env.sched, rid_of(id, 1), true));
	expect("cause.list", "{'limit':1}", "count", "6");
}

/* The relay ends while it looks for what waits for the same causes; nothing of that is left. */
static void test_causes_at_the_end(void **state)
{
	json_t *params = json_object();

	(void)state;
	mail();
	down();
	assert_true(sched_backs_off(rig.env.sched));
	send_call("cause.list", params);
	json_decref(params);
	/* the store answers, the step after that is never made */
	for (int n = 0; n < 50; n++) {
		(void)event_base_loop(loop_base(rig.env.loop), EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
}

/* Bytes that are no text reach clients as text. */
static void test_dirty_texts(void **state)
{
	json_t *v;

	(void)state;
	(void)post(&(struct letter){ .to = "u\xff@x.example", .from = "\xfe@y.example" });
	meet("x.example", OUTCOME_DEFERRED, 421, "4.7.0", "421 4.7.0 caf\xe9 \x01\n421 4.7.0 more");
	v = ask_well("message.list", "{}");
	json_decref(v);
	json_decref(ask_well("queue.list", "{'by':'sender'}"));
	json_decref(ask_well("queue.list", "{}"));
	json_decref(ask_well("event.list", "{}"));
	check_causes("{}", "");
	why("domain:x.example", "remote", "caf", "");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_messages),	TEST(test_message_pages), TEST(test_message),
		TEST(test_content),	TEST(test_why_message),	  TEST(test_why_destination),
		TEST(test_events),	TEST(test_causes),	  TEST(test_causes_at_the_end),
		TEST(test_dirty_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
