/*
 * libevent does the waiting. Posts and finished jobs reach the loop over one eventfd; the queue
 * behind it is the only state shared between threads.
 *
 * With a fake clock timers do not touch libevent: they sit in a list that loop_advance() works off
 * in order of time, so a week of retries passes in milliseconds.
 */
#include "loop/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define LOOP_FD_MAGIC 0x100fd001u
#define LOOP_TIMER_MAGIC 0x100fd002u
#define LOOP_SIGNAL_MAGIC 0x100fd003u
#define LOOP_MAGIC 0x100fd004u
#define LOOP_SLOW_MS 20
#define LOOP_POSTS_PER_WAKEUP 256
#define LOOP_DEFAULT_WORKERS 2

struct post {
	loop_fn *fn;
	void *arg;
	STAILQ_ENTRY(post) next;
};

struct loop_job {
	struct loop *loop;
	const char *name;
	loop_fn *work;
	loop_fn *done;
	void *arg;
	bool cancelled;
	TAILQ_ENTRY(loop_job) next;
};

struct loop {
	uint32_t magic;
	struct event_base *base;
	struct event *wake;
	int wake_fd;
	int64_t now_ms;
	int64_t wall_ms;
	unsigned jobs_n; /* started and not done */
	uint64_t heard;	 /* callbacks of descriptors, and posts */
	bool fake;
	bool stop;
	TAILQ_HEAD(, loop_timer) fake_timers;
	pthread_mutex_t lock; /* protects posts, jobs, running, closing */
	pthread_cond_t work_ready;
	STAILQ_HEAD(, post) posts;
	TAILQ_HEAD(, loop_job) jobs;
	bool closing;
	unsigned workers;
	unsigned started;
	pthread_t *threads;
};

struct loop_fd {
	uint32_t magic;
	struct loop *loop;
	const char *name;
	struct event *ev;
	int fd;
	unsigned what;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_timer {
	uint32_t magic;
	struct loop *loop;
	const char *name;
	struct event *ev;
	loop_fn *fn;
	void *arg;
	int64_t due_ms;
	bool pending;
	TAILQ_ENTRY(loop_timer) next;
};

struct loop_signal {
	uint32_t magic;
	struct loop *loop;
	struct event *ev;
	loop_fn *fn;
	void *arg;
};

static int64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t loop_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The wall clock of a loop whose clock is a test's, for threads beside it; 0: there is none. */
static _Atomic int64_t fake_wall_ms;

int64_t loop_clock_wall_ms(void)
{
	int64_t fake = atomic_load(&fake_wall_ms);

	return fake != 0 ? fake : clock_ms(CLOCK_REALTIME);
}

int64_t loop_clock_mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

void loop_clock_refresh(struct loop *l)
{
	if (l->fake)
		return;
	l->now_ms = clock_ms(CLOCK_MONOTONIC);
	l->wall_ms = clock_ms(CLOCK_REALTIME);
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

int64_t loop_wall_ms(const struct loop *l)
{
	return l->wall_ms;
}

static void note_slow(struct loop *l, const char *name, int64_t since_ms)
{
	int64_t took;

	if (l->fake)
		return;
	took = clock_ms(CLOCK_MONOTONIC) - since_ms;
	if (took > LOOP_SLOW_MS && log_limited("loop.slow"))
		log_warn(NULL, "loop.slow", F_STR("callback", name), F_I64("ms", took));
}

/* --- posts
 * ------------------------------------------------------------------------------------------------
 */

static void wake(struct loop *l)
{
	uint64_t one = 1;

	while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
	struct post *p = xmalloc(sizeof(*p));
	bool was_empty;

	p->fn = fn;
	p->arg = arg;
	(void)pthread_mutex_lock(&l->lock);
	was_empty = STAILQ_EMPTY(&l->posts);
	STAILQ_INSERT_TAIL(&l->posts, p, next);
	(void)pthread_mutex_unlock(&l->lock);
	if (was_empty)
		wake(l);
}

static struct post *next_post(struct loop *l)
{
	struct post *p;

	(void)pthread_mutex_lock(&l->lock);
	p = STAILQ_FIRST(&l->posts);
	if (p != NULL)
		STAILQ_REMOVE_HEAD(&l->posts, next);
	(void)pthread_mutex_unlock(&l->lock);
	return p;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = OBJ(loop, LOOP_MAGIC, arg);
	uint64_t count;
	int n = 0;

	(void)what;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	loop_clock_refresh(l);
	for (struct post *p = next_post(l); p != NULL; p = next_post(l)) {
		int64_t since = l->now_ms;
		l->heard++;
		p->fn(p->arg);
		free(p);
		if (++n == LOOP_POSTS_PER_WAKEUP) {
			wake(l);
			break;
		}
		loop_clock_refresh(l);
		if (l->now_ms - since > LOOP_SLOW_MS)
			note_slow(l, "posted call", since);
	}
}

/* --- the loop
 * --------------------------------------------------------------------------------------------- */

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->magic = LOOP_MAGIC;
	l->base = event_base_new();
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->base == NULL || l->wake_fd < 0)
		BUG("no event loop: %d", errno);
	TAILQ_INIT(&l->fake_timers);
	STAILQ_INIT(&l->posts);
	TAILQ_INIT(&l->jobs);
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->work_ready, NULL);
	l->workers = LOOP_DEFAULT_WORKERS;
	l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	if (l->wake == NULL || event_add(l->wake, NULL) != 0)
		BUG("no event loop");
	loop_clock_refresh(l);
	return l;
}

