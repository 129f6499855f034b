/*
 * How config.import goes on: the file is read, and each of its kinds is gone through in loops, a
 * slice at a time, up to one change that is stored like others. Others may edit meanwhile; then
 * what was made so far is stale, and it is refused.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_import.h"
#include "ctl/handlers.h"

#define READ_AT_ONCE 16
#define DROPPED_AT_ONCE 64
#define LOCK_KIND "all" /* two would both find theirs in force */
#define LOCK_ID "objects"

/* --- pieces of a file ------------------------------------------------------------------------- */

static void text_free(void *content)
{
	struct buf *b = content;

	buf_done(b);
	free(b);
}

static const struct upload_kind of_config = { .by = "config.load", .free = text_free };

static int refuse_size(struct err *err)
{
	return err_param(err, ERR_LIMIT, "text", "a configuration has at most %u bytes",
			 PROTO_CONFIG_MAX);
}

static int begin_upload(const struct ctl_call *call, struct upload **ret, struct err *err)
{
	struct buf *b = xmalloc(sizeof(*b));
	int rc;

	*b = BUF_INIT(PROTO_CONFIG_MAX);
	rc = upload_new(call, &of_config, b, ret, err);
	if (rc < 0)
		text_free(b);
	return rc;
}

void ctl_config_load(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *text = ctl_str(call, "text");
	struct upload *u = NULL;
	struct err err = ERR_INIT;
	json_t *answer;
	struct buf *b;
	int rc = ctl_str(call, "upload") != NULL ? upload_find(call, &of_config, &u, &err)
						 : begin_upload(call, &u, &err);

	b = rc >= 0 ? u->content : NULL;
	if (b != NULL && u->planned && text != NULL) {
		(void)err_param(&err, ERR_STATE, "upload",
				"a plan was made of %s, and it stays as it is; without a number "
				"another one is begun",
				u->id);
		b = NULL;
	}
	if (b != NULL && text != NULL && !buf_puts(b, text)) {
		rc = refuse_size(&err);
		upload_close(env->actions, u);
	}
	if (rc < 0 || b == NULL) {
		ctl_fail(call, &err);
		return;
	}
	upload_keep(env->actions, u);
	answer = json_pack("{s:s, s:I, s:o}", "upload", u->id, "bytes", (json_int_t)b->n,
			   "expires_at", json_time(u->expires_ms));
	if (ctl_bool(call, "drop"))
		upload_close(env->actions, u);
	ctl_reply(call, answer);
}

/* All of it, from the upload and the call. A plan leaves the upload, as it is from here on, to its
 * commit. */
static int gather(const struct ctl_call *call, struct importing *im, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	struct upload *u = NULL;
	int rc = 0;

	if (ctl_str(call, "upload") != NULL)
		rc = upload_find(call, &of_config, &u, err);
	if (rc < 0)
		return rc;
	if (u != NULL) {
		(void)buf_put_str(&im->text, buf_str(u->content));
		upload_keep(env->actions, u);
		(void)snprintf(im->upload, sizeof(im->upload), "%s", u->id);
		im->froze = ctl_acting(call) == CTL_PLANNING && !u->planned;
		u->planned = u->planned || im->froze;
	}
	return buf_puts(&im->text, ctl_str(call, "text")) ? 0 : refuse_size(err);
}

static struct upload *upload_of(const struct op *op)
{
	struct upload *u = NULL;

	if (ctl_str(op->call, "upload") != NULL)
		(void)!upload_find(op->call, &of_config, &u, NULL);
	return u;
}

/* There for as long as the plan; without one it is free again. */
static void leave_upload(const struct importing *im)
{
	const struct op *op = im->op;
	struct upload *u = upload_at(op->a, im->upload);

	if (u == NULL)
		return;
	if (op_planned(op) && u->expires_ms < op->plan->expires_ms)
		u->expires_ms = op->plan->expires_ms;
	if (!op_planned(op) && im->froze)
		u->planned = false;
}

static void in_force(struct op *op)
{
	struct upload *u = upload_of(op);

	if (u != NULL)
		upload_close(op->a, u);
	rule_in_force(op);
}

/* --- the loops -------------------------------------------------------------------------------- */

