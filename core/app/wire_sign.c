/*
 * Signatures between DATA and the queue. A message whose author's domain has active keys takes a
 * detour over a worker, with an envelope of its own, because its session may be gone meanwhile;
 * every other one goes on at once. How many are on the way is bounded by smtpin, which counts their
 * bytes until they are stored. What cannot be signed is accepted as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "route/site.h"
#include "sign/author.h"

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
	char *content; /* signed; NULL: it failed */
	size_t size;
};

static void add_signer(struct signing *s, const struct key_entry *e)
{
	struct signer *x = &s->signers[s->n];
	size_t domain_n = strlen(e->domain);

	if (e->state != KEY_ACTIVE || s->n == KEYS_DOMAIN_MAX)
		return;
	x->key = sign_key_ref(e->key);
	memcpy(x->id, e->id, sizeof(x->id));
	s->who[s->n++] = (struct dkim_identity){ .domain = str_from(x->id, domain_n),
						 .selector = str_of(x->id + domain_n + 1),
						 .key = sign_key_dkim(e->key) };
}

/* The active keys of a domain; false without any. */
static bool find_signers(const struct keys *k, const char *domain, struct signing *s)
{
	size_t first, n = keys_of(k, str_of(domain), &first);

	for (size_t i = 0; i < n; i++)
		add_signer(s, keys_at(k, first + i));
	return s->n > 0;
}

/* In a worker. The fields stand on top of the message. */
static void sign(void *arg)
{
	struct signing *s = arg;
	struct str content = s->m->content;
	AUTO_BUF fields = BUF_INIT(KEYS_DOMAIN_MAX * DKIM_FIELD_MAX);

	if (!dkim_sign(content, s->who, s->n, s->now_ms, &fields))
		return;
	s->size = fields.n + content.n;
	s->content = xmalloc(s->size + 1);
	memcpy(s->content, fields.p, fields.n);
	memcpy(s->content + fields.n, content.p, content.n);
	s->content[s->size] = '\0';
}

static void count_signed(const struct signing *s)
{
	char id[MSGID_TEXT_LEN];

	for (size_t i = 0; i < s->n; i++)
		keys_count(s->relayd->env.keys, str_of(s->signers[i].id), s->content != NULL,
			   s->now_ms);
	if (s->content != NULL || !log_limited("dkim.sign"))
		return;
	msgid_text(s->m->id, id);
	log_error(id, "dkim.sign", F_STR("key", s->signers[0].id),
		  F_STR("effect", "the message goes unsigned"));
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
	count_signed(s);
	if (s->content == NULL) {
		s->content = xmalloc(s->m->size + 1);
		s->size = s->m->size;
		memcpy(s->content, s->m->content.p, s->size);
		s->content[s->size] = '\0';
	}
	n.m.size = s->size;
	n.m.content = str_from(s->content, s->size);
	n.content_take = s->content;
	s->content = NULL;
	wire_store(s->relayd, &n, s->coming);
	signing_free(s);
}

/* Those of the author's domain, and of the stream's when that is another one. */
static void choose_signers(const struct keys *k, const struct queue_new *n,
			   const struct mailstream *stream, struct signing *s)
{
	char domain[AUTHOR_DOMAIN_MAX + 1] = "";

	if (author_domain(n->m.content, domain) && !find_signers(k, domain, s))
		(void)find_signers(k, site_of(domain), s);
	if (*stream->dkim != '\0' && (s->n == 0 || !str_eq(s->who[0].domain, str_of(stream->dkim))))
		(void)find_signers(k, stream->dkim, s);
}

bool wire_sign(struct relayd *r, const struct queue_new *n, const struct mailstream *stream,
	       struct coming *c)
{
	struct signing *s;

	if (keys_n(r->env.keys) == 0)
		return false;
	s = xcalloc(1, sizeof(*s));
	choose_signers(r->env.keys, n, stream, s);
	if (s->n == 0) {
		free(s);
		return false;
	}
	s->relayd = r;
	s->coming = c;
	s->m = message_new(&n->m, n->content_take);
	s->now_ms = loop_wall_ms(r->env.loop);
	(void)loop_job_start(r->env.loop, "dkim.sign", sign, on_signed, s);
	return true;
}
