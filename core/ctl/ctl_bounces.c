/* bounces.list and bounces.show: mail to the bounce and feedback addresses that came to nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

static json_t *row_json(const struct unread_mail *m)
{
	char id[UNREAD_ID_LEN];

	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)m->id);
	return json_pack("{s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "id", id, "at",
			 json_time(m->at_ms), "last_at", json_time(m->last_ms), "count",
			 (json_int_t)m->count, "client", json_text(str_of(m->client)), "from",
			 json_text(str_of(m->from)), "to", json_text(str_of(m->to)), "subject",
			 json_text_or_null(str_of(m->subject)), "original",
			 json_text_or_null(str_of(m->original)), "why", json_text(str_of(m->why)),
			 "size", (json_int_t)m->size);
}

const struct unread_mail *view_report(const struct ctl_env *env, const char *id, struct err *err)
{
	uint64_t number;
	const struct unread_mail *m =
		str_u64(str_of(id), INT64_MAX, &number) ? unread_find(env->unread, number) : NULL;

	if (m == NULL)
		(void)err_param(err, ERR_UNKNOWN, "id",
				"there is no report %.20s (any more); weir bounces list shows them",
				id);
	return m;
}

/* The first behind the cursor's, which may be gone. */
static const struct unread_mail *place(const struct unread *u, const char *cursor)
{
	const struct unread_mail *m = unread_first(u);
	uint64_t last;

	if (cursor == NULL || !str_u64(str_of(cursor), INT64_MAX, &last))
		return m;
	while (m != NULL && m->id >= last)
		m = unread_next(m);
	return m;
}

void ctl_bounces_list(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	size_t limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	const struct unread_mail *m = place(env->unread, ctl_str(call, "cursor"));
	const struct unread_mail *last = NULL;
	json_t *rows = json_array();

	for (; m != NULL && json_array_size(rows) < limit; m = unread_next(m)) {
		(void)json_array_append_new(rows, row_json(m));
		last = m;
	}
	ctl_reply(call,
		  view_page(rows,
			    m != NULL ? xasprintf("%llu", (unsigned long long)last->id) : NULL,
			    NULL, unread_n(env->unread), true));
}

void ctl_bounces_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	const struct unread_mail *m = view_report(env, ctl_str(call, "id"), &err);
	json_t *row;

	if (m == NULL) {
		ctl_fail(call, &err);
		return;
	}
	row = row_json(m);
	(void)json_object_set_new(row, "text", json_text(str_of(m->text)));
	ctl_reply(call, row);
}
