/*
 * suppress.list and suppress.test. A page goes through the list from its cursor on, in slices; one
 * with few hits among many ends early, with a cursor. A cursor is the id of the page's last entry.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define LOOK_EVERY 64 /* entries, then the clock is asked */
#define STREAM_DEFAULT "default"

struct listing {
	struct view_job job;
	char *pattern;		     /* a glob; NULL: all */
	const struct filter *filter; /* NULL: all */
	bool by_source;
	enum suppress_source source;
	char *stream; /* NULL: whatever it is */
	bool watched;
	size_t limit;
	json_t *rows;
	char *address; /* the place; NULL: the beginning */
	char *scope;
};

json_t *view_suppress_row(const struct suppress_entry *e)
{
	char id[SUPPRESS_ID_MAX + 1], action[24];

	suppress_id(e->address, e->scope, id);
	(void)snprintf(action, sizeof(action), "a%" PRIu64, e->batch);
	return json_pack(
		"{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:o}", "id", id,
		"address", e->address, "stream", json_text_or_null(str_of(e->scope)), "source",
		suppress_source_name(e->source), "reason", json_text_or_null(str_of(e->reason)),
		"by", json_text(str_of(e->by)), "created_at", json_time(e->created_ms),
		"expires_at", json_time(e->expires_ms), "hits", (json_int_t)e->hits, "last_hit_at",
		json_time(e->last_hit_ms), "message", json_text_or_null(str_of(e->message)),
		"reply", json_text_or_null(str_of(e->reply)), "bounces", (json_int_t)e->watch,
		"import", e->batch != 0 ? json_string(action) : json_null());
}

/* What a filter sees of an entry. */
static bool matches(const struct listing *l, const struct suppress_entry *e, int64_t now_ms)
{
	struct filter_row row = FILTER_ROW_INIT(now_ms);
	AUTO_BUF text = BUF_INIT(SUPPRESS_REASON_MAX + SUPPRESS_REPLY_MAX + 2);
	const char *domain = strrchr(e->address, '@');

	if (l->filter == NULL)
		return true;
	(void)buf_printf(&text, "%s %s", e->reason, e->reply);
	filter_row_text(&row, FILTER_TO, str_of(e->address));
	filter_row_text(&row, FILTER_DOMAIN, str_of(domain != NULL ? domain + 1 : e->address));
	filter_row_text(&row, FILTER_STREAM, str_of(e->scope));
	filter_row_text(&row, FILTER_TEXT, buf_str(&text));
	filter_row_number(&row, FILTER_AGE, e->created_ms);
	return filter_eval(l->filter, &row) == FILTER_TRUE;
}

static bool belongs(const struct listing *l, const struct suppress_entry *e, int64_t now_ms)
{
	const struct suppress *s = l->job.env->suppress;
	bool active = suppress_active(s, e, now_ms);

	if (l->watched ? active || e->watch == 0 || e->expires_ms <= now_ms : !active)
		return false;
	if (l->by_source && e->source != l->source)
		return false;
	if (l->stream != NULL && strcmp(e->scope, l->stream) != 0)
		return false;
	if (l->pattern != NULL && !str_glob(str_of(l->pattern), str_of(e->address)))
		return false;
	return matches(l, e, now_ms);
}

static void keep_place(struct listing *l, const struct suppress_entry *e)
{
	free(l->address);
	free(l->scope);
	l->address = xstrdup(e->address);
	l->scope = xstrdup(e->scope);
}

static void finish(struct listing *l, bool more)
{
	const struct suppress *s = l->job.env->suppress;
	char id[SUPPRESS_ID_MAX + 1] = "";

	if (more)
		suppress_id(l->address, l->scope, id);
	view_reply(&l->job, view_page(json_incref(l->rows), more ? xstrdup(id) : NULL, NULL,
				      suppress_n(s), false));
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct suppress *s = j->env->suppress;
	int64_t now_ms = loop_wall_ms(j->env->loop);
	const struct suppress_entry *e = suppress_after(s, l->address, l->scope);

	for (size_t k = 1; e != NULL; k++) {
		const struct suppress_entry *next = suppress_next(s, e);
		if (belongs(l, e, now_ms))
			(void)json_array_append_new(l->rows, view_suppress_row(e));
		if (json_array_size(l->rows) == l->limit && next != NULL) {
			keep_place(l, e);
			finish(l, true);
			return;
		}
		if (next != NULL && k % LOOK_EVERY == 0 && view_slice_over(j)) {
			keep_place(l, e);
			view_soon(j);
			return;
		}
		e = next;
	}
	finish(l, false);
}

