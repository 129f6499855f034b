/*
 * What the files of the command line share: the state of one run, and the verbs' functions.
 *
 * A verb's function answers the exit status, or -ERR_X with err set, which cli.c prints.
 */
#ifndef CLI_CLI_INT_H
#define CLI_CLI_INT_H

#include "args/args.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "client/client.h"
#include "loop/loop.h"

#define CLI_ROWS_DEFAULT 100 /* rows for people, unless said */
#define CLI_REQUEST_LEN 32

struct cli {
	uint32_t magic;
	const struct cli_options *o;
	const char *relay;
	bool json;
	struct out out;
	struct loop *loop;
	struct client *client; /* of talk.c; NULL before the first call */
	char request[CLI_REQUEST_LEN];
	unsigned requests;
	int interrupted; /* the signal, 0: none */
};
#define CLI_MAGIC 0x636c6931u

typedef int cli_verb_fn(struct cli *c, const struct args *a, struct err *err);

/* --- talk.c: calls that wait for their answer ------------------------------------------------- */

/*
 * Connects when it has to. When the connection dies before the answer it is made again and the
 * call is repeated once; a change carries the same request id then. *ret_result is owned.
 */
int talk_call(struct cli *c, const char *method, json_t *params_take, json_t **ret_result,
	      struct err *err) MUST_CHECK;
/* Asks what a connection needs to know on the terminal; for struct client_ops. */
void talk_ask(struct client *client, const struct client_question *q);
/* A request id for params of a change. */
void talk_request(struct cli *c, json_t *params);
/* A line from standard input, without its end, while the connection is kept alive. False at its
 * end. */
bool talk_line(struct cli *c, struct buf *line);
void talk_end(struct cli *c);

/* --- in common ----------------------------------------------------------------------------------
 */

/* There, and not null. */
bool cli_has(const json_t *row, const char *name);
/* Wall clock now. */
int64_t cli_now_ms(void);
/* Prints and empties b. */
void cli_print(struct cli *c, struct buf *b);
/* Prints a JSON document. */
void cli_print_json(struct cli *c, const json_t *v);
/* Calls the verb's method and prints its answer: as it came with --json, else as `put` lays it out.
 */
typedef void cli_put_fn(struct cli *c, const struct args *a, struct buf *b, const json_t *answer);
int cli_answer(struct cli *c, const struct args *a, cli_put_fn *put, struct err *err) MUST_CHECK;

/* --- verbs ------------------------------------------------------------------------------------ */

cli_verb_fn run_list, run_object, run_status, run_show, run_change, run_events, run_records,
	run_check, run_audit, run_cred, run_diff, run_allow, run_import, run_cred_export,
	run_config_export, run_kept, run_trial;
/* The same for rows of verbs.def. */
#define VERB(id, fn, ...) int verb_##fn(struct cli *c, const struct args *a, struct err *err);
#include "args/verbs.def"
#undef VERB

/* pieces.c: what of the parameters is too large for one request is brought before it. */
int pieces_bring(struct cli *c, const struct method_def *m, json_t *params,
		 struct err *err) MUST_CHECK;
/* change.c: whether somebody is there to be asked, and what a change did, for people or scripts. */
bool change_can_ask(const struct cli *c);
/* A question on standard error; true: yes, or the number when one is to be typed (0: none). */
bool change_ask(struct cli *c, const char *question, int64_t number);
void change_print(struct cli *c, const struct args *a, const json_t *done);
/* What may not have been meant; each on a line. */
void change_put_warnings(const struct out *o, struct buf *b, const json_t *warnings);

/* records.c: for dkim.activate, adds as warnings which keys do not stand in DNS as they should. */
void check_warn_of_keys(struct cli *c, const struct args *a, json_t *answer);

/* content.c: --raw and --headers. */
int content_print(struct cli *c, const char *id, bool headers, struct err *err) MUST_CHECK;
/* plan.c: a plan as people read it. */
void plan_put(const struct out *o, struct buf *b, const json_t *plan);
/* Rows of change, a line each. */
void plan_put_changes(const struct out *o, struct buf *b, const json_t *changes);
/* show.c: what remote hosts said, attempt by attempt. */
void show_put_attempts(const struct out *o, struct buf *b, const json_t *attempts);

/* help.c */
void help_put_verb(struct buf *b, const struct method_def *m);
/* "weir hold TARGET --reason TEXT [--for AGE] …" */
void help_put_synopsis(struct buf *b, const struct method_def *m);
void help_put_verbs(struct buf *b);
/* "--for AGE" of a parameter, or how it is called when it has no option's name; NULL when it has
 * no place on the command line. Owned. */
char *help_param_head(const struct param_def *p);

#endif
