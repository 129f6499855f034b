/* alerts - one function a source of trouble; each puts rows of its kinds. */
#include "ctl/alerts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/sinks.h"
#include "ctl/stream_env.h"
#include "net/tls.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define CERTIFICATE_MS (14 * DAY_MS) /* before its end */
#define CREDENTIAL_MS (7 * DAY_MS)   /* before its end, and so long it is told that it ended */
#define AGEING_MS DAY_MS
#define TARGET_MAX 300
#define TEXT_MAX 500
#define NAMED_MAX 3 /* of what one row tells */

enum alert_kind {
#define ALERT(id, ...) A_##id,
#include "ctl/alerts.def"
#undef ALERT
	A__COUNT
};

enum severity { SEV_BAD, SEV_WARN, SEV__COUNT };
static const char *const severities[SEV__COUNT] = { [SEV_BAD] = "bad", [SEV_WARN] = "warn" };

static const struct {
	const char *name;
	enum severity severity;
	const char *command;
	const char *help;
} kinds[A__COUNT] = {
#define ALERT(id, ...) [A_##id] = { __VA_ARGS__ },
#include "ctl/alerts.def"
#undef ALERT
};

struct alert_seen {
	enum alert_kind kind;
	char target[TARGET_MAX];
	int64_t since_ms;
	uint64_t turn;
};

void alerts_forget(struct alerts_seen *s)
{
	free(s->v);
	*s = (struct alerts_seen){ .v = NULL };
}

/* --- a row ------------------------------------------------------------------------------------ */

struct making {
	struct ctl_env *env;
	struct alerts_seen *seen;
	int64_t now_ms;
	json_t *rows;
};

struct alert {
	enum alert_kind kind;
	const char *target; /* "": the relay */
	int64_t since_ms;   /* 0: since it is seen */
	int64_t until_ms;   /* 0: nobody knows */
	int64_t recipients; /* -1: it is not about mail */
	const char *class;
};

static int64_t first_seen(struct making *m, const struct alert *a)
{
	struct alerts_seen *s = m->seen;

	for (size_t i = 0; i < s->n; i++) {
		struct alert_seen *x = &s->v[i];
		if (x->kind != a->kind || strcmp(x->target, a->target) != 0)
			continue;
		x->turn = s->turn;
		return x->since_ms;
	}
	if (s->n == ALERTS_MAX)
		return m->now_ms;
	if (s->v == NULL)
		s->v = xcalloc(ALERTS_MAX, sizeof(*s->v));
	s->v[s->n] = (struct alert_seen){ .kind = a->kind, .since_ms = m->now_ms, .turn = s->turn };
	(void)snprintf(s->v[s->n].target, TARGET_MAX, "%s", a->target);
	return s->v[s->n++].since_ms;
}

static void drop_unseen(struct alerts_seen *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].turn == s->turn)
			s->v[n++] = s->v[i];
	s->n = n;
}

/* "weir pool show %s" */
static json_t *command_of(const struct alert *a)
{
	struct str format = str_of(kinds[a->kind].command);
	struct str head = str_cut(&format, '%');

	return format.n == 0 ? json_text(head) : json_sprintf("%.*s%s", STR_ARG(head), a->target);
}

static void put(struct making *m, const struct alert *a, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void put(struct making *m, const struct alert *a, const char *fmt, ...)
{
	char text[TEXT_MAX];
	int64_t since_ms;
	va_list ap;

	if (json_array_size(m->rows) >= ALERTS_MAX)
		return;
	since_ms = a->since_ms != 0 ? a->since_ms : first_seen(m, a);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(
		m->rows,
		json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "id",
			  *a->target != '\0' ? json_sprintf("%s:%s", kinds[a->kind].name, a->target)
					     : json_string(kinds[a->kind].name),
			  "kind", kinds[a->kind].name, "severity",
			  severities[kinds[a->kind].severity], "target",
			  json_text_or_null(str_of(a->target)), "text", json_text(str_of(text)),
			  "class", json_text_or_null(str_of(a->class != NULL ? a->class : "")),
			  "since_at", json_time(since_ms), "until_at", json_time(a->until_ms),
			  "recipients",
			  a->recipients >= 0 ? json_integer(a->recipients) : json_null(), "command",
			  command_of(a), "meaning", kinds[a->kind].help));
}

