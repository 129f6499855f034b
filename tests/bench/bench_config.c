/*
 * bench_config - how long configuration as text holds the loop.
 *
 *     bench_config [KIB [KIND]]
 *
 * Imports a text of that size (2950 KiB; allow, route, cred or key, else some of each) into an
 * empty relay, plans it before, exports it, imports another one and takes that back. Prints for
 * each the time to its answer and the longest turn of the loop meanwhile, in CPU time (several
 * callbacks may fall into one).
 */
#include "unit/ctl/ops_rig.h"

#define PIECE ((size_t)96 << 10)
#define KINDS 4

static int64_t began_us;

static void begin(void)
{
	rig.longest_us = 0;
	began_us = loop_clock_us();
}

static void end(const char *what)
{
	(void)printf("%-28s %8.1f ms, longest turn %6.1f ms\n", what,
		     (double)(loop_clock_us() - began_us) / 1e3, (double)rig.longest_us / 1e3);
	(void)fflush(stdout);
}

static void put_item(struct buf *b, int kind, unsigned i, const char *word)
{
	static const char *const forms[KINDS] = {
		"\nallow \"10.%u.%u.%u\" {\n\tmode = \"relay\"\n\tnote = \"host %u %s\"\n}\n",
		"\nroute {\n\tmatch = \"domain:d%u-%u-%u.example\"\n\tto = \"discard\"\n"
		"\ttls = \"opportunistic\"\n\tnote = \"%u %s\"\n}\n",
		"\ncredential \"app%u-%u-%u\" {\n\tsender = \"shop%u.example\"\n\tnote = "
		"\"%s\"\n}\n",
		"\nkey \"shop%u-%u-%u.example/s1\" {\n\tstate = \"%5$s\"\n\tpublic = \"v=DKIM1; "
		"k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%4$08x\"\n}\n",
	};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)buf_printf(b, forms[kind], i >> 16, i >> 8 & 255, i & 255, i, word);
#pragma GCC diagnostic pop
}

static void make(struct buf *b, size_t size, int only, bool other)
{
	static const unsigned most[KINDS] = { 100000, 10000, 10000, 100000 };

	(void)buf_puts(b, "format = 1\ncontains = \"routes, allowlist, credentials, keys\"\n");
	for (unsigned i = 0; b->n < size && i < (only < 0 ? UINT32_MAX : most[only]); i++)
		for (int k = 0; k < KINDS && b->n < size; k++)
			if ((only < 0 || only == k) && i < most[k])
				put_item(b, k, i,
					 k == 3	 ? other ? "retired" : "active"
					 : other ? "ONE"
						 : "one");
}

/* Answered or refused; in both cases it is over. */
static json_t *ask(const char *method, json_t *params_take)
{
	AUTO_FREE char *text = json_dumps(params_take, JSON_COMPACT);
	AUTO_BUF line = BUF_INIT((size_t)PROTO_REQUEST_MAX * 2);
	size_t done = 0;

	json_decref(params_take);
	(void)buf_printf(&line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}\n",
			 ++rig.last_id, method, text);
	while (done < line.n) {
		ssize_t n = send(rig.fd, line.p + done, line.n - done, MSG_NOSIGNAL);
		done += n > 0 ? (size_t)n : 0;
		rig_real_turn();
	}
	return rig_answer(rig.last_id);
}

static char *bring(struct str *rest)
{
	char *upload = NULL;

	while (rest->n > PIECE) {
		json_t *p = json_pack("{s:s%}", "text", rest->p, PIECE);
		json_t *answer;
		if (upload != NULL)
			(void)json_object_set_new(p, "upload", json_string(upload));
		answer = ask("config.load", p);
		assert_non_null(answer);
		free(upload);
		upload = json_dup_str(answer, "upload");
		json_decref(answer);
		*rest = str_from(rest->p + PIECE, rest->n - PIECE);
	}
	return upload;
}

static void import(const char *what, const struct buf *text, bool plan)
{
	struct str rest = buf_str(text);
	json_t *answer, *params;
	char *upload;

	begin();
	upload = bring(&rest);
	params = json_pack("{s:s%, s:s*}", "text", rest.p, rest.n, "upload", upload);
	if (!plan)
		(void)json_object_set_new(params, "reason", json_string("bench"));
	else
		params = json_pack("{s:s, s:o}", "method", "config.import", "params", params);
	answer = ask(plan ? "plan.make" : "config.import", params);
	if (answer == NULL)
		fail_msg("%s: %s", what, rig.err.msg);
	end(what);
	json_decref(answer);
	free(upload);
}

static void measure(const char *what, const char *method)
{
	json_t *answer;

	begin();
	answer = ask(method, json_object());
	if (answer == NULL)
		(void)printf("%s\n", rig.err.msg);
	end(what);
	json_decref(answer);
}

/* What goes on behind an answer. */
static void settle(void)
{
	begin();
	while (loop_clock_us() - began_us < 1500000)
		rig_real_turn();
	end("  afterwards");
}

int main(int argc, char **argv)
{
	static const char *const names[KINDS] = { "allow", "route", "cred", "key" };
	AUTO_BUF one = BUF_INIT(PROTO_CONFIG_MAX);
	AUTO_BUF other = BUF_INIT(PROTO_CONFIG_MAX);
	size_t kib = argc > 1 ? strtoul(argv[1], NULL, 10) : 2950;
	int only = -1;
	void *state = NULL;

	for (int k = 0; k < KINDS && argc > 2; k++)
		if (strcmp(names[k], argv[2]) == 0)
			only = k;
	rig.real_clock = true;
	if (rig_setup(&state) != 0)
		return 1;
	rig_close();
	rig.real_clock = true;
	rig_open();
	make(&one, kib << 10, only, false);
	make(&other, kib << 10, only, true);
	import("import --plan", &one, true);
	settle();
	import("import", &one, false);
	settle();
	measure("export", "config.export");
	settle();
	import("import, all different", &other, false);
	settle();
	measure("undo", "action.undo");
	settle();
	return rig_teardown(&state);
}
