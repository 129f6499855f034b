/* dkim.list and dkim.show: the keys and their records, never a private part. */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ROWS_MAX 10000 /* of a list, which has no pages */
#define STEP_ROWS 300
#define ZONE_MAX ((size_t)8192)

struct listing {
	struct view_job job;
	json_t *rows;
	size_t at;
};

static const char *algorithm(const struct key_entry *e)
{
	return dkim_algorithm_name(keys_algorithm(e));
}

static const char *state_of(const struct key_entry *e)
{
	return e->key != NULL ? key_state_name(e->state) : "empty";
}

static json_t *entry_json(const struct key_entry *e)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o}", "id", e->id, "state",
			 state_of(e), "domain", e->domain, "selector", e->selector, "algorithm",
			 algorithm(e), "by", json_text(str_of(e->by)), "created_at",
			 json_time(e->created_ms), "signed", (json_int_t)e->signed_n, "failed",
			 (json_int_t)e->failed_n, "last_signed_at", json_time(e->last_ms));
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct keys *k = j->env->keys;
	size_t n = keys_n(k) < ROWS_MAX ? keys_n(k) : ROWS_MAX;

	for (size_t end = l->at + STEP_ROWS; l->at < n && l->at < end; l->at++)
		(void)json_array_append_new(l->rows, entry_json(keys_at(k, l->at)));
	if (l->at < n)
		view_soon(j);
	else
		view_reply(j, view_page(json_incref(l->rows), NULL, NULL, keys_n(k), true));
}

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void ctl_dkim_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	listing_step(&l->job);
}

/* ---- */

static json_t *record_json(const struct key_entry *e)
{
	AUTO_BUF name = BUF_INIT(ZONE_MAX);
	AUTO_BUF zone = BUF_INIT(ZONE_MAX);

	(void)keys_record_name(e->domain, e->selector, &name);
	(void)keys_zone_txt(buf_cstr(&name), str_of(e->record), &zone);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", e->id, "state", state_of(e),
			 "algorithm", algorithm(e), "name", buf_cstr(&name), "type", "TXT", "value",
			 e->record, "zone", buf_cstr(&zone));
}

void ctl_dkim_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *domain = ctl_str(call, "domain");
	const char *selector = ctl_str(call, "selector");
	const struct key_entry *e = NULL;
	struct err err = ERR_INIT;
	json_t *records = json_array();
	size_t at;
	size_t n = keys_of(env->keys, str_of(domain), &at);

	for (size_t i = 0; i < n; i++) {
		e = keys_at(env->keys, at + i);
		if (selector == NULL || str_eq_nocase(str_of(e->selector), str_of(selector)))
			(void)json_array_append_new(records, record_json(e));
	}
	if (json_array_size(records) > 0) {
		ctl_reply(call, json_pack("{s:s, s:o}", "domain", e->domain, "records", records));
		return;
	}
	json_decref(records);
	if (e != NULL)
		(void)err_param(&err, ERR_UNKNOWN, "selector", "%s has no key %.80s; it has %s",
				e->domain, selector, e->selector);
	else
		(void)err_param(&err, ERR_UNKNOWN, "domain",
				"there is no key for %.100s; weir dkim add %.100s makes one",
				domain, domain);
	ctl_fail(call, &err);
}
