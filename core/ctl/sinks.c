/*
 * One sink, over and over: read what is behind the cursor (queue_events), make a batch, hand it to
 * its way, note the cursor (queue_commit), again. With nothing to read it waits for sinks_wake().
 *
 *	read -> nothing			idle
 *	read -> batch -> taken -> noted	read again
 *	batch -> refused		wait, read again: the same events, and those that came
 */
#include "ctl/sinks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/sinks_int.h"

#define WAKE_MS 50    /* after an event: others come with it */
#define RETRY_MS 1000 /* doubled with each failure in a row */
#define RETRY_MAX_MS 60000
#define TROUBLE_MS 30000 /* failing for longer is worth an alert */

const char *sink_state_name(enum sink_state s)
{
	static const char *const names[SINK_STATE__COUNT] = {
		[SINK_IDLE] = "idle",
		[SINK_SENDING] = "sending",
		[SINK_FAILING] = "failing",
	};
	ASSERT(s < SINK_STATE__COUNT);
	return names[s];
}

/* NULL when it has none. */
static int read_filter(const struct sink_config *c, struct filter **ret, struct err *err)
{
	struct filter *f = c->filter != NULL ? filter_parse(str_of(c->filter), err) : NULL;
	uint32_t unknown = f != NULL ? filter_uses(f) & ~ENV_EVENT_FIELDS : 0;

	*ret = f;
	if (c->filter != NULL && f == NULL)
		return err_prefix(err, "sink %s: filter", c->name);
	/* what is passed over never comes again, and whose hosts a domain has is known at times */
	if (f != NULL && (filter_uses(f) & 1u << FILTER_PROVIDER) != 0)
		return err_set(err, ERR_CONFIG,
			       "sink %s: filter: the provider is not known of every event; take "
			       "all domains, or name them",
			       c->name);
	for (int k = 0; unknown != 0 && k < FILTER__COUNT; k++)
		if ((unknown & (1u << k)) != 0)
			return err_set(err, ERR_CONFIG,
				       "sink %s: filter: an event has no %s; state, to, domain, "
				       "stream, class and code are such that it has",
				       c->name, filter_field_name((enum filter_field)k));
	return 0;
}

int sink_check(const struct sink_config *c, struct err *err)
{
	struct filter *filter;
	struct sink_url url;
	size_t n = c->secret != NULL ? strlen(c->secret) : 0;
	int rc = read_filter(c, &filter, err);

	filter_free(&filter);
	if (rc < 0)
		return rc;
	if (c->url == NULL)
		return 0;
	if (n < SINK_SECRET_MIN || n > SINK_SECRET_MAX)
		return err_set(err, ERR_CONFIG, "sink %s: the secret has %d to %d bytes", c->name,
			       SINK_SECRET_MIN, SINK_SECRET_MAX);
	if (sink_url_parse(c->url, &url, err) < 0)
		return err_prefix(err, "sink %s", c->name);
	return 0;
}

/* --- around and around ------------------------------------------------------------------------ */

static void read_on(struct sink *s);

static void on_timer(void *arg)
{
	read_on(OBJ(sink, SINK_MAGIC, arg));
}

static void on_noted(void *arg, const struct err *err)
{
	struct sink *s = OBJ(sink, SINK_MAGIC, arg);
	if (err != NULL && log_limited("sink.cursor")) /* sent again after a restart */
		log_warn(s->name, "sink.cursor", F_STR("error", err->msg));
	s->busy = false;
	if (s->cursor < s->all->newest)
		read_on(s);
}

/* The cursor, on disk. */
static void note(struct sink *s)
{
	AUTO_FREE char *json = xasprintf("{\"cursor\":%" PRIu64 "}", s->cursor);
	const struct queue_object o = { .kind = SINK_KIND, .id = s->name, .json = json };
	queue_commit(s->all->env->queue, NULL, &o, 1, on_noted, s);
}

/* Nothing of it was for this sink. */
static void pass_over(struct sink *s)
{
	s->cursor = s->last;
	note(s);
}

void sink_taken(struct sink *s)
{
	if (s->failing_ms != 0)
		log_info(s->name, "sink.recovered", F_U64("failures", s->tries));
	s->failing_ms = 0;
	s->tries = 0;
	s->error[0] = '\0';
	s->sent += s->n;
	s->sent_ms = loop_wall_ms(s->all->env->loop);
	s->cursor = s->last;
	note(s);
}

