/*
 * audit.list and audit.verify. Operators see them, viewers do not: the log has what people were
 * refused and mistyped, and every version of the rules of access.
 *
 * A page ends early, with a cursor, when what changed in it is large. A cursor is the number of the
 * page's last record.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define PAGE_BYTES ((size_t)PROTO_RESPONSE_MAX / 4) /* of texts: JSON can make them larger */
#define CHANGES_BYTES (PAGE_BYTES / 16)		    /* of one record */

struct listing {
	struct view_job job;
};

/* The first ones, of many. */
static json_t *changes_json(const char *text, bool *ret_cut)
{
	const char *at = text;
	json_t *list = json_array();
	json_t *one;

	if (*text == '\0') {
		json_decref(list);
		return json_null();
	}
	while ((size_t)(at - text) < CHANGES_BYTES && (one = json_read_next(&at)) != NULL)
		(void)json_array_append_new(list, one);
	*ret_cut = at != NULL && *at == ',';
	return list;
}

static size_t row_bytes(const struct audit_record *r)
{
	return strlen(r->target) + strlen(r->reason) + strlen(r->result) +
	       strnlen(r->changes, CHANGES_BYTES);
}

static json_t *row_json(const struct audit_record *r)
{
	char action[24];
	bool cut = false;
	json_t *changes = changes_json(r->changes, &cut);

	(void)snprintf(action, sizeof(action), "a%" PRIu64, r->action);
	return json_pack("{s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, "
			 "s:o}",
			 "seq", (json_int_t)r->seq, "at", json_time(r->at_ms), "who",
			 json_text(str_of(r->who)), "uid", (json_int_t)r->uid, "from_where",
			 json_text(str_of(r->from_where)), "role", json_text(str_of(r->role)),
			 "method", json_text(str_of(r->method)), "target",
			 json_text(str_of(r->target)), "reason", json_text(str_of(r->reason)),
			 "result", json_text(str_of(r->result)), "action",
			 r->action != 0 ? json_string(action) : json_null(), "changes", changes,
			 "changes_cut", cut, "prev", json_text(str_of(r->prev)), "hash",
			 json_text(str_of(r->hash)));
}

static void on_records(void *arg, const struct audit_record *rows, size_t n, bool more,
		       uint64_t total, const struct err *err)
{
	struct listing *l = arg;
	json_t *list;
	size_t bytes = 0, i;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	list = json_array();
	for (i = 0; i < n && (i == 0 || bytes < PAGE_BYTES); i++) {
		bytes += row_bytes(&rows[i]);
		(void)json_array_append_new(list, row_json(&rows[i]));
	}
	more = more || i < n;
	view_reply(&l->job, view_page(list, more ? xasprintf("%" PRIu64, rows[i - 1].seq) : NULL,
				      NULL, total, false));
}

void ctl_audit_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));
	const char *cursor = ctl_str(call, "cursor");
	struct audit_query q = { .filter = ctl_filter(call),
				 .limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT),
				 .now_ms = loop_wall_ms(env->loop) };
	struct err err = ERR_INIT;

	view_begin(&l->job, env, call, &ops);
	if (cursor != NULL && (!str_u64(str_of(cursor), INT64_MAX, &q.before) || q.before == 0)) {
		(void)err_param(&err, ERR_INVALID, "cursor", "not a cursor of this list");
		view_fail(&l->job, &err);
		return;
	}
	queue_audit(env->queue, &q, on_records, l);
}

/* --- verifying -------------------------------------------------------------------------------- */

static char *report_text(const struct audit_report *r)
{
	unsigned long long seq = r->seq, last = r->last, other = r->other;

	switch (r->damage) {
	case AUDIT_INTACT:
		if (r->records == 0)
			return xstrdup("nothing is recorded yet");
		return xasprintf("all %llu records are as they were written%s", last,
				 r->head ? ""
					 : "; the file " AUDIT_HEAD
					   " is gone, so it cannot be said whether the end was cut "
					   "off");
	case AUDIT_CHANGED:
		return xasprintf("record %llu was changed after it had been written", seq);
	case AUDIT_MISSING:
		if (other > seq)
			return xasprintf("records %llu to %llu are missing", seq, other);
		return xasprintf("record %llu is missing", seq);
	case AUDIT_SWAPPED:
		return xasprintf("what stands at %llu was written as record %llu", seq, other);
	case AUDIT_DAMAGE__COUNT:
		break;
	}
	BUG("audit damage %d", (int)r->damage);
}

static void on_verified(void *arg, const struct audit_report *r, const struct err *err)
{
	struct listing *l = arg;
	bool broken = r->damage != AUDIT_INTACT;
	AUTO_FREE char *text = NULL;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	text = report_text(r);
	view_reply(&l->job,
		   json_pack("{s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:s}", "intact", !broken,
			     "records", (json_int_t)r->records, "last", (json_int_t)r->last, "hash",
			     r->last != 0 ? json_string(r->hash) : json_null(), "seq",
			     broken ? json_integer((json_int_t)r->seq) : json_null(), "damage",
			     broken ? json_string(audit_damage_name(r->damage)) : json_null(),
			     "head_seq",
			     r->head ? json_integer((json_int_t)r->head_seq) : json_null(), "text",
			     text));
}

void ctl_audit_verify(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));

	view_begin(&l->job, env, call, &ops);
	queue_audit_verify(env->queue, on_verified, l);
}
