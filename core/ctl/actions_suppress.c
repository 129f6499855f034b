/*
 * Changes of the suppression list. Single entries are objects like others. An import is one object,
 * its number, and entries that have this number: they are stored in chunks first, then the object
 * with the action, and from then on they count. Taking it back drops the object; entries whose
 * import has none are void, now and after a restart.
 *
 * A file comes in pieces as an upload, which is kept for a while, belongs to its account, and holds
 * what an import would make: nothing is read again when it is committed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "ctl/actions_rules.h"
#include "ctl/actions_suppress.h"
#include "ctl/handlers.h"
#include "ctl/views.h"
#include "policy/suppress_csv.h"

#define UPLOAD_MAX 2000000 /* entries of one */
#define SAMPLE 10
#define SHOWN_MAX 120 /* bytes of a wrong line that are shown */

/* --- single entries --------------------------------------------------------------------------- */

static int read_target(const struct ctl_call *call, char address[static ADDRESS_DOMAIN_MAX + 1],
		       const char **ret_scope, struct err *err)
{
	const char *scope = ctl_str(call, "stream");
	int rc = suppress_address(str_of(ctl_str(call, "address")), address, err);

	if (rc < 0) {
		(void)snprintf(err->param, sizeof(err->param), "address");
		return rc;
	}
	if (scope == NULL || strcmp(scope, "all") == 0)
		scope = "";
	if (!suppress_scope_valid(str_of(scope)))
		return err_param(err, ERR_INVALID, "stream", "this is no stream's name");
	*ret_scope = scope;
	return 0;
}

static json_t *new_entry(const struct op *op, const char *address, const char *scope)
{
	const char *reason = ctl_str(op->call, "reason");
	int64_t for_s = ctl_age(op->call, "for_s");
	const struct suppress_entry e = {
		.address = address,
		.scope = scope,
		.source = SUPPRESS_HAND,
		.reason = reason != NULL ? reason : "",
		.by = op->who->user,
		.message = "",
		.reply = "",
		.created_ms = op->at_ms,
		.expires_ms = for_s > 0 ? op->at_ms + for_s * 1000 : 0,
	};

	return suppress_json(&e);
}

static int refuse_known(const struct suppress_entry *e, struct err *err)
{
	char since[FMT_TIME_LEN];

	fmt_time(e->created_ms, since);
	return err_param(err, ERR_EXISTS, "address",
			 "%.260s is on the list already, since %.10s (%s)", e->address, since,
			 suppress_source_name(e->source));
}

