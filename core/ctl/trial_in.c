/* The steps from the client's connection to the queue. */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "conf/conf.h"
#include "ctl/trial.h"
#include "ctl/views.h"
#include "ctl/why.h"

#define CHANGE_MAX 400

/* ---- who sends ---- */

/* Every listener wants a credential. */
static bool all_want_auth(const struct ctl_env *env)
{
	size_t n = 0;

	for (size_t i = 0; env->conf != NULL && i < env->conf->listen_n; i++)
		n += env->conf->listen[i].auth == CONF_AUTH_REQUIRED;
	return n > 0 && n == env->conf->listen_n;
}

static void client_relays(struct trial_found *f)
{
	const struct allow_entry *e = f->entry;
	AUTO_BUF text = BUF_INIT(STEPS_TEXT_MAX);
	char change[CHANGE_MAX];

	view_client(f->env, f->mail.client, &text);
	if (e == NULL || e->mode != ALLOW_RELAY) {
		(void)snprintf(change, sizeof(change), "weir allow add %s", f->client);
		steps_add(&f->steps, "client", STEP_REFUSED, e != NULL ? e->text : NULL, change,
			  "%s", buf_cstr(&text));
		return;
	}
	(void)snprintf(change, sizeof(change), "weir allow remove %s", e->text);
	if (all_want_auth(f->env))
		steps_add(&f->steps, "client", STEP_REFUSED, "relayd.conf",
			  "relayd.conf, listen { auth }",
			  "no mail without a credential: all listeners have auth = \"required\"");
	else
		steps_add(&f->steps, "client", STEP_OK, e->text, change, "%s", buf_cstr(&text));
}

static void client_logs_in(struct trial_found *f)
{
	const struct allow_entry *e = f->entry;
	int64_t until = guard_blocked(f->env->guard, f->mail.client, f->now_ms);
	char change[CHANGE_MAX], when[FMT_TIME_LEN];

	if (!allow_may_authenticate(f->env->allow, e)) {
		(void)snprintf(change, sizeof(change), "weir allow add %s --mode authenticate",
			       f->client);
		steps_add(&f->steps, "client", STEP_REFUSED, NULL, change,
			  "%s may not authenticate: only networks on the allowlist may, since it "
			  "has some of the mode authenticate",
			  f->client);
	} else if (until != 0) {
		fmt_time(until, when);
		(void)snprintf(change, sizeof(change), "weir cred unblock %s", f->client);
		steps_add(&f->steps, "client", STEP_REFUSED, NULL, change,
			  "%s is blocked until %s: it failed too often to authenticate", f->client,
			  when);
	} else {
		steps_add(&f->steps, "client", STEP_OK, e != NULL ? e->text : NULL, NULL,
			  "%s may authenticate where that is offered", f->client);
	}
}

static void step_client(struct trial_found *f)
{
	if (f->mail.client == NULL)
		steps_add(&f->steps, "client", STEP_NONE, NULL, NULL,
			  "not said; with --client ADDRESS the allowlist is asked");
	else if (f->mail.credential.n > 0)
		client_logs_in(f);
	else
		client_relays(f);
}

static void put_list(struct buf *b, const char *title, char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_printf(b, "%s%s", i == 0 ? title : ", ", v[i]);
}

static void put_bounds(const struct cred *x, const struct conf *c, struct buf *b)
{
	unsigned minute = x->per_minute;

	if (minute == 0 && c != NULL)
		minute = (unsigned)c->credential_message_rate;
	put_list(b, "; sends for ", x->senders, x->n_senders);
	put_list(b, "; in the streams ", x->streams, x->n_streams);
	if (minute != 0)
		(void)buf_printf(b, "; %u messages a minute", minute);
	if (x->per_day != 0)
		(void)buf_printf(b, "; %u a day", x->per_day);
	if (x->recipients_max != 0)
		(void)buf_printf(b, "; %u recipients a message", x->recipients_max);
}

static void step_credential(struct trial_found *f)
{
	struct str name = f->mail.credential;
	AUTO_BUF bounds = BUF_INIT(STEPS_TEXT_MAX);
	struct why w = WHY_INIT;
	char change[CHANGE_MAX];

	(void)snprintf(change, sizeof(change), "weir cred set %.*s", STR_ARG(name));
	if (name.p == NULL)
		steps_add(&f->steps, "credential", STEP_NONE, NULL, NULL,
			  "not said; with --credential NAME its bounds are asked, \"\" is none");
	else if (name.n == 0)
		steps_add(&f->steps, "credential", STEP_NONE, NULL, NULL, "none");
	else if (f->cred == NULL)
		steps_add(&f->steps, "credential", STEP_REFUSED, NULL, "weir cred add",
			  "there is no credential %.*s", STR_ARG(name));
	else if (why_credential(f->env, &w, name))
		steps_add(&f->steps, "credential", w.binding == B_RATE ? STEP_WAITS : STEP_REFUSED,
			  f->cred->name, change, "%s", buf_cstr(&w.text));
	else if (f->mail.client != NULL && !cred_in_networks(f->cred, f->mail.client))
		steps_add(&f->steps, "credential", STEP_REFUSED, f->cred->name, change,
			  "%s may not be used from %s: it is bound to other networks",
			  f->cred->name, f->client);
	else {
		put_bounds(f->cred, f->env->conf, &bounds);
		steps_add(&f->steps, "credential", STEP_OK, f->cred->name, change, "%s is active%s",
			  f->cred->name, buf_cstr(&bounds));
	}
	buf_done(&w.text);
}