#define OF_RELAY(kind_) ((struct alert){ .kind = (kind_), .target = "", .recipients = -1 })

/* --- the store -------------------------------------------------------------------------------- */

static void put_store(struct making *m)
{
	struct queue_figures f;
	struct alert unreadable = OF_RELAY(A_UNREADABLE);
	struct alert damage = OF_RELAY(A_DAMAGE);
	struct alert disk = OF_RELAY(A_DISK);
	char size[FMT_SHORT_LEN];

	queue_figures(m->env->queue, &f);
	unreadable.since_ms = m->env->started_ms;
	if (*f.unreadable != '\0')
		put(m, &unreadable, "of the database could not be read at start: %s", f.unreadable);
	if (f.damaged > 0)
		put(m, &damage, "the content of %" PRIu64 " message%s is damaged; the log names %s",
		    f.damaged, f.damaged == 1 ? "" : "s", f.damaged == 1 ? "it" : "them");
	if (!f.disk_full && !m->env->disk_full)
		return;
	fmt_size(f.free_bytes, size);
	put(m, &disk, "no mail is taken: %s free on the disk of the state directory", size);
}

/* --- destinations ----------------------------------------------------------------------------- */

static void put_destinations(struct making *m, const struct view_attention *a)
{
	struct alert more = OF_RELAY(A_DESTINATIONS);
	size_t named = 0;
	const json_t *row;
	size_t i;

	json_array_foreach(a->rows, i, row)
	{
		const json_t *cause = json_object_get(row, "cause");
		struct alert x = { .kind = A_DESTINATION,
				   .target = json_get_str(row, "domain"),
				   .recipients = json_get_int(row, "total"),
				   .class = json_get_str(cause, "class") };
		const char *text = json_get_str(cause, "text");

		if (named >= a->n || named >= ALERTS_DESTINATIONS)
			break; /* those behind are held: somebody is on it */
		named++;
		(void)fmt_parse_time(str_of(json_get_str(row, "since_at")), &x.since_ms);
		put(m, &x, "%s: %s", x.target,
		    *text != '\0' ? text : "mail waits, and no reply says why");
	}
	if (a->n > named)
		put(m, &more, "%zu more destinations are in trouble", a->n - named);
}

static void put_ageing(struct making *m, const struct view_attention *a)
{
	struct alert x = OF_RELAY(A_AGEING);
	char received[FMT_TIME_LEN];

	if (a->waiting_ms == 0 || m->now_ms - a->waiting_ms <= AGEING_MS)
		return;
	x.since_ms = a->waiting_ms + AGEING_MS;
	x.target = a->waiting_domain;
	fmt_time(a->waiting_ms, received);
	put(m, &x, "the oldest mail that waits came at %s and is for %s", received,
	    *a->waiting_domain != '\0' ? a->waiting_domain : "several domains");
}

/* --- what events go to, and what mail comes from -----------------------------------------------
 */

static void put_sinks(struct making *m)
{
	for (size_t i = 0; i < sinks_n(m->env->sinks); i++) {
		struct alert x = OF_RELAY(A_SINK);
		struct sink_view v;

		sinks_at(m->env->sinks, i, &v);
		if (!v.dead)
			continue;
		x.target = v.name;
		x.since_ms = v.failing_ms;
		put(m, &x, "sink %s takes no events, %" PRIu64 " wait: %s", v.name, v.behind,
		    v.error);
	}
}

