/*
 * message - one message: envelope and recipients, attempts with what came back, headers, body, raw.
 *
 * The detail is fetched again when the queue changes, at most once a second. The content does not
 * change; it is fetched in pieces when a pane that shows it is first opened, up to CONTENT_MAX.
 */
#include <bsd/string.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "loop/loop.h"
#include "model/mime.h"
#include "proto/ways.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "widget/meter.h"

#define MESSAGE_MAGIC 0x4d736731u
#define CONTENT_MAX (4u << 20)
#define PIECE 65536
#define REFRESH_MS 1000
#define LABEL_COLS 14

enum pane {
	PANE_ENVELOPE,
	PANE_ATTEMPTS,
	PANE_TRANSCRIPT,
	PANE_HEADERS,
	PANE_BODY,
	PANE_RAW,
	PANE__COUNT
};
static const char *const pane_names[PANE__COUNT] = { "Envelope", "Attempts", "Transcript",
						     "Headers",	 "Body",     "Raw" };

struct message {
	uint32_t magic;
	struct view *view;
	char id[64];
	enum pane pane;
	struct text panes[PANE__COUNT];
	json_t *detail;
	uint64_t call;
	uint64_t content_call;
	struct loop_timer *refresh;
	bool stale;
	bool shown;
	bool asked_content;
	bool transcripts; /* wanted with the detail */
	struct buf raw;
	struct err err;
};

static struct app *app_of(const struct message *m)
{
	return view_app(m->view);
}

/* Where its recipients go and how, each once. */
static void put_ways(const struct message *m, struct text *t)
{
	const json_t *rows = json_object_get(m->detail, "recipients");
	struct ways ways;

	for (size_t i = 0; ways_at(rows, i, &ways); i++) {
		AUTO_BUF more = BUF_INIT(64);

		for (size_t k = 0; k < ways.n; k++)
			text_add_field(t, LABEL_COLS, k == 0 ? ways.title : "", ROLE_TEXT,
				       str_of(ways.texts[k]));
		(void)buf_printf(&more, "and %zu more", ways.more);
		if (ways.more > 0)
			text_add_field(t, LABEL_COLS, "", ROLE_TEXT, buf_str(&more));
	}
}

static void put_recipients(const struct message *m, struct text *t)
{
	const json_t *row;
	size_t i;
	json_t *rows = json_object_get(m->detail, "recipients");

	text_addf(t, ROLE_HEADING, "Recipients (%d)", (int)json_array_size(rows));
	json_array_foreach(rows, i, row)
	{
		AUTO_BUF line = BUF_INIT(2048);
		char next[FMT_SHORT_LEN];

		(void)buf_printf(&line, "%-9s %s", js(row, "state"), js(row, "to"));
		if (ji(row, "attempts") > 0)
			(void)buf_printf(&line, "  tried %lld %s", (long long)ji(row, "attempts"),
					 ji(row, "attempts") == 1 ? "time" : "times");
		if (js_has(row, "next_attempt_s")) {
			fmt_age(ji(row, "next_attempt_s"), next);
			(void)buf_printf(&line, ", next in %s", next);
		}
		if (*js(row, "hold") != '\0')
			(void)buf_printf(&line, ", held by %s", js(row, "hold"));
		text_add(t, cell_state_role(js(row, "state")), buf_str(&line));
		text_hang(t, 10);
		if (*js(row, "last_reply") != '\0') {
			buf_reset(&line);
			(void)buf_printf(&line, "          %s", js(row, "last_reply"));
			text_add(t, ROLE_QUOTE, buf_str(&line));
		}
	}
}

static void put_title(const struct message *m, const json_t *row, struct text *t)
{
	AUTO_BUF when = BUF_INIT(128);

	cell_time(js(row, "at"), shell_wall_ms(view_shell(m->view)), &when);
	text_addf(t, cell_state_role(js(row, "outcome")), "%s  %s  %s", buf_cstr(&when),
		  js(row, "outcome"), js(row, "to"));
}

/* "dns 2ms  connect 11ms  mail 4ms" */
static void put_phases(const json_t *phases, struct text *t)
{
	AUTO_BUF line = BUF_INIT(512);
	const char *name;
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)phases, name, v)
	{
		const struct field_def *f = field_find("phases", name);
		if (f != NULL)
			(void)buf_printf(&line, "  %s %lldms", f->title,
					 (long long)json_integer_value(v));
	}
	if (line.n > 0)
		text_addf(t, ROLE_DIM, "  %s", buf_cstr(&line));
}

