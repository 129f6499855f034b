/* Lists: every sort both ways and page by page, filters, the feed, causes. */
#include "queue_rig.h"

#define NOW INT64_C(1795500000000)
#define LETTERS 40

static struct msgid ids[LETTERS];

/* Forty messages with one or two recipients; every third is deferred, every fifth delivered. */
static void fill(void)
{
	static const char *const domains[] = { "a.example", "b.example", "c.test" };
	for (int k = 0; k < LETTERS; k++) {
		char from[64], to[128], subject[64];
		(void)snprintf(from, sizeof(from), "s%d@%s", k % 4,
			       k % 2 != 0 ? "One.example" : "two.example");
		(void)snprintf(to, sizeof(to), k % 2 != 0 ? "r%d@%s,z%d@z.example" : "r%d@%s", k,
			       domains[k % 3], k);
		(void)snprintf(subject, sizeof(subject), "Invoice %d", k);
		ids[k] = rig_accept(
			&(struct rig_letter){ .from = k == 7 ? "" : from,
					      .to = to,
					      .subject = subject,
					      .stream = k % 2 != 0 ? "Bulk" : "default",
					      .credential = k % 5 == 0 ? "crm" : "",
					      .client = k % 2 != 0 ? "10.0.0.5" : "2001:db8::1",
					      .content_n = (size_t)(100 + (k * 37) % 50),
					      .received_ms = NOW - k * 60000 });
	}
	for (int k = 0; k < LETTERS; k++) {
		struct rig_result r = { .rid = rid_of(ids[k], 1),
					.at_ms = NOW - 1000 + k,
					.attempts = (uint16_t)(k % 4) };
		if (k % 3 == 0) {
			r.outcome = OUTCOME_DEFERRED;
			r.code = k % 2 != 0 ? 451 : 421;
			r.enhanced = k % 2 != 0 ? "4.7.1" : "4.3.2";
			r.reply = k % 2 != 0 ? "Greylisted, try 17 later" : "Service not available";
			r.reply_class = k % 2 != 0 ? 6 : 17;
			r.next_ms = NOW + (k * 7) % 11 * 1000;
			rig_record(&r);
		} else if (k % 5 == 0) {
			r.outcome = k % 2 != 0 ? OUTCOME_DELIVERED : OUTCOME_FAILED;
			r.code = 250;
			rig_record(&r);
		}
	}
	rig_settle();
}

static int setup(void **state)
{
	int got = rig_setup(state);
	if (got == 0)
		fill();
	return got;
}

static void on_scan(void *arg, const struct queue_entry *rows, size_t n, bool more,
		    const struct err *err)
{
	struct rig_rows *r = arg;
	r->more = more;
	(void)snprintf(r->msg, sizeof(r->msg), "%s", err != NULL ? err->msg : "");
	rig_on_entries(r, rows, n, err);
}

static struct rig_rows *scan(struct queue_scan *s, const char *filter)
{
	static struct rig_rows r;
	struct err err = ERR_INIT;
	AUTO(filter) struct filter *f = filter != NULL ? filter_parse(str_of(filter), &err) : NULL;
	if (filter != NULL && f == NULL)
		fail_msg("%s: %s", filter, err.msg);
	s->filter = f;
	s->now_ms = NOW;
	r.called = false;
	queue_scan(rig.q, s, on_scan, &r);
	while (!r.called)
		rig_wait();
	return &r;
}

static int64_t sort_value(const struct queue_entry *e, enum queue_sort sort)
{
	switch (sort) {
	case QUEUE_SORT_SIZE:
		return (int64_t)e->size;
	case QUEUE_SORT_NEXT:
		return e->next_ms;
	case QUEUE_SORT_ATTEMPTS:
		return e->attempts;
	case QUEUE_SORT_ID:
		break;
	}
	return 0;
}

static bool in_order(const struct queue_entry *a, const struct queue_entry *b,
		     const struct queue_scan *s)
{
	int64_t x = sort_value(a, s->sort), y = sort_value(b, s->sort);
	bool less = x != y ? x < y : a->rid.v < b->rid.v;
	return less != s->descending;
}

