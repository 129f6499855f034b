/*
 * Bounces and complaints that come by mail. Mail goes out with an envelope sender of our own
 * (mail/verp.h), and what comes back to it, or to the feedback address, ends here:
 *
 *	RCPT	 the address is ours, signed, and not past its time (wire_verp.c)
 *	DATA	 a worker reads the mail (mail/bounce.h)
 *	whose	 by the address it came to; of complaints by the envelope senders that they name, if
 *		 we signed one of these; nothing else counts
 *	store	 what the queue knows of the recipient; of one that is forgotten the tag in the
 *		 address tells whether the report names the right one
 *	tell	 the failure is passed on to the sender that the message had, as far as it wants,
 *		 once: a report that comes again, because no 250 was heard, finds it told
 *	record	 an event, once; suppression, sinks and the rest follow from it
 *	250	 now it is on disk
 *
 * Nobody who sends here gets mail for it, whatever the sender. What comes to nothing is kept for
 * the operator (policy/unread.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "mail/bounce.h"

#define MAIL_MAGIC 0x57e3c0e1u
#define DAY_MS INT64_C(86400000)

struct report_mail {
	uint32_t magic;
	LIST_ENTRY(report_mail) link;
	struct relayd *relayd;
	struct smtpin_token token;
	bool reading;	/* by the worker */
	bool signed_to; /* it came to an address that we signed: verp */
	struct verp verp;
	char *content;
	size_t size;
	char to[ADDRESS_MAX + 1];
	char from[ADDRESS_MAX + 1];
	char client[IPADDR_TEXT_LEN];
	struct bounce said;
	const struct bounce_rcpt *rcpt; /* of said: that it is about; NULL */
	char about[ADDRESS_MAX + 1];	/* the recipient */
	uint32_t stream;		/* names, of a recipient that is forgotten */
	struct attempt attempt;
};

/* --- the end ---------------------------------------------------------------------------------- */

static void mail_free(struct report_mail *m)
{
	LIST_REMOVE(m, link);
	free(m->content);
	m->magic = 0;
	free(m);
}

void wire_reports_end(struct relayd *r)
{
	struct report_mail *m, *next;

	for (m = LIST_FIRST(&r->bounces.mails); m != NULL; m = next) {
		next = LIST_NEXT(m, link);
		if (!m->reading) /* else it goes when the worker is through */
			mail_free(m);
		else
			LIST_REMOVE(m, link);
	}
	LIST_INIT(&r->bounces.mails);
}

static void answer(struct report_mail *m, const struct err *err)
{
	struct smtp_answer no = { .code = 452, .enhanced = "4.3.1" };

	(void)snprintf(no.text, sizeof(no.text), "The report could not be stored");
	smtpin_accepted(m->relayd->env.smtpin, m->token, err != NULL ? &no : NULL);
	mail_free(m);
}

static void log_fate(const struct report_mail *m, const char *what, const char *detail)
{
	char id[RID_TEXT_LEN] = "";

	if (m->verp.rid.v != 0)
		rid_text(m->verp.rid, id);
	log_info(id, what, F_STR("from", m->from), F_STR("client", m->client),
		 F_STR("format", m->said.format), F_STR("detail", detail));
}

/* It says nothing that has to be kept. */
static void pass_over(struct report_mail *m, enum report_fate fate)
{
	m->relayd->env.reports[fate]++;
	log_fate(m, "report.read",
		 fate == REPORT_DELAY	  ? "delayed, not failed"
		 : fate == REPORT_SUCCESS ? "no failure"
					  : "an automatic reply or the like");
	answer(m, NULL);
}

static void on_kept(void *arg, const struct err *err)
{
	answer(OBJ(report_mail, MAIL_MAGIC, arg), err);
}

static void keep(struct report_mail *m, const char *why)
{
	struct relayd *r = m->relayd;
	const struct unread_mail *kept;

	r->env.reports[REPORT_KEPT]++;
	log_fate(m, "report.kept", why);
	if (r->conf->bounces_keep == 0) {
		answer(m, NULL);
		return;
	}
	kept = unread_add(r->env.unread,
			  &(struct unread_new_mail){ .content = str_from(m->content, m->size),
						     .client = m->client,
						     .from = m->from,
						     .to = m->to,
						     .subject = m->said.subject,
						     .original = m->said.original_id,
						     .why = why },
			  loop_wall_ms(r->env.loop));
	wire_store_unread(r, kept, on_kept, m);
}

/* --- what it says ----------------------------------------------------------------------------- */

static void on_recorded(void *arg, bool again, const struct err *err)
{
	struct report_mail *m = OBJ(report_mail, MAIL_MAGIC, arg);
	bool complaint = m->attempt.outcome == OUTCOME_COMPLAINED;

	if (err == NULL) {
		m->relayd->env.reports[again	   ? REPORT_REPEATED
				       : complaint ? REPORT_COMPLAINT
						   : REPORT_BOUNCE]++;
		log_fate(m, "report.read", again ? "repeated" : complaint ? "complaint" : "bounce");
	} else if (log_limited("report.store")) {
		log_error(NULL, "report.store", F_STR("error", err->msg));
	}
	answer(m, err);
}

