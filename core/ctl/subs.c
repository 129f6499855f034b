/*
 * Subscriptions. One ticker serves them all: each topic has its period in ticks. What is pushed is
 * the difference to what the subscriber has: the status when it moved, generation numbers that
 * moved, rows whose fields (ages apart, which every client counts by itself) are not those last
 * sent, events that came since.
 *
 * A subscriber whose connection is behind gets nothing until it has caught up; what it missed is
 * only remembered as `resync`, so that it costs no memory however slow it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/ctl_int.h"

#define TICK_MS 200
#define STATUS_TICKS 5	/* once a second */
#define ROWS_TICKS 3	/* less than twice a second */
#define PUSHED_MAX 2000 /* events and lines at a time, some milliseconds */
#define REST_MS 1

struct key {
	char *name;
	uint64_t hash; /* of the row as it was sent; 0: none was */
	bool seen;     /* in the answer at hand */
};

struct ctl_sub {
	uint64_t id;
	enum topic topic;
	struct ctl_conn *conn;
	uint64_t seq;
	bool resync; /* something was dropped */
	bool fresh;  /* has had nothing yet */
	struct filter *filter;
	char *by;
	struct key *keys;
	size_t keys_n;
	uint64_t ticket; /* of the rows asked for; 0: none */
	json_t *events;	 /* or lines */
	char *hop;	 /* of a trace: only those that fit; NULL: all */
	uint64_t left;	 /* lines that were left out */
	unsigned served; /* the tick in which it had its events or lines */
	LIST_ENTRY(ctl_sub) link;
};

static void keys_done(struct ctl_sub *s)
{
	for (size_t i = 0; i < s->keys_n; i++)
		free(s->keys[i].name);
	free(s->keys);
	s->keys = NULL;
	s->keys_n = 0;
}

static void sub_free(struct ctl_sub **sp)
{
	struct ctl_sub *s = *sp;
	struct ctl *c = s->conn->ctl;

	*sp = NULL;
	LIST_REMOVE(s, link);
	s->conn->subs_n--;
	c->subs_n--;
	if (s->topic == TOPIC_EVENTS)
		c->event_subs_n--;
	if (s->topic == TOPIC_TRACE)
		c->trace_subs_n--;
	if (c->subs_n == 0)
		loop_timer_cancel(c->tick);
	keys_done(s);
	filter_free(&s->filter);
	free(s->by);
	free(s->hop);
	json_decref(s->events);
	free(s);
}

void ctl_subs_drop(struct ctl_conn *conn)
{
	while (!LIST_EMPTY(&conn->subs)) {
		struct ctl_sub *s = LIST_FIRST(&conn->subs);
		sub_free(&s);
	}
}

void ctl_subs_done(struct ctl *c)
{
	loop_timer_free(&c->tick);
	json_decref(c->last_status);
	json_decref(c->last_changes);
}

/* ---- pushing ---- */

static bool is_behind(const struct ctl_sub *s)
{
	return stream_pending(s->conn->stream) > CTL_PUSH_HIGH;
}

/* Takes data. */
static void push(struct ctl_sub *s, json_t *data)
{
	AUTO_BUF b = BUF_INIT(PROTO_RESPONSE_MAX);
	json_t *params = json_pack("{s:I, s:s, s:I, s:o, s:b}", "sub", (json_int_t)s->id, "topic",
				   topic_name(s->topic), "seq", (json_int_t)++s->seq, "data", data,
				   "resync", s->resync);

	if (params != NULL && proto_put_notify(&b, "push", params)) {
		ctl_send(s->conn, buf_str(&b));
		s->resync = false;
		s->fresh = false;
	} else {
		s->resync = true;
	}
	json_decref(params);
}

/* Whether the caller has something for everybody is for the caller to say: `moved`. */
static void push_shared(struct ctl_sub *s, json_t *data, bool moved)
{
	if (!moved && !s->fresh && !s->resync)
		return;
	if (is_behind(s)) {
		s->resync = true;
		return;
	}
	push(s, json_incref(data));
}

/* ---- rows ---- */

/* What of a row counts as a change: all but ages. */
static uint64_t row_hash(enum topic topic, const json_t *row)
{
	const char *entity = topic == TOPIC_QUEUE ? "queue" : "message";
	uint64_t hash = 1;
	json_t *copy = json_copy((json_t *)(uintptr_t)row);
	char *text;
	void *it;
	const char *name;
	json_t *v;

	json_object_foreach_safe(copy, it, name, v)
	{
		const struct field_def *f = field_find(entity, name);
		(void)v;
		if (f != NULL && f->kind == FK_AGE && !json_is_null(v))
			(void)json_object_set_new(copy, name, json_true());
	}
	text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
	if (text != NULL)
		hash = str_hash(str_of(text)) | 1;
	free(text);
	json_decref(copy);
	return hash;
}