static void put_spoken(const json_t *line, bool ascii, struct text *t)
{
	static const struct {
		const char *by;
		const char *mark;
		const char *ascii;
		enum role role;
	} marks[] = { { "relay", "→", "->", ROLE_TEXT }, { "host", "←", "<-", ROLE_QUOTE } };
	const char *mark = "  ";
	enum role role = ROLE_DIM;
	char ms[24] = "";

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (strcmp(js(line, "by"), marks[i].by) == 0) {
			mark = ascii ? marks[i].ascii : marks[i].mark;
			role = marks[i].role;
		}
	if (ji(line, "after_ms") > 0)
		(void)snprintf(ms, sizeof(ms), "%lldms", (long long)ji(line, "after_ms"));
	text_addf(t, role, "%9s %s %s", ms, mark, js(line, "text"));
	text_hang(t, 11 + text_width(str_of(mark)));
}

static void put_transcripts(const struct message *m, struct text *t)
{
	json_t *rows = json_object_get(m->detail, "attempts");
	bool ascii = shell_ascii(view_shell(m->view));
	const json_t *line;
	size_t k;

	if (json_array_size(rows) == 0)
		text_add(t, ROLE_DIM, STR("Nothing was tried yet."));
	for (size_t i = json_array_size(rows); i-- > 0;) {
		const json_t *row = json_array_get(rows, i);
		json_t *lines = json_object_get(row, "transcript");

		put_title(m, row, t);
		put_phases(json_object_get(row, "phases"), t);
		if (json_array_size(lines) == 0)
			text_add(t, ROLE_DIM, STR("    What was said was not kept."));
		json_array_foreach(lines, k, line) put_spoken(line, ascii, t);
		text_add(t, ROLE_TEXT, STR(""));
	}
}

static void put_attempts(const struct message *m, struct text *t)
{
	json_t *rows = json_object_get(m->detail, "attempts");
	const json_t *row;
	size_t i;

	if (json_array_size(rows) == 0)
		text_add(t, ROLE_DIM, STR("Nothing was tried yet."));
	/* The newest first: it is what is asked for. */
	for (i = json_array_size(rows); i-- > 0;) {
		row = json_array_get(rows, i);
		put_title(m, row, t);
		text_addf(t, ROLE_DIM, "    %s%s%s%s  %lldms  tls %s  from %s", js(row, "host"),
			  *js(row, "ip") != '\0' ? " [" : "", js(row, "ip"),
			  *js(row, "ip") != '\0' ? "]" : "", (long long)ji(row, "duration_ms"),
			  *js(row, "tls") != '\0' ? js(row, "tls") : "none",
			  *js(row, "source") != '\0' ? js(row, "source") : "-");
		put_phases(json_object_get(row, "phases"), t);
		text_addf(t, ROLE_QUOTE, "    %s", js(row, "reply"));
		if (*js(row, "class") != '\0')
			text_addf(t, cell_code_role(ji(row, "code")), "    %s", js(row, "class"));
	}
}

static void put_detail(struct message *m)
{
	struct shell *s = view_shell(m->view);
	struct text *t = &m->panes[PANE_ENVELOPE];

	text_clear(t);
	if (m->err.code != 0) {
		text_add(t, ROLE_BAD, str_of(m->err.msg));
	} else if (m->detail == NULL) {
		text_add(t, ROLE_PENDING, STR("asking the relay"));
	} else {
		cell_describe(t, "detail", m->detail, shell_wall_ms(s), shell_ascii(s));
		put_ways(m, t);
		text_add(t, ROLE_TEXT, STR(""));
		put_recipients(m, t);
	}
	text_clear(&m->panes[PANE_ATTEMPTS]);
	put_attempts(m, &m->panes[PANE_ATTEMPTS]);
	text_clear(&m->panes[PANE_TRANSCRIPT]);
	if (m->transcripts && m->detail != NULL)
		put_transcripts(m, &m->panes[PANE_TRANSCRIPT]);
	shell_dirty(s, SHELL_REPAINT);
}

static void on_detail(void *arg, const json_t *result, const struct err *err)
{
	struct message *m = OBJ(message, MESSAGE_MAGIC, arg);

	m->call = 0;
	m->err.code = 0;
	if (result != NULL) {
		json_decref(m->detail);
		m->detail = json_incref((json_t *)(uintptr_t)result);
	} else {
		m->err = *err;
	}
	put_detail(m);
}