void ctl_suppress_add(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	char address[ADDRESS_DOMAIN_MAX + 1], id[SUPPRESS_ID_MAX + 1];
	const struct suppress_entry *e;
	struct err err = ERR_INIT;
	const char *scope = "";
	struct op *op;
	int rc = read_target(call, address, &scope, &err);

	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	suppress_id(address, scope, id);
	op = rule_op(call, id);
	e = suppress_find(env->suppress, address, scope);
	if (e != NULL && suppress_active(env->suppress, e, loop_wall_ms(env->loop)))
		rc = refuse_known(e, &err);
	else if (suppress_n(env->suppress) >= SUPPRESS_MAX)
		rc = err_set(&err, ERR_LIMIT, "the list has %d entries already", SUPPRESS_MAX);
	if (rc >= 0)
		rc = op_lock(op, SUPPRESS_KIND, id, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	if (suppress_is_domain(address))
		rule_warn(op, xasprintf("this is a whole domain: nobody in %s gets mail", address));
	if (*scope != '\0' && streams_find(env->streams, str_of(scope)) == NULL)
		rule_warn(op, xasprintf("there is no stream %s", scope));
	op_object(op, SUPPRESS_KIND, id, object_current(env, SUPPRESS_KIND, id),
		  new_entry(op, address, scope));
	rule_store(op);
}

static int refuse_unknown(const struct suppress *s, const char *address, const char *scope,
			  struct err *err)
{
	const char *domain = strchr(address, '@');
	const struct suppress_entry *e = suppress_after(s, address, "");

	if (suppress_find(s, address, "") != NULL && scope[0] != '\0')
		return err_param(err, ERR_UNKNOWN, "stream",
				 "%.260s is on the list for all mail, not for stream %s", address,
				 scope);
	if (e != NULL && strcmp(e->address, address) == 0 && scope[0] == '\0')
		return err_param(err, ERR_UNKNOWN, "stream",
				 "%.260s is on the list for stream %.64s only: --stream %.64s",
				 address, e->scope, e->scope);
	if (domain != NULL && suppress_find(s, domain + 1, scope) != NULL)
		return err_param(err, ERR_UNKNOWN, "address",
				 "%.260s is not on the list by itself; its domain is: weir "
				 "suppress remove %.255s",
				 address, domain + 1);
	return err_param(err, ERR_UNKNOWN, "address", "%.260s is not on the suppression list",
			 address);
}

void ctl_suppress_remove(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	char address[ADDRESS_DOMAIN_MAX + 1], id[SUPPRESS_ID_MAX + 1];
	struct err err = ERR_INIT;
	const char *scope = "";
	struct op *op;
	int rc = read_target(call, address, &scope, &err);

	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	suppress_id(address, scope, id);
	op = rule_op(call, id);
	if (suppress_find(env->suppress, address, scope) == NULL)
		rc = refuse_unknown(env->suppress, address, scope, &err);
	if (rc >= 0)
		rc = op_lock(op, SUPPRESS_KIND, id, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	op_object(op, SUPPRESS_KIND, id, object_current(env, SUPPRESS_KIND, id), NULL);
	rule_store(op);
}

/* --- uploads ---------------------------------------------------------------------------------- */

struct list_upload {
	struct reaper *reaper; /* frees it */
	char *scope;
	struct suppress_csv csv;
	struct suppress *staged; /* what would be new */
	size_t lines;
	size_t domains;
	size_t already;
	size_t twice;
	size_t unread;
	size_t strangers; /* entries for streams that there are not */
	char *stranger;	  /* the first such stream */
};

static bool free_some(void *content)
{
	struct list_upload *u = content;

	if (suppress_free_some(&u->staged))
		return true;
	free(u->stranger);
	free(u->scope);
	free(u);
	return false;
}

static void content_free(void *content)
{
	struct list_upload *u = content;

	reap(u->reaper, u, free_some);
}

static const struct upload_kind of_list = { .by = "suppress.load", .free = content_free };

static int begin_upload(const struct ctl_call *call, struct upload **ret, struct err *err)
{
	struct ctl_env *env = ctl_env(call);
	const char *scope = ctl_str(call, "stream");
	struct list_upload *u;
	int rc;

	if (scope == NULL || strcmp(scope, "all") == 0)
		scope = "";
	if (!suppress_scope_valid(str_of(scope)))
		return err_param(err, ERR_INVALID, "stream", "this is no stream's name");
	u = xcalloc(1, sizeof(*u));
	u->reaper = env->actions->reaper;
	u->scope = xstrdup(scope);
	u->csv = SUPPRESS_CSV_INIT;
	u->staged = suppress_new();
	rc = upload_new(call, &of_list, u, ret, err);
	if (rc < 0)
		content_free(u);
	return rc;
}

static int stage(struct ctl_env *env, struct list_upload *u, const struct suppress_csv_row *row,
		 struct err *err)
{
	const char *scope = row->scope[0] != '\0' ? row->scope : u->scope;
	int64_t now_ms = loop_wall_ms(env->loop);
	const struct suppress_entry *known = suppress_find(env->suppress, row->address, scope);
	const struct suppress_entry e = { .address = row->address,
					  .scope = scope,
					  .reason = row->reason,
					  .expires_ms = row->expires_ms };

	if (row->expires_ms != 0 && row->expires_ms <= now_ms)
		return err_set(err, ERR_INVALID, "it ended already");
	if (suppress_find(u->staged, row->address, scope) != NULL) {
		u->twice++;
		return 0;
	}
	if (known != NULL && suppress_active(env->suppress, known, now_ms)) {
		u->already++;
		return 0;
	}
	if (suppress_n(u->staged) >= UPLOAD_MAX ||
	    suppress_n(u->staged) + suppress_n(env->suppress) >= SUPPRESS_MAX)
		return err_set(err, ERR_LIMIT, "there is no room for more entries");
	u->domains += suppress_is_domain(row->address);
	if (*scope != '\0' && streams_find(env->streams, str_of(scope)) == NULL) {
		u->strangers++;
		u->stranger = u->stranger != NULL ? u->stranger : xstrdup(scope);
	}
	return suppress_put(u->staged, &e, err);
}

static json_t *wrong_json(size_t line, struct str text, const struct err *err)
{
	AUTO_BUF shown = BUF_INIT(4 * SHOWN_MAX);

	(void)utf8_put_shown(&shown, str_from(text.p, text.n < SHOWN_MAX ? text.n : SHOWN_MAX));
	return json_pack("{s:I, s:o, s:s}", "line", (json_int_t)line, "text",
			 json_text(buf_str(&shown)), "error", err->msg);
}

static json_t *take_lines(struct ctl_env *env, struct list_upload *u, const json_t *lines)
{
	json_t *wrong = json_array();
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		struct str text = str_from(json_string_value(line), json_string_length(line));
		struct suppress_csv_row row;
		struct err err = ERR_INIT;
		int rc = suppress_csv_line(&u->csv, text, &row, &err);

		u->lines++;
		if (rc > 0)
			rc = stage(env, u, &row, &err);
		if (rc >= 0)
			continue;
		u->unread++;
		(void)json_array_append_new(wrong, wrong_json(u->lines, text, &err));
	}
	return wrong;
}

static json_t *sample_json(const struct list_upload *u)
{
	const struct suppress_entry *e = suppress_after(u->staged, NULL, NULL);
	json_t *list = json_array();

	for (int k = 0; k < SAMPLE && e != NULL; k++, e = suppress_next(u->staged, e))
		(void)json_array_append_new(
			list, json_pack("{s:s, s:o, s:o, s:o}", "address", e->address, "stream",
					json_text_or_null(str_of(e->scope)), "reason",
					json_text_or_null(str_of(e->reason)), "expires_at",
					json_time(e->expires_ms)));
	return list;
}

static json_t *upload_warnings(const struct list_upload *u)
{
	if (u->strangers == 0)
		return json_array();
	return json_pack("[o]",
			 json_sprintf("%zu of the new entries %s for a stream that there is "
				      "not, such as %s, and without effect until there is",
				      u->strangers, u->strangers == 1 ? "is" : "are", u->stranger));
}

void ctl_suppress_load(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct upload *up = NULL;
	struct list_upload *u;
	struct err err = ERR_INIT;
	json_t *wrong, *answer;
	int rc = ctl_str(call, "upload") != NULL ? upload_find(call, &of_list, &up, &err)
						 : begin_upload(call, &up, &err);

	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	u = up->content;
	wrong = take_lines(env, u, ctl_json(call, "lines"));
	upload_keep(env->actions, up);
	answer = json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:o}", "upload", up->id,
		"lines", (json_int_t)u->lines, "new", (json_int_t)suppress_n(u->staged), "domains",
		(json_int_t)u->domains, "already", (json_int_t)u->already, "twice",
		(json_int_t)u->twice, "unread", (json_int_t)u->unread, "wrong", wrong, "sample",
		sample_json(u), "undo_window_s", (json_int_t)(env->undo_window_ms / 1000),
		"expires_at", json_time(up->expires_ms));
	(void)json_object_set_new(answer, "warnings", upload_warnings(u));
	if (ctl_bool(call, "drop"))
		upload_close(env->actions, up);
	ctl_reply(call, answer);
}

