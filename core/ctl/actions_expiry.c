/*
 * What ends by itself: holds and allowlist entries past their time, private keys without a use. An
 * ended hold stays as long as a message can have been held by it, because it made lifetimes longer;
 * then it goes, too.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define ENDED_KEEP_MS (INT64_C(24) * 3600 * 1000) /* at least */
#define SECRET_GRACE_MS 1000
#define AT_ONCE 256 /* objects of one transaction */

static bool is_past(int64_t expires_ms, int64_t now)
{
	return expires_ms != 0 && expires_ms <= now;
}

/* Private keys that no undo can bring back any more. */
static int64_t secret_end_ms(const struct actions *a)
{
	int64_t orphan = keys_orphan_ms(a->env->keys);
	return orphan != 0 ? orphan + a->env->undo_window_ms + SECRET_GRACE_MS : 0;
}

int64_t expiry_next_ms(struct actions *a)
{
	int64_t first = holds_next_end(a->env->holds);
	for (size_t i = 0; i < allow_n(a->env->allow); i++) {
		const struct allow_entry *e = allow_at(a->env->allow, i);
		if (e->expires_ms != 0 && (first == 0 || e->expires_ms < first))
			first = e->expires_ms;
	}
	int64_t secret = secret_end_ms(a);
	return secret != 0 && (first == 0 || secret < first) ? secret : first;
}

static bool room(const struct op *op)
{
	return json_array_size(op->objects) < AT_ONCE;
}

static void end_holds(struct op *op, int64_t now)
{
	for (size_t i = 0; i < holds_n(op->env->holds) && room(op); i++) {
		const struct hold *h = holds_at(op->env->holds, i);
		json_t *before;
		if (h->ended_ms != 0 || !is_past(h->expires_ms, now) ||
		    op_lock(op, "hold", h->id, NULL) < 0)
			continue;
		log_info(h->id, "hold.expired", F_STR("target", h->target.canonical),
			 F_STR("by", h->by));
		before = holds_json(h);
		op_object(op, "hold", h->id, before, hold_ended(before, now));
	}
}

static void forget_holds(struct op *op, int64_t now)
{
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest;
	sched_totals(op->env->sched, &c, &messages, &oldest);
	for (size_t i = 0; i < holds_n(op->env->holds) && room(op); i++) {
		const struct hold *h = holds_at(op->env->holds, i);
		if (h->ended_ms == 0 || h->ended_ms > now - ENDED_KEEP_MS ||
		    (oldest != 0 && h->ended_ms >= oldest) || op_lock(op, "hold", h->id, NULL) < 0)
			continue;
		op_object(op, "hold", h->id, NULL, NULL);
	}
}

static void end_allowed(struct op *op, int64_t now)
{
	for (size_t i = 0; i < allow_n(op->env->allow) && room(op); i++) {
		const struct allow_entry *e = allow_at(op->env->allow, i);
		if (!is_past(e->expires_ms, now) || op_lock(op, "allow", e->text, NULL) < 0)
			continue;
		log_info(e->text, "allow.expired", F_STR("note", e->note), F_STR("by", e->by));
		op_object(op, "allow", e->text, NULL, NULL);
	}
}

static void forget_secret(struct op *op, int64_t now)
{
	const char *id =
		keys_orphan(op->env->keys, now - op->env->undo_window_ms - SECRET_GRACE_MS + 1);
	if (id == NULL || !room(op) || op_lock(op, KEYS_KIND_SECRET, id, NULL) < 0)
		return;
	op_object(op, KEYS_KIND_SECRET, id, NULL, NULL);
}

static void on_ended(struct op *op)
{
	struct actions *a = op->a;
	op_free(&op);
	marks_again(a);
	actions_arm(a);
}

static void on_stored(struct op *op)
{
	objects_apply(op);
	op_marks(op, on_ended);
}

void expiry_run(struct actions *a)
{
	int64_t now = loop_wall_ms(a->env->loop);
	struct op *op = op_new(a, NULL, NULL);
	end_holds(op, now);
	forget_holds(op, now);
	end_allowed(op, now);
	forget_secret(op, now);
	if (json_array_size(op->objects) == 0)
		op_free(&op);
	else
		op_commit_objects(op, on_stored);
}
