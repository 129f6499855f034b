/*
 * actions_int - what the files of actions.h share: the journal's recent part, plans, and changes
 * under way (struct op).
 *
 * A change is an op from its call to its answer. It goes through steps that call each other: get
 * the set (op_select), go over it in slices (op_pass), store action and objects (op_commit), bring
 * the rules' marks in line (op_marks), answer. What can be taken back (marks in memory) is done
 * before the commit, so that the stored set is exactly the one that was touched, and taken back
 * when the commit fails; what cannot (mail that is released, routes, access) comes after it.
 * Every step ends in the next one, in op_fail() or in op_answer(); op_free() ends all.
 */
#ifndef CTL_ACTIONS_INT_H
#define CTL_ACTIONS_INT_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/json.h"
#include "ctl/actions.h"
#include "ctl/actions_audit.h"
#include "ctl/actions_edit.h"
#include "ctl/actions_store.h"
#include "ctl/actions_suppress.h"
#include "ctl/beside.h"
#include "ctl/journal.h"
#include "ctl/plans.h"
#include "ctl/probation.h"
#include "ctl/reaper.h"
#include "ctl/replay.h"
#include "ctl/slicer.h"
#include "ctl/uploads.h"
#include "loop/loop.h"

#define ACTIONS_KEEP_MS (INT64_C(3600) * 1000) /* answers are remembered for repeated requests */
#define ACTIONS_RECENT_MAX 20000	       /* actions without a set in memory */
#define ACTIONS_SET_MAX ((size_t)16 << 20)     /* recipients of all open plans together */
#define ACTIONS_RECORDS_MAX 20000	       /* results waiting for the disk before we wait */
#define OP_SECRETS_MAX 2
#define OP_LARGE 200 /* objects; a change of so many is prepared in slices */
#define OP_TEXT_MAX ((size_t)1 << 31)

/* --- changes under way (actions_op.c) --------------------------------------------------------- */

/* Whether the recipient (op->pass[op->at]) was touched. With op->stop it ends the pass there. */
typedef bool op_touch_fn(struct op *op, struct rid rid);

struct op {
	uint32_t magic;
	TAILQ_ENTRY(op) link;
	struct actions *a;
	struct ctl_env *env;
	struct ctl_call *call; /* NULL: nobody waits */
	const struct ctl_caller *who;
	const struct method_def *method; /* what is done; of plan.commit the planned one */
	struct plan *plan;		 /* owned unless it stands in the list of open ones */
	struct slicer slicer;
	struct select *select;
	struct replay *replay;
	op_fn *then;
	op_fn *failed;
	op_fn *refused;	    /* by the disk, of an undo */
	const char *reason; /* of what the relay does by itself; NULL */
	struct err err;
	json_t *locks; /* "kind:id" of each */
	/* a pass */
	const struct rid *pass;
	size_t pass_n;
	size_t at;
	op_touch_fn *touch;
	bool keep;    /* in set */
	bool stop;    /* set by touch, with err */
	bool records; /* the pass waits while too many results wait for the disk */
	struct msgid last;
	size_t touched;
	uint64_t messages;
	/* what was touched */
	struct rid *set;
	struct rid *set_copy; /* that the queue takes: copied at once it would take too long */
	size_t set_n;
	size_t set_cap;
	int64_t *was;
	int64_t was_one; /* of the recipient in hand */
	struct buf was_text;
	uint8_t *groups; /* touched ones, by their index */
	uint32_t groups_n;
	/* groups to be judged again */
	bool judge;
	bool judge_routes;
	struct sched_pass judged;
	op_fn *judged_then;
	/* marks to be taken off and to be set, by number of the hold */
	struct op_holds {
		uint32_t *v;
		size_t n;
	} unmark, mark;
	uint32_t place;
	uint32_t hold; /* the one in hand */
	struct selection to_mark;
	op_fn *marked;
	/* the transaction */
	uint64_t id;	/* of the action */
	uint64_t seen;	/* the version in force when it began */
	uint64_t given; /* and the one that was given last */
	uint64_t generation;
	uint64_t version; /* that it makes; 0: none */
	bool probation;	  /* it begins one (ctl/probation.h) */
	size_t edited_n;  /* objects of the configuration that it changes */
	json_t *edited;	  /* how (ctl/config.h); not of a large one */
	json_t *met;	  /* of a plan: ids of open ones of others for the same */
	json_t *rows;	  /* and its changes, the first ones */
	size_t rows_bytes;
	bool of_config;	  /* it changes some of it */
	bool whole;	  /* a large edit: nobody else edits until it is in force, or was refused */
	bool storing_now; /* the disk has it */
	struct beside *beside;
	struct op_texts {
		struct queue_batch *batch;
		size_t at; /* objects that are in the texts */
		struct buf changes;
		struct buf edited;
		struct buf undo;
		json_t *shown; /* without secrets, of what cannot be taken back */
		bool secrets;  /* there are some */
	} texts;
	int64_t at_ms;
	int64_t undo_until_ms;
	size_t skipped;
	size_t held; /* that a retry passed over */
	json_t *result;
	json_t *objects;
	json_t *undo_objects; /* that the journal keeps; with secrets in them: wipe */
	bool wipe;
	struct op_secret { /* stored with the objects, and shown nowhere */
		char *kind;
		char *id;
		char *json;
	} secrets[OP_SECRETS_MAX];
	size_t secrets_n;
	bool leave;		/* what others changed since, stays */
	json_t *left;		/* and that is what did, the first: array of {kind, id, why} */
	size_t left_n;		/* of all */
	struct action *of;	/* that is taken back, or brought to its end: busy */
	struct action *storing; /* a retry whose times are written */
	void *more;		/* of one file */
	void (*more_free)(void *more);
};
TAILQ_HEAD(op_list, op);

