/*
 * What ends by itself: holds and allowlist entries past their time, old secrets of credentials that
 * nobody uses any more, private keys without a use. An ended hold stays as long as a message can
 * have been held by it, because it made lifetimes longer; then it goes, too.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define ENDED_KEEP_MS (INT64_C(24) * 3600 * 1000) /* at least */
#define SECRET_GRACE_MS 1000
/* Objects of one transaction; what is left comes with the next round. A large one could be refused
 * because of others' edits. */
#define AT_ONCE (OP_LARGE - 1)

static bool is_past(int64_t expires_ms, int64_t now)
{
	return expires_ms != 0 && expires_ms <= now;
}

/* An undo of it may bring keys back. */
static bool is_of_keys(const struct action *x)
{
	size_t i;
	json_t *o;
	json_array_foreach(x->objects, i, o)
	{
		if (strcmp(json_get_str(o, "kind"), KEYS_KIND) == 0)
			return true;
	}
	return false;
}

/* Private keys that no undo can bring back any more; 0: nobody knows yet. What probation takes back
 * may come later than its window. */
static int64_t secret_end_ms(const struct actions *a)
{
	int64_t end = keys_orphan_ms(a->env->keys);
	const struct action *x;
	if (end == 0 || a->env->probation != NULL)
		return 0;
	end += a->env->undo_window_ms;
	TAILQ_FOREACH (x, &a->recent, link)
		if (x->state == ACTION_UNDOABLE && x->undo_until_ms > end && is_of_keys(x))
			end = x->undo_until_ms;
	return end + SECRET_GRACE_MS;
}

/* The first old secret that nobody uses; a use after this makes it later. */
static int64_t silent_next_ms(const struct actions *a)
{
	int64_t now = loop_wall_ms(a->env->loop);
	int64_t first = 0;
	for (size_t i = 0; i < creds_n(a->env->creds); i++) {
		const struct cred *x = creds_at(a->env->creds, i);
		for (size_t k = 0; k < x->n_secrets; k++) {
			int64_t end = cred_silent_end_ms(x, &x->secrets[k], now);
			if (end != 0 && (first == 0 || end < first))
				first = end;
		}
	}
	return first;
}

int64_t expiry_next_ms(struct actions *a)
{
	int64_t first = holds_next_end(a->env->holds);
	for (size_t i = 0; i < allow_n(a->env->allow); i++) {
		const struct allow_entry *e = allow_at(a->env->allow, i);
		if (e->expires_ms != 0 && (first == 0 || e->expires_ms < first))
			first = e->expires_ms;
	}
	int64_t silent = silent_next_ms(a);
	if (silent != 0 && (first == 0 || silent < first))
		first = silent;
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
		op_object(op, "allow", e->text, allow_json(e), NULL);
	}
}

static void end_silent(struct op *op, int64_t now)
{
	for (size_t i = 0; i < creds_n(op->env->creds) && room(op); i++) {
		const struct cred *x = creds_at(op->env->creds, i);
		size_t k = 0;
		while (k < x->n_secrets &&
		       !is_past(cred_silent_end_ms(x, &x->secrets[k], now), now))
			k++; /* one at a time: the next comes with the next round */
		if (k == x->n_secrets || op_lock(op, "cred", x->name, NULL) < 0)
			continue;
		log_info(x->name, "cred.retired", F_STR("secret", x->secrets[k].id),
			 F_STR("why", "nobody used it any more"));
		op_object(op, "cred", x->name, creds_json(x),
			  cred_retired(x, x->secrets[k].id, now));
	}
}

static void forget_secret(struct op *op, int64_t now)
{
	int64_t end = secret_end_ms(op->a);
	const char *id =
		keys_orphan(op->env->keys, now - op->env->undo_window_ms - SECRET_GRACE_MS + 1);
	if (end == 0 || end > now || id == NULL || !room(op) ||
	    op_lock(op, KEYS_KIND_SECRET, id, NULL) < 0)
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

/* In memory their time is over in any case. */
static void on_refused(struct op *op)
{
	log_warn(NULL, "actions.expired", F_STR("error", op->err.msg));
	on_stored(op);
}

/* Edits like others, with a version: the configuration is another one. */
static void run_edit(struct actions *a, int64_t now, enum method_id m, const char *reason,
		     void (*end)(struct op *op, int64_t now))
{
	struct op *op = op_new(a, NULL, &method_defs[m]);
	end(op, now);
	if (op->objects == NULL) {
		op_free(&op);
		return;
	}
	op_name(op, json_get_str(json_array_get(op->objects, 0), "id"));
	op->reason = reason;
	op_begin(op, false);
	op_result(op, 0, 0);
	op_commit(op, on_stored, on_refused);
}

void expiry_run(struct actions *a)
{
	int64_t now = loop_wall_ms(a->env->loop);
	struct op *op = op_new(a, NULL, NULL);
	bool quiet = op_whole(a) == NULL; /* else nobody edits: it is looked at again then */
	end_holds(op, now);
	forget_holds(op, now);
	if (quiet)
		forget_secret(op, now);
	if (json_array_size(op->objects) == 0)
		op_free(&op);
	else
		op_commit_objects(op, on_stored);
	if (quiet) {
		run_edit(a, now, M_ALLOW_REMOVE, "its time is over", end_allowed);
		run_edit(a, now, M_CRED_RETIRE, "nobody used it any more", end_silent);
	}
}
