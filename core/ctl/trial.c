#include "ctl/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/stream_env.h"
#include "ctl/views.h"
#include "mail/header.h"

#define HEADER_MAX 65536

struct trial {
	struct view_job job;
	trial_fn *fn;
	struct address to;
	struct address from;
	bool has_from;
	struct ipaddr client;
	bool has_client;
	const char *credential; /* borrows from the call, as stream does; NULL: not known */
	const char *stream;
	struct buf header;
	bool has_header;
	char subject[HEADER_SUBJECT_MAX + 1];
	int64_t size;
	uint64_t ask;
	bool by_provider; /* it was asked who that is */
	struct loop_timer *deadline;
};

static void trial_done(struct view_job *j)
{
	struct trial *t = (struct trial *)j;

	if (t->ask != 0 && j->env->resolver != NULL)
		resolver_cancel(j->env->resolver, t->ask);
	loop_timer_free(&t->deadline);
	buf_done(&t->header);
}

/* ---- what is decided ---- */

static const struct address *only_rcpt(void *arg, size_t i)
{
	(void)i;
	return &((const struct trial *)arg)->to;
}

/* A field that is not there is known, too; but a Message-ID is made then. */
static void put_fields(struct trial *t, struct decide_mail *m)
{
	struct header_field f;

	m->has_header = t->has_header;
	m->header = buf_str(&t->header);
	if (!t->has_header)
		return;
	m->subject = str_of(t->subject);
	if (header_find(m->header, STR("Message-ID"), &f))
		m->msgid = f.value;
}

static struct decide_mail mail_of(struct trial *t)
{
	struct decide_mail m = { .client = t->has_client ? &t->client : NULL,
				 .from = t->has_from ? &t->from : NULL,
				 .rcpts_n = 1,
				 .rcpt = only_rcpt,
				 .arg = t,
				 .all_rcpts = true,
				 .size = t->size };

	if (t->credential != NULL)
		m.credential = str_of(t->credential);
	else if (t->has_client) /* who says where it comes from, and no more */
		m.credential = STR("");
	put_fields(t, &m);
	return m;
}

/* As it is just after it came in, without what was not said. */
static void fill_row(const struct trial_found *f, struct filter_row *row)
{
	const struct decide_mail *m = &f->mail;
	const struct message letter = { .received_ms = f->now_ms };
	const struct message_rcpt rcpt = { .n = 1, .address = address_str(f->to) };
	struct str domain = address_domain(f->to);
	const char *provider = resolver_provider(f->env->resolver, domain);
	char client[IPADDR_TEXT_LEN];
	struct filter_row said;

	env_rcpt_row(f->env, &letter, &rcpt, NULL, row);
	decide_row(f->env, m, client, &said);
	for (int i = 0; i < FILTER__COUNT; i++) {
		row->text[i] = (said.known & 1u << i) != 0 ? said.text[i] : row->text[i];
		row->number[i] = (said.known & 1u << i) != 0 ? said.number[i] : row->number[i];
	}
	row->known &= ~(1u << FILTER_FROM | 1u << FILTER_SENDER_DOMAIN | 1u << FILTER_SUBJECT |
			1u << FILTER_CREDENTIAL | 1u << FILTER_CLIENT | 1u << FILTER_MSGID |
			1u << FILTER_SIZE | 1u << FILTER_STREAM);
	row->known |= said.known;
	if (m->client != NULL)
		row->text[FILTER_CLIENT] = str_of(f->client);
	filter_row_text(row, FILTER_DOMAIN, domain);
	if (f->stream != NULL)
		filter_row_text(row, FILTER_STREAM, str_of(f->stream->id));
	if (provider != NULL)
		filter_row_text(row, FILTER_PROVIDER, str_of(provider));
}

/* Some stream's mail does not go there. */
static bool in_some_stream(const struct ctl_env *env, const struct address *to, int64_t now_ms)
{
	for (size_t i = 0; i < streams_n(env->streams); i++)
		if (suppress_check(env->suppress, address_str(to),
				   str_of(streams_at(env->streams, i)->id), now_ms) != NULL)
			return true;
	return false;
}

