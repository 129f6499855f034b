/*
 * uploads - files that come in pieces, before one call makes something of them. A part of
 * actions_int.h.
 *
 * Model:   the first piece makes an upload, the next ones name it. It is found by its id and
 * account for UPLOAD_S seconds after its last piece; it goes with the connection that brought it.
 *          What it has in it is its maker's.
 * Limits:  UPLOADS_MAX of all together.
 */
#ifndef CTL_UPLOADS_H
#define CTL_UPLOADS_H

#include <sys/queue.h>

#include "ctl/actions.h"

#define UPLOADS_MAX 8
#define UPLOAD_S 600
#define UPLOAD_ID_LEN 16

struct upload_kind {
	const char *by; /* the method that makes one */
	void (*free)(void *content);
};

struct upload {
	LIST_ENTRY(upload) link;
	char id[UPLOAD_ID_LEN];
	const struct upload_kind *kind;
	uid_t uid;
	uint64_t conn;
	int64_t expires_ms;
	bool planned; /* a plan is made of it, or was: nothing may be added */
	void *content;
};
LIST_HEAD(upload_list, upload);
struct uploads {
	struct upload_list list;
	size_t n;
	uint64_t last; /* number */
};

/* The one that the call goes on with. ERR_UNKNOWN. */
int upload_find(const struct ctl_call *call, const struct upload_kind *kind, struct upload **ret,
		struct err *err) MUST_CHECK;
/* Takes the content, if it can be made: ERR_LIMIT. */
int upload_new(const struct ctl_call *call, const struct upload_kind *kind, void *content_take,
	       struct upload **ret, struct err *err) MUST_CHECK;
/* Of this id; NULL: it is gone. */
struct upload *upload_at(const struct actions *a, const char *id);
/* Its time begins anew. */
void upload_keep(struct actions *a, struct upload *u);
/* The content, owned; the upload is gone. */
void *upload_take(struct actions *a, struct upload *u);
void upload_close(struct actions *a, struct upload *u);

void uploads_close(struct actions *a);
void uploads_expire(struct actions *a);
void uploads_gone(struct actions *a, uint64_t conn);

#endif