static struct key *find_key(struct ctl_sub *s, const char *name)
{
	for (size_t i = 0; name != NULL && i < s->keys_n; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return &s->keys[i];
	return NULL;
}

static void take_rows(struct ctl_sub *s, const struct ctl_services *sv, const json_t *rows)
{
	json_t *changed = json_array();
	json_t *gone = json_array();
	size_t i;
	json_t *row;

	for (i = 0; i < s->keys_n; i++)
		s->keys[i].seen = false;
	json_array_foreach(rows, i, row)
	{
		struct key *k = find_key(s, sv->row_key(s->topic, row, s->by));
		uint64_t hash = row_hash(s->topic, row);
		if (k == NULL)
			continue;
		k->seen = true;
		if (k->hash != hash || s->resync)
			(void)json_array_append(changed, row);
		k->hash = hash;
	}
	for (i = 0; i < s->keys_n; i++) {
		if (s->keys[i].seen || (s->keys[i].hash == 0 && !s->fresh && !s->resync))
			continue;
		(void)json_array_append_new(gone, json_string(s->keys[i].name));
		s->keys[i].hash = 0;
	}
	if (json_array_size(changed) > 0 || json_array_size(gone) > 0 || s->resync || s->fresh)
		push(s, json_pack("{s:O, s:O}", "rows", changed, "gone", gone));
	json_decref(changed);
	json_decref(gone);
}

void ctl_rows(struct ctl *c, uint64_t ticket, json_t *rows_take)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;

	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link) {
			if (s->ticket != ticket)
				continue;
			s->ticket = 0;
			/* what is not sent now is found to differ the next time */
			if (!is_behind(s) && json_is_array(rows_take))
				take_rows(s, c->services, rows_take);
			json_decref(rows_take);
			return;
		}
	json_decref(rows_take);
}

static void ask_rows(struct ctl *c, struct ctl_sub *s)
{
	const char *names[CTL_KEYS_MAX];

	if (s->ticket != 0 || s->keys_n == 0 || is_behind(s))
		return;
	for (size_t i = 0; i < s->keys_n; i++)
		names[i] = s->keys[i].name;
	s->ticket = ++c->last_id;
	c->services->rows(c->env, c, s->ticket, s->topic, s->by, names, s->keys_n);
}

/* ---- events ---- */

bool ctl_events_wanted(const struct ctl *c)
{
	return c->event_subs_n > 0;
}

static void keep_event(struct ctl_sub *s, json_t *event)
{
	if (json_array_size(s->events) >= CTL_EVENTS_MAX || is_behind(s)) {
		s->resync = true;
		return;
	}
	if (s->events == NULL)
		s->events = json_array();
	(void)json_array_append(s->events, event);
}

void ctl_event(struct ctl *c, const struct filter_row *row, ctl_event_fn *make, void *arg)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;
	json_t *event = NULL;

	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link) {
			if (s->topic != TOPIC_EVENTS ||
			    (s->filter != NULL && filter_eval(s->filter, row) != FILTER_TRUE))
				continue;
			if (event == NULL)
				event = make(arg);
			keep_event(s, event);
		}
	json_decref(event);
}

static void flush_events(struct ctl_sub *s)
{
	if ((s->events == NULL && !s->resync) || is_behind(s))
		return;
	push(s, json_pack("{s:o}", "rows", s->events != NULL ? s->events : json_array()));
	s->events = NULL;
}

/* ---- lines ---- */

bool ctl_trace_wanted(const struct ctl *c)
{
	return c->trace_subs_n > 0;
}

#define PLACE ((1u << FILTER_DOMAIN) | (1u << FILTER_PROVIDER) | (1u << FILTER_RELAY))

/* Whether the line is for this subscription: it is about one of its recipients, as far as is known
 * without the store, or, before there is a message, on a connection that may be for them. */
static bool is_for(const struct ctl_sub *s, const struct ctl_line *line)
{
	if (s->hop != NULL && !str_glob(str_of(s->hop), str_of(line->hop)))
		return false;
	if (s->filter == NULL)
		return true;
	for (size_t i = 0; i < line->rows_n; i++) {
		enum filter_truth t = filter_eval(s->filter, &line->rows[i]);
		if (t == FILTER_TRUE ||
		    (t == FILTER_UNKNOWN &&
		     (!line->opening || (filter_uses(s->filter) & ~PLACE) == 0)))
			return true;
	}
	return false;
}

