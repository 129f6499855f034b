/* dkim.list and dkim.show: the keys and their records, never a private part. */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ZONE_MAX ((size_t)8192)

static const char *algorithm(const struct key_entry *e)
{
	return dkim_algorithm_name(keys_algorithm(e));
}

static const char *state_of(const struct key_entry *e)
{
	return e->key != NULL ? key_state_name(e->state) : "empty";
}

static json_t *entry_json(const struct ctl_env *env, size_t at)
{
	const struct key_entry *e = keys_at(env->keys, at);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o}", "id", e->id, "state",
			 state_of(e), "domain", e->domain, "selector", e->selector, "algorithm",
			 algorithm(e), "by", json_text(str_of(e->by)), "created_at",
			 json_time(e->created_ms), "signed", (json_int_t)e->signed_n, "failed",
			 (json_int_t)e->failed_n, "last_signed_at", json_time(e->last_ms));
}

static size_t entries_n(const struct ctl_env *env)
{
	return keys_n(env->keys);
}

void ctl_dkim_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = entries_n, .row = entry_json };

	config_list(call, &list);
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
