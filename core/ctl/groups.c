/*
 * Rows are found by a hash with linear probing. The scheduler's groups behind a row are a chain
 * through `next`, one number a group. Ages are summed along the chain for the rows that are shown;
 * only when recipients are counted one by one does a row have ages of its own.
 */
#include "ctl/groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"

#define BACKOFF_LOOKS 256 /* next hops of one row that are asked for their back-off */
#define CHAIN_MAX 4096	  /* groups of one row that are looked at */
#define UNCHAINED (GROUPS_NONE - 1)

struct ages {
	uint32_t n[SCHED_AGES];
};

struct groups {
	struct ctl_env *env;
	enum groups_by by;
	bool single;
	struct group_row *rows;
	size_t n;
	size_t cap;
	uint32_t *hash; /* row + 1; 0: free */
	size_t hash_size;
	uint32_t *next; /* by the scheduler's group: the next one of its row */
	uint32_t next_n;
	char **texts;
	char **replies; /* of rows of texts: one reply; NULL */
	uint32_t texts_n;
	uint32_t texts_cap;
	struct ages *ages; /* of each row, when recipients are counted one by one */
	size_t ages_cap;
};

static const char *const by_names[BY__COUNT] = {
	[BY_DOMAIN] = "domain", [BY_PROVIDER] = "provider",	[BY_STREAM] = "stream",
	[BY_SENDER] = "sender", [BY_CREDENTIAL] = "credential", [BY_CAUSE] = "cause",
};

const char *groups_by_name(enum groups_by by)
{
	ASSERT(by < BY__COUNT);
	return by_names[by];
}

enum groups_by groups_by_find(const char *name)
{
	for (int i = 0; name != NULL && i < BY__COUNT; i++)
		if (strcmp(by_names[i], name) == 0)
			return (enum groups_by)i;
	return BY_DOMAIN;
}

struct groups *groups_new(struct ctl_env *env, enum groups_by by, bool single)
{
	struct groups *g = xcalloc(1, sizeof(*g));

	g->env = env;
	g->by = by;
	/* rows that have very many groups have their ages summed while they are counted */
	g->single = single || by == BY_PROVIDER || by == BY_STREAM;
	return g;
}

void groups_free(struct groups **gp)
{
	struct groups *g = *gp;

	if (g == NULL)
		return;
	for (uint32_t i = 0; i < g->texts_n; i++) {
		free(g->texts[i]);
		free(g->replies[i]);
	}
	free(g->texts);
	free(g->replies);
	free(g->ages);
	free(g->next);
	free(g->hash);
	free(g->rows);
	free(g);
	*gp = NULL;
}

/* ---- rows ---- */

