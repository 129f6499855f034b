/*
 * Everything that operators set is in the text: a member that an object of the store has, and that
 * nothing here knows of, would be lost with an import.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/config_file.h"
#include "policy/allow.h"
#include "policy/creds.h"
#include "route/pools.h"
#include "route/routes.h"
#include "route/streams.h"

/* What is not in the text, for all kinds: who and when, places, numbers, and secrets. */
static const char *const not_in_it[] = { "id",	       "by",	     "created_ms", "place",
					 "password",   "salt",	     "iterations", "secrets",
					 "revoked_ms", "disabled_ms" };

static bool is_in(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void check(enum config_kind kind, json_t *stored_take)
{
	const char *name;
	json_t *v;

	json_object_foreach(stored_take, name, v)
	{
		if (!is_in(not_in_it, ARRAY_LEN(not_in_it), name) && !config_file_has(kind, name))
			fail_msg("a %s has \"%s\", which would be lost with an import: see the "
				 "tables in config_file.c",
				 config_kind_object(kind), name);
	}
	json_decref(stored_take);
}

static void test_nothing_is_lost(void **state)
{
	struct streams *streams = streams_new();
	struct routes *routes = routes_new();
	struct pools *pools = pools_new();
	struct allow *allow = allow_new();
	struct creds *creds = creds_new();
	char empty[1] = "";
	struct cred cred = { .name = empty, .note = empty, .by = empty };

	(void)state;
	assert_int_equal(routes_put(routes, "{\"id\":\"r1\",\"to\":\"mx\",\"pool\":\"p\"}", NULL),
			 0);
	assert_int_equal(pools_put(pools, "{\"id\":\"p\",\"sources\":[\"127.0.0.1\"]}", NULL), 0);
	assert_int_equal(allow_put(allow, "{\"network\":\"10.0.0.0/8\"}", NULL), 0);
	check(CONFIG_STREAM, streams_json(streams_at(streams, 0)));
	check(CONFIG_ROUTE, routes_json(routes_at(routes, 0)));
	check(CONFIG_POOL, pools_json(pools_at(pools, 0)));
	check(CONFIG_ALLOW, allow_json(allow_at(allow, 0)));
	check(CONFIG_CRED, creds_json(&cred));
	streams_free(&streams);
	routes_free(&routes);
	pools_free(&pools);
	allow_free(&allow);
	creds_free(&creds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
