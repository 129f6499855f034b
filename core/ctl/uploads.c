#include "ctl/uploads.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/actions_int.h"

int upload_find(const struct ctl_call *call, const struct upload_kind *kind, struct upload **ret,
		struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *id = ctl_str(call, "upload");
	struct upload *u;

	LIST_FOREACH (u, &env->actions->uploads.list, link)
		if (strcmp(u->id, id) == 0 && u->kind == kind && u->uid == ctl_who(call)->uid) {
			*ret = u;
			return 0;
		}
	return err_param(err, ERR_UNKNOWN, "upload",
			 "there is no upload %.20s of yours (any more); %s makes one", id,
			 kind->by);
}

int upload_new(const struct ctl_call *call, const struct upload_kind *kind, void *content,
	       struct upload **ret, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	struct actions *a = env->actions;
	struct upload *u;

	uploads_expire(a);
	if (a->uploads.n >= UPLOADS_MAX)
		return err_set(err, ERR_LIMIT, "%d imports are being prepared already",
			       UPLOADS_MAX);
	u = xcalloc(1, sizeof(*u));
	(void)snprintf(u->id, sizeof(u->id), "u%" PRIu64, ++a->uploads.last);
	u->kind = kind;
	u->uid = ctl_who(call)->uid;
	u->conn = ctl_conn_id(call);
	u->content = content;
	LIST_INSERT_HEAD(&a->uploads.list, u, link);
	a->uploads.n++;
	upload_keep(a, u);
	*ret = u;
	return 0;
}

struct upload *upload_at(const struct actions *a, const char *id)
{
	struct upload *u;

	LIST_FOREACH (u, &a->uploads.list, link)
		if (strcmp(u->id, id) == 0)
			return u;
	return NULL;
}

void upload_keep(struct actions *a, struct upload *u)
{
	u->expires_ms = loop_wall_ms(a->env->loop) + UPLOAD_S * 1000;
}

void *upload_take(struct actions *a, struct upload *u)
{
	void *content = u->content;

	LIST_REMOVE(u, link);
	a->uploads.n--;
	free(u);
	return content;
}

void upload_close(struct actions *a, struct upload *u)
{
	const struct upload_kind *kind = u->kind;

	kind->free(upload_take(a, u));
}

/* conn 0: of all. before_ms 0: whenever they end. */
static void close_some(struct actions *a, uint64_t conn, int64_t before_ms)
{
	struct upload *u, *next;

	for (u = LIST_FIRST(&a->uploads.list); u != NULL; u = next) {
		next = LIST_NEXT(u, link);
		if ((conn == 0 || u->conn == conn) &&
		    (before_ms == 0 || u->expires_ms <= before_ms))
			upload_close(a, u);
	}
}

void uploads_close(struct actions *a)
{
	close_some(a, 0, 0);
}

void uploads_expire(struct actions *a)
{
	close_some(a, 0, loop_wall_ms(a->env->loop));
}

void uploads_gone(struct actions *a, uint64_t conn)
{
	close_some(a, conn, 0);
}
