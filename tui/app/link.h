/*
 * link - the console's connection: the client as an rpc, its state as the shell shows it.
 *
 * Model:   connects and reconnects by itself. `relay` is as for client_new().
 * Owner:   link_free() closes the connection; models must be freed before.
 * Context: the callbacks come from the loop only.
 */
#ifndef APP_LINK_H
#define APP_LINK_H

#include "base/err.h"
#include "client/client.h"
#include "model/rpc.h"
#include "shell/shell.h"

struct link;
struct loop;

struct link_ops {
	void (*state)(void *arg); /* something of link_status() changed */
	void (*ask)(void *arg, const struct client_question *q);
	void (*withdraw)(void *arg, uint64_t question);
};

int link_new(struct loop *loop, const char *relay, const struct link_ops *ops, void *arg,
	     struct link **ret_link, struct err *err) MUST_CHECK;
void link_free(struct link **lp);
struct rpc link_rpc(struct link *l);
/* Name, role, link, trouble, permission and the times; nothing else of the status. */
void link_status(const struct link *l, struct shell_status *out);
void link_answer(struct link *l, uint64_t question, const char *text);
/* Tries now to connect, if it is not connected. */
void link_hurry(struct link *l);

#endif
