/*
 * filter_sql against a real SQLite: the expression and filter_eval() give the same answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "filter/filter_sql.h"
#include "mail/msgid.h"
#include "random_filter.h"

#define NOW INT64_C(1795500000000)
#define ROWS 200

struct world {
	sqlite3 *db;
	struct filter_row rows[ROWS];
};

static const bool is_number[FILTER__COUNT] = {
	[FILTER_ID] = true,   [FILTER_CODE] = true,	[FILTER_AGE] = true,
	[FILTER_NEXT] = true, [FILTER_ATTEMPTS] = true, [FILTER_SIZE] = true,
};

static void in_net(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	const char *a = (const char *)sqlite3_value_text(argv[0]);
	const char *net = (const char *)sqlite3_value_text(argv[1]);

	(void)argc;
	sqlite3_result_int(ctx, a != NULL && filter_in_net(str_of(a), str_of(net)));
}

/* A value of the field, or none. */
static struct str random_text(enum filter_field field)
{
	static const char *const domains[] = { "a.org", "b.org", "c.net", "" };
	static const char *const names[] = { "bulk", "Bulk", "x", "crm", "CRM", "g", "google", "" };
	static const char *const addresses[] = { "bob@a.org", "Bob@b.org", "100%@a.org", "c@c.net",
						 "" };
	static const char *const clients[] = { "10.1.2.3", "11.0.0.1", "::1", "2001:db8::5", "" };
	static const char *const texts[] = { "a b",	 "A B C",	"a_b", "axb",
					     "too many", "back\\slash", "" };
	static const char *const codes[] = { "4.7.28", "4.7.1", "5.1.1", "" };
	static const char *const states[] = { "ready", "held", "deferred" };

	switch (field) {
	case FILTER_DOMAIN:
	case FILTER_SENDER_DOMAIN:
	case FILTER_RELAY:
		return str_of(domains[pick(ARRAY_LEN(domains))]);
	case FILTER_FROM:
	case FILTER_TO:
		return str_of(addresses[pick(ARRAY_LEN(addresses))]);
	case FILTER_CLIENT:
		return str_of(clients[pick(ARRAY_LEN(clients))]);
	case FILTER_SUBJECT:
	case FILTER_TEXT:
	case FILTER_MSGID:
		return str_of(texts[pick(ARRAY_LEN(texts))]);
	case FILTER_ENHANCED:
		return str_of(codes[pick(ARRAY_LEN(codes))]);
	case FILTER_STATE:
		return str_of(states[pick(ARRAY_LEN(states))]);
	case FILTER_PROVIDER:
	case FILTER_STREAM:
	case FILTER_CREDENTIAL:
	case FILTER_CLASS:
	case FILTER_ID:
	case FILTER_CODE:
	case FILTER_AGE:
	case FILTER_NEXT:
	case FILTER_ATTEMPTS:
	case FILTER_SIZE:
	case FILTER_WHO:
	case FILTER_WHERE:
	case FILTER_ROLE:
	case FILTER_METHOD:
	case FILTER_TARGET:
	case FILTER_REASON:
	case FILTER_RESULT:
	case FILTER__COUNT:
		break;
	}
	return str_of(names[pick(ARRAY_LEN(names))]);
}

static int64_t random_number(enum filter_field field)
{
	static const int64_t codes[] = { 421, 450, 550, FILTER_NONE };
	static const int64_t ages_ms[] = { 0, 7200000, 7199999, 7200001, 90000000 };
	static const int64_t waits_ms[] = { 0, 599999, 600000, 600001, FILTER_NONE };
	static const int64_t sizes[] = { 0, 1023, 1024, 1025 };
	struct msgid id = { 0 };
	int64_t v;

	if (field == FILTER_CODE)
		return codes[pick(ARRAY_LEN(codes))];
	if (field == FILTER_AGE)
		return NOW - ages_ms[pick(ARRAY_LEN(ages_ms))];
	if (field == FILTER_NEXT) {
		v = waits_ms[pick(ARRAY_LEN(waits_ms))];
		return v == FILTER_NONE ? v : NOW + v;
	}
	if (field == FILTER_SIZE)
		return sizes[pick(ARRAY_LEN(sizes))];
	if (field == FILTER_ATTEMPTS)
		return (int64_t)pick(6);
	assert_true(msgid_parse(pick(2) == 0 ? STR("0N4XK2M8QF") : STR("0N5XK2M8QF"), &id));
	return (int64_t)rid_of(id, 1 + (unsigned)pick(3)).v;
}