/* The session is never waited for: what a subscriber cannot take is counted. */
void ctl_trace(struct ctl *c, const struct ctl_line *line, ctl_event_fn *make, void *arg)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;
	json_t *row = NULL;

	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link) {
			if (s->topic != TOPIC_TRACE || !is_for(s, line))
				continue;
			if (json_array_size(s->events) >= CTL_TRACE_MAX || is_behind(s)) {
				s->left++;
				continue;
			}
			if (row == NULL)
				row = make(arg);
			if (s->events == NULL)
				s->events = json_array();
			(void)json_array_append(s->events, row);
		}
	json_decref(row);
}

static void flush_lines(struct ctl_sub *s)
{
	if ((s->events == NULL && s->left == 0) || is_behind(s))
		return;
	push(s, json_pack("{s:o, s:I}", "rows", s->events != NULL ? s->events : json_array(),
			  "left", (json_int_t)s->left));
	s->events = NULL;
	s->left = 0;
}

/* ---- the ticker ---- */

/* The status without what moves by itself; owned. */
static json_t *still(const json_t *status)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)status);

	(void)json_object_del(copy, "now_at");
	(void)json_object_del(copy, "uptime_s");
	return copy;
}

/* Remembers `now` (taken) in *last; whether it is something else than before. */
static bool moved(json_t **last, json_t *now)
{
	bool same = *last != NULL && json_equal(*last, now);

	json_decref(*last);
	*last = now;
	return !same;
}

static bool any(const struct ctl *c, enum topic topic)
{
	const struct ctl_conn *conn;
	const struct ctl_sub *s;

	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link)
			if (s->topic == topic)
				return true;
	return false;
}

static void tick_shared(struct ctl *c, enum topic topic)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;
	json_t *now;
	bool is_new;

	if (!any(c, topic))
		return;
	now = topic == TOPIC_STATUS ? c->services->status(c->env) : c->services->changes(c->env);
	is_new = topic == TOPIC_STATUS ? moved(&c->last_status, still(now))
				       : moved(&c->last_changes, json_deep_copy(now));
	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link)
			if (s->topic == topic)
				push_shared(s, now, is_new);
	json_decref(now);
}

static void tick_all(struct ctl *c)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;

	c->ticks++;
	tick_shared(c, TOPIC_CHANGES);
	if (c->ticks % STATUS_TICKS == 0)
		tick_shared(c, TOPIC_STATUS);
	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link)
			if ((s->topic == TOPIC_QUEUE || s->topic == TOPIC_MESSAGES) &&
			    (s->fresh || c->ticks % ROWS_TICKS == 0))
				ask_rows(c, s);
}

/* Events and lines of those that had none in this tick; false: some are left. */
static bool flush_all(struct ctl *c)
{
	struct ctl_conn *conn;
	struct ctl_sub *s;
	size_t n = 0;

	LIST_FOREACH (conn, &c->conns, link)
		LIST_FOREACH (s, &conn->subs, link) {
			if (s->served == c->ticks ||
			    (s->topic != TOPIC_EVENTS && s->topic != TOPIC_TRACE))
				continue;
			if (n >= PUSHED_MAX)
				return false;
			s->served = c->ticks;
			n += json_array_size(s->events);
			if (s->topic == TOPIC_EVENTS)
				flush_events(s);
			else
				flush_lines(s);
		}
	return true;
}

static void on_tick(void *arg)
{
	struct ctl *c = OBJ(ctl, CTL_MAGIC, arg);

	if (!c->tick_rest)
		tick_all(c);
	c->tick_rest = !flush_all(c);
	loop_timer_set(c->tick, c->tick_rest ? REST_MS : TICK_MS);
}

/* ---- methods ---- */

static int take_keys(struct ctl_sub *s, const json_t *keys, struct err *err)
{
	size_t i;
	json_t *key;

	if (json_array_size(keys) > CTL_KEYS_MAX)
		return err_param(err, ERR_LIMIT, "keys", "a subscription watches at most %d rows",
				 CTL_KEYS_MAX);
	keys_done(s);
	s->keys = xcalloc(json_array_size(keys) + 1, sizeof(s->keys[0]));
	json_array_foreach(keys, i, key) s->keys[s->keys_n++].name =
		xstrdup(json_string_value(key));
	s->ticket = 0; /* an answer under way is about other keys */
	s->fresh = true;
	return 0;
}

static struct ctl_sub *sub_find(struct ctl_conn *conn, uint64_t id)
{
	struct ctl_sub *s;

	LIST_FOREACH (s, &conn->subs, link)
		if (s->id == id)
			return s;
	return NULL;
}

