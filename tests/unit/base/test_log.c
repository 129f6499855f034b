/* What is left out of the log, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static char said[8192];

static void on_line(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(said);

	(void)level;
	(void)arg;
	(void)snprintf(said + n, sizeof(said) - n, "%s\n", line);
}

/* How many of n may be written; ends in a later second than it began. */
static unsigned burst(enum log_level level, const char *event, unsigned n)
{
	unsigned ok = 0;

	for (unsigned i = 0; i < n; i++)
		ok += log_limited_at(level, event);
	(void)usleep(1010000);
	return ok + log_limited_at(level, event);
}

static void test_limits(void **state)
{
	unsigned n;

	(void)state;
	said[0] = '\0';
	log_to_fn(on_line, NULL);
	log_level_set(LOG_LEVEL_WARN);
	/* a second may begin in the middle: then twice as many */
	n = burst(LOG_LEVEL_WARN, "test.warn", 500);
	assert_in_range(n, 21, 41);
	assert_non_null(strstr(said, "log.dropped"));
	assert_non_null(strstr(said, "event=test.warn"));
}

static void test_what_is_off_is_not_dropped(void **state)
{
	(void)state;
	said[0] = '\0';
	log_to_fn(on_line, NULL);
	log_level_set(LOG_LEVEL_WARN);
	assert_int_equal(burst(LOG_LEVEL_INFO, "test.info", 500), 0);
	assert_string_equal(said, "");
	/* and has not used up what may be written once it is on */
	log_level_set(LOG_LEVEL_INFO);
	assert_true(log_limited_at(LOG_LEVEL_INFO, "test.info"));
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_is_off_is_not_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
