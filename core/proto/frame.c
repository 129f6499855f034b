/*
 * Frames are written around the dumped value instead of building an object around it, so that a
 * result is neither copied nor referenced. A line that does not fit is taken back as a whole.
 */
#include <inttypes.h>
#include <string.h>

#include "base/obj.h"
#include "proto/proto.h"

#define DUMP_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9))
#define HEAD "{\"jsonrpc\":\"2.0\","

static int on_dump(const char *p, size_t n, void *arg)
{
	struct buf *b = arg;

	return buf_put(b, p, n) ? 0 : -1;
}

static bool put_value(struct buf *b, const json_t *v)
{
	if (v == NULL)
		return buf_puts(b, "null");
	return json_dump_callback(v, on_dump, b, DUMP_FLAGS) == 0;
}

static bool put_text(struct buf *b, const char *s)
{
	json_t *v = json_string(s);
	bool ok;

	/* not UTF-8: only our own texts come here, and a cut one may end within a character */
	if (v == NULL)
		v = json_string("?");
	ok = put_value(b, v);
	json_decref(v);
	return ok;
}

/* Ends the line begun at `start`, or takes it back. */
static bool end_line(struct buf *b, size_t start, bool ok)
{
	ok = ok && buf_puts(b, "}\n");
	if (!ok) {
		b->full = true;
		b->n = start;
		if (b->p != NULL)
			b->p[start] = '\0';
	}
	return ok;
}

bool proto_put_request(struct buf *b, uint64_t id, const char *method, const json_t *params)
{
	size_t start = b->n;
	bool ok = buf_printf(b, HEAD "\"id\":%" PRIu64 ",\"method\":", id) && put_text(b, method);

	if (params != NULL)
		ok = ok && buf_puts(b, ",\"params\":") && put_value(b, params);
	return end_line(b, start, ok);
}

bool proto_put_notify(struct buf *b, const char *method, const json_t *params)
{
	size_t start = b->n;
	bool ok = buf_puts(b, HEAD "\"method\":") && put_text(b, method);

	if (params != NULL)
		ok = ok && buf_puts(b, ",\"params\":") && put_value(b, params);
	return end_line(b, start, ok);
}

bool proto_put_result(struct buf *b, uint64_t id, const json_t *result)
{
	size_t start = b->n;
	bool ok = buf_printf(b, HEAD "\"id\":%" PRIu64 ",\"result\":", id) && put_value(b, result);

	return end_line(b, start, ok);
}

bool proto_put_result_text(struct buf *b, uint64_t id, struct str json)
{
	size_t start = b->n;
	bool ok = buf_reserve(b, json.n + sizeof(HEAD) + 50) &&
		  buf_printf(b, HEAD "\"id\":%" PRIu64 ",\"result\":", id) && buf_put_str(b, json);

	return end_line(b, start, ok);
}

static bool put_id(struct buf *b, uint64_t id)
{
	return id != 0 ? buf_printf(b, HEAD "\"id\":%" PRIu64, id)
		       : buf_puts(b, HEAD "\"id\":null");
}

bool proto_put_error(struct buf *b, uint64_t id, const struct err *err)
{
	size_t start = b->n;
	bool ok = put_id(b, id) &&
		  buf_printf(b, ",\"error\":{\"code\":%d,\"message\":", err_rpc_code(err->code)) &&
		  put_text(b, err->msg[0] != '\0' ? err->msg : err_text(err->code)) &&
		  buf_puts(b, ",\"data\":{\"name\":") && put_text(b, err_name(err->code));

	if (err->param[0] != '\0')
		ok = ok && buf_puts(b, ",\"param\":") && put_text(b, err->param);
	if (err->column > 0)
		ok = ok && buf_printf(b, ",\"column\":%d", err->column);
	return end_line(b, start, ok && buf_puts(b, "}}"));
}

/* ---- reading ---- */

static int frame(struct err *err, const char *what)
{
	return err_set(err, ERR_FRAME, "%s", what);
}

static int read_id(const json_t *root, struct proto_msg *m, struct err *err)
{
	const json_t *id = json_object_get(root, "id");

	if (id == NULL || json_is_null(id))
		return 0;
	if (!json_is_integer(id) || json_integer_value(id) < 1)
		return frame(err, "id is a whole number from 1");
	m->has_id = true;
	m->id = (uint64_t)json_integer_value(id);
	return 0;
}

static void read_error(const json_t *e, struct err *ret)
{
	const json_t *data = json_object_get(e, "data");
	const char *name = json_string_value(json_object_get(data, "name"));
	const char *param = json_string_value(json_object_get(data, "param"));
	const char *msg = json_string_value(json_object_get(e, "message"));
	json_int_t column = json_integer_value(json_object_get(data, "column"));

	(void)err_param(ret, name != NULL ? err_from_name(name) : ERR_INTERNAL,
			param != NULL ? param : "", "%s", msg != NULL ? msg : "");
	if (column > 0 && column <= PROTO_REQUEST_MAX)
		ret->column = (int)column;
}

static int read_response(const json_t *root, struct proto_msg *m, struct err *err)
{
	const json_t *e = json_object_get(root, "error");

	m->result = json_object_get(root, "result");
	if ((e != NULL) == (m->result != NULL))
		return frame(err, "a message has a method, or a result, or an error");
	if (e == NULL)
		return m->has_id ? 0 : frame(err, "a result needs an id");
	if (!json_is_object(e))
		return frame(err, "error is an object");
	m->is_error = true;
	read_error(e, &m->error);
	return 0;
}

static int read_frame(const json_t *root, struct proto_msg *m, struct err *err)
{
	const json_t *method = json_object_get(root, "method");
	const char *version = json_string_value(json_object_get(root, "jsonrpc"));

	if (json_is_array(root))
		return frame(err, "one object a line, not an array of them");
	if (!json_is_object(root))
		return frame(err, "a message is an object");
	if (read_id(root, m, err) < 0)
		return -ERR_FRAME;
	if (version == NULL || strcmp(version, "2.0") != 0)
		return frame(err, "\"jsonrpc\":\"2.0\" is missing");
	if (method == NULL)
		return read_response(root, m, err);
	if (!json_is_string(method))
		return frame(err, "method is a string");
	m->method = json_string_value(method);
	m->params = json_object_get(root, "params");
	if (json_is_null(m->params))
		m->params = NULL;
	if (m->params != NULL && !json_is_object(m->params))
		return frame(err, "params is an object: parameters have names");
	return 0;
}

int proto_parse(struct str line, struct proto_msg *ret_msg, struct err *err)
{
	struct proto_msg m = { .root = NULL };
	json_error_t je;
	int rc;

	m.root = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (m.root == NULL) {
		*ret_msg = m;
		(void)err_set(err, ERR_PARSE, "not JSON: %.200s", je.text);
		if (err != NULL)
			err->column = je.column > 0 ? je.column : 1;
		return -ERR_PARSE;
	}
	rc = read_frame(m.root, &m, err);
	if (rc < 0) {
		json_decref(m.root);
		m = (struct proto_msg){ .has_id = m.has_id, .id = m.id };
	}
	*ret_msg = m;
	return rc;
}

void proto_msg_done(struct proto_msg *m)
{
	json_decref(m->root);
	*m = (struct proto_msg){ .root = NULL };
}
