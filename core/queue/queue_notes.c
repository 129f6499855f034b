/*
 * Events that are no attempts: what came on the suppression list and what went from it. Each is
 * made when the change is posted, written in the change's own transaction, and told when that is on
 * disk, so that the feed says neither more nor less than the list. And those whom it refused.
 */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define SCOPE "stream:"

/* "stream:NAME ADDRESS" or "ADDRESS", as the store has it. */
static void read_id(struct queue *q, const char *id, struct note *n)
{
	struct str address = str_of(id);
	const char *at;

	if (str_starts(address, STR(SCOPE))) {
		struct str scope = str_cut(&address, ' ');
		scope = str_from(scope.p + strlen(SCOPE), scope.n - strlen(SCOPE));
		n->stream = queue_name(q, scope);
	}
	n->texts[NOTE_ADDRESS] = xstrndup(address.p, address.n);
	at = strchr(n->texts[NOTE_ADDRESS], '@');
	n->domain = queue_name(q, str_of(at != NULL ? at + 1 : n->texts[NOTE_ADDRESS]));
}

static void put_text(struct note *n, enum note_text which, const char *text)
{
	free(n->texts[which]);
	n->texts[which] = xstrdup(text != NULL ? text : "");
}

static struct note *add(struct notes *ns, enum outcome outcome, int64_t at_ms)
{
	struct note *n;

	ns->v = xreallocarray(ns->v, ns->n + 1, sizeof(*ns->v));
	n = &ns->v[ns->n++];
	*n = (struct note){ .outcome = outcome, .at_ms = at_ms };
	return n;
}

/* What the caller did not say is empty. */
static void complete(struct note *n)
{
	for (int k = 0; k < NOTE__COUNT; k++)
		if (n->texts[k] == NULL)
			n->texts[k] = xstrdup("");
}

/* An entry; a removal has no more of it than its name, so what is known is who and why. */
static void of_entry(struct queue *q, const struct queue_action *a, const struct queue_object *o,
		     const json_t *v, struct notes *ns)
{
	struct note *n = add(ns, v != NULL ? OUTCOME_SUPPRESSED : OUTCOME_UNSUPPRESSED,
			     a != NULL ? a->at_ms : loop_wall_ms(q->loop));

	read_id(q, o->id, n);
	if (v == NULL) {
		put_text(n, NOTE_SOURCE, "hand");
		put_text(n, NOTE_BY, a != NULL ? a->who : "");
		put_text(n, NOTE_REASON, a != NULL ? a->reason : "");
	} else {
		put_text(n, NOTE_SOURCE, json_get_str(v, "source"));
		put_text(n, NOTE_BY, json_get_str(v, "by"));
		put_text(n, NOTE_REASON, json_get_str(v, "reason"));
		put_text(n, NOTE_MESSAGE, json_get_str(v, "message"));
		put_text(n, NOTE_REPLY, json_get_str(v, "reply"));
	}
	complete(n);
}

/* One event for all entries of an import: there may be a hundred thousand. */
static void of_import(struct queue *q, const struct queue_action *a, const struct queue_object *o,
		      struct notes *ns)
{
	bool made = o->json != NULL;
	struct note *n = add(ns, made ? OUTCOME_SUPPRESSED : OUTCOME_UNSUPPRESSED,
			     a != NULL ? a->at_ms : loop_wall_ms(q->loop));
	json_t *result = NULL;

	put_text(n, NOTE_SOURCE, "import");
	put_text(n, NOTE_BY, a != NULL ? a->who : "");
	put_text(n, NOTE_REASON, a != NULL ? a->reason : "");
	if (made && a != NULL && json_read(a->result, &result, NULL) >= 0)
		n->texts[NOTE_REPLY] = xasprintf("import a%s: %lld entries", o->id,
						 (long long)json_get_int(result, "entries"));
	else
		n->texts[NOTE_REPLY] = xasprintf("import a%s taken back", o->id);
	json_decref(result);
	complete(n);
}

void notes_of_commit(struct queue *q, const struct queue_action *a, const struct queue_object *o,
		     size_t n, struct notes *ret)
{
	for (size_t k = 0; k < n; k++) {
		json_t *v = NULL;

		if (strcmp(o[k].kind, QUEUE_SUPPRESS_IMPORT) == 0)
			of_import(q, a, &o[k], ret);
		if (strcmp(o[k].kind, QUEUE_SUPPRESS) != 0)
			continue;
		if (o[k].json != NULL && json_read(o[k].json, &v, NULL) < 0)
			continue;		   /* the writer refuses it */
		if (json_get_int(v, "watch") == 0) /* bounces that are counted suppress nobody */
			of_entry(q, a, &o[k], v, ret);
		json_decref(v);
	}
}

