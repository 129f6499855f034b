/*
 * The loop is run for the length of each call; there is one call at a time. A lost connection ends
 * the client (it was made without `stay`), so that trying again means making another.
 */
#include <bsd/readpassphrase.h>
#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "cli/cli_int.h"

#define ANSWER_MAX 1024 /* bytes of a typed answer */
#define AGAIN_TRIES 20	/* attempts to reach a relay that went away in the middle of a call */
#define AGAIN_MS 250	/* between them */

struct waiting {
	struct cli *c;
	json_t *result;
	struct err err;
	bool done;
};

static void on_answer(void *arg, const json_t *result, const struct err *err)
{
	struct waiting *w = arg;

	w->done = true;
	if (result != NULL)
		w->result = json_incref((json_t *)(uintptr_t)result);
	else
		w->err = *err;
	loop_stop(w->c->loop);
}

/* --- questions -------------------------------------------------------------------------------- */

void talk_ask(struct client *client, const struct client_question *q)
{
	struct out o;
	AUTO_BUF prompt = BUF_INIT(8192);
	char answer[ANSWER_MAX];
	bool secret = q->kind == CLIENT_ASK_SECRET;
	char *got;

	out_init(&o);
	if (*q->text != '\0') {
		out_clean_lines(&o, &prompt, str_of(q->text));
		(void)buf_putc(&prompt, '\n');
	}
	out_clean(&o, &prompt, str_of(q->title));
	(void)buf_puts(&prompt, q->kind == CLIENT_ASK_HOST_KEY ? " [yes/no] " : ": ");
	got = readpassphrase(buf_cstr(&prompt), answer, sizeof(answer),
			     RPP_REQUIRE_TTY | (secret ? RPP_ECHO_OFF : RPP_ECHO_ON));
	if (got != NULL && q->kind == CLIENT_ASK_HOST_KEY && strcmp(answer, "yes") != 0)
		got = NULL;
	client_answer(client, q->id, got);
	explicit_bzero(answer, sizeof(answer));
}

static void on_ask(void *arg, const struct client_question *q)
{
	struct cli *c = OBJ(cli, CLI_MAGIC, arg);

	talk_ask(c->client, q);
}

/* --- calls ------------------------------------------------------------------------------------ */

static int connect_relay(struct cli *c, struct err *err)
{
	static const struct client_ops ops = { .ask = on_ask };
	const struct client_options options = { .relay = c->relay };

	if (c->loop == NULL)
		c->loop = loop_new();
	return client_new(c->loop, &options, &ops, c, &c->client, err);
}

static bool was_up(const struct cli *c)
{
	struct client_view view;

	client_view(c->client, &view);
	return view.was_up;
}

static int call_once(struct cli *c, const char *method, json_t *params, json_t **ret_result,
		     struct err *err)
{
	struct waiting w = { .c = c };
	int rc = c->client != NULL ? 0 : connect_relay(c, err);

	if (rc < 0)
		return rc;
	(void)client_call(c->client, method, json_incref(params), on_answer, &w);
	while (!w.done)
		loop_run(c->loop);
	if (w.result != NULL) {
		*ret_result = w.result;
		return 0;
	}
	if (err != NULL)
		*err = w.err;
	return -w.err.code;
}

static void stop_waiting(void *arg)
{
	loop_stop(arg);
}

/* The loop goes on meanwhile. */
static void pause_ms(struct cli *c, int64_t ms)
{
	struct loop_timer *t = loop_timer_new(c->loop, "cli.again", stop_waiting, c->loop);

	loop_timer_set(t, ms);
	loop_run(c->loop);
	loop_timer_free(&t);
}

static bool is_lost(int code)
{
	return code == ERR_NET || code == ERR_CLOSED || code == ERR_TIMEOUT || code == ERR_PROTO;
}

int talk_call(struct cli *c, const char *method, json_t *params_take, json_t **ret_result,
	      struct err *err)
{
	const struct method_def *m = method_find(method);
	json_t *params = params_take != NULL ? params_take : json_object();
	struct err local = ERR_INIT;
	int rc;

	if (err == NULL)
		err = &local;
	if (m != NULL && (m->flags & MF_MUTATES) != 0)
		talk_request(c, params);
	rc = call_once(c, method, params, ret_result, err);
	if (rc < 0 && is_lost(-rc) && c->client != NULL && was_up(c)) {
		bool repeated = false;

		for (int i = 0; i < AGAIN_TRIES && rc < 0 && is_lost(-rc) && !repeated; i++) {
			client_free(&c->client);
			if (i > 0)
				pause_ms(c, AGAIN_MS);
			rc = call_once(c, method, params, ret_result, err);
			repeated = c->client != NULL && was_up(c);
		}
	}
	json_decref(params);
	return rc;
}

void talk_request(struct cli *c, json_t *params)
{
	uint64_t random = 0;

	if (json_object_get(params, "request") != NULL)
		return;
	if (c->request[0] == '\0') {
		if (getentropy(&random, sizeof(random)) < 0)
			random = (uint64_t)loop_clock_us();
		(void)snprintf(c->request, sizeof(c->request), "cli-%016" PRIx64, random);
	}
	(void)json_object_set_new(params, "request",
				  json_sprintf("%s-%u", c->request, ++c->requests));
}

void talk_end(struct cli *c)
{
	client_free(&c->client);
	loop_free(&c->loop);
}

/* --- what is typed ---------------------------------------------------------------------------- */

struct typed {
	struct cli *c;
	struct buf *line;
	bool done;
	bool ended;
};

static void on_typed(int fd, unsigned what, void *arg)
{
	struct typed *t = arg;
	char piece[256];
	ssize_t n = read(fd, piece, sizeof(piece));
	char *end = n > 0 ? memchr(piece, '\n', (size_t)n) : NULL;

	(void)what;
	if (n <= 0)
		t->ended = true;
	else if (!buf_put(t->line, piece, end != NULL ? (size_t)(end - piece) : (size_t)n))
		t->ended = true;
	t->done = t->ended || end != NULL;
	if (t->done)
		loop_stop(t->c->loop);
}

bool talk_line(struct cli *c, struct buf *line)
{
	struct typed t = { .c = c, .line = line };
	struct loop_fd *watch =
		loop_fd_new(c->loop, "cli.typed", STDIN_FILENO, LOOP_READ, on_typed, &t);

	while (!t.done)
		loop_run(c->loop);
	loop_fd_free(&watch);
	return !t.ended;
}
