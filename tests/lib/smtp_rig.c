#include "lib/smtp_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/obj.h"
#include "lib/cred_made.h"

#define NOW_MS INT64_C(1795490000000)

static void on_connect(void *arg, const struct ipaddr *client, struct smtpin_client_facts *ret)
{
	struct smtp_rig *r = arg;

	r->client = *client;
	r->asked++;
	ret->may_relay = r->may_relay;
}

static bool on_mail(void *arg, const struct smtpin_envelope *e, struct smtp_answer *ret)
{
	struct smtp_rig *r = arg;

	(void)e;
	if (r->disk_full)
		*ret = (struct smtp_answer){ 452, "4.3.1", "The disk is full" };
	return !r->disk_full;
}

static bool on_rcpt(void *arg, const struct smtpin_envelope *e, const struct address *rcpt,
		    struct smtp_answer *ret)
{
	(void)arg;
	(void)e;
	if (!str_eq(address_domain(rcpt), STR("nowhere.example")))
		return true;
	*ret = (struct smtp_answer){ 550, "5.1.2", "No such domain" };
	return false;
}

static struct msgid new_id(void *arg)
{
	struct smtp_rig *r = arg;

	return (struct msgid){ ++r->last_id };
}

static const struct smtp_answer lost = { 451, "4.3.0", "The queue is not well" };

static void note_dsn(struct smtp_rig *r, const struct smtpin_message *m)
{
	const struct smtpin_rcpt *to = &m->envelope.rcpts[0];

	(void)snprintf(r->dsn, sizeof(r->dsn), "%sret=%d envid=%.*s notify=%#x orcpt=%s",
		       m->smtputf8 ? "smtputf8 " : "", (int)m->envelope.ret,
		       STR_ARG(m->envelope.envid), to->notify, to->orcpt != NULL ? to->orcpt : "-");
}

static void accept_message(void *arg, struct smtpin_message *take, struct smtpin_token token)
{
	struct smtp_rig *r = arg;
	const struct smtpin_envelope *e = &take->envelope;

	r->n_messages++;
	r->id = take->id;
	r->body_at = take->body_at;
	(void)snprintf(r->msgid_text, sizeof(r->msgid_text), "%.*s", STR_ARG(take->message_id));
	(void)snprintf(r->credential, sizeof(r->credential), "%.*s", STR_ARG(e->credential));
	note_dsn(r, take);
	buf_reset(&r->message);
	(void)buf_put(&r->message, take->data, take->size);
	ASSERT(take->data[take->size] == '\0' && take->body_at <= take->size);
	(void)buf_printf(&r->seen, "<%s>", e->from->text);
	for (size_t i = 0; i < e->n_rcpts; i++)
		(void)buf_printf(&r->seen, " <%s>", e->rcpts[i].address.text);
	(void)buf_printf(&r->seen, " %s\n", take->subject);
	/* taken in half of the cases, so that both ways are freed */
	if (r->n_messages % 2 == 0) {
		free(take->data);
		take->data = NULL;
	}
	if (!r->later)
		smtpin_accepted(r->in, token, r->lost ? &lost : NULL);
	else if (r->n_waiting < RIG_WAITING_MAX)
		r->waiting[r->n_waiting++] = token;
}

static void on_drained(void *arg)
{
	((struct smtp_rig *)arg)->drained = true;
}

static const struct smtpin_ops ops = {
	.on_connect = on_connect,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.new_id = new_id,
	.accept = accept_message,
	.on_drained = on_drained,
};

/* Deriving keys takes its time: once a process is enough. */
static struct creds *make_creds(void)
{
	static char *shop;
	struct creds *c = creds_new();

	if (creds_put_pepper(c, "{\"bytes\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}",
			     NULL) < 0)
		BUG("no pepper");
	if (shop == NULL) {
		json_t *o;
		cred_made(c, "shop", "", "s1=open sesame");
		o = creds_json(creds_at(c, 0));
		shop = json_dumps(o, 0);
		json_decref(o);
	} else if (creds_put(c, shop, NULL) < 0) {
		BUG("no credential");
	}
	return c;
}

void smtp_rig_open(struct smtp_rig *r, struct smtpin_config conf)
{
	*r = (struct smtp_rig){ .loop = loop_new(),
				.peer = -1,
				.may_relay = true,
				.message = BUF_INIT((size_t)64 << 20),
				.seen = BUF_INIT((size_t)64 << 20) };
	log_level_set(LOG_LEVEL_WARN); /* refusals are what is tested */
	loop_fake_clock(r->loop, NOW_MS);
	r->creds = make_creds();
	r->sasl = sasl_server_new(r->loop, r->creds);
	r->guard = guard_new(&(struct guard_config){ .failures_max = 5 });
	conf.creds = r->creds;
	conf.sasl = r->sasl;
	conf.guard = r->guard;
	conf.hostname = "relay.example";
	r->in = smtpin_new(r->loop, &conf, &ops, r);
}

void smtp_rig_close(struct smtp_rig *r)
{
	smtpin_free(&r->in);
	sasl_server_free(&r->sasl);
	guard_free(&r->guard);
	if (r->peer >= 0)
		(void)close(r->peer);
	buf_done(&r->message);
	buf_done(&r->seen);
	loop_free(&r->loop);
	creds_free(&r->creds);
}

/* Turns the loop until nothing is left to be done now; workers live in real time. */
static void settle(struct smtp_rig *r)
{
	loop_advance(r->loop, 0);
	while (sasl_jobs(r->sasl) > 0) {
		(void)poll(NULL, 0, 1);
		loop_advance(r->loop, 0);
	}
}

int smtp_rig_connect(struct smtp_rig *r, const char *ip)
{
	struct ipaddr client;
	int former = r->peer;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0 ||
	    !ipaddr_parse(str_of(ip), &client))
		BUG("no client");
	r->peer = fd[1];
	(void)fcntl(r->peer, F_SETFL, O_NONBLOCK);
	smtpin_serve(r->in, fd[0], &client, &r->rules);
	loop_advance(r->loop, 0);
	return former;
}

void smtp_rig_send(struct smtp_rig *r, struct str bytes, size_t piece)
{
	while (bytes.n > 0) {
		size_t want = piece != 0 && piece < bytes.n ? piece : bytes.n;
		ssize_t n = send(r->peer, bytes.p, want, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		settle(r);
		if (n > 0)
			bytes = str_from(bytes.p + n, bytes.n - (size_t)n);
	}
	/* what was put off to the loop's next turn */
	for (int i = 0; i < 4; i++)
		settle(r);
}

bool smtp_rig_read(struct smtp_rig *r, struct buf *to)
{
	char text[4096];
	ssize_t n;

	while ((n = recv(r->peer, text, sizeof(text), 0)) > 0) {
		(void)buf_put(to, text, (size_t)n);
		loop_advance(r->loop, 0);
	}
	return n < 0 && errno == EAGAIN;
}

void smtp_rig_result(struct smtp_rig *r, unsigned i, const struct smtp_answer *refusal)
{
	smtpin_accepted(r->in, r->waiting[i], refusal);
	for (int k = 0; k < 4; k++)
		loop_advance(r->loop, 0);
}
