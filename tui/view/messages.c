/* messages - queued recipients, any number of them. */
#include <string.h>

#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "view/listing.h"

struct messages {
	struct listing list;
};

static const char *messages_field(const struct listing *l)
{
	(void)l;
	return "id";
}

static bool messages_where(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	filter_term(out, "id", js(row, "row"));
	return true;
}

/* Of a message alone the connection would be missing: whom it goes to is listened to. */
static bool messages_live(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	filter_term(out, "domain", js(row, "domain"));
	return !out->full;
}

static void messages_enter(struct listing *l, const json_t *row)
{
	(void)shell_open(view_shell(l->view), "message", js(row, "id"));
}

static void messages_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s > %s, %lld %s", *js(row, "from") != '\0' ? js(row, "from") : "<>",
			 js(row, "to"), (long long)ji(row, "attempts"),
			 ji(row, "attempts") == 1 ? "try" : "tries");
	if (*js(row, "hold") != '\0')
		(void)buf_printf(out, ", held by %s", js(row, "hold"));
	if (*js(row, "last_reply") != '\0')
		(void)buf_printf(out, ": %s", js(row, "last_reply"));
}

static const struct cell_measure measures[] = {
	{ "to", 20, 50, 0 },	      { "from", 16, 40, 5 },
	{ "age_s", 6, 0, 1 },	      { "next_attempt_s", 6, 0, 3 },
	{ "last_reply", 14, 200, 3 }, { "last_code", 4, 0, 2 },
	{ "attempts", 3, 0, 4 },      { "size", 5, 0, 6 },
	{ "class", 12, 0, 7 },	      { .name = NULL },
};

static const struct listing_def def = {
	.foot = messages_foot,
	.measures = measures,
	.method = "message.list",
	.entity = "message",
	.key = "row",
	.empty = "nothing is queued",
	.problems = "(state:deferred,held or attempts>0)",
	.moved = RELAY_QUEUE | RELAY_HOLDS,
	.filter = true,
	.sort = true,
	.descending = true,
	.from_end = true,
	.where = messages_where,
	.live = messages_live,
	.field = messages_field,
	.enter = messages_enter,
};

static int messages_open(struct view *v, const char *arg, struct err *err)
{
	struct messages *m = view_state(v);

	(void)err;
	listing_open(&m->list, v, &def, arg);
	return 0;
}

#define OTHERS 6 /* in the menu of what is related */

static void on_related(void *arg, uint64_t id)
{
	static const char *const fields[] = { "domain", "from", "stream", "class", "client" };
	struct view *v = arg;
	struct messages *m = view_state(v);
	const json_t *row = listing_row(&m->list);
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (row != NULL && id == OTHERS) {
		struct app *app = view_app(v);
		act_same_cause(app->acts, js(row, "row"));
		return;
	}
	if (row == NULL || id == 0 || id > sizeof(fields) / sizeof(fields[0]))
		return;
	filter_term(&where, fields[id - 1], js(row, fields[id - 1]));
	(void)shell_open(view_shell(v), "messages", buf_cstr(&where));
}

static void ask_related(struct view *v)
{
	static const struct menu_item items[] = {
		{ .id = 1, .key = 'd', .title = "same domain" },
		{ .id = 2, .key = 'f', .title = "same sender" },
		{ .id = 3, .key = 's', .title = "same stream" },
		{ .id = OTHERS, .key = 'r', .title = "same cause" },
		{ .id = 4, .key = 'k', .title = "same class of reply" },
		{ .id = 5, .key = 'c', .title = "same client" },
	};

	(void)shell_menu(view_shell(v), &(struct shell_menu){ .owner = v,
							      .title = "Messages with the",
							      .items = items,
							      .n = 6,
							      .done = on_related,
							      .arg = v });
}

static void messages_action(struct view *v, enum action_id a)
{
	struct messages *m = view_state(v);
	const json_t *row = listing_row(&m->list);

	if (a == A_RELATED) {
		ask_related(v);
	} else if (a == A_TEST && row != NULL) {
		act_trial_of(listing_app(&m->list)->acts, row);
	} else if (a == A_SUPPRESS && row != NULL) {
		act_form(listing_app(&m->list)->acts, M_SUPPRESS_ADD,
			 json_pack("{s:s}", "address", js(row, "to")));
	} else if ((a == A_ATTEMPTS || a == A_TRANSCRIPT || a == A_RAW) && row != NULL) {
		AUTO_BUF arg = BUF_INIT(VIEW_ARG_MAX);

		(void)buf_printf(&arg, "%s %s", js(row, "id"),
				 a == A_RAW	     ? "raw"
				 : a == A_TRANSCRIPT ? "transcript"
						     : "attempts");
		(void)shell_open(view_shell(v), "message", buf_cstr(&arg));
	} else {
		(void)listing_action(&m->list, a);
	}
}

static const enum action_id actions[] = {
	A_HOLD,	  A_RELEASE, A_RETRY,	 A_DELETE, A_BOUNCE,   A_SUPPRESS, A_WHY,
	A_TEST,	  A_FILTER,  A_PROBLEMS, A_CLEAR,  A_MARK,     A_RANGE,	   A_MARK_ALL,
	A_UNMARK, A_SORT,    A_WIDE,	 A_COPY,   A_DESCRIBE, A_ATTEMPTS, A_TRANSCRIPT,
	A_RAW,	  A_TAIL,    A_RELATED,	 A_SAVE,   A_REFRESH,  A_NONE,
};

const struct view_def view_messages = {
	.name = "messages",
	.title = "Messages",
	.help = "Queued recipients, one a row; the filter takes every field of the filter "
		"language.",
	.slot = 2,
	.size = sizeof(struct messages),
	.actions = actions,
	.open = messages_open,
	.action = messages_action,
	LISTING_VIEW,
};
