/*
 * SSH: the loop's side of the transport, and the thread's way through its steps.
 *
 *	configuration -> name lookup, connection -> key exchange -> host key -> login -> channel
 *	-> pump between channel and socketpair
 *
 * Name lookup, agent and passphrases block, and questions to a person may take minutes; so all this
 * has a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libssh/callbacks.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "client/remote_int.h"
#include "client/transport.h"
#include "loop/loop.h"

#define TRANSPORT_SSH_MAGIC 0x7a4e0002u
#define SAID_MAX 4096
#define EXIT_WAIT_S 1

struct question {
	enum client_question_kind kind;
	char title[REMOTE_TITLE_MAX];
	char text[REMOTE_TEXT_MAX];
};

struct transport_ssh {
	struct transport base;
	const struct transport_events *events;
	void *arg;
	struct loop_fd *watch; /* of ctl[0] */
	struct remote_link *link;
	struct loop_timer *unable;
	char doing[sizeof(((struct remote_link *)0)->doing)];
	struct question question; /* a copy, for the time of telling */
};

/* --- threads that are still there when the process ends --- */

/*
 * exit() takes OpenSSL down while a thread may still be using it, be it only in the destructors of
 * its thread-local data. This list, the only global here, lets exit() wait shortly for those that
 * were cancelled a moment ago. Only the loop's thread changes it.
 */
struct running {
	LIST_ENTRY(running) next;
	pthread_t thread;
	atomic_bool done; /* to be joined without waiting */
};
static LIST_HEAD(, running) threads = LIST_HEAD_INITIALIZER(threads);
static pthread_once_t threads_once = PTHREAD_ONCE_INIT;

static void join_done(void)
{
	struct running *t;
	struct running *after;

	for (t = LIST_FIRST(&threads); t != NULL; t = after) {
		after = LIST_NEXT(t, next);
		if (!atomic_load(&t->done))
			continue;
		(void)pthread_join(t->thread, NULL);
		LIST_REMOVE(t, next);
		free(t);
	}
}

static void on_exit_join(void)
{
	struct timespec until;
	struct running *t;

	if (timespec_get(&until, TIME_UTC) == 0)
		return;
	until.tv_sec += EXIT_WAIT_S;
	while ((t = LIST_FIRST(&threads)) != NULL) {
		LIST_REMOVE(t, next);
		if (pthread_timedjoin_np(t->thread, NULL, &until) == 0)
			free(t); /* else it still has it */
	}
}

/* Handlers run in reverse order: OpenSSL's has to be there before ours. */
static void threads_init(void)
{
	char any;

	(void)ssh_get_random(&any, sizeof(any), 0);
	(void)atexit(on_exit_join);
}

/* --- what both sides share --- */

static void wipe_answer(struct remote_link *l)
{
	if (l->answer != NULL)
		explicit_bzero(l->answer, strlen(l->answer));
	free(l->answer);
	l->answer = NULL;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void link_unref(struct remote_link *l)
{
	bool last;

	(void)pthread_mutex_lock(&l->lock);
	last = --l->refs == 0;
	(void)pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	wipe_answer(l);
	for (int i = 0; i < 2; i++) {
		shut(&l->ctl[i]);
		shut(&l->data[i]);
	}
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct remote_link *link_new(void)
{
	struct remote_link *l = xcalloc(1, sizeof(*l));

	(void)pthread_mutex_init(&l->lock, NULL);
	l->refs = 1;
	l->sock = -1;
	l->ctl[0] = l->ctl[1] = l->data[0] = l->data[1] = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, l->ctl) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, l->data) < 0)
		(void)err_sys(&l->err, errno, "no descriptors for an SSH connection");
	return l;
}

