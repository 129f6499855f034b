/*
 * Any bytes as a configuration: they are refused with a line that there is, or taken; and what was
 * taken and is written again is read as the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/obj.h"
#include "ctl/config_file.h"

#define TEXT_MAX ((size_t)1 << 22)

/* In steps that end anywhere. What was refused leaves nothing. */
static int read_all(struct str text, struct config_file *ret, struct err *err)
{
	struct config_reading *g = config_file_begin(text);
	int rc;

	do
		rc = config_file_step(g, 1 + text.n % 5, err);
	while (rc > 0);
	config_file_end(&g, ret);
	while (rc < 0 && config_file_drop(ret, 3))
		;
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_all(const struct config_file *f, struct buf *out)
{
	config_file_put_head(out, f->kinds);
	for (size_t i = 0; i < f->n; i++)
		config_file_put(out, f->v[i].kind, f->v[i].object);
}

static void check_refused(const struct err *err, const uint8_t *data, size_t size)
{
	int lines = 1, line = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	ASSERT(sscanf(err->msg, "line %d: ", &line) == 1);
	ASSERT(line <= lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF once = BUF_INIT(TEXT_MAX);
	AUTO_BUF twice = BUF_INIT(TEXT_MAX);
	struct config_file f, g;
	struct err err = ERR_INIT;

	if (read_all(str_from((const char *)data, size), &f, &err) < 0) {
		check_refused(&err, data, size);
		return 0;
	}
	put_all(&f, &once);
	if (!once.full && read_all(buf_str(&once), &g, &err) < 0)
		BUG("what was written cannot be read: %s", err.msg);
	if (!once.full) {
		ASSERT(f.n == g.n && f.kinds == g.kinds);
		for (size_t i = 0; i < f.n; i++)
			ASSERT(json_equal(f.v[i].object, g.v[i].object));
		put_all(&g, &twice);
		ASSERT(str_eq(buf_str(&once), buf_str(&twice)));
		while (config_file_drop(&g, 1))
			;
	}
	while (config_file_drop(&f, 7))
		;
	return 0;
}
