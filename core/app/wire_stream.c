/*
 * What the rules say of a message that is coming in: guessed at RCPT, as far as the envelope
 * decides it, and fixed at the end of DATA, when everything is known.
 */
#include "app/relayd_int.h"
#include "base/obj.h"
#include "ctl/decide.h"
#include "loop/loop.h"

/* Whose recipients they are. */
struct asked {
	const struct smtpin_envelope *e;
	const struct address *rcpt; /* one more than e has; NULL */
};

static const struct address *rcpt_at(void *arg, size_t i)
{
	const struct asked *a = arg;

	return i < a->e->n_rcpts ? &a->e->rcpts[i].address : a->rcpt;
}

static struct decide_mail mail_of(struct asked *a)
{
	return (struct decide_mail){ .client = &a->e->client,
				     .from = a->e->from,
				     .credential = a->e->credential,
				     .rcpts_n = a->e->n_rcpts + (a->rcpt != NULL),
				     .rcpt = rcpt_at,
				     .arg = a,
				     .size = -1 };
}

bool wire_rejects(const struct relayd *r, const struct smtpin_envelope *e,
		  const struct address *rcpt, const struct mailstream **ret_stream)
{
	struct asked a = { .e = e, .rcpt = rcpt };
	const struct decide_mail m = mail_of(&a);

	return decide_rcpt(&r->env, &m, rcpt, ret_stream) != NULL;
}

static struct str header_of(const struct smtpin_message *m)
{
	struct header_facts f;

	header_scan(str_from(m->data, m->body_at), &f);
	return f.block;
}

const struct mailstream *wire_stream(const struct relayd *r, const struct smtpin_message *m)
{
	struct asked a = { .e = &m->envelope };
	struct decide_mail mail = mail_of(&a);
	const struct mailstream *open;
	const struct mailstream *x;

	if (streams_n(r->env.streams) == 1) /* the header need not be looked for */
		return streams_at(r->env.streams, 0);
	mail.all_rcpts = true;
	mail.has_header = true;
	mail.header = header_of(m);
	mail.subject = str_of(m->subject);
	mail.msgid = m->message_id;
	mail.size = (int64_t)m->size;
	x = decide_stream(&r->env, &mail, &open);
	ASSERT(x != NULL); /* nothing that a stream can ask for is unknown any more */
	return x;
}

bool wire_stream_refuses(const struct relayd *r, const struct mailstream *x,
			 const struct smtpin_message *m, struct smtp_answer *ret_refusal)
{
	return decide_refuses(&r->env, x, m->envelope.credential,
			      x->require[0] != NULL ? header_of(m) : STR(""), ret_refusal);
}