/* Pages of 7 give every row once, in order. */
static size_t walk(struct queue_scan *s, const char *filter)
{
	size_t n = 0;
	struct queue_entry last = { .size = 0 };
	s->after_set = false;
	s->limit = 7;
	for (;;) {
		struct rig_rows *r = scan(s, filter);
		assert_int_equal(r->code, 0);
		assert_true(r->n == 7 || !r->more);
		for (size_t k = 0; k < r->n; k++) {
			if (n++ > 0)
				assert_true(in_order(&last, &r->v[k], s));
			last = r->v[k];
		}
		if (!r->more)
			return n;
		s->after_set = true;
		s->after = last.rid;
		s->after_value = sort_value(&last, s->sort);
	}
}

static void test_every_sort(void **state)
{
	static const enum queue_sort sorts[] = { QUEUE_SORT_ID, QUEUE_SORT_SIZE, QUEUE_SORT_NEXT,
						 QUEUE_SORT_ATTEMPTS };
	(void)state;
	/* 60 recipients, 5 of them finished: 5 10 20 25 35 */
	for (size_t k = 0; k < ARRAY_LEN(sorts); k++)
		for (int way = 0; way < 16; way++) {
			struct queue_scan s = { .sort = sorts[k],
						.descending = (way & 1) != 0,
						.finished = (way & 2) != 0,
						.ids_only = (way & 4) != 0,
						.finished_only = (way & 8) != 0 };
			size_t n = s.finished_only ? 5 : s.finished ? 60 : 55;
			assert_int_equal(walk(&s, NULL), n);
		}
}

static void test_rows_are_whole(void **state)
{
	(void)state;
	struct queue_scan s = { .limit = 100 };
	struct rig_rows *r = scan(&s, "id:0* subject:\"invoice 3\" attempts:3");
	assert_int_equal(r->n, 2); /* 3 and 39; 35 is finished */
	assert_int_equal(r->v[0].rid.v, rid_of(ids[3], 1).v);
	assert_string_equal(r->texts[0][0], "s3@One.example");
	assert_string_equal(r->texts[0][1], "r3@a.example");
	assert_string_equal(r->texts[0][2], "Invoice 3");
	assert_string_equal(r->texts[0][3], "Greylisted, try 17 later");
	assert_int_equal(r->v[0].received_ms, NOW - 3 * 60000);
	assert_int_equal(r->v[0].code, 451);
	assert_int_equal(r->v[0].size, 100 + 3 * 37 % 50);
	assert_true(str_eq(queue_name_text(rig.q, r->v[0].domain), STR("a.example")));
	assert_true(str_eq(queue_name_text(rig.q, r->v[0].stream), STR("bulk")));
}

static void test_filters(void **state)
{
	static const struct {
		const char *filter;
		bool finished;
		size_t n;
	} cases[] = {
		{ "", false, 55 },
		{ "domain:z.example", false, 20 },
		{ "domain:Z.example", false, 20 },
		{ "domain:nowhere.example", false, 0 },
		{ "-domain:nowhere.example", false, 55 },
		{ "domain:*.example", true, 47 },
		{ "domain!=*.example", true, 13 },
		{ "domain:*", true, 60 },
		{ "stream:BULK", false, 37 },
		{ "stream:b*", true, 40 },
		{ "from:<>", false, 2 },
		{ "sender-domain:one.example", true, 38 },
		{ "credential:crm", true, 12 },
		{ "credential:\"\"", true, 48 },
		{ "client:10.0.0.0/8", true, 40 },
		{ "client:2001:db8::/32", true, 20 },
		{ "code:451", false, 7 },
		{ "code:4xx", false, 14 },
		{ "code<500", false, 14 }, /* no reply is no code */
		{ "code:4.7.*", false, 7 },
		{ "class:greylisted", false, 7 },
		{ "class:*", false, 14 },
		{ "class:\"\"", false, 41 },
		{ "-class:*", false, 41 },
		{ "text:grey", false, 7 },
		{ "age>10m", true, 44 },
		{ "attempts:3", true, 5 },
		{ "size>=149", true, 2 },
		{ "next>5s", false, 7 },
		{ "to:z7@z.example", false, 1 },
		{ "relay:mx.example.net domain:c.test", true, 13 },
		{ "relay:mx9* domain:c.test", true, 0 },
		{ "msgid:1@example", true, 60 },
		{ "z7", false, 1 },
		/* what the store does not know comes as well */
		{ "state:held", false, 55 },
		{ "-state:held", false, 55 },
		{ "state:held domain:z.example", false, 20 },
		{ "provider:google or domain:z.example", false, 55 },
		{ "-provider:google", false, 55 },
		{ "state:delivered", true, 58 }, /* 55 queued, and 5 25 35 */
		{ "-(state:delivered)", true, 57 },
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		struct queue_scan s = { .limit = 1000, .finished = cases[k].finished };
		struct rig_rows *r = scan(&s, cases[k].filter);
		if (r->code != 0 || r->n != cases[k].n)
			fail_msg("%s: %zu rows instead of %zu %s", cases[k].filter, r->n,
				 cases[k].n, r->msg);
		s.ids_only = true;
		r = scan(&s, cases[k].filter);
		assert_int_equal(r->n, cases[k].n);
	}
}