static void step_sender(struct trial_found *f)
{
	char change[CHANGE_MAX];

	if (f->mail.from == NULL) {
		steps_add(&f->steps, "sender", STEP_NONE, NULL, NULL, "not said; --from ADDRESS");
		return;
	}
	if (f->cred == NULL) {
		steps_add(&f->steps, "sender", STEP_OK, NULL, NULL, "<%.*s>: any may send",
			  STR_ARG(address_str(f->mail.from)));
		return;
	}
	(void)snprintf(change, sizeof(change), "weir cred set %s --senders", f->cred->name);
	if (cred_may_send(f->cred, f->mail.from))
		steps_add(&f->steps, "sender", STEP_OK, f->cred->name, change,
			  "%s may send for <%.*s>", f->cred->name,
			  STR_ARG(address_str(f->mail.from)));
	else
		steps_add(&f->steps, "sender", STEP_REFUSED, f->cred->name, change,
			  "%s may not send for <%.*s>", f->cred->name,
			  STR_ARG(address_str(f->mail.from)));
}

/* ---- the stream, and what follows from it ---- */

/* "sender-domain:news.example, with the header field List-Unsubscribe" */
static void put_rule(const struct trial_found *f, const struct mailstream *x, struct buf *b)
{
	const char *met = f->mail.has_header ? streams_met(x, f->mail.header) : NULL;

	if (f->stream_said)
		(void)buf_puts(b, "as was said; the rules were not asked");
	else if (f->network != NULL)
		(void)buf_printf(b, "the allowlist has it for %s", f->network->text);
	else if (strcmp(x->id, STREAM_DEFAULT) == 0)
		(void)buf_puts(b, "no other one does");
	else if (met == NULL)
		(void)buf_puts(b, *x->match_text != '\0' ? x->match_text : "it takes all mail");
	else if (*x->match_text == '\0')
		(void)buf_printf(b, "it has the header field %s", met);
	else
		(void)buf_printf(b, "%s, with the header field %s", x->match_text, met);
}

static void step_stream(struct trial_found *f)
{
	const struct mailstream *x = f->stream, *open = f->stream_open;
	AUTO_BUF rule = BUF_INIT(STEPS_TEXT_MAX);
	char change[CHANGE_MAX];

	if (x == NULL) {
		(void)snprintf(change, sizeof(change), "weir stream set %s --match", open->id);
		steps_add(&f->steps, "stream", STEP_OPEN, open->id, change,
			  "it depends on what was not said: stream %s asks for %s%s%s; give the "
			  "rest with --from, --client, --credential, --size or --header",
			  open->id, open->match_text,
			  open->headers[0] == NULL    ? ""
			  : *open->match_text != '\0' ? " and a header field "
						      : "a header field ",
			  open->headers[0] != NULL ? open->headers[0] : "");
		return;
	}
	put_rule(f, x, &rule);
	if (strcmp(x->id, STREAM_DEFAULT) == 0)
		(void)snprintf(change, sizeof(change), "weir stream add");
	else
		(void)snprintf(change, sizeof(change), "weir stream set %s --match", x->id);
	if (f->network != NULL)
		(void)snprintf(change, sizeof(change), "weir allow set %s --stream",
			       f->network->text);
	steps_add(&f->steps, "stream", STEP_OK, f->network != NULL ? f->network->text : x->id,
		  change, "stream %s takes it: %s", x->id, buf_cstr(&rule));
}