/* --- imports ---------------------------------------------------------------------------------- */

json_t *suppress_import_json(uint64_t batch)
{
	return json_pack("{s:I}", "batch", (json_int_t)batch);
}

struct import {
	struct list_upload *upload;
	const struct suppress_entry *at; /* next of the staged ones */
	size_t n;
	char *reason;
};

static void import_free(void *more)
{
	struct import *m = more;

	content_free(m->upload);
	free(m->reason);
	free(m);
}

/* What is made of a staged entry. */
static struct suppress_entry made(const struct op *op, const struct suppress_entry *staged)
{
	const struct import *m = op->more;
	struct suppress_entry e = *staged;

	e.source = SUPPRESS_IMPORTED;
	e.reason = e.reason[0] != '\0' ? e.reason : m->reason;
	e.by = op->who->user;
	e.created_ms = op->at_ms;
	e.batch = op->id;
	return e;
}

static bool is_known(const struct op *op, const struct suppress_entry *staged)
{
	const struct suppress *s = op->env->suppress;
	const struct suppress_entry *e = suppress_find(s, staged->address, staged->scope);

	return e != NULL && suppress_active(s, e, op->at_ms);
}

static enum slice step_apply(void *arg)
{
	struct op *op = arg;
	struct import *m = op->more;

	for (int k = 0; k < SLICER_ITEMS && m->at != NULL; k++) {
		struct suppress_entry e = made(op, m->at);
		struct err err = ERR_INIT;

		/* what came on the list meanwhile stays */
		if (!is_known(op, m->at) && suppress_put(op->env->suppress, &e, &err) < 0 &&
		    log_limited("suppress.import"))
			log_error(e.address, "suppress.import", F_STR("error", err.msg));
		m->at = suppress_next(m->upload->staged, m->at);
	}
	return m->at != NULL ? SLICE_MORE : SLICE_END;
}

