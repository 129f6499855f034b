/*
 * link - the console's connection: the client as an rpc, its state as the shell shows it.
 *
 * Model:   connects and reconnects by itself; `state` is called when something of link_status()
 *          changes. `relay` is unix:PATH, or NULL for the local default.
 * Owner:   link_free() closes the connection; models must be freed before.
 */
#ifndef APP_LINK_H
#define APP_LINK_H

#include "base/err.h"
#include "model/rpc.h"
#include "shell/shell.h"

struct link;
struct loop;

typedef void link_state_fn(void *arg);

int link_new(struct loop *loop, const char *relay, link_state_fn *state, void *arg,
	     struct link **ret_link, struct err *err) MUST_CHECK;
void link_free(struct link **lp);
struct rpc link_rpc(struct link *l);
/* Name, role, link, trouble, permission and the times; nothing else of the status. */
void link_status(const struct link *l, struct shell_status *out);

#endif