static void decide(struct trial *t, struct trial_found *f)
{
	const struct ctl_env *env = t->job.env;
	const struct decide_rules rules = decide_rules_of(env);
	const struct mailstream *early;
	struct decide_mail envelope;

	*f = (struct trial_found){ .env = env, .now_ms = loop_wall_ms(env->loop), .to = &t->to };
	f->mail = mail_of(t);
	if (t->has_client) {
		ipaddr_text(&t->client, f->client);
		f->entry = allow_check(env->allow, &t->client, f->now_ms);
	}
	if (f->mail.credential.n > 0)
		f->cred = creds_find(env->creds, f->mail.credential);
	f->stream_said = t->stream != NULL;
	if (f->stream_said) {
		f->stream = streams_find(env->streams, str_of(t->stream));
		f->mail.stream = f->stream;
	} else {
		f->network = decide_network_of(env, &f->mail);
		f->stream = decide_stream(env, &f->mail, &f->stream_open);
	}
	/* what the rules see at RCPT, before DATA */
	envelope = f->mail;
	envelope.all_rcpts = envelope.has_header = false;
	envelope.subject = envelope.msgid = (struct str){ .p = NULL };
	envelope.size = -1;
	f->rejects = decide_rcpt(env, &envelope, &t->to, &early);
	f->suppressed = decide_suppressed(env, address_str(&t->to), early);
	f->suppressed_late = f->suppressed == NULL;
	if (f->suppressed_late) /* as before an attempt */
		f->suppressed =
			suppress_check(env->suppress, address_str(&t->to),
				       str_of(f->stream != NULL ? f->stream->id : ""), f->now_ms);
	f->suppressed_open = f->suppressed == NULL && f->stream == NULL &&
			     in_some_stream(env, &t->to, f->now_ms);
	fill_row(f, &f->row);
	decide_way(&rules, &f->row, address_domain(&t->to), &f->way);
	f->by_provider = decide_by_provider(&rules, &f->row, address_domain(&t->to), &f->way);
	(void)routes_demands(env->routes, f->way.next_hop, &f->demands);
}

/* ---- asking ---- */

static void answer(struct trial *t, const struct resolve_answer *a)
{
	struct trial_found f;
	json_t *result;

	decide(t, &f);
	f.answer = a;
	steps_init(&f.steps);
	f.ours = decide_is_ours(t->job.env, &t->to);
	if (f.ours) {
		f.way.known = false;
		steps_add(&f.steps, "recipient", STEP_OK, "relayd.conf", "relayd.conf, bounces",
			  "the relay reads it itself: bounces and complaints come there");
	} else {
		trial_way_in(&f);
		trial_way_out(&f);
	}
	result = t->fn(&f);
	steps_done(&f.steps);
	view_reply(&t->job, result);
}

static void judge(struct trial *t);

/* A provider that was not known is known now, or nobody can say who it is. */
static void on_hosts(void *arg, const struct resolve_answer *a)
{
	struct trial *t = arg;
	struct trial_found f;
	bool found;

	t->ask = 0;
	decide(t, &f);
	found = t->by_provider && f.way.known;
	t->by_provider = false;
	if (found)
		judge(t);
	else
		answer(t, a);
}

static void on_deadline(void *arg)
{
	static const struct resolve_failure late = { .enhanced = "4.4.3",
						     .text = "DNS has not answered in 5 seconds" };
	static const struct resolve_answer none = { .failure = &late, .provider = "" };
	struct trial *t = arg;

	_Static_assert(TRIAL_DNS_MS == 5000, "as it says");
	if (t->ask != 0)
		resolver_cancel(t->job.env->resolver, t->ask);
	t->ask = 0;
	answer(t, &none);
}

static void ask(struct trial *t, const char *hop, unsigned flags)
{
	if (t->deadline == NULL) {
		t->deadline = loop_timer_new(t->job.env->loop, "ctl.trial", on_deadline, t);
		loop_timer_set(t->deadline, TRIAL_DNS_MS);
	}
	t->ask = resolver_ask(t->job.env->resolver, hop, flags, on_hosts, t);
}

