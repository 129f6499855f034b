/*
 * Kills at any instant, damage, and a full disk: what was acknowledged is there and readable, what
 * was not is there whole or not at all, and the rest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "queue_rig.h"

#define KILLS 12
#define ACKED_MAX 60000
#define WAYS 20
#define MIB (1u << 20)

/* Shared with the child: what got its answer. Recipients are finished only after `finishing`. */
static struct shared {
	uint32_t acked_n;
	uint32_t finishing_n;
	struct msgid acked[ACKED_MAX];
	uint32_t finishing[ACKED_MAX]; /* indexes of acked */
} * shared;

struct way {
	struct msgid id;
	uint32_t n;
};

/* --- the child -------------------------------------------------------------------------------- */

static size_t size_of(struct msgid id)
{
	return 50 + id.v * 2654435761u % (id.v % 16 == 0 ? 200000 : 3000);
}

static void fill_content(struct msgid id, char *p, size_t n)
{
	uint64_t x = id.v;
	for (size_t k = 0; k < n; k++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[k] = (char)(x >> 56);
	}
}

static void post_way(struct way *w);

static void on_acked(void *arg, const struct err *err)
{
	struct way *w = arg;
	if (err != NULL)
		_exit(3);
	uint32_t k = shared->acked_n;
	if (k == ACKED_MAX)
		return;
	shared->acked[k] = w->id;
	__atomic_store_n(&shared->acked_n, k + 1, __ATOMIC_RELEASE);
	if (w->id.v % 3 == 0) {
		shared->finishing[shared->finishing_n] = k;
		__atomic_store_n(&shared->finishing_n, shared->finishing_n + 1, __ATOMIC_RELEASE);
		rig_finish(rid_of(w->id, 1), OUTCOME_DELIVERED);
	} else if (w->id.v % 3 == 1) {
		rig_defer(rid_of(w->id, 1), 451, "4.7.1", "later");
	}
	post_way(w);
}

static void post_way(struct way *w)
{
	char address[64];
	struct message_rcpt rcpts[3];
	w->id = queue_new_id(rig.q);
	size_t size = size_of(w->id);
	char *content = malloc(size);
	fill_content(w->id, content, size);
	(void)snprintf(address, sizeof(address), "u@d%u.example", w->n++ % 50);
	struct str to = str_of(address);
	for (unsigned k = 0; k < ARRAY_LEN(rcpts); k++)
		rcpts[k] = (struct message_rcpt){
			.address = to, .domain = queue_name(rig.q, address_text_domain(to))
		};
	struct queue_new n = { .content_take = content,
			       .m = { .id = w->id,
				      .sender = STR("a@b.example"),
				      .stream = queue_name(rig.q, STR("default")),
				      .size = size,
				      .content = { content, size },
				      .rcpts = rcpts,
				      .rcpts_n = 1 + (unsigned)(w->id.v % ARRAY_LEN(rcpts)) } };
	queue_accept(rig.q, &n, on_acked, w);
}

_Noreturn static void child(void)
{
	static struct way ways[WAYS];
	rig_open();
	for (size_t k = 0; k < WAYS; k++)
		post_way(&ways[k]);
	loop_run(rig.loop);
	_exit(4);
}

/* --- the parent ------------------------------------------------------------------------------- */

