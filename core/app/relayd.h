/*
 * relayd - the relay as a whole: its parts, put together, started and ended.
 *
 * Model:   relayd_new() binds listeners and the control socket and may need root; relayd_open()
 *          reads the queue and runs under the account that the daemon keeps. relayd_run() returns
 *          when the process was told to end: no new mail is taken, transactions under way end, all
 *          is on disk.
 * Owner:   the caller; the configuration is borrowed for its life.
 * Context: one thread; relayd_open() blocks as long as reading the queue takes.
 * Errors:  ERR_CONFIG for what the configuration names and cannot be had, ERR_IO, ERR_CORRUPT.
 */
#ifndef APP_RELAYD_H
#define APP_RELAYD_H

#include "base/err.h"
#include "conf/conf.h"

struct loop;
struct relayd;

/* Whether what the configuration names can be had, as far as that is known without starting. */
int relayd_test(const struct conf *conf, struct err *err) MUST_CHECK;
/* The loop is freed with the relay, also when this fails. */
int relayd_new(const struct conf *conf, struct loop *loop_take, struct relayd **ret_relayd,
	       struct err *err) MUST_CHECK;
int relayd_open(struct relayd *r, struct err *err) MUST_CHECK;
void relayd_run(struct relayd *r);
void relayd_free(struct relayd **rp);

#endif