void notes_of_rows(struct queue *q, const struct queue_suppress *rows, size_t n, struct notes *ret)
{
	for (size_t k = 0; k < n; k++) {
		const struct queue_suppress *r = &rows[k];
		struct note *x;

		if (!r->tell)
			continue;
		x = add(ret, r->gone ? OUTCOME_UNSUPPRESSED : OUTCOME_SUPPRESSED,
			loop_wall_ms(q->loop));
		read_id(q, r->id, x);
		put_text(x, NOTE_SOURCE, r->source);
		put_text(x, NOTE_BY, r->by);
		put_text(x, NOTE_REASON, r->reason);
		put_text(x, NOTE_MESSAGE, r->message);
		put_text(x, NOTE_REPLY, r->reply);
		complete(x);
	}
}

void notes_of_event(const struct queue_event *e, struct notes *ret)
{
	const struct attempt *a = &e->attempt;
	struct note *n = add(ret, a->outcome, a->at_ms);

	n->domain = e->domain;
	n->stream = e->stream;
	n->code = (uint16_t)a->code;
	n->reply_class = a->reply_class;
	n->texts[NOTE_ADDRESS] = xstrndup(e->to.p, e->to.n);
	put_text(n, NOTE_REPLY, a->reply);
	put_text(n, NOTE_REASON, a->host);
	put_text(n, NOTE_BY, a->ip);
	put_text(n, NOTE_SOURCE, a->source);
	put_text(n, NOTE_MESSAGE, a->tls);
	put_text(n, NOTE_ENHANCED, a->enhanced);
}

void notes_free(struct notes *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		for (int k = 0; k < NOTE__COUNT; k++)
			free(ns->v[i].texts[k]);
	free(ns->v);
}

/* --- written ---------------------------------------------------------------------------------- */

int notes_apply(struct writer *w, struct notes *ns, struct err *err)
{
	struct db_stmt *s = w->st[W_NOTE];
	int got = 0;

	for (size_t i = 0; i < ns->n && got >= 0; i++) {
		struct note *n = &ns->v[i];
		n->seq = ++w->meta.last_seq;
		db_bind_int(s, 1, (int64_t)n->seq);
		db_bind_int(s, 2, n->at_ms);
		db_bind_int(s, 3, n->outcome);
		db_bind_int(s, 4, n->domain);
		db_bind_int(s, 5, n->stream);
		db_bind_int(s, 6, n->code);
		db_bind_int(s, 7, n->reply_class);
		for (int k = 0; k < NOTE__COUNT; k++)
			db_bind_text(s, 8 + k, str_of(n->texts[k]));
		got = db_run(s, err);
	}
	return got;
}

/* --- told ------------------------------------------------------------------------------------- */

static void give_text(char *to, size_t size, const char *text)
{
	(void)snprintf(to, size, "%s", text);
}

void notes_give(struct queue *q, const struct notes *ns)
{
	for (size_t i = 0; i < ns->n && q->watch != NULL; i++) {
		const struct note *n = &ns->v[i];
		struct queue_event e = { .seq = n->seq,
					 .attempt = { .at_ms = n->at_ms,
						      .outcome = n->outcome,
						      .code = n->code,
						      .reply_class = n->reply_class },
					 .from = STR(""),
					 .to = str_of(n->texts[NOTE_ADDRESS]),
					 .domain = n->domain,
					 .stream = n->stream };
		struct attempt *a = &e.attempt;

		give_text(a->enhanced, sizeof(a->enhanced), n->texts[NOTE_ENHANCED]);
		give_text(a->reply, sizeof(a->reply), n->texts[NOTE_REPLY]);
		give_text(a->host, sizeof(a->host), n->texts[NOTE_REASON]);
		give_text(a->ip, sizeof(a->ip), n->texts[NOTE_BY]);
		give_text(a->source, sizeof(a->source), n->texts[NOTE_SOURCE]);
		give_text(a->tls, sizeof(a->tls), n->texts[NOTE_MESSAGE]);
		q->watch(q->watch_arg, &e);
	}
}