static void ask_detail(struct message *m)
{
	m->stale = false;
	if (m->call == 0)
		m->call = rpc_call(
			app_of(m)->rpc, "message.get",
			m->transcripts ? json_pack("{s:s, s:b}", "id", m->id, "transcripts", true)
				       : json_pack("{s:s}", "id", m->id),
			on_detail, m);
}

static void on_refresh(void *arg)
{
	struct message *m = OBJ(message, MESSAGE_MAGIC, arg);

	if (m->stale && m->shown && !shell_frozen(view_shell(m->view)))
		ask_detail(m);
}

static void on_moved(void *arg, unsigned moved)
{
	struct message *m = OBJ(message, MESSAGE_MAGIC, arg);

	if ((moved & (RELAY_QUEUE | RELAY_HOLDS)) == 0)
		return;
	m->stale = true;
	if (!loop_timer_pending(m->refresh))
		loop_timer_set(m->refresh, REFRESH_MS);
}

/* --- content --- */

static void show_content(struct message *m, const char *trouble)
{
	AUTO_BUF headers = BUF_INIT(MIME_TEXT_MAX);
	AUTO_BUF body = BUF_INIT(MIME_TEXT_MAX);
	AUTO_BUF parts = BUF_INIT(64 * 1024);
	AUTO_BUF clean = BUF_INIT(3 * CONTENT_MAX);

	for (int p = PANE_HEADERS; p <= PANE_RAW; p++)
		text_clear(&m->panes[p]);
	if (m->raw.n > 0) {
		mime_read(buf_str(&m->raw), &headers, &body, &parts);
		(void)utf8_put_clean(&clean, buf_str(&m->raw));
	}
	text_add(&m->panes[PANE_HEADERS], ROLE_QUOTE, buf_str(&headers));
	text_add(&m->panes[PANE_BODY], ROLE_QUOTE, buf_str(&body));
	if (parts.n > 0) {
		text_add(&m->panes[PANE_BODY], ROLE_HEADING, STR("Parts"));
		text_add(&m->panes[PANE_BODY], ROLE_DIM, buf_str(&parts));
	}
	text_add(&m->panes[PANE_RAW], ROLE_QUOTE, buf_str(&clean));
	for (int p = PANE_HEADERS; trouble != NULL && p <= PANE_RAW; p++)
		text_add(&m->panes[p], ROLE_BAD, str_of(trouble));
	shell_dirty(view_shell(m->view), SHELL_REPAINT);
}

static void ask_piece(struct message *m);

static void on_piece(void *arg, const json_t *result, const struct err *err)
{
	struct message *m = OBJ(message, MESSAGE_MAGIC, arg);

	m->content_call = 0;
	if (result == NULL)
		show_content(m, err->msg);
	else if (m->raw.n < (size_t)ji(result, "total") &&
		 mime_base64(js(result, "base64"), &m->raw) &&
		 m->raw.n < (size_t)ji(result, "total"))
		ask_piece(m);
	else
		show_content(m, m->raw.n < (size_t)ji(result, "total")
					? "The rest is not shown: the message is too large."
					: NULL);
}

static void ask_piece(struct message *m)
{
	m->content_call = rpc_call(app_of(m)->rpc, "message.content",
				   json_pack("{s:s, s:I, s:i}", "id", m->id, "offset",
					     (json_int_t)m->raw.n, "limit", PIECE),
				   on_piece, m);
}

static void pane_set(struct message *m, enum pane pane)
{
	m->pane = pane;
	if (pane == PANE_TRANSCRIPT && !m->transcripts) {
		m->transcripts = true;
		text_add(&m->panes[pane], ROLE_PENDING, STR("asking the relay"));
		rpc_cancel(app_of(m)->rpc, &m->call);
		ask_detail(m);
	}
	if (pane >= PANE_HEADERS && !m->asked_content) {
		m->asked_content = true;
		for (int p = PANE_HEADERS; p <= PANE_RAW; p++)
			text_add(&m->panes[p], ROLE_PENDING, STR("asking the relay"));
		ask_piece(m);
	}
	shell_dirty(view_shell(m->view), SHELL_REPAINT);
}

/* --- the view --- */

