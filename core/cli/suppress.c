/*
 * suppress - the suppression list as a file: imported in pieces, described, and committed as one
 * change; and written out.
 *
 * Calls follow each other; a piece is as much as one call takes, so that a hundred thousand lines
 * are some two hundred calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define PIECE_LINES (PROTO_STRINGS_MAX / 2)
#define PIECE_BYTES (PROTO_REQUEST_MAX / 4) /* JSON may need more for them */
#define LINE_MAX PROTO_STRING_MAX
#define WRONG_SHOWN 20	 /* lines that could not be read, for people on a terminal */
#define WRONG_MAX 100000 /* and for all others */
#define TYPE_ABOVE 1000	 /* entries, from which on their number is typed */

struct upload {
	struct cli *c;
	const struct args *a;
	const char *path;
	int fd;
	bool ended;
	struct buf in;
	json_t *lines;
	size_t bytes;
	char *id;      /* NULL: nothing was brought yet */
	json_t *plan;  /* the last answer */
	json_t *wrong; /* of all answers */
};

static void upload_done(struct upload *u)
{
	if (u->fd > STDERR_FILENO)
		(void)close(u->fd);
	buf_done(&u->in);
	json_decref(u->lines);
	json_decref(u->plan);
	json_decref(u->wrong);
	free(u->id);
}

