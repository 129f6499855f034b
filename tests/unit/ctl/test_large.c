/*
 * Changes of many objects over the control protocol: nothing is between all and nothing, whoever
 * edits meanwhile, and no turn of the loop takes long.
 */
#include "ops_rig.h"

#include <pthread.h>

#include "ctl/ask_providers.h"

#define PIECE ((size_t)96 << 10)
#define MANY 1200	/* objects: some ten slices under a clock that stands still */
#define VERY_MANY 12000 /* for the processor's clock */
#define TURN_MAX 20000	/* objects whose texts are written and read meanwhile, on any machine */
#define PEM_TEXT                                                                                   \
	"-----BEGIN PRIVATE KEY-----\\n"                                                           \
	"MC4CAQAwBQYDK2VwBCIEIBhCyhhpOIbrdW5Wx+jYbLQ3nM4wHOxUyGjBCbVeRg8Z"                         \
	"\\n-----END PRIVATE KEY-----\\n"

/* Sends a request that may be longer than a socket takes at once; its id. */
static int ask_long(const char *method, json_t *params_take)
{
	AUTO_FREE char *text = json_dumps(params_take, JSON_COMPACT);
	AUTO_FREE char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\","
					 "\"params\":%s}\n",
					 ++rig.last_id, method, text);
	size_t n = strlen(line), done = 0;
	json_decref(params_take);
	for (unsigned turn = 0; done < n; turn++) {
		ssize_t got = send(rig.fd, line + done, n - done, MSG_NOSIGNAL);
		done += got > 0 ? (size_t)got : 0;
		if (done < n)
			rig_turn(turn);
	}
	return rig.last_id;
}

/* Parameters of config.import; all but the last piece is brought before. */
static json_t *import_params(struct str text)
{
	json_t *params = json_pack("{s:s}", "reason", "r");
	for (; text.n > PIECE; text = str_from(text.p + PIECE, text.n - PIECE)) {
		json_t *load = json_pack("{s:s%}", "text", text.p, PIECE), *v;
		if (json_object_get(params, "upload") != NULL)
			(void)json_object_set(load, "upload", json_object_get(params, "upload"));
		v = rig_answer(ask_long("config.load", load));
		assert_non_null(v);
		(void)json_object_set(params, "upload", json_object_get(v, "upload"));
		json_decref(v);
	}
	(void)json_object_set_new(params, "text", json_stringn(text.p, text.n));
	return params;
}

static int ask_import(const struct buf *text)
{
	return ask_long("config.import", import_params(buf_str(text)));
}

static void import(const struct buf *text)
{
	json_t *v = rig_answer(ask_import(text));
	if (v == NULL)
		fail_msg("%s", rig.err.msg);
	json_decref(v);
}

static struct buf entries(const char *contains, unsigned from, unsigned n, const char *note)
{
	struct buf b = BUF_INIT(PROTO_CONFIG_MAX);
	(void)buf_printf(&b, "format = 1\ncontains = \"%s\"\n", contains);
	for (unsigned i = from; i < from + n; i++)
		(void)buf_printf(&b, "allow \"10.%u.%u.%u\" {\nnote = \"%s\"\n}\n", i >> 16,
				 i >> 8 & 255, i & 255, note);
	return b;
}

static size_t noted(const char *note)
{
	size_t n = 0;
	for (size_t i = 0; i < allow_n(rig.env.allow); i++)
		n += strcmp(allow_at(rig.env.allow, i)->note, note) == 0;
	return n;
}

static void settle(void)
{
	for (unsigned n = 0; n < 200 && !rig.real_clock; n++)
		loop_advance(rig.loop, 0);
	rig_disk();
}

/* --- somebody edits meanwhile ----------------------------------------------------------------- */

struct outcome_of {
	bool edited;
	bool imported;
};