static void join_workers(struct loop *l)
{
	(void)pthread_mutex_lock(&l->lock);
	l->closing = true;
	(void)pthread_cond_broadcast(&l->work_ready);
	(void)pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->started; i++)
		(void)pthread_join(l->threads[i], NULL);
	free(l->threads);
}

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	join_workers(l);
	if (l->fake)
		atomic_store(&fake_wall_ms, 0);
	for (struct post *p = next_post(l); p != NULL; p = next_post(l)) {
		p->fn(p->arg);
		free(p);
	}
	event_free(l->wake);
	event_base_free(l->base);
	(void)close(l->wake_fd);
	(void)pthread_mutex_destroy(&l->lock);
	(void)pthread_cond_destroy(&l->work_ready);
	free(l);
	*lp = NULL;
}

void loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		if (event_base_loop(l->base, EVLOOP_ONCE) < 0)
			BUG("event loop failed");
}

void loop_stop(struct loop *l)
{
	l->stop = true;
	(void)event_base_loopbreak(l->base);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

/* --- descriptors
 * ------------------------------------------------------------------------------------------ */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = OBJ(loop_fd, LOOP_FD_MAGIC, arg);
	struct loop *l = w->loop;
	const char *name = w->name;
	int64_t since;
	unsigned got =
		((what & EV_READ) != 0 ? LOOP_READ : 0) | ((what & EV_WRITE) != 0 ? LOOP_WRITE : 0);

	loop_clock_refresh(l);
	l->heard++;
	since = l->now_ms;
	w->fn((int)fd, got, w->arg); /* may free w */
	note_slow(l, name, since);
}

void loop_fd_want(struct loop_fd *w, unsigned what)
{
	short events = EV_PERSIST;

	if (what == w->what)
		return;
	(void)event_del(w->ev);
	w->what = what;
	if (what == 0)
		return;
	if ((what & LOOP_READ) != 0)
		events |= EV_READ;
	if ((what & LOOP_WRITE) != 0)
		events |= EV_WRITE;
	if (event_assign(w->ev, w->loop->base, w->fd, events, on_fd, w) != 0 ||
	    event_add(w->ev, NULL) != 0)
		BUG("cannot watch descriptor %d for %s", w->fd, w->name);
}