static int upload_open(struct upload *u, struct err *err)
{
	bool own = strcmp(u->path, "-") != 0;

	u->fd = own ? open(u->path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (u->fd < 0)
		return err_param(err, ERR_IO, "upload", "%s: %s", u->path, strerrorname_np(errno));
	u->in = BUF_INIT(2 * PIECE_BYTES + 2 * LINE_MAX);
	u->lines = json_array();
	u->wrong = json_array();
	return 0;
}

/* Brings the lines that wait; what comes back describes all so far. */
static int upload_send(struct upload *u, bool drop, struct err *err)
{
	json_t *params = json_pack("{s:O}", "lines", u->lines);
	json_t *answer = NULL;
	json_t *one;
	size_t i;
	int rc;

	if (u->id != NULL)
		(void)json_object_set_new(params, "upload", json_string(u->id));
	else if (cli_has(u->a->params, "stream"))
		(void)json_object_set(params, "stream", json_object_get(u->a->params, "stream"));
	if (drop)
		(void)json_object_set_new(params, "drop", json_true());
	rc = talk_call(u->c, method_defs[M_SUPPRESS_LOAD].name, params, &answer, err);
	(void)json_array_clear(u->lines);
	u->bytes = 0;
	if (rc < 0)
		return rc;
	if (u->id == NULL)
		u->id = xstrdup(json_get_str(answer, "upload"));
	json_array_foreach(json_object_get(answer, "wrong"), i, one)
	{
		if (json_array_size(u->wrong) < WRONG_MAX)
			(void)json_array_append(u->wrong, one);
	}
	json_decref(u->plan);
	u->plan = answer;
	return 0;
}

/* A NUL cannot travel in it; the relay says what is wrong with the rest. */
static json_t *line_json(struct str line)
{
	AUTO_BUF clean = BUF_INIT(LINE_MAX);
	bool cut = line.n > LINE_MAX / 4; /* each byte may become three */

	for (size_t i = 0; i < line.n && !cut; i++)
		(void)buf_putc(&clean, line.p[i] != '\0' ? line.p[i] : '\x01');
	return cut ? json_string("\x01 the line is too long") : json_text(buf_str(&clean));
}

static int take_line(struct upload *u, struct str line, struct err *err)
{
	(void)json_array_append_new(u->lines, line_json(line));
	u->bytes += line.n + 8;
	return json_array_size(u->lines) >= PIECE_LINES || u->bytes >= PIECE_BYTES
		       ? upload_send(u, false, err)
		       : 0;
}

/* All whole lines that have been read, and at the file's end the last one. */
static int take_lines(struct upload *u, struct err *err)
{
	struct str rest = buf_str(&u->in);
	int rc = 0;

	while (rc >= 0 && rest.n > 0) {
		ptrdiff_t end = str_index(rest, '\n');
		if (end < 0 && !u->ended && rest.n < PIECE_BYTES)
			break;
		size_t n = end >= 0 ? (size_t)end : rest.n;
		rc = take_line(u, str_from(rest.p, n), err);
		rest = str_from(rest.p + n + (end >= 0), rest.n - n - (end >= 0));
	}
	buf_drop(&u->in, u->in.n - rest.n);
	return rc;
}

static int upload_all(struct upload *u, struct err *err)
{
	int rc = 0;

	while (rc >= 0 && !u->ended) {
		ssize_t got = -1;
		if (buf_reserve(&u->in, PIECE_BYTES))
			got = read(u->fd, u->in.p + u->in.n, PIECE_BYTES);
		if (got < 0)
			return err_sys(err, errno, "%s", u->path);
		u->in.n += (size_t)got;
		u->ended = got == 0;
		rc = take_lines(u, err);
	}
	if (rc >= 0 && (json_array_size(u->lines) > 0 || u->id == NULL))
		rc = upload_send(u, false, err);
	return rc;
}

/* --- what would be done ----------------------------------------------------------------------- */

static void put_count(const struct out *o, struct buf *b, const json_t *plan, const char *name,
		      const char *what)
{
	char count[FMT_TIME_LEN];

	if (json_get_int(plan, name) == 0)
		return;
	fmt_count((uint64_t)json_get_int(plan, name), count);
	out_style(o, b, OUT_HEAD, true);
	(void)buf_printf(b, "%12s", count);
	out_style(o, b, OUT_HEAD, false);
	(void)buf_printf(b, "  %s\n", what);
}

/* Lines that have an address, or should have one: neither empty ones nor the names of fields. */
static void put_rows(const struct upload *u, struct buf *b)
{
	static const char *const kinds[] = { "new", "already", "twice", "unread" };
	json_t *all = json_object();
	int64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		n += json_get_int(u->plan, kinds[i]);
	(void)json_object_set_new(all, "n", json_integer(n));
	put_count(&u->c->out, b, all, "n", n == 1 ? "entry in the file" : "entries in the file");
	json_decref(all);
}

static void put_plan(struct upload *u, struct buf *b)
{
	const struct out *o = &u->c->out;

	put_rows(u, b);
	put_count(o, b, u->plan, "new", "would come on the list");
	put_count(o, b, u->plan, "domains", "of these are whole domains");
	put_count(o, b, u->plan, "already", "are on the list already and stay as they are");
	put_count(o, b, u->plan, "twice", "say again what an earlier line said");
	put_count(o, b, u->plan, "unread", "could not be read");
	change_put_warnings(o, b, json_object_get(u->plan, "warnings"));
}

static void put_wrong(const struct upload *u)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	size_t max = isatty(STDERR_FILENO) == 1 ? WRONG_SHOWN : WRONG_MAX;
	const json_t *one;
	size_t i;

	json_array_foreach(u->wrong, i, one)
	{
		if (i == max) {
			(void)buf_printf(&b, "… and %zu more; 2>FILE takes all of them\n",
					 (size_t)json_get_int(u->plan, "unread") - max);
			break;
		}
		(void)buf_printf(&b, "%s:%lld: ", u->path, (long long)json_get_int(one, "line"));
		out_clean(&u->c->out, &b, str_of(json_get_str(one, "error")));
		(void)buf_puts(&b, ": ");
		out_clean(&u->c->out, &b, str_of(json_get_str(one, "text")));
		(void)buf_putc(&b, '\n');
		(void)fwrite(b.p, 1, b.n, stderr);
		buf_reset(&b);
	}
	(void)fwrite(buf_cstr(&b), 1, b.n, stderr);
}

static void show(struct upload *u)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);

	put_plan(u, &b);
	cli_print(u->c, &b);
}

static json_t *with_wrong(const struct upload *u, json_t *answer)
{
	if (json_array_size(json_object_get(u->plan, "warnings")) > 0)
		(void)json_object_set(answer, "warnings", json_object_get(u->plan, "warnings"));
	(void)json_object_set(answer, "wrong", u->wrong);
	(void)json_object_set(answer, "unread", json_object_get(u->plan, "unread"));
	return answer;
}

static int commit(struct upload *u, struct err *err)
{
	json_t *params = json_pack("{s:s}", "upload", u->id);
	json_t *done = NULL;
	int rc;

	(void)json_object_set(params, "reason", json_object_get(u->a->params, "reason"));
	rc = talk_call(u->c, u->a->m->name, params, &done, err);
	if (rc >= 0)
		change_print(u->c, u->a, with_wrong(u, done));
	json_decref(done);
	return rc < 0 ? rc : 0;
}