/* --- the feed --------------------------------------------------------------------------------- */

struct feed {
	bool called;
	struct queue_event v[QUEUE_PAGE_MAX];
	char to[64]; /* of the first */
	char from[64];
	size_t n;
	bool more;
	int code;
};

static void on_events(void *arg, const struct queue_event *rows, size_t n, bool more,
		      const struct err *err)
{
	struct feed *f = arg;
	f->called = true;
	f->n = n;
	f->more = more;
	f->code = err != NULL ? err->code : 0;
	if (n > 0) {
		memcpy(f->v, rows, n * sizeof(*rows));
		(void)snprintf(f->to, sizeof(f->to), "%.*s", STR_ARG(rows[0].to));
		(void)snprintf(f->from, sizeof(f->from), "%.*s", STR_ARG(rows[0].from));
	}
	rig_wake();
}

static struct feed *events(struct queue_event_query *query, const char *filter)
{
	static struct feed f;
	AUTO(filter) struct filter *x = filter != NULL ? filter_parse(str_of(filter), NULL) : NULL;
	query->filter = x;
	query->now_ms = NOW;
	if (query->limit == 0)
		query->limit = 1000;
	f.called = false;
	queue_events(rig.q, query, on_events, &f);
	while (!f.called)
		rig_wait();
	assert_int_equal(f.code, 0);
	return &f;
}

static void test_events(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} cases[] = {
		{ "", 59 },	      { "domain:z.example", 0 }, { "domain:a.example", 14 },
		{ "from:<>", 1 },     { "code:451", 7 },	 { "class:greylisted", 7 },
		{ "text:grey", 7 },   { "to:r3@a.example", 1 },	 { "size>=149", 2 },
		{ "attempts:3", 5 },  { "stream:bulk", 30 },	 { "credential:crm", 16 },
		{ "state:held", 59 },
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		struct queue_event_query q = { .limit = 0 };
		const struct feed *f = events(&q, cases[k].filter);
		if (f->n != cases[k].n)
			fail_msg("%s: %zu events", cases[k].filter, f->n);
	}
	/* newest first, in pages */
	struct queue_event_query q = { .limit = 10 };
	const struct feed *f = events(&q, NULL);
	assert_true(f->more);
	assert_int_equal(f->n, 10);
	assert_true(f->v[0].seq > f->v[9].seq);
	assert_string_equal(f->to, "r39@a.example");
	assert_string_equal(f->from, "s3@One.example");
	assert_string_equal(f->v[0].attempt.host, "mx.example.org");
	assert_int_equal(f->v[0].attempt.duration_ms, 17);
	q.before_seq = f->v[9].seq;
	f = events(&q, NULL);
	assert_int_equal(f->v[0].seq, q.before_seq - 1);
	/* oldest first */
	q = (struct queue_event_query){ .ascending = true, .after_seq = 40, .limit = 5 };
	f = events(&q, NULL);
	assert_int_equal(f->v[0].seq, 41);
	assert_int_equal(f->v[4].seq, 45);
}

/* All attempts of one message, and only those. */
static void test_events_of_a_message(void **state)
{
	(void)state;
	for (int k = 0; k < 5; k++)
		rig_defer(rid_of(ids[3], 1), 452, "4.2.2", "full");
	rig_defer(rid_of(ids[3], 2), 452, "4.2.2", "full");
	rig_finish(rid_of(ids[3], 2), OUTCOME_DELIVERED);
	rig_finish(rid_of(ids[4], 1), OUTCOME_DELIVERED);
	rig_settle();
	struct queue_event_query q = { .of = ids[3] };
	const struct feed *f = events(&q, NULL);
	assert_int_equal(f->n, 9); /* received, 6 of the first, 2 of the second */
	for (size_t k = 0; k < f->n; k++)
		assert_int_equal(rid_msgid(f->v[k].rid).v, ids[3].v);
	assert_int_equal(f->v[8].attempt.outcome, OUTCOME_RECEIVED);
	q = (struct queue_event_query){ .of = ids[3], .limit = 4 };
	f = events(&q, "to:z3@z.example");
	assert_int_equal(f->n, 2);
	assert_int_equal(f->v[0].attempt.outcome, OUTCOME_DELIVERED);
}