/* With the lock held: a byte for the other side. */
static void nudge(const struct remote_link *l, int from)
{
	(void)send(l->ctl[from], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- the thread's helpers --- */

bool remote_cancelled(struct remote *r)
{
	bool cancelled;

	(void)pthread_mutex_lock(&r->link->lock);
	cancelled = r->link->cancelled;
	(void)pthread_mutex_unlock(&r->link->lock);
	return cancelled;
}

void remote_doing(struct remote *r, const char *fmt, ...)
{
	struct remote_link *l = r->link;
	va_list ap;

	(void)pthread_mutex_lock(&l->lock);
	va_start(ap, fmt);
	(void)vsnprintf(l->doing, sizeof(l->doing), fmt, ap);
	va_end(ap);
	l->doing_new = true;
	nudge(l, 1);
	(void)pthread_mutex_unlock(&l->lock);
}

bool remote_wait(struct remote *r, int fd, short *events, int timeout_ms)
{
	/* A byte there only wakes remote_ask(); the end of it shows without being asked for. */
	struct pollfd p[2] = { { .fd = r->link->ctl[1] }, { .fd = fd, .events = *events } };
	int n;

	do
		n = poll(p, 2, timeout_ms);
	while (n < 0 && errno == EINTR);
	*events = n > 0 ? p[1].revents : 0;
	return !(p[0].revents & (POLLHUP | POLLERR)) && !remote_cancelled(r);
}

bool remote_more(struct remote *r)
{
	short events = POLLIN;
	int fd = ssh_get_fd(r->session);

	if (fd < 0)
		return false;
	if ((ssh_get_poll_flags(r->session) & SSH_WRITE_PENDING) != 0)
		events |= POLLOUT;
	return remote_wait(r, fd, &events, -1);
}

/* Takes the bytes of ctl[1] off; they only wake. */
static void drain(int fd)
{
	char bytes[64];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void clean_text(char *to, size_t size, const char *from)
{
	AUTO_BUF clean = BUF_INIT(4 * REMOTE_TEXT_MAX);
	struct str rest = str_of(from);

	if (rest.n > REMOTE_TEXT_MAX)
		rest.n = REMOTE_TEXT_MAX;
	while (rest.n > 0) { /* line ends stay */
		struct str line = str_cut(&rest, '\n');

		if (clean.n > 0)
			(void)buf_putc(&clean, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		(void)utf8_put_shown(&clean, line);
	}
	(void)snprintf(to, size, "%s", buf_cstr(&clean));
}

bool remote_ask(struct remote *r, enum client_question_kind kind, const char *title,
		const char *text, char ret[static REMOTE_ANSWER_MAX])
{
	struct remote_link *l = r->link;
	bool got = false;
	bool answered = false;

	(void)pthread_mutex_lock(&l->lock);
	clean_text(l->title, sizeof(l->title), title);
	clean_text(l->text, sizeof(l->text), text);
	l->kind = kind;
	l->asking = true;
	l->asking_new = true;
	l->answered = false;
	nudge(l, 1);
	(void)pthread_mutex_unlock(&l->lock);
	while (!answered) {
		struct pollfd woken = { .fd = l->ctl[1], .events = POLLIN };

		drain(l->ctl[1]);
		(void)pthread_mutex_lock(&l->lock);
		answered = l->answered || l->cancelled;
		got = l->answered && l->answer != NULL && !l->cancelled;
		if (got)
			(void)snprintf(ret, REMOTE_ANSWER_MAX, "%s", l->answer);
		if (answered) {
			wipe_answer(l);
			l->asking = false;
		}
		(void)pthread_mutex_unlock(&l->lock);
		if (!answered)
			(void)poll(&woken, 1, -1);
	}
	return got;
}

void remote_hold(struct remote *r, int sock, pid_t proxy)
{
	struct remote_link *l = r->link;

	(void)pthread_mutex_lock(&l->lock);
	shut(&l->sock);
	l->sock = sock >= 0 ? fcntl(sock, F_DUPFD_CLOEXEC, 3) : -1;
	l->proxy = proxy;
	if (l->cancelled && l->sock >= 0) /* just before it was known */
		(void)shutdown(l->sock, SHUT_RDWR);
	(void)pthread_mutex_unlock(&l->lock);
}

int remote_fail(struct remote *r, struct err *err, const char *doing)
{
	const char *reason = ssh_get_error(r->session);
	char clean[256];

	clean_text(clean, sizeof(clean), reason);
	(void)err_set(err, ERR_NET, "%s: %s failed: %s", r->who, doing,
		      clean[0] != '\0' ? clean : "the connection broke");
	remote_proxy_said(r, err);
	return -ERR_NET;
}

/* --- the thread --- */

static int meet(struct remote *r, struct err *err)
{
	int rc;

	remote_doing(r, "greeting the SSH server of %s", r->host);
	ssh_set_blocking(r->session, 0);
	do
		rc = ssh_connect(r->session);
	while (rc == SSH_AGAIN && remote_more(r));
	if (rc != SSH_OK)
		return remote_fail(r, err, "the SSH greeting");
	return 0;
}

static void tell_open(struct remote *r)
{
	struct remote_link *l = r->link;

	(void)pthread_mutex_lock(&l->lock);
	l->open = true;
	l->open_new = true;
	nudge(l, 1);
	(void)pthread_mutex_unlock(&l->lock);
}

static void run(struct remote *r, struct err *err)
{
	static int (*const steps[])(struct remote *, struct err *) = {
		remote_config, remote_dial, meet, remote_check_host, remote_login, remote_open
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (remote_cancelled(r) || steps[i](r, err) < 0)
			return;
	tell_open(r);
	remote_pump(r, err);
}

static void end_proxy(struct remote *r)
{
	struct remote_link *l = r->link;
	pid_t pid;

	(void)pthread_mutex_lock(&l->lock);
	shut(&l->sock);
	pid = l->proxy;
	l->proxy = 0;
	(void)pthread_mutex_unlock(&l->lock);
	if (pid > 0) {
		(void)kill(pid, SIGTERM);
		(void)waitpid(pid, NULL, 0);
	}
	shut(&r->proxy_err);
}

static void tell_over(struct remote *r, const struct err *err)
{
	struct remote_link *l = r->link;

	(void)pthread_mutex_lock(&l->lock);
	l->over = true;
	l->final = r->final;
	l->err = *err;
	l->failed_new = !l->open;
	shut(&l->data[1]); /* the reason stands before the end is seen */
	nudge(l, 1);
	(void)pthread_mutex_unlock(&l->lock);
}

static void no_log(int priority, const char *function, const char *text, void *arg)
{
	(void)priority;
	(void)function;
	(void)text;
	(void)arg;
}

static void *thread_main(void *arg)
{
	struct remote *r = arg;
	struct running *self;
	struct err err = ERR_INIT;

	(void)ssh_set_log_callback(no_log); /* its log goes to standard error: onto the screen */
	r->session = ssh_new();
	if (r->session == NULL)
		(void)err_set(&err, ERR_INTERNAL, "libssh does not start");
	else
		run(r, &err);
	tell_over(r, &err);
	ssh_free(r->session);
	end_proxy(r);
	free(r->known_hosts);
	free(r->proxy_command);
	buf_done(&r->said);
	link_unref(r->link);
	self = r->running;
	free(r);
	atomic_store(&self->done, true);
	return NULL;
}

static bool start_thread(struct remote *r)
{
	struct running *t = xcalloc(1, sizeof(*t));
	sigset_t all;
	sigset_t old;
	bool ok;

	(void)pthread_once(&threads_once, threads_init);
	join_done();
	r->running = t;
	LIST_INSERT_HEAD(&threads, t, next);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&t->thread, NULL, thread_main, r) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ok) {
		LIST_REMOVE(t, next);
		free(t);
	}
	return ok;
}

/* --- the loop's side --- */

enum news { NEWS_NONE, NEWS_DOING, NEWS_ASK, NEWS_OPEN, NEWS_FAILED };

static bool take(bool *flag)
{
	bool was = *flag;

	*flag = false;
	return was;
}

static enum news take_news(struct transport_ssh *t)
{
	struct remote_link *l = t->link;
	enum news news = NEWS_NONE;

	(void)pthread_mutex_lock(&l->lock);
	(void)snprintf(t->doing, sizeof(t->doing), "%s", l->doing);
	if (take(&l->doing_new))
		news = NEWS_DOING;
	else if (take(&l->asking_new))
		news = NEWS_ASK;
	else if (take(&l->open_new))
		news = NEWS_OPEN;
	else if (take(&l->failed_new))
		news = NEWS_FAILED;
	if (l->asking_new || l->open_new || l->failed_new)
		nudge(l, 1);
	t->question = (struct question){ .kind = l->kind };
	(void)snprintf(t->question.title, sizeof(t->question.title), "%s", l->title);
	(void)snprintf(t->question.text, sizeof(t->question.text), "%s", l->text);
	(void)pthread_mutex_unlock(&l->lock);
	return news;
}

/* One thing a time: each of these calls may free the transport. */
static void tell(struct transport_ssh *t)
{
	struct question q;
	struct err err;

	switch (take_news(t)) {
	case NEWS_NONE:
		break;
	case NEWS_DOING:
		t->events->doing(t->arg);
		break;
	case NEWS_ASK:
		q = t->question;
		t->events->ask(t->arg, q.kind, q.title, q.text);
		break;
	case NEWS_OPEN:
		t->events->opened(t->arg, t->link->data[0]);
		break;
	case NEWS_FAILED: /* the thread is done with it */
		err = t->link->err;
		t->events->failed(t->arg, &err, t->link->final);
		break;
	}
}

static void on_ctl(int fd, unsigned what, void *arg)
{
	(void)what;
	drain(fd);
	tell(OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, arg));
}

static void on_unable(void *arg)
{
	tell(OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, arg));
}

/* No descriptors, no thread: told in the next turn of the loop. */
static void unable(struct transport_ssh *t, struct loop *l)
{
	if (t->link->err.code == 0)
		(void)err_set(&t->link->err, ERR_LIMIT, "no thread for an SSH connection");
	t->link->failed_new = true;
	t->unable = loop_timer_new(l, "client.ssh.unable", on_unable, t);
	loop_timer_set(t->unable, 0);
}

static struct transport *ssh_transport_open(struct loop *l, const struct relays_addr *to,
					    const struct transport_events *events, void *arg)
{
	struct transport_ssh *t = xcalloc(1, sizeof(*t));
	struct remote *r = xcalloc(1, sizeof(*r));

	t->base.magic = TRANSPORT_SSH_MAGIC;
	t->base.ops = &transport_ssh;
	t->events = events;
	t->arg = arg;
	t->link = link_new();
	r->link = t->link;
	r->to = *to;
	r->proxy_err = -1;
	r->said = BUF_INIT(SAID_MAX);
	t->link->refs++;
	if (t->link->err.code == 0 && start_thread(r)) {
		t->watch = loop_fd_new(l, "client.ssh", t->link->ctl[0], LOOP_READ, on_ctl, t);
	} else {
		t->link->refs--;
		free(r);
		unable(t, l);
	}
	return &t->base;
}

static void ssh_transport_answer(struct transport *base, const char *text)
{
	struct transport_ssh *t = OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, base);
	struct remote_link *l = t->link;

	(void)pthread_mutex_lock(&l->lock);
	if (l->asking && !l->answered) {
		l->answer = text != NULL ? xstrdup(text) : NULL;
		l->answered = true;
		nudge(l, 0);
	}
	(void)pthread_mutex_unlock(&l->lock);
}

