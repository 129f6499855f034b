/*
 * One recipient seen from three sides: the stored row, the scheduler's record, the rules. What of
 * it filters see and what clients get is put together here and nowhere else.
 */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/env.h"

/* Events of a message as a whole have no domain. */
static struct str name_of(const struct ctl_env *env, uint32_t id)
{
	return id != 0 ? queue_name_text(env->queue, id) : STR("");
}

json_t *env_time(int64_t wall_ms)
{
	return json_time(wall_ms);
}

json_t *env_age(const struct ctl_env *env, int64_t wall_ms)
{
	int64_t age_ms = loop_wall_ms(env->loop) - wall_ms;

	if (wall_ms == 0)
		return json_null();
	return json_integer(age_ms > 0 ? age_ms / 1000 : 0);
}

/* ---- for filters ---- */

static void put_sender(struct filter_row *row, struct str from)
{
	filter_row_text(row, FILTER_FROM, from);
	filter_row_text(row, FILTER_SENDER_DOMAIN, address_text_domain(from));
}

static void put_code(struct filter_row *row, int code)
{
	filter_row_number(row, FILTER_CODE, code != 0 ? code : FILTER_NONE);
}

static void put_class(struct filter_row *row, uint8_t reply_class)
{
	if (reply_class < REPLY_CLASS__COUNT)
		filter_row_text(row, FILTER_CLASS,
				str_of(reply_class_name((enum reply_class)reply_class)));
}

void env_group_row(const struct ctl_env *env, uint32_t domain, uint32_t stream,
		   struct filter_row *ret)
{
	struct str name = name_of(env, domain);
	const char *provider = name.n > 0 ? resolver_provider(env->resolver, name) : NULL;

	*ret = FILTER_ROW_INIT(loop_wall_ms(env->loop));
	filter_row_text(ret, FILTER_DOMAIN, name);
	filter_row_text(ret, FILTER_STREAM, name_of(env, stream));
	filter_row_text(ret, FILTER_RELAY, str_of(env->hostname));
	if (provider != NULL)
		filter_row_text(ret, FILTER_PROVIDER, str_of(provider));
}

void env_view_over(const struct sched_view *v, struct filter_row *row)
{
	filter_row_number(row, FILTER_ID, (int64_t)v->rid.v);
	filter_row_number(row, FILTER_AGE, msgid_time_ms(rid_msgid(v->rid)));
	filter_row_text(row, FILTER_STATE, str_of(sched_state_name(v->state)));
	filter_row_number(row, FILTER_NEXT, v->next_ms);
	filter_row_number(row, FILTER_ATTEMPTS, v->attempts);
	put_code(row, v->code);
	put_class(row, v->reply_class);
}

void env_view_row(const struct ctl_env *env, const struct sched_view *v, struct filter_row *ret)
{
	env_group_row(env, v->domain, v->stream, ret);
	env_view_over(v, ret);
}

static bool is_queued(const struct queue_entry *e)
{
	return e->outcome == OUTCOME_NONE || e->outcome == OUTCOME_DEFERRED;
}

/* A recipient that the scheduler has let go of is in delivery until its result is on disk. */
static const char *state_of(const struct queue_entry *e, const struct sched_view *v)
{
	if (!is_queued(e))
		return outcome_name(e->outcome);
	return sched_state_name(v != NULL ? v->state : SCHED_ACTIVE);
}

void env_filter_row(const struct ctl_env *env, const struct queue_entry *e, struct filter_row *ret)
{
	struct sched_view v;
	bool known = is_queued(e) && sched_find(env->sched, e->rid, &v);

	env_group_row(env, e->domain, e->stream, ret);
	filter_row_number(ret, FILTER_ID, (int64_t)e->rid.v);
	filter_row_text(ret, FILTER_STATE, str_of(state_of(e, known ? &v : NULL)));
	put_sender(ret, e->from);
	filter_row_text(ret, FILTER_TO, e->to);
	filter_row_text(ret, FILTER_SUBJECT, e->subject);
	filter_row_text(ret, FILTER_CREDENTIAL, e->credential);
	filter_row_text(ret, FILTER_CLIENT, e->client);
	filter_row_text(ret, FILTER_MSGID, e->msgid_header);
	put_code(ret, e->code);
	filter_row_text(ret, FILTER_ENHANCED, str_of(e->enhanced));
	put_class(ret, e->reply_class);
	filter_row_text(ret, FILTER_TEXT, e->reply);
	filter_row_number(ret, FILTER_AGE, e->received_ms);
	filter_row_number(ret, FILTER_NEXT,
			  !is_queued(e) ? FILTER_NONE
			  : known	? v.next_ms
					: e->next_ms);
	filter_row_number(ret, FILTER_ATTEMPTS, e->attempts);
	filter_row_number(ret, FILTER_SIZE, (int64_t)e->size);
}

