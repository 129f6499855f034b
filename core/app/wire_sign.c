/*
 * Signatures between DATA and the queue, and before them encodings (mail/mime7.h), so that what is
 * signed needs no other on its way (RFC 6376, 5.3). A message that has lines to encode, or whose
 * author's domain has active keys, takes a detour over a worker, with an envelope of its own,
 * because its session may be gone meanwhile; every other one goes on at once. How many are on the
 * way is bounded by smtpin, which counts their bytes until they are stored. What cannot be signed
 * is accepted as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/decide.h"
#include "loop/loop.h"
#include "mail/mime7.h"

struct signing {
	struct relayd *relayd;
	struct coming *coming;
	const struct message *m; /* as it came, with its content */
	struct signer {
		struct sign_key *key;
		char id[KEY_ID_MAX + 1]; /* who[] borrows its parts */
	} signers[KEYS_DOMAIN_MAX];
	struct dkim_identity who[KEYS_DOMAIN_MAX];
	size_t n;
	int64_t now_ms;
	struct mime7_want want;
	size_t longest;	   /* line of the message as it came */
	bool encode;	   /* want is wanted */
	bool eight_bit;	   /* what is left has 8-bit bytes */
	bool is_signed;	   /* or else it could not be */
	struct err failed; /* code: it could not be encoded */
	char *content;	   /* as it is stored; NULL: as it came */
	size_t size;
};

static void add_signer(struct signing *s, const struct key_entry *e)
{
	struct signer *x = &s->signers[s->n];
	size_t domain_n = strlen(e->domain);

	x->key = sign_key_ref(e->key);
	memcpy(x->id, e->id, sizeof(x->id));
	s->who[s->n++] = (struct dkim_identity){ .domain = str_from(x->id, domain_n),
						 .selector = str_of(x->id + domain_n + 1),
						 .key = sign_key_dkim(e->key) };
}

static bool has_eight_bit(const char *p, size_t n)
{
	unsigned char all = 0;

	for (size_t i = 0; i < n; i++)
		all |= (unsigned char)p[i];
	return (all & 0x80) != 0;
}

static void encode(struct signing *s)
{
	AUTO_BUF out = BUF_INIT(MIME7_GROWTH(s->m->size));

	if (mime7_encode(s->m->content, &s->want, &out, &s->failed) < 0)
		return;
	s->size = out.n;
	s->content = buf_take(&out);
	s->eight_bit = has_eight_bit(s->content, s->size);
}

/* The fields stand on top of the message. */
static void sign(struct signing *s)
{
	struct str content = s->content != NULL ? str_from(s->content, s->size) : s->m->content;
	AUTO_BUF fields = BUF_INIT(KEYS_DOMAIN_MAX * DKIM_FIELD_MAX);
	char *joined;

	s->is_signed = dkim_sign(content, s->who, s->n, s->now_ms, &fields);
	if (!s->is_signed)
		return;
	joined = xmalloc(fields.n + content.n + 1);
	memcpy(joined, fields.p, fields.n);
	memcpy(joined + fields.n, content.p, content.n);
	s->size = fields.n + content.n;
	joined[s->size] = '\0';
	free(s->content);
	s->content = joined;
}

/* Whether the message cannot go as it came: then it is refused. */
static bool must_encode(const struct signing *s)
{
	return s->want.line_max > 0 && s->longest > s->want.line_max;
}

/* In a worker. */
static void work(void *arg)
{
	struct signing *s = arg;

	if (s->encode)
		encode(s);
	if (s->n > 0 && (s->failed.code == 0 || !must_encode(s)))
		sign(s);
}

static void count_signed(const struct signing *s)
{
	char id[MSGID_TEXT_LEN];

	for (size_t i = 0; i < s->n; i++)
		keys_count(s->relayd->env.keys, str_of(s->signers[i].id), s->is_signed, s->now_ms);
	if (s->n == 0 || s->is_signed || !log_limited("dkim.sign"))
		return;
	msgid_text(s->m->id, id);
	log_error(id, "dkim.sign", F_STR("key", s->signers[0].id),
		  F_STR("effect", "the message goes unsigned"));
}

static void refuse_lines(const struct signing *s)
{
	struct smtp_answer no = { .code = 550, .enhanced = "5.6.0" };

	(void)snprintf(no.text, sizeof(no.text), "A line has %zu bytes, %zu are allowed, and %.70s",
		       s->longest, s->want.line_max, s->failed.msg);
	wire_refuse(s->coming, &no);
}

static void signing_free(struct signing *s)
{
	for (size_t i = 0; i < s->n; i++)
		sign_key_unref(&s->signers[i].key);
	message_unref(&s->m);
	free(s->content);
	free(s);
}

static void on_signed(void *arg)
{
	struct signing *s = arg;
	struct queue_new n = { .m = *s->m };

	if (s->relayd->env.queue == NULL) { /* the end: its client has no answer, and tries again */
		wire_forget(s->coming);
		signing_free(s);
		return;
	}
	if (s->failed.code != 0 && must_encode(s)) {
		refuse_lines(s);
		signing_free(s);
		return;
	}
	count_signed(s);
	s->relayd->env.encoded += s->encode && s->failed.code == 0;
	if (s->content == NULL) {
		s->content = xmalloc(s->m->size + 1);
		s->size = s->m->size;
		memcpy(s->content, s->m->content.p, s->size);
		s->content[s->size] = '\0';
	}
	n.m.size = s->size;
	n.m.eight_bit = s->eight_bit;
	n.m.content = str_from(s->content, s->size);
	n.content_take = s->content;
	s->content = NULL;
	wire_store(s->relayd, &n, s->coming);
	signing_free(s);
}

/* What is to be done with the lines of a message; false: nothing. */
static bool wants_encoding(const struct conf *c, const struct message *m, size_t longest,
			   struct mime7_want *ret)
{
	bool too_long = c->long_lines == CONF_LINES_ENCODE && longest > (size_t)c->line_length;

	ret->seven_bit = c->encode_8bit != 0 && m->eight_bit && !m->smtputf8;
	ret->line_max = c->long_lines == CONF_LINES_PASS ? 0 : (size_t)c->line_length;
	return too_long || ret->seven_bit;
}

bool wire_sign(struct relayd *r, const struct queue_new *n, size_t longest,
	       const struct mailstream *stream, struct coming *c)
{
	struct mime7_want want;
	bool encodes = wants_encoding(r->conf, &n->m, longest, &want);
	const struct key_entry *signers[KEYS_DOMAIN_MAX];
	size_t signers_n = decide_signers(&r->env, n->m.content, stream, signers);
	struct signing *s;

	if (!encodes && signers_n == 0)
		return false;
	s = xcalloc(1, sizeof(*s));
	for (size_t i = 0; i < signers_n; i++)
		add_signer(s, signers[i]);
	s->relayd = r;
	s->coming = c;
	s->encode = encodes;
	s->want = want;
	s->longest = longest;
	s->eight_bit = n->m.eight_bit;
	s->m = message_new(&n->m, n->content_take);
	s->now_ms = loop_wall_ms(r->env.loop);
	(void)loop_job_start(r->env.loop, "dkim.sign", work, on_signed, s);
	return true;
}
