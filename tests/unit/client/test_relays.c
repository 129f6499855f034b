/*
 * What a RELAY is: addresses with everything that can be wrong in them, the relays files with their
 * lines, names that are nearly right; and the jumps of ~/.ssh/config as a command.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bsd/string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/relays.h"
#include "client/remote_int.h"

/* --- addresses --- */

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		enum relays_kind kind;
		const char *user, *host, *path;
		unsigned port;
		bool own_path;
	} good[] = {
		{ "unix:/run/x", RELAYS_UNIX, "", "", "/run/x", 0, true },
		{ "/run/x", RELAYS_UNIX, "", "", "/run/x", 0, true },
		{ "ssh://mx1", RELAYS_SSH, "", "mx1", RELAYS_SOCKET, 0, false },
		{ "ssh://mx1/", RELAYS_SSH, "", "mx1", RELAYS_SOCKET, 0, false },
		{ "ssh://ops@mx1", RELAYS_SSH, "ops", "mx1", RELAYS_SOCKET, 0, false },
		{ "ssh://ops@mx1:2222/run/y", RELAYS_SSH, "ops", "mx1", "/run/y", 2222, true },
		{ "ssh://[::1]:22", RELAYS_SSH, "", "::1", RELAYS_SOCKET, 22, false },
		{ "ssh://a.b@[fe80::1%eth0]/s", RELAYS_SSH, "a.b", "fe80::1%eth0", "/s", 0, true },
		{ "ssh://192.0.2.1:65535", RELAYS_SSH, "", "192.0.2.1", RELAYS_SOCKET, 65535,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct relays_addr a;
		struct err err = ERR_INIT;

		if (relays_parse(str_of(good[i].text), &a, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.msg);
		assert_int_equal(a.kind, good[i].kind);
		assert_string_equal(a.user, good[i].user);
		assert_string_equal(a.host, good[i].host);
		assert_string_equal(a.path, good[i].path);
		assert_int_equal(a.port, good[i].port);
		assert_int_equal(a.own_path, good[i].own_path);
	}
}

static void test_wrong_addresses(void **state)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{ "", "expected" },
		{ "http://x", "expected" },
		{ "unix:", "begins with /" },
		{ "unix:run/x", "begins with /" },
		{ "ssh://", "host name" },
		{ "ssh:///run/x", "host name" },
		{ "ssh://@mx1", "account" },
		{ "ssh://-oProxyCommand=x@mx1", "account" },
		{ "ssh://-oProxyCommand=x", "host name" },
		{ "ssh://mx1:", "port" },
		{ "ssh://mx1:0", "port" },
		{ "ssh://mx1:65536", "port" },
		{ "ssh://mx1:22x", "port" },
		{ "ssh://::1", "port" },
		{ "ssh://[::1", "]" },
		{ "ssh://[::1]22", ":PORT" },
		{ "ssh://mx1;reboot", "host name" },
		{ "ssh://mx1/a b", "blanks" },
		{ "ssh://mx1\n", "blanks" },
		{ "ssh://o`id`@mx1", "account" },
	};
	char path[200] = "/";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct relays_addr a;
		struct err err = ERR_INIT;

		if (relays_parse(str_of(wrong[i].text), &a, &err) >= 0)
			fail_msg("%s is taken", wrong[i].text);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.param, "relay");
		if (strstr(err.msg, wrong[i].says) == NULL)
			fail_msg("%s: '%s' does not say '%s'", wrong[i].text, err.msg,
				 wrong[i].says);
	}
	memset(path + 1, 'x', RELAYS_PATH_MAX - 1);
	assert_int_equal(relays_parse(str_of(path), &(struct relays_addr){ 0 }, NULL),
			 -ERR_INVALID);
	path[RELAYS_PATH_MAX - 1] = '\0';
	assert_int_equal(relays_parse(str_of(path), &(struct relays_addr){ 0 }, NULL), 0);
}

/* --- files --- */

static int count;
static char names[256];

static void on_relay(void *arg, const char *name, const char *url, bool production)
{
	(void)arg;
	count++;
	(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s=%s%s ", name, url,
		       production ? "!" : "");
}

static void test_file(void **state)
{
	static const char text[] = "# ours\n"
				   "relay mx1 { url = \"ssh://ops@mx1\"\n production = true }\n"
				   "relay here { url = \"unix:/run/x\" }\n";
	struct err err = ERR_INIT;

	(void)state;
	count = 0;
	names[0] = '\0';
	assert_int_equal(relays_read(str_of(text), "f", on_relay, NULL, &err), 0);
	assert_int_equal(count, 2);
	assert_string_equal(names, "mx1=ssh://ops@mx1! here=unix:/run/x ");
	assert_int_equal(relays_read(STR(""), "f", on_relay, NULL, &err), 0);
}