/* --- causes ----------------------------------------------------------------------------------- */

struct causes_seen {
	bool called;
	char text[2048];
	int code;
};

static void on_causes(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	struct causes_seen *c = arg;
	c->called = true;
	c->code = err != NULL ? err->code : 0;
	c->text[0] = '\0';
	for (size_t k = 0; k < n; k++) {
		size_t at = strlen(c->text);
		(void)snprintf(c->text + at, sizeof(c->text) - at, "%u %s %u %llu %llu %lld;",
			       rows[k].code, rows[k].enhanced, rows[k].reply_class,
			       (unsigned long long)rows[k].count,
			       (unsigned long long)rows[k].domains,
			       (long long)(rows[k].since_ms - NOW));
	}
	rig_wake();
}

static const struct causes_seen *causes(const char *filter, size_t limit)
{
	static struct causes_seen c;
	AUTO(filter) struct filter *f = filter != NULL ? filter_parse(str_of(filter), NULL) : NULL;
	c.called = false;
	queue_causes(rig.q, f, limit, NOW, on_causes, &c);
	while (!c.called)
		rig_wait();
	return &c;
}

static void test_causes(void **state)
{
	(void)state;
	assert_string_equal(causes(NULL, 10)->text, "421 4.3.2 17 7 1 -1000;451 4.7.1 6 7 1 -997;");
	/* other numbers in the text, another domain: the same cause */
	rig_record(&(struct rig_result){ .rid = rid_of(ids[1], 2),
					 .outcome = OUTCOME_DEFERRED,
					 .code = 451,
					 .enhanced = "4.7.1",
					 .reply = "Greylisted, try 3600 later",
					 .reply_class = 6,
					 .at_ms = NOW });
	rig_settle();
	for (int round = 0; round < 2; round++) {
		assert_string_equal(causes(NULL, 10)->text,
				    "451 4.7.1 6 8 2 -997;421 4.3.2 17 7 1 -1000;");
		assert_string_equal(causes(NULL, 1)->text, "451 4.7.1 6 8 2 -997;");
		assert_string_equal(causes("domain:z.example", 9)->text, "451 4.7.1 6 1 1 -997;");
		assert_string_equal(causes("code:421 from:s0*", 9)->text,
				    "421 4.3.2 17 4 1 -1000;");
		rig_reopen();
	}
	/* a cause goes with the last recipient that has it, and comes back */
	for (int round = 0; round < 2; round++) {
		rig_defer(rid_of(ids[2], 1), 452, "4.2.2", "full");
		rig_settle();
		assert_non_null(strstr(causes(NULL, 10)->text, "452 4.2.2 0 1 1"));
		rig_defer(rid_of(ids[2], 1), 421, "4.3.2", "other");
		rig_settle();
		assert_null(strstr(causes(NULL, 10)->text, "452"));
	}
	/* what the store cannot count it does not pretend to */
	assert_int_equal(causes("state:held", 10)->code, ERR_INVALID);
}

/* --- many at once ----------------------------------------------------------------------------- */

static struct {
	size_t answers;
	size_t limited;
	size_t good;
} slow;

static void on_slow(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	(void)arg;
	(void)rows;
	slow.answers++;
	slow.limited += err != NULL && err->code == ERR_LIMIT;
	slow.good += err == NULL && n == 2;
	rig_wake();
}

/* Lists that are expensive take turns, and there is an end to the queue of them. */
static void test_slow_lists_take_turns(void **state)
{
	(void)state;
	memset(&slow, 0, sizeof(slow));
	for (int k = 0; k < 100; k++)
		queue_causes(rig.q, NULL, 10, NOW, on_slow, NULL);
	/* what delivery needs does not wait for them */
	struct rig_read r = rig_read(ids[0], false);
	message_unref(&r.m);
	while (slow.answers < 100)
		rig_wait();
	assert_int_equal(slow.good, 65);
	assert_int_equal(slow.limited, 35);
	/* closing with some of them waiting */
	for (int k = 0; k < 10; k++)
		queue_causes(rig.q, NULL, 10, NOW, on_slow, NULL);
	rig_reopen();
	assert_int_equal(slow.answers, 100);
}