static void put_certificate(struct making *m)
{
	struct alert x = OF_RELAY(A_CERTIFICATE);
	char ends[FMT_TIME_LEN];

	if (m->env->tls == NULL)
		return;
	x.until_ms = tls_server_expires_ms(m->env->tls);
	if (x.until_ms - m->now_ms > CERTIFICATE_MS)
		return;
	x.since_ms = x.until_ms > m->now_ms ? x.until_ms - CERTIFICATE_MS : x.until_ms;
	fmt_time(x.until_ms, ends);
	if (x.until_ms > m->now_ms)
		put(m, &x, "the TLS certificate ends at %s", ends);
	else
		put(m, &x, "the TLS certificate ended at %s: clients refuse it", ends);
}

static void put_source(struct making *m, const struct pool *p)
{
	struct alert x = OF_RELAY(A_POOL_SOURCE);
	size_t bad = 0;
	const struct pool_source *first = NULL;

	for (size_t i = 0; i < p->n; i++) {
		if (p->sources[i].bad_until_ms <= m->now_ms || p->sources[i].bad[0] == '\0')
			continue;
		first = first != NULL ? first : &p->sources[i];
		bad++;
	}
	if (first == NULL)
		return;
	x.target = p->id;
	put(m, &x, "pool %s: %zu of %zu addresses cannot be used; %s: %s", p->id, bad, p->n,
	    first->text, first->bad);
}

static void put_pools(struct making *m)
{
	for (size_t i = 0; i < pools_n(m->env->pools); i++) {
		const struct pool *p = pools_at(m->env->pools, i);
		struct alert x = OF_RELAY(A_POOL_CAP);
		const char *user;

		put_source(m, p);
		if (pools_cap(p, m->now_ms) == 0 || pools_has_room(p, m->now_ms) ||
		    pool_user(m->env, p, POOL_OF_ANY, &user) == NULL)
			continue;
		x.target = p->id;
		x.until_ms = pools_next_day_ms(m->now_ms);
		put(m, &x,
		    "pool %s is at its warm-up cap, %u from each address on day %u; the rest "
		    "%s%s",
		    p->id, pools_cap(p, m->now_ms), pools_plan_day(p, m->now_ms),
		    *p->overflow != '\0' ? "leaves from " : "waits for the next day", p->overflow);
	}
}

/* Mail of their domains leaves unsigned, or with one signature less. One row tells of them all: an
 * import from another relay brings all of its keys empty. */
static void put_keys(struct making *m)
{
	struct alert x = OF_RELAY(A_KEY);
	char names[TEXT_MAX] = "";
	size_t n = keys_mute_n(m->env->keys), named = 0;

	for (size_t i = 0; named < n && named < NAMED_MAX && i < keys_n(m->env->keys); i++) {
		const struct key_entry *e = keys_at(m->env->keys, i);

		if (e->state != KEY_ACTIVE || e->key != NULL)
			continue;
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
			       named > 0 ? ", " : "", e->id);
		named++;
	}
	if (n == 1) {
		x.target = names;
		put(m, &x, "the key %s is active and signs nothing: its private part is not here",
		    names);
	} else if (n > named) {
		put(m, &x,
		    "%zu keys are active and sign nothing: their private parts are not here: %s "
		    "and %zu more",
		    n, names, n - named);
	} else if (n > 1) {
		put(m, &x,
		    "%zu keys are active and sign nothing: their private parts are not here: %s", n,
		    names);
	}
}

/* Since the oldest of them came. */
static void put_unread(struct making *m)
{
	struct alert x = OF_RELAY(A_UNREAD);
	size_t n = m->env->unread != NULL ? unread_n(m->env->unread) : 0;

	if (n == 0)
		return;
	for (const struct unread_mail *u = unread_first(m->env->unread); u != NULL;
	     u = unread_next(u))
		x.since_ms = u->at_ms;
	put(m, &x, "%zu mail%s came to the bounce or feedback address and told nothing", n,
	    n == 1 ? "" : "s");
}

/* --- credentials ------------------------------------------------------------------------------ */