static void test_wrong_files(void **state)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{ "relay mx1 {\n url = \"nonsense\"\n}\n", "f:2: url = \"nonsense\"" },
		{ "relay mx1 {\n url = \"ssh://h:0\" }\n", "f:2:" },
		{ "\n\nrelay mx1 {\n production = true\n}\n", "mx1 has no url" },
		{ "relay mx1 {\n url = \"/s\"\n prodction = true\n}\n",
		  "f:3: unknown key prodction" },
		{ "realy mx1 { }\n", "f:1: unknown key realy" },
		{ "relay mx1 {\n url = \"/s\"\n", "not closed" },
		{ "relay \"a b\" { url = \"/s\" }\n", "make a name" },
		{ "relay a { url = \"/s\" }\nrelay a { url = \"/t\" }\n", "f:2:" },
		{ "relay a { url = \"/s\"\n production = perhaps }\n", "f:2:" },
		{ "relay a { url = ", "url is missing" },
		{ "}", "f:1:" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;

		count = 0;
		if (relays_read(str_of(wrong[i].text), "f", on_relay, NULL, &err) >= 0)
			fail_msg("taken: %s", wrong[i].text);
		assert_int_equal(count, 0);
		assert_int_equal(err.code, ERR_CONFIG);
		if (strstr(err.msg, wrong[i].says) == NULL)
			fail_msg("%s: '%s' does not say '%s'", wrong[i].text, err.msg,
				 wrong[i].says);
	}
	assert_int_equal(relays_read(STR("a\0b"), "f", on_relay, NULL, NULL), -ERR_CONFIG);
}

/* --- names --- */

static char home[64];

static int make_home(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	(void)strlcpy(home, "/tmp/weir-relays-XXXXXX", sizeof(home));
	assert_non_null(mkdtemp(home));
	(void)snprintf(path, sizeof(path), "%s/weir", home);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/weir/relays", home);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs("relay mx1 { url = \"ssh://ops@mx1.example.net\" production = true }\n", f);
	(void)fclose(f);
	assert_int_equal(setenv("XDG_CONFIG_HOME", home, 1), 0);
	assert_int_equal(unsetenv("WEIR_RELAY"), 0);
	return 0;
}

static int remove_home(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/weir/relays", home);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/weir", home);
	(void)rmdir(path);
	return rmdir(home);
}

static void test_names(void **state)
{
	struct relays_found f;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(relays_find("mx1", &f, &err), 0);
	assert_string_equal(f.name, "mx1");
	assert_string_equal(f.addr.host, "mx1.example.net");
	assert_true(f.production);
	assert_int_equal(relays_find("mx", &f, &err), -ERR_INVALID);
	assert_non_null(strstr(err.msg, "did you mean mx1?"));
	assert_non_null(strstr(err.msg, "ssh://mx"));
	assert_int_equal(relays_find("somewhere.example", &f, &err), -ERR_INVALID);
	assert_null(strstr(err.msg, "did you mean"));
	assert_int_equal(relays_find("unix:/x", &f, &err), 0);
	assert_false(f.production);
}

static void test_default(void **state)
{
	struct relays_found f;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(relays_find(NULL, &f, &err), 0);
	assert_string_equal(f.addr.path, RELAYS_SOCKET);
	assert_int_equal(setenv("WEIR_RELAY", "mx1", 1), 0);
	assert_int_equal(relays_find(NULL, &f, &err), 0);
	assert_string_equal(f.addr.host, "mx1.example.net");
	assert_int_equal(setenv("WEIR_RELAY", "mx9", 1), 0);
	assert_int_equal(relays_find(NULL, &f, &err), -ERR_INVALID);
	assert_non_null(strstr(err.msg, "WEIR_RELAY=mx9"));
	assert_int_equal(unsetenv("WEIR_RELAY"), 0);
}

/* --- jumps --- */

static void test_jumps(void **state)
{
	static const struct {
		const char *command, *jumps; /* NULL: it is no rendering of a ProxyJump */
	} cases[] = {
		{ "ssh -W '[%h]:%p' jump", "jump" },
		{ "ssh -l u -p 23 -J j2,w@j3:5 -W '[%h]:%p' j1", "u@j1:23,j2,w@j3:5" },
		{ "ssh -p 23 -W '[%h]:%p' ::1", "[::1]:23" },
		{ "ssh -W %h:%p jump", NULL },
		{ "ssh -v -W '[%h]:%p' jump", NULL },
		{ "ssh -W '[%h]:%p' jump; reboot", NULL },
		{ "ssh -W '[%h]:%p' -oX=y", NULL },
		{ "ssh -W '[%h]:%p'", NULL },
		{ "ssh -l", NULL },
		{ "nc %h %p", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *jumps = remote_jumps(cases[i].command);

		if (cases[i].jumps == NULL) {
			if (jumps != NULL)
				fail_msg("%s: %s", cases[i].command, jumps);
			continue;
		}
		assert_non_null(jumps);
		assert_string_equal(jumps, cases[i].jumps);
	}
}

static void expect_argv(char **argv, const char *words)
{
	char line[512] = "";

	for (int i = 0; argv[i] != NULL; i++)
		(void)snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s",
			       i > 0 ? " " : "", argv[i]);
	assert_string_equal(line, words);
	free(argv);
}

/* Sequentially: the last one connects to the host. */
static void test_jump_commands(void **state)
{
	(void)state;
	expect_argv(remote_jump_argv("j", "mx1", 22, NULL),
		    "ssh -o BatchMode=yes -W [mx1]:22 -- ssh://j");
	expect_argv(remote_jump_argv("u@j1:23,j2,w@j3:5", "::1", 2222, "/c f"),
		    "ssh -o BatchMode=yes -F /c f -J u@j1:23,j2 -W [::1]:2222 -- ssh://w@j3:5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_wrong_addresses),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test_setup_teardown(test_names, make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_default, make_home, remove_home),
		cmocka_unit_test(test_jumps),
		cmocka_unit_test(test_jump_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
