/*
 * Reports to the sender, of those that it asked for (NOTIFY): failures, delays, and that mail went
 * to a host that does not report (relayed). One covers all recipients of a message that had their
 * results together. That of a failure is stored as a message of our own, from the null sender,
 * before the failures are recorded: a kill in between repeats a report, and loses none. That of a
 * failure that came by mail is stored once, whatever comes between. Those of delays and relayed
 * mail follow what they tell of: a kill in between loses them. Mail from the null sender causes
 * none: what failed of it is dropped and counted.
 *
 *	waiting	 for its turn (REPORTS_ACTIVE are made at a time), or for room on the disk
 *	active	 the message is being read, or its report stored
 *
 * What waits holds no message: it is read again when its turn comes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/smtp_cmd.h"

#define REPORT_MAGIC 0x57e3c014u
#define REPORTS_ACTIVE 32
#define AGAIN_MS 15000			     /* after a failure to read or to store */
#define REPORT_MAX ((size_t)4 * 1024 * 1024) /* bytes, with the original's header block */
#define STREAM "default"
#define KNOWN_MAX 2048
#define LIFETIME_MS (INT64_C(5) * 24 * 3600 * 1000) /* when the original says none */

struct report_rcpt {
	unsigned n;
	enum outcome outcome;
	int code;
	char enhanced[SMTP_ENHANCED_LEN];
	char *reply;
	char *host;
	int64_t at_ms;
};

struct report {
	uint32_t magic;
	TAILQ_ENTRY(report) link;
	struct ctl_env *env;
	struct msgid of;
	struct report_rcpt *rcpts;
	unsigned rcpts_n;
	report_done_fn *done;
	void *arg;
	uint64_t ticket;
	int64_t once_until_ms; /* 0: not of a failure that came by mail */
	/* while it is being stored */
	struct message m;
	struct message_rcpt to;
	char *sender; /* of the original, who gets it */
	char *message_id;
	char *subject;
};

static struct reports *reports_of(const struct ctl_env *env)
{
	return &env->actions->reports;
}

static void clear_message(struct report *r)
{
	free(r->sender);
	free(r->message_id);
	free(r->subject);
	r->sender = r->message_id = r->subject = NULL;
}

static void report_free(struct report **rp)
{
	struct report *r = *rp;
	*rp = NULL;
	for (unsigned i = 0; i < r->rcpts_n; i++) {
		free(r->rcpts[i].reply);
		free(r->rcpts[i].host);
	}
	free(r->rcpts);
	clear_message(r);
	r->magic = 0;
	free(r);
}

static void run_waiting(struct ctl_env *env);

/* It is on disk, or there is none to send. */
static void finish(struct report *r)
{
	struct ctl_env *env = r->env;
	report_done_fn *done = r->done;
	void *arg = r->arg;
	uint64_t ticket = r->ticket;
	TAILQ_REMOVE(&reports_of(env)->active, r, link);
	reports_of(env)->active_n--;
	report_free(&r);
	done(arg, ticket);
	run_waiting(env);
}

/* Once more, later: a failure is not lost because its report could not be stored. */
static void put_off(struct report *r, const struct err *err)
{
	struct reports *all = reports_of(r->env);
	char id[MSGID_TEXT_LEN];
	msgid_text(r->of, id);
	if (log_limited("report.put-off"))
		log_warn(id, "report.put-off", F_STR("error", err->msg));
	clear_message(r);
	TAILQ_REMOVE(&all->active, r, link);
	all->active_n--;
	TAILQ_INSERT_TAIL(&all->waiting, r, link);
	if (!loop_timer_pending(all->again))
		loop_timer_set(all->again, AGAIN_MS);
}

/* --- the report ------------------------------------------------------------------------------- */

/* A status for replies without one (RFC 3463: X.0.0 is "other, undefined"). */
static const char *status_of(const struct report_rcpt *r)
{
	if (r->enhanced[0] != '\0')
		return r->enhanced;
	if (r->outcome == OUTCOME_EXPIRED)
		return "4.4.7";
	return r->outcome == OUTCOME_FAILED ? "5.0.0" : ""; /* the action's own */
}

static const struct message_rcpt *rcpt_of(const struct message *m, unsigned n)
{
	for (unsigned i = 0; i < m->rcpts_n; i++)
		if (m->rcpts[i].n == n)
			return &m->rcpts[i];
	return NULL;
}

