/*
 * Which stream a message belongs to: guessed at RCPT, as far as the envelope decides it, and fixed
 * at the end of DATA, when everything is known.
 */
#include <stdio.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/obj.h"
#include "loop/loop.h"

/* What the rules are asked about. */
struct asked {
	const struct smtpin_envelope *e;
	const struct address *rcpt; /* one more than e has; NULL */
};

static void fill_rcpt(void *arg, size_t i, struct filter_row *row)
{
	const struct asked *a = arg;
	const struct address *to = i < a->e->n_rcpts ? &a->e->rcpts[i].address : a->rcpt;

	filter_row_text(row, FILTER_TO, address_str(to));
	filter_row_text(row, FILTER_DOMAIN, address_domain(to));
}

static void fill_row(const struct relayd *r, const struct smtpin_envelope *e,
		     char client[static IPADDR_TEXT_LEN], struct filter_row *row)
{
	ipaddr_text(&e->client, client);
	*row = FILTER_ROW_INIT(loop_wall_ms(r->env.loop));
	filter_row_text(row, FILTER_RELAY, str_of(r->env.hostname));
	filter_row_text(row, FILTER_FROM, address_str(e->from));
	filter_row_text(row, FILTER_SENDER_DOMAIN, address_domain(e->from));
	filter_row_text(row, FILTER_CLIENT, str_of(client));
	filter_row_text(row, FILTER_CREDENTIAL, e->credential);
}

/* Where the allowlist puts a client that did not authenticate; NULL: the rules say. */
static const struct mailstream *of_network(const struct relayd *r, const struct smtpin_envelope *e)
{
	const struct allow_entry *x = e->credential.n == 0 ? allow_check(r->env.allow, &e->client,
									 loop_wall_ms(r->env.loop))
							   : NULL;

	return x != NULL && *x->stream != '\0' ? streams_find(r->env.streams, str_of(x->stream))
					       : NULL;
}

const struct mailstream *wire_stream_early(const struct relayd *r, const struct smtpin_envelope *e,
					   const struct address *rcpt)
{
	struct asked a = { .e = e, .rcpt = rcpt };
	const struct mailstream *open;
	char client[IPADDR_TEXT_LEN];
	struct filter_row row;
	const struct stream_facts f = { .row = &row,
					.rcpts_n = e->n_rcpts + 1,
					.rcpt = fill_rcpt,
					.arg = &a,
					.header = { "", 0 } };

	if (streams_n(r->env.streams) == 1)
		return streams_at(r->env.streams, 0);
	open = of_network(r, e);
	if (open != NULL)
		return open;
	fill_row(r, e, client, &row);
	return streams_assign(r->env.streams, &f, &open);
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
	const struct mailstream *open;
	char client[IPADDR_TEXT_LEN];
	struct filter_row row;
	const struct stream_facts f = { .row = &row,
					.rcpts_n = m->envelope.n_rcpts,
					.rcpt = fill_rcpt,
					.arg = &a,
					.all_rcpts = true,
					.has_header = true,
					.header = header_of(m) };
	const struct mailstream *x;

	if (streams_n(r->env.streams) == 1)
		return streams_at(r->env.streams, 0);
	x = of_network(r, &m->envelope);
	if (x != NULL)
		return x;
	fill_row(r, &m->envelope, client, &row);
	filter_row_number(&row, FILTER_SIZE, (int64_t)m->size);
	filter_row_text(&row, FILTER_SUBJECT, str_of(m->subject));
	filter_row_text(&row, FILTER_MSGID, m->message_id);
	x = streams_assign(r->env.streams, &f, &open);
	ASSERT(x != NULL); /* nothing that a stream can ask for is unknown any more */
	return x;
}

static bool is_bound_elsewhere(const struct relayd *r, const struct mailstream *x,
			       struct str credential)
{
	const struct cred *c = creds_find(r->env.creds, credential);

	return c != NULL && !cred_in_streams(c, str_of(x->id));
}

bool wire_stream_refuses(const struct relayd *r, const struct mailstream *x,
			 const struct smtpin_message *m, struct smtp_answer *ret_refusal)
{
	AUTO_BUF lacks = BUF_INIT(STREAM_CONDITION_MAX + 200);

	if (m->envelope.credential.n > 0 && is_bound_elsewhere(r, x, m->envelope.credential)) {
		ret_refusal->code = 550;
		(void)snprintf(ret_refusal->enhanced, sizeof(ret_refusal->enhanced), "5.7.1");
		(void)snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			       "The credential %.*s may not send mail of the stream %s",
			       STR_ARG(m->envelope.credential), x->id);
		return true;
	}
	if (x->require[0] == NULL || !streams_lacks(x, header_of(m), &lacks))
		return false;
	ret_refusal->code = 550;
	(void)snprintf(ret_refusal->enhanced, sizeof(ret_refusal->enhanced), "5.7.1");
	(void)snprintf(ret_refusal->text, sizeof(ret_refusal->text),
		       "The stream %s wants the header field %s", x->id, buf_cstr(&lacks));
	return true;
}