/* call NULL: for what the relay does by itself. */
struct op *op_new(struct actions *a, struct ctl_call *call, const struct method_def *m);
void op_free(struct op **opp);
void op_fail(struct op *op, const struct err *err); /* answers and frees */
void op_answer(struct op *op); /* with op->result; frees, and the plan that was committed */
/* Nobody else changes this object meanwhile: ERR_CONFLICT with a name. */
int op_lock(struct op *op, const char *kind, const char *id, struct err *err) MUST_CHECK;
/* The plan's set from a filter, or what holds (op->plan->holds) hold. */
void op_select(struct op *op, const struct filter *f, op_fn *then);
void op_pass(struct op *op, const struct rid *rids, size_t n, op_touch_fn *touch, bool keep,
	     op_fn *then);
/* Gives the action its id and times. */
void op_begin(struct op *op, bool undoable);
/* The answer from what was touched; `skipped` set before. */
void op_result(struct op *op, size_t recipients, uint64_t messages);
void op_object(struct op *op, const char *kind, const char *id, json_t *before_take,
	       json_t *after_take);
/* A new object that neither the journal nor an answer may have. Takes json; keys_wipe() frees it.
 */
void op_secret(struct op *op, const char *kind, const char *id, char *json_take);
void op_holds_add(struct op_holds *h, uint32_t number);
bool op_planned(const struct op *op);
/* Whether every queued message has one recipient. */
bool all_single(const struct ctl_env *env, uint64_t *ret_messages);

/* --- objects (actions_object.c) --------------------------------------------------------------- */

/* As it stands now; owned, NULL when there is none. */
json_t *object_current(const struct ctl_env *env, const char *kind, const char *id);
/* Puts every object's `after` in force. What has to follow in slices, groups to be judged again and
 * marks to be moved, is noted in op for op_judge() and op_marks(). */
void objects_apply(struct op *op);
json_t *hold_ended(const json_t *hold, int64_t now_ms); /* owned */
/* The credential with one secret that is good no more; owned. */
json_t *cred_retired(const struct cred *x, const char *id, int64_t now_ms);

/* --- the parts of a change -------------------------------------------------------------------- */

