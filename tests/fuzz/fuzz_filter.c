/*
 * Any text as a filter, a target and half a filter: what is taken reads back as itself and becomes
 * SQL, what is refused is refused with a text and a column that lies in it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter.h"
#include "filter/filter_complete.h"
#include "filter/filter_sql.h"
#include "filter/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void to_sql(const struct filter *f)
{
	struct filter_columns map = { .now_ms = 1790000000000 };
	struct filter_binds binds = FILTER_BINDS_INIT;
	AUTO_BUF sql = BUF_INIT(FILTER_SQL_MAX);
	struct err err = ERR_INIT;
	size_t marks = 0;

	for (int k = 0; k < FILTER__COUNT; k++)
		map.expr[k] = "x";
	if (filter_sql(f, &map, &sql, &binds, &err) >= 0) {
		for (size_t i = 0; i < sql.n; i++)
			marks += sql.p[i] == '?';
		ASSERT(marks == binds.n);
	}
	filter_binds_done(&binds);
}

static void read_back(const struct filter *f)
{
	AUTO_BUF first = BUF_INIT(FILTER_TEXT_MAX);
	AUTO_BUF second = BUF_INIT(FILTER_TEXT_MAX);
	AUTO(filter) struct filter *again = NULL;
	struct err err = ERR_INIT;

	if (!filter_print(f, &first))
		return;
	again = filter_parse(buf_str(&first), &err);
	ASSERT(again != NULL && filter_print(again, &second));
	ASSERT(str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct filter_row row = FILTER_ROW_INIT(1790000000000);
	struct filter_completion *c = xcalloc(1, sizeof(*c));
	struct target target = TARGET_INIT;
	struct err err = ERR_INIT;
	AUTO(filter) struct filter *f = filter_parse(text, &err);

	if (f != NULL) {
		read_back(f);
		to_sql(f);
		(void)filter_eval(f, &row);
	} else {
		ASSERT(err.msg[0] != '\0' && err.column >= 0 && (size_t)err.column <= size + 1);
	}
	err = ERR_INIT;
	if (target_parse(text, &target, &err) < 0)
		ASSERT(err.msg[0] != '\0');
	target_done(&target);
	filter_complete(FILTER_MAIL, text, size / 2, c);
	ASSERT(c->from <= size && c->n <= FILTER_CANDIDATES_MAX);
	free(c);
	return 0;
}
