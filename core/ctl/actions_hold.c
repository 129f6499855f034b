/*
 * Hold and release. A hold is a rule: putting it in force is one look at each group. It is counted
 * from the groups' counters where the group decides and every message has one recipient; otherwise
 * from a pass over what it covers, which also sets the marks of a hold that asks. The rule works
 * from the first moment, the count only belongs to the answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define COVERING_MAX 3 /* holds named in a refusal */

const struct hold *hold_active_on(const struct ctl_env *env, const char *target)
{
	for (size_t i = 0; i < holds_n(env->holds); i++) {
		const struct hold *h = holds_at(env->holds, i);
		if (h->ended_ms == 0 && strcmp(h->target.canonical, target) == 0)
			return h;
	}
	return NULL;
}

json_t *hold_row(const struct hold *h, uint64_t recipients, uint64_t messages)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:b}", "id", h->id, "target",
			 json_text(str_of(h->target.canonical)), "reason",
			 json_text(str_of(h->reason)), "by", json_text(str_of(h->by)), "created_at",
			 json_time(h->created_ms), "expires_at", json_time(h->expires_ms),
			 "messages", (json_int_t)messages, "recipients", (json_int_t)recipients,
			 "keep_expiry", (int)h->keep_expiry);
}

uint64_t hold_recipients(const struct ctl_env *env, uint32_t number)
{
	struct sched_group_view g;
	uint64_t n = 0;
	for (uint32_t i = 0; i < sched_groups(env->sched); i++)
		if (sched_group(env->sched, i, &g) && g.hold == number)
			n += g.counts.state[SCHED_HELD];
	return n;
}

/* --- hold ------------------------------------------------------------------------------------- */

int hold_check(struct op *op, struct err *err)
{
	const struct hold *h = hold_active_on(op->env, op->plan->text);
	char since[FMT_TIME_LEN];
	if (h != NULL) {
		fmt_time(h->created_ms, since);
		return err_set(err, ERR_EXISTS,
			       "%.150s is held already, by %s since %s (%s): \"%.100s\"; it ends "
			       "with: weir release --hold %s",
			       op->plan->text, h->by, since, h->id, h->reason, h->id);
	}
	if (holds_active(op->env->holds) >= HOLDS_MAX)
		return err_set(err, ERR_LIMIT, "there are %d holds already; release some",
			       HOLDS_MAX);
	return 0;
}

static const struct hold *hold_of(const struct op *op)
{
	const struct hold *h = holds_find(op->env->holds, (uint32_t)op->id);
	ASSERT(h != NULL);
	return h;
}

json_t *hold_make(const struct op *op)
{
	const json_t *params = op->plan->params;
	const char *reason = ctl_str(op->call, "reason");
	int64_t for_s = 0;
	AUTO_FREE char *why = xstrdup(reason != NULL ? reason : "");
	AUTO_FREE char *by = xstrdup(op->who->user);
	struct hold h = {
		.number = (uint32_t)op->id,
		.target = op->plan->target,
		.reason = why,
		.by = by,
		.created_ms = op->at_ms,
		.keep_expiry = json_get_bool(params, "keep_expiry"),
	};
	(void)snprintf(h.id, sizeof(h.id), "h%u", h.number);
	if (proto_age(json_object_get(params, "for_s"), &for_s) && for_s > 0)
		h.expires_ms = op->at_ms + for_s * 1000;
	return holds_json(&h);
}

static void hold_refused(struct op *op)
{
	op_fail(op, &op->err);
}

/* The disk did not take it: as if it had never been. */
static void hold_rollback(struct op *op)
{
	(void)json_object_set_new(json_array_get(op->objects, 0), "after", json_null());
	objects_apply(op);
	op_marks(op, hold_refused);
}

static void hold_done(struct op *op)
{
	if (op_planned(op) && hold_of(op)->asks)
		marks_again(op->a); /* what came after the plan */
	op_answer(op);
}

static void hold_store(struct op *op)
{
	op_result(op, op->touched, op->messages);
	(void)json_object_set_new(op->result, "hold",
				  hold_row(hold_of(op), op->touched, op->messages));
	op_commit(op, hold_done, hold_rollback);
}

bool touch_hold(struct op *op, struct rid rid)
{
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v) || v.state == SCHED_TRASH ||
	    v.state == SCHED_ACTIVE)
		return false;
	if (op->hold != 0)
		(void)sched_hold(op->env->sched, rid, op->hold);
	return true;
}

