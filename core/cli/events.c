/*
 * events - what happened, and with --follow what happens.
 *
 * Following: the subscription is opened first, then the newest events are fetched; what is pushed
 * meanwhile waits. After a lost link, or when the relay says that it dropped something, everything
 * behind the last printed number is fetched, page by page, the oldest first. The numbers bring what
 * is fetched and what is pushed in order: each event is printed once, and none is left out.
 *
 *	FETCHING -> (page) FETCHING … -> LIVE -> (resync) FETCHING
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define FOLLOW_MAGIC 0x666f6c6cu
#define ROWS_MAX 1000000 /* of one answer put together */
#define PUSHED_MAX 10000 /* events that wait while older ones are fetched */

/* --- order ------------------------------------------------------------------------------------ */

static int by_seq(const void *a, const void *b)
{
	int64_t x = json_get_int(*(json_t *const *)a, "seq");
	int64_t y = json_get_int(*(json_t *const *)b, "seq");

	return (x > y) - (x < y);
}

/* A new array, the oldest first, each number once, all of them above `after`. */
static json_t *in_order(const json_t *rows, int64_t after)
{
	size_t n = json_array_size(rows);
	json_t **all = xcalloc(n + 1, sizeof(json_t *));
	json_t *sorted = json_array();

	for (size_t i = 0; i < n; i++)
		all[i] = json_array_get(rows, i);
	qsort(all, n, sizeof(json_t *), by_seq);
	for (size_t i = 0; i < n; i++) {
		if (json_get_int(all[i], "seq") <= after)
			continue;
		after = json_get_int(all[i], "seq");
		(void)json_array_append(sorted, all[i]);
	}
	free(all);
	return sorted;
}

static void put_rows(struct cli *c, const struct args *a, const json_t *rows)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	struct columns *columns;
	const json_t *row;
	size_t i;

	if (c->json) {
		cli_print_json(c, rows);
		return;
	}
	if (json_array_size(rows) == 0)
		(void)buf_puts(&b, "none\n");
	columns = columns_new(&(struct columns_options){ .out = &c->out,
							 .entity = a->m->entity,
							 .wide = a->own[OWN_WIDE] != NULL },
			      rows);
	if (json_array_size(rows) > 0)
		columns_put_head(columns, &b);
	json_array_foreach(rows, i, row)
	{
		columns_put_row(columns, &b, row);
		if (b.n > OUT_MAX / 2)
			cli_print(c, &b);
	}
	(void)columns_put_left_out(columns, &b);
	columns_free(&columns);
	cli_print(c, &b);
}

/* Pages go from the newest to older ones (behind --after the other way); what is printed begins
 * with the oldest. */
static int list_events(struct cli *c, const struct args *a, struct err *err)
{
	uint64_t wanted = a->has_limit ? a->limit : CLI_ROWS_DEFAULT;
	json_t *all = json_array(), *page = NULL, *sorted;
	int rc;

	do {
		uint64_t left = wanted - json_array_size(all);
		json_t *params = json_copy(a->params);

		(void)json_object_set_new(
			params, "limit",
			json_integer((json_int_t)(left < PROTO_PAGE_MAX ? left : PROTO_PAGE_MAX)));
		if (page != NULL)
			(void)json_object_set_new(params, "cursor",
						  json_string(json_get_str(page, "next")));
		json_decref(page);
		page = NULL;
		rc = talk_call(c, a->m->name, params, &page, err);
		if (rc >= 0)
			(void)json_array_extend(all, json_object_get(page, "rows"));
	} while (rc >= 0 && json_array_size(all) < wanted && json_array_size(all) < ROWS_MAX &&
		 cli_has(page, "next") && json_array_size(json_object_get(page, "rows")) > 0);
	if (rc >= 0) {
		sorted = in_order(all, INT64_MIN);
		put_rows(c, a, sorted);
		json_decref(sorted);
	}
	json_decref(all);
	json_decref(page);
	return rc < 0 ? rc : 0;
}

/* --- following -------------------------------------------------------------------------------- */

struct follow {
	uint32_t magic;
	struct cli *c;
	const struct args *a;
	struct client *client;
	struct columns *columns;
	bool fetching;
	json_t *pushed; /* while fetching */
	bool again;	/* something was dropped while fetching */
	int64_t last;	/* the number printed last; -1: none */
	bool begun;	/* all behind `last` is wanted, not only the newest rows */
	bool told;	/* that the link is lost */
	struct loop_fd *reader;
	struct loop_signal *ends[2];
	struct err err;
};

static void fetch(struct follow *f, const char *cursor);

static void stop_if_unread(struct follow *f)
{
	if (f->c->out.errnum != 0)
		loop_stop(f->c->loop);
}

static void print_events(struct follow *f, const json_t *rows)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *sorted = in_order(rows, f->last);
	size_t n = json_array_size(sorted);
	const json_t *row;
	size_t i;

	if (n > 0 && !f->c->json && f->columns == NULL) {
		struct columns_options o = { .out = &f->c->out,
					     .entity = f->a->m->entity,
					     .wide = f->a->own[OWN_WIDE] != NULL,
					     .steady = true };

		f->columns = columns_new(&o, sorted);
		columns_put_head(f->columns, &b);
	}
	json_array_foreach(sorted, i, row)
	{
		if (f->c->json) {
			out_json_line(&f->c->out, &b, row);
			(void)buf_putc(&b, '\n');
		} else {
			columns_put_row(f->columns, &b, row);
		}
		f->last = json_get_int(row, "seq");
		if (b.n > OUT_MAX / 2)
			cli_print(f->c, &b);
	}
	json_decref(sorted);
	cli_print(f->c, &b);
	stop_if_unread(f);
}

