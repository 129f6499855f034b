/*
 * app - what every screen gets from the wiring (view_app()), and the screens there are.
 *
 * Owner:   the wiring owns all of it and outlives the shell.
 */
#ifndef VIEW_APP_H
#define VIEW_APP_H

#include "filter/filter.h"
#include "model/relay.h"
#include "model/rpc.h"
#include "proto/proto.h"
#include "shell/view.h"

struct acts;
struct history;
struct loop;

struct app {
	struct loop *loop;
	struct shell *shell;
	struct rpc rpc;
	struct relay *relay;
	struct history *filters; /* filters typed lately, for all screens */
	struct acts *acts;	 /* plans and forms under way */
	bool readonly;
};

extern const struct view_def view_overview, view_queues, view_messages, view_message, view_causes,
	view_holds, view_events, view_journal, view_allow, view_routes, view_keys, view_audit,
	view_suppress, view_access, view_streams, view_pools, view_trace, view_alerts,
	view_versions, view_bounces;

/* The screen for a reading command; NULL when it has none. */
const char *app_view_of(enum method_id m);

/* A filter that was typed, to `to` and among those typed lately; refused when it is none, or longer
 * than fits there. */
int app_take_filter(const struct app *app, enum filter_about about, struct str line, char *to,
		    size_t size, struct err *err) MUST_CHECK;

/* Registers all screens. */
void app_register(struct shell *s);

#endif
