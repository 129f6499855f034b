/* The configuration file: what is read, what is refused and with which words. */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static int load(const char *text, struct conf **ret, struct err *err)
{
	char path[] = "/tmp/weir-conf-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	int got = conf_load(path, ret, err);
	(void)unlink(path);
	return got;
}

static const char whole[] = "hostname = \"relay.example.net\"\n"
			    "state-dir = \"/tmp/x\"\n"
			    "control {\n\tsocket = \"/tmp/s\"\n\tmode = \"0600\"\n}\n"
			    "listen submission {\n\taddress = \"[::1]:2525\"\n\tauth = "
			    "\"optional\" loopback-auth = yes\n}\n"
			    "listen second { address = \"127.0.0.1:25\" }\n"
			    "dns { servers = {\"127.0.0.1:5353\"} }\n"
			    "delivery { port = 2526 }\n"
			    "queue { retry-first = \"30s\" lifetime = \"2d\" }\n"
			    "limits { message-size = \"1M\" }\n"
			    "role operator { groups = {\"mailops\", \"oncall\"} }\n";

static void check_whole(const struct conf *c)
{
	assert_string_equal(c->hostname, "relay.example.net");
	assert_int_equal(c->control_mode, 0600);
	assert_int_equal(c->listen_n, 2);
	assert_string_equal(c->listen[0].name, "submission");
	assert_string_equal(c->listen[0].address, "[::1]:2525");
	assert_int_equal(c->listen[0].auth, CONF_AUTH_OPTIONAL);
	assert_int_equal(c->listen[0].loopback_auth, 1);
	assert_int_equal(c->listen[1].loopback_auth, 0);
	assert_string_equal(c->dns_servers.v[0], "127.0.0.1:5353");
	assert_int_equal(c->delivery_port, 2526);
	assert_int_equal(c->retry_first_s, 30);
	assert_int_equal(c->lifetime_s, 172800);
	assert_int_equal(c->message_size, 1 << 20);
	assert_int_equal(c->roles[CONF_OPERATOR].groups.n, 2);
	assert_string_equal(c->roles[CONF_OPERATOR].groups.v[1], "oncall");
	assert_int_equal(c->roles[CONF_ADMIN].users.n, 0);
	assert_int_equal(c->undo_window_s, 600); /* a default */
}

static void test_read(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = NULL;
	struct err err = ERR_INIT;
	if (load(whole, &c, &err) < 0)
		fail_msg("%s", err.msg);
	check_whole(c);
}

/* What is printed is read again as the same. */
static void test_print(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = NULL;
	AUTO(conf) struct conf *again = NULL;
	AUTO_BUF out = BUF_INIT(1 << 16);
	struct err err = ERR_INIT;
	assert_true(load(whole, &c, &err) >= 0);
	assert_true(conf_print(c, &out));
	if (load(buf_cstr(&out), &again, &err) < 0)
		fail_msg("%s\n%s", err.msg, buf_cstr(&out));
	check_whole(again);
}

#define HOST "hostname = \"r.example\"\n"
static const struct {
	const char *text;
	const char *line;
	const char *says;
} bad[] = {
	{ "state-dir = \"/x\"\n", "", "hostname is missing" },
	{ HOST "stat-dir = \"/x\"\n", ":2: ", "unknown key stat-dir; did you mean state-dir?" },
	{ HOST "\n\ncontrol {\n\tsokcet = \"/x\"\n}\n",
	  ":5: ", "unknown key sokcet in section control; did you mean socket?" },
	{ HOST "contrl { }\n", ":2: ", "did you mean control?" },
	{ HOST "zzzzzzzz = 1\n", ":2: ", "weir-relayd -n" },
	{ HOST "delivery { port = 99999 }\n", ":2: ", "1 to 65535 is possible" },
	{ HOST "delivery { port = \"smtp\" }\n", ":2: ", "a number is expected" },
	{ HOST "queue { lifetime = \"soon\" }\n", ":2: ", "a time such as" },
	{ HOST "limits { message-size = \"big\" }\n", ":2: ", "a size such as" },
	{ HOST "control { mode = \"rw\" }\n", ":2: ", "octal" },
	{ HOST "control { mode = \"7777\" }\n", ":2: ", "0 to 777 is possible" },
	{ HOST "listen a { address = \"127.0.0.1:1\" tls = \"maybe\" }\n",
	  ":2: ", "none, starttls or implicit" },
	{ HOST "listen a { address = \"nonsense\" }\n", ":2: ", "address = \"nonsense\": " },
	{ HOST "dns {\n\tservers = { \"127.0.0.1:53\", \"localhost\" }\n}\n",
	  ":3: ", "servers = \"localhost\": " },
	{ HOST "listen a { }\n", "", "has no address" },
	{ HOST "listen a { address = \"127.0.0.1:1\" tls = \"starttls\" }\n", "",
	  "needs a certificate" },
	{ HOST "listen a { address = \"127.0.0.1:1\" auth = \"required\" }\n", "",
	  "never offered" },
	{ HOST "listen a { address = \"127.0.0.1:1\" loopback-auth = \"maybe\" }\n",
	  ":2: ", "yes or no" },
	{ HOST "listen a { address = \"127.0.0.1:1\" proxy = {\"10.0.0.0/8\", \"0.0.0.0/0\"} }\n",
	  ":2: ", "that is everybody" },
	{ HOST "listen a { address = \"127.0.0.1:1\" proxy = {\"10.0.0.1/8\"} }\n",
	  ":2: ", "10.0.0.0/8" },
	{ HOST "role king { }\n", "", "there are viewer, operator and admin" },
	{ HOST "queue { retry-first = \"2h\" retry-max = \"1h\" }\n", "", "shorter than" },
	{ HOST "tls { key = \"/x\" }\n", "", "belong together" },
	{ HOST "control {\n", "", "section control is not closed" },
	{ "hostname \"x\"\n", ":1: ", "" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
		AUTO(conf) struct conf *c = NULL;
		struct err err = ERR_INIT;
		if (load(bad[k].text, &c, &err) != -ERR_CONFIG)
			fail_msg("row %zu was not refused as it should: %s", k, err.msg);
		if (strstr(err.msg, bad[k].says) == NULL || strstr(err.msg, bad[k].line) == NULL)
			fail_msg("row %zu: %s", k, err.msg);
	}
}

static void test_no_file(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(conf_load("/nonexistent/weir.conf", &c, &err), -ERR_IO);
	assert_non_null(strstr(err.msg, "/nonexistent/weir.conf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