static void judge(struct trial *t)
{
	struct trial_found f;

	decide(t, &f);
	if (strchr(f.way.next_hop, ':') == NULL || decide_is_ours(t->job.env, &t->to)) {
		answer(t, NULL);
		return;
	}
	t->by_provider = f.by_provider;
	ask(t, f.way.next_hop,
	    (route_tls_wants_dane(f.demands.tls) ? RESOLVE_DANE : 0) |
		    (route_tls_wants_sts(f.demands.tls) ? RESOLVE_STS : 0));
}

/* ---- what was said ---- */

static int read_address(const struct ctl_call *call, const char *param, bool null_too,
			struct address *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct str text = str_of(ctl_str(call, param));

	if (null_too && (text.n == 0 || str_eq(text, STR("<>")))) {
		*ret = (struct address){ .n = 0 };
		return 0;
	}
	if (address_parse(text, ADDRESS_UTF8, ret, &why) >= 0)
		return 0;
	(void)err_param(err, ERR_INVALID, param, "%s is an address such as anna@example.org: %s",
			param, why.msg);
	err->column = why.column;
	return -ERR_INVALID;
}

static bool is_field(struct str s)
{
	size_t n = 0;

	while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '-' || s.p[n] == '_' ||
			   ((s.p[n] | 0x20) >= 'a' && (s.p[n] | 0x20) <= 'z')))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':';
}

/* The fields that were given, as a message has them. */
static int read_header(struct trial *t, struct err *err)
{
	const json_t *list = ctl_json(t->job.call, "headers");
	struct header_field f;
	struct buf subject = { .p = t->subject,
			       .cap = sizeof(t->subject),
			       .limit = sizeof(t->subject) - 1 };
	const json_t *v;
	size_t i;

	t->has_header = list != NULL;
	json_array_foreach(list, i, v)
	{
		struct str s = str_of(json_string_value(v));
		bool field = is_field(s);
		if (str_index(s, '\n') >= 0 || str_index(s, '\r') >= 0 ||
		    (!field && t->header.n == 0 && s.n > 0))
			return err_param(err, ERR_INVALID, "headers",
					 "a header field is NAME: VALUE, such as X-Stream: news");
		if (s.n == 0)
			continue;
		/* what has no name is the rest of a value with a comma in it */
		if (t->header.n > 0)
			(void)buf_puts(&t->header, field ? "\r\n" : ",");
		(void)buf_put_str(&t->header, s);
	}
	(void)buf_puts(&t->header, t->header.n > 0 ? "\r\n" : "");
	if (t->header.full)
		return err_param(err, ERR_LIMIT, "headers", "a header may have %d bytes here",
				 HEADER_MAX);
	if (header_find(buf_str(&t->header), STR("Subject"), &f))
		header_decode(f.value, &subject);
	return 0;
}

static int read_rest(struct trial *t, struct err *err)
{
	struct ctl_call *call = t->job.call;
	const char *client = ctl_str(call, "client");
	const struct mailstream *found;

	t->credential = ctl_str(call, "credential");
	t->size = ctl_int(call, "size", -1);
	t->has_client = client != NULL;
	if (client != NULL && !ipaddr_parse(str_of(client), &t->client))
		return err_param(err, ERR_INVALID, "client",
				 "client is one address, such as 192.0.2.7, not a network");
	if (method_param(ctl_method(call), "stream") == NULL)
		return 0;
	t->stream = ctl_str(call, "stream");
	return t->stream != NULL ? stream_get(t->job.env->streams, "stream", t->stream, &found, err)
				 : 0;
}

void trial_start(struct ctl_call *call, trial_fn *fn)
{
	static const struct view_job_ops ops = { .step = NULL, .done = trial_done };
	struct trial *t = xcalloc(1, sizeof(*t));
	struct err err = ERR_INIT;
	int rc;

	t->fn = fn;
	t->header = BUF_INIT(HEADER_MAX);
	view_begin(&t->job, ctl_env(call), call, &ops);
	t->has_from = ctl_str(call, "from") != NULL;
	rc = read_address(call, "to", false, &t->to, &err);
	if (rc >= 0 && t->has_from)
		rc = read_address(call, "from", true, &t->from, &err);
	if (rc >= 0)
		rc = read_header(t, &err);
	if (rc >= 0)
		rc = read_rest(t, &err);
	if (rc < 0)
		view_fail(&t->job, &err);
	else
		judge(t);
}
