/*
 * views - what the reading handlers have in common: answers that take more than one turn of the
 * loop.
 *
 * Model:   a job is the first member of a handler's own struct. It works in steps of VIEW_SLICE_US,
 *          waits for the store in between, answers its call, and is gone. Jobs that are left at the
 *          end are freed by views_close(), which is called after queue_close() and
 *          resolver_free()'s last answer, and before ctl_free().
 * Context: loop thread only.
 */
#ifndef CTL_VIEWS_H
#define CTL_VIEWS_H

#include <sys/queue.h>

#include "ctl/env.h"

#define VIEW_SLICE_US 3000
#define VIEW_LIMIT 100 /* rows of a page unless said */

struct view_job;

struct view_job_ops {
	void (*step)(struct view_job *j); /* after view_soon() */
	void (*done)(struct view_job *j); /* frees what the job has, not the job; may be NULL */
};

struct view_job {
	struct ctl_env *env;
	struct ctl_call *call; /* NULL: no call waits for it */
	const struct view_job_ops *ops;
	struct loop_timer *timer;
	int64_t slice_end_us;
	LIST_ENTRY(view_job) link;
};

/* A cleared, malloc'ed job from then on belongs to the views. */
void view_begin(struct view_job *j, struct ctl_env *env, struct ctl_call *call,
		const struct view_job_ops *ops);
void view_soon(struct view_job *j); /* step() from the loop */
/* Whether a step has worked long enough; asks the clock, so ask it every few dozen items. */
bool view_slice_over(const struct view_job *j);
void view_end(struct view_job *j);
/* Answers the call and ends the job. */
void view_reply(struct view_job *j, json_t *result_take);
void view_fail(struct view_job *j, const struct err *err);

void views_close(struct ctl_env *env);

/* What was found when the groups were last gone through for the status (ctl_status.c). */
struct view_attention {
	json_t *rows;		    /* NULL: not known yet */
	size_t n;		    /* how many there would be, those that are held not counted */
	struct sched_counts counts; /* of the whole queue */
	int64_t oldest_ms;
	int64_t waiting_ms;	  /* the oldest that is not held came then */
	char waiting_domain[256]; /* and is for it */
	int64_t at_ms;		  /* monotonic */
	struct view_job *busy;	  /* looks for them now; NULL */
};
struct view_attention *view_attention(struct ctl_env *env);
struct alerts_seen *view_alerts_seen(struct ctl_env *env); /* ctl/alerts.h */

/* The message whose content was read last is kept for VIEW_KEEP_MS: for its next piece. */
#define VIEW_KEEP_MS 5000
void view_keep(struct ctl_env *env, const struct message *m);
const struct message *view_kept(struct ctl_env *env, struct msgid id); /* borrows; NULL */

/* An answer of rows; next and prev are cursors (taken, NULL: none). */
json_t *view_page(json_t *rows_take, char *next_take, char *prev_take, uint64_t total, bool exact);

/* --- parts of several answers ----------------------------------------------------------------- */

json_t *view_status(struct ctl_env *env);
json_t *view_alert_rows(struct ctl_env *env); /* rows; owned */
/* Rows for a subscription, answered with ctl_rows(). */
void view_queue_rows(struct ctl_env *env, uint64_t ticket, const char *by, const char *const *keys,
		     size_t keys_n);
/* What a class of replies means, and one of its replies: {class, kind, meaning, advice, action,
 * text}; null without a class. */
json_t *view_cause(const struct ctl_env *env, struct str site, uint8_t reply_class,
		   const char *reply);
/* A row of entity "suppress"; owned. (ctl_suppress.c) */
json_t *view_suppress_row(const struct suppress_entry *e);
/* A kept report by its number; NULL: ERR_UNKNOWN. (ctl_bounces.c) */
const struct unread_mail *view_report(const struct ctl_env *env, const char *id, struct err *err);
/* A row of entity "stream"; owned. (ctl_stream.c) */
json_t *view_stream_row(const struct mailstream *x);
/* What a client of this address may do, and why, appended in words. (ctl_allow.c) */
void view_client(const struct ctl_env *env, const struct ipaddr *client, struct buf *out);
/* The reply in one line for sentences, cut to `max` characters; owned. */
char *view_quote(const char *reply, size_t max);

#endif
