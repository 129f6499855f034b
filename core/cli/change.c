/*
 * change - verbs that change something: at once, or planned, shown, asked about and committed.
 *
 *	--plan					plan, show it, forget it
 *	a terminal, MF_CONFIRM, no --yes	plan, show it, ask, commit exactly that set
 *	no terminal, MF_CONFIRM, no --yes	refused
 *	otherwise				the method itself, once
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
#include "base/secret.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define TYPE_ABOVE 1000 /* recipients, from which on their number is typed */
#define ANSWER_MAX 256
#define CAREFUL_COLS 9 /* "Careful: " */

/* All of a file, or of standard input for "-"; owned. */
static int read_file(const struct param_def *p, const char *path, json_t **ret, struct err *err)
{
	size_t room = param_bytes(p) + 1;
	char *bytes;
	bool own = strcmp(path, "-") != 0;
	int fd = own ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	size_t n = 0;
	ssize_t got = 1;

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	bytes = xcalloc(1, room);
	while (got > 0 && n < room) {
		got = read(fd, bytes + n, room - n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		(void)err_sys(err, errno, "%s", path);
	if (own)
		(void)close(fd);
	*ret = got >= 0 && n < room && memchr(bytes, '\0', n) == NULL ? json_stringn(bytes, n)
								      : NULL;
	secret_wipe(bytes, room);
	free(bytes);
	if (got < 0)
		return -err->code;
	if (*ret == NULL)
		return err_param(err, ERR_INVALID, p->name,
				 "%s is no text, or longer than the %zu bytes that are taken", path,
				 room - 1);
	return 0;
}

/* The parameters, with what stands in files; owned. */
static int with_files(struct cli *c, const struct args *a, json_t **ret, struct err *err)
{
	const struct param_def *p;
	json_t *params = json_copy(a->params);
	json_t *text = NULL;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && (p = method_param_at(a->m, i)) != NULL; i++) {
		if (p->type != T_FILE || !cli_has(params, p->name))
			continue;
		rc = read_file(p, json_get_str(params, p->name), &text, err);
		if (rc >= 0)
			(void)json_object_set_new(params, p->name, text);
	}
	if (rc >= 0)
		rc = pieces_bring(c, a->m, params, err);
	if (rc < 0)
		json_decref(params);
	else
		*ret = params;
	return rc;
}

/* What plan.make takes: without the reason, which belongs to the commit. */
static int plan_params(struct cli *c, const struct args *a, json_t **ret, struct err *err)
{
	json_t *inner = NULL;
	int rc = with_files(c, a, &inner, err);

	if (rc < 0)
		return rc;
	(void)json_object_del(inner, "reason");
	*ret = json_pack("{s:s, s:o}", "method", a->m->name, "params", inner);
	return 0;
}

static void put_plural(struct buf *b, const struct out *o, int64_t n, const char *what)
{
	char count[FMT_TIME_LEN];

	if (o->tty)
		fmt_count(n > 0 ? (uint64_t)n : 0, count);
	else
		(void)snprintf(count, sizeof(count), "%lld", (long long)n);
	(void)buf_printf(b, "%s %s%s", count, what, n == 1 ? "" : "s");
}

static void put_undo(const struct out *o, struct buf *b, const json_t *done)
{
	char until[COLUMNS_SCRATCH];
	char left[FMT_SHORT_LEN];
	const char *undo_until = json_get_str(done, "undo_until_at");
	int64_t until_ms;

	if (!fmt_parse_time(str_of(undo_until), &until_ms))
		return;
	fmt_age((until_ms - cli_now_ms()) / 1000, left);
	(void)buf_puts(b, "Until ");
	(void)buf_put_str(b, columns_time(undo_until, until));
	(void)buf_printf(b, " (%s) it can be taken back: weir undo ", left);
	out_clean(o, b, str_of(json_get_str(done, "action")));
	(void)buf_putc(b, '\n');
}

void change_put_warnings(const struct out *o, struct buf *b, const json_t *warnings)
{
	const json_t *one;
	size_t i;

	json_array_foreach(warnings, i, one)
	{
		out_style(o, b, OUT_WARN, true);
		(void)buf_puts(b, "Careful: ");
		out_style(o, b, OUT_WARN, false);
		out_wrap_at(o, b, CAREFUL_COLS,
			    str_from(json_string_value(one), json_string_length(one)),
			    CAREFUL_COLS);
	}
}

/* Without ACTION one wants to know which it was. */
static void put_undone(const struct out *o, struct buf *b, const json_t *undone)
{
	static const char *const parts[] = { "action", "method", "target" };

	if (!json_is_object(undone))
		return;
	(void)buf_puts(b, "Taken back:");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		(void)buf_putc(b, ' ');
		out_clean(o, b, str_of(json_get_str(undone, parts[i])));
	}
	(void)buf_putc(b, '\n');
}

