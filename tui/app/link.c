/* link - the client's functions in the shape of a table, and its states in the shell's words. */
#include "app/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "client/client.h"

#define LINK_MAGIC 0x4c696e6bu

struct link {
	uint32_t magic;
	struct client *client;
	const struct link_ops *ops;
	void *arg;
};

static struct client *client_of(void *conn)
{
	return OBJ(link, LINK_MAGIC, conn)->client;
}

static uint64_t link_call(void *conn, const char *method, json_t *params, rpc_answer_fn *fn,
			  void *arg)
{
	return client_call(client_of(conn), method, params, fn, arg);
}

static void link_cancel(void *conn, uint64_t call)
{
	client_cancel(client_of(conn), call);
}

static uint64_t link_sub(void *conn, const char *topic, json_t *params, rpc_push_fn *fn, void *arg)
{
	return client_sub(client_of(conn), topic, params, fn, arg);
}

static void link_unsub(void *conn, uint64_t sub)
{
	client_unsub(client_of(conn), sub);
}

struct rpc link_rpc(struct link *l)
{
	static const struct rpc_ops ops = {
		.call = link_call, .cancel = link_cancel, .sub = link_sub, .unsub = link_unsub
	};

	return (struct rpc){ &ops, l };
}

static void on_state(void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);

	l->ops->state(l->arg);
}

static void on_ask(void *arg, const struct client_question *q)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);

	l->ops->ask(l->arg, q);
}

static void on_withdraw(void *arg, uint64_t question)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);

	l->ops->withdraw(l->arg, question);
}

static const struct client_ops client_ops = { .state = on_state,
					      .ask = on_ask,
					      .withdraw = on_withdraw };

int link_new(struct loop *loop, const char *relay, const struct link_ops *ops, void *arg,
	     struct link **ret_link, struct err *err)
{
	struct link *l = xcalloc(1, sizeof(*l));
	int result;

	l->magic = LINK_MAGIC;
	l->ops = ops;
	l->arg = arg;
	result = client_new(loop, &(struct client_options){ .relay = relay, .stay = true },
			    &client_ops, l, &l->client, err);
	if (result < 0)
		link_free(&l);
	else
		*ret_link = l;
	return result;
}

void link_free(struct link **lp)
{
	struct link *l = *lp;

	if (l == NULL)
		return;
	client_free(&l->client);
	free(l);
	*lp = NULL;
}

void link_answer(struct link *l, uint64_t question, const char *text)
{
	client_answer(l->client, question, text);
}

void link_hurry(struct link *l)
{
	client_hurry(l->client);
}

static enum shell_link shell_link_of(const struct client_view *v)
{
	switch (v->state) {
	case CLIENT_UP:
		return LINK_UP;
	case CLIENT_ASKING:
		return LINK_ASKING;
	case CLIENT_LOST:
		if (v->retry_wall_ms == 0)
			return LINK_REFUSED;
		break;
	case CLIENT_CONNECTING:
	case CLIENT_GREETING:
	case CLIENT_STATE__COUNT:
		break;
	}
	return v->was_up ? LINK_LOST : LINK_CONNECTING;
}

/* What goes on now; else why it is not connected. */
static const char *trouble_of(const struct client_view *v)
{
	if (v->doing[0] != '\0')
		return v->doing;
	if (v->state == CLIENT_GREETING && v->trouble.code == 0)
		return "waiting for the relay's greeting";
	return v->state == CLIENT_ASKING ? "" : v->trouble.msg;
}

void link_status(const struct link *l, struct shell_status *out)
{
	struct client_view v;

	client_view(l->client, &v);
	(void)snprintf(out->relay, sizeof(out->relay), "%s", v.relay[0] != '\0' ? v.relay : v.name);
	if (v.role != ACCESS_NONE)
		(void)snprintf(out->role, sizeof(out->role), "%s", access_name(v.role));
	(void)snprintf(out->trouble, sizeof(out->trouble), "%s", trouble_of(&v));
	out->perm = v.role >= ACCESS_ADMIN	? ACTION_ADMIN
		    : v.role >= ACCESS_OPERATOR ? ACTION_OPERATE
						: ACTION_VIEW;
	out->link = shell_link_of(&v);
	out->production = v.production;
	out->data_wall_ms = v.state == CLIENT_UP ? 0 : v.heard_wall_ms;
	out->retry_wall_ms = v.retry_wall_ms;
}