static enum dsn_action action_of(enum outcome o)
{
	return o == OUTCOME_DELIVERED  ? DSN_RELAYED
	       : o == OUTCOME_DEFERRED ? DSN_DELAYED
				       : DSN_FAILED;
}

/* RFC 3461, 4.1: what is said for a recipient; without a word failures and delays are told. */
static bool is_wanted(const struct message *m, const struct report_rcpt *f)
{
	static const unsigned flags[] = { [DSN_FAILED] = SMTP_NOTIFY_FAILURE,
					  [DSN_DELAYED] = SMTP_NOTIFY_DELAY,
					  [DSN_RELAYED] = SMTP_NOTIFY_SUCCESS };
	const struct message_rcpt *r = rcpt_of(m, f->n);
	unsigned notify =
		r != NULL && r->notify != 0 ? r->notify : SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY;

	return (notify & flags[action_of(f->outcome)]) != 0;
}

static unsigned wanted(const struct report *r, const struct message *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < r->rcpts_n; i++)
		n += is_wanted(m, &r->rcpts[i]);
	return n;
}

static bool has_failure(const struct report *r, const struct message *m)
{
	for (unsigned i = 0; i < r->rcpts_n; i++)
		if (action_of(r->rcpts[i].outcome) == DSN_FAILED && is_wanted(m, &r->rcpts[i]))
			return true;
	return false;
}

/* `full`: as far as the sender wants it, and has it (RFC 3461, 4.3: of failures only) */
static bool compose(const struct report *r, const struct message *m, struct str original, bool full,
		    struct buf *out)
{
	unsigned n = 0;
	AUTO_FREE struct dsn_rcpt *rcpts = xcalloc(r->rcpts_n + 1, sizeof(*rcpts));
	struct dsn d = { .relay = str_of(r->env->hostname),
			 .message_id = str_of(r->message_id),
			 .to = m->sender,
			 .now_ms = loop_wall_ms(r->env->loop),
			 .arrived_ms = m->received_ms,
			 .rcpts = rcpts,
			 .envid = m->envid,
			 .full = full && m->ret == SMTP_RET_FULL && has_failure(r, m),
			 .original = original };
	for (unsigned i = 0; i < r->rcpts_n; i++) {
		const struct report_rcpt *f = &r->rcpts[i];
		const struct message_rcpt *of = rcpt_of(m, f->n);
		if (!is_wanted(m, f))
			continue;
		rcpts[n++] = (struct dsn_rcpt){ .action = action_of(f->outcome),
						.address = of != NULL ? of->address : STR(""),
						.orcpt = of != NULL ? of->orcpt : STR(""),
						.status = str_of(status_of(f)),
						.code = f->code,
						.enhanced = str_of(f->enhanced),
						.diagnostic = str_of(f->reply),
						.remote = str_of(f->host),
						.at_ms = f->at_ms,
						.until_ms = f->outcome == OUTCOME_DEFERRED
								    ? m->expires_ms
								    : 0 };
	}
	d.rcpts_n = n;
	return dsn_compose(&d, out);
}

static void on_stored(void *arg, const struct err *err)
{
	struct report *r = OBJ(report, REPORT_MAGIC, arg);
	char id[MSGID_TEXT_LEN], report_id[MSGID_TEXT_LEN];
	if (err != NULL && err->code == ERR_EXISTS) { /* the relay was killed behind it */
		finish(r);
		return;
	}
	if (err != NULL) {
		put_off(r, err);
		return;
	}
	msgid_text(r->of, id);
	msgid_text(r->m.id, report_id);
	log_info(id, "report.queued", F_STR("id", report_id), F_STR("to", r->sender),
		 F_U64("recipients", r->rcpts_n));
	sched_add(r->env->sched, &r->m);
	finish(r);
}