/* Empty text is stored as NULL half of the time: both are "none". */
static void insert(struct world *w, struct filter_row *row)
{
	AUTO_BUF sql = BUF_INIT(4000);
	sqlite3_stmt *st = NULL;

	(void)buf_puts(&sql, "INSERT INTO rows VALUES (?");
	for (int i = 1; i < FILTER__COUNT; i++)
		(void)buf_puts(&sql, ",?");
	(void)buf_puts(&sql, ")");
	assert_int_equal(sqlite3_prepare_v2(w->db, buf_cstr(&sql), -1, &st, NULL), SQLITE_OK);
	for (int i = 0; i < FILTER__COUNT; i++) {
		enum filter_field field = (enum filter_field)i;
		if (is_number[i]) {
			int64_t v = random_number(field);
			filter_row_number(row, field, v);
			if (v != FILTER_NONE)
				assert_int_equal(sqlite3_bind_int64(st, i + 1, v), SQLITE_OK);
		} else {
			struct str s = random_text(field);
			filter_row_text(row, field, s);
			if (s.n > 0 || pick(2) == 0)
				assert_int_equal(
					sqlite3_bind_text(st, i + 1, s.p, (int)s.n, SQLITE_STATIC),
					SQLITE_OK);
		}
	}
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
}

static int setup(void **state)
{
	static struct world w;
	AUTO_BUF sql = BUF_INIT(4000);

	srand(11);
	assert_int_equal(sqlite3_open(":memory:", &w.db), SQLITE_OK);
	assert_int_equal(sqlite3_create_function(w.db, FILTER_SQL_IN_NET, 2, SQLITE_UTF8, NULL,
						 in_net, NULL, NULL),
			 SQLITE_OK);
	(void)buf_puts(&sql, "CREATE TABLE rows (");
	for (int i = 0; i < FILTER__COUNT; i++)
		(void)buf_printf(&sql, "%sf%d", i > 0 ? "," : "", i);
	(void)buf_puts(&sql, ")");
	assert_int_equal(sqlite3_exec(w.db, buf_cstr(&sql), NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < ROWS; i++) {
		w.rows[i] = FILTER_ROW_INIT(NOW);
		insert(&w, &w.rows[i]);
	}
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	return sqlite3_close(w->db) == SQLITE_OK ? 0 : -1;
}

static struct filter_columns columns(void)
{
	static char names[FILTER__COUNT][8];
	struct filter_columns map = { .now_ms = NOW };

	for (int i = 0; i < FILTER__COUNT; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "f%d", i);
		map.expr[i] = names[i];
	}
	return map;
}