static size_t once(const struct importing *im)
{
	(void)im;
	return 1;
}

static size_t pools_now(const struct importing *im)
{
	return pools_n(im->env->pools);
}

static size_t streams_now(const struct importing *im)
{
	return streams_n(im->env->streams);
}

static size_t routes_now(const struct importing *im)
{
	return routes_n(im->env->routes);
}

static size_t allow_now(const struct importing *im)
{
	return allow_n(im->env->allow);
}

static size_t creds_now(const struct importing *im)
{
	return creds_n(im->env->creds);
}

static size_t keys_now(const struct importing *im)
{
	return keys_n(im->env->keys);
}

struct import_pass {
	enum config_kind kind;
	import_n_fn *n; /* how many; NULL: each object of the file, whose line errors name */
	import_one_fn *one;
	size_t at_once;
	bool last; /* of the file's object */
};
static const struct import_pass passes[] = {
	{ CONFIG_POOL, once, import_pools_begin, 1, false },
	{ CONFIG_POOL, NULL, import_pool_read, 8, false },
	{ CONFIG_POOL, NULL, import_pool_overflow, 64, false },
	{ CONFIG_POOL, NULL, import_pool_put, 8, true },
	{ CONFIG_POOL, pools_now, import_pool_drop, 1, false },
	{ CONFIG_STREAM, once, import_streams_begin, 1, false },
	{ CONFIG_STREAM, NULL, import_stream_read, 8, false },
	{ CONFIG_STREAM, once, import_streams_place, 1, false },
	{ CONFIG_STREAM, NULL, import_stream_put, 8, true },
	{ CONFIG_STREAM, streams_now, import_stream_drop, 1, false },
	{ CONFIG_ROUTE, NULL, import_route_read, 16, false },
	{ CONFIG_ROUTE, once, import_routes_begin, 1, false },
	{ CONFIG_ROUTE, routes_now, import_route_know, 16, false },
	{ CONFIG_ROUTE, NULL, import_route_pair, 16, false },
	{ CONFIG_ROUTE, once, import_routes_again, 1, false },
	{ CONFIG_ROUTE, routes_now, import_route_know, 16, false },
	{ CONFIG_ROUTE, NULL, import_route_pair, 16, false },
	{ CONFIG_ROUTE, once, import_routes_place, 1, false },
	{ CONFIG_ROUTE, NULL, import_route_put, 16, true },
	{ CONFIG_ROUTE, routes_now, import_route_drop, 16, false },
	{ CONFIG_ALLOW, NULL, import_allow_entry, 8, true },
	{ CONFIG_ALLOW, allow_now, import_allow_drop, 32, false },
	{ CONFIG_CRED, once, import_creds_begin, 1, false },
	{ CONFIG_CRED, NULL, import_cred, 4, true },
	{ CONFIG_CRED, once, import_creds_limit, 1, false },
	{ CONFIG_CRED, creds_now, import_cred_revoke, 8, false },
	{ CONFIG_CRED, once, import_creds_end, 1, false },
	{ CONFIG_KEY, NULL, import_key, 16, true },
	{ CONFIG_KEY, keys_now, import_key_drop, 32, false },
};

/* Some of the pass in hand. */
static int run_pass(struct importing *im, struct err *err)
{
	const struct import_pass *p = im->pass;
	bool of_file = p->n == NULL;
	size_t n = of_file ? im->file.count[p->kind] : p->n(im);
	int rc = 0;

	if (!import_contains(im, p->kind))
		n = 0;
	for (size_t end = im->at + p->at_once; rc >= 0 && im->at < end && im->at < n; im->at++) {
		rc = p->one(im, im->at, err);
		if (rc < 0 && of_file)
			rc = config_file_at(import_item(im, p->kind, im->at), err);
		else if (p->last)
			config_file_release(import_item(im, p->kind, im->at));
	}
	if (rc >= 0 && im->at >= n) {
		im->pass++;
		im->at = 0;
	}
	return rc;
}

/* --- from slice to slice ---------------------------------------------------------------------- */