/* A day behind the last one at which a report can come. */
static int64_t until_ms(const struct report_mail *m)
{
	return m->verp.expires_ms + DAY_MS;
}

static void record(struct report_mail *m)
{
	struct relayd *r = m->relayd;
	struct str about = str_of(m->about);

	queue_late(r->env.queue,
		   &(struct queue_late){
			   .rid = m->verp.rid,
			   .attempt = m->attempt,
			   .until_ms = until_ms(m),
			   .to = about,
			   .domain = queue_name(r->env.queue, address_text_domain(about)),
			   .stream = m->stream },
		   on_recorded, m);
}

static void on_told(void *arg, uint64_t ticket)
{
	(void)ticket;
	record(OBJ(report_mail, MAIL_MAGIC, arg));
}

static void describe_bounce(const struct report_mail *m, struct attempt *a)
{
	const struct bounce_rcpt *x = m->rcpt;
	char code[8] = "";

	a->outcome = OUTCOME_BOUNCED;
	a->code = x->code;
	memcpy(a->enhanced, x->enhanced, sizeof(a->enhanced));
	if (x->code != 0)
		(void)snprintf(code, sizeof(code), "%d ", x->code);
	(void)snprintf(a->reply, sizeof(a->reply), "%s%s%s%s", code,
		       x->code != 0 ? x->enhanced : "",
		       x->code != 0 && x->enhanced[0] != '\0' ? " " : "",
		       x->text[0] != '\0' ? x->text : "undeliverable, without a reason");
	(void)snprintf(a->host, sizeof(a->host), "%s",
		       x->remote[0] != '\0' ? x->remote : m->said.reporter);
	wire_classify(m->relayd, a);
}

static void describe_complaint(const struct report_mail *m, struct attempt *a)
{
	const char *type = m->said.complaint[0] != '\0' ? m->said.complaint : "abuse";

	a->outcome = OUTCOME_COMPLAINED;
	(void)snprintf(a->reply, sizeof(a->reply), "complaint (%s), reported by %.200s", type,
		       m->said.reporter[0] != '\0' ? m->said.reporter : m->said.from);
	(void)snprintf(a->host, sizeof(a->host), "%s", m->said.reporter);
}

static void describe(struct report_mail *m)
{
	struct attempt *a = &m->attempt;

	memset(a, 0, sizeof(*a));
	a->at_ms = loop_wall_ms(m->relayd->env.loop);
	if (m->said.kind == BOUNCE_COMPLAINT)
		describe_complaint(m, a);
	else
		describe_bounce(m, a);
}

/* A recipient that the store has forgotten: one that the report names and that we wrote to. */
static bool find_about(struct report_mail *m)
{
	const uint8_t *key = m->relayd->bounces.key;

	for (size_t i = 0; i < m->said.rcpts_n; i++) {
		const struct bounce_rcpt *x = &m->said.rcpts[i];
		const char *one = verp_is_for(key, &m->verp, str_of(x->original)) ? x->original
				  : verp_is_for(key, &m->verp, str_of(x->final))  ? x->final
										  : NULL;
		if (one == NULL)
			continue;
		(void)snprintf(m->about, sizeof(m->about), "%s", one);
		m->rcpt = m->said.kind == BOUNCE_STATUS ? x : m->rcpt;
		return true;
	}
	return false;
}

/* Of several in one report, the one that it was sent for. */
static void choose_rcpt(struct report_mail *m, struct str to)
{
	const struct bounce *b = &m->said;

	for (size_t i = 0; i < b->rcpts_n; i++)
		if (str_eq_nocase(str_of(b->rcpts[i].original), to) ||
		    str_eq_nocase(str_of(b->rcpts[i].final), to)) {
			m->rcpt = &b->rcpts[i];
			return;
		}
	m->rcpt = b->rcpts_n > 0 ? &b->rcpts[0] : NULL;
}

/* True when it is a failure, or a complaint. */
static bool is_bad(struct report_mail *m)
{
	if (m->said.kind == BOUNCE_COMPLAINT || m->rcpt->action == DSN_FAILED)
		return true;
	pass_over(m, m->rcpt->action == DSN_DELAYED ? REPORT_DELAY : REPORT_SUCCESS);
	return false;
}

/* The next hop's yes may be on its way to the disk still, or not even be said. */
static bool was_delivered(struct report_mail *m, const struct queue_entry *e, bool *ret_active)
{
	struct sched_view v;
	bool queued = sched_find(m->relayd->env.sched, m->verp.rid, &v);

	*ret_active = queued && v.state == SCHED_ACTIVE;
	return e->outcome == OUTCOME_DELIVERED ||
	       (!queued && (e->outcome == OUTCOME_NONE || e->outcome == OUTCOME_DEFERRED));
}