static sqlite3_stmt *prepare(struct world *w, const char *expr, const struct filter_binds *binds)
{
	AUTO_BUF sql = BUF_INIT(FILTER_SQL_MAX + 100);
	sqlite3_stmt *st = NULL;

	(void)buf_printf(&sql, "SELECT rowid FROM rows WHERE %s ORDER BY rowid", expr);
	if (sqlite3_prepare_v2(w->db, buf_cstr(&sql), -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", expr, sqlite3_errmsg(w->db));
	assert_int_equal(sqlite3_bind_parameter_count(st), binds->n);
	for (size_t i = 0; i < binds->n; i++) {
		const struct filter_bind *b = &binds->v[i];
		int rc = b->text != NULL
				 ? sqlite3_bind_text(st, (int)i + 1, b->text, -1, SQLITE_STATIC)
				 : sqlite3_bind_int64(st, (int)i + 1, b->i);
		assert_int_equal(rc, SQLITE_OK);
	}
	return st;
}

/* Fields in `unknown` are not known to either side: then "unknown" counts as a match. */
static void compare(struct world *w, const char *text, uint32_t unknown)
{
	struct filter_columns map = columns();
	struct filter_binds binds = FILTER_BINDS_INIT;
	AUTO_BUF sql = BUF_INIT(FILTER_SQL_MAX);
	struct err err = ERR_INIT;
	AUTO(filter) struct filter *f = filter_parse(str_of(text), &err);
	sqlite3_stmt *st;
	int64_t found;

	map.unknown = unknown;
	if (f == NULL)
		fail_msg("%s: %s", text, err.msg);
	if (filter_sql(f, &map, &sql, &binds, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	st = prepare(w, buf_cstr(&sql), &binds);
	found = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	for (int i = 0; i < ROWS; i++) {
		struct filter_row row = w->rows[i];
		row.known &= ~unknown;
		enum filter_truth t = filter_eval(f, &row);
		if (unknown != 0 && t == FILTER_UNKNOWN)
			t = FILTER_TRUE;
		if (t != (found == i + 1 ? FILTER_TRUE : FILTER_FALSE))
			fail_msg("row %d: eval says %d: %s: %s", i, (int)t, text, buf_cstr(&sql));
		if (found == i + 1)
			found = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	}
	sqlite3_finalize(st);
	filter_binds_done(&binds);
}

static void compare_all(struct world *w, const char *text)
{
	compare(w, text, 0);
}

/* red when a negation around a field that is not known drops rows */
static void test_unknown_fields(void **state)
{
	static const uint32_t sets[] = { 1u << FILTER_STATE | 1u << FILTER_PROVIDER,
					 1u << FILTER_DOMAIN, 1u << FILTER_ENHANCED,
					 1u << FILTER_FROM | 1u << FILTER_ATTEMPTS };

	for (int round = 0; round < 2000; round++) {
		AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
		random_filter_text(&text, 3);
		compare(*state, buf_cstr(&text), sets[pick(ARRAY_LEN(sets))]);
	}
}

static void test_sql_agrees_with_eval(void **state)
{
	compare_all(*state, "");
	for (int round = 0; round < 3000; round++) {
		AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
		random_filter_text(&text, 3);
		compare_all(*state, buf_cstr(&text));
	}
}

/* parse(print(x)) is x, and equal texts mean the same */
static void test_print_is_stable(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
		AUTO_BUF once = BUF_INIT(FILTER_TEXT_MAX);
		AUTO_BUF twice = BUF_INIT(FILTER_TEXT_MAX);
		random_filter_text(&text, 4);
		AUTO(filter) struct filter *f = filter_parse(buf_str(&text), NULL);
		assert_non_null(f);
		assert_true(filter_print(f, &once));
		AUTO(filter) struct filter *g = filter_parse(buf_str(&once), NULL);
		assert_non_null(g);
		assert_true(filter_print(g, &twice));
		assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
		assert_int_equal(filter_uses(f), filter_uses(g));
	}
}

/* red when an operator's text reaches the statement */
static void test_nothing_is_pasted(void **state)
{
	static const char *const evil = "'; DROP TABLE rows; --";
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
	AUTO_BUF sql = BUF_INIT(FILTER_SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct filter_columns map = columns();

	(void)state;
	(void)buf_printf(&text, "subject:\"%s\" \"%s\" domain:\"%s\" class:\"*%s\"", evil, evil,
			 evil, evil);
	AUTO(filter) struct filter *f = filter_parse(buf_str(&text), NULL);
	assert_non_null(f);
	assert_int_equal(filter_sql(f, &map, &sql, &binds, NULL), 0);
	assert_null(strstr(buf_cstr(&sql), "DROP"));
	assert_int_equal(binds.n, 6);
	filter_binds_done(&binds);
}

static int special(void *arg, enum filter_field field, struct str pattern, struct buf *sql,
		   struct filter_binds *binds, struct err *err)
{
	(void)arg;
	(void)err;
	if (field != FILTER_PROVIDER)
		return 0;
	(void)buf_puts(sql, "domain IN (SELECT d FROM p WHERE name = ?)");
	filter_bind_text(binds, pattern);
	return 1;
}

static void test_columns(void **state)
{
	static const struct {
		const char *text;
		const char *sql; /* NULL: refused */
		size_t binds;
	} cases[] = {
		{ "", "1", 0 },
		{ "domain:a.org", "(domain = ?)", 1 },
		{ "domain:a.org,b.*", "(domain = ? OR domain LIKE ? ESCAPE '\\')", 2 },
		{ "provider:g", "(domain IN (SELECT d FROM p WHERE name = ?))", 1 },
		{ "-provider:g", "((domain IN (SELECT d FROM p WHERE name = ?))) IS NOT TRUE", 1 },
		{ "stream:x", NULL, 0 },
		{ "id:0N4XK2M8QF", "(id = ?)", 1 },
		{ "id:0N4XK2M8QF/1", NULL, 0 },
		{ "id:0N4*", "(id BETWEEN ? AND ?)", 2 },
		{ "age>1h domain:a.org or -size>1K", NULL, 0 },
		{ "age>1h domain:a.org or -domain:b.org",
		  "(((? > at) AND (domain = ?)) OR ((domain = ?)) IS NOT TRUE)", 3 },
		{ "bob", "(sender LIKE ? ESCAPE '\\')", 1 }, /* what there is to search */
	};
	struct filter_columns map = { .now_ms = NOW, .id_is_message = true, .special = special };

	(void)state;
	map.expr[FILTER_DOMAIN] = "domain";
	map.expr[FILTER_ID] = "id";
	map.expr[FILTER_AGE] = "at";
	map.expr[FILTER_FROM] = "sender";
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF sql = BUF_INIT(FILTER_SQL_MAX);
		struct filter_binds binds = FILTER_BINDS_INIT;
		struct err err = ERR_INIT;
		AUTO(filter) struct filter *f = filter_parse(str_of(cases[i].text), &err);
		int rc;
		assert_non_null(f);
		rc = filter_sql(f, &map, &sql, &binds, &err);
		if (cases[i].sql == NULL) {
			assert_int_equal(rc, -ERR_INVALID);
		} else {
			assert_int_equal(rc, 0);
			assert_string_equal(buf_cstr(&sql), cases[i].sql);
			assert_int_equal(binds.n, cases[i].binds);
		}
		filter_binds_done(&binds);
	}
}

/* The largest filter still fits FILTER_SQL_MAX and SQLite's limits. */
static void test_largest(void **state)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);

	for (int i = 0; i < 255; i++)
		(void)buf_puts(&text, i % 2 == 0 ? "b " : "or ");
	(void)buf_puts(&text, "b");
	compare_all(*state, buf_cstr(&text));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sql_agrees_with_eval),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_print_is_stable),
		cmocka_unit_test(test_nothing_is_pasted),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