static const char *ssh_transport_doing(struct transport *base)
{
	return OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, base)->doing;
}

static void ssh_transport_trouble(struct transport *base, struct err *err, bool *ret_final)
{
	struct remote_link *l = OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, base)->link;

	(void)pthread_mutex_lock(&l->lock);
	if (l->over && l->err.code != 0) {
		*err = l->err;
		*ret_final = l->final;
	}
	(void)pthread_mutex_unlock(&l->lock);
}

static void ssh_transport_free(struct transport *base)
{
	struct transport_ssh *t = OBJ(transport_ssh, TRANSPORT_SSH_MAGIC, base);
	struct remote_link *l = t->link;

	loop_fd_free(&t->watch);
	loop_timer_free(&t->unable);
	(void)pthread_mutex_lock(&l->lock);
	l->cancelled = true;
	if (l->sock >= 0)
		(void)shutdown(l->sock, SHUT_RDWR);
	if (l->proxy > 0)
		(void)kill(l->proxy, SIGTERM);
	shut(&l->ctl[0]);
	shut(&l->data[0]);
	(void)pthread_mutex_unlock(&l->lock);
	link_unref(l);
	t->base.magic = 0;
	free(t);
}

const struct transport_ops transport_ssh = {
	.open = ssh_transport_open,
	.answer = ssh_transport_answer,
	.doing = ssh_transport_doing,
	.trouble = ssh_transport_trouble,
	.free = ssh_transport_free,
};