static void on_hold_passed(struct op *op)
{
	op->skipped = op->plan->n - op->touched;
	if (!op_planned(op))
		op->skipped += op->plan->in_delivery;
	hold_store(op);
}

static void hold_pass(struct op *op)
{
	op_pass(op, op->plan->rids, op->plan->n, touch_hold, false, on_hold_passed);
}

/* --- counting by groups --- */

struct group_key {
	uint32_t domain; /* 0: ask the filter */
	bool none;	 /* no group can be meant */
};

static enum slice step_groups(void *arg)
{
	struct op *op = arg;
	const struct group_key *key = op->more;
	for (uint32_t end = op->place + SLICER_ITEMS / 4; op->place < end; op->place++) {
		struct sched_group_view g;
		struct filter_row row;
		if (key->none || op->place >= sched_groups(op->env->sched))
			return SLICE_END;
		if (!sched_group(op->env->sched, op->place, &g) ||
		    (key->domain != 0 && g.domain != key->domain))
			continue;
		env_group_row(op->env, g.domain, g.stream, &row);
		if (filter_eval(op->plan->target.filter, &row) != FILTER_TRUE)
			continue;
		op->touched += g.counts.total - g.counts.state[SCHED_ACTIVE];
		op->skipped += g.counts.state[SCHED_ACTIVE];
	}
	return SLICE_MORE;
}

static void on_groups(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->messages = op->touched; /* each has one recipient */
	hold_store(op);
}

static void count_groups(struct op *op)
{
	struct group_key *key = xcalloc(1, sizeof(*key));
	enum filter_field field;
	struct str value;
	if (filter_simple_key(op->plan->target.filter, &field, &value) && field == FILTER_DOMAIN) {
		key->domain = queue_name_find(op->env->queue, value);
		key->none = key->domain == 0;
	}
	op->more = key;
	op->more_free = free;
	op->place = 0;
	slicer_run(&op->slicer, step_groups, on_groups);
}

/* The rule is in force; what is missing is the count, and the marks. */
static void hold_count(struct op *op)
{
	uint64_t messages;
	op->mark.n = 0; /* done by the pass */
	op->hold = hold_of(op)->asks ? hold_of(op)->number : 0;
	if (op_planned(op))
		hold_pass(op);
	else if (op->hold != 0 || !all_single(op->env, &messages))
		op_select(op, op->plan->target.filter, hold_pass);
	else
		count_groups(op);
}

