/* app - the screens in the order of their digits. */
#include "view/app.h"

#include "base/mem.h"
#include "shell/shell.h"

void app_register(struct shell *s)
{
	static const struct view_def *const all[] = {
		&view_overview, &view_queues,  &view_messages, &view_causes,  &view_holds,
		&view_events,	&view_journal, &view_allow,    &view_access,  &view_routes,
		&view_keys,	&view_audit,   &view_suppress, &view_message,
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		shell_register(s, all[i]);
}