/* Lines of a zone file, unbroken: they are copied. */
static void put_publish(const struct out *o, struct buf *b, const json_t *lines)
{
	const json_t *one;
	size_t i;

	if (json_array_size(lines) > 0)
		(void)buf_puts(b, "To be published in DNS:\n");
	json_array_foreach(lines, i, one)
	{
		(void)buf_puts(b, "  ");
		out_clean(o, b, str_from(json_string_value(one), json_string_length(one)));
		(void)buf_putc(b, '\n');
	}
}

/* A secret is told this once. */
static void put_secret(const struct out *o, struct buf *b, const json_t *done)
{
	if (!cli_has(done, "secret"))
		return;
	(void)buf_puts(b, "Secret: ");
	out_style(o, b, OUT_HEAD, true);
	out_clean(o, b, str_of(json_get_str(done, "secret")));
	out_style(o, b, OUT_HEAD, false);
	(void)buf_puts(
		b, "\nIt is shown this once and kept nowhere: write it down where it is needed.\n");
}

/* What happens unless somebody says that it is good. */
static void put_probation(const struct out *o, struct buf *b, const json_t *p)
{
	char until[COLUMNS_SCRATCH];
	char left[FMT_SHORT_LEN];

	if (!json_is_object(p))
		return;
	fmt_age(json_get_int(p, "left_s"), left);
	out_style(o, b, OUT_WARN, true);
	(void)buf_puts(b, "On probation: ");
	out_style(o, b, OUT_WARN, false);
	(void)buf_puts(b, "taken back at ");
	(void)buf_put_str(b, columns_time(json_get_str(p, "until_at"), until));
	(void)buf_printf(b, " (%s) unless you say weir config confirm %lld\n", left,
			 (long long)json_get_int(p, "version"));
}

/* What the words of the command line named. */
static void put_named(const struct out *o, struct buf *b, const struct args *a)
{
	const struct param_def *p;

	for (size_t i = 0; (p = method_param_at(a->m, i)) != NULL; i++) {
		const json_t *v = json_object_get(a->params, p->name);

		if (!p->positional || v == NULL)
			continue;
		(void)buf_putc(b, ' ');
		if (json_is_integer(v))
			(void)buf_printf(b, "%lld", (long long)json_integer_value(v));
		else
			out_clean(o, b, str_of(json_get_str(a->params, p->name)));
	}
}