struct loop_fd *loop_fd_new(struct loop *l, const char *name, int fd, unsigned what, loop_fd_fn *fn,
			    void *arg)
{
	struct loop_fd *w = xcalloc(1, sizeof(*w));

	w->magic = LOOP_FD_MAGIC;
	w->loop = l;
	w->name = name;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_fd, w);
	if (w->ev == NULL)
		BUG("cannot watch descriptor %d for %s", fd, name);
	loop_fd_want(w, what);
	return w;
}

void loop_fd_free(struct loop_fd **wp)
{
	struct loop_fd *w = *wp;

	if (w == NULL)
		return;
	event_free(w->ev);
	w->magic = 0;
	free(w);
	*wp = NULL;
}

/* --- timers
 * -----------------------------------------------------------------------------------------------
 */

static void fire(struct loop_timer *t)
{
	struct loop *l = t->loop;
	const char *name = t->name;
	int64_t since;

	loop_clock_refresh(l);
	since = l->now_ms;
	t->pending = false;
	t->fn(t->arg); /* may free t */
	note_slow(l, name, since);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fire(OBJ(loop_timer, LOOP_TIMER_MAGIC, arg));
}

struct loop_timer *loop_timer_new(struct loop *l, const char *name, loop_fn *fn, void *arg)
{
	struct loop_timer *t = xcalloc(1, sizeof(*t));

	t->magic = LOOP_TIMER_MAGIC;
	t->loop = l;
	t->name = name;
	t->fn = fn;
	t->arg = arg;
	t->ev = evtimer_new(l->base, on_timer, t);
	if (t->ev == NULL)
		BUG("no timer for %s", name);
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t after_ms)
{
	struct timeval tv;

	if (after_ms < 0)
		after_ms = 0;
	loop_timer_cancel(t);
	t->pending = true;
	t->due_ms = t->loop->now_ms + after_ms;
	if (t->loop->fake) {
		TAILQ_INSERT_TAIL(&t->loop->fake_timers, t, next);
		return;
	}
	tv.tv_sec = after_ms / 1000;
	tv.tv_usec = after_ms % 1000 * 1000;
	if (evtimer_add(t->ev, &tv) != 0)
		BUG("no timer for %s", t->name);
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (!t->pending)
		return;
	if (t->loop->fake)
		TAILQ_REMOVE(&t->loop->fake_timers, t, next);
	else
		(void)evtimer_del(t->ev);
	t->pending = false;
}

bool loop_timer_pending(const struct loop_timer *t)
{
	return t->pending;
}

void loop_timer_free(struct loop_timer **tp)
{
	struct loop_timer *t = *tp;

	if (t == NULL)
		return;
	loop_timer_cancel(t);
	event_free(t->ev);
	t->magic = 0;
	free(t);
	*tp = NULL;
}

void loop_fake_clock(struct loop *l, int64_t wall_ms)
{
	l->fake = true;
	l->now_ms = 1000000;
	l->wall_ms = wall_ms;
	atomic_store(&fake_wall_ms, wall_ms);
}

static struct loop_timer *first_timer(const struct loop *l)
{
	struct loop_timer *first = NULL;
	struct loop_timer *t;

	TAILQ_FOREACH (t, &l->fake_timers, next)
		if (first == NULL || t->due_ms < first->due_ms)
			first = t;
	return first;
}

int64_t loop_next_ms(const struct loop *l)
{
	const struct loop_timer *first = first_timer(l);

	ASSERT(l->fake);
	if (first == NULL)
		return -1;
	return first->due_ms > l->now_ms ? first->due_ms - l->now_ms : 0;
}

uint64_t loop_heard(const struct loop *l)
{
	return l->heard;
}

unsigned loop_jobs(const struct loop *l)
{
	return l->jobs_n;
}