/* Others that are on their way to the disk come first. */
static bool begin(struct importing *im)
{
	struct actions *a = im->op->a;

	if (edits_under_way(im->op) || op_whole(a) != NULL)
		return false;
	im->began = true;
	edit_looks(im->op);
	im->now_ms = loop_wall_ms(a->env->loop);
	im->pass = passes;
	return true;
}

static int check_still(const struct importing *im, struct err *err)
{
	if (ctl_acting(im->op->call) == CTL_PLANNING && ctl_is_gone(im->op->call))
		return err_set(err, ERR_CANCELLED, "nobody waits for the plan any more");
	return im->began ? edit_unchanged(im->op, err) : 0;
}

static enum slice go_on(struct importing *im, struct err *err)
{
	int rc = check_still(im, err);

	if (rc < 0)
		return SLICE_END;
	if (im->reading != NULL) {
		rc = config_file_step(im->reading, READ_AT_ONCE, err);
		if (rc == 0) {
			config_file_end(&im->reading, &im->file);
			buf_done(&im->text);
		}
		return rc < 0 ? SLICE_END : SLICE_MORE;
	}
	if (!im->began && !begin(im))
		return SLICE_WAIT;
	if (im->pass < passes + ARRAY_LEN(passes))
		return run_pass(im, err) < 0 ? SLICE_END : SLICE_MORE;
	return config_file_drop(&im->file, DROPPED_AT_ONCE) ? SLICE_MORE : SLICE_END;
}

static enum slice step(void *arg)
{
	struct op *op = arg;

	return go_on(op->more, &op->err);
}

static void commit(struct op *op)
{
	struct importing *im = op->more;

	import_told(im);
	op_begin(op, true);
	if (op->result == NULL)
		op->result = json_object();
	(void)json_object_set_new(op->result, "added", json_integer((json_int_t)im->added));
	(void)json_object_set_new(op->result, "changed", json_integer((json_int_t)im->changed));
	(void)json_object_set_new(op->result, "removed", json_integer((json_int_t)im->removed));
	rule_store_then(op, in_force);
}

static void on_made(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	const struct importing *im = op->more;
	struct err err = op->err;

	if (err.code == 0 && op->objects == NULL)
		(void)err_set(&err, ERR_STATE, "that is how it is already: %zu objects", im->same);
	if (err.code != 0)
		op_fail(op, &err);
	else
		commit(op);
}

/* --- its end ---------------------------------------------------------------------------------- */

static bool free_some(void *arg)
{
	struct importing *im = arg;

	if (config_file_drop(&im->file, DROPPED_AT_ONCE))
		return true;
	free(im);
	return false;
}

static void importing_free(void *more)
{
	struct importing *im = more;

	leave_upload(im);
	if (im->reading != NULL)
		config_file_end(&im->reading, &im->file);
	if (im->pools != im->env->pools)
		pools_free(&im->pools);
	if (im->streams != im->env->streams)
		streams_free(&im->streams);
	import_pairs_free(&im->pairs);
	buf_done(&im->text);
	buf_done(&im->revoked);
	reap_json(im->op->a->reaper, im->there);
	reap_json(im->op->a->reaper, im->domains);
	reap(im->op->a->reaper, im, free_some);
}

static int lock(struct op *op, struct err *err)
{
	const struct op *other;

	TAILQ_FOREACH (other, &op->a->ops, link)
		if (json_object_get(other->locks, LOCK_KIND ":" LOCK_ID) != NULL)
			return err_set(err, ERR_CONFLICT,
				       "%s is importing a configuration this moment; try again",
				       other->who->user);
	return op_lock(op, LOCK_KIND, LOCK_ID, err);
}

void ctl_config_import(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct importing *im = xcalloc(1, sizeof(*im));
	struct err err = ERR_INIT;
	struct op *op = rule_op(call, "configuration of a file");
	int rc;

	*im = (struct importing){ .op = op,
				  .env = env,
				  .text = BUF_INIT(PROTO_CONFIG_MAX),
				  .pools = env->pools,
				  .streams = env->streams,
				  .there = json_object(),
				  .domains = json_object() };
	op->more = im;
	op->more_free = importing_free;
	rc = lock(op, &err);
	if (rc >= 0)
		rc = gather(call, im, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	im->reading = config_file_begin(buf_str(&im->text));
	slicer_run(&op->slicer, step, on_made);
}