static int message_open(struct view *v, const char *arg, struct err *err)
{
	struct message *m = view_state(v);
	struct str rest = str_of(arg);
	struct str id = str_cut(&rest, ' ');
	ptrdiff_t slash = str_index(id, '/');

	m->magic = MESSAGE_MAGIC;
	m->view = v;
	m->raw = BUF_INIT(CONTENT_MAX);
	for (int p = 0; p < PANE__COUNT; p++) {
		text_init(&m->panes[p]);
		m->panes[p].wrap = true;
		m->panes[p].focused = true;
	}
	m->refresh = loop_timer_new(app_of(m)->loop, "message.refresh", on_refresh, m);
	relay_listen(app_of(m)->relay, on_moved, m);
	id.n = slash >= 0 ? (size_t)slash : id.n;
	if (id.n == 0 || id.n >= sizeof(m->id))
		return err_set(err, ERR_INVALID, "a message is named by its id");
	memcpy(m->id, id.p, id.n);
	m->shown = true;
	ask_detail(m);
	put_detail(m);
	if (str_eq(rest, STR("attempts")))
		pane_set(m, PANE_ATTEMPTS);
	else if (str_eq(rest, STR("transcript")))
		pane_set(m, PANE_TRANSCRIPT);
	else if (str_eq(rest, STR("raw")))
		pane_set(m, PANE_RAW);
	return 0;
}

static void message_close(struct view *v)
{
	struct message *m = view_state(v);

	if (m->magic == 0)
		return;
	relay_unlisten(app_of(m)->relay, m);
	rpc_cancel(app_of(m)->rpc, &m->call);
	rpc_cancel(app_of(m)->rpc, &m->content_call);
	loop_timer_free(&m->refresh);
	for (int p = 0; p < PANE__COUNT; p++)
		text_done(&m->panes[p]);
	buf_done(&m->raw);
	json_decref(m->detail);
	m->magic = 0;
}

static void message_draw(struct view *v, const struct canvas *c)
{
	struct message *m = view_state(v);
	struct canvas body = canvas_sub(c, 2, 1, canvas_rows(c) - 2, canvas_cols(c) - 1);

	(void)tabs_draw(c, 0, 1, pane_names, PANE__COUNT, m->pane, m);
	text_draw(&m->panes[m->pane], &body);
}

static unsigned message_nav(struct view *v, enum nav nav)
{
	struct message *m = view_state(v);

	if (nav == NAV_NEXT || nav == NAV_RIGHT) {
		pane_set(m, (enum pane)((m->pane + 1) % PANE__COUNT));
		return WIDGET_USED;
	}
	if (nav == NAV_PREV || nav == NAV_LEFT) {
		pane_set(m, (enum pane)((m->pane + PANE__COUNT - 1) % PANE__COUNT));
		return WIDGET_USED;
	}
	return text_nav(&m->panes[m->pane], nav);
}

static unsigned message_mouse(struct view *v, const struct event_mouse *e)
{
	struct message *m = view_state(v);

	if (e->hit.kind == HIT_ITEM && e->hit.owner == m && e->action == MOUSE_PRESS &&
	    e->hit.id < PANE__COUNT) {
		pane_set(m, (enum pane)e->hit.id);
		return WIDGET_USED;
	}
	return text_mouse(&m->panes[m->pane], e);
}

static int64_t message_selected(struct view *v)
{
	(void)v;
	return 1;
}

static void message_subtitle(struct view *v, struct buf *out)
{
	const struct message *m = view_state(v);

	(void)buf_printf(out, "%s  %s", m->id, m->detail != NULL ? js(m->detail, "subject") : "");
}

static void message_changed(struct view *v)
{
	on_refresh(view_state(v));
}

static void message_shown(struct view *v, bool shown)
{
	struct message *m = view_state(v);

	m->shown = shown;
	on_refresh(m);
}

static int on_search(void *arg, struct str line, struct err *err)
{
	struct message *m = OBJ(message, MESSAGE_MAGIC, arg);

	if (!text_search(&m->panes[m->pane], line) && line.n > 0)
		return err_set(err, ERR_UNKNOWN, "not in this pane");
	shell_dirty(view_shell(m->view), SHELL_REPAINT);
	return 0;
}

static void plan(struct message *m, enum method_id method)
{
	act_plan(app_of(m)->acts, method,
		 json_pack("{s:o}", "target", json_sprintf("id:%s", m->id)));
}

