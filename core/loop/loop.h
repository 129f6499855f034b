/*
 * loop - the event loop: descriptors, timers, deferred calls, signals, worker jobs. Sole owner of
 * the clock.
 *
 * Model:   one struct loop per process, run by one thread. Watchers are objects; freeing one
 * guarantees that its callback is not called again. A callback does at most 5 ms of work and 64 KiB
 * or 64 items, then re-queues itself with loop_defer(). Callbacks over 20 ms are logged with their
 * name. Owner:   whoever made a watcher frees it, before the loop. Context: loop thread only,
 * except loop_post(), which any thread may call. Errors:  making a watcher aborts when memory is
 * out; there are no others.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;
struct loop_job;

enum { LOOP_READ = 1u << 0, LOOP_WRITE = 1u << 1 };

struct loop *loop_new(void);
void loop_free(struct loop **lp);
void loop_run(struct loop *l);	/* until loop_stop() */
void loop_stop(struct loop *l); /* after the current callback; only from the loop thread */
/*
 * For libraries that bring their own libevent binding (bufferevent, evhttp). Borrows. Their
 * callbacks do not pass through here: one that asks for the time calls loop_clock_refresh() first.
 */
struct event_base *loop_base(struct loop *l);
void loop_clock_refresh(struct loop *l);

/* Monotonic milliseconds, cached per iteration. */
int64_t loop_now_ms(const struct loop *l);
/* Wall clock, milliseconds since the epoch, cached per iteration. */
int64_t loop_wall_ms(const struct loop *l);
/* Wall clock in microseconds, read now. Any thread. */
int64_t loop_clock_us(void);
/* Wall clock in milliseconds, read now; the fake one while there is one. Any thread. */
int64_t loop_clock_wall_ms(void);
/* Monotonic milliseconds, read now, for waiting in threads of one's own. Any thread. */
int64_t loop_clock_mono_ms(void);
/* Tests only: the loop's clock stands still and moves when told; due timers run in order of their
 * time. */
void loop_fake_clock(struct loop *l, int64_t wall_ms);
void loop_advance(struct loop *l, int64_t ms);
/* The same, to see whether it is quiet: how long until the first timer is due, -1 when there is
 * none; how often something came from outside (a descriptor, another thread); jobs not done yet. */
int64_t loop_next_ms(const struct loop *l);
uint64_t loop_heard(const struct loop *l);
unsigned loop_jobs(const struct loop *l);

/* Watches fd (borrowed) for `what`; 0 watches nothing until loop_fd_want(). `name` is for the log;
 * static. */
typedef void loop_fd_fn(int fd, unsigned what, void *arg);
struct loop_fd *loop_fd_new(struct loop *l, const char *name, int fd, unsigned what, loop_fd_fn *fn,
			    void *arg);
void loop_fd_want(struct loop_fd *w, unsigned what);
void loop_fd_free(struct loop_fd **wp);

/* One-shot timers, re-armed by loop_timer_set() as often as wanted. Created idle. */
typedef void loop_fn(void *arg);
struct loop_timer *loop_timer_new(struct loop *l, const char *name, loop_fn *fn, void *arg);
void loop_timer_set(struct loop_timer *t, int64_t after_ms);
void loop_timer_cancel(struct loop_timer *t);
bool loop_timer_pending(const struct loop_timer *t);
void loop_timer_free(struct loop_timer **tp);

struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_fn *fn, void *arg);
void loop_signal_free(struct loop_signal **sp);

/*
 * Calls fn(arg) in the loop thread, soon. From any thread; the order of one thread's posts is kept.
 * A post cannot be cancelled: `arg` must stay valid until the call (pass ids or owned structs).
 */
void loop_post(struct loop *l, loop_fn *fn, void *arg);

/*
 * Runs work(arg) on one of `workers` threads, then done(arg) in the loop thread, exactly once each.
 * A job that has not started when cancelled goes straight to done(); loop_job_cancelled() tells.
 * The pool is made at the first job; loop_free() waits for running jobs and calls done() for all.
 */
void loop_workers(struct loop *l, unsigned workers);
struct loop_job *loop_job_start(struct loop *l, const char *name, loop_fn *work, loop_fn *done,
				void *arg);
void loop_job_cancel(struct loop_job *j);
bool loop_job_cancelled(const struct loop_job *j);

#endif
