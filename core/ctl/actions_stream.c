/*
 * Changes of streams: objects without a set, in force when they are on disk. What a message's
 * stream is has been decided when it came in; a change is for those to come, and how the scheduler
 * treats those that are queued.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

/* The parameters that are members of the stored object. */
static const char *const settings[] = { STREAM_SETTINGS };

static bool is_default(const struct mailstream *x)
{
	return strcmp(x->id, STREAM_DEFAULT) == 0;
}

/* What the call says, over what there is. */
static void take_settings(const struct ctl_call *call, json_t *o)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct param_def *p = method_param(ctl_method(call), settings[i]);
		const json_t *v = ctl_json(call, settings[i]);
		if (p == NULL || v == NULL)
			continue;
		(void)json_object_set_new(o, settings[i],
					  p->type == T_AGE
						  ? json_integer(ctl_age(call, settings[i]))
						  : json_deep_copy(v));
	}
}

/* "lifetime" is "lifetime_s": a setting is named as its option is. */
static const char *setting_of(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (strncmp(settings[i], text, n) == 0 &&
		    (settings[i][n] == '\0' || strcmp(settings[i] + n, "_s") == 0 ||
		     strcmp(settings[i] + n, "s") == 0))
			return settings[i];
	return NULL;
}

static int take_resets(const struct ctl_call *call, json_t *o, struct err *err)
{
	const json_t *list = ctl_json(call, "reset");
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		const char *text = json_string_value(v);
		const char *name = text != NULL && *text != '\0' ? setting_of(text) : NULL;
		if (name == NULL)
			return err_param(err, ERR_INVALID, "reset",
					 "\"%.40s\" is no setting of a stream; such are retry, "
					 "lifetime, delay, rate",
					 text != NULL ? text : "");
		(void)json_object_del(o, name);
	}
	return 0;
}

/* The pool by the name that it is kept under. */
static int check(const struct ctl_env *env, json_t *o, struct err *err)
{
	int rc = pool_check_name(env, "pool", json_get_str(o, "pool"), err);
	const struct pool *p =
		rc >= 0 ? pools_find(env->pools, str_of(json_get_str(o, "pool"))) : NULL;

	if (p != NULL)
		(void)json_object_set_new(o, "pool", json_string(p->id));
	return rc >= 0 ? streams_check(o, err) : rc;
}

static int stream_find(const struct ctl_call *call, const char *param,
		       const struct mailstream **ret, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *id = ctl_str(call, param);

	*ret = NULL;
	return id != NULL ? stream_get(env->streams, param, id, ret, err) : 0;
}

static json_t *with_place(const json_t *o, double place)
{
	json_t *moved = json_deep_copy(o);

	(void)json_object_set_new(moved, "place", json_real(place));
	return moved;
}

/* Where doubles have no room left between two places, all streams get new ones. */
static double renumber(struct op *op, const struct mailstream *before,
		       const struct mailstream *self)
{
	const struct streams *s = op->env->streams;
	double place = (double)streams_n(s);

	for (size_t i = 0; i < streams_n(s); i++) {
		const struct mailstream *x = streams_at(s, i);
		json_t *now;
		if (x == before)
			place = (double)i + 0.5;
		if (x == self || is_default(x))
			continue;
		now = streams_json(x);
		op_object(op, STREAMS_KIND, x->id, now, with_place(now, (double)i + 1));
	}
	return place;
}

/* before NULL: behind all others. self: the stream that moves, or NULL. */
static double place_for(struct op *op, const struct mailstream *before,
			const struct mailstream *self)
{
	const struct streams *s = op->env->streams;
	double place = streams_place(s, before);
	const struct mailstream *prev = NULL;

	if (before == NULL || is_default(before))
		return place;
	for (size_t i = 0; streams_at(s, i) != before; i++)
		prev = streams_at(s, i);
	if ((prev != NULL && !(prev->place < place)) || !(place < before->place))
		return renumber(op, before, self);
	return place;
}

static int check_new(const struct ctl_call *call, char name[static STREAM_NAME_MAX + 1],
		     struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	int rc = streams_name(str_of(ctl_str(call, "name")), name, err);

	if (rc >= 0 && streams_find(env->streams, str_of(name)) != NULL)
		rc = err_param(err, ERR_EXISTS, "name",
			       "there is a stream %s already; weir stream set changes it", name);
	if (rc >= 0 && streams_n(env->streams) >= STREAMS_MAX)
		rc = err_set(err, ERR_LIMIT, "there are %d streams already", STREAMS_MAX);
	return rc;
}

/* A stream without a condition takes all mail that comes to it. */
static void warn_of_catch_all(struct op *op, const struct mailstream *before)
{
	if (before == NULL || is_default(before))
		rule_warn(op, xstrdup("it has no condition: all mail that no other stream takes "
				      "is its from now on, instead of the stream default's"));
	else
		rule_warn(op, xasprintf("it has no condition and takes all mail that comes to it: "
					"%s and all streams behind it get none any more",
					before->id));
}