void env_rcpt_row(const struct ctl_env *env, const struct message *m, const struct message_rcpt *r,
		  const struct sched_view *v, struct filter_row *ret)
{
	env_group_row(env, r->domain, m->stream, ret);
	filter_row_number(ret, FILTER_ID, (int64_t)rid_of(m->id, r->n).v);
	put_sender(ret, m->sender);
	filter_row_text(ret, FILTER_TO, r->address);
	filter_row_text(ret, FILTER_SUBJECT, m->subject);
	filter_row_text(ret, FILTER_CREDENTIAL, m->credential);
	filter_row_text(ret, FILTER_CLIENT, m->client);
	filter_row_text(ret, FILTER_MSGID, m->msgid_header);
	filter_row_number(ret, FILTER_AGE, m->received_ms);
	filter_row_number(ret, FILTER_SIZE, (int64_t)m->size);
	filter_row_text(ret, FILTER_STATE,
			str_of(sched_state_name(v != NULL ? v->state : SCHED_READY)));
	filter_row_number(ret, FILTER_NEXT, v != NULL ? v->next_ms : 0);
	filter_row_number(ret, FILTER_ATTEMPTS, v != NULL ? v->attempts : 0);
	put_code(ret, v != NULL ? v->code : 0);
	put_class(ret, v != NULL ? v->reply_class : 0);
	if (v != NULL && v->attempts > 0)
		return; /* the reply is in the store */
	filter_row_text(ret, FILTER_ENHANCED, STR(""));
	filter_row_text(ret, FILTER_TEXT, STR(""));
}

void env_event_row(const struct ctl_env *env, const struct queue_event *e, struct filter_row *ret)
{
	const struct attempt *a = &e->attempt;
	bool received = a->outcome == OUTCOME_RECEIVED;

	env_group_row(env, e->domain, e->stream, ret);
	filter_row_number(ret, FILTER_ID, e->rid.v != 0 ? (int64_t)e->rid.v : FILTER_NONE);
	filter_row_text(
		ret, FILTER_STATE,
		str_of(received ? sched_state_name(SCHED_READY) : outcome_name(a->outcome)));
	put_sender(ret, e->from);
	filter_row_text(ret, FILTER_TO, e->to);
	put_code(ret, a->code);
	filter_row_text(ret, FILTER_ENHANCED, str_of(a->enhanced));
	put_class(ret, a->reply_class);
	filter_row_text(ret, FILTER_TEXT, str_of(a->reply));
	filter_row_number(ret, FILTER_AGE,
			  e->rid.v != 0 ? msgid_time_ms(rid_msgid(e->rid)) : a->at_ms);
}

/* ---- for clients ---- */

json_t *env_class(uint8_t reply_class)
{
	const char *name = reply_class < REPLY_CLASS__COUNT
				   ? reply_class_name((enum reply_class)reply_class)
				   : "";

	return json_text_or_null(str_of(name));
}

json_t *env_hold(const struct ctl_env *env, uint32_t number)
{
	const struct hold *x = number != 0 ? holds_find(env->holds, number) : NULL;

	return x != NULL ? json_string(x->id) : json_null();
}

json_t *env_until(const struct ctl_env *env, int64_t wall_ms)
{
	int64_t left_ms = wall_ms - loop_wall_ms(env->loop);

	/* a second that has begun counts */
	return json_integer(left_ms > 0 ? (left_ms + 999) / 1000 : 0);
}

static json_t *next_attempt(const struct ctl_env *env, const struct queue_entry *e,
			    const struct sched_view *v)
{
	if (!is_queued(e) || v == NULL)
		return json_null();
	if (v->state == SCHED_READY || v->state == SCHED_DEFERRED)
		return env_until(env, v->next_ms);
	return json_null();
}

static void set(json_t *o, const char *name, json_t *value_take)
{
	(void)json_object_set_new_nocheck(o, name, value_take);
}

