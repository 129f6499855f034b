/*
 * weir trace: what is being spoken with next hops now, line by line, until interrupted.
 *
 * Lines come by a subscription. The relay never waits for whoever listens: what was too much is
 * counted and told in its place.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cli/cli_int.h"
#include "filter/target.h"

#define TRACE_MAGIC 0x74726163u
#define TIME_AT 11 /* of the clock's part in "2026-11-24T03:12:07.123Z" */
#define TIME_LEN 12

struct trace {
	uint32_t magic;
	struct cli *c;
	struct client *client;
	int64_t left; /* lines until the end; 0: no end */
	bool told;    /* that the link is lost */
	struct loop_signal *ends[2];
	struct err err;
};

static const char *mark_of(const char *by)
{
	if (strcmp(by, "relay") == 0)
		return "->";
	return strcmp(by, "host") == 0 ? "<-" : "**";
}

/* "03:12:07.123 [17] mx1.fast.example <- 250 2.1.0 Ok" */
static void put_line(const struct out *o, struct buf *b, const json_t *row)
{
	const char *at = json_get_str(row, "at");
	enum out_style style = strcmp(json_get_str(row, "by"), "host") == 0 ? OUT_PLAIN : OUT_DIM;

	if (strlen(at) > TIME_AT)
		out_clean(o, b, str_from(at + TIME_AT, strnlen(at + TIME_AT, TIME_LEN)));
	(void)buf_printf(b, " [%lld] ", (long long)json_get_int(row, "session"));
	out_clean(o, b, str_of(json_get_str(row, "host")));
	out_style(o, b, style, true);
	(void)buf_printf(b, " %s ", mark_of(json_get_str(row, "by")));
	out_clean(o, b, str_of(json_get_str(row, "text")));
	out_style(o, b, style, false);
	(void)buf_putc(b, '\n');
}

static void put_left(struct trace *t, struct buf *b, int64_t left)
{
	json_t *row;

	if (left == 0)
		return;
	if (!t->c->json) {
		(void)buf_printf(b, "** %lld line%s left out: too many at once\n", (long long)left,
				 left == 1 ? "" : "s");
		return;
	}
	row = json_pack("{s:I}", "left", (json_int_t)left);
	out_json_line(&t->c->out, b, row);
	(void)buf_putc(b, '\n');
	json_decref(row);
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	const json_t *row;
	size_t i;

	(void)resync; /* what is over is over */
	json_array_foreach(json_object_get(data, "rows"), i, row)
	{
		if (t->c->json) {
			out_json_line(&t->c->out, &b, row);
			(void)buf_putc(&b, '\n');
		} else {
			put_line(&t->c->out, &b, row);
		}
		if (t->left > 0 && --t->left == 0) {
			loop_stop(t->c->loop);
			break;
		}
	}
	put_left(t, &b, json_get_int(data, "left"));
	cli_print(t->c, &b);
	if (t->c->out.errnum != 0)
		loop_stop(t->c->loop);
}

static void on_state(void *arg)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);
	struct client_view view;

	if (t->client == NULL)
		return; /* from inside client_new() */
	client_view(t->client, &view);
	t->told = t->told && view.state != CLIENT_UP;
	if (view.state != CLIENT_LOST)
		return;
	if (!view.was_up || view.retry_wall_ms == 0) {
		t->err = view.trouble;
		loop_stop(t->c->loop);
	} else if (!t->told && !t->c->json) {
		t->told = true;
		(void)fputs("weir: the connection is lost; trying again\n", stderr);
	}
}

static void on_question(void *arg, const struct client_question *q)
{
	talk_ask(OBJ(trace, TRACE_MAGIC, arg)->client, q);
}

static void on_refused(void *arg, uint64_t sub, const struct err *err)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);

	(void)sub;
	t->err = *err;
	loop_stop(t->c->loop);
}

static void on_end(void *arg)
{
	loop_stop(OBJ(trace, TRACE_MAGIC, arg)->c->loop);
}

/* What sub.open takes; NULL: the target cannot be read. */
static json_t *sub_params(const struct args *a, struct err *err)
{
	const char *hop = json_get_str(a->params, "hop");
	const char *text = json_get_str(a->params, "target");
	json_t *params = json_object();
	struct target target = TARGET_INIT;
	AUTO_BUF where = BUF_INIT(FILTER_TEXT_MAX);

	if (*hop != '\0')
		(void)json_object_set_new(params, "hop", json_text(str_of(hop)));
	if (*text == '\0')
		return params;
	if (target_parse(str_of(text), &target, err) < 0) {
		json_decref(params);
		return NULL;
	}
	if (!filter_matches_all(target.filter) && filter_print(target.filter, &where))
		(void)json_object_set_new(params, "where", json_text(buf_str(&where)));
	target_done(&target);
	return params;
}

static int follow(struct trace *t, json_t *params_take, struct err *err)
{
	static const struct client_ops ops = { .state = on_state,
					       .ask = on_question,
					       .unsubscribed = on_refused };
	const struct client_options options = { .relay = t->c->relay, .stay = true };
	int rc;

	t->c->loop = loop_new();
	rc = client_new(t->c->loop, &options, &ops, t, &t->client, err);
	if (rc < 0) {
		json_decref(params_take);
		return rc;
	}
	t->ends[0] = loop_signal_new(t->c->loop, SIGINT, on_end, t);
	t->ends[1] = loop_signal_new(t->c->loop, SIGTERM, on_end, t);
	(void)client_sub(t->client, topic_name(TOPIC_TRACE), params_take, on_push, t);
	loop_run(t->c->loop);
	client_free(&t->client);
	loop_signal_free(&t->ends[0]);
	loop_signal_free(&t->ends[1]);
	if (t->err.code == 0)
		return 0;
	*err = t->err;
	return -t->err.code;
}

int verb_trace(struct cli *c, const struct args *a, struct err *err)
{
	struct trace t = { .magic = TRACE_MAGIC, .c = c, .left = json_get_int(a->params, "lines") };
	json_t *params;

	if (*json_get_str(a->params, "target") == '\0' && *json_get_str(a->params, "hop") == '\0')
		return err_param(err, ERR_INVALID, "target",
				 "what is to be listened to is missing: a target (all for "
				 "everything), or --hop");
	params = sub_params(a, err);
	return params != NULL ? follow(&t, params, err) : -err->code;
}