void loop_advance(struct loop *l, int64_t ms)
{
	int64_t until = l->now_ms + ms;

	ASSERT(l->fake);
	for (;;) {
		struct loop_timer *first;
		(void)event_base_loop(l->base, EVLOOP_NONBLOCK);
		first = first_timer(l);
		if (first == NULL || first->due_ms > until)
			break;
		if (first->due_ms > l->now_ms) {
			l->wall_ms += first->due_ms - l->now_ms;
			l->now_ms = first->due_ms;
			atomic_store(&fake_wall_ms, l->wall_ms);
		}
		TAILQ_REMOVE(&l->fake_timers, first, next);
		fire(first);
	}
	l->wall_ms += until - l->now_ms;
	l->now_ms = until;
	atomic_store(&fake_wall_ms, l->wall_ms);
}

/* --- signals
 * ---------------------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = OBJ(loop_signal, LOOP_SIGNAL_MAGIC, arg);

	(void)signo;
	(void)what;
	loop_clock_refresh(s->loop);
	s->fn(s->arg);
}

struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_fn *fn, void *arg)
{
	struct loop_signal *s = xcalloc(1, sizeof(*s));

	s->magic = LOOP_SIGNAL_MAGIC;
	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (s->ev == NULL || event_add(s->ev, NULL) != 0)
		BUG("cannot watch signal %d", signo);
	return s;
}

void loop_signal_free(struct loop_signal **sp)
{
	struct loop_signal *s = *sp;

	if (s == NULL)
		return;
	event_free(s->ev);
	s->magic = 0;
	free(s);
	*sp = NULL;
}

/* --- worker jobs
 * ------------------------------------------------------------------------------------------ */

static void on_job_done(void *arg)
{
	struct loop_job *j = arg;

	j->loop->jobs_n--;
	j->done(j->arg);
	free(j);
}

static void *worker_main(void *arg)
{
	struct loop *l = arg;

	for (;;) {
		struct loop_job *j;
		bool skip;
		(void)pthread_mutex_lock(&l->lock);
		while ((j = TAILQ_FIRST(&l->jobs)) == NULL && !l->closing)
			(void)pthread_cond_wait(&l->work_ready, &l->lock);
		if (j != NULL)
			TAILQ_REMOVE(&l->jobs, j, next);
		skip = j != NULL && (j->cancelled || l->closing);
		if (skip)
			j->cancelled = true;
		(void)pthread_mutex_unlock(&l->lock);
		if (j == NULL)
			return NULL;
		if (!skip)
			j->work(j->arg);
		loop_post(l, on_job_done, j);
	}
}

void loop_workers(struct loop *l, unsigned workers)
{
	ASSERT(l->started == 0 && workers > 0);
	l->workers = workers;
}

static void start_workers(struct loop *l)
{
	sigset_t all;
	sigset_t old;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	l->threads = xcalloc(l->workers, sizeof(*l->threads));
	while (l->started < l->workers &&
	       pthread_create(&l->threads[l->started], NULL, worker_main, l) == 0)
		l->started++;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (l->started == 0)
		BUG("no worker thread");
}

struct loop_job *loop_job_start(struct loop *l, const char *name, loop_fn *work, loop_fn *done,
				void *arg)
{
	struct loop_job *j = xcalloc(1, sizeof(*j));

	if (l->started == 0)
		start_workers(l);
	l->jobs_n++;
	j->loop = l;
	j->name = name;
	j->work = work;
	j->done = done;
	j->arg = arg;
	(void)pthread_mutex_lock(&l->lock);
	TAILQ_INSERT_TAIL(&l->jobs, j, next);
	(void)pthread_cond_signal(&l->work_ready);
	(void)pthread_mutex_unlock(&l->lock);
	return j;
}

void loop_job_cancel(struct loop_job *j)
{
	(void)pthread_mutex_lock(&j->loop->lock);
	j->cancelled = true;
	(void)pthread_mutex_unlock(&j->loop->lock);
}

bool loop_job_cancelled(const struct loop_job *j)
{
	return j->cancelled;
}
