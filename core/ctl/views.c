#include "ctl/views.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "ctl/alerts.h"
#include "ctl/verdict.h"

struct views {
	LIST_HEAD(, view_job) jobs;
	const struct message *kept;
	struct loop_timer *forget;
	struct view_attention attention;
	struct alerts_seen alerts;
};

static struct views *views_of(struct ctl_env *env)
{
	if (env->views == NULL) {
		env->views = xcalloc(1, sizeof(*env->views));
		LIST_INIT(&env->views->jobs);
	}
	return env->views;
}

static void on_step(void *arg)
{
	struct view_job *j = arg;

	j->slice_end_us = loop_clock_us() + VIEW_SLICE_US;
	j->ops->step(j);
}

void view_begin(struct view_job *j, struct ctl_env *env, struct ctl_call *call,
		const struct view_job_ops *ops)
{
	j->env = env;
	j->call = call;
	j->ops = ops;
	j->timer = loop_timer_new(env->loop, "ctl.view", on_step, j);
	LIST_INSERT_HEAD(&views_of(env)->jobs, j, link);
}

void view_soon(struct view_job *j)
{
	loop_timer_set(j->timer, 0);
}

bool view_slice_over(const struct view_job *j)
{
	return loop_clock_us() >= j->slice_end_us;
}

void view_end(struct view_job *j)
{
	LIST_REMOVE(j, link);
	loop_timer_free(&j->timer);
	if (j->ops->done != NULL)
		j->ops->done(j);
	free(j);
}

void view_reply(struct view_job *j, json_t *result_take)
{
	struct ctl_call *call = j->call;

	view_end(j);
	ctl_reply(call, result_take);
}

void view_fail(struct view_job *j, const struct err *err)
{
	struct ctl_call *call = j->call;

	view_end(j);
	ctl_fail(call, err);
}

struct view_attention *view_attention(struct ctl_env *env)
{
	return &views_of(env)->attention;
}

struct alerts_seen *view_alerts_seen(struct ctl_env *env)
{
	return &views_of(env)->alerts;
}

static void on_forget(void *arg)
{
	struct views *v = arg;

	if (v->kept != NULL)
		message_unref(&v->kept);
	v->kept = NULL;
}

void view_keep(struct ctl_env *env, const struct message *m)
{
	struct views *v = views_of(env);

	message_ref(m);
	on_forget(v);
	v->kept = m;
	if (v->forget == NULL)
		v->forget = loop_timer_new(env->loop, "ctl.forget", on_forget, v);
	loop_timer_set(v->forget, VIEW_KEEP_MS);
}

const struct message *view_kept(struct ctl_env *env, struct msgid id)
{
	const struct views *v = views_of(env);

	return v->kept != NULL && msgid_eq(v->kept->id, id) ? v->kept : NULL;
}

void views_close(struct ctl_env *env)
{
	if (env->views == NULL)
		return;
	on_forget(env->views);
	loop_timer_free(&env->views->forget);
	while (!LIST_EMPTY(&env->views->jobs))
		view_end(LIST_FIRST(&env->views->jobs));
	json_decref(env->views->attention.rows);
	alerts_forget(&env->views->alerts);
	free(env->views);
	env->views = NULL;
}

static json_t *cursor_json(char *cursor_take)
{
	json_t *v = cursor_take != NULL ? json_text(str_of(cursor_take)) : json_null();

	free(cursor_take);
	return v;
}

json_t *view_page(json_t *rows_take, char *next_take, char *prev_take, uint64_t total, bool exact)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:b}", "rows", rows_take, "next",
			 cursor_json(next_take), "prev", cursor_json(prev_take), "total",
			 (json_int_t)total, "exact", (int)exact);
}

json_t *view_cause(const struct ctl_env *env, struct str site, uint8_t reply_class,
		   const char *reply)
{
	struct classify_out c;

	if (reply_class == REPLY_NONE || reply_class >= REPLY_CLASS__COUNT)
		return json_null();
	verdict_text(env->rules, site, reply_class, reply, &c);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "class",
			 reply_class_name((enum reply_class)reply_class), "kind",
			 c.hard ? "hard" : "soft", "meaning", c.meaning, "advice", c.advice,
			 "action", reply_action_name(c.action), "text", json_text(str_of(reply)));
}

char *view_quote(const char *reply, size_t max)
{
	AUTO_BUF out = BUF_INIT(4 * max + 8);
	struct str rest = str_of(reply);
	size_t n = 0;

	while (rest.n > 0 && n < max) {
		uint32_t cp;
		char bytes[4];
		size_t used = utf8_decode(rest, &cp);
		if (cp < ' ' || cp == 0x7f)
			cp = ' ';
		(void)buf_put(&out, bytes, utf8_encode(cp, bytes));
		rest = str_from(rest.p + used, rest.n - used);
		n++;
	}
	if (rest.n > 0)
		(void)buf_puts(&out, "…");
	return buf_take(&out);
}