static void listing_done(struct view_job *j)
{
	struct listing *l = (struct listing *)j;

	json_decref(l->rows);
	free(l->pattern);
	free(l->stream);
	free(l->address);
	free(l->scope);
}

/* A part of the address, unless it has a wildcard. */
static char *pattern_of(const char *text)
{
	if (text == NULL || *text == '\0')
		return NULL;
	return strchr(text, '*') != NULL ? xstrdup(text) : xasprintf("*%s*", text);
}

static int read_cursor(struct listing *l, const char *text, struct err *err)
{
	struct str address, scope;

	if (!suppress_id_parse(str_of(text), &address, &scope))
		return err_param(err, ERR_INVALID, "cursor", "this is no cursor of this list");
	l->address = xstrndup(address.p, address.n);
	l->scope = xstrndup(scope.p, scope.n);
	return 0;
}

void ctl_suppress_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));
	const char *cursor = ctl_str(call, "cursor");
	const char *source = ctl_str(call, "source");
	const char *stream = ctl_str(call, "stream");
	struct err err = ERR_INIT;

	l->filter = ctl_filter(call);
	l->pattern = pattern_of(ctl_str(call, "match"));
	l->by_source = source != NULL && suppress_source_find(source, &l->source);
	l->watched = ctl_bool(call, "watched");
	l->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	l->rows = json_array();
	if (stream != NULL)
		l->stream = xstrdup(strcmp(stream, "all") == 0 ? "" : stream);
	view_begin(&l->job, ctl_env(call), call, &ops);
	if (cursor != NULL && read_cursor(l, cursor, &err) < 0)
		view_fail(&l->job, &err);
	else
		listing_step(&l->job);
}

/* --- test ------------------------------------------------------------------------------------- */

static void explain(const struct suppress_entry *e, const char *address, const char *stream,
		    struct buf *out)
{
	char when[FMT_TIME_LEN];

	if (e == NULL) {
		(void)buf_printf(out, "%s is not on the suppression list for mail of stream %s",
				 address, stream);
		return;
	}
	fmt_time(e->created_ms, when);
	(void)buf_printf(out, "%s gets no mail%s%s: %s%s is on the list since %.10s (%s)", address,
			 e->scope[0] != '\0' ? " of stream " : "", e->scope,
			 suppress_is_domain(e->address) ? "the domain " : "", e->address, when,
			 suppress_source_name(e->source));
	if (e->reason[0] != '\0')
		(void)buf_printf(out, ", because: %.200s", e->reason);
	if (e->reply[0] != '\0')
		(void)buf_printf(out, "; the receiver said: %.300s", e->reply);
	if (e->expires_ms != 0) {
		fmt_time(e->expires_ms, when);
		(void)buf_printf(out, "; until %s", when);
	}
}

void ctl_suppress_test(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	AUTO_BUF text = BUF_INIT(4000);
	const char *stream = ctl_str(call, "stream");
	char address[ADDRESS_DOMAIN_MAX + 1];
	const struct suppress_entry *e;
	struct err err = ERR_INIT;

	if (suppress_address(str_of(ctl_str(call, "address")), address, &err) < 0) {
		(void)snprintf(err.param, sizeof(err.param), "address");
		ctl_fail(call, &err);
		return;
	}
	stream = stream != NULL ? stream : STREAM_DEFAULT;
	e = suppress_check(env->suppress, str_of(address), str_of(stream), loop_wall_ms(env->loop));
	explain(e, address, stream, &text);
	ctl_reply(call, json_pack("{s:s, s:s, s:b, s:o, s:o}", "address", address, "stream", stream,
				  "suppressed", e != NULL, "entry",
				  e != NULL ? view_suppress_row(e) : json_null(), "text",
				  json_text(buf_str(&text))));
}
