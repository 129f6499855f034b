/*
 * The answer follows both syncs. fdatasync() of this program can be held back or fail, for the
 * segments or for the database, which uses the same call.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "queue_rig.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	const char *path; /* a part of it; NULL: none */
	bool hold;
	int fail; /* errno */
	int met;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static int pass_gate(int fd)
{
	char link[64], path[256];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	(void)pthread_mutex_lock(&gate.lock);
	bool mine = gate.path != NULL && strstr(path, gate.path) != NULL;
	gate.met += mine;
	(void)pthread_cond_broadcast(&gate.cond);
	while (mine && gate.hold)
		(void)pthread_cond_wait(&gate.cond, &gate.lock);
	int fail = mine ? gate.fail : 0;
	(void)pthread_mutex_unlock(&gate.lock);
	return fail;
}

int fdatasync(int fd)
{
	int fail = pass_gate(fd);
	if (fail == 0)
		return (int)syscall(SYS_fdatasync, fd);
	errno = fail;
	return -1;
}

static void gate_set(const char *path, bool hold, int fail)
{
	(void)pthread_mutex_lock(&gate.lock);
	gate.path = path;
	gate.hold = hold;
	gate.fail = fail;
	gate.met = 0;
	(void)pthread_cond_broadcast(&gate.cond);
	(void)pthread_mutex_unlock(&gate.lock);
}

static int gate_met(void)
{
	(void)pthread_mutex_lock(&gate.lock);
	int met = gate.met;
	(void)pthread_mutex_unlock(&gate.lock);
	return met;
}

static void test_answer_waits_for_both(void **state)
{
	static const char *const paths[] = { "/seg/", "queue.db" };
	(void)state;
	(void)rig_accept(&(struct rig_letter){ .from = "a@b" });
	for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
		struct rig_done d;
		rig_settle();
		gate_set(paths[k], true, 0);
		struct msgid id = rig_post(&(struct rig_letter){ .from = "a@b" }, &d);
		while (gate_met() == 0)
			rig_pause(1);
		rig_pause(30);
		assert_false(d.called);
		assert_null(queue_message_cached(rig.q, id));
		gate_set(NULL, false, 0);
		rig_done_wait(&d);
		assert_int_equal(d.code, 0);
	}
}

/* What comes while a commit is under way goes into the next one, together. */
static void test_natural_batches(void **state)
{
	static struct rig_done done[200];
	(void)state;
	gate_set("/seg/", true, 0);
	(void)rig_post(&(struct rig_letter){ .from = "a@b" }, &done[0]);
	while (gate_met() == 0)
		rig_pause(1);
	for (size_t k = 1; k < ARRAY_LEN(done); k++)
		(void)rig_post(&(struct rig_letter){ .from = "a@b" }, &done[k]);
	rig_pause(20);
	gate_set(NULL, false, 0);
	gate_set("/seg/", false, 0);
	for (size_t k = 0; k < ARRAY_LEN(done); k++)
		rig_done_wait(&done[k]);
	assert_in_range(gate_met(), 1, 2);
	gate_set(NULL, false, 0);
}

/* Rows whose contents could not be synced go again, and no answer says otherwise. */
static void test_failed_sync(void **state)
{
	(void)state;
	struct msgid good = rig_accept(&(struct rig_letter){ .from = "a@b" });
	struct rig_done d, e;
	gate_set("/seg/", false, EIO);
	struct msgid id = rig_post(&(struct rig_letter){ .from = "a@b" }, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, ERR_IO);
	assert_int_equal(rig_read(id, true).code, ERR_UNKNOWN);
	gate_set(NULL, false, 0);
	struct msgid later = rig_accept(&(struct rig_letter){ .from = "a@b" });
	/* the database's sync fails: nothing is there, and it goes on */
	gate_set("queue.db", false, EIO);
	struct msgid none = rig_post(&(struct rig_letter){ .from = "a@b" }, &e);
	rig_finish(rid_of(later, 1), OUTCOME_DELIVERED);
	rig_done_wait(&e);
	assert_int_equal(e.code, ERR_IO);
	gate_set(NULL, false, 0);
	rig_settle();
	struct msgid last = rig_accept(&(struct rig_letter){ .from = "a@b" });
	rig_reopen();
	assert_int_equal(rig.rows_n, 2);
	assert_int_equal(rig.rows[0].rid.v, rid_of(good, 1).v);
	assert_int_equal(rig.rows[1].rid.v, rid_of(last, 1).v);
	assert_int_equal(rig_read(none, true).code, ERR_UNKNOWN);
	assert_string_equal(rig.log, "");
}

/* Who could not be told, because the message's content is not there, is told the next time. */
static void test_failed_sync_of_a_report(void **state)
{
	struct rig_letter told = { .tells = { 8193 }, .tells_until_ms = INT64_MAX };
	struct rig_done d;
	(void)state;
	gate_set("/seg/", false, EIO);
	(void)rig_post(&told, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, ERR_IO);
	gate_set(NULL, false, 0);
	struct msgid id = rig_accept(&told);
	gate_set("/seg/", false, EIO);
	(void)rig_post(&told, &d);
	rig_done_wait(&d);
	assert_true(d.code == ERR_IO || d.code == ERR_EXISTS);
	gate_set(NULL, false, 0);
	rig_reopen();
	assert_int_equal(rig.rows_n, 1);
	assert_int_equal(rig.rows[0].rid.v, rid_of(id, 1).v);
	(void)rig_post(&told, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, ERR_EXISTS);
}

/* Of two reports in one batch the second one was "told before" by the first one's row, which goes.
 */
static void test_failed_sync_of_two_reports(void **state)
{
	struct rig_letter told = { .tells = { 8193 }, .tells_until_ms = INT64_MAX };
	struct rig_done d[3];
	(void)state;
	gate_set("/seg/", true, 0);
	(void)rig_post(&(struct rig_letter){ .from = "a@b" }, &d[0]);
	while (gate_met() == 0)
		rig_pause(1);
	(void)rig_post(&told, &d[1]);
	(void)rig_post(&told, &d[2]);
	gate_set("/seg/", false, EIO);
	for (size_t k = 0; k < ARRAY_LEN(d); k++) {
		rig_done_wait(&d[k]);
		assert_int_equal(d[k].code, ERR_IO);
	}
	gate_set(NULL, false, 0);
	(void)rig_accept(&told);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_answer_waits_for_both), T(test_natural_batches),
					    T(test_failed_sync), T(test_failed_sync_of_a_report),
					    T(test_failed_sync_of_two_reports) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