json_t *env_message_json(const struct ctl_env *env, const struct queue_entry *e)
{
	struct sched_view v;
	bool known = is_queued(e) && sched_find(env->sched, e->rid, &v);
	char id[MSGID_TEXT_LEN];
	char row[RID_TEXT_LEN];
	json_t *o = json_object();

	msgid_text(rid_msgid(e->rid), id);
	rid_text(e->rid, row);
	set(o, "id", json_string(id));
	set(o, "row", json_string(row));
	set(o, "state", json_string(state_of(e, known ? &v : NULL)));
	set(o, "from", json_text(e->from));
	set(o, "to", json_text(e->to));
	set(o, "domain", json_text(name_of(env, e->domain)));
	set(o, "stream", json_text(name_of(env, e->stream)));
	set(o, "size", json_integer((json_int_t)e->size));
	set(o, "age_s", env_age(env, e->received_ms));
	set(o, "attempts", json_integer(known ? v.attempts : e->attempts));
	set(o, "next_attempt_s", next_attempt(env, e, known ? &v : NULL));
	set(o, "last_code", json_integer(e->code));
	set(o, "last_enhanced", json_text_or_null(str_of(e->enhanced)));
	set(o, "class", env_class(e->reply_class));
	set(o, "last_reply", json_text_or_null(e->reply));
	set(o, "subject", json_text_or_null(e->subject));
	set(o, "credential", json_text_or_null(e->credential));
	set(o, "client", json_text_or_null(e->client));
	set(o, "hold", env_hold(env, known ? v.hold : 0));
	return o;
}

/* What belongs to no message has other fields in an attempt's place: see queue.h. */
static void put_note(json_t *o, const struct attempt *a)
{
	struct str message = str_of(a->tls); /* "ID/N" */

	set(o, "id", json_text_or_null(str_cut(&message, '/')));
	set(o, "reply", json_text_or_null(str_of(a->reply)));
	set(o, "source", json_text_or_null(str_of(a->source)));
	set(o, "reason", json_text_or_null(str_of(a->host)));
	set(o, "by", json_text_or_null(str_of(a->ip)));
	set(o, "host", json_null());
	set(o, "ip", json_null());
}

static void put_attempt(json_t *o, const struct queue_event *e)
{
	const struct attempt *a = &e->attempt;
	char id[MSGID_TEXT_LEN];

	msgid_text(rid_msgid(e->rid), id);
	set(o, "id", json_string(id));
	set(o, "reply", json_text_or_null(str_of(a->reply)));
	set(o, "host", json_text_or_null(str_of(a->host)));
	set(o, "ip", json_text_or_null(str_of(a->ip)));
}

json_t *env_event_json(const struct ctl_env *env, const struct queue_event *e)
{
	const struct attempt *a = &e->attempt;
	json_t *o = json_object();

	set(o, "seq", json_integer((json_int_t)e->seq));
	set(o, "at", json_time(a->at_ms));
	set(o, "event", json_string(outcome_name(a->outcome)));
	set(o, "from", json_text(e->from));
	set(o, "to", json_text_or_null(e->to));
	set(o, "domain", json_text_or_null(name_of(env, e->domain)));
	set(o, "stream", json_text_or_null(name_of(env, e->stream)));
	set(o, "code", json_integer(a->code));
	set(o, "enhanced", json_text_or_null(str_of(a->enhanced)));
	set(o, "class", env_class(a->reply_class));
	set(o, "duration_ms", json_integer(a->duration_ms));
	if (e->rid.v == 0)
		put_note(o, a);
	else
		put_attempt(o, e);
	return o;
}

/* ---- rows of given recipients ---- */

struct fetch {
	const struct ctl_env *env;
	env_rows_fn *fn;
	void *arg;
};

static void on_entries(void *arg, const struct queue_entry *rows, size_t n, const struct err *err)
{
	struct fetch *f = arg;
	json_t *out = NULL;

	if (err == NULL) {
		out = json_array();
		for (size_t i = 0; i < n; i++)
			(void)json_array_append_new(out, env_message_json(f->env, &rows[i]));
	}
	f->fn(f->arg, out, err);
	free(f);
}

void env_message_rows(struct ctl_env *env, const struct rid *rids, size_t n, env_rows_fn *fn,
		      void *arg)
{
	struct fetch *f = xcalloc(1, sizeof(*f));

	*f = (struct fetch){ .env = env, .fn = fn, .arg = arg };
	queue_entries(env->queue, rids, n, on_entries, f);
}