void hold_commit(struct op *op)
{
	struct err err = ERR_INIT;
	char id[16];
	if (hold_check(op, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	(void)snprintf(id, sizeof(id), "h%" PRIu32, (uint32_t)op->id);
	if (op_lock(op, "hold", id, &err) < 0) { /* so that nobody ends it before it is stored */
		op_fail(op, &err);
		return;
	}
	op_object(op, "hold", id, NULL, hold_make(op));
	objects_apply(op);
	op_judge(op, hold_count);
}

/* --- release ---------------------------------------------------------------------------------- */

static void add_hold(struct plan *p, const struct hold *h)
{
	p->holds = xreallocarray(p->holds, p->holds_n + 1, sizeof(*p->holds));
	p->holds[p->holds_n++] = h->number;
}

static void name_hold(struct buf *out, const struct hold *h)
{
	(void)buf_printf(out, "%s%s (%.60s, by %s: \"%.60s\")", out->n > 0 ? ", " : "", h->id,
			 h->target.canonical, h->by, h->reason);
}

/* Holds of other targets that cover what a simple target names. */
static void find_covering(const struct ctl_env *env, const struct filter *f, struct buf *out)
{
	struct filter_row row = FILTER_ROW_INIT(loop_wall_ms(env->loop));
	struct filter_range r;
	struct sched_view v;
	enum filter_field field;
	struct str value;
	unsigned n = 0;
	if (!filter_simple_key(f, &field, &value))
		return;
	filter_row_text(&row, field, value);
	if (filter_id_ranges(f, &r, 1) == 1) {
		const struct hold *h = NULL;
		for (uint64_t rid = r.first; rid <= r.last && h == NULL; rid++)
			if (sched_find(env->sched, (struct rid){ rid }, &v) && v.hold != 0)
				h = holds_find(env->holds, v.hold);
		if (h != NULL)
			name_hold(out, h);
		return;
	}
	for (size_t i = 0; i < holds_n(env->holds) && n < COVERING_MAX; i++) {
		const struct hold *h = holds_at(env->holds, i);
		if (h->ended_ms != 0 || filter_eval(h->target.filter, &row) != FILTER_TRUE)
			continue;
		name_hold(out, h);
		n++;
	}
}

static int refuse_release(const struct op *op, struct err *err)
{
	AUTO_BUF covering = BUF_INIT(500);
	find_covering(op->env, op->plan->target.filter, &covering);
	if (covering.n > 0)
		return err_set(err, ERR_UNKNOWN,
			       "there is no hold on %.100s itself; it is covered by %s, which ends "
			       "with: weir release --hold ID",
			       op->plan->text, buf_cstr(&covering));
	return err_set(err, ERR_UNKNOWN,
		       "there is no hold on %.200s; weir holds lists those there are",
		       op->plan->text);
}

static int release_by_id(struct op *op, const char *id, struct err *err)
{
	struct plan *p = op->plan;
	const struct hold *h = holds_by_id(op->env->holds, str_of(id));
	if (h == NULL)
		return err_param(err, ERR_UNKNOWN, "hold",
				 "there is no hold %.40s; weir holds lists those there are", id);
	if (h->ended_ms != 0)
		return err_param(err, ERR_STATE, "hold", "%s has ended already", h->id);
	free(p->text);
	p->text = xstrdup(h->target.canonical);
	add_hold(p, h);
	return 0;
}

int release_check(struct op *op, struct err *err)
{
	struct plan *p = op->plan;
	const char *id = json_string_value(json_object_get(p->params, "hold"));
	const struct hold *h;
	if ((id != NULL) == (p->target.filter != NULL))
		return err_param(err, ERR_INVALID, id != NULL ? "hold" : "target",
				 "say what to release: a target, or a hold's id");
	if (id != NULL)
		return release_by_id(op, id, err);
	h = hold_active_on(op->env, p->text);
	if (h == NULL)
		return refuse_release(op, err);
	add_hold(p, h);
	return 0;
}

static bool touch_release(struct op *op, struct rid rid)
{
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v) || v.state != SCHED_HELD)
		return false;
	for (size_t i = 0; i < op->plan->holds_n; i++)
		if (op->plan->holds[i] == v.hold)
			return true;
	return false;
}

static void release_refused(struct op *op)
{
	op_fail(op, &op->err);
}

static void release_marked(struct op *op)
{
	marks_again(op->a);
	op_answer(op);
}

static void release_effect(struct op *op)
{
	objects_apply(op);
	op_marks(op, release_marked);
}

static void release_store(struct op *op)
{
	op_result(op, op->touched, op->messages);
	op_commit(op, release_effect, release_refused);
}

static void on_release_passed(struct op *op)
{
	op->skipped = op->plan->n - op->touched;
	release_store(op);
}

static void release_pass(struct op *op)
{
	op_pass(op, op->plan->rids, op->plan->n, touch_release, false, on_release_passed);
}

/* Each of the holds is still there, and nobody else ends it. */
static int release_begin(struct op *op, bool *ret_asks, struct err *err)
{
	*ret_asks = false;
	for (size_t i = 0; i < op->plan->holds_n; i++) {
		const struct hold *h = holds_find(op->env->holds, op->plan->holds[i]);
		char id[16];
		json_t *before;
		int rc;
		(void)snprintf(id, sizeof(id), "h%" PRIu32, op->plan->holds[i]);
		if (h == NULL || h->ended_ms != 0) {
			const struct action *x = journal_on_object(op->a, "hold", id);
			char name[200] = "by itself";
			if (x != NULL && !journal_is(x, M_QUEUE_HOLD))
				journal_name(x, name, sizeof(name));
			return err_set(err, ERR_CONFLICT, "%s ended since the plan was made: %s",
				       id, name);
		}
		rc = op_lock(op, "hold", id, err);
		if (rc < 0)
			return rc;
		before = holds_json(h);
		op_object(op, "hold", id, before, hold_ended(before, loop_wall_ms(op->env->loop)));
		*ret_asks = *ret_asks || h->asks;
	}
	return 0;
}

void release_commit(struct op *op)
{
	struct err err = ERR_INIT;
	uint64_t messages;
	bool asks;
	if (release_begin(op, &asks, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	if (op_planned(op)) {
		release_pass(op);
	} else if (asks || !all_single(op->env, &messages)) {
		op_select(op, NULL, release_pass);
	} else {
		for (size_t i = 0; i < op->plan->holds_n; i++)
			op->touched += hold_recipients(op->env, op->plan->holds[i]);
		op->messages = op->touched;
		release_store(op);
	}
}