static bool named_before(const json_t *rows, size_t i)
{
	const char *domain = js(json_array_get(rows, i), "domain");

	for (size_t k = 0; k < i; k++)
		if (strcmp(js(json_array_get(rows, k), "domain"), domain) == 0)
			return true;
	return *domain == '\0';
}

/* Of a message alone the connection would be missing: whom it goes to is listened to. */
static void open_trace(struct message *m)
{
	const json_t *rows = json_object_get(m->detail, "recipients");
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *domain = js(json_array_get(rows, i), "domain");

		if (where.n + strlen(domain) + sizeof("domain:,") >= VIEW_ARG_MAX)
			break;
		if (!named_before(rows, i))
			(void)buf_printf(&where, "%s%s", where.n > 0 ? "," : "domain:", domain);
	}
	if (where.n == 0)
		(void)buf_printf(&where, "id:%s", m->id);
	(void)shell_open(view_shell(m->view), "trace", buf_cstr(&where));
}

/* For its first recipient. */
static void test_route(struct message *m)
{
	json_t *row = json_copy(json_array_get(json_object_get(m->detail, "recipients"), 0));

	if (row == NULL)
		return;
	(void)json_object_update_missing(row, m->detail);
	act_trial_of(app_of(m)->acts, row);
	json_decref(row);
}

static void message_action(struct view *v, enum action_id a)
{
	struct message *m = view_state(v);
	struct shell *s = view_shell(v);
	AUTO_FREE char *target = xasprintf("id:%s", m->id);

	if (a == A_HOLD)
		plan(m, M_QUEUE_HOLD);
	else if (a == A_RELEASE)
		plan(m, M_QUEUE_RELEASE);
	else if (a == A_RETRY)
		plan(m, M_QUEUE_RETRY);
	else if (a == A_BOUNCE)
		plan(m, M_QUEUE_BOUNCE);
	else if (a == A_DELETE)
		plan(m, M_QUEUE_DELETE);
	else if (a == A_WHY)
		act_why(app_of(m)->acts, target);
	else if (a == A_TEST)
		test_route(m);
	else if (a == A_DESCRIBE)
		pane_set(m, PANE_ENVELOPE);
	else if (a == A_ATTEMPTS)
		pane_set(m, PANE_ATTEMPTS);
	else if (a == A_TRANSCRIPT)
		pane_set(m, PANE_TRANSCRIPT);
	else if (a == A_RAW)
		pane_set(m, PANE_RAW);
	else if (a == A_RELATED)
		act_same_cause(app_of(m)->acts, m->id);
	else if (a == A_TAIL)
		open_trace(m);
	else if (a == A_REFRESH)
		ask_detail(m);
	else if (a == A_COPY)
		shell_clipboard(s, str_of(m->id));
	else if (a == A_WIDE)
		m->panes[m->pane].wrap = !m->panes[m->pane].wrap;
	else if (a == A_SEARCH_NEXT || a == A_SEARCH_PREV)
		(void)text_search_next(&m->panes[m->pane], a == A_SEARCH_PREV);
	else if (a == A_FILTER)
		(void)shell_prompt(s, &(struct shell_prompt){ .owner = v,
							      .label = "search",
							      .hint = "text in this pane",
							      .enter = on_search,
							      .arg = m });
	shell_dirty(s, SHELL_REPAINT);
}

static const enum action_id actions[] = {
	A_HOLD,	       A_RELEASE,     A_RETRY,	    A_DELETE, A_BOUNCE,	 A_WHY,	    A_TEST,
	A_DESCRIBE,    A_ATTEMPTS,    A_TRANSCRIPT, A_RAW,    A_TAIL,	 A_RELATED, A_FILTER,
	A_SEARCH_NEXT, A_SEARCH_PREV, A_WIDE,	    A_COPY,   A_REFRESH, A_NONE,
};

const struct view_def view_message = {
	.name = "message",
	.title = "Message",
	.help = "Envelope and recipients, every attempt with what came back, headers and body. Tab "
		"goes to the next pane.",
	.slot = -1,
	.inner = true,
	.size = sizeof(struct message),
	.actions = actions,
	.open = message_open,
	.close = message_close,
	.draw = message_draw,
	.nav = message_nav,
	.action = message_action,
	.mouse = message_mouse,
	.selected = message_selected,
	.changed = message_changed,
	.shown = message_shown,
	.subtitle = message_subtitle,
};
