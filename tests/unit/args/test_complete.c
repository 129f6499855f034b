/* What is offered behind a half-written command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "args/args.h"
#include "base/mem.h"
#include "args/complete.h"

struct offers {
	struct buf text; /* the words, each behind a '|' */
	char asked[200]; /* of the relay */
};

static void on_offer(void *arg, const char *word, const char *help, bool more)
{
	struct offers *o = arg;

	(void)help;
	(void)buf_printf(&o->text, "|%s%s", word, more ? "+" : "");
}

static void on_list(void *arg, struct complete *to, enum method_id method, const char *field,
		    const char *by, const char *where)
{
	struct offers *o = arg;

	(void)snprintf(o->asked, sizeof(o->asked), "%s %s %s %s", method_defs[method].name, field,
		       by != NULL ? by : "-", where != NULL ? where : "-");
	complete_known(to, "gmail.com", "");
	complete_known(to, "other.example", "");
}

static void on_relays(void *arg, struct complete *to)
{
	(void)arg;
	complete_known(to, "mx1", "");
}

static void test_words(void **state)
{
	static const struct {
		const char *line;
		const char *has; /* among what is offered; "" nothing at all */
		const char *has_not;
		const char *asked;
	} cases[] = {
		{ "weir ", "|status|queue", "|complete", "" },
		{ "weir st", "|status|stream|stdio", "|queue", "" },
		{ "weir al", "|allow", "|allow list", "" },
		{ "weir allow ", "|list|add|set|remove|test", "|status", "" },
		{ "weir allow r", "|remove", "|add", "" },
		{ "weir fl", "|flush", "|retry", "" },
		{ "weir --j", "|--json", "|--reason", "" },
		{ "weir --json ho", "|hold|holds", "", "" },
		{ "weir -r ", "|mx1", "|status", "" },
		{ "weir -r mx1 sta", "|status", "|mx1", "" },
		{ "weir status -r m", "|mx1", "|status", "" },
		{ "weir hold ", "|domain:+|provider:+", "|--reason", "" },
		{ "weir hold do", "|domain:+", "|all", "" },
		{ "weir hold --reason x a", "|all", "|domain:", "" },
		{ "weir hold domain:g", "|domain:gmail.com", "other.example",
		  "queue.list domain domain domain:g*" },
		{ "weir hold domain:", "|domain:gmail.com|domain:other.example", "|domain:domain",
		  "queue.list domain domain -" },
		{ "weir hold all --", "|--for|--keep-expiry|--reason|--where|--plan|--yes|--json",
		  "|--limit", "" },
		{ "weir hold all --reason r --r", "|--relay", "|--reason", "" },
		{ "weir hold all --for ", "|1h", "|--", "" },
		{ "weir hold all --for=1", "|--for=10m|--for=1h", "", "" },
		{ "weir hold all --reason ", "", "", "" },
		{ "weir release --hold g", "|gmail.com", "|other", "hold.list id - -" },
		{ "weir messages --sort ", "|id|age|next|size|attempts", "", "" },
		{ "weir messages --sort=a", "|--sort=age|--sort=attempts", "", "" },
		{ "weir messages --where st", "|state:+|stream:+", "|to:", "" },
		{ "weir messages --where 'to:x state:d", "|to:x state:deferred", "|state:ready",
		  "" },
		{ "weir messages --where 'to:x domain:g", "|to:x domain:gmail.com", "",
		  "queue.list domain domain domain:g*" },
		{ "weir queue --by p", "|provider", "|domain", "" },
		{ "weir route add --to s", "|smarthost:+", "|mx", "" },
		{ "weir undo ", "|gmail.com", "", "action.list action - -" },
		{ "weir completion ", "|bash|zsh|fish", "", "" },
		{ "weir help rel", "|release", "|status", "" },
		{ "weir frobnicate ", "", "", "" },
		{ "weir show --", "|--raw|--headers", "|--follow", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct offers o = { .text = BUF_INIT(100000) };
		struct complete_source source = { on_offer, on_list, on_relays, &o };
		const char *words[ARGS_SPLIT_MAX];
		AUTO_BUF text = BUF_INIT(1000);
		bool quoted;
		size_t n = args_split(str_of(cases[i].line), &text, words, &quoted);

		complete_words(n - 1, words + 1, &source);
		if (strstr(buf_cstr(&o.text), cases[i].has) == NULL ||
		    (*cases[i].has == '\0' && o.text.n > 0) ||
		    (*cases[i].has_not != '\0' &&
		     strstr(buf_cstr(&o.text), cases[i].has_not) != NULL) ||
		    strcmp(o.asked, cases[i].asked) != 0)
			fail_msg("%s: %s (asked %s)", cases[i].line, buf_cstr(&o.text), o.asked);
		buf_done(&o.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
