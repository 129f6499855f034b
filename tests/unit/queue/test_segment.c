/* Segment files: what is written is read, what is dropped is written over, what is damaged is said.
 */
#include "queue/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/mem.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/weir-seg-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	DIR *d = opendir(dir);
	const struct dirent *e;
	while ((e = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
	return rmdir(dir);
}

static struct segments *open_it(void)
{
	struct segments *s = NULL;
	struct err err = ERR_INIT;
	if (segments_open(dir, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static struct segment_place append(struct segments *s, uint64_t id, size_t n, char fill)
{
	struct segment_place at;
	struct err err = ERR_INIT;
	char *content = malloc(n + 1);
	memset(content, fill, n);
	if (segments_append(s, (struct msgid){ id }, STR("env"), str_from(content, n), &at, &err) <
	    0)
		fail_msg("%s", err.msg);
	free(content);
	return at;
}

/* The result of a read; its content must be n times fill. */
static int read_it(struct segments *s, uint64_t id, const struct segment_place *at, size_t n,
		   char fill)
{
	void *frame = NULL;
	struct str envelope, content;
	struct err err = ERR_INIT;
	int got = segments_read(s, (struct msgid){ id }, at, &frame, &envelope, &content, &err);
	if (got < 0)
		return got;
	assert_true(str_eq(envelope, STR("env")));
	assert_int_equal(content.n, n);
	for (size_t k = 0; k < n; k++)
		assert_int_equal(content.p[k], fill);
	free(frame);
	return got;
}

static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u); /* RFC 3720's check value */
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void test_round_trip(void **state)
{
	(void)state;
	struct segments *s = open_it();
	struct segment_place a = append(s, 1, 5000, 'a');
	struct segment_place empty = append(s, 2, 0, 'x');
	struct segment_place big = append(s, 3, SEGMENT_BYTES + 10, 'b');
	segments_sync_begin(s);
	assert_int_equal(segments_sync(s, NULL), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(read_it(s, 1, &a, 5000, 'a'), 0);
		assert_int_equal(read_it(s, 2, &empty, 0, 'x'), 0);
		assert_int_equal(read_it(s, 3, &big, SEGMENT_BYTES + 10, 'b'), 0);
		assert_int_equal(read_it(s, 4, &a, 5000, 'a'), -ERR_UNKNOWN);
		segments_close(&s);
		s = open_it();
		segment_keep(s, &a);
		segment_keep(s, &empty);
		segment_keep(s, &big);
		segments_ready(s);
	}
	segments_close(&s);
}

/* Files are reused, and never while something in them is kept. */
static void test_reuse(void **state)
{
	(void)state;
	struct segments *s = open_it();
	struct segment_place at[80];
	struct segment_place kept = append(s, 1000, 100, 'k');
	for (uint64_t round = 0; round < 4; round++) {
		for (uint64_t k = 0; k < ARRAY_LEN(at); k++)
			at[k] = append(s, 1 + round * 100 + k, 1 << 20, (char)('a' + round));
		for (uint64_t k = 0; k < ARRAY_LEN(at); k++)
			assert_int_equal(read_it(s, 1 + round * 100 + k, &at[k], 1 << 20,
						 (char)('a' + round)),
					 0);
		for (size_t k = 0; k < ARRAY_LEN(at); k++)
			segment_drop(s, &at[k]);
		assert_int_equal(read_it(s, 1000, &kept, 100, 'k'), 0);
	}
	assert_true(segment_sparse(s, kept.segment));
	struct segments_figures f;
	segments_figures(s, &f);
	assert_in_range(f.files, 2, 6);
	assert_in_range(f.live, 100, 200);
	assert_in_range(f.pooled, 1, f.files - 1); /* full ones wait to be written again */
	segments_close(&s);
	/* what nobody names at the next start is free at once */
	s = open_it();
	segments_ready(s);
	segments_figures(s, &f);
	assert_int_equal(f.live, 0);
	assert_int_equal(f.pooled, f.files);
	segments_close(&s);
}

static void test_damage(void **state)
{
	(void)state;
	struct segments *s = open_it();
	struct segment_place a = append(s, 1, 5000, 'a');
	struct segment_place b = append(s, 2, 5000, 'b');
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%08u", dir, a.segment);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "!", 1, (off_t)a.offset + 3000), 1);
	assert_int_equal(read_it(s, 1, &a, 5000, 'a'), -ERR_CORRUPT);
	assert_int_equal(read_it(s, 2, &b, 5000, 'b'), 0);
	assert_int_equal(ftruncate(fd, (off_t)b.offset + 10), 0);
	(void)close(fd);
	assert_int_equal(read_it(s, 2, &b, 5000, 'b'), -ERR_CORRUPT);
	struct segment_place nowhere = { .segment = 77, .length = 100 };
	assert_int_equal(read_it(s, 2, &nowhere, 1, 'b'), -ERR_CORRUPT);
	struct segment_place tiny = { .segment = a.segment, .length = 3 };
	assert_int_equal(read_it(s, 2, &tiny, 1, 'b'), -ERR_CORRUPT);
	segments_close(&s);
}

/* A file that is gone keeps its number while something says that it was in it: otherwise dropping
 * that would free what a new file of this number has. */
static void test_missing_file(void **state)
{
	(void)state;
	struct segments *s = open_it();
	struct segment_place lost = { .segment = 1, .length = 100 };
	segment_keep(s, &lost);
	segments_ready(s);
	struct segment_place a = append(s, 1, 5000, 'a');
	assert_int_not_equal(a.segment, lost.segment);
	assert_int_equal(read_it(s, 9, &lost, 1, 'x'), -ERR_CORRUPT);
	segment_drop(s, &lost);
	assert_int_equal(read_it(s, 1, &a, 5000, 'a'), 0);
	segments_close(&s);
}

static int open_files(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

/* However many files there are, few are open, and each can be read, written to and removed. */
static void test_few_are_open(void **state)
{
	(void)state;
	struct segment_place at[100];
	struct segments *s = NULL;
	int before = open_files();
	for (size_t round = 0; round < ARRAY_LEN(at); round++) {
		s = open_it(); /* begins a new file each time */
		for (size_t k = 0; k < round; k++)
			segment_keep(s, &at[k]);
		segments_ready(s);
		at[round] = append(s, round + 1, 1000, 'a');
		if (round + 1 < ARRAY_LEN(at))
			segments_close(&s);
	}
	for (int again = 0; again < 2; again++) {
		for (size_t k = 0; k < ARRAY_LEN(at); k++)
			assert_int_equal(read_it(s, k + 1, &at[k], 1000, 'a'), 0);
		assert_in_range(open_files(), 0, before + 33);
	}
	segments_sync_begin(s);
	assert_int_equal(segments_sync(s, NULL), 0);
	for (size_t k = 0; k < ARRAY_LEN(at); k++)
		segment_drop(s, &at[k]);
	assert_int_equal(read_it(s, 5, &at[4], 1000, 'a'), -ERR_UNKNOWN);
	assert_true(segments_garbage(s));
	segments_reap(s);
	assert_false(segments_garbage(s));
	struct segments_figures f;
	segments_figures(s, &f);
	assert_int_equal(f.files, 1); /* the current one */
	segments_close(&s);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_crc),	  T(test_round_trip),
					    T(test_reuse),	  T(test_damage),
					    T(test_missing_file), T(test_few_are_open) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