void sink_refused(struct sink *s, const char *why)
{
	int64_t wait = RETRY_MS;
	for (unsigned k = 0; k < s->tries && wait < RETRY_MAX_MS; k++)
		wait *= 2;
	if (s->failing_ms == 0) {
		s->failing_ms = loop_wall_ms(s->all->env->loop);
		log_info(s->name, "sink.failing", F_STR("error", why));
	}
	s->tries++;
	s->failures++;
	(void)snprintf(s->error, sizeof(s->error), "%s", why);
	s->busy = false;
	buf_reset(&s->body);
	if (!s->all->ended)
		loop_timer_set(s->timer, wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static bool is_for(const struct sink *s, const struct queue_event *e)
{
	struct filter_row row;

	if (s->filter == NULL)
		return true;
	env_event_row(s->all->env, e, &row);
	return filter_eval(s->filter, &row) == FILTER_TRUE;
}

static void put_event(struct sink *s, const struct queue_event *e)
{
	json_t *o = env_event_json(s->all->env, e);
	char *text = json_dumps(o, JSON_COMPACT);
	if (s->url_text != NULL && s->n > 0)
		(void)buf_putc(&s->body, ',');
	(void)buf_puts(&s->body, text);
	if (s->url_text == NULL)
		(void)buf_putc(&s->body, '\n');
	free(text);
	json_decref(o);
}

/* {"relay":…,"sink":…,"events":[…]}, or a line each. */
static void make_batch(struct sink *s, const struct queue_event *rows, size_t n)
{
	buf_reset(&s->body);
	if (s->url_text != NULL)
		(void)buf_printf(&s->body, "{\"relay\":\"%s\",\"sink\":\"%s\",\"events\":[",
				 s->all->env->hostname, s->name);
	s->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_for(s, &rows[i]))
			continue;
		put_event(s, &rows[i]);
		s->top = rows[i].seq;
		s->n++;
	}
	if (s->url_text != NULL)
		(void)buf_puts(&s->body, "]}");
	s->last = rows[n - 1].seq;
}

static void count_missed(struct sink *s, uint64_t first)
{
	if (first <= s->cursor + 1)
		return;
	s->missed += first - s->cursor - 1;
	log_warn(s->name, "sink.missed", F_U64("events", first - s->cursor - 1),
		 F_STR("reason", "the feed does not have them any more"));
}

static void on_read(void *arg, const struct queue_event *rows, size_t n, bool more,
		    const struct err *err)
{
	struct sink *s = OBJ(sink, SINK_MAGIC, arg);
	(void)more;
	if (s->all->ended)
		return;
	if (err != NULL) {
		sink_refused(s, err->msg);
		return;
	}
	if (n == 0) {
		s->busy = false;
		if (s->seen < s->all->newest) /* it came while we looked */
			read_on(s);
		return;
	}
	count_missed(s, rows[0].seq);
	make_batch(s, rows, n);
	if (s->body.full) {
		sink_refused(s, "a batch is larger than a batch may be");
		return;
	}
	s->cursor = rows[0].seq - 1; /* what is missing is counted once */
	if (s->n == 0)
		pass_over(s);
	else if (s->url_text != NULL)
		sink_post(s);
	else
		sink_file(s);
}

static void read_on(struct sink *s)
{
	const struct queue_event_query q = { .after_seq = s->cursor,
					     .ascending = true,
					     .limit = s->batch,
					     .now_ms = loop_wall_ms(s->all->env->loop) };
	if (s->busy || s->all->ended)
		return;
	s->busy = true;
	s->seen = s->all->newest;
	queue_events(s->all->env->queue, &q, on_read, s);
}

void sinks_wake(struct sinks *all, uint64_t seq)
{
	if (all == NULL)
		return;
	if (seq > all->newest)
		all->newest = seq;
	for (size_t i = 0; i < all->n; i++) {
		struct sink *s = &all->v[i];
		if (!s->busy && !loop_timer_pending(s->timer))
			loop_timer_set(s->timer, WAKE_MS);
	}
}

/* --- start ------------------------------------------------------------------------------------ */

/* The newest event: what they may lack. */
static void on_newest(void *arg, const struct queue_event *rows, size_t n, bool more,
		      const struct err *err)
{
	struct sinks *all = arg;
	(void)more;
	if (err != NULL && log_limited("sink.start"))
		log_error(NULL, "sink.start", F_STR("error", err->msg));
	if (n > 0 && rows[0].seq > all->newest)
		all->newest = rows[0].seq;
	for (size_t i = 0; i < all->n; i++)
		read_on(&all->v[i]);
}

void sinks_start(struct sinks *all)
{
	const struct queue_event_query q = { .limit = 1, .now_ms = loop_wall_ms(all->env->loop) };
	if (all->n > 0)
		queue_events(all->env->queue, &q, on_newest, all);
}

static void load_cursor(void *arg, const struct queue_object *o)
{
	struct sinks *all = arg;
	json_t *v = NULL;
	for (size_t i = 0; i < all->n; i++) {
		struct sink *s = &all->v[i];
		if (strcmp(s->name, o->id) != 0 || json_read(o->json, &v, NULL) < 0)
			continue;
		s->cursor = (uint64_t)json_get_int(v, "cursor");
		s->known = true;
		json_decref(v);
	}
}

/* Behind all that was, and stored before anything that comes. */
static void begin_now(struct sink *s)
{
	s->cursor = queue_opened_seq(s->all->env->queue);
	s->busy = true;
	note(s);
}

