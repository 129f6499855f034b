/* The parts of a mail are walked once; what decides is looked at when all of them are known. */
#include "mail/bounce.h"

#include <gmime/gmime.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/tame.h"
#include "base/utf8.h"
#include "mail/bounce_int.h"

#define DEPTH_MAX 8
#define PARTS_MAX 64
#define PART_MAX ((size_t)256 * 1024)

struct walk {
	struct buf status;
	struct buf feedback;
	struct buf returned; /* header fields */
	struct buf text;
	bool html;    /* the text is one */
	bool receipt; /* of somebody who read it (RFC 8098) */
	int parts;
};

void bounce_init(void)
{
	g_mime_init();
}

/* --- parts ------------------------------------------------------------------------------------ */

static void put_content(GMimePart *part, struct buf *out)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	const char *charset =
		g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
	GMimeStream *memory = g_mime_stream_mem_new();
	GMimeStream *filtered = g_mime_stream_filter_new(memory);
	GMimeFilter *convert = charset != NULL ? g_mime_filter_charset_new(charset, "UTF-8") : NULL;
	GByteArray *bytes;

	if (convert != NULL) {
		(void)g_mime_stream_filter_add(GMIME_STREAM_FILTER(filtered), convert);
		g_object_unref(convert);
	}
	if (content != NULL)
		(void)g_mime_data_wrapper_write_to_stream(content, filtered);
	(void)g_mime_stream_flush(filtered);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
	(void)buf_put(out, bytes->data, bytes->len < PART_MAX ? bytes->len : PART_MAX);
	(void)buf_putc(out, '\n');
	g_object_unref(filtered);
	g_object_unref(memory);
}

static void put_headers(GMimeMessage *message, struct buf *out)
{
	char *text =
		message != NULL ? g_mime_object_get_headers(GMIME_OBJECT(message), NULL) : NULL;

	if (text != NULL)
		(void)buf_put_str(out, str_of(text));
	g_free(text);
}

static bool is(GMimeContentType *t, const char *type, const char *subtype)
{
	return g_mime_content_type_is_type(t, type, subtype);
}

static void walk_leaf(struct walk *w, GMimePart *part)
{
	GMimeContentType *t = g_mime_object_get_content_type(GMIME_OBJECT(part));
	bool html = is(t, "text", "html");

	if (is(t, "message", "delivery-status") || is(t, "message", "global-delivery-status")) {
		put_content(part, &w->status);
	} else if (is(t, "message", "feedback-report")) {
		put_content(part, &w->feedback);
	} else if (is(t, "message", "disposition-notification") ||
		   is(t, "message", "global-disposition-notification")) {
		w->receipt = true;
	} else if (is(t, "text", "rfc822-headers") || is(t, "message", "global-headers") ||
		   is(t, "message", "global")) {
		put_content(part, &w->returned);
	} else if ((is(t, "text", "plain") && (w->text.n == 0 || w->html)) ||
		   (html && w->text.n == 0)) {
		buf_reset(&w->text);
		put_content(part, &w->text);
		w->html = html;
	}
}

static void walk(struct walk *w, GMimeObject *object, int depth)
{
	if (object == NULL || depth > DEPTH_MAX || w->parts++ >= PARTS_MAX)
		return;
	if (GMIME_IS_MULTIPART(object)) {
		GMimeMultipart *m = GMIME_MULTIPART(object);
		for (int i = 0; i < g_mime_multipart_get_count(m); i++)
			walk(w, g_mime_multipart_get_part(m, i), depth + 1);
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		/* not into it: what it says is not about us */
		if (w->returned.n == 0)
			put_headers(g_mime_message_part_get_message(GMIME_MESSAGE_PART(object)),
				    &w->returned);
	} else if (GMIME_IS_PART(object)) {
		walk_leaf(w, GMIME_PART(object));
	}
}

static void take_apart(struct str mail, struct walk *w)
{
	AUTO_FREE char *tame = xmalloc(mail.n + 1);
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *message;

	memcpy(tame, mail.p, mail.n);
	stream = g_mime_stream_mem_new_with_buffer(tame, tame_mail(tame, mail.n));
	parser = g_mime_parser_new_with_stream(stream);
	message = g_mime_parser_construct_message(parser, NULL);
	if (message != NULL) {
		walk(w, g_mime_message_get_mime_part(message), 0);
		g_object_unref(message);
	}
	g_object_unref(parser);
	g_object_unref(stream);
}

/* --- HTML: tags out, blocks to lines ---------------------------------------------------------- */

static bool ends_line(struct str tag)
{
	static const char *const tags[] = { "<br",  "<p",   "</p", "</div",
					    "</tr", "</td", "</h", "</li" };

	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		if (str_starts_nocase(tag, str_of(tags[i])))
			return true;
	return false;
}

static char entity_at(struct str s, size_t *ret_n)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "&lt;", '<' },	 { "&gt;", '>' },   { "&amp;", '&' },
		      { "&#39;", '\'' }, { "&quot;", '"' }, { "&nbsp;", ' ' } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_starts_nocase(s, str_of(known[i].name))) {
			*ret_n = strlen(known[i].name);
			return known[i].c;
		}
	*ret_n = 1;
	return *s.p;
}

