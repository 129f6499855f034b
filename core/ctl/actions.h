/*
 * actions - what operators change: plans, commits, undo, and the rules' objects.
 *
 * Model:   a plan fixes a set of recipients (by select_start) and describes it; a commit acts on
 *          what of the set is still there and not in delivery, stores action and objects in one
 *          transaction (queue_commit), and answers after it is on disk. A change without a plan is
 *          a plan that is committed at once.
 *	hold	 one object "hold"; marks for holds that ask
 *	release	 ends holds; marks off
 *	retry	 next times to 0, the times before are what undo needs
 *	delete	 into the trash; when the undo window is over: outcome DELETED
 *	bounce	 into the trash; when the grace is over: outcome FAILED with a report
 *          What can be taken back from memory without a trace (marks of trash and holds, times) is
 *          done before the transaction, so that the stored set is exactly what was touched, and is
 *          undone when the disk refuses. What cannot (mail let go, routes, access) comes after it.
 *          Nothing is final before it is stored.
 *          The journal's state: undoable; done (final, or never undoable); undone; expired (the
 *          window is over). After a restart all of it goes on from queue_load_actions(). An
 *          action's number is also that of the hold ("h12") or route ("r12") which it makes.
 * Context: loop thread only. Nothing works for longer than a few ms at a time, whatever the size
 *          of the set.
 * Limits:  ACTIONS_PLANS open plans, ACTIONS_PLAN_S seconds each.
 */
#ifndef CTL_ACTIONS_H
#define CTL_ACTIONS_H

#include "ctl/env.h"

#define ACTIONS_PLANS 100
#define ACTIONS_PLAN_S 600

/* At start, blocking, after the records are loaded: objects (holds, routes, access) and open
 * actions; puts what is in the trash there. Sets env->actions. */
int actions_open(struct ctl_env *env, struct err *err) MUST_CHECK;
/* Starts the timers (ends of holds, of windows and of graces). When the scheduler has started. */
void actions_start(struct actions *a);
/* Before queue_close(): what was counted and is not on disk yet. */
void actions_flush(struct actions *a);
/* After queue_close(), which would still answer, and before ctl_free() and the loop's end. What is
 * under way ends; its calls are left to ctl_free(). */
void actions_close(struct actions **ap);
/* 1: this change was made before under its request id, *ret is the answer (owned). 0: it was not.
 * -ERR_CONFLICT: another change was. */
int actions_replay(struct ctl_env *env, const struct ctl_call *call, json_t **ret, struct err *err);
/* Records a change that was refused, or done without an action; of the refusals of one account
 * AUDIT_REFUSALS a minute, the others are counted. (ctl/actions_audit.c) */
#define AUDIT_REFUSALS 30
void actions_audit(struct ctl_env *env, const struct ctl_caller *who,
		   const struct ctl_change *change);
/*
 * After actions_open(). The scheduler's `failed` when a report is due: stores a report to the
 * sender (none for the null sender), then calls sched_failed_recorded(ticket). Used for failures,
 * expiry and bounces alike. (ctl/report.c)
 */
void report_failed(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		   unsigned n, uint64_t ticket);
/* Delays, and mail that went to a host without DSN: reported to a sender who wants that. */
void report_other(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		  unsigned n);
/* A failure that came by mail, of a message that may be over; done() when its report is on disk, or
 * none is due. The sender is told once of a recipient, until until_ms, whenever this is asked. */
void report_late(struct ctl_env *env, const struct queue_result *result, int64_t until_ms,
		 void (*done)(void *arg, uint64_t ticket), void *arg);

#endif