static bool has_high_bytes(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

static char *subject_of(struct str content)
{
	struct header_facts facts;
	struct buf decoded = BUF_INIT(HEADER_SUBJECT_MAX);
	header_scan(content, &facts);
	header_decode(facts.subject, &decoded);
	return buf_take(&decoded);
}

/* The message that carries the report; its texts belong to r, its content to the queue. */
static void fill_message(struct report *r, const struct message *of, struct buf *content)
{
	struct queue *q = r->env->queue;
	int64_t now = loop_wall_ms(r->env->loop);
	int64_t life =
		of->expires_ms > of->received_ms ? of->expires_ms - of->received_ms : LIFETIME_MS;
	r->subject = subject_of(buf_str(content));
	r->to = (struct message_rcpt){ .n = 1,
				       .domain = queue_name(q,
							    address_text_domain(str_of(r->sender))),
				       .address = str_of(r->sender),
				       .notify = SMTP_NOTIFY_NEVER, /* RFC 3461, 7.1 */
				       .orcpt = STR("") };
	r->m = (struct message){ .id = r->m.id,
				 .received_ms = now,
				 .expires_ms = now + life,
				 .sender = STR(""),
				 .client = STR(""),
				 .helo = STR(""),
				 .msgid_header = str_of(r->message_id),
				 .subject = str_of(r->subject),
				 .credential = STR(""),
				 .stream = queue_name(q, STR(STREAM)),
				 .eight_bit = has_high_bytes(buf_str(content)),
				 .smtputf8 = has_high_bytes(str_of(r->sender)),
				 .envid = STR(""),
				 .size = content->n,
				 .rcpts = &r->to,
				 .rcpts_n = 1 };
	r->m.content = buf_str(content);
}

/* Of a message whose content is gone: what the store has of its header. */
static void put_known(const struct message *of, struct buf *out)
{
	if (of->msgid_header.n > 0)
		(void)buf_printf(out, "Message-ID: %.*s\r\n", STR_ARG(of->msgid_header));
	if (of->subject.n > 0 && !has_high_bytes(of->subject))
		(void)buf_printf(out, "Subject: %.*s\r\n", STR_ARG(of->subject));
	(void)buf_puts(out, "\r\n");
}

static void store(struct report *r, const struct message *of)
{
	struct buf content = BUF_INIT(REPORT_MAX);
	struct queue_new n = { .tells_until_ms = r->once_until_ms };
	struct str original;
	char id[MSGID_TEXT_LEN];
	AUTO_BUF known = BUF_INIT(KNOWN_MAX);
	r->m.id = queue_new_id(r->env->queue);
	msgid_text(r->m.id, id);
	r->sender = xstrndup(of->sender.p, of->sender.n);
	r->message_id = xasprintf("<%s@%s>", id, r->env->hostname);
	if (of->content.p == NULL)
		put_known(of, &known);
	original = of->content.p != NULL ? of->content : buf_str(&known);
	if (!compose(r, of, original, true, &content)) {
		buf_done(&content);
		if (!compose(r, of, original, false, &content)) {
			buf_done(&content); /* a header block of megabytes: without it then */
			(void)compose(r, of, STR(""), false, &content);
		}
	}
	fill_message(r, of, &content);
	n.m = r->m;
	if (r->once_until_ms != 0)
		n.tells = rid_of(r->of, r->rcpts[0].n);
	n.content_take = buf_take(&content);
	n.m.content.p = n.content_take;
	r->m.content = (struct str){ NULL, 0 };
	queue_accept(r->env->queue, &n, on_stored, r);
}

/* Somebody is told, and wants to be. */
static bool is_due(const struct report *r, const struct message *m)
{
	char id[MSGID_TEXT_LEN];
	unsigned failed = 0;
	if (m->sender.n > 0)
		return wanted(r, m) > 0;
	for (unsigned i = 0; i < r->rcpts_n; i++)
		failed += action_of(r->rcpts[i].outcome) == DSN_FAILED;
	r->env->double_bounces += failed;
	msgid_text(r->of, id);
	if (failed > 0)
		log_info(id, "report.double-bounce", F_U64("recipients", failed));
	return false;
}

static void on_read(void *arg, const struct message *m, const struct err *err)
{
	struct report *r = OBJ(report, REPORT_MAGIC, arg);
	if (m == NULL && err->code != ERR_UNKNOWN)
		put_off(r, err);
	else if (m == NULL || !is_due(r, m))
		finish(r);
	else
		store(r, m);
	if (m != NULL)
		message_unref(&m);
}

static void activate(struct report *r)
{
	struct reports *all = reports_of(r->env);
	TAILQ_INSERT_TAIL(&all->active, r, link);
	all->active_n++;
}

static void run_waiting(struct ctl_env *env)
{
	struct reports *all = reports_of(env);
	struct report *r;
	while (all->active_n < REPORTS_ACTIVE && !loop_timer_pending(all->again) &&
	       (r = TAILQ_FIRST(&all->waiting)) != NULL) {
		TAILQ_REMOVE(&all->waiting, r, link);
		activate(r);
		queue_message_read(env->queue, r->of, true, on_read, r);
	}
}

static void on_again(void *arg)
{
	run_waiting(((struct actions *)arg)->env);
}

/* --- from outside ----------------------------------------------------------------------------- */

/* An attempt's reply begins with its codes; the report has them in places of their own. */
static struct str words_of(const struct attempt *a)
{
	struct str text = str_of(a->reply);
	char code[16];
	(void)snprintf(code, sizeof(code), "%d", a->code);
	if (a->code == 0 || !str_starts(text, str_of(code)))
		return text;
	text = str_trim(str_from(text.p + strlen(code), text.n - strlen(code)));
	if (a->enhanced[0] != '\0' && str_starts(text, str_of(a->enhanced)))
		text = str_from(text.p + strlen(a->enhanced), text.n - strlen(a->enhanced));
	return str_trim(text);
}

static void copy_rcpt(const struct queue_result *f, struct report_rcpt *ret)
{
	const struct attempt *a = &f->attempt;
	struct str words = words_of(a);
	*ret = (struct report_rcpt){ .n = rid_n(f->rid),
				     .outcome = a->outcome,
				     .code = a->code,
				     .reply = xstrndup(words.p, words.n),
				     .host = xstrdup(a->host),
				     .at_ms = a->at_ms };
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%s", a->enhanced);
}

static struct report *report_new(struct ctl_env *env, const struct queue_result *results,
				 unsigned n, report_done_fn *done, void *arg)
{
	struct report *r = xcalloc(1, sizeof(*r));
	r->magic = REPORT_MAGIC;
	r->env = env;
	r->of = rid_msgid(results[0].rid);
	r->done = done;
	r->arg = arg;
	r->rcpts_n = n;
	r->rcpts = xcalloc(n, sizeof(*r->rcpts));
	for (unsigned i = 0; i < n; i++)
		copy_rcpt(&results[i], &r->rcpts[i]);
	return r;
}

void report_start(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		  unsigned n, report_done_fn *done, void *arg, uint64_t ticket)
{
	struct reports *all = reports_of(env);
	struct report *r = report_new(env, results, n, done, arg);
	r->ticket = ticket;
	if (m != NULL && !is_due(r, m)) {
		report_free(&r);
		done(arg, ticket);
		return;
	}
	if (m != NULL && m->content.p != NULL && all->active_n < REPORTS_ACTIVE &&
	    !loop_timer_pending(all->again)) {
		activate(r);
		store(r, m);
		return;
	}
	TAILQ_INSERT_TAIL(&all->waiting, r, link);
	run_waiting(env);
}

static void on_failed_reported(void *arg, uint64_t ticket)
{
	struct ctl_env *env = arg;
	sched_failed_recorded(env->sched, ticket);
}

void report_failed(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		   unsigned n, uint64_t ticket)
{
	report_start(env, m, results, n, on_failed_reported, env, ticket);
}

static void on_told(void *arg, uint64_t ticket)
{
	(void)arg;
	(void)ticket;
}

void report_other(struct ctl_env *env, const struct message *m, const struct queue_result *results,
		  unsigned n)
{
	report_start(env, m, results, n, on_told, env, 0);
}

void report_late(struct ctl_env *env, const struct queue_result *result, int64_t until_ms,
		 void (*done)(void *arg, uint64_t ticket), void *arg)
{
	struct report *r = report_new(env, result, 1, done, arg);
	r->once_until_ms = until_ms;
	TAILQ_INSERT_TAIL(&reports_of(env)->waiting, r, link);
	run_waiting(env);
}

void reports_init(struct actions *a)
{
	TAILQ_INIT(&a->reports.waiting);
	TAILQ_INIT(&a->reports.active);
	a->reports.again = loop_timer_new(a->env->loop, "ctl.reports", on_again, a);
}

void reports_close(struct actions *a)
{
	struct report_list *lists[] = { &a->reports.waiting, &a->reports.active };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct report *r;
		while ((r = TAILQ_FIRST(lists[i])) != NULL) {
			TAILQ_REMOVE(lists[i], r, link);
			report_free(&r);
		}
	}
	loop_timer_free(&a->reports.again);
}
