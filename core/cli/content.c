/*
 * content - a message as it is stored, in pieces as the relay gives them.
 *
 * The pieces are a multiple of three bytes, so that their base64 joins to that of the whole. A
 * terminal gets the text cleaned; files and pipes get the bytes as they are.
 */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"

#define PIECE (3 * 65536)

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static bool decode(const char *text, struct buf *out)
{
	uint32_t bits = 0;
	unsigned n = 0;

	for (; *text != '\0' && *text != '='; text++) {
		int digit = base64_digit(*text);

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		n += 6;
		if (n >= 8) {
			n -= 8;
			(void)buf_putc(out, (char)(bits >> n & 0xff));
		}
	}
	return !out->full;
}

static int ask_piece(struct cli *c, const char *id, bool headers, int64_t offset, json_t **ret,
		     struct err *err)
{
	return talk_call(c, method_defs[M_MESSAGE_CONTENT].name,
			 json_pack("{s:s, s:s, s:I, s:i}", "id", id, "part",
				   headers ? "headers" : "raw", "offset", (json_int_t)offset,
				   "limit", PIECE),
			 ret, err);
}

static void put_piece(struct cli *c, struct buf *bytes)
{
	AUTO_BUF clean = BUF_INIT(OUT_MAX);

	if (!c->out.tty) {
		cli_print(c, bytes);
		return;
	}
	out_clean_lines(&c->out, &clean, buf_str(bytes));
	cli_print(c, &clean);
	buf_reset(bytes);
}

static int refuse_piece(const char *id, struct err *err)
{
	return err_set(err, ERR_PROTO, "the relay sent a piece of %s that does not fit", id);
}

/* Keeps what belongs to the character or line that the piece cuts in two, for a terminal. */
static void put_whole_lines(struct cli *c, struct buf *bytes, bool last)
{
	AUTO_BUF lines = BUF_INIT(OUT_MAX);
	size_t n = bytes->n;

	while (!last && c->out.tty && n > 0 && bytes->p[n - 1] != '\n')
		n--;
	if (n == 0 && !last)
		n = bytes->n; /* one line longer than a piece */
	(void)buf_put(&lines, bytes->p, n);
	buf_drop(bytes, n);
	put_piece(c, &lines);
}

static void print_json(struct cli *c, const char *id, bool headers, const struct buf *base64,
		       int64_t total)
{
	json_t *doc = json_pack("{s:s, s:s, s:i, s:I, s:s#}", "id", id, "part",
				headers ? "headers" : "raw", "offset", 0, "total",
				(json_int_t)total, "base64", buf_cstr(base64), (int)base64->n);

	cli_print_json(c, doc);
	json_decref(doc);
}

int content_print(struct cli *c, const char *id, bool headers, struct err *err)
{
	AUTO_BUF bytes = BUF_INIT(OUT_MAX);
	AUTO_BUF base64 = BUF_INIT(OUT_MAX);
	int64_t offset = 0, total = 1;
	int rc = 0;

	while (rc >= 0 && offset < total && c->out.errnum == 0) {
		size_t before = bytes.n;
		json_t *piece = NULL;

		rc = ask_piece(c, id, headers, offset, &piece, err);
		if (rc < 0)
			break;
		total = json_get_int(piece, "total");
		if (!decode(json_get_str(piece, "base64"), &bytes) ||
		    (bytes.n == before && offset < total))
			rc = refuse_piece(id, err);
		offset += (int64_t)(bytes.n - before);
		if (c->json) {
			(void)buf_puts(&base64, json_get_str(piece, "base64"));
			buf_reset(&bytes);
		} else if (rc >= 0) {
			put_whole_lines(c, &bytes, offset >= total);
		}
		json_decref(piece);
	}
	if (rc >= 0 && c->json)
		print_json(c, id, headers, &base64, total);
	return rc;
}