static void on_page(void *arg, const json_t *result, const struct err *err)
{
	struct follow *f = OBJ(follow, FOLLOW_MAGIC, arg);
	const json_t *rows = json_object_get(result, "rows");
	bool more = f->begun && cli_has(result, "next") && json_array_size(rows) > 0;

	if (result == NULL) {
		f->err = *err;
		loop_stop(f->c->loop);
		return;
	}
	print_events(f, rows);
	if (more) {
		fetch(f, json_get_str(result, "next"));
		return;
	}
	f->fetching = false;
	f->begun = true;
	print_events(f, f->pushed);
	(void)json_array_clear(f->pushed);
	if (f->again)
		fetch(f, NULL);
}

static void fetch(struct follow *f, const char *cursor)
{
	json_t *params = json_copy(f->a->params);

	f->fetching = true;
	if (cursor == NULL)
		f->again = false;
	else
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	if (f->begun) {
		(void)json_object_set_new(params, "after", json_integer(f->last > 0 ? f->last : 0));
		(void)json_object_set_new(params, "limit", json_integer(PROTO_PAGE_MAX));
	}
	(void)client_call(f->client, f->a->m->name, params, on_page, f);
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	struct follow *f = OBJ(follow, FOLLOW_MAGIC, arg);
	json_t *rows = json_object_get((json_t *)(uintptr_t)data, "rows");

	if (!f->fetching && !resync)
		print_events(f, rows);
	else if (!resync && !f->again && json_array_size(f->pushed) < PUSHED_MAX)
		(void)json_array_extend(f->pushed, rows);
	else if (f->fetching)
		f->again = true; /* what is behind the last printed number is fetched then */
	else
		fetch(f, NULL);
}

static void on_state(void *arg)
{
	struct follow *f = OBJ(follow, FOLLOW_MAGIC, arg);
	struct client_view view;

	if (f->client == NULL)
		return; /* from inside client_new() */
	client_view(f->client, &view);
	f->told = f->told && view.state != CLIENT_UP;
	if (view.state != CLIENT_LOST)
		return;
	if (!view.was_up || view.retry_wall_ms == 0) {
		f->err = view.trouble;
		loop_stop(f->c->loop);
	} else if (!f->told && !f->c->json) {
		f->told = true;
		(void)fputs("weir: the connection is lost; trying again\n", stderr);
	}
}

static void on_question(void *arg, const struct client_question *q)
{
	talk_ask(OBJ(follow, FOLLOW_MAGIC, arg)->client, q);
}

static void on_end(void *arg)
{
	loop_stop(OBJ(follow, FOLLOW_MAGIC, arg)->c->loop);
}

static void on_reader(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	on_end(arg); /* nobody reads our output any more */
}

/* A pipe or socket tells when its other end has gone, even while there is nothing to write. */
static void watch_reader(struct follow *f)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
		f->reader = loop_fd_new(f->c->loop, "cli.reader", STDOUT_FILENO, LOOP_READ,
					on_reader, f);
}

static json_t *sub_params(const struct args *a)
{
	const json_t *where = json_object_get(a->params, "where");

	return where != NULL ? json_pack("{s:O}", "where", where) : NULL;
}

static int follow_events(struct cli *c, const struct args *a, struct err *err)
{
	static const struct client_ops ops = { .state = on_state, .ask = on_question };
	const struct client_options options = { .relay = c->relay, .stay = true };
	struct follow f = { .magic = FOLLOW_MAGIC, .c = c, .a = a, .last = -1 };
	int rc;

	c->loop = loop_new();
	rc = client_new(c->loop, &options, &ops, &f, &f.client, err);
	if (rc < 0)
		return rc;
	f.ends[0] = loop_signal_new(c->loop, SIGINT, on_end, &f);
	f.ends[1] = loop_signal_new(c->loop, SIGTERM, on_end, &f);
	watch_reader(&f);
	f.pushed = json_array();
	if (json_is_integer(json_object_get(a->params, "after"))) {
		f.begun = true;
		f.last = json_get_int(a->params, "after");
	}
	(void)client_sub(f.client, topic_name(TOPIC_EVENTS), sub_params(a), on_push, &f);
	fetch(&f, NULL);
	loop_run(c->loop);
	client_free(&f.client);
	loop_fd_free(&f.reader);
	loop_signal_free(&f.ends[0]);
	loop_signal_free(&f.ends[1]);
	columns_free(&f.columns);
	json_decref(f.pushed);
	if (f.err.code == 0)
		return 0;
	*err = f.err;
	return -f.err.code;
}

int run_events(struct cli *c, const struct args *a, struct err *err)
{
	return a->own[OWN_FOLLOW] != NULL ? follow_events(c, a, err) : list_events(c, a, err);
}
