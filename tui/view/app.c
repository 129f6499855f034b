/* app - the screens in the order of their digits. */
#include "view/app.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "shell/shell.h"

void app_register(struct shell *s)
{
	static const struct view_def *const all[] = {
		&view_overview, &view_queues,  &view_messages, &view_causes,   &view_holds,
		&view_events,	&view_journal, &view_allow,    &view_access,   &view_routes,
		&view_streams,	&view_pools,   &view_keys,     &view_audit,    &view_suppress,
		&view_message,	&view_trace,   &view_alerts,   &view_versions, &view_bounces,
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		shell_register(s, all[i]);
}

const char *app_view_of(enum method_id m)
{
	static const struct {
		enum method_id method;
		const char *view;
	} views[] = {
		{ M_STATUS_GET, "overview" },	 { M_QUEUE_LIST, "queues" },
		{ M_MESSAGE_LIST, "messages" },	 { M_MESSAGE_GET, "message" },
		{ M_ACTION_LIST, "undo" },	 { M_HOLD_LIST, "holds" },
		{ M_CRED_LIST, "access" },	 { M_ALLOW_LIST, "allow" },
		{ M_DKIM_LIST, "keys" },	 { M_ROUTE_LIST, "routes" },
		{ M_STREAM_LIST, "streams" },	 { M_POOL_LIST, "pools" },
		{ M_EVENT_LIST, "events" },	 { M_CAUSE_LIST, "causes" },
		{ M_ALERT_LIST, "alerts" },	 { M_CONFIG_HISTORY, "versions" },
		{ M_BOUNCES_LIST, "bounces" },	 { M_AUDIT_LIST, "audit" },
		{ M_SUPPRESS_LIST, "suppress" },
	};

	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		if (views[i].method == m)
			return views[i].view;
	}
	return NULL;
}

int app_take_filter(const struct app *app, enum filter_about about, struct str line, char *to,
		    size_t size, struct err *err)
{
	AUTO(filter) struct filter *f = filter_parse_about(about, line, err);

	if (f == NULL)
		return -err->code;
	if (line.n >= size)
		return err_set(err, ERR_LIMIT, "the filter is longer than %zu bytes", size - 1);
	memcpy(to, line.p, line.n);
	to[line.n] = '\0';
	if (line.n > 0)
		history_add(app->filters, line);
	return 0;
}
