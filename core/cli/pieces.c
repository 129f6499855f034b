/*
 * pieces - a file that one request has no room for: all but its last piece is brought before, by
 * config.load. The relay forgets what was brought with the connection.
 */
#include <string.h>

#include "base/json.h"
#include "cli/cli_int.h"

#define PIECE_MAX ((size_t)PROTO_REQUEST_MAX * 3 / 4) /* of JSON: the request has other members */
#define ESCAPE_MAX 6				      /* bytes of JSON for one of text */

static size_t json_bytes(unsigned char c)
{
	static const char two[] = "\"\\\b\f\n\r\t";

	if (c != '\0' && strchr(two, c) != NULL)
		return 2;
	return c < ' ' ? ESCAPE_MAX : 1;
}

/* How much of it one request has room for: whole lines, or whole characters of one that is longer.
 */
static size_t piece_of(struct str text)
{
	size_t n = 0, room = PIECE_MAX, line = 0;

	for (; n < text.n && json_bytes((unsigned char)text.p[n]) <= room; n++) {
		room -= json_bytes((unsigned char)text.p[n]);
		if (text.p[n] == '\n')
			line = n + 1;
	}
	if (n == text.n || line > 0)
		return n == text.n ? n : line;
	while (n > 1 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int bring(struct cli *c, json_t *params, struct str piece, struct err *err)
{
	json_t *load = json_pack("{s:o}", "text", json_text(piece));
	json_t *answer = NULL;
	int rc;

	if (cli_has(params, "upload"))
		(void)json_object_set(load, "upload", json_object_get(params, "upload"));
	rc = talk_call(c, method_defs[M_CONFIG_LOAD].name, load, &answer, err);
	if (rc >= 0)
		(void)json_object_set(params, "upload", json_object_get(answer, "upload"));
	json_decref(answer);
	return rc;
}

int pieces_bring(struct cli *c, const struct method_def *m, json_t *params, struct err *err)
{
	json_t *whole = json_incref(json_object_get(params, "text"));
	struct str rest = str_from(json_string_value(whole), json_string_length(whole));
	size_t n;
	int rc = 0;

	if (m != &method_defs[M_CONFIG_IMPORT] || whole == NULL) {
		json_decref(whole);
		return 0;
	}
	while (rc >= 0 && (n = piece_of(rest)) < rest.n) {
		rc = bring(c, params, str_from(rest.p, n), err);
		rest = str_from(rest.p + n, rest.n - n);
	}
	(void)json_object_set_new(params, "text", json_text(rest));
	json_decref(whole);
	return rc < 0 ? rc : 0;
}