static bool ends_soon(const struct making *m, int64_t ends_ms)
{
	return ends_ms != 0 && ends_ms - m->now_ms <= CREDENTIAL_MS &&
	       m->now_ms - ends_ms <= CREDENTIAL_MS;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void put_credential(struct making *m, const struct cred *c)
{
	struct alert x = OF_RELAY(A_CREDENTIAL);
	char ends[FMT_TIME_LEN];

	x.target = c->name;
	x.until_ms = c->expires_ms;
	x.since_ms = c->expires_ms > m->now_ms ? later(c->expires_ms - CREDENTIAL_MS, c->created_ms)
					       : c->expires_ms;
	fmt_time(c->expires_ms, ends);
	put(m, &x, "credential %s %s at %s", c->name, c->expires_ms > m->now_ms ? "ends" : "ended",
	    ends);
}

/* Nobody is locked out by an old secret's end whose clients all have the new one. */
static void put_secret(struct making *m, const struct cred *c)
{
	size_t stragglers = cred_stragglers(c, m->now_ms);
	struct alert x = OF_RELAY(A_SECRET);
	char ends[FMT_TIME_LEN];

	for (size_t i = 0; i + 1 < c->n_secrets; i++) {
		const struct cred_secret *s = &c->secrets[i];
		if (s->expires_ms > m->now_ms && ends_soon(m, s->expires_ms) &&
		    (x.until_ms == 0 || s->expires_ms < x.until_ms)) {
			x.until_ms = s->expires_ms;
			x.since_ms = later(s->expires_ms - CREDENTIAL_MS, s->replaced_ms);
		}
	}
	if (x.until_ms == 0 || stragglers == 0)
		return;
	x.target = c->name;
	fmt_time(x.until_ms, ends);
	put(m, &x, "an old secret of %s ends at %s, and %zu client%s still use%s one", c->name,
	    ends, stragglers, stragglers == 1 ? "" : "s", stragglers == 1 ? "s" : "");
}

static void put_creds(struct making *m)
{
	for (size_t i = 0; i < creds_n(m->env->creds); i++) {
		const struct cred *c = creds_at(m->env->creds, i);

		if (c->revoked_ms != 0 || c->disabled_ms != 0)
			continue;
		if (ends_soon(m, c->expires_ms))
			put_credential(m, c);
		else if (c->n_secrets > 1)
			put_secret(m, c);
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

static int place_of(const json_t *row)
{
	for (int k = 0; k < A__COUNT; k++)
		if (strcmp(kinds[k].name, json_get_str(row, "kind")) == 0)
			return k;
	return A__COUNT;
}

bool alert_is_destination(const json_t *row)
{
	return place_of(row) == A_DESTINATION;
}

const char *alerts_severity(const json_t *rows, size_t i, uint64_t *ret_n)
{
	const json_t *row;
	size_t k;

	*ret_n = 0;
	if (i >= SEV__COUNT)
		return NULL;
	json_array_foreach(rows, k, row)
	{
		int kind = place_of(row);
		*ret_n += kind < A__COUNT && kinds[kind].severity == i;
	}
	return severities[i];
}

/* Into the order of the table; what is of one kind stays as it is. */
static json_t *sorted(json_t *rows_take)
{
	json_t *out = json_array();
	const json_t *row;
	size_t i;

	for (int k = 0; k < A__COUNT; k++)
		json_array_foreach(rows_take, i, row) if (place_of(row) == k)(void)
			json_array_append(out, (json_t *)(uintptr_t)row);
	json_decref(rows_take);
	return out;
}

json_t *alerts_json(struct ctl_env *env, const struct view_attention *a)
{
	struct making m = { .env = env,
			    .seen = view_alerts_seen(env),
			    .now_ms = loop_wall_ms(env->loop),
			    .rows = json_array() };

	m.seen->turn++;
	put_store(&m);
	put_destinations(&m, a);
	put_sinks(&m);
	put_certificate(&m);
	put_pools(&m);
	put_keys(&m);
	put_creds(&m);
	put_unread(&m);
	put_ageing(&m, a);
	drop_unseen(m.seen);
	return sorted(m.rows);
}