/* An edit that comes after so many turns of the import. */
static struct outcome_of edit_after(unsigned turns, const struct buf *text)
{
	struct outcome_of o;
	int edit, id = ask_import(text);
	for (unsigned n = 0; n < turns; n++)
		(void)event_base_loop(loop_base(rig.loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	edit = rig_ask("allow.add", "{\"network\":\"192.0.2.1\",\"note\":\"by hand\"}");
	json_t *v = rig_answer(edit);
	o.edited = v != NULL;
	if (v == NULL)
		assert_int_equal(rig.err.code, ERR_CONFLICT);
	json_decref(v);
	v = rig_answer(id);
	o.imported = v != NULL;
	if (v == NULL)
		assert_int_equal(rig.err.code, ERR_CONFLICT);
	json_decref(v);
	return o;
}

/* How many turns it takes is the machine's affair: each of the first ones, then further on. */
#define TURNS 30
#define TURNS_MOST 5000

/* At every turn: before it, stale, to be tried again, or behind it. */
static void test_an_edit_at_any_turn(void **state)
{
	unsigned both = 0, stale = 0, refused = 0;
	(void)state;
	for (unsigned turns = 0; turns < TURNS || both == 0 || stale == 0 || refused == 0;
	     turns += turns < TURNS ? 1 : turns / 8) {
		assert_true(turns < TURNS_MOST);
		struct buf text =
			entries("allowlist", 0, 2 * MANY, turns % 2 != 0 ? "odd" : "even");
		struct outcome_of o = edit_after(turns, &text);
		size_t n = noted(turns % 2 != 0 ? "odd" : "even");
		assert_true(o.edited || o.imported);
		assert_int_equal(n, o.imported ? 2 * MANY : 0);
		/* what was answered is in force: an entry that came first is gone with the import
		 */
		if (!o.imported)
			assert_int_equal(noted("by hand"), 1);
		if (!o.edited)
			assert_int_equal(noted("by hand"), 0);
		both += o.edited && o.imported;
		stale += !o.imported;
		refused += !o.edited;
		buf_done(&text);
		settle();
		text = entries("allowlist", 0, 1, "first");
		import(&text);
		buf_done(&text);
		assert_int_equal(allow_n(rig.env.allow), 1);
	}
	assert_null(strstr(rig.log, "actions.apply"));
}

static void test_another_import(void **state)
{
	struct buf text = entries("allowlist", 0, MANY, "a");
	int first = ask_import(&text), second;
	(void)state;
	loop_advance(rig.loop, 0);
	second = rig_ask("config.import", "{\"text\":\"format = 1\",\"reason\":\"r\"}");
	assert_null(rig_answer(second));
	assert_int_equal(rig.err.code, ERR_CONFLICT);
	assert_non_null(strstr(rig.err.msg, "olga is importing a configuration"));
	json_decref(rig_answer(first));
	assert_int_equal(noted("a"), MANY);
	buf_done(&text);
}

/* All of it is taken back, or nothing because somebody changed a part of it. */
static void test_an_undo_at_any_turn(void **state)
{
	struct buf text = entries("allowlist", 0, MANY, "a");
	struct buf none = entries("allowlist", 0, 0, "");
	(void)state;
	for (unsigned turns = 0; turns < 16; turns++) {
		json_t *edited, *undone;
		int undo, edit;
		import(&text);
		undo = rig_ask("action.undo", "{}");
		for (unsigned n = 0; n < turns; n++)
			(void)event_base_loop(loop_base(rig.loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
		edit = rig_ask("allow.remove", "{\"network\":\"10.0.0.7\"}");
		edited = rig_answer(edit);
		assert_true(edited != NULL || rig.err.code == ERR_CONFLICT ||
			    rig.err.code == ERR_UNKNOWN);
		undone = rig_answer(undo);
		assert_true(undone != NULL || rig.err.code == ERR_CONFLICT);
		assert_int_equal(edited == NULL, undone != NULL);
		assert_int_equal(allow_n(rig.env.allow), undone != NULL ? 0 : MANY - 1);
		if (undone == NULL)
			import(&none);
		json_decref(edited);
		json_decref(undone);
		settle();
	}
	buf_done(&text);
	buf_done(&none);
}

static size_t count_of(const char *text, const char *word)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		n++;
	return n;
}

/* What is exported was in force, at the version that it says, whenever others edit. */
static void test_an_export_is_of_one_version(void **state)
{
	struct buf text = entries("allowlist", 0, MANY, "a");
	unsigned last = 1;
	(void)state;
	import(&text);
	for (unsigned turns = 0; turns < 12; turns++) {
		int edits[3], id = rig_ask("config.export", "{}");
		json_t *v;
		for (unsigned k = 0; k < ARRAY_LEN(edits); k++) {
			AUTO_FREE char *params =
				xasprintf("{\"network\":\"192.0.2.%u\"}", last - 1 + k);
			for (unsigned n = 0; n < turns; n++)
				(void)event_base_loop(loop_base(rig.loop),
						      EVLOOP_ONCE | EVLOOP_NONBLOCK);
			edits[k] = rig_ask("allow.add", params);
		}
		v = rig_answer(id);
		assert_non_null(v);
		assert_int_equal(count_of(json_get_str(v, "text"), "allow \"192.0.2."),
				 json_get_int(v, "version") - 1);
		assert_int_equal(count_of(json_get_str(v, "text"), "allow \"10."), MANY);
		json_decref(v);
		for (unsigned k = 0; k < ARRAY_LEN(edits); k++)
			json_decref(rig_answer(edits[k]));
		last += 3;
	}
	buf_done(&text);
}

/* --- who has something in hand ---------------------------------------------------------------- */

/* The loop's workers wait here, and so does what comes behind in their line. */
#define WORKERS 2
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void at_gate(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&gate);
	(void)pthread_mutex_unlock(&gate);
}

static void behind_gate(void *arg)
{
	(void)arg;
}

static void close_gate(void)
{
	(void)pthread_mutex_lock(&gate);
	for (int i = 0; i < WORKERS; i++)
		(void)loop_job_start(rig.loop, "gate", at_gate, behind_gate, NULL);
}

static void open_gate(void)
{
	(void)pthread_mutex_unlock(&gate);
}

static void turns(unsigned n)
{
	for (; n > 0; n--)
		loop_advance(rig.loop, 0);
}

/* A call that a worker has in hand until the gate is open. */
static int ask_slow(const char *method, const char *params)
{
	int id;
	close_gate();
	id = rig_ask(method, params);
	turns(10);
	return id;
}

/* A file of a few lines is imported; owned, or NULL with rig.err. */
static json_t *import_text(const char *text)
{
	return rig_answer(
		ask_long("config.import", json_pack("{s:s, s:s}", "text", text, "reason", "r")));
}

static void expect_conflict(const char *words)
{
	assert_int_equal(rig.err.code, ERR_CONFLICT);
	if (strstr(rig.err.msg, words) == NULL)
		fail_msg("%s", rig.err.msg);
}

/* What is revoked stays so, though a new secret of it was being made. */
static void test_an_import_of_few(void **state)
{
	static const char none[] = "format = 1\ncontains = \"credentials\"\n";
	int64_t revoked_ms;
	int rotate;
	(void)state;
	json_decref(rig_do("cred.add", "{\"name\":\"app\"}"));
	rotate = ask_slow("cred.rotate", "{\"name\":\"app\"}");
	assert_null(import_text(none));
	expect_conflict("olga is changing cred app");
	open_gate();
	json_decref(rig_answer(rotate));
	assert_int_equal(creds_find(rig.env.creds, STR("app"))->n_secrets, 2);
	json_decref(import_text(none));
	revoked_ms = creds_find(rig.env.creds, STR("app"))->revoked_ms;
	assert_true(revoked_ms != 0);
}

/* What others have in hand is not passed over by one that takes much back. */
static void test_an_undo_and_an_import(void **state)
{
	static const char few[] =
		"{\"reason\":\"r\",\"text\":\"format = 1\\ncontains = \\\"routes\\\"\\n"
		"route {\\nto = \\\"mx\\\"\\nnote = \\\"x\\\"\\n}\\n\"}";
	struct buf text = entries("routes, allowlist", 0, 4 * MANY, "a");
	int undo, other;
	(void)state;
	(void)buf_puts(&text, "route {\nto = \"mx\"\nnote = \"a\"\n}\n");
	import(&text);
	buf_done(&text);
	text = entries("routes, allowlist", 0, 4 * MANY, "b");
	(void)buf_puts(&text, "route {\nto = \"mx\"\nnote = \"b\"\n}\n");
	import(&text);
	settle();
	undo = rig_ask("action.undo", "{}");
	other = rig_ask("config.import", few);
	assert_null(rig_answer(other));
	expect_conflict("olga is changing ");
	json_decref(rig_answer(undo));
	assert_int_equal(noted("a"), 4 * MANY);
	assert_string_equal(routes_at(rig.env.routes, 0)->note, "a");
	buf_done(&text);
}

/* What is no configuration has nothing to do with those who change it. */
static void test_others_than_edits(void **state)
{
	struct unread_new_mail m = {
		.client = "", .from = "", .to = "", .subject = "", .original = "", .why = ""
	};
	int add;
	(void)state;
	rig.env.unread = unread_new(10000, 86400000);
	for (unsigned i = 0; i < MANY; i++) {
		AUTO_FREE char *content = xasprintf("%u", i);
		m.content = str_of(content);
		(void)unread_add(rig.env.unread, &m, RIG_NOW);
	}
	add = ask_slow("cred.add", "{\"name\":\"app\"}");
	json_decref(rig_do("bounces.remove", "{\"id\":\"all\",\"reason\":\"r\"}"));
	assert_int_equal(unread_n(rig.env.unread), 0);
	open_gate();
	json_decref(rig_answer(add));
	/* and while it is stored others edit */
	for (unsigned i = 0; i < MANY; i++) {
		AUTO_FREE char *content = xasprintf("%u", i);
		m.content = str_of(content);
		(void)unread_add(rig.env.unread, &m, RIG_NOW);
	}
	int remove = rig_ask("bounces.remove", "{\"id\":\"all\",\"reason\":\"r\"}");
	turns(2);
	json_decref(rig_do("allow.add", "{\"network\":\"10.0.0.9\"}"));
	json_decref(rig_answer(remove));
	unread_free(&rig.env.unread);
}

static json_t *history(void)
{
	return rig_do("config.history", "{}");
}

/* As many as a transaction takes, while somebody else edits: all with a version. */
static void test_many_end_at_once(void **state)
{
	struct buf text = BUF_INIT(PROTO_CONFIG_MAX);
	int64_t end = RIG_NOW + 600000;
	size_t of_it = 0, i;
	int add;
	json_t *v, *row;
	(void)state;
	(void)buf_puts(&text, "format = 1\ncontains = \"allowlist\"\n");
	for (unsigned k = 0; k < 230; k++) {
		char at[FMT_TIME_LEN];
		fmt_time(end, at);
		(void)buf_printf(&text, "allow \"10.0.0.%u\" {\nexpires = \"%s\"\n}\n", k, at);
	}
	import(&text);
	buf_done(&text);
	assert_int_equal(allow_n(rig.env.allow), 230);
	add = ask_slow("cred.add", "{\"name\":\"app\"}");
	rig_advance(700000);
	rig_advance(60000);
	open_gate();
	json_decref(rig_answer(add));
	assert_int_equal(allow_n(rig.env.allow), 0);
	assert_null(strstr(rig.log, "actions.expired"));
	v = history();
	json_array_foreach(json_object_get(v, "rows"), i, row) of_it +=
		strcmp(json_get_str(row, "method"), "allow.remove") == 0;
	json_decref(v);
	assert_int_equal(of_it, 2);
	rig_restart();
	assert_int_equal(allow_n(rig.env.allow), 0);
}

/* --- what is counted goes on ------------------------------------------------------------------ */

static void put_others(struct buf *b, unsigned n, const char *word, const char *state)
{
	for (unsigned i = 0; i < n; i++)
		(void)buf_printf(b,
				 "credential \"app%u\" {\nnote = \"%s\"\n}\n"
				 "route {\nmatch = \"domain:d%u.example\"\nto = \"mx\"\nnote = "
				 "\"%s\"\n}\n"
				 "key \"d%u.example/s\" {\nstate = \"%s\"\npublic = \"v=DKIM1; "
				 "k=ed25519; p=%u\"\n}\n",
				 i, word, i, word, i, state, i);
}

static struct buf all_kinds(const char *word, const char *state)
{
	struct buf b = entries("allowlist, credentials, routes, keys", 0, MANY / 4, word);
	const struct key_entry *e = keys_find(rig.env.keys, STR("shop.example/s1"));
	put_others(&b, MANY / 4, word, state);
	(void)buf_printf(&b, "key \"shop.example/s1\" {\nstate = \"%s\"\npublic = \"%s\"\n}\n",
			 state, e->record);
	return b;
}

static void expect_counts(const struct cred_use *use)
{
	const struct allow_entry *a = allow_find(rig.env.allow, STR("10.0.0.7"));
	const struct key_entry *k = keys_find(rig.env.keys, STR("shop.example/s1"));
	assert_int_equal(a->hits, 2);
	assert_ptr_equal(creds_find(rig.env.creds, STR("app7"))->use, use);
	assert_int_equal(k->signed_n, 1);
	assert_non_null(k->key);
	assert_int_equal(keys_empty_n(rig.env.keys), MANY / 4);
}

static void test_counts_go_on(void **state)
{
	struct ipaddr client;
	const struct cred_use *use;
	struct buf text;
	(void)state;
	json_decref(rig_do("dkim.add",
			   "{\"domain\":\"shop.example\",\"selector\":\"s1\",\"pem\":\"" PEM_TEXT
			   "\",\"reason\":\"r\"}"));
	text = all_kinds("one", "active");
	import(&text);
	buf_done(&text);
	settle();
	assert_true(ipaddr_parse(STR("10.0.0.7"), &client));
	assert_non_null(allow_hit(rig.env.allow, &client, RIG_NOW));
	assert_non_null(allow_hit(rig.env.allow, &client, RIG_NOW));
	keys_count(rig.env.keys, STR("shop.example/s1"), true, RIG_NOW);
	use = creds_find(rig.env.creds, STR("app7"))->use;
	expect_counts(use);
	text = all_kinds("two", "waiting");
	import(&text);
	buf_done(&text);
	settle();
	assert_int_equal(noted("two"), MANY / 4);
	expect_counts(use);
	assert_string_equal(creds_find(rig.env.creds, STR("app7"))->note, "two");
	assert_string_equal(routes_at(rig.env.routes, 7)->note, "two");
	json_decref(rig_do("action.undo", "{}"));
	settle();
	assert_int_equal(noted("one"), MANY / 4);
	expect_counts(use);
	assert_int_equal(keys_orphan_ms(rig.env.keys), 0);
	assert_int_equal(routes_n(rig.env.routes), MANY / 4);
	rig_restart();
	assert_int_equal(noted("one"), MANY / 4);
	assert_non_null(keys_find(rig.env.keys, STR("shop.example/s1"))->key);
}

/* --- plans, versions -------------------------------------------------------------------------- */

static void test_a_plan_of_many(void **state)
{
	struct buf text = entries("allowlist", 0, 4 * MANY, "planned");
	json_t *params = import_params(buf_str(&text)), *v;
	size_t rows;
	(void)state;
	(void)json_object_del(params, "reason");
	v = rig_answer(ask_long(
		"plan.make", json_pack("{s:s, s:o}", "method", "config.import", "params", params)));
	assert_non_null(v);
	rows = json_array_size(json_object_get(v, "changes"));
	assert_true(rows > 100 && rows < 4 * MANY);
	assert_int_equal(json_get_int(v, "changes_n"), 4 * MANY);
	AUTO_FREE char *commit =
		xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", json_get_str(v, "plan"));
	json_decref(v);
	assert_int_equal(allow_n(rig.env.allow), 0);
	json_decref(rig_do("allow.add", "{\"network\":\"10.0.0.9\"}"));
	rig_refuse("plan.commit", commit, ERR_CONFLICT, "was changed by olga since version 0");
	assert_int_equal(allow_n(rig.env.allow), 1);
	buf_done(&text);
}

/* Larger than what is remembered, and with one object that is no edit: a base before it is too old.
 */
static void test_a_base_before_it(void **state)
{
	struct buf one = entries("allowlist", 0, 2 * MANY, "one");
	struct buf two = entries("allowlist", 0, 2 * MANY, "two");
	json_t *params;
	(void)state;
	import(&one);
	params = import_params(buf_str(&two));
	(void)json_object_set_new(params, "probation_s", json_integer(3600));
	params = rig_answer(ask_long("config.import", params));
	assert_non_null(params);
	json_decref(params);
	json_decref(rig_do("config.confirm", "{}"));
	rig_refuse("allow.remove", "{\"network\":\"10.0.0.9\",\"base\":1}", ERR_INVALID,
		   "too long ago");
	json_decref(rig_do("allow.remove", "{\"network\":\"10.0.0.9\",\"base\":2}"));
	rig_refuse("allow.remove", "{\"network\":\"10.0.0.9\",\"base\":1}", ERR_UNKNOWN, "");
	rig_refuse("allow.remove", "{\"network\":\"10.0.0.8\",\"base\":1}", ERR_INVALID,
		   "too long ago");
	json_decref(rig_do("allow.remove", "{\"network\":\"10.0.0.8\",\"base\":2}"));
	buf_done(&one);
	buf_done(&two);
}

/* Of warnings that may be as many as the objects the first are told. */
static void test_warnings(void **state)
{
	struct buf text = BUF_INIT(PROTO_CONFIG_MAX);
	const json_t *warnings;
	json_t *v;
	(void)state;
	(void)buf_puts(&text, "format = 1\ncontains = \"allowlist, credentials\"\n");
	for (unsigned k = 0; k < 100; k++)
		(void)buf_printf(&text,
				 "allow \"10.0.0.%u\" {\nexpires = \"2026-01-01T00:00:00Z\"\n}\n"
				 "credential \"app%u\" {\n}\n",
				 k, k);
	v = rig_answer(ask_import(&text));
	assert_non_null(v);
	warnings = json_object_get(v, "warnings");
	assert_int_equal(json_array_size(warnings), 2 * (20 + 1));
	assert_string_equal(json_string_value(json_array_get(warnings, 40)),
			    "80 more need a secret");
	assert_string_equal(json_string_value(json_array_get(warnings, 41)),
			    "80 more are left out because their time was over");
	json_decref(v);
	for (unsigned k = 0; k < 100; k++) {
		AUTO_FREE char *revoke = xasprintf("{\"name\":\"app%u\",\"reason\":\"r\"}", k);
		json_decref(rig_do("cred.revoke", revoke));
	}
	v = rig_answer(ask_import(&text));
	assert_null(v); /* it would change nothing */
	(void)buf_puts(&text, "allow \"192.0.2.1\" {\n}\n");
	v = rig_answer(ask_import(&text));
	assert_non_null(v);
	warnings = json_object_get(v, "warnings");
	assert_int_equal(json_array_size(warnings), 2 * (20 + 1));
	assert_string_equal(json_string_value(json_array_get(warnings, 41)),
			    "80 more credentials are revoked on this relay, and stay so");
	json_decref(v);
	buf_done(&text);
}

/* Who changed it last, although the journal has forgotten which objects those were. */
static void test_by_whom(void **state)
{
	struct buf text = entries("allowlist", 0, MANY, "many");
	(void)state;
	json_decref(
		rig_do("allow.add",
		       "{\"network\":\"10.0.0.9\",\"note\":\"by hand\",\"probation_s\":10000}"));
	json_decref(rig_do("config.confirm", "{}"));
	rig_login("paul", 4243, ACCESS_ADMIN);
	import(&text);
	rig_refuse("action.undo", "{\"action\":\"a1\"}", ERR_CONFLICT,
		   "10.0.0.9 was changed since: config.import configuration of a file by paul");
	rig_advance(2 * RIG_UNDO_MS);
	rig_refuse("action.undo", "{\"action\":\"a1\"}", ERR_CONFLICT,
		   "10.0.0.9 was changed since: config.import configuration of a file by paul");
	buf_done(&text);
}

/* A difference has the first rows and says how many there are; what was before comes back. */
static void test_back_to_before(void **state)
{
	struct buf text = entries("allowlist", 0, 4 * MANY, "new");
	json_t *v;
	size_t rows;
	(void)state;
	json_decref(rig_do("allow.add", "{\"network\":\"192.0.2.0/24\",\"note\":\"old\"}"));
	import(&text);
	v = rig_do("config.diff", "{\"a\":1,\"b\":2}");
	rows = json_array_size(json_object_get(v, "rows"));
	assert_true(rows > 100 && rows < 4 * MANY);
	assert_int_equal(json_get_int(v, "total"), 4 * MANY + 1);
	json_decref(v);
	json_decref(rig_do("config.rollback", "{\"version\":1,\"reason\":\"r\"}"));
	assert_int_equal(allow_n(rig.env.allow), 1);
	assert_int_equal(noted("old"), 1);
	v = rig_do("config.history", "{}");
	assert_true(json_is_true(
		json_object_get(json_array_get(json_object_get(v, "rows"), 1), "changes_cut")));
	json_decref(v);
	buf_done(&text);
}

/* --- probation -------------------------------------------------------------------------------- */

static void test_on_probation(void **state)
{
	struct buf text = entries("allowlist", 0, MANY, "tried");
	json_t *params = import_params(buf_str(&text));
	(void)state;
	json_decref(rig_do("allow.add", "{\"network\":\"192.0.2.0/24\",\"note\":\"old\"}"));
	(void)json_object_set_new(params, "probation_s", json_integer(3600));
	json_decref(rig_answer(ask_long("config.import", params)));
	assert_int_equal(noted("tried"), MANY);
	assert_non_null(rig.env.probation);
	rig_refuse("allow.add", "{\"network\":\"192.0.2.1\"}", ERR_STATE, "is on probation");
	rig_restart();
	assert_int_equal(noted("tried"), MANY);
	rig_advance(INT64_C(3601) * 1000);
	for (unsigned n = 0; rig.env.probation != NULL; n++)
		rig_turn(n);
	assert_int_equal(noted("old"), 1);
	assert_int_equal(allow_n(rig.env.allow), 1);
	buf_done(&text);
}

/* Larger versions than are read at once. */
static void test_over_large_versions(void **state)
{
	static const char *const words[] = { "one", "two", "three", "four" };
	const json_t *row;
	json_t *v;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct buf text = entries("allowlist", 0, 4 * MANY, words[i]);
		import(&text);
		buf_done(&text);
	}
	v = rig_do("config.diff", "{\"a\":1,\"b\":4}");
	assert_int_equal(json_get_int(v, "total"), 4 * MANY);
	row = json_array_get(json_object_get(v, "rows"), 0);
	assert_string_equal(json_get_str(json_object_get(row, "before"), "note"), "one");
	assert_string_equal(json_get_str(json_object_get(row, "after"), "note"), "four");
	json_decref(v);
}

/* --- uploads ---------------------------------------------------------------------------------- */

static void test_uploads_end(void **state)
{
	json_t *v = rig_do("config.load", "{\"text\":\"x\"}");
	AUTO_FREE char *more =
		xasprintf("{\"upload\":\"%s\",\"text\":\"y\"}", json_get_str(v, "upload"));
	(void)state;
	json_decref(v);
	rig_advance(UPLOAD_S * 1000 - 1000);
	v = rig_do("config.load", more);
	assert_int_equal(json_get_int(v, "bytes"), 2);
	json_decref(v);
	rig_advance(UPLOAD_S * 1000 + 60000);
	rig_refuse("config.load", more, ERR_UNKNOWN, "config.load makes one");
	for (int i = 0; i < UPLOADS_MAX; i++)
		json_decref(rig_do("config.load", "{\"text\":\"x\"}"));
	rig_refuse("config.load", "{\"text\":\"x\"}", ERR_LIMIT, "being prepared");
	rig_login("olga", 4242, ACCESS_ADMIN);
	settle();
	json_decref(rig_do("config.load", "{\"text\":\"x\"}"));
}

/* What a plan was made of stays as it is until it is in force. */
static void test_upload_of_a_plan(void **state)
{
	struct buf text = entries("allowlist", 0, 4 * MANY, "planned");
	json_t *params = import_params(buf_str(&text)), *v;
	char upload[16];
	int add;
	(void)state;
	(void)snprintf(upload, sizeof(upload), "%s", json_get_str(params, "upload"));
	assert_true(upload[0] == 'u');
	(void)json_object_del(params, "reason");
	v = rig_answer(ask_long(
		"plan.make", json_pack("{s:s, s:o}", "method", "config.import", "params", params)));
	assert_non_null(v);
	AUTO_FREE char *commit =
		xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", json_get_str(v, "plan"));
	AUTO_FREE char *more = xasprintf("{\"upload\":\"%s\",\"text\":\"#\"}", upload);
	json_decref(v);
	rig_refuse("config.load", more, ERR_STATE, "a plan was made of u");
	add = ask_slow("cred.add", "{\"name\":\"app\"}");
	rig_refuse("plan.commit", commit, ERR_CONFLICT, "try again");
	open_gate();
	json_decref(rig_answer(add));
	json_decref(rig_do("plan.commit", commit));
	assert_int_equal(noted("planned"), 4 * MANY);
	rig_refuse("config.load", more, ERR_UNKNOWN, "there is no upload");
	buf_done(&text);
}

static int ask_plan(json_t *params)
{
	return ask_long("plan.make",
			json_pack("{s:s, s:O}", "method", "config.import", "params", params));
}

/* Nor does it grow while the plan is being made; it may when there is no plan in the end. */
static void test_upload_while_it_is_planned(void **state)
{
	struct buf text = entries("allowlist", 0, 4 * MANY, "planned");
	json_t *params = import_params(buf_str(&text)), *v;
	AUTO_FREE char *more = xasprintf("{\"upload\":\"%s\",\"text\":\"# more\\n\"}",
					 json_get_str(params, "upload"));
	int id, load;
	(void)state;
	(void)json_object_del(params, "reason");
	id = ask_plan(params);
	load = rig_ask("config.load", more); /* stands behind it, before its first slice */
	assert_null(rig_answer(load));
	assert_int_equal(rig.err.code, ERR_STATE);
	v = rig_answer(id);
	assert_non_null(v);
	AUTO_FREE char *commit =
		xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", json_get_str(v, "plan"));
	json_decref(v);
	json_decref(rig_do("plan.commit", commit));
	assert_int_equal(noted("planned"), 4 * MANY);
	json_decref(params);
	buf_done(&text);
}

static void test_upload_without_a_plan(void **state)
{
	struct buf text = entries("allowlist", 0, 4 * MANY, "planned");
	json_t *params = import_params(buf_str(&text));
	AUTO_FREE char *more = xasprintf("{\"upload\":\"%s\",\"text\":\"# more\\n\"}",
					 json_get_str(params, "upload"));
	(void)state;
	(void)json_object_del(params, "reason");
	for (unsigned i = 0; i < ACTIONS_PLANS; i++)
		json_decref(rig_do("plan.make", "{\"method\":\"allow.add\",\"params\":"
						"{\"network\":\"192.0.2.1\"}}"));
	assert_null(rig_answer(ask_plan(params)));
	assert_int_equal(rig.err.code, ERR_LIMIT);
	json_decref(rig_do("config.load", more));
	json_decref(params);
	buf_done(&text);
}

/* It is there for as long as the plan, however long that was being made. */
static void test_upload_lasts(void **state)
{
	struct buf text = entries("routes, allowlist", 0, 4 * MANY, "planned");
	json_t *params, *v;
	int id;
	(void)state;
	(void)rig_accept("eva@shop.example", "anna@a.example");
	(void)buf_puts(&text, "route {\nmatch = \"provider:google.com\"\nto = \"mx\"\n}\n");
	params = import_params(buf_str(&text));
	(void)json_object_del(params, "reason");
	id = ask_plan(params);
	for (unsigned n = 0; rig.asked == 0; n++)
		rig_turn(n);
	rig_advance(ASK_PROVIDERS_MS); /* DNS is silent */
	v = rig_answer(id);
	assert_non_null(v);
	AUTO_FREE char *commit =
		xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", json_get_str(v, "plan"));
	json_decref(v);
	rig_advance((ACTIONS_PLAN_S - 2) * 1000);
	json_decref(rig_do("config.load", "{\"text\":\"x\"}")); /* what is over goes */
	json_decref(rig_do("plan.commit", commit));
	assert_int_equal(noted("planned"), 4 * MANY);
	json_decref(params);
	buf_done(&text);
}

/* --- the loop --------------------------------------------------------------------------------- */

static int setup_real(void **state)
{
	if (rig_setup(state) != 0)
		return -1;
	rig_close();
	rig.real_clock = true;
	rig_open();
	return 0;
}

/* What writing and reading so many objects takes here and now. */
static int64_t time_of(unsigned n)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:[s, s], s:n}", "network", "10.0.0.9", "note",
			      "some words", "created_ms", 123456, "list", "a", "b", "none");
	int64_t since = rig_cpu_us();
	for (; n > 0; n--) {
		AUTO_FREE char *text = json_dumps(o, JSON_COMPACT);
		json_decref(json_loads(text, 0, NULL));
	}
	json_decref(o);
	return rig_cpu_us() - since;
}