/* "hold domain:gmail.com: done, 3 recipients of 2 messages" */
static void put_done(const struct out *o, struct buf *b, const struct args *a, const json_t *done)
{
	const json_t *hold = json_object_get(done, "hold");
	char until[COLUMNS_SCRATCH];

	(void)buf_puts(b, a->m->cli);
	if (cli_has(done, "id")) {
		(void)buf_putc(b, ' ');
		out_clean(o, b, str_of(json_get_str(done, "id")));
	} else {
		put_named(o, b, a);
	}
	(void)buf_puts(b, ": done");
	if (cli_has(done, "added"))
		(void)buf_printf(b, ", %lld added, %lld changed, %lld removed",
				 (long long)json_get_int(done, "added"),
				 (long long)json_get_int(done, "changed"),
				 (long long)json_get_int(done, "removed"));
	else if (cli_has(done, "entries"))
		(void)buf_printf(b, ", entries: %lld", (long long)json_get_int(done, "entries"));
	else if ((a->m->flags & (MF_PLAN | MF_EDIT)) == MF_PLAN ||
		 json_get_int(done, "recipients") > 0) {
		(void)buf_puts(b, ", ");
		put_plural(b, o, json_get_int(done, "recipients"), "recipient");
		(void)buf_puts(b, " of ");
		put_plural(b, o, json_get_int(done, "messages"), "message");
	}
	if (json_get_int(done, "skipped") > 0) {
		(void)buf_puts(b, "; skipped, in delivery or changed meanwhile: ");
		put_plural(b, o, json_get_int(done, "skipped"), "recipient");
	}
	(void)buf_putc(b, '\n');
	if (json_is_object(hold)) {
		(void)buf_puts(b, "Hold ");
		out_clean(o, b, str_of(json_get_str(hold, "id")));
		if (cli_has(hold, "expires_at")) {
			(void)buf_puts(b, " ends ");
			(void)buf_put_str(b, columns_time(json_get_str(hold, "expires_at"), until));
			(void)buf_putc(b, '\n');
		} else {
			(void)buf_puts(b, " stays until it is released\n");
		}
	}
	put_undone(o, b, json_object_get(done, "undone"));
	put_secret(o, b, done);
	change_put_warnings(o, b, json_object_get(done, "warnings"));
	put_publish(o, b, json_object_get(done, "publish"));
	put_probation(o, b, json_object_get(done, "probation"));
	put_undo(o, b, done);
}

void change_print(struct cli *c, const struct args *a, const json_t *done)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);

	if (c->json) {
		cli_print_json(c, done);
		return;
	}
	put_done(&c->out, &b, a, done);
	cli_print(c, &b);
}

/* --- plans
 * ------------------------------------------------------------------------------------ */

/* Plans that stay open are in the way of others'. */
static void drop_plan(struct cli *c, const json_t *plan)
{
	json_t *result = NULL;
	struct err ignored = ERR_INIT;

	(void)!talk_call(c, method_defs[M_PLAN_DROP].name,
			 json_pack("{s:s}", "plan", json_get_str(plan, "plan")), &result, &ignored);
	json_decref(result);
}

/* The relay knows neither the reason nor the names of files. */
static void set_command(const struct args *a, json_t *plan)
{
	AUTO_BUF line = BUF_INIT(OUT_MAX);

	proto_put_command(&line, a->m, a->params);
	(void)json_object_set_new(plan, "command", json_text(buf_str(&line)));
}

/* What the relay would have to ask others for; it does not wait for that before it acts. */
static void add_warnings(struct cli *c, const struct args *a, json_t *answer)
{
	if (a->m == &method_defs[M_DKIM_ACTIVATE])
		check_warn_of_keys(c, a, answer);
}

static int make_plan(struct cli *c, const struct args *a, json_t **ret_plan, struct err *err)
{
	json_t *params = NULL;
	int rc = plan_params(c, a, &params, err);

	if (rc < 0)
		return rc;
	rc = talk_call(c, method_defs[M_PLAN_MAKE].name, params, ret_plan, err);
	if (rc < 0)
		return rc;
	set_command(a, *ret_plan);
	add_warnings(c, a, *ret_plan);
	return rc;
}

static int show_plan(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *plan = NULL;
	int rc = make_plan(c, a, &plan, err);

	if (rc < 0)
		return rc;
	if (c->json) {
		cli_print_json(c, plan);
	} else {
		plan_put(&c->out, &b, plan);
		cli_print(c, &b);
	}
	drop_plan(c, plan);
	json_decref(plan);
	return 0;
}

/* "12408", "12 408" */
static bool is_number(struct str typed, int64_t n)
{
	AUTO_BUF digits = BUF_INIT(ANSWER_MAX);
	uint64_t value;

	for (size_t i = 0; i < typed.n; i++)
		if (typed.p[i] != ' ')
			(void)buf_putc(&digits, typed.p[i]);
	return str_u64(buf_str(&digits), INT64_MAX, &value) && (int64_t)value == n;
}

