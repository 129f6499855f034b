/* save - one call under way; writing a page takes well under a millisecond on any disk's cache. */
#include "view/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proto/proto.h"
#include "shell/shell.h"

#define SAVE_MAGIC 0x53617665u

struct save {
	uint32_t magic;
	struct save_options o;
	char *path;
	FILE *file;
	uint64_t call;
	int64_t rows;
};

static bool is_column(const struct save *s, const struct field_def *f)
{
	return strcmp(f->entity, s->o.entity) == 0 && f->kind != FK_OBJECT;
}

/* Tabs and what else would break a line become blanks; numbers and times stay as they are. */
static void put_value(FILE *file, const json_t *v)
{
	if (json_is_string(v)) {
		for (const char *c = json_string_value(v); *c != '\0'; c++)
			(void)putc((unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c, file);
	} else if (json_is_integer(v)) {
		(void)fprintf(file, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		(void)fprintf(file, "%g", json_real_value(v));
	} else if (json_is_boolean(v)) {
		(void)fputs(json_is_true(v) ? "true" : "false", file);
	}
}

static void put_line(const struct save *s, const json_t *row)
{
	int n = 0;

	for (size_t i = 0; i < field_defs_n; i++) {
		const char *name = field_defs[i].name;

		if (!is_column(s, &field_defs[i]))
			continue;
		if (n == 0 && strcmp(s->o.entity, "queue") == 0)
			name = s->o.key;
		if (n++ > 0)
			(void)putc('\t', s->file);
		if (row == NULL)
			(void)fputs(name, s->file);
		else
			put_value(s->file, json_object_get(row, name));
	}
	(void)putc('\n', s->file);
}

static void finish(struct save *s, const char *trouble)
{
	char count[FMT_TIME_LEN];
	bool bad = s->file != NULL && ferror(s->file) != 0;

	bad = (s->file != NULL && fclose(s->file) != 0) || bad;
	s->file = NULL;
	fmt_count((uint64_t)s->rows, count);
	if (trouble == NULL && bad)
		trouble = "it could not be written";
	if (trouble != NULL)
		shell_notice(s->o.app->shell, NOTICE_BAD, "%s ends after %s rows: %s", s->path,
			     count, trouble);
	else
		shell_notice(s->o.app->shell, NOTICE_INFO, "%s rows written to %s", count, s->path);
}

static void on_page(void *arg, const json_t *result, const struct err *err);

static void ask(struct save *s, const char *cursor)
{
	json_t *params = json_copy(s->o.params);

	if (!s->o.whole)
		(void)json_object_set_new(params, "limit", json_integer(PROTO_PAGE_MAX));
	if (cursor != NULL)
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	s->call = rpc_call(s->o.app->rpc, s->o.method, params, on_page, s);
}

static void on_page(void *arg, const json_t *result, const struct err *err)
{
	struct save *s = OBJ(save, SAVE_MAGIC, arg);
	const char *next = json_string_value(json_object_get(result, "next"));
	size_t i;
	json_t *row;

	s->call = 0;
	json_array_foreach(json_object_get(result, "rows"), i, row)
	{
		put_line(s, row);
		s->rows++;
	}
	if (result == NULL)
		finish(s, err->msg);
	else if (next == NULL || ferror(s->file) != 0)
		finish(s, NULL);
	else if (s->rows >= SAVE_ROWS_MAX)
		finish(s, "there are more than one file takes");
	else
		ask(s, next);
}

int save_new(const struct save_options *o, struct str path, struct save **ret_save, struct err *err)
{
	struct save *s = xcalloc(1, sizeof(*s));
	int fd;

	s->magic = SAVE_MAGIC;
	s->o = *o;
	s->path = xstrndup(path.p, path.n);
	fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 || (s->file = fdopen(fd, "w")) == NULL) {
		int result = err_sys(err, errno, "%s", s->path);

		save_free(&s);
		return result;
	}
	put_line(s, NULL);
	ask(s, NULL);
	*ret_save = s;
	return 0;
}

void save_free(struct save **sp)
{
	struct save *s = *sp;

	if (s == NULL)
		return;
	rpc_cancel(s->o.app->rpc, &s->call);
	if (s->file != NULL)
		(void)fclose(s->file);
	json_decref(s->o.params);
	free(s->path);
	free(s);
	*sp = NULL;
}