static void kill_after(pid_t pid, int ms)
{
	int status;
	usleep((useconds_t)ms * 1000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int cmp_row(const void *a, const void *b)
{
	const struct queue_row *x = a, *y = b;
	return x->rid.v < y->rid.v ? -1 : x->rid.v > y->rid.v;
}

static bool is_queued(struct rid rid)
{
	struct queue_row key = { .rid = rid };
	return bsearch(&key, rig.rows, rig.rows_n, sizeof(key), cmp_row) != NULL;
}

static bool is_finishing(uint32_t k)
{
	uint32_t lo = 0, hi = shared->finishing_n;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (shared->finishing[mid] < k)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < shared->finishing_n && shared->finishing[lo] == k;
}

static void check_content(struct msgid id)
{
	static char want[200100];
	struct rig_read r = rig_read(id, true);
	if (r.code != 0)
		fail_msg("message %llu: %d; %s", (unsigned long long)id.v, r.code, rig.log);
	size_t n = size_of(id);
	assert_int_equal(r.m->content.n, n);
	fill_content(id, want, n);
	assert_memory_equal(r.m->content.p, want, n);
	assert_int_equal(r.m->rcpts_n, 1 + id.v % 3);
	message_unref(&r.m);
}

static void check_acked(uint32_t from)
{
	for (uint32_t k = 0; k < shared->acked_n; k++) {
		struct msgid id = shared->acked[k];
		bool finishing = is_finishing(k);
		bool all = true;
		for (unsigned n = 1; n <= 1 + id.v % 3; n++)
			all = all && (is_queued(rid_of(id, n)) || (finishing && n == 1));
		if (!all)
			fail_msg("message %u of %u is lost", k, shared->acked_n);
		if (k >= from && k % 5 == 0 && (!finishing || id.v % 3 != 0))
			check_content(id);
	}
}

/* Every row that is there, acknowledged or not, has its whole content. */
static void check_rows(uint32_t every)
{
	for (size_t k = 0; k < rig.rows_n; k += every)
		check_content(rid_msgid(rig.rows[k].rid));
}

static void test_kill(void **state)
{
	(void)state;
	rig_close();
	srand(5);
	for (int round = 0; round < KILLS; round++) {
		uint32_t before = shared->acked_n;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child();
		kill_after(pid, 15 + rand() % 150);
		rig_open();
		check_acked(before);
		check_rows(31);
		struct queue_figures f;
		queue_figures(rig.q, &f);
		assert_int_equal(f.damaged, 0);
		rig_close();
	}
	assert_true(shared->acked_n > KILLS);
	rig_open();
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Turns a byte of every place in the segment files where `marker` stands. */
static int damage(const char *marker)
{
	int found = 0;
	for (int number = 1; number < 9; number++) {
		char path[128];
		(void)snprintf(path, sizeof(path), "%s/seg/%08d", rig.dir, number);
		int fd = open(path, O_RDWR);
		if (fd < 0)
			continue;
		off_t n = lseek(fd, 0, SEEK_END);
		char *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_true(p != MAP_FAILED);
		char *at = memmem(p, (size_t)n, marker, strlen(marker));
		if (at != NULL) {
			at[0] ^= 1;
			found++;
		}
		(void)munmap(p, (size_t)n);
		(void)close(fd);
	}
	return found;
}

_Noreturn static void child_acknowledges_two(void)
{
	rig_open();
	shared->acked[0] =
		rig_accept(&(struct rig_letter){ .content = "first MARKER-A", .to = "a@x,b@x" });
	rig_pause(1500); /* it is known that A is synced */
	shared->acked[1] = rig_accept(&(struct rig_letter){ .content = "second MARKER-B" });
	shared->acked[2] = rig_accept(&(struct rig_letter){ .content = "third MARKER-C" });
	(void)kill(getpid(), SIGKILL);
	_exit(4);
}

/*
 * A bad content is damage when it was known to be on disk, and stays, and is told; when it was not,
 * nobody got an answer, and it goes.
 */
static void test_damage_or_never_acknowledged(void **state)
{
	(void)state;
	char name[MSGID_TEXT_LEN];
	rig_close();
	pid_t pid = fork();
	if (pid == 0)
		child_acknowledges_two();
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(damage("MARKER-A"), 1);
	assert_int_equal(damage("MARKER-C"), 1);
	struct msgid a = shared->acked[0], b = shared->acked[1], c = shared->acked[2];
	for (int round = 0; round < 2; round++) {
		rig_open();
		assert_int_equal(rig.rows_n, 3);
		assert_true(is_queued(rid_of(a, 1)) && is_queued(rid_of(a, 2)));
		assert_true(is_queued(rid_of(b, 1)));
		assert_int_equal(strstr(rig.log, "queue.recovered") != NULL, round == 0);
		assert_int_equal(rig_read(c, true).code, ERR_UNKNOWN);
		struct rig_read r;
		for (int again = 0; again < 2; again++) {
			r = rig_read(a, true);
			assert_int_equal(r.code, ERR_CORRUPT);
			assert_non_null(r.m);
			assert_null(r.m->content.p);
			assert_int_equal(r.m->rcpts_n, 2);
			message_unref(&r.m);
		}
		r = rig_read(b, true);
		assert_int_equal(r.code, 0);
		message_unref(&r.m);
		struct queue_figures f;
		queue_figures(rig.q, &f);
		assert_int_equal(f.damaged, 1);
		msgid_text(a, name);
		const char *line = strstr(rig.log, "queue.damaged");
		assert_non_null(line);
		assert_non_null(strstr(rig.log, name));
		assert_null(strstr(line + 1, "queue.damaged")); /* once */
		if (round == 0)
			rig_close();
	}
	/* when its recipients are finished it is damaged no more */
	rig_finish(rid_of(a, 1), OUTCOME_FAILED);
	rig_finish(rid_of(a, 2), OUTCOME_FAILED);
	rig_settle();
	struct queue_figures f;
	queue_figures(rig.q, &f);
	assert_int_equal(f.damaged, 0);
}

/* --- a full disk ------------------------------------------------------------------------------ */

static bool mount_small(void)
{
	return geteuid() == 0 && mount("tmpfs", rig.dir, "tmpfs", 0, "size=24m,mode=0700") == 0;
}

static void test_full_disk(void **state)
{
	(void)state;
	static struct msgid ids[400];
	size_t n = 0;
	rig_close();
	if (!mount_small()) {
		rig_open();
		skip();
	}
	rig_open();
	struct rig_done d = { .code = 0 };
	while (n < ARRAY_LEN(ids)) {
		ids[n] = rig_post(&(struct rig_letter){ .content_n = 300000 }, &d);
		rig_done_wait(&d);
		if (d.code != 0)
			break;
		n++;
	}
	assert_int_equal(d.code, ERR_NOSPC);
	assert_true(n > 20);
	assert_true(rig.disk_full);
	assert_int_equal(rig.disk_told, 1);
	/* refused again, and results are recorded all the same */
	for (int k = 0; k < 3; k++) {
		(void)rig_post(&(struct rig_letter){ .content_n = 300000 }, &d);
		rig_done_wait(&d);
		assert_int_equal(d.code, ERR_NOSPC);
	}
	rig_defer(rid_of(ids[0], 1), 451, "4.7.1", "later");
	rig_finish(rid_of(ids[1], 1), OUTCOME_DELIVERED);
	rig_settle();
	assert_int_equal(rig.disk_told, 1);
	/* nothing of what was refused is there; all that was taken is */
	rig_reopen();
	assert_int_equal(rig.rows_n, n - 1);
	for (size_t k = 0; k < n; k++)
		assert_int_equal(is_queued(rid_of(ids[k], 1)), k != 1);
	assert_int_equal(rig.rows[0].code, 451);
	for (int k = 0; d.code == 0 || k == 0; k++) {
		assert_true(k < 40);
		(void)rig_post(&(struct rig_letter){ .content_n = 300000 }, &d);
		rig_done_wait(&d);
	}
	assert_int_equal(d.code, ERR_NOSPC);
	assert_true(rig.disk_full);
	/* there is room again: it is found without being asked */
	assert_int_equal(mount("tmpfs", rig.dir, "tmpfs", MS_REMOUNT, "size=100m"), 0);
	for (int k = 0; rig.disk_full && k < 500; k++)
		rig_pause(10);
	assert_false(rig.disk_full);
	(void)rig_accept(&(struct rig_letter){ .content_n = 300000 });
	struct rig_read r = rig_read(ids[5], true);
	assert_int_equal(r.code, 0);
	assert_int_equal(r.m->content.n, 300000);
	message_unref(&r.m);
	rig_close();
	assert_int_equal(umount2(rig.dir, 0), 0);
	rig_open();
}

/* Not a byte is left, as when others fill the disk: results wait, and are written when there is
 * room. */
static void test_no_byte_left(void **state)
{
	(void)state;
	char path[128];
	rig_close();
	if (!mount_small()) {
		rig_open();
		skip();
	}
	rig_open();
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x,b@x" });
	rig_pause(50);
	(void)snprintf(path, sizeof(path), "%s/hog", rig.dir);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	char block[4096];
	memset(block, 'h', sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	for (int k = 0; k < 3000; k++) /* more than the WAL's file may have room for */
		rig_defer(rid_of(id, 1), 451, "4.7.1",
			  "a long text: .........................................................");
	struct queue_action a = { .id = 1, .who = "ann", .state = "done" };
	struct rig_done committed = { .called = false };
	queue_commit(rig.q, &a, NULL, 0, rig_on_done, &committed);
	rig_finish(rid_of(id, 2), OUTCOME_DELIVERED);
	struct rig_done d;
	(void)rig_post(&(struct rig_letter){ .to = "a@x" }, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, ERR_NOSPC);
	rig_pause(700);
	assert_true(queue_record_backlog(rig.q) > 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	(void)close(fd);
	rig_settle();
	rig_done_wait(&committed);
	assert_int_equal(committed.code, 0);
	for (int k = 0; rig.disk_full && k < 1000; k++)
		rig_pause(10);
	assert_false(rig.disk_full);
	(void)rig_accept(&(struct rig_letter){ .to = "a@x" });
	rig_reopen();
	assert_int_equal(rig.rows_n, 2);
	assert_int_equal(rig.rows[0].code, 451);
	rig_close();
	assert_int_equal(umount2(rig.dir, 0), 0);
	rig_open();
}

/* --- a damaged database ----------------------------------------------------------------------- */

static void test_not_a_database(void **state)
{
	(void)state;
	char path[128];
	rig_close();
	(void)snprintf(path, sizeof(path), "%s/queue.db", rig.dir);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage garbage garbage", 23, 0), 23);
	struct err err = ERR_INIT;
	assert_int_equal(rig_try_open(&err), -ERR_CORRUPT);
	assert_non_null(strstr(err.msg, "queue.db"));
	assert_null(rig.q);
	rig_close();
	assert_int_equal(unlink(path), 0);
	(void)close(fd);
	rig_open();
}

#define LETTERS 3000
#define PAGE 4096

/* Makes the page of the database that has the text unreadable. */
static void damage_page(const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/queue.db", rig.dir);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	off_t n = lseek(fd, 0, SEEK_END);
	char *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	char *at = memmem(p, (size_t)n, text, strlen(text));
	assert_non_null(at);
	memset(p + (at - p) / PAGE * PAGE, 0xff, 16);
	(void)munmap(p, (size_t)n);
	(void)close(fd);
}

/* One page of recipients cannot be read: all the others are there, it is told which are not, and
 * what was in the segments stays there. */
static void test_damaged_page(void **state)
{
	static struct msgid ids[LETTERS];
	static struct rig_done done[LETTERS];
	char to[32], first[RID_TEXT_LEN];
	(void)state;
	for (int k = 0; k < LETTERS; k++) {
		(void)snprintf(to, sizeof(to), "rcpt-%d@x.example", k);
		ids[k] = rig_post(&(struct rig_letter){ .to = to, .content_n = 1000 }, &done[k]);
	}
	for (int k = 0; k < LETTERS; k++)
		rig_done_wait(&done[k]);
	rig_finish(rid_of(ids[0], 1), OUTCOME_DELIVERED);
	rig_settle();
	rig_close();
	damage_page("rcpt-1500@");
	rig_open();
	assert_in_range(rig.rows_n, LETTERS - 200, LETTERS - 20);
	assert_false(is_queued(rid_of(ids[1500], 1)));
	assert_true(is_queued(rid_of(ids[1], 1)) && is_queued(rid_of(ids[LETTERS - 1], 1)));
	size_t k = 1;
	while (is_queued(rid_of(ids[k], 1)))
		k++;
	rid_text(rid_of(ids[k - 1], 1), first);
	assert_non_null(strstr(rig.log, "queue.damaged"));
	assert_non_null(strstr(rig.log, first));
	struct queue_figures figures;
	queue_figures(rig.q, &figures);
	assert_non_null(strstr(figures.unreadable, first));
	/* what is left goes on: rows, contents, results, new messages */
	const struct rid rids[] = { rid_of(ids[5], 1), rid_of(ids[1500], 1), rid_of(ids[2990], 1) };
	assert_int_equal(rig_entries(rids, 3)->n, 2);
	for (size_t i = 1; i < LETTERS; i++)
		rig_finish(rid_of(ids[i], 1), OUTCOME_DELIVERED);
	rig_settle();
	struct msgid more = rig_accept(&(struct rig_letter){ .to = "new@x.example" });
	rig_close();
	rig_open();
	/* what touches the damaged page cannot be written: a few rows stay, and were told */
	assert_in_range(rig.rows_n, 1, 300);
	assert_int_equal(rig.rows[rig.rows_n - 1].rid.v, rid_of(more, 1).v);
	struct queue_figures f;
	queue_figures(rig.q, &f);
	assert_true(f.segments >= 2); /* the contents of those rows */
}

static int setup(void **state)
{
	memset(shared, 0, sizeof(*shared));
	return rig_setup(state);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_kill),		T(test_damage_or_never_acknowledged),
		T(test_full_disk),	T(test_no_byte_left),
		T(test_not_a_database), T(test_damaged_page),
	};
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return shared == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