static void on_applied(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);

	op->env->suppress_generation++;
	op_answer(op);
}

static void import_stored(struct op *op)
{
	struct import *m = op->more;

	suppress_batch_add(op->env->suppress, op->id);
	m->at = suppress_after(m->upload->staged, NULL, NULL);
	slicer_run(&op->slicer, step_apply, on_applied);
}

static void import_chunk(struct op *op);

static void on_chunk(void *arg, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);

	if (err != NULL) { /* what is stored is void, and goes at the next start */
		struct err copy = *err;
		op_fail(op, &copy);
		return;
	}
	import_chunk(op);
}

static void import_commit(struct op *op)
{
	const struct import *m = op->more;
	char id[24];

	(void)snprintf(id, sizeof(id), "%" PRIu64, op->id);
	op_object(op, SUPPRESS_IMPORT, id, NULL, suppress_import_json(op->id));
	op_result(op, 0, 0);
	(void)json_object_set_new(op->result, "entries", json_integer((json_int_t)m->n));
	op_commit(op, import_stored, rule_refused);
}

static void import_chunk(struct op *op)
{
	struct import *m = op->more;
	struct queue_suppress *rows = xcalloc(QUEUE_SUPPRESS_CHUNK, sizeof(*rows));
	char(*ids)[SUPPRESS_ID_MAX + 1] = xcalloc(QUEUE_SUPPRESS_CHUNK, sizeof(*ids));
	size_t n = 0, seen = 0;

	for (; m->at != NULL && seen < QUEUE_SUPPRESS_CHUNK;
	     m->at = suppress_next(m->upload->staged, m->at), seen++) {
		struct suppress_entry e = made(op, m->at);

		if (is_known(op, m->at)) {
			op->skipped++;
			continue;
		}
		suppress_id(e.address, e.scope, ids[n]);
		rows[n] = (struct queue_suppress){ .id = ids[n],
						   .source = suppress_source_name(e.source),
						   .reason = e.reason,
						   .by = e.by,
						   .created_ms = e.created_ms,
						   .expires_ms = e.expires_ms,
						   .batch = e.batch };
		n++;
	}
	m->n += n;
	if (seen > 0)
		queue_suppress_put(op->env->queue, rows, n, on_chunk, op);
	else
		import_commit(op);
	free(rows);
	free(ids);
}