static char *dup(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

static int sink_init(struct sinks *all, struct sink *s, struct sink_config *c, struct err *err)
{
	struct filter *filter = NULL;
	int rc = sink_check(c, err);
	if (rc >= 0)
		rc = read_filter(c, &filter, err);
	if (rc >= 0 && c->url != NULL)
		rc = sink_url_parse(c->url, &s->url, err);
	*s = (struct sink){ .magic = SINK_MAGIC,
			    .all = all,
			    .name = xstrdup(c->name),
			    .file = dup(c->file),
			    .filter = filter,
			    .filter_text = dup(c->filter),
			    .size = c->size,
			    .keep = c->keep,
			    .url = s->url,
			    .url_text = dup(c->url),
			    .secret = dup(c->secret),
			    .trust = c->trust_take,
			    .batch = c->url != NULL ? c->batch : SINK_BATCH,
			    .timeout_ms = c->timeout_ms,
			    .body = BUF_INIT(SINK_BODY_MAX) };
	c->trust_take = NULL;
	if (s->trust != NULL)
		s->own = https_new(all->env->loop, s->trust);
	s->timer = loop_timer_new(all->env->loop, "sink", on_timer, s);
	return rc;
}

int sinks_new(struct ctl_env *env, const struct tls_client *trust, struct sink_config *cfg,
	      size_t n, struct sinks **ret, struct err *err)
{
	struct sinks *all = xcalloc(1, sizeof(*all));
	int rc = 0;
	all->env = env;
	all->v = xcalloc(n + 1, sizeof(*all->v));
	for (size_t i = 0; i < n && rc >= 0; i++) {
		rc = sink_init(all, &all->v[all->n++], &cfg[i], err);
		if (cfg[i].url != NULL && all->https == NULL)
			all->https = https_new(env->loop, trust);
	}
	if (rc >= 0)
		rc = queue_load_objects(env->queue, SINK_KIND, load_cursor, all, err);
	for (size_t i = 0; i < all->n && rc >= 0; i++)
		if (!all->v[i].known)
			begin_now(&all->v[i]);
	if (rc < 0)
		sinks_free(&all);
	else
		*ret = all;
	return rc;
}

void sinks_free(struct sinks **sp)
{
	struct sinks *all = sp != NULL ? *sp : NULL;
	if (all == NULL)
		return;
	*sp = NULL;
	all->ended = true;
	for (size_t i = 0; i < all->n; i++) {
		struct sink *s = &all->v[i];
		sink_file_leave(s);
		sink_post_leave(s);
		loop_timer_free(&s->timer);
		https_free(&s->own);
		tls_client_free(&s->trust);
		free(s->name);
		free(s->file);
		free(s->url_text);
		filter_free(&s->filter);
		free(s->filter_text);
		if (s->secret != NULL)
			explicit_bzero(s->secret, strlen(s->secret));
		free(s->secret);
		buf_done(&s->body);
		s->magic = 0;
	}
	https_free(&all->https);
	free(all->v);
	free(all);
}

/* --- looking ---------------------------------------------------------------------------------- */

size_t sinks_n(const struct sinks *all)
{
	return all != NULL ? all->n : 0;
}

void sinks_at(const struct sinks *all, size_t i, struct sink_view *ret)
{
	const struct sink *s = &all->v[i];
	*ret = (struct sink_view){ .name = s->name,
				   .state = s->failing_ms != 0 ? SINK_FAILING
					    : s->busy	       ? SINK_SENDING
							       : SINK_IDLE,
				   .cursor = s->cursor,
				   .behind = all->newest > s->cursor ? all->newest - s->cursor : 0,
				   .sent = s->sent,
				   .missed = s->missed,
				   .failures = s->failures,
				   .dead = s->failing_ms != 0 &&
					   loop_wall_ms(all->env->loop) - s->failing_ms >=
						   TROUBLE_MS,
				   .failing_ms = s->failing_ms,
				   .error = s->error };
}

static json_t *sink_json(const struct sinks *all, size_t i)
{
	const struct sink *s = &all->v[i];
	struct sink_view v;
	sinks_at(all, i, &v);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s?}", "name",
			 v.name, "to", s->url_text != NULL ? s->url_text : s->file, "state",
			 sink_state_name(v.state), "cursor", (json_int_t)v.cursor, "behind",
			 (json_int_t)v.behind, "sent", (json_int_t)v.sent, "failures",
			 (json_int_t)v.failures, "missed", (json_int_t)v.missed, "last_at",
			 json_time(s->sent_ms), "failing_at", json_time(s->failing_ms), "error",
			 json_text_or_null(str_of(s->error)), "filter", s->filter_text);
}

json_t *sinks_json(const struct sinks *all)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < sinks_n(all); i++)
		(void)json_array_append_new(rows, sink_json(all, i));
	return rows;
}
