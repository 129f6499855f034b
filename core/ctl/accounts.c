/*
 * The job has a struct of its own, which outlives us: a look-up that hangs must not keep the relay
 * from going on, nor from ending with what it knows.
 */
#include "ctl/accounts.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define ACCOUNTS_MAGIC 0x57e3c020u

struct known {
	uid_t uid;
	char name[ACCOUNTS_NAME_LEN];
	int64_t asked_ms; /* 0: nobody is here */
};

struct asked {
	TAILQ_ENTRY(asked) link;
	uid_t uid;
	bool told;   /* its time was over */
	bool wanted; /* somebody waits to be told */
	int64_t until_ms;
};
TAILQ_HEAD(asked_list, asked);

struct lookup {
	struct accounts *a; /* NULL: gone */
	account_lookup_fn *fn;
	uid_t uid;
	char name[ACCOUNTS_NAME_LEN];
};

struct accounts {
	uint32_t magic;
	struct loop *loop;
	account_lookup_fn *lookup;
	accounts_fn *fn;
	void *arg;
	struct known known[ACCOUNTS_MAX];
	size_t known_n;
	struct asked_list asked; /* the first one is being looked up */
	struct lookup *job;
	struct loop_timer *timer;
};

static void fallback(uid_t uid, char ret[static ACCOUNTS_NAME_LEN])
{
	(void)snprintf(ret, ACCOUNTS_NAME_LEN, "uid %u", (unsigned)uid);
}

static bool of_system(uid_t uid, char *ret, size_t n)
{
	char bytes[4096];
	struct passwd pw;
	struct passwd *found = NULL;

	if (getpwuid_r(uid, &pw, bytes, sizeof(bytes), &found) != 0 || found == NULL)
		return false;
	(void)snprintf(ret, n, "%s", pw.pw_name);
	return true;
}

/* --- what is known ---------------------------------------------------------------------------- */

static struct known *find(struct accounts *a, uid_t uid)
{
	for (size_t i = 0; i < a->known_n; i++)
		if (a->known[i].uid == uid)
			return &a->known[i];
	return NULL;
}

static void keep(struct accounts *a, uid_t uid, const char *name)
{
	struct known *k = find(a, uid);

	if (k == NULL && a->known_n < ACCOUNTS_MAX) {
		k = &a->known[a->known_n++];
	} else if (k == NULL) {
		k = &a->known[0];
		for (size_t i = 1; i < a->known_n; i++)
			if (a->known[i].asked_ms < k->asked_ms)
				k = &a->known[i];
	}
	*k = (struct known){ .uid = uid, .asked_ms = loop_now_ms(a->loop) };
	(void)snprintf(k->name, sizeof(k->name), "%s", name);
}

void accounts_know(struct accounts *a, uid_t uid)
{
	char name[ACCOUNTS_NAME_LEN];

	if (!a->lookup(uid, name, sizeof(name)))
		fallback(uid, name);
	keep(a, uid, name);
}

/* --- looking up ------------------------------------------------------------------------------- */

static void start(struct accounts *a);

static void work(void *arg)
{
	struct lookup *l = arg;

	if (!l->fn(l->uid, l->name, sizeof(l->name)))
		fallback(l->uid, l->name);
}

static void on_worked(void *arg)
{
	struct lookup *l = arg;
	struct accounts *a = l->a;
	struct asked *x;

	if (a == NULL) {
		free(l);
		return;
	}
	a->job = NULL;
	keep(a, l->uid, l->name);
	x = TAILQ_FIRST(&a->asked);
	ASSERT(x != NULL && x->uid == l->uid);
	TAILQ_REMOVE(&a->asked, x, link);
	if (x->wanted && !x->told)
		a->fn(a->arg, l->uid, l->name);
	free(x);
	free(l);
	start(a);
}

static void start(struct accounts *a)
{
	const struct asked *x = TAILQ_FIRST(&a->asked);
	struct lookup *l;

	if (x == NULL || a->job != NULL)
		return;
	l = xcalloc(1, sizeof(*l));
	*l = (struct lookup){ .a = a, .fn = a->lookup, .uid = x->uid };
	a->job = l;
	(void)loop_job_start(a->loop, "ctl.account", work, on_worked, l);
}

static void set_timer(struct accounts *a)
{
	const struct asked *x;
	int64_t now = loop_now_ms(a->loop);

	TAILQ_FOREACH (x, &a->asked, link) {
		if (!x->wanted || x->told)
			continue;
		loop_timer_set(a->timer, x->until_ms > now ? x->until_ms - now : 0);
		return;
	}
}

/* Whoever waited long enough goes on without the name. */
static void on_timer(void *arg)
{
	struct accounts *a = OBJ(accounts, ACCOUNTS_MAGIC, arg);
	struct asked *x;

	TAILQ_FOREACH (x, &a->asked, link) {
		char name[ACCOUNTS_NAME_LEN];
		if (!x->wanted || x->told || x->until_ms > loop_now_ms(a->loop))
			continue;
		x->told = true;
		fallback(x->uid, name);
		a->fn(a->arg, x->uid, name);
	}
	set_timer(a);
}

static struct asked *ask(struct accounts *a, uid_t uid)
{
	struct asked *x;

	TAILQ_FOREACH (x, &a->asked, link)
		if (x->uid == uid)
			return x;
	x = xcalloc(1, sizeof(*x));
	x->uid = uid;
	TAILQ_INSERT_TAIL(&a->asked, x, link);
	start(a);
	return x;
}

const char *accounts_name(struct accounts *a, uid_t uid)
{
	const struct known *k = find(a, uid);

	if (k == NULL)
		return NULL;
	if (loop_now_ms(a->loop) - k->asked_ms > ACCOUNTS_FRESH_MS)
		(void)ask(a, uid);
	return k->name;
}

void accounts_ask(struct accounts *a, uid_t uid)
{
	struct asked *x = ask(a, uid);

	if (!x->wanted || x->told)
		x->until_ms = loop_now_ms(a->loop) + ACCOUNTS_WAIT_MS;
	x->wanted = true;
	x->told = false;
	set_timer(a);
}

struct accounts *accounts_new(struct loop *l, account_lookup_fn *lookup, accounts_fn *fn, void *arg)
{
	struct accounts *a = xcalloc(1, sizeof(*a));

	a->magic = ACCOUNTS_MAGIC;
	a->loop = l;
	a->lookup = lookup != NULL ? lookup : of_system;
	a->fn = fn;
	a->arg = arg;
	TAILQ_INIT(&a->asked);
	a->timer = loop_timer_new(l, "ctl.accounts", on_timer, a);
	return a;
}

void accounts_free(struct accounts **ap)
{
	struct accounts *a = *ap;
	struct asked *x;

	if (a == NULL)
		return;
	*ap = NULL;
	if (a->job != NULL)
		a->job->a = NULL;
	while ((x = TAILQ_FIRST(&a->asked)) != NULL) {
		TAILQ_REMOVE(&a->asked, x, link);
		free(x);
	}
	loop_timer_free(&a->timer);
	a->magic = 0;
	free(a);
}