static void step_recipient(struct trial_found *f)
{
	const struct suppress_entry *e = f->suppressed;
	bool drop = f->suppressed_late && f->stream != NULL && decide_drops(f->env, f->stream);
	char since[FMT_TIME_LEN], change[CHANGE_MAX], id[SUPPRESS_ID_MAX + 1];

	if (f->rejects != NULL) {
		(void)snprintf(change, sizeof(change), "weir route remove %s", f->rejects->id);
		steps_add(&f->steps, "recipient", STEP_REFUSED, f->rejects->id, change,
			  "route %s (%s) refuses it at RCPT", f->rejects->id,
			  *f->rejects->match_text != '\0' ? f->rejects->match_text : "all mail");
		return;
	}
	if (f->suppressed_open) {
		steps_add(&f->steps, "recipient", STEP_NONE, NULL, "weir suppress list",
			  "depends on the stream: it is suppressed for the mail of some");
		return;
	}
	if (e == NULL) {
		steps_add(&f->steps, "recipient", STEP_OK, NULL, NULL, "not suppressed");
		return;
	}
	fmt_time(e->created_ms, since);
	suppress_id(e->address, e->scope, id);
	(void)snprintf(change, sizeof(change), "weir suppress remove %s%s%s", e->address,
		       *e->scope != '\0' ? " --stream " : "", e->scope);
	steps_add(&f->steps, "recipient",
		  drop		       ? STEP_DISCARDED
		  : f->suppressed_late ? STEP_FAILS
				       : STEP_REFUSED,
		  id, change, "%s is on the suppression list since %.10s (%s%s%s), so mail is %s",
		  e->address, since, suppress_source_name(e->source),
		  *e->reason != '\0' ? ": " : "", e->reason,
		  drop		       ? "accepted and dropped"
		  : f->suppressed_late ? "accepted, because the envelope alone does not decide "
					 "its stream, and returned to its sender"
				       : "refused");
}

static void step_content(struct trial_found *f)
{
	const struct mailstream *x = f->stream;
	const struct conf *c = f->env->conf;
	struct smtp_answer no;
	char change[CHANGE_MAX];

	if (c != NULL && f->mail.size > c->message_size) {
		steps_add(&f->steps, "content", STEP_REFUSED, "relayd.conf",
			  "relayd.conf, limits { message-size }",
			  "it is too large: %lld bytes are allowed", (long long)c->message_size);
		return;
	}
	if (x == NULL) {
		steps_add(&f->steps, "content", STEP_NONE, NULL, NULL, "depends on the stream");
		return;
	}
	(void)snprintf(change, sizeof(change), "weir stream set %s --require", x->id);
	if (!f->mail.has_header && x->require[0] != NULL &&
	    (f->cred == NULL || cred_in_streams(f->cred, str_of(x->id))))
		steps_add(&f->steps, "content", STEP_NONE, x->id, change,
			  "the stream %s wants header fields, such as %s; with --header it is "
			  "looked whether they are there",
			  x->id, x->require[0]);
	else if (decide_refuses(f->env, x, f->mail.credential, f->mail.header, &no))
		steps_add(&f->steps, "content", STEP_REFUSED, x->id, change,
			  "it is refused at the end of DATA: %s", no.text);
	else if (x->require[0] != NULL)
		steps_add(&f->steps, "content", STEP_OK, x->id, change,
			  "it has what the stream %s demands", x->id);
	else
		steps_add(&f->steps, "content", STEP_OK, x->id, change,
			  "nothing is demanded of it");
}

/* ---- signatures ---- */

/* The header; without a From field in it one with the sender, which is what most mail has. */
static void find_signers(struct trial_found *f, bool *ret_guessed)
{
	AUTO_BUF content = BUF_INIT(100000);
	struct header_field field;

	*ret_guessed = !f->mail.has_header || !header_find(f->mail.header, STR("From"), &field);
	if (*ret_guessed && f->mail.from != NULL && f->mail.from->n > 0)
		(void)buf_printf(&content, "From: <%.*s>\r\n", STR_ARG(address_str(f->mail.from)));
	if (f->mail.has_header)
		(void)buf_put_str(&content, f->mail.header);
	(void)buf_puts(&content, "\r\n");
	f->signers_n = decide_signers(f->env, buf_str(&content), f->stream, f->signers);
}

static void step_dkim(struct trial_found *f)
{
	AUTO_BUF text = BUF_INIT(STEPS_TEXT_MAX);
	bool guessed;

	if (f->stream == NULL) {
		steps_add(&f->steps, "dkim", STEP_NONE, NULL, NULL, "depends on the stream");
		return;
	}
	find_signers(f, &guessed);
	for (size_t i = 0; i < f->signers_n; i++)
		(void)buf_printf(&text, "%s%s", i == 0 ? "signed with " : " and ",
				 f->signers[i]->id);
	if (f->signers_n == 0)
		(void)buf_puts(&text, "not signed: there is no active key for it");
	if (guessed && f->mail.from != NULL && f->mail.from->n > 0)
		(void)buf_puts(&text, "; taking the sender for its author (the From field)");
	else if (guessed)
		(void)buf_puts(&text, "; of its author nothing was said (--from, --header)");
	steps_add(&f->steps, "dkim", STEP_OK, f->signers_n > 0 ? f->signers[0]->id : NULL,
		  f->signers_n > 0 ? "weir dkim list" : "weir dkim add DOMAIN", "%s",
		  buf_cstr(&text));
}

void trial_way_in(struct trial_found *f)
{
	step_client(f);
	step_credential(f);
	step_sender(f);
	step_stream(f);
	step_recipient(f);
	step_content(f);
	step_dkim(f);
}
