/* mime - GMime parses; what it decodes goes through a memory stream and is cleaned to UTF-8. */
#include "model/mime.h"

#include <gmime/gmime.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/tame.h"
#include "base/utf8.h"

struct reading {
	struct buf *body;
	struct buf *parts;
	int n_parts;
	GMimePart *html; /* borrowed; the first one */
	bool plain;
};

static void put_headers(GMimeMessage *message, struct buf *out)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(GMIME_OBJECT(message));

	for (int i = 0; i < g_mime_header_list_get_count(list); i++) {
		GMimeHeader *h = g_mime_header_list_get_header_at(list, i);
		const char *value = g_mime_header_get_value(h);

		(void)utf8_put_clean(out, str_of(g_mime_header_get_name(h)));
		(void)buf_puts(out, ": ");
		(void)utf8_put_clean(out, str_trim(str_of(value != NULL ? value : "")));
		(void)buf_putc(out, '\n');
	}
}

/* The text of a part in UTF-8. */
static GByteArray *text_of(GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	GMimeStream *memory = g_mime_stream_mem_new();
	GMimeStream *filtered = g_mime_stream_filter_new(memory);
	const char *charset =
		g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
	GMimeFilter *convert = charset != NULL ? g_mime_filter_charset_new(charset, "UTF-8") : NULL;
	GByteArray *bytes;

	if (convert != NULL) {
		(void)g_mime_stream_filter_add(GMIME_STREAM_FILTER(filtered), convert);
		g_object_unref(convert);
	}
	if (content != NULL)
		(void)g_mime_data_wrapper_write_to_stream(content, filtered);
	(void)g_mime_stream_flush(filtered);
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(memory), FALSE);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
	g_object_unref(filtered);
	g_object_unref(memory);
	return bytes;
}

static void put_text(GMimePart *part, struct buf *out)
{
	GByteArray *bytes = text_of(part);

	(void)utf8_put_clean(out, str_from((const char *)bytes->data, bytes->len));
	(void)buf_putc(out, '\n');
	(void)g_byte_array_free(bytes, TRUE);
}

static struct str entity(struct str in, size_t *ret_n)
{
	static const struct {
		const char *name, *text;
	} known[] = { { "&amp;", "&" },	  { "&lt;", "<" },   { "&gt;", ">" },
		      { "&quot;", "\"" }, { "&nbsp;", " " }, { "&#39;", "'" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_starts_nocase(in, str_of(known[i].name))) {
			*ret_n = strlen(known[i].name);
			return str_of(known[i].text);
		}
	}
	*ret_n = 1;
	return STR("&");
}

/* Tags out, blocks to lines; script and style with what is in them. */
static void put_html(GMimePart *part, struct buf *out)
{
	GByteArray *bytes = text_of(part);
	struct str s = str_from((const char *)bytes->data, bytes->len);
	AUTO_BUF text = BUF_INIT(MIME_TEXT_MAX);
	const char *skip = NULL;
	bool blank = true;

	while (s.n > 0 && !text.full) {
		size_t n = 1;

		if (*s.p == '<') {
			const char *end = memchr(s.p, '>', s.n);

			n = end != NULL ? (size_t)(end - s.p) + 1 : s.n;
			if (skip != NULL) {
				skip = str_starts_nocase(s, str_of(skip)) ? NULL : skip;
			} else if (str_starts_nocase(s, STR("<script"))) {
				skip = "</script";
			} else if (str_starts_nocase(s, STR("<style"))) {
				skip = "</style";
			} else if (str_starts_nocase(s, STR("<br")) ||
				   str_starts_nocase(s, STR("<p")) ||
				   str_starts_nocase(s, STR("</p")) ||
				   str_starts_nocase(s, STR("</div")) ||
				   str_starts_nocase(s, STR("</tr")) ||
				   str_starts_nocase(s, STR("</h"))) {
				(void)buf_putc(&text, '\n');
				blank = true;
			}
		} else if (skip == NULL && strchr(" \t\r\n", *s.p) != NULL && *s.p != '\0') {
			if (!blank)
				(void)buf_putc(&text, ' ');
			blank = true;
		} else if (skip == NULL && *s.p == '&') {
			(void)buf_put_str(&text, entity(s, &n));
			blank = false;
		} else if (skip == NULL) {
			(void)buf_putc(&text, *s.p);
			blank = false;
		}
		s.p += n;
		s.n -= n;
	}
	(void)utf8_put_clean(out, buf_str(&text));
	(void)buf_putc(out, '\n');
	(void)g_byte_array_free(bytes, TRUE);
}

static void put_part_line(struct reading *r, GMimeObject *object, int depth)
{
	GMimeContentType *type = g_mime_object_get_content_type(object);
	char *mime = g_mime_content_type_get_mime_type(type);
	const char *name =
		GMIME_IS_PART(object) ? g_mime_part_get_filename(GMIME_PART(object)) : NULL;

	(void)buf_printf(r->parts, "%*s", 2 * depth, "");
	(void)utf8_put_clean(r->parts, str_of(mime));
	if (name != NULL) {
		(void)buf_puts(r->parts, "  ");
		(void)utf8_put_clean(r->parts, str_of(name));
	}
	(void)buf_putc(r->parts, '\n');
	g_free(mime);
}

static void read_part(struct reading *r, GMimeObject *object, int depth)
{
	GMimeContentType *type;

	if (object == NULL || depth > MIME_DEPTH_MAX || r->n_parts++ >= MIME_PARTS_MAX)
		return;
	put_part_line(r, object, depth);
	type = g_mime_object_get_content_type(object);
	if (GMIME_IS_MULTIPART(object)) {
		GMimeMultipart *m = GMIME_MULTIPART(object);

		for (int i = 0; i < g_mime_multipart_get_count(m); i++)
			read_part(r, g_mime_multipart_get_part(m, i), depth + 1);
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));

		if (inner != NULL)
			read_part(r, g_mime_message_get_mime_part(inner), depth + 1);
	} else if (GMIME_IS_PART(object) && !g_mime_part_is_attachment(GMIME_PART(object))) {
		if (g_mime_content_type_is_type(type, "text", "html")) {
			r->html = r->html == NULL ? GMIME_PART(object) : r->html;
		} else if (g_mime_content_type_is_type(type, "text", "*") ||
			   g_mime_content_type_is_type(type, "message", "*")) {
			put_text(GMIME_PART(object), r->body);
			r->plain = true;
		}
	}
}

void mime_read(struct str raw, struct buf *headers, struct buf *body, struct buf *parts)
{
	struct reading r = { .body = body, .parts = parts };
	AUTO_FREE char *tame = xmalloc(raw.n + 1);
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *message;

	g_mime_init();
	memcpy(tame, raw.p, raw.n);
	stream = g_mime_stream_mem_new_with_buffer(tame, tame_mail(tame, raw.n));
	parser = g_mime_parser_new_with_stream(stream);
	message = g_mime_parser_construct_message(parser, NULL);
	if (message != NULL) {
		put_headers(message, headers);
		read_part(&r, g_mime_message_get_mime_part(message), 0);
		if (!r.plain && r.html != NULL)
			put_html(r.html, body);
		g_object_unref(message);
	} else {
		(void)utf8_put_clean(body, raw);
	}
	g_object_unref(parser);
	g_object_unref(stream);
}

bool mime_base64(const char *text, struct buf *out)
{
	gsize n = 0;
	guchar *bytes = g_base64_decode(text, &n);
	bool good = n > 0 && buf_put(out, bytes, n);

	g_free(bytes);
	return good;
}