static void put_off(struct report_mail *m)
{
	struct smtp_answer later = { .code = 451, .enhanced = "4.3.0" };

	(void)snprintf(later.text, sizeof(later.text),
		       "The delivery that this reports on is not over yet, try again later");
	smtpin_accepted(m->relayd->env.smtpin, m->token, &later);
	mail_free(m);
}

static void on_entry(void *arg, const struct queue_entry *rows, size_t n, const struct err *err)
{
	struct report_mail *m = OBJ(report_mail, MAIL_MAGIC, arg);
	const struct conf *c = m->relayd->conf;
	bool delivered, active = false, tell;

	if (err != NULL) {
		answer(m, err);
		return;
	}
	delivered = n > 0 && was_delivered(m, &rows[0], &active);
	if (active) {
		put_off(m);
		return;
	}
	m->stream = n > 0 ? rows[0].stream : m->verp.stream;
	if (n > 0)
		(void)snprintf(m->about, sizeof(m->about), "%.*s", STR_ARG(rows[0].to));
	choose_rcpt(m, n > 0 ? rows[0].to : STR(""));
	if (n == 0 && !find_about(m)) {
		keep(m, "the message is forgotten, and the report does not name its recipient");
		return;
	}
	if (!is_bad(m))
		return;
	describe(m);
	tell = delivered && rows[0].from.n > 0 && c->bounces_notify_sender != 0 &&
	       m->attempt.outcome == OUTCOME_BOUNCED;
	if (tell)
		report_late(&m->relayd->env,
			    &(struct queue_result){ .rid = m->verp.rid, .attempt = m->attempt },
			    until_ms(m), on_told, m);
	else
		record(m);
}

/* Of a report that came to the feedback address: an envelope sender that it names and we signed. */
static bool find_signed(struct report_mail *m)
{
	const struct relayd *r = m->relayd;

	for (size_t i = 0; i < m->said.senders_n; i++) {
		struct str sender = str_of(m->said.senders[i]);
		struct str domain = address_text_domain(sender);
		struct verp v;
		if (!str_eq_nocase(domain, str_of(r->bounces.domain)) ||
		    wire_report_address(r, str_from(sender.p, sender.n - domain.n - 1), &v) !=
			    VERP_GOOD)
			continue;
		m->verp = v;
		return true;
	}
	return false;
}

static void judge(struct report_mail *m)
{
	struct bounce *b = &m->said;

	/* whoever writes to the feedback address with a mail of ours complains about it */
	if (!m->signed_to && b->kind == BOUNCE_UNREAD && b->returned && find_signed(m)) {
		b->kind = BOUNCE_COMPLAINT;
		b->format = "returned";
	}
	if (b->kind == BOUNCE_IDLE) {
		pass_over(m, REPORT_IDLE);
		return;
	}
	if (b->kind == BOUNCE_UNREAD) {
		keep(m, "nothing in it says what it reports");
		return;
	}
	if (!m->signed_to && !find_signed(m)) {
		keep(m, "it names no envelope sender that this relay signed");
		return;
	}
	queue_entries(m->relayd->env.queue, &m->verp.rid, 1, on_entry, m);
}

/* --- DATA ------------------------------------------------------------------------------------- */

/* In a worker. */
static void work(void *arg)
{
	struct report_mail *m = arg;

	bounce_read(str_from(m->content, m->size), m->from[0] == '\0', &m->said);
}

static void on_read(void *arg)
{
	struct report_mail *m = OBJ(report_mail, MAIL_MAGIC, arg);

	m->reading = false;
	if (m->relayd->env.queue != NULL) {
		judge(m);
		return;
	}
	free(m->content); /* the end: its client has no answer, and tries again */
	free(m);
}

void wire_report(struct relayd *r, struct smtpin_message *take, struct smtpin_token token)
{
	const struct smtpin_envelope *e = &take->envelope;
	const struct address *to = &e->rcpts[0].address;
	struct report_mail *m = xcalloc(1, sizeof(*m));

	*m = (struct report_mail){ .magic = MAIL_MAGIC,
				   .relayd = r,
				   .token = token,
				   .reading = true,
				   .content = take->data,
				   .size = take->size };
	take->data = NULL;
	LIST_INSERT_HEAD(&r->bounces.mails, m, link);
	m->signed_to = wire_report_address(r, address_local(to), &m->verp) == VERP_GOOD;
	(void)snprintf(m->to, sizeof(m->to), "%.*s", STR_ARG(address_str(to)));
	(void)snprintf(m->from, sizeof(m->from), "%.*s", STR_ARG(address_str(e->from)));
	ipaddr_text(&e->client, m->client);
	(void)loop_job_start(r->env.loop, "report.read", work, on_read, m);
}