static void expect_short(const char *what)
{
	int64_t most = time_of(TURN_MAX);
	for (unsigned n = 0; n < 300; n++)
		rig_real_turn();
	if (rig.longest_us > most)
		fail_msg("%s: a turn took %lld us", what, (long long)rig.longest_us);
	rig.longest_us = 0;
}

static struct buf everything(const char *word, const char *state)
{
	struct buf b = entries("allowlist, credentials, routes, keys", 0, VERY_MANY, word);
	put_others(&b, VERY_MANY / 4, word, state);
	return b;
}

/* In time of the processor. There are as many objects, and each is written and read several times:
 * in one go it was ten times as much. */
static void test_no_turn_is_long(void **state)
{
	struct buf one = everything("one", "active");
	struct buf two = everything("two", "waiting");
	json_t *params, *v;
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		AUTO_FREE char *to = xasprintf("x@d%u.example", i);
		(void)rig_accept("a@b.example", to);
	}
	rig.longest_us = 0;
	import(&one);
	expect_short("import");
	params = import_params(buf_str(&two));
	(void)json_object_del(params, "reason");
	v = rig_answer(ask_long(
		"plan.make", json_pack("{s:s, s:o}", "method", "config.import", "params", params)));
	assert_non_null(v);
	json_decref(v);
	expect_short("plan");
	import(&two);
	expect_short("import again");
	json_decref(rig_do("action.undo", "{}"));
	expect_short("undo");
	assert_int_equal(noted("one"), VERY_MANY);
	json_decref(rig_do("config.diff", "{}"));
	expect_short("difference");
	json_decref(rig_do("config.export", "{}"));
	expect_short("export");
	buf_done(&one);
	buf_done(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_edit_at_any_turn, setup_real, rig_teardown),
		cmocka_unit_test_setup_teardown(test_an_undo_at_any_turn, setup_real, rig_teardown),
		cmocka_unit_test_setup_teardown(test_an_export_is_of_one_version, setup_real,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_another_import, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_an_import_of_few, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_an_undo_and_an_import, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_others_than_edits, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_many_end_at_once, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_base_before_it, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_warnings, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_by_whom, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_upload_of_a_plan, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_upload_while_it_is_planned, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_upload_without_a_plan, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_upload_lasts, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_counts_go_on, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_plan_of_many, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_back_to_before, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_on_probation, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_over_large_versions, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_uploads_end, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_no_turn_is_long, setup_real, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