#define CHAINS 16
#define LINKS 25

struct chain {
	struct msgid id;
	int left;
	int step;
	struct rig_done done;
};
static size_t chains_left;
static struct filter *all;

static void chain_step(struct chain *c);

static void on_chain_done(void *arg, const struct err *err)
{
	assert_null(err);
	chain_step(arg);
}

static void on_chain_read(void *arg, const struct message *m, const struct err *err)
{
	struct chain *c = arg;
	assert_null(err);
	assert_int_equal(m->id.v, c->id.v);
	assert_int_equal(m->content.n, 700);
	message_unref(&m);
	chain_step(c);
}

static void on_chain_scan(void *arg, const struct queue_entry *rows, size_t n, bool more,
			  const struct err *err)
{
	struct chain *c = arg;
	(void)more;
	assert_null(err);
	bool seen = false;
	for (size_t k = 0; k < n; k++)
		seen = seen || rid_msgid(rows[k].rid).v == c->id.v;
	assert_true(seen); /* it is queued: a list of all that is queued has it */
	chain_step(c);
}

static void on_chain_entries(void *arg, const struct queue_entry *rows, size_t n,
			     const struct err *err)
{
	assert_null(err);
	assert_int_equal(n, 1);
	assert_non_null(rows);
	chain_step(arg);
}

static void chain_accept(struct chain *c)
{
	struct message_rcpt rcpt = { .address = STR("a@x.example"),
				     .domain = queue_name(rig.q, STR("x.example")) };
	struct queue_new n = { .content_take = calloc(1, 700) };
	c->id = queue_new_id(rig.q);
	n.m = (struct message){ .id = c->id,
				.stream = queue_name(rig.q, STR("default")),
				.size = 700,
				.content = { n.content_take, 700 },
				.rcpts = &rcpt,
				.rcpts_n = 1 };
	queue_accept(rig.q, &n, on_chain_done, c);
}

/* accept, read, defer, list, entry, finish; again */
static void chain_step(struct chain *c)
{
	struct queue_scan s = { .filter = all,
				.sort = QUEUE_SORT_SIZE,
				.descending = true,
				.limit = 1000,
				.now_ms = NOW };
	struct rid rid = rid_of(c->id, 1);
	switch (c->step++ % 5) {
	case 0:
		if (c->left-- == 0) {
			chains_left--;
			rig_wake();
			return;
		}
		chain_accept(c);
		return;
	case 1:
		queue_message_read(rig.q, c->id, true, on_chain_read, c);
		return;
	case 2:
		rig_defer(rid, 451, "4.7.1", "later");
		queue_scan(rig.q, &s, on_chain_scan, c);
		return;
	case 3:
		queue_entries(rig.q, &rid, 1, on_chain_entries, c);
		return;
	default:
		if (c->left % 5 != 0)
			rig_finish(rid, OUTCOME_DELIVERED);
		chain_step(c);
		return;
	}
}

/* Everything at the same time; the cache is too small, so that contents come from the disk. */
static void test_all_at_once(void **state)
{
	static struct chain chains[CHAINS];
	(void)state;
	rig_close();
	rig.cfg.cache_bytes = 8192;
	rig.cfg.keep_finished_max = 50;
	rig_open();
	all = filter_parse(STR("size>1"), NULL);
	size_t before = rig.rows_n;
	chains_left = CHAINS;
	for (size_t k = 0; k < CHAINS; k++) {
		chains[k] = (struct chain){ .left = LINKS };
		chain_step(&chains[k]);
	}
	while (chains_left > 0)
		rig_wait();
	rig_settle();
	for (size_t k = 1; k < rig.events_n; k++)
		assert_int_equal(rig.events[k].seq, rig.events[k - 1].seq + 1);
	filter_free(&all);
	rig_reopen();
	assert_int_equal(rig.rows_n, before + CHAINS * LINKS / 5);
	assert_string_equal(rig.log, "");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_sort),
		T(test_rows_are_whole),
		T(test_filters),
		T(test_events),
		T(test_events_of_a_message),
		T(test_causes),
		T(test_slow_lists_take_turns),
		T(test_all_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
