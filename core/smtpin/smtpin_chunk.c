/*
 * BDAT (RFC 3030). Whatever is wrong with a chunk, its bytes are read and dropped before the answer
 * comes: they are never taken for commands. A chunk that is far too large ends the session instead.
 */
#include <inttypes.h>

#include "smtpin/smtpin_int.h"

#define DRAIN_MORE ((uint64_t)1024 * 1024) /* beyond the largest message, before we hang up */

void chunk_reset(struct smtpin_session *s)
{
	if (s->chunked)
		body_drop(s->in, &s->body);
	s->chunked = false;
	s->chunk_failed = false;
}

/* The message comes to nothing: what is left of it is read, and refused. */
static void fail(struct smtpin_session *s)
{
	if (!s->in_mail)
		return;
	body_drop(s->in, &s->body);
	s->chunked = true; /* neither DATA nor RCPT is possible any more */
	s->chunk_failed = true;
}

static bool acceptable(struct smtpin_session *s, struct smtp_answer *a)
{
	struct smtpin *in = s->in;

	if (!s->in_mail)
		return smtpin_refuse(a, 503, "5.5.1", "MAIL first");
	if (s->chunk_failed)
		return smtpin_refuse(a, 503, "5.5.1", "A chunk was refused: RSET first");
	if (s->n_rcpts == 0)
		return smtpin_refuse(a, 554, "5.5.1", "No valid recipients");
	if (s->chunk_size > in->conf.size_max ||
	    (s->chunked && s->body.dot.size + s->chunk_size > in->conf.size_max))
		return smtpin_refuse(a, 552, "5.3.4", "A message may have %zu bytes",
				     in->conf.size_max);
	if (in->stats.memory + s->chunk_size > in->conf.memory_max)
		return smtpin_refuse(a, 452, "4.3.1", "Too much mail at once, try again later");
	return true;
}

static void refused(struct smtpin_session *s)
{
	s->in->stats.refused_messages += s->in_mail && s->chunk_last;
	if (s->chunk_last)
		session_reset(s);
	session_answer(s, &s->chunk_refusal);
	session_ready(s);
}

static void all_there(struct smtpin_session *s)
{
	if (s->chunk_refused) {
		refused(s);
		return;
	}
	if (s->chunk_last) {
		body_end_raw(s->in, &s->body);
		session_hand_over(s);
		return;
	}
	if (!body_alive(s->in, &s->body, &s->chunk_refusal)) {
		fail(s);
		refused(s);
		return;
	}
	session_sayf(s, "250 2.0.0 %" PRIu64 " bytes received\r\n", s->chunk_size);
	session_ready(s);
}

void chunk_begin(struct smtpin_session *s, uint64_t size, bool last)
{
	s->chunk_size = size;
	s->chunk_left = size;
	s->chunk_last = last;
	s->chunk_refused = !acceptable(s, &s->chunk_refusal);
	if (s->chunk_refused && size > s->in->conf.size_max + DRAIN_MORE) {
		session_answer(s, &s->chunk_refusal);
		if (s->state == SESSION_COMMAND)
			session_end(s, "4.3.4 The chunk is too large to be read");
		return;
	}
	if (s->chunk_refused) {
		fail(s);
	} else if (!s->chunked) {
		struct smtpin_envelope e = session_envelope(s);
		body_begin(s->in, &s->body, &e);
		s->chunked = true;
	}
	s->state = SESSION_CHUNK;
	stream_idle(s->stream, smtpin_patience(s->in, s->in->conf.command_ms));
	stream_deadline(s->stream, s->in->conf.data_ms);
	if (size == 0)
		all_there(s);
}

size_t chunk_take(struct smtpin_session *s, struct str in)
{
	size_t n = in.n < s->chunk_left ? in.n : (size_t)s->chunk_left;

	if (!s->chunk_refused)
		body_take_raw(s->in, &s->body, str_from(in.p, n));
	s->chunk_left -= n;
	if (s->chunk_left == 0)
		all_there(s);
	return n;
}
