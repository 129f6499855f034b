/* cred.list, cred.show, cred.blocked: who may authenticate, and who tries in vain. */
#include <stdlib.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define BLOCKED_ROWS 1000 /* the latest */

static json_t *client_json(const struct ipaddr *a, int64_t used_ms)
{
	char text[IPADDR_TEXT_LEN];

	if (used_ms == 0)
		return json_null();
	ipaddr_text(a, text);
	return json_string(text);
}

static json_t *limit_json(unsigned n)
{
	return n != 0 ? json_integer(n) : json_null();
}

static const char *secret_state(const struct cred *x, const struct cred_secret *s, int64_t now_ms)
{
	if (s->expires_ms != 0 && s->expires_ms <= now_ms)
		return "ended";
	return s == &x->secrets[x->n_secrets - 1] ? "new" : "old";
}

static json_t *secrets_json(const struct cred *x, int64_t now_ms)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		const struct cred_secret_use *u = cred_use_of(x->use, str_of(s->id));
		(void)json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "id", s->id,
				  "state", secret_state(x, s, now_ms), "silent_s",
				  s->silent_ms != 0 ? json_integer(s->silent_ms / 1000)
						    : json_null(),
				  "created_at", json_time(s->created_ms), "expires_at",
				  json_time(s->expires_ms), "last_used_at", json_time(u->last_ms),
				  "last_client", client_json(&u->last_client, u->last_ms), "uses",
				  (json_int_t)u->uses, "messages", (json_int_t)u->messages,
				  "refused", (json_int_t)u->refused));
	}
	return list;
}

/* What it all comes to: the secret that was used last, and the uses of all. */
static void put_use(json_t *row, const struct cred *x, int64_t now_ms)
{
	const struct cred_secret_use *last = NULL;
	uint64_t uses = 0;
	json_t *more;

	for (size_t i = 0; i < x->use->n_secrets; i++) {
		const struct cred_secret_use *u = &x->use->secrets[i];
		uses += u->uses;
		if (u->last_ms != 0 && (last == NULL || u->last_ms > last->last_ms))
			last = u;
	}
	more = json_pack("{s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "uses", (json_int_t)uses,
			 "last_used_at", json_time(last != NULL ? last->last_ms : 0), "last_client",
			 last != NULL ? client_json(&last->last_client, last->last_ms)
				      : json_null(),
			 "messages", (json_int_t)x->use->messages, "recipients",
			 (json_int_t)x->use->recipients, "bytes", (json_int_t)x->use->bytes,
			 "today", (json_int_t)cred_use_today(x->use, now_ms), "stragglers",
			 (json_int_t)cred_stragglers(x, now_ms));
	(void)json_object_update(row, more);
	json_decref(more);
}

static json_t *cred_json(const struct ctl_env *env, const struct cred *x)
{
	int64_t now_ms = loop_wall_ms(env->loop);
	json_t *senders = json_array();
	json_t *streams = json_array();
	json_t *networks = json_array();
	json_t *row;

	for (size_t i = 0; i < x->n_streams; i++)
		(void)json_array_append_new(streams, json_text(str_of(x->streams[i])));
	for (size_t i = 0; i < x->n_senders; i++)
		(void)json_array_append_new(senders, json_text(str_of(x->senders[i])));
	for (size_t i = 0; i < x->n_networks; i++) {
		char text[IPNET_TEXT_LEN];
		ipnet_text(&x->networks[i], text);
		(void)json_array_append_new(networks, json_string(text));
	}
	row = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			"s:o}",
			"name", x->name, "status", cred_status(x, now_ms), "note",
			json_text_or_null(str_of(x->note)), "secrets", secrets_json(x, now_ms),
			"senders", senders, "streams", streams, "networks", networks, "per_minute",
			limit_json(x->per_minute), "per_day", limit_json(x->per_day),
			"recipients_max", limit_json(x->recipients_max), "expires_at",
			json_time(x->expires_ms), "disabled_at", json_time(x->disabled_ms), "by",
			json_text(str_of(x->by)), "created_at", json_time(x->created_ms),
			"revoked_at", json_time(x->revoked_ms));
	put_use(row, x, now_ms);
	return row;
}

/* --- who uses it ------------------------------------------------------------------------------ */

static int64_t last_ms(const json_t *user)
{
	int64_t ms = 0;

	(void)fmt_parse_time(str_of(json_get_str(user, "last_at")), &ms);
	return ms;
}

static void add_user(json_t *list, const char *secret, const struct cred_user *u, bool straggler)
{
	size_t at = 0;
	json_t *row = json_pack(
		"{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "secret", secret, "straggler",
		straggler, "client", client_json(&u->client, 1), "helo", json_text(str_of(u->helo)),
		"stream", json_text_or_null(str_of(u->stream)), "last_at", json_time(u->last_ms),
		"first_at", json_time(u->first_ms), "uses", (json_int_t)u->uses, "messages",
		(json_int_t)u->messages, "refused", (json_int_t)u->refused);

	while (at < json_array_size(list) && last_ms(json_array_get(list, at)) >= u->last_ms)
		at++;
	(void)json_array_insert_new(list, at, row);
}

static json_t *users_json(const struct cred *x, int64_t now_ms)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		const struct cred_secret_use *u = cred_use_of(x->use, str_of(s->id));
		for (size_t k = 0; k < u->n_users; k++)
			add_user(list, s->id, &u->users[k],
				 cred_secret_usable(x, s, now_ms) &&
					 cred_is_straggler(x, s, &u->users[k]));
	}
	return list;
}

/* ---- */

/* What an import makes the same of; a revoked one is nothing to begin anew with. */
static json_t *export_json(const struct ctl_env *env, const struct cred *x)
{
	static const char *const members[] = { "name",	  "note",	    "senders",
					       "streams", "networks",	    "per_minute",
					       "per_day", "recipients_max", "expires_at" };
	json_t *row = cred_json(env, x);
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		(void)json_object_set(o, members[i], json_object_get(row, members[i]));
	(void)json_object_set_new(o, "disabled", json_boolean(x->disabled_ms != 0));
	json_decref(row);
	return o;
}

static size_t creds_count(const struct ctl_env *env)
{
	return creds_n(env->creds);
}

static json_t *list_row(const struct ctl_env *env, size_t at)
{
	return cred_json(env, creds_at(env->creds, at));
}

static json_t *export_row(const struct ctl_env *env, size_t at)
{
	const struct cred *x = creds_at(env->creds, at);

	return x->revoked_ms == 0 ? export_json(env, x) : NULL;
}

void ctl_cred_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = creds_count, .row = list_row };

	config_list(call, &list);
}

void ctl_cred_export(struct ctl_call *call)
{
	static const struct config_list list = { .n = creds_count, .row = export_row };

	config_list(call, &list);
}

void ctl_cred_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	struct err err = ERR_INIT;

	if (x != NULL) {
		json_t *row = cred_json(env, x);
		(void)json_object_set_new(row, "users", users_json(x, loop_wall_ms(env->loop)));
		ctl_reply(call, row);
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
