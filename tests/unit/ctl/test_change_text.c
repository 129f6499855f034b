/* What edits change, in the words and units of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/change_text.h"

/* ' for " */
static json_t *parsed(const char *text)
{
	AUTO_FREE char *copy = xstrdup(text);
	json_t *o;

	for (char *c = copy; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	o = json_loads(copy, JSON_DECODE_ANY, NULL);
	assert_non_null(o);
	return o;
}

static void test_words(void **state)
{
	static const struct {
		const char *kind, *before, *after, *text;
	} cases[] = {
		{ "cred", "{'networks':['10.0.0.0/8'],'iterations':4096}",
		  "{'networks':[],'iterations':8192}", "networks 10.0.0.0/8 -> all" },
		{ "cred", "{'per_day':0,'per_minute':5}", "{'per_day':10,'per_minute':0}",
		  "per-day no limit -> 10, per-minute 5 -> as all" },
		{ "cred", "null",
		  "{'name':'x','created_ms':1795599403019,'iterations':4096,'expires_ms':0,"
		  "'secrets':[{'id':'s1','created_ms':1795599403019,'expires_ms':0}]}",
		  "secrets s1" },
		{ "cred", "{'expires_ms':0}", "{'expires_ms':1795599403019}",
		  "until none -> 2026-11-25 09:36:43Z" },
		{ "stream", "{'delay_s':-1,'lifetime_s':0}", "{'delay_s':0,'lifetime_s':5400}",
		  "delay-warning as relayd.conf has it -> never, lifetime as relayd.conf has it -> "
		  "1h30m" },
		{ "stream", "null", "{'id':'x','delay_s':-1,'rate':0,'place':1.5,'priority':5}",
		  "priority 5" },
		{ "stream", "{'place':2.0,'rate':0}", "{'place':1.0,'rate':60}",
		  "place earlier, rate any -> 60" },
		{ "route", "{'match':'domain:a.example','pool':''}", "{'match':'','pool':'b'}",
		  "match domain:a.example -> all, pool none -> b" },
		{ "pool", "{'warmup_from_ms':1795599403019}", "{'warmup_from_ms':1795599463019}",
		  "warmup-from 2026-11-25 09:36:43Z -> 2026-11-25 09:37:43Z" },
		{ "dkim", "null", "{'domain':'a.example','secret':'e73ee8','public':'v=DKIM1'}",
		  "domain a.example" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF out = BUF_INIT(10000);
		json_t *before = parsed(cases[i].before);
		json_t *after = parsed(cases[i].after);

		change_text_put(&out, cases[i].kind, "x", before, after);
		assert_string_equal(buf_cstr(&out), cases[i].text);
		json_decref(before);
		json_decref(after);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