static void strip_html(struct buf *text)
{
	struct buf out = BUF_INIT(text->limit);
	struct str s = buf_str(text);
	const char *skip = NULL;

	while (s.n > 0) {
		size_t n = 1;
		if (*s.p == '<') {
			const char *end = memchr(s.p, '>', s.n);
			n = end != NULL ? (size_t)(end - s.p) + 1 : s.n;
			if (skip != NULL)
				skip = str_starts_nocase(s, str_of(skip)) ? NULL : skip;
			else if (str_starts_nocase(s, STR("<style")))
				skip = "</style";
			else if (str_starts_nocase(s, STR("<script")))
				skip = "</script";
			else if (ends_line(s))
				(void)buf_putc(&out, '\n');
		} else if (skip == NULL) {
			char c = entity_at(s, &n);
			(void)buf_putc(&out, c == '\r' || c == '\n' ? ' ' : c);
		}
		s = str_from(s.p + n, s.n - n);
	}
	buf_done(text);
	*text = out;
}

/* --- what decides ----------------------------------------------------------------------------- */

static void decode(struct str value, char *ret, size_t size)
{
	struct buf out = { .p = ret, .cap = size, .limit = size - 1 };

	ret[0] = '\0';
	header_decode(value, &out);
}

/* Who writes what programs write when they cannot deliver. */
static bool is_daemon(struct str from)
{
	return str_glob(STR("*mailer-daemon*"), from) || str_glob(STR("*postmaster@*"), from) ||
	       str_glob(STR("*mail delivery s*"), from) || str_glob(STR("*mdaemon*"), from) ||
	       str_glob(STR("*microsoftexchange*"), from);
}

static bool is_auto_reply(struct str block, const char *subject)
{
	static const char *const subjects[] = {
		"auto:*",
		"automatic reply*",
		"auto-reply*",
		"autoreply*",
		"*out of office*",
		"*out of the office*",
		"*vacation*",
		"abwesenheit*",
		"automatische antwort*",
		"r\xc3\xa9ponse automatique*",
	};
	static const char *const names[] = { "X-Autoreply", "X-Autorespond", "X-Autoresponder",
					     "X-Vacation", "X-Auto-Reply-From" };
	struct str submitted = bounce_field(block, "Auto-Submitted");
	struct str precedence = bounce_field(block, "Precedence");

	if (str_starts_nocase(submitted, STR("auto-replied")) ||
	    str_eq_nocase(precedence, STR("auto_reply")))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bounce_field(block, names[i]).n > 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
		if (str_glob(str_of(subjects[i]), str_of(subject)))
			return true;
	return false;
}

static void judge_feedback(struct walk *w, struct bounce *b)
{
	bounce_feedback(buf_str(&w->feedback), b);
	b->format = "arf";
	/* "not-spam" takes one back, "auth-failure" (RFC 6591) is about somebody else */
	if (strcasecmp(b->complaint, "not-spam") == 0 ||
	    strcasecmp(b->complaint, "auth-failure") == 0)
		b->kind = BOUNCE_IDLE;
	else if (b->complaint[0] != '\0')
		b->kind = BOUNCE_COMPLAINT;
}

/* Some tell only people what the host said: of a recipient without a reply the words are read. */
static void complete(struct walk *w, struct bounce *b)
{
	struct bounce *words = NULL;

	for (size_t i = 0; i < b->rcpts_n; i++) {
		struct bounce_rcpt *r = &b->rcpts[i];
		if (r->text[0] != '\0' || r->code != 0)
			continue;
		if (words == NULL) {
			words = xcalloc(1, sizeof(*words));
			(void)bounce_text(buf_str(&w->text), STR(""), true, words);
		}
		for (size_t k = 0; k < words->rcpts_n; k++) {
			const struct bounce_rcpt *x = &words->rcpts[k];
			if (strcasecmp(x->final, r->final) == 0 ||
			    strcasecmp(x->final, r->original) == 0)
				bounce_take(x, r);
		}
	}
	free(words);
}

static void judge(struct walk *w, struct str block, bool null_sender, struct bounce *b)
{
	bool automatic = is_auto_reply(block, b->subject);

	if (w->returned.n > 0)
		bounce_returned(buf_str(&w->returned), b);
	if (w->feedback.n > 0) {
		judge_feedback(w, b);
		return;
	}
	if (w->status.n > 0)
		bounce_status(buf_str(&w->status), b);
	if (b->rcpts_n > 0) {
		complete(w, b);
		b->format = "rfc3464";
		b->kind = BOUNCE_STATUS;
	} else if (w->receipt) {
		b->format = "receipt";
		b->kind = BOUNCE_IDLE;
	} else if (bounce_text(buf_str(&w->text), bounce_field(block, "X-Failed-Recipients"),
			       is_daemon(str_of(b->from)) || (null_sender && !automatic), b)) {
		b->kind = BOUNCE_STATUS;
	} else if (automatic) {
		b->format = "auto-reply";
		b->kind = BOUNCE_IDLE;
	}
}

void bounce_read(struct str mail, bool null_sender, struct bounce *ret)
{
	struct walk w = { .status = BUF_INIT(PARTS_MAX * PART_MAX),
			  .feedback = BUF_INIT(PARTS_MAX * PART_MAX),
			  .returned = BUF_INIT(PARTS_MAX * PART_MAX),
			  .text = BUF_INIT(2 * PART_MAX) };
	struct header_facts facts;

	memset(ret, 0, sizeof(*ret));
	ret->format = "";
	if (mail.n > BOUNCE_MAIL_MAX)
		mail.n = BOUNCE_MAIL_MAX;
	header_scan(mail, &facts);
	decode(facts.subject, ret->subject, sizeof(ret->subject));
	decode(bounce_field(facts.block, "From"), ret->from, sizeof(ret->from));
	take_apart(mail, &w);
	if (w.html)
		strip_html(&w.text);
	judge(&w, facts.block, null_sender, ret);
	buf_done(&w.status);
	buf_done(&w.feedback);
	buf_done(&w.returned);
	buf_done(&w.text);
}