bool change_ask(struct cli *c, const char *question, int64_t number)
{
	AUTO_BUF answer = BUF_INIT(ANSWER_MAX);
	struct str typed;

	(void)fputs(question, stderr);
	if (!talk_line(c, &answer))
		return false;
	typed = str_trim(buf_str(&answer));
	if (number > 0)
		return is_number(typed, number);
	return str_eq_nocase(typed, STR("y")) || str_eq_nocase(typed, STR("yes"));
}

static bool ask(struct cli *c, const struct args *a, const json_t *plan)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	int64_t recipients = json_get_int(plan, "recipients");

	if (recipients > TYPE_ABOVE)
		(void)buf_printf(&b, "Type the number of recipients to %s them: ", a->m->cli);
	else if (cli_has(plan, "effects") || cli_has(plan, "changes"))
		(void)buf_puts(&b, "Do you want that? [y/N] ");
	else
		(void)buf_printf(&b, "Do you want to %s them? [y/N] ", a->m->cli);
	return change_ask(c, buf_cstr(&b), recipients > TYPE_ABOVE ? recipients : 0);
}

static int plan_and_ask(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *plan = NULL, *done = NULL, *params;
	int rc = make_plan(c, a, &plan, err);

	if (rc < 0)
		return rc;
	plan_put(&c->out, &b, plan);
	(void)buf_putc(&b, '\n');
	cli_print(c, &b);
	if (json_get_int(plan, "recipients") == 0 && !cli_has(plan, "effects") &&
	    json_array_size(json_object_get(plan, "changes")) == 0) {
		drop_plan(c, plan);
		rc = err_set(err, ERR_UNKNOWN, "there is nothing to %s", a->m->cli);
	} else if (!ask(c, a, plan)) {
		drop_plan(c, plan);
		rc = err_set(err, ERR_CANCELLED, "nothing was changed");
	} else {
		params = json_pack("{s:s}", "plan", json_get_str(plan, "plan"));
		if (cli_has(a->params, "reason"))
			(void)json_object_set(params, "reason",
					      json_object_get(a->params, "reason"));
		rc = talk_call(c, method_defs[M_PLAN_COMMIT].name, params, &done, err);
		if (rc >= 0)
			change_print(c, a, done);
	}
	json_decref(plan);
	json_decref(done);
	return rc < 0 ? rc : 0;
}

bool change_can_ask(const struct cli *c)
{
	return !c->json && isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

/* What cannot be done at all is not asked about first: an edit's plan says so. */
static int refuse_unasked(struct cli *c, const struct args *a, struct err *err)
{
	json_t *plan = NULL;
	struct err why = ERR_INIT;
	int rc = (a->m->flags & MF_EDIT) != 0 ? make_plan(c, a, &plan, &why) : 0;

	if (plan != NULL)
		drop_plan(c, plan);
	json_decref(plan);
	if (rc < 0 && (why.code == ERR_STATE || why.code == ERR_UNKNOWN)) {
		*err = why;
		return rc;
	}
	return err_param(err, ERR_INVALID, "yes",
			 "%s is not done without being asked about: --yes says it is meant, --plan "
			 "shows what it would touch",
			 a->m->cli);
}

int run_change(struct cli *c, const struct args *a, struct err *err)
{
	json_t *done = NULL, *params = NULL;
	int rc;

	if (a->own[OWN_PLAN] != NULL)
		return show_plan(c, a, err);
	if ((a->m->flags & MF_CONFIRM) != 0 && a->own[OWN_YES] == NULL) {
		if (change_can_ask(c))
			return plan_and_ask(c, a, err);
		return refuse_unasked(c, a, err);
	}
	rc = with_files(c, a, &params, err);
	if (rc >= 0)
		rc = talk_call(c, a->m->name, params, &done, err);
	if (rc < 0)
		return rc;
	add_warnings(c, a, done);
	change_print(c, a, done);
	json_decref(done);
	return 0;
}
