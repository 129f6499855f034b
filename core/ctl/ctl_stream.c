/* stream.list and stream.show. */
#include <string.h>

#include "base/json.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"
#include "ctl/views.h"

static void null_when(json_t *row, const char *name, bool none)
{
	if (none)
		(void)json_object_set_new(row, name, json_null());
}

/* "sender-domain:news.example, with List-Unsubscribe or X-Stream: news*" */
static json_t *rule_json(const struct mailstream *x)
{
	AUTO_BUF b = BUF_INIT(FILTER_TEXT_MAX + STREAM_CONDITIONS_MAX * STREAM_CONDITION_MAX);

	if (strcmp(x->id, STREAM_DEFAULT) == 0)
		(void)buf_puts(&b, "everything else");
	else if (*x->match_text != '\0')
		(void)buf_puts(&b, x->match_text);
	else
		(void)buf_puts(&b, x->headers[0] != NULL ? "mail" : "all mail");
	for (size_t i = 0; x->headers[i] != NULL; i++)
		(void)buf_printf(&b, "%s%s",
				 i > 0			  ? " or "
				 : *x->match_text != '\0' ? ", with "
							  : " with ",
				 x->headers[i]);
	return json_text(buf_str(&b));
}

json_t *view_stream_row(const struct mailstream *x)
{
	json_t *row = json_pack("{s:s, s:o}", "id", x->id, "rule", rule_json(x));

	(void)json_object_update_missing_new(row, streams_json(x));
	(void)json_object_del(row, "place");
	(void)json_object_del(row, "created_ms");
	null_when(row, "retry", *x->retry_text == '\0');
	null_when(row, "lifetime_s", x->lifetime_s == 0);
	null_when(row, "delay_s", x->delay_s < 0);
	null_when(row, "rate", x->rate == 0);
	null_when(row, "concurrency", x->concurrency == 0);
	null_when(row, "pool", *x->pool == '\0');
	null_when(row, "dkim", *x->dkim == '\0');
	null_when(row, "suppressed", x->suppressed == STREAM_AS_RELAY);
	null_when(row, "note", *x->note == '\0');
	(void)json_object_set_new(row, "created_at", json_time(x->created_ms));
	return row;
}

static size_t rows_n(const struct ctl_env *env)
{
	return streams_n(env->streams);
}

static json_t *row(const struct ctl_env *env, size_t at)
{
	return view_stream_row(streams_at(env->streams, at));
}

void ctl_stream_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = rows_n, .row = row };

	config_list(call, &list);
}

void ctl_stream_show(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");
	const struct mailstream *x;
	struct err err = ERR_INIT;

	if (stream_get(env->streams, "name", name, &x, &err) < 0)
		ctl_fail(call, &err);
	else
		ctl_reply(call, view_stream_row(x));
}
