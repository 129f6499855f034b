/* cred.list, cred.show, cred.blocked: who may authenticate, and who tries in vain. */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define STEP_ROWS 200
#define BLOCKED_ROWS 1000 /* the latest */

struct listing {
	struct view_job job;
	json_t *rows;
	size_t at;
};

static json_t *client_json(const struct ipaddr *a, int64_t used_ms)
{
	char text[IPADDR_TEXT_LEN];

	if (used_ms == 0)
		return json_null();
	ipaddr_text(a, text);
	return json_string(text);
}

static json_t *secrets_json(const struct cred *x)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		(void)json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:o, s:I}", "id", s->id, "created_at",
				  json_time(s->created_ms), "expires_at", json_time(s->expires_ms),
				  "last_used_at", json_time(s->last_used_ms), "last_client",
				  client_json(&s->last_client, s->last_used_ms), "uses",
				  (json_int_t)s->uses));
	}
	return list;
}

/* What it all comes to: the secret that was used last, and the uses of all. */
static void put_use(json_t *row, const struct cred *x)
{
	const struct cred_secret *last = NULL;
	uint64_t uses = 0;

	for (size_t i = 0; i < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		uses += s->uses;
		if (last == NULL || s->last_used_ms > last->last_used_ms)
			last = s;
	}
	(void)json_object_set_new(row, "uses", json_integer((json_int_t)uses));
	(void)json_object_set_new(row, "last_used_at",
				  json_time(last != NULL ? last->last_used_ms : 0));
	(void)json_object_set_new(row, "last_client",
				  last != NULL ? client_json(&last->last_client, last->last_used_ms)
					       : json_null());
}

static json_t *cred_json(const struct ctl_env *env, const struct cred *x)
{
	json_t *senders = json_array();
	json_t *networks = json_array();
	json_t *row;

	for (size_t i = 0; i < x->n_senders; i++)
		(void)json_array_append_new(senders, json_text(str_of(x->senders[i])));
	for (size_t i = 0; i < x->n_networks; i++) {
		char text[IPNET_TEXT_LEN];
		ipnet_text(&x->networks[i], text);
		(void)json_array_append_new(networks, json_string(text));
	}
	row = json_pack("{s:s, s:s, s:o, s:o, s:o, s:[], s:o, s:o, s:o, s:o}", "name", x->name,
			"status", cred_status(x, loop_wall_ms(env->loop)), "note",
			json_text_or_null(str_of(x->note)), "secrets", secrets_json(x), "senders",
			senders, "streams", "networks", networks, "by", json_text(str_of(x->by)),
			"created_at", json_time(x->created_ms), "revoked_at",
			json_time(x->revoked_ms));
	put_use(row, x);
	return row;
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct creds *c = j->env->creds;

	for (size_t end = l->at + STEP_ROWS; l->at < creds_n(c) && l->at < end; l->at++)
		(void)json_array_append_new(l->rows, cred_json(j->env, creds_at(c, l->at)));
	if (l->at < creds_n(c))
		view_soon(j);
	else
		view_reply(j, view_page(json_incref(l->rows), NULL, NULL, creds_n(c), true));
}

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void ctl_cred_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	listing_step(&l->job);
}

void ctl_cred_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	struct err err = ERR_INIT;

	if (x != NULL) {
		ctl_reply(call, cred_json(env, x));
		return;
	}
	(void)err_param(&err, ERR_UNKNOWN, "name",
			"there is no credential %.64s; weir cred list has those there are", name);
	ctl_fail(call, &err);
}

void ctl_cred_blocked(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	int64_t now_ms = loop_wall_ms(env->loop);
	const struct guard_entry *found[BLOCKED_ROWS];
	size_t n = guard_list(env->guard, now_ms, found, BLOCKED_ROWS);
	json_t *rows = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct guard_entry *e = found[i];
		char text[IPNET_TEXT_LEN];
		ipnet_text(&e->net, text);
		(void)json_array_append_new(
			rows, json_pack("{s:s, s:I, s:o, s:o, s:o}", "network", text, "failures",
					(json_int_t)e->failures, "first_at", json_time(e->first_ms),
					"last_at", json_time(e->last_ms), "until_at",
					json_time(e->until_ms > now_ms ? e->until_ms : 0)));
	}
	ctl_reply(call, view_page(rows, NULL, NULL, n, true));
}