static uint64_t hash_of(uint32_t id, struct str name)
{
	return id != 0 ? (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 20 : str_hash(name);
}

struct str groups_name(const struct groups *g, const struct group_row *r)
{
	return r->id != 0 ? queue_name_text(g->env->queue, r->id) : str_of(g->texts[r->text]);
}

/* Where the row is or would be. */
static size_t slot_of(const struct groups *g, uint32_t id, struct str name)
{
	size_t slot = hash_of(id, name) & (g->hash_size - 1);

	while (g->hash[slot] != 0) {
		const struct group_row *r = &g->rows[g->hash[slot] - 1];
		if (r->id == id && (id != 0 || str_eq(str_of(g->texts[r->text]), name)))
			break;
		slot = (slot + 1) & (g->hash_size - 1);
	}
	return slot;
}

static void grow(struct groups *g)
{
	g->cap = g->cap != 0 ? 2 * g->cap : 64;
	g->rows = xreallocarray(g->rows, g->cap, sizeof(g->rows[0]));
	free(g->hash);
	g->hash_size = 2 * g->cap;
	g->hash = xcalloc(g->hash_size, sizeof(g->hash[0]));
	for (size_t i = 0; i < g->n; i++) {
		const struct group_row *r = &g->rows[i];
		struct str name = r->id != 0 ? STR("") : str_of(g->texts[r->text]);
		g->hash[slot_of(g, r->id, name)] = (uint32_t)i + 1;
	}
}

static uint32_t add_text(struct groups *g, struct str text)
{
	if (g->texts_n == g->texts_cap) {
		g->texts_cap = g->texts_cap != 0 ? 2 * g->texts_cap : 16;
		g->texts = xreallocarray(g->texts, g->texts_cap, sizeof(char *));
		g->replies = xreallocarray(g->replies, g->texts_cap, sizeof(char *));
	}
	g->texts[g->texts_n] = xstrndup(text.n > 0 ? text.p : "", text.n);
	g->replies[g->texts_n] = NULL;
	return g->texts_n++;
}

static struct group_row *row_get(struct groups *g, uint32_t id, struct str name)
{
	size_t slot;

	if (g->n == g->cap)
		grow(g);
	slot = slot_of(g, id, name);
	if (g->hash[slot] != 0)
		return &g->rows[g->hash[slot] - 1];
	if (id == 0 && g->texts_n >= GROUPS_TEXT_MAX)
		return NULL;
	g->rows[g->n] = (struct group_row){ .id = id,
					    .text = id == 0 ? add_text(g, name) : 0,
					    .first = GROUPS_NONE,
					    .last = GROUPS_NONE };
	g->hash[slot] = (uint32_t)++g->n;
	return &g->rows[g->n - 1];
}

size_t groups_n(const struct groups *g)
{
	return g->n;
}

const struct group_row *groups_at(const struct groups *g, size_t i)
{
	return &g->rows[i];
}

const struct group_row *groups_find(const struct groups *g, struct str name)
{
	bool by_id = g->by == BY_DOMAIN || g->by == BY_STREAM;
	uint32_t id = by_id ? queue_name_find(g->env->queue, name) : 0;
	size_t slot;

	if (g->n == 0 || (by_id && id == 0))
		return NULL;
	slot = slot_of(g, id, name);
	return g->hash[slot] != 0 ? &g->rows[g->hash[slot] - 1] : NULL;
}

bool groups_has(const struct groups *g, uint32_t id)
{
	return g->n > 0 && g->hash[slot_of(g, id, STR(""))] != 0;
}

/* ---- counting ---- */

static int64_t earlier(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* A provider that is not known yet is the domain itself. */
static struct str provider_of(const struct groups *g, uint32_t domain)
{
	struct str name = queue_name_text(g->env->queue, domain);
	const char *provider = resolver_provider(g->env->resolver, name);

	return provider != NULL ? str_of(provider) : name;
}

static struct group_row *row_of(struct groups *g, uint32_t domain, uint32_t stream)
{
	if (g->by == BY_PROVIDER)
		return row_get(g, 0, provider_of(g, domain));
	return row_get(g, g->by == BY_STREAM ? stream : domain, STR(""));
}

static void reach(struct groups *g, uint32_t i)
{
	uint32_t n = g->next_n != 0 ? g->next_n : 256;

	if (i < g->next_n)
		return;
	while (n <= i)
		n *= 2;
	g->next = xreallocarray(g->next, n, sizeof(g->next[0]));
	for (uint32_t k = g->next_n; k < n; k++)
		g->next[k] = UNCHAINED;
	g->next_n = n;
}

/* What a row knows of a group beside its numbers; once a group. */
static void chain(struct groups *g, struct group_row *r, uint32_t i,
		  const struct sched_group_view *v)
{
	reach(g, i);
	if (g->next[i] != UNCHAINED)
		return;
	g->next[i] = r->first;
	r->first = i;
	if (v->counts.total > 0) {
		r->open = r->open || v->hold == 0;
		r->hold = v->hold;
	}
	if (v->last_ms > r->last_ms && v->last_class != 0) {
		r->last_ms = v->last_ms;
		r->last_class = v->last_class;
		r->last = i;
	}
	if (v->counts.total > 0)
		r->trouble_ms = earlier(r->trouble_ms, v->trouble_since_ms);
}

static unsigned age_of(int64_t age_ms)
{
	unsigned k = 0;

	for (int64_t limit_ms = INT64_C(5) * 60000; k < SCHED_AGES - 1 && age_ms >= limit_ms;
	     limit_ms *= 2)
		k++;
	return k;
}

static struct ages *ages_of(struct groups *g, const struct group_row *r)
{
	if (g->cap > g->ages_cap) {
		g->ages = xreallocarray(g->ages, g->cap, sizeof(g->ages[0]));
		memset(g->ages + g->ages_cap, 0, (g->cap - g->ages_cap) * sizeof(g->ages[0]));
		g->ages_cap = g->cap;
	}
	return &g->ages[r - g->rows];
}

void groups_add_group(struct groups *g, uint32_t i, const struct sched_group_view *v)
{
	struct group_row *r;

	if (v->counts.total == 0)
		return;
	r = row_of(g, v->domain, v->stream);
	if (r == NULL)
		return;
	r->total += v->counts.total;
	for (int k = 0; k < SCHED_STATE__COUNT; k++)
		r->state[k] += v->counts.state[k];
	r->oldest_ms = earlier(r->oldest_ms, v->oldest_ms);
	r->waiting_ms = earlier(r->waiting_ms, v->waiting_ms);
	r->next_ms = earlier(r->next_ms, v->next_ms);
	chain(g, r, i, v);
	if (g->single)
		for (int k = 0; k < SCHED_AGES; k++)
			ages_of(g, r)->n[k] += (uint32_t)v->ages[k];
}

static struct group_row *cause_row(struct groups *g, const struct sched_view *v)
{
	const char *class = v->reply_class < REPLY_CLASS__COUNT
				    ? reply_class_name((enum reply_class)v->reply_class)
				    : "";
	char text[64] = "not tried yet";
	struct group_row *r;

	if (v->code != 0)
		(void)snprintf(text, sizeof(text), "%s%s%d", class, *class != '\0' ? " " : "",
			       v->code);
	else if (*class != '\0')
		(void)snprintf(text, sizeof(text), "%s", class);
	r = row_get(g, 0, str_of(text));
	if (r != NULL) {
		r->last_class = v->reply_class;
		r->code = v->code;
	}
	return r;
}

static struct group_row *text_row(struct groups *g, const struct queue_entry *e)
{
	struct group_row *r = row_get(g, 0, g->by == BY_SENDER ? e->from : e->credential);

	if (r != NULL && e->reply.n > 0 && g->replies[r->text] == NULL) {
		g->replies[r->text] = xstrndup(e->reply.p, e->reply.n);
		r->last_class = e->reply_class;
	}
	return r;
}

bool groups_add_one(struct groups *g, const struct sched_view *v, const struct queue_entry *e)
{
	int64_t received_ms = msgid_time_ms(rid_msgid(v->rid));
	struct sched_group_view group;
	struct group_row *r;

	if (g->by == BY_CAUSE)
		r = cause_row(g, v);
	else if (g->by == BY_SENDER || g->by == BY_CREDENTIAL)
		r = text_row(g, e);
	else
		r = row_of(g, v->domain, v->stream);
	if (r == NULL)
		return false;
	r->state[v->state]++;
	if (v->state == SCHED_TRASH)
		return true;
	r->total++;
	r->oldest_ms = earlier(r->oldest_ms, received_ms);
	if (v->state == SCHED_DEFERRED)
		r->next_ms = earlier(r->next_ms, v->next_ms);
	ages_of(g, r)->n[age_of(loop_wall_ms(g->env->loop) - received_ms)]++;
	if (g->by <= BY_STREAM) {
		reach(g, v->group);
		if (g->next[v->group] == UNCHAINED && sched_group(g->env->sched, v->group, &group))
			chain(g, r, v->group, &group);
	}
	return true;
}

/* ---- showing ---- */

/* Its connections are kept back, for a reply that says why. */
static bool paused(const struct ctl_env *env, const char *next_hop, struct sched_dest_view *ret)
{
	struct smtpout_hop_view hop;

	if (env->smtpout == NULL || !smtpout_hop(env->smtpout, next_hop, &hop) ||
	    hop.pause_until_ms == 0 || hop.reason[0] == '\0')
		return false;
	*ret = (struct sched_dest_view){ .next_hop = next_hop,
					 .backoff_until_ms = hop.pause_until_ms,
					 .slowed = true,
					 .reply = hop.reason };
	return true;
}

bool groups_backoff(const struct groups *g, const struct group_row *r, struct sched_dest_view *ret)
{
	struct sched_group_view v;
	unsigned looks = 0;
	unsigned n = 0;

	for (uint32_t i = r->first; i != GROUPS_NONE && looks < BACKOFF_LOOKS && n < CHAIN_MAX;
	     i = g->next[i], n++) {
		if (!sched_group(g->env->sched, i, &v) || v.counts.total == 0 ||
		    (v.trouble_since_ms == 0 && v.counts.state[SCHED_DEFERRED] == 0))
			continue;
		looks++;
		if (sched_dest(g->env->sched, v.next_hop, ret) && ret->backoff_until_ms != 0)
			return true;
		if (paused(g->env, v.next_hop, ret))
			return true;
	}
	return false;
}

/* That of the largest group. */
struct str groups_main_stream(const struct groups *g, const struct group_row *r)
{
	struct sched_group_view v;
	struct str name = STR("");
	uint64_t most = 0;

	for (uint32_t i = r->first; i != GROUPS_NONE; i = g->next[i])
		if (sched_group(g->env->sched, i, &v) && v.counts.total > most) {
			most = v.counts.total;
			name = queue_name_text(g->env->queue, v.stream);
		}
	return name;
}

const char *groups_last_reply(const struct groups *g, const struct group_row *r)
{
	struct sched_group_view v;

	if (r->last != GROUPS_NONE) {
		(void)sched_group(g->env->sched, r->last, &v);
		return v.last_reply;
	}
	if (r->id == 0 && g->replies[r->text] != NULL)
		return g->replies[r->text];
	return "";
}

static json_t *ages_json(const struct groups *g, const struct group_row *r)
{
	uint64_t sum[SCHED_AGES] = { 0 };
	struct sched_group_view v;
	json_t *a = json_array();

	if (g->single && (size_t)(r - g->rows) < g->ages_cap)
		for (int k = 0; k < SCHED_AGES; k++)
			sum[k] = g->ages[r - g->rows].n[k];
	else
		for (uint32_t i = r->first; i != GROUPS_NONE; i = g->next[i])
			if (sched_group(g->env->sched, i, &v))
				for (int k = 0; k < SCHED_AGES; k++)
					sum[k] += v.ages[k];
	for (int k = 0; k < SCHED_AGES; k++)
		(void)json_array_append_new(a, json_integer((json_int_t)sum[k]));
	return a;
}

/* A filter that finds the recipients of a cause. */
static json_t *cause_where(const struct group_row *r)
{
	char text[96];
	const char *class = r->last_class < REPLY_CLASS__COUNT
				    ? reply_class_name((enum reply_class)r->last_class)
				    : "";

	if (r->code != 0)
		(void)snprintf(text, sizeof(text), "class:%s code:%d",
			       *class != '\0' ? class : "\"\"", r->code);
	else
		(void)snprintf(text, sizeof(text), "class:%s -code>=200",
			       *class != '\0' ? class : "\"\"");
	return json_string(text);
}

static void set(json_t *o, const char *name, json_t *value_take)
{
	(void)json_object_set_new_nocheck(o, name, value_take);
}

static void set_count(json_t *o, const char *name, uint64_t n)
{
	set(o, name, json_integer((json_int_t)n));
}

json_t *groups_json(const struct groups *g, const struct group_row *r)
{
	struct sched_dest_view dest;
	bool backoff = groups_backoff(g, r, &dest);
	int64_t next_ms = r->next_ms;
	const char *reply = groups_last_reply(g, r);
	json_t *o = json_object();

	if (next_ms == 0 && backoff && r->state[SCHED_DEFERRED] > 0)
		next_ms = dest.backoff_until_ms; /* due, but for the next hop */
	set(o, groups_by_name(g->by), json_text(groups_name(g, r)));
	set_count(o, "total", r->total);
	set_count(o, "ready", r->state[SCHED_READY]);
	set_count(o, "active", r->state[SCHED_ACTIVE]);
	set_count(o, "deferred", r->state[SCHED_DEFERRED]);
	set_count(o, "held", r->state[SCHED_HELD]);
	set(o, "oldest_age_s", env_age(g->env, r->oldest_ms));
	set(o, "next_attempt_s", next_ms != 0 ? env_until(g->env, next_ms) : json_null());
	set(o, "hold", env_hold(g->env, r->open ? 0 : r->hold));
	set(o, "backoff", backoff ? json_text(str_of(dest.reply)) : json_null());
	set(o, "backoff_until_at", backoff ? json_time(dest.backoff_until_ms) : json_null());
	set(o, "class", env_class(r->last_class));
	set(o, "last_reply", json_text_or_null(str_of(reply)));
	set(o, "ages", ages_json(g, r));
	if (g->by == BY_CAUSE)
		set(o, "where", cause_where(r));
	return o;
}