/* Commits op->plan; see the table in actions_plan.c. */
op_fn set_delete, set_bounce, set_retry; /* actions_set.c */
/* What a retry does not do, as a list of one text; owned. */
json_t *retry_warnings(size_t held);
op_touch_fn touch_untrash;
op_touch_fn touch_restore;	   /* the next time before a retry */
op_fn hold_commit, release_commit; /* actions_hold.c */
op_touch_fn touch_hold;		   /* marks it with op->hold, unless that is 0 */
const struct hold *hold_active_on(const struct ctl_env *env, const char *target); /* or NULL */
json_t *hold_make(const struct op *op);	     /* the new one of op->plan's target; owned */
op_fn incident_commit;			     /* actions_incident.c */
char *incident_target(const json_t *params); /* owned */
/* What it does besides holding, in words, for the plan; owned. */
json_t *incident_effects(const struct op *op);
int incident_check(struct op *op, struct err *err) MUST_CHECK;
/* Checks before there is a set, and completes the plan: for release, which holds. */
int hold_check(struct op *op, struct err *err) MUST_CHECK;
int release_check(struct op *op, struct err *err) MUST_CHECK;
/* A plan that is only a name, for changes without a set. */
void op_name(struct op *op, const char *text);

/* Takes an action's objects back, and answers or fails (actions_undo.c). Who is not asked (the
 * relay, config.rollback) leaves what others changed since. */
void undo_objects(struct op *op, struct action *x, op_fn *refused);

/* Lets the groups be judged again (actions_marks.c), then goes on. */
void op_judge(struct op *op, op_fn *then);
/* And takes marks off and sets them. */
void op_marks(struct op *op, op_fn *then);
/* All holds that ask are marked again, in the background. */
void marks_again(struct actions *a);

/* Brings windows that are over to their end (actions_end.c). */
void ends_run(struct actions *a);
int64_t ends_next_ms(struct actions *a); /* 0: nothing waits */
/* Writes the times of a retry, or stops that. */
void end_retry_store(struct actions *a, struct action *x);
void end_retry_stop(struct actions *a, const struct action *x);
/* Holds and allowlist entries past their end (actions_expiry.c). */
void expiry_run(struct actions *a);
int64_t expiry_next_ms(struct actions *a);

/* What is counted, from and to the store (uses.c). */
int uses_load(struct actions *a, struct err *err) MUST_CHECK;
void uses_start(struct actions *a);
void uses_close(struct actions *a);

/* A row of entity "hold"; owned. */
json_t *hold_row(const struct hold *h, uint64_t recipients, uint64_t messages);
/* What an active hold has now, from the groups' counters; only for holds that do not ask. */
uint64_t hold_recipients(const struct ctl_env *env, uint32_t number);

/* --- reports (report.c) ----------------------------------------------------------------------- */

struct report;
TAILQ_HEAD(report_list, report);
struct reports {
	struct report_list waiting;
	struct report_list active;
	unsigned active_n;
	struct loop_timer *again;
};
typedef void report_done_fn(void *arg, uint64_t ticket);
/* Results are copied as far as needed; done() always comes, maybe from inside. */
void report_start(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		  unsigned n, report_done_fn *done, void *arg, uint64_t ticket);
void reports_init(struct actions *a);
void reports_close(struct actions *a);

/* --- selections (select.c) -------------------------------------------------------------------- */

LIST_HEAD(select_list, select);
/* What is held by one of these. */
struct select *select_held(struct ctl_env *env, const uint32_t *holds, size_t n, select_fn *fn,
			   void *arg);
void selects_close(struct actions *a);

#define ACTIONS_MAGIC 0x57e3c010u
#define OP_MAGIC 0x57e3c011u

struct actions {
	uint32_t magic;
	struct ctl_env *env;
	uint64_t last_id;
	uint64_t last_version;
	uint64_t version; /* in force */
	struct edit_log *edits;
	struct action_list recent; /* by id */
	size_t recent_n;
	struct plan_list plans;
	size_t plans_n;
	size_t plans_set; /* recipients of all of them */
	struct op_list ops;
	struct select_list selects;
	struct reports reports;
	struct uploads uploads;
	struct refusals refusals;
	struct reaper *reaper;
	struct loop_timer *timer;
	struct uses *uses;
	bool started;
	struct op *marking; /* marks_again() at work */
	bool mark_again;
};
/* Something new may be due: the timer is set for what comes first. */
void actions_arm(struct actions *a);

#endif
