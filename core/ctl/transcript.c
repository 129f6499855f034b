/* The parts are gone through in their order: the connection's, then the transaction's. */
#include "ctl/transcript.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "mail/talk.h"

#define LINE_MAX_BYTES ((size_t)TALK_TEXT_MAX)

typedef void record_fn(void *arg, const struct talk_record *r);

static void each_record(struct str packed, const struct talk_facts *f, record_fn *fn, void *arg)
{
	struct talk_reader reader;
	struct talk_record r;

	talk_reader_init(&reader, packed, f);
	while (talk_next(&reader, &r))
		fn(arg, &r);
	talk_reader_done(&reader);
}

static unsigned number_of(struct str packed)
{
	struct talk_reader reader;
	unsigned number;

	talk_reader_init(&reader, packed, NULL);
	number = reader.number;
	talk_reader_done(&reader);
	return number;
}

static struct talk_facts facts_of(const struct queue_event *e, size_t size)
{
	struct talk_facts f = {
		.sender = e->from, .rcpt = e->to, .reply = str_of(e->attempt.reply), .size = size
	};

	talk_usual(e->connection, &f);
	return f;
}

static bool has_any(const struct queue_event *e)
{
	return e->connection.n + e->talk.n > 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

struct lines {
	json_t *rows;
	struct buf line; /* of the host, not ended yet */
	int64_t ms;	 /* before it */
};

static const char *const by_names[] = {
	[TALK_RELAY] = "relay", [TALK_HOST] = "host", [TALK_NOTE] = "note", [TALK_CONTENT] = "relay"
};

static void add_row(struct lines *l, enum talk_by by, int64_t after_ms, struct str text)
{
	(void)json_array_append_new(l->rows,
				    json_pack("{s:s, s:I, s:o}", "by", by_names[by], "after_ms",
					      (json_int_t)after_ms, "text", json_text(text)));
}

static void end_line(struct lines *l)
{
	struct str line = buf_str(&l->line);

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	add_row(l, TALK_HOST, l->ms, line);
	buf_reset(&l->line);
	l->ms = 0;
}

/* A reply may have come in pieces, and has several lines perhaps. */
static void add_host(struct lines *l, const struct talk_record *r)
{
	struct str rest = r->text;

	l->ms += r->after_ms;
	while (rest.n > 0) {
		ptrdiff_t end = str_index(rest, '\n');
		size_t n = end >= 0 ? (size_t)end : rest.n;
		(void)buf_put(&l->line, rest.p, n);
		rest = str_from(rest.p + n + (end >= 0), rest.n - n - (end >= 0));
		if (end >= 0)
			end_line(l);
	}
}

static void on_line(void *arg, const struct talk_record *r)
{
	struct lines *l = arg;
	char text[80];

	if (r->by == TALK_HOST) {
		add_host(l, r);
		return;
	}
	if (l->line.n > 0)
		end_line(l);
	if (r->by == TALK_CONTENT) {
		(void)snprintf(text, sizeof(text), "(the content: %.*s bytes, and a dot)",
			       STR_ARG(r->text));
		add_row(l, r->by, r->after_ms, str_of(text));
		return;
	}
	add_row(l, r->by, r->after_ms, r->text);
}

json_t *transcript_json(const struct queue_event *e, size_t size)
{
	struct talk_facts f = facts_of(e, size);
	struct lines l = { .line = BUF_INIT(LINE_MAX_BYTES) };
	unsigned number = number_of(e->talk);
	char text[96];

	if (!has_any(e))
		return NULL;
	l.rows = json_array();
	each_record(e->connection, NULL, on_line, &l);
	if (l.line.n > 0)
		end_line(&l);
	if (number > 1) {
		(void)snprintf(text, sizeof(text), "message %u on this connection", number);
		add_row(&l, TALK_NOTE, 0, str_of(text));
	}
	each_record(e->talk, &f, on_line, &l);
	if (l.line.n > 0)
		end_line(&l);
	buf_done(&l.line);
	return l.rows;
}

/* --- times ------------------------------------------------------------------------------------ */

static void on_time(void *arg, const struct talk_record *r)
{
	talk_time(arg, r);
}

json_t *transcript_phases(const struct queue_event *e, size_t size)
{
	static const struct {
		const char *name;
		enum talk_step steps[2];
	} phases[] = {
		{ "dns_ms", { TALK_DNS, TALK_DNS } },
		{ "connect_ms", { TALK_CONNECT, TALK_CONNECT } },
		{ "greeting_ms", { TALK_GREETING, TALK_GREETING } },
		{ "ehlo_ms", { TALK_EHLO, TALK_EHLO } },
		{ "tls_ms", { TALK_STARTTLS, TALK_TLS } },
		{ "auth_ms", { TALK_AUTH, TALK_AUTH } },
		{ "mail_ms", { TALK_RSET, TALK_MAIL } },
		{ "rcpt_ms", { TALK_RCPT, TALK_RCPT } },
		{ "data_ms", { TALK_DATA, TALK_END } },
	};
	struct talk_facts f = facts_of(e, size);
	struct talk_times t = TALK_TIMES_NONE;
	json_t *o;

	if (!has_any(e))
		return NULL;
	if (number_of(e->talk) <= 1)
		each_record(e->connection, NULL, on_time, &t);
	each_record(e->talk, &f, on_time, &t);
	o = json_object();
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		int64_t a = t.ms[phases[i].steps[0]];
		int64_t b =
			phases[i].steps[1] != phases[i].steps[0] ? t.ms[phases[i].steps[1]] : -1;
		if (a >= 0 || b >= 0)
			(void)json_object_set_new(o, phases[i].name,
						  json_integer((a > 0 ? a : 0) + (b > 0 ? b : 0)));
	}
	return o;
}