static bool is_catch_all(const json_t *stream)
{
	return stream != NULL && strcmp(json_get_str(stream, "id"), STREAM_DEFAULT) != 0 &&
	       json_get_str(stream, "match")[0] == '\0' &&
	       json_array_size(json_object_get(stream, "headers")) == 0;
}

/* The change into the op, with a warning when it takes all mail from now on. before: what it stands
 * in front of then, NULL: `default`. */
static void stream_object(struct op *op, const char *id, json_t *was_take, json_t *after_take,
			  const struct mailstream *before)
{
	/* one that stays what it was is no news */
	if (is_catch_all(after_take) &&
	    (!is_catch_all(was_take) ||
	     !json_equal(json_object_get(was_take, "place"), json_object_get(after_take, "place"))))
		warn_of_catch_all(op, before);
	op_object(op, STREAMS_KIND, id, was_take, after_take);
}

void ctl_stream_add(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const struct mailstream *before;
	struct err err = ERR_INIT;
	char name[STREAM_NAME_MAX + 1];
	json_t *o = json_object();
	struct op *op;
	int rc = check_new(call, name, &err);

	if (rc >= 0)
		rc = stream_find(call, "before", &before, &err);
	if (rc >= 0) {
		(void)json_object_set_new(o, "id", json_string(name));
		take_settings(call, o);
		rc = check(env, o, &err);
	}
	if (rc < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, name);
	if (op_lock(op, STREAMS_KIND, name, &err) < 0) {
		json_decref(o);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	(void)json_object_set_new(o, "by", json_text(str_of(op->who->user)));
	(void)json_object_set_new(o, "created_ms", json_integer(op->at_ms));
	(void)json_object_set_new(o, "place", json_real(place_for(op, before, NULL)));
	rule_answer_id(op, name);
	stream_object(op, name, NULL, o, before);
	rule_store(op);
}

/* What stands in the store now; NULL for `default` that nobody has changed. */
static json_t *stored(const struct ctl_env *env, const struct mailstream *x)
{
	return object_current(env, STREAMS_KIND, x->id);
}

static const struct mailstream *behind(const struct ctl_env *env, const struct mailstream *x)
{
	for (size_t i = 0; i + 1 < streams_n(env->streams); i++)
		if (streams_at(env->streams, i) == x)
			return streams_at(env->streams, i + 1);
	return NULL;
}

void ctl_stream_set(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const struct mailstream *x;
	struct err err = ERR_INIT;
	json_t *o = NULL;
	struct op *op;
	int rc = stream_find(call, "name", &x, &err);

	if (rc >= 0) {
		o = streams_json(x);
		rc = take_resets(call, o, &err);
	}
	if (rc >= 0) {
		take_settings(call, o);
		rc = check(env, o, &err);
	}
	if (rc < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, x->id);
	if (op_lock(op, STREAMS_KIND, x->id, &err) < 0) {
		json_decref(o);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	stream_object(op, x->id, stored(env, x), o, behind(env, x));
	rule_store(op);
}

static void warn_of_mail(struct op *op, const struct mailstream *x)
{
	uint64_t n = stream_recipients(op->env, x->id);

	if (n > 0)
		rule_warn(op, xasprintf("%llu recipient%s of it %s queued; they stay in it, and "
					"are treated as the stream default says",
					(unsigned long long)n, n == 1 ? "" : "s",
					n == 1 ? "is" : "are"));
}

static void stream_change(struct ctl_call *call, bool remove)
{
	const struct mailstream *x;
	const struct mailstream *before = NULL;
	struct err err = ERR_INIT;
	json_t *now;
	struct op *op;
	int rc = stream_find(call, "name", &x, &err);

	if (rc >= 0 && is_default(x))
		rc = err_param(&err, ERR_STATE, "name",
			       "the stream default stays, and stands behind all others");
	if (rc >= 0 && remove) {
		rc = stream_check_unused(ctl_env(call), x->id, true, true, &err);
		(void)snprintf(err.param, sizeof(err.param), "name");
	}
	if (rc >= 0 && !remove)
		rc = stream_find(call, "before", &before, &err);
	if (rc >= 0 && before == x && !remove)
		rc = err_param(&err, ERR_INVALID, "before", "a stream cannot stand before itself");
	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, x->id);
	if (op_lock(op, STREAMS_KIND, x->id, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	if (remove)
		warn_of_mail(op, x);
	now = streams_json(x);
	stream_object(op, x->id, json_incref(now),
		      remove ? NULL : with_place(now, place_for(op, before, x)), before);
	json_decref(now);
	rule_store(op);
}

void ctl_stream_remove(struct ctl_call *call)
{
	stream_change(call, true);
}

void ctl_stream_move(struct ctl_call *call)
{
	stream_change(call, false);
}