static bool ask(struct upload *u)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	int64_t n = json_get_int(u->plan, "new");

	if (n > TYPE_ABOVE)
		(void)buf_puts(&b, "Type the number of new entries to import them: ");
	else
		(void)buf_puts(&b, "Do you want to import them? [y/N] ");
	return change_ask(u->c, buf_cstr(&b), n > TYPE_ABOVE ? n : 0);
}

static int decide(struct upload *u, struct err *err)
{
	const struct args *a = u->a;
	struct err ignored = ERR_INIT;
	int rc = 0;

	if (a->own[OWN_PLAN] != NULL && u->c->json)
		cli_print_json(u->c, with_wrong(u, u->plan));
	else if (!u->c->json)
		show(u);
	if (a->own[OWN_PLAN] == NULL && json_get_int(u->plan, "new") == 0)
		rc = err_set(err, ERR_UNKNOWN, "there is nothing to import in it");
	else if (a->own[OWN_PLAN] == NULL && a->own[OWN_YES] == NULL && !ask(u))
		rc = err_set(err, ERR_CANCELLED, "nothing was changed");
	else if (a->own[OWN_PLAN] == NULL)
		return commit(u, err);
	(void)upload_send(u, true, &ignored);
	return rc;
}

int run_import(struct cli *c, const struct args *a, struct err *err)
{
	struct upload u = { .c = c, .a = a, .path = json_get_str(a->params, "upload"), .fd = -1 };
	int rc;

	if (a->own[OWN_PLAN] == NULL && a->own[OWN_YES] == NULL &&
	    (!change_can_ask(c) || strcmp(u.path, "-") == 0))
		return err_param(err, ERR_INVALID, "yes",
				 "%s is not done without being asked about: --yes says it is "
				 "meant, --plan shows what it would do",
				 a->m->cli);
	rc = upload_open(&u, err);
	if (rc >= 0)
		rc = upload_all(&u, err);
	if (rc >= 0 && !c->json)
		put_wrong(&u);
	if (rc >= 0)
		rc = decide(&u, err);
	upload_done(&u);
	return rc < 0 ? rc : 0;
}

/* --- export ----------------------------------------------------------------------------------- */

static void put_field(struct buf *b, const json_t *row, const char *name, bool last)
{
	const char *text = json_get_str(row, name);
	bool quote = strpbrk(text, "\",;\t\r\n#") != NULL;

	if (quote)
		(void)buf_putc(b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			(void)buf_putc(b, '"');
		(void)buf_putc(b, (unsigned char)*text < ' ' ? ' ' : *text);
	}
	(void)buf_puts(b, quote ? "\"" : "");
	(void)buf_putc(b, last ? '\n' : ',');
}

static const char *const exported[] = {
	"address", "stream", "reason", "source", "by", "created_at", "expires_at", "message",
};

static void put_page(struct cli *c, const json_t *rows)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) for (size_t f = 0; f < ARRAY_LEN(exported); f++)
		put_field(&b, row, exported[f], f + 1 == ARRAY_LEN(exported));
	cli_print(c, &b);
}

static void put_head(struct cli *c)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);

	for (size_t f = 0; f < ARRAY_LEN(exported); f++)
		(void)buf_printf(&b, "%s%s", f > 0 ? "," : "", exported[f]);
	(void)buf_putc(&b, '\n');
	cli_print(c, &b);
}

int verb_suppress_export(struct cli *c, const struct args *a, struct err *err)
{
	json_t *params = json_copy(a->params);
	bool more = true;
	int rc = 0;

	if (c->json)
		rc = err_param(err, ERR_INVALID, "json",
			       "it is written as CSV; weir --json suppress list gives JSON");
	(void)json_object_set_new(params, "limit", json_integer(PROTO_PAGE_MAX));
	for (bool first = true; rc >= 0 && more; first = false) {
		json_t *page = NULL;
		rc = talk_call(c, method_defs[M_SUPPRESS_LIST].name, json_copy(params), &page, err);
		if (rc >= 0 && first)
			put_head(c);
		if (rc >= 0)
			put_page(c, json_object_get(page, "rows"));
		more = rc >= 0 && cli_has(page, "next");
		if (more)
			(void)json_object_set(params, "cursor", json_object_get(page, "next"));
		json_decref(page);
	}
	json_decref(params);
	return rc < 0 ? rc : 0;
}