/* What a topic takes beside its name. */
static int check_open(const struct ctl_call *call, int topic, struct err *err)
{
	bool rows = topic == TOPIC_QUEUE || topic == TOPIC_MESSAGES;

	if (topic < 0)
		return err_param(err, ERR_INVALID, "topic",
				 "topic cannot be \"%.60s\"; it is status, events, queue, "
				 "messages, trace or changes",
				 ctl_str(call, "topic"));
	if (ctl_str(call, "where") != NULL && topic != TOPIC_EVENTS && topic != TOPIC_TRACE)
		return err_param(err, ERR_INVALID, "where",
				 "only the topics events and trace take where");
	if (ctl_str(call, "hop") != NULL && topic != TOPIC_TRACE)
		return err_param(err, ERR_INVALID, "hop", "only the topic trace takes hop");
	if (ctl_str(call, "by") != NULL && topic != TOPIC_QUEUE)
		return err_param(err, ERR_INVALID, "by", "only the topic queue takes by");
	if ((ctl_json(call, "keys") != NULL) != rows)
		return err_param(err, ERR_INVALID, "keys",
				 rows ? "the topic %s needs keys, the rows to watch"
				      : "the topic %s takes no keys",
				 topic_name((enum topic)topic));
	return 0;
}

static void add_sub(struct ctl *c, struct ctl_conn *conn, struct ctl_sub *s)
{
	s->id = ++c->last_id;
	s->conn = conn;
	LIST_INSERT_HEAD(&conn->subs, s, link);
	conn->subs_n++;
	if (s->topic == TOPIC_EVENTS)
		c->event_subs_n++;
	if (s->topic == TOPIC_TRACE)
		c->trace_subs_n++;
	if (c->tick == NULL)
		c->tick = loop_timer_new(c->loop, "ctl.tick", on_tick, c);
	if (c->subs_n++ == 0)
		loop_timer_set(c->tick, TICK_MS);
}

static void sub_answer(struct ctl_call *call, uint64_t id)
{
	ctl_reply(call, json_pack("{s:I}", "sub", (json_int_t)id));
}

void ctl_sub_open(struct ctl_call *call)
{
	int topic = topic_from_name(ctl_str(call, "topic"));
	struct ctl_conn *conn = ctl_conn_find(call->ctl, call->conn);
	struct ctl_sub *s;
	struct err err = ERR_INIT;
	const char *by = ctl_str(call, "by");

	if (check_open(call, topic, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	if (conn->subs_n >= CTL_SUBS_MAX) {
		(void)err_set(&err, ERR_LIMIT, "a connection has at most %d subscriptions",
			      CTL_SUBS_MAX);
		ctl_fail(call, &err);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->topic = (enum topic)topic;
	s->fresh = true;
	s->by = xstrdup(by != NULL ? by : "domain");
	s->hop = ctl_str(call, "hop") != NULL ? xstrdup(ctl_str(call, "hop")) : NULL;
	add_sub(call->ctl, conn, s);
	s->filter = call->filter;
	call->filter = NULL;
	if (take_keys(s, ctl_json(call, "keys"), &err) < 0) {
		sub_free(&s);
		ctl_fail(call, &err);
		return;
	}
	sub_answer(call, s->id);
}

/* The subscription of `sub`; NULL when the call was failed. */
static struct ctl_sub *sub_of(struct ctl_call *call)
{
	struct ctl_conn *conn = ctl_conn_find(call->ctl, call->conn);
	struct ctl_sub *s = sub_find(conn, (uint64_t)ctl_int(call, "sub", 0));
	struct err err = ERR_INIT;

	if (s != NULL)
		return s;
	(void)err_param(&err, ERR_UNKNOWN, "sub", "there is no subscription %lld here",
			(long long)ctl_int(call, "sub", 0));
	ctl_fail(call, &err);
	return NULL;
}

void ctl_sub_change(struct ctl_call *call)
{
	struct ctl_sub *s = sub_of(call);
	struct err err = ERR_INIT;

	if (s == NULL)
		return;
	if (s->topic != TOPIC_QUEUE && s->topic != TOPIC_MESSAGES) {
		(void)err_param(&err, ERR_INVALID, "keys", "the topic %s takes no keys",
				topic_name(s->topic));
		ctl_fail(call, &err);
	} else if (take_keys(s, ctl_json(call, "keys"), &err) < 0) {
		ctl_fail(call, &err);
	} else {
		sub_answer(call, s->id);
	}
}

void ctl_sub_close(struct ctl_call *call)
{
	struct ctl_sub *s = sub_of(call);
	uint64_t id;

	if (s == NULL)
		return;
	id = s->id;
	sub_free(&s);
	sub_answer(call, id);
}