void ctl_suppress_import(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct upload *up = NULL;
	struct list_upload *u = NULL;
	struct err err = ERR_INIT;
	AUTO_FREE char *name = NULL;
	struct import *m;
	struct op *op;
	int rc = upload_find(call, &of_list, &up, &err);

	u = rc >= 0 ? up->content : NULL;
	if (rc >= 0 && suppress_n(u->staged) == 0)
		rc = err_param(&err, ERR_STATE, "upload",
			       "there is nothing in it that is not on "
			       "the list already");
	if (rc < 0) {
		ctl_fail(call, &err);
		return;
	}
	name = xasprintf("%zu entries", suppress_n(u->staged));
	op = rule_op(call, name);
	u = upload_take(env->actions, up);
	m = xcalloc(1, sizeof(*m));
	m->upload = u;
	m->at = suppress_after(u->staged, NULL, NULL);
	m->reason = xstrdup(ctl_str(call, "reason"));
	op->more = m;
	op->more_free = import_free;
	op_begin(op, true);
	import_chunk(op);
}

/* --- at start --------------------------------------------------------------------------------- */

struct loading {
	struct ctl_env *env;
	struct queue_suppress *gone; /* with owned ids */
	size_t gone_n;
	size_t gone_cap;
};

static void load_import(void *arg, const struct queue_object *o)
{
	const struct loading *l = arg;
	uint64_t batch;

	if (str_u64(str_of(o->id), INT64_MAX, &batch))
		suppress_batch_add(l->env->suppress, batch);
}

static void load_gone(struct loading *l, const char *id)
{
	if (l->gone_n == l->gone_cap) {
		l->gone_cap = l->gone_cap == 0 ? 1024 : 2 * l->gone_cap;
		l->gone = xreallocarray(l->gone, l->gone_cap, sizeof(*l->gone));
	}
	l->gone[l->gone_n++] = (struct queue_suppress){ .id = xstrdup(id), .gone = true };
}

static void load_entry(void *arg, const struct queue_suppress *r)
{
	struct loading *l = arg;
	struct suppress *s = l->env->suppress;
	struct str address = STR(""), scope = STR("");
	struct err err = ERR_INIT;

	if (r->batch != 0 && !suppress_batch_has(s, r->batch)) {
		load_gone(l, r->id);
		return;
	}
	if (!suppress_id_parse(str_of(r->id), &address, &scope))
		return;
	AUTO_FREE char *of = xstrndup(scope.p, scope.n);
	struct suppress_entry e = { .address = address.p, /* the id's end */
				    .scope = of,
				    .reason = r->reason,
				    .by = r->by,
				    .message = r->message,
				    .reply = r->reply,
				    .created_ms = r->created_ms,
				    .expires_ms = r->expires_ms,
				    .last_hit_ms = r->last_hit_ms,
				    .hits = r->hits,
				    .batch = r->batch,
				    .watch = r->watch };
	if (!suppress_source_find(r->source, &e.source))
		e.source = SUPPRESS_HAND;
	if (suppress_put(s, &e, &err) < 0 && log_limited("suppress.load"))
		log_error(r->id, "suppress.load", F_STR("error", err.msg));
}

int suppress_load(struct ctl_env *env, struct err *err)
{
	struct loading l = { .env = env };
	int rc = queue_load_objects(env->queue, SUPPRESS_IMPORT, load_import, &l, err);

	if (rc >= 0)
		rc = queue_load_suppress(env->queue, load_entry, &l, err);
	for (size_t at = 0; rc >= 0 && at < l.gone_n; at += QUEUE_SUPPRESS_CHUNK)
		queue_suppress_put(env->queue, l.gone + at,
				   l.gone_n - at < QUEUE_SUPPRESS_CHUNK ? l.gone_n - at
									: QUEUE_SUPPRESS_CHUNK,
				   NULL, NULL);
	for (size_t i = 0; i < l.gone_n; i++)
		free((void *)(uintptr_t)l.gone[i].id);
	free(l.gone);
	return rc;
}
