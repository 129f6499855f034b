/* Names of accounts, from a directory that takes its time. */
#include "ctl/accounts.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/loop.h"

static struct loop *loop;
static struct accounts *accounts;
static char told[200];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_now; /* the directory answers */
static unsigned lookups;

static bool lookup(uid_t uid, char *ret, size_t n)
{
	(void)pthread_mutex_lock(&lock);
	lookups++;
	while (!open_now)
		(void)pthread_cond_wait(&changed, &lock);
	(void)pthread_mutex_unlock(&lock);
	(void)snprintf(ret, n, "name%u", (unsigned)uid);
	return uid != 404;
}

static void answer(bool on)
{
	(void)pthread_mutex_lock(&lock);
	open_now = on;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
}

static void on_name(void *arg, uid_t uid, const char *name)
{
	size_t n = strlen(told);

	(void)arg;
	(void)snprintf(told + n, sizeof(told) - n, "%u=%s;", (unsigned)uid, name);
	loop_stop(loop);
}

static void on_stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* Until something is told, or this long. */
static void run(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(loop, "test", on_stop, NULL);

	loop_timer_set(t, ms);
	loop_run(loop);
	loop_timer_free(&t);
}

static int set_up(void **state)
{
	(void)state;
	told[0] = '\0';
	lookups = 0;
	answer(true);
	loop = loop_new();
	accounts = accounts_new(loop, lookup, on_name, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	answer(true);
	accounts_free(&accounts);
	loop_free(&loop);
	return 0;
}

static void asked_and_kept(void **state)
{
	(void)state;
	assert_null(accounts_name(accounts, 7));
	accounts_ask(accounts, 7);
	accounts_ask(accounts, 7); /* two connections of one account: one question, one answer */
	assert_string_equal(told, "");
	run(10000);
	assert_string_equal(told, "7=name7;");
	assert_string_equal(accounts_name(accounts, 7), "name7");
	assert_int_equal(lookups, 1);
	accounts_ask(accounts, 404);
	run(10000);
	assert_string_equal(told, "7=name7;404=uid 404;");
	accounts_know(accounts, 9);
	assert_string_equal(accounts_name(accounts, 9), "name9");
}

/* The loop goes on, and so does who asked; the name comes for the next one. */
static void a_directory_that_hangs(void **state)
{
	(void)state;
	answer(false);
	accounts_ask(accounts, 7);
	accounts_ask(accounts, 8);
	run(20);
	assert_string_equal(told, "");
	run(10000);
	if (strcmp(told, "7=uid 7;") == 0)
		run(10000);
	assert_string_equal(told, "7=uid 7;8=uid 8;");
	assert_null(accounts_name(accounts, 7));
	answer(true);
	for (int i = 0; i < 500 && accounts_name(accounts, 8) == NULL; i++)
		run(10);
	assert_string_equal(accounts_name(accounts, 7), "name7");
	assert_string_equal(accounts_name(accounts, 8), "name8");
	assert_string_equal(told, "7=uid 7;8=uid 8;");
}

/* What is on its way when everything ends finds nobody. */
static void given_up(void **state)
{
	(void)state;
	answer(false);
	accounts_ask(accounts, 7);
	run(20);
	accounts_free(&accounts);
	answer(true);
	run(20);
	assert_string_equal(told, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asked_and_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_that_hangs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(given_up, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
