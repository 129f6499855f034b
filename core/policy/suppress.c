/*
 * A tree of entries; each is one block with its own texts behind it. Reasons, accounts and scopes
 * repeat themselves, so they are interned: a table of texts that are never dropped, bounded by
 * SHARED_MAX, beyond which an entry's texts are its own.
 */
#include "policy/suppress.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"

#define SHARED_MAX 4096
#define SLOTS (2 * SHARED_MAX)
#define FREE_SOME 256

RB_HEAD(suppress_tree, suppress_entry);

struct batch {
	uint64_t id;
	size_t n;
};

struct suppress {
	struct suppress_tree tree;
	size_t n; /* with void ones */
	size_t void_n;
	struct batch *batches; /* in the order of id; those that are dropped are not among them */
	size_t batches_n;
	char *shared[SLOTS];
	size_t shared_n;
	char *at_address; /* the sweep's place; NULL: the beginning */
	char *at_scope;
};

static int entry_cmp(const struct suppress_entry *a, const struct suppress_entry *b)
{
	int d = strcmp(a->address, b->address);
	return d != 0 ? d : strcmp(a->scope, b->scope);
}

RB_GENERATE_INTERNAL(suppress_tree, suppress_entry, link, entry_cmp, static __attribute__((unused)))

static const char *const source_names[SUPPRESS_SOURCE__COUNT] = {
	[SUPPRESS_HAND] = "hand",
	[SUPPRESS_IMPORTED] = "import",
	[SUPPRESS_HARD_BOUNCE] = "hard-bounce",
	[SUPPRESS_BOUNCE] = "bounce",
	[SUPPRESS_COMPLAINT] = "complaint",
};

const char *suppress_source_name(enum suppress_source s)
{
	ASSERT(s < SUPPRESS_SOURCE__COUNT);
	return source_names[s];
}

bool suppress_source_find(const char *name, enum suppress_source *ret)
{
	for (int k = 0; k < SUPPRESS_SOURCE__COUNT; k++) {
		if (strcmp(source_names[k], name) != 0)
			continue;
		*ret = (enum suppress_source)k;
		return true;
	}
	return false;
}

/* --- names ------------------------------------------------------------------------------------ */

static void lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

int suppress_address(struct str text, char ret[static ADDRESS_DOMAIN_MAX + 1], struct err *err)
{
	struct address a;
	struct err why = ERR_INIT;

	text = str_trim(text);
	if (text.n > 2 && text.p[0] == '<' && text.p[text.n - 1] == '>')
		text = str_from(text.p + 1, text.n - 2);
	if (text.n > 0 && text.p[0] == '@')
		text = str_from(text.p + 1, text.n - 1);
	if (text.n == 0)
		return err_set(err, ERR_INVALID, "an address or a domain is missing");
	if (str_index(text, '@') < 0) {
		if (str_index(text, '.') < 0 || !address_domain_canonical(text, ret))
			return err_set(err, ERR_INVALID, "neither an address nor a domain");
		return 0;
	}
	if (address_parse(text, ADDRESS_UTF8, &a, &why) < 0)
		return err_set(err, ERR_INVALID, "no address: %s", why.msg);
	(void)snprintf(ret, ADDRESS_DOMAIN_MAX + 1, "%s", a.text);
	lower(ret);
	return 0;
}

bool suppress_scope_valid(struct str name)
{
	if (name.n > SUPPRESS_SCOPE_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
			return false;
	return true;
}

void suppress_id(const char *address, const char *scope, char ret[static SUPPRESS_ID_MAX + 1])
{
	if (scope[0] == '\0')
		(void)snprintf(ret, SUPPRESS_ID_MAX + 1, "%s", address);
	else
		(void)snprintf(ret, SUPPRESS_ID_MAX + 1, SUPPRESS_SCOPE "%s %s", scope, address);
}

bool suppress_id_parse(struct str id, struct str *ret_address, struct str *ret_scope)
{
	*ret_scope = STR("");
	if (str_starts(id, STR(SUPPRESS_SCOPE))) {
		id = str_from(id.p + sizeof(SUPPRESS_SCOPE) - 1,
			      id.n - (sizeof(SUPPRESS_SCOPE) - 1));
		*ret_scope = str_cut(&id, ' ');
	}
	*ret_address = id;
	return id.n > 0 && id.n <= ADDRESS_DOMAIN_MAX && ret_scope->n <= SUPPRESS_SCOPE_MAX;
}

/* --- the list --------------------------------------------------------------------------------- */

struct suppress *suppress_new(void)
{
	struct suppress *s = xcalloc(1, sizeof(*s));
	RB_INIT(&s->tree);
	return s;
}

static void place_forget(struct suppress *s)
{
	free(s->at_address);
	free(s->at_scope);
	s->at_address = s->at_scope = NULL;
}

void suppress_free(struct suppress **sp)
{
	struct suppress *s = sp != NULL ? *sp : NULL;
	struct suppress_entry *e;
	if (s == NULL)
		return;
	*sp = NULL;
	while ((e = RB_ROOT(&s->tree)) != NULL) {
		RB_REMOVE(suppress_tree, &s->tree, e);
		free(e);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(s->shared[i]);
	place_forget(s);
	free(s->batches);
	free(s);
}

bool suppress_free_some(struct suppress **sp)
{
	struct suppress *s = *sp;
	struct suppress_entry *e;

	for (int k = 0; k < FREE_SOME && (e = RB_ROOT(&s->tree)) != NULL; k++) {
		RB_REMOVE(suppress_tree, &s->tree, e);
		free(e);
	}
	if (!RB_EMPTY(&s->tree))
		return true;
	suppress_free(sp);
	return false;
}

/* The text kept for all, or NULL when there is no room for it. */
static const char *share(struct suppress *s, const char *text)
{
	size_t i = (size_t)(str_hash(str_of(text)) % SLOTS);
	if (text[0] == '\0')
		return "";
	for (; s->shared[i] != NULL; i = (i + 1) % SLOTS)
		if (strcmp(s->shared[i], text) == 0)
			return s->shared[i];
	if (s->shared_n == SHARED_MAX)
		return NULL;
	s->shared_n++;
	return s->shared[i] = xstrdup(text);
}

static struct batch *batch_find(const struct suppress *s, uint64_t id)
{
	size_t lo = 0, hi = s->batches_n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->batches[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->batches_n && s->batches[lo].id == id ? &s->batches[lo] : NULL;
}

static bool is_void(const struct suppress *s, const struct suppress_entry *e)
{
	return e->batch != 0 && batch_find(s, e->batch) == NULL;
}

static void count(struct suppress *s, const struct suppress_entry *e, bool in)
{
	struct batch *b = e->batch != 0 ? batch_find(s, e->batch) : NULL;
	size_t *void_n = e->batch != 0 && b == NULL ? &s->void_n : NULL;
	if (in) {
		s->n++;
		if (b != NULL)
			b->n++;
		if (void_n != NULL)
			(*void_n)++;
	} else {
		s->n--;
		if (b != NULL)
			b->n--;
		if (void_n != NULL)
			(*void_n)--;
	}
}

static void entry_drop(struct suppress *s, struct suppress_entry *e)
{
	RB_REMOVE(suppress_tree, &s->tree, e);
	count(s, e, false);
	free(e);
}

static const char *text_of(const char *s)
{
	return s != NULL ? s : "";
}

/* One block: the entry, then the texts that are its own. */
static struct suppress_entry *entry_new(struct suppress *s, const struct suppress_entry *from)
{
	const char *const texts[] = { text_of(from->address), text_of(from->scope),
				      text_of(from->reason),  text_of(from->by),
				      text_of(from->message), text_of(from->reply) };
	static const bool shares[ARRAY_LEN(texts)] = { false, true, true, true, false, false };
	const char *kept[ARRAY_LEN(texts)];
	size_t sizes[ARRAY_LEN(texts)];
	size_t n = sizeof(*from);
	struct suppress_entry *e;
	char *at;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		kept[i] = texts[i][0] == '\0' ? "" : shares[i] ? share(s, texts[i]) : NULL;
		sizes[i] = kept[i] == NULL ? strlen(texts[i]) + 1 : 0;
		n += sizes[i];
	}
	e = xmalloc(n);
	at = (char *)(e + 1);
	*e = *from;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (kept[i] != NULL)
			continue;
		memcpy(at, texts[i], sizes[i]);
		kept[i] = at;
		at += sizes[i];
	}
	e->address = kept[0];
	e->scope = kept[1];
	e->reason = kept[2];
	e->by = kept[3];
	e->message = kept[4];
	e->reply = kept[5];
	return e;
}

const struct suppress_entry *suppress_find(const struct suppress *s, const char *address,
					   const char *scope)
{
	struct suppress_entry key = { .address = address, .scope = scope };
	struct suppress_tree *tree = (struct suppress_tree *)(uintptr_t)&s->tree;
	const struct suppress_entry *e = RB_FIND(suppress_tree, tree, &key);
	return e != NULL && !is_void(s, e) ? e : NULL;
}

const struct suppress_entry *suppress_by_id(const struct suppress *s, struct str id)
{
	char address[ADDRESS_DOMAIN_MAX + 1], scope[SUPPRESS_SCOPE_MAX + 1];
	struct str a, of;
	if (!suppress_id_parse(id, &a, &of))
		return NULL;
	(void)snprintf(address, sizeof(address), "%.*s", STR_ARG(a));
	(void)snprintf(scope, sizeof(scope), "%.*s", STR_ARG(of));
	return suppress_find(s, address, scope);
}

int suppress_put(struct suppress *s, const struct suppress_entry *from, struct err *err)
{
	struct suppress_entry *old =
		RB_FIND(suppress_tree, &s->tree, (struct suppress_entry *)(uintptr_t)from);
	struct suppress_entry *e;
	if (old == NULL && s->n >= SUPPRESS_MAX)
		return err_set(err, ERR_LIMIT, "the suppression list has %d entries already",
			       SUPPRESS_MAX);
	e = entry_new(s, from);
	if (old != NULL && e->hits == 0) {
		e->hits = old->hits;
		e->last_hit_ms = old->last_hit_ms;
	}
	if (old != NULL)
		entry_drop(s, old);
	RB_INSERT(suppress_tree, &s->tree, e);
	count(s, e, true);
	return 0;
}

bool suppress_drop(struct suppress *s, const char *address, const char *scope)
{
	struct suppress_entry key = { .address = address, .scope = scope };
	struct suppress_entry *e = RB_FIND(suppress_tree, &s->tree, &key);
	if (e == NULL)
		return false;
	entry_drop(s, e);
	return true;
}

/* --- stored ----------------------------------------------------------------------------------- */

int suppress_put_json(struct suppress *s, const char *json, struct err *err)
{
	struct suppress_entry e = { .batch = 0 };
	json_t *o = NULL;
	int rc = json_read(json, &o, err);
	if (rc < 0)
		return rc;
	e.address = json_get_str(o, "address");
	e.scope = json_get_str(o, "scope");
	e.reason = json_get_str(o, "reason");
	e.by = json_get_str(o, "by");
	e.message = json_get_str(o, "message");
	e.reply = json_get_str(o, "reply");
	e.created_ms = json_get_int(o, "created_ms");
	e.expires_ms = json_get_int(o, "expires_ms");
	e.batch = (uint64_t)json_get_int(o, "batch");
	e.watch = (uint32_t)json_get_int(o, "watch");
	if (e.address[0] == '\0' || !suppress_source_find(json_get_str(o, "source"), &e.source))
		rc = err_set(err, ERR_CORRUPT, "a suppression without address or source");
	else
		rc = suppress_put(s, &e, err);
	json_decref(o);
	return rc;
}

static void put_text(json_t *o, const char *name, const char *text)
{
	if (text[0] != '\0')
		(void)json_object_set_new(o, name, json_text(str_of(text)));
}

static void put_int(json_t *o, const char *name, int64_t v)
{
	if (v != 0)
		(void)json_object_set_new(o, name, json_integer((json_int_t)v));
}

json_t *suppress_json(const struct suppress_entry *e)
{
	json_t *o = json_object();
	put_text(o, "address", e->address);
	put_text(o, "scope", e->scope);
	put_text(o, "source", suppress_source_name(e->source));
	put_text(o, "reason", e->reason);
	put_text(o, "by", e->by);
	put_text(o, "message", e->message);
	put_text(o, "reply", e->reply);
	put_int(o, "created_ms", e->created_ms);
	put_int(o, "expires_ms", e->expires_ms);
	put_int(o, "batch", (int64_t)e->batch);
	put_int(o, "watch", e->watch);
	return o;
}

/* --- asked ------------------------------------------------------------------------------------ */

bool suppress_active(const struct suppress *s, const struct suppress_entry *e, int64_t now_ms)
{
	return e->watch == 0 && (e->expires_ms == 0 || e->expires_ms > now_ms) && !is_void(s, e);
}

static struct suppress_entry *look(struct suppress *s, const char *address, const char *scope,
				   int64_t now_ms)
{
	struct suppress_entry key = { .address = address, .scope = scope };
	struct suppress_entry *e = RB_FIND(suppress_tree, &s->tree, &key);
	return e != NULL && suppress_active(s, e, now_ms) ? e : NULL;
}

struct suppress_entry *suppress_check(struct suppress *s, struct str address, struct str stream,
				      int64_t now_ms)
{
	char whole[ADDRESS_DOMAIN_MAX + 1], scope[SUPPRESS_SCOPE_MAX + 1];
	struct suppress_entry *e;
	const char *domain;
	if (s->n == 0 || address.n >= sizeof(whole) || stream.n >= sizeof(scope))
		return NULL;
	(void)snprintf(whole, sizeof(whole), "%.*s", STR_ARG(address));
	(void)snprintf(scope, sizeof(scope), "%.*s", STR_ARG(stream));
	lower(whole);
	domain = strrchr(whole, '@');
	e = look(s, whole, "", now_ms);
	if (e == NULL && scope[0] != '\0')
		e = look(s, whole, scope, now_ms);
	if (e == NULL && domain != NULL)
		e = look(s, domain + 1, "", now_ms);
	if (e == NULL && domain != NULL && scope[0] != '\0')
		e = look(s, domain + 1, scope, now_ms);
	return e;
}

void suppress_hit(struct suppress *s, struct suppress_entry *e, int64_t now_ms)
{
	(void)s;
	e->hits++;
	e->last_hit_ms = now_ms;
	e->dirty = true;
}

/* --- imports ---------------------------------------------------------------------------------- */

bool suppress_batch_has(const struct suppress *s, uint64_t batch)
{
	return batch_find(s, batch) != NULL;
}

size_t suppress_batch_n(const struct suppress *s, uint64_t batch)
{
	const struct batch *b = batch_find(s, batch);
	return b != NULL ? b->n : 0;
}

/* Before its entries. */
void suppress_batch_add(struct suppress *s, uint64_t batch)
{
	size_t i = s->batches_n;
	if (batch_find(s, batch) != NULL)
		return;
	s->batches = xreallocarray(s->batches, s->batches_n + 1, sizeof(*s->batches));
	for (; i > 0 && s->batches[i - 1].id > batch; i--)
		s->batches[i] = s->batches[i - 1];
	s->batches[i] = (struct batch){ .id = batch };
	s->batches_n++;
}

void suppress_batch_drop(struct suppress *s, uint64_t batch)
{
	struct batch *b = batch_find(s, batch);
	if (b == NULL)
		return;
	s->void_n += b->n;
	s->batches_n--;
	memmove(b, b + 1, (size_t)(s->batches + s->batches_n - b) * sizeof(*b));
}

/* --- in order --------------------------------------------------------------------------------- */

size_t suppress_n(const struct suppress *s)
{
	return s->n - s->void_n;
}

const struct suppress_entry *suppress_after(const struct suppress *s, const char *address,
					    const char *scope)
{
	struct suppress_tree *tree = (struct suppress_tree *)(uintptr_t)&s->tree;
	struct suppress_entry key = { .address = address, .scope = scope };
	struct suppress_entry *e;
	if (address == NULL)
		return RB_MIN(suppress_tree, tree);
	e = RB_NFIND(suppress_tree, tree, &key);
	return e != NULL && entry_cmp(e, &key) == 0 ? RB_NEXT(suppress_tree, tree, e) : e;
}

const struct suppress_entry *suppress_next(const struct suppress *s, const struct suppress_entry *e)
{
	(void)s;
	return RB_NEXT(suppress_tree, NULL, (struct suppress_entry *)(uintptr_t)e);
}

bool suppress_sweep(struct suppress *s, size_t max, int64_t now_ms,
		    const struct suppress_sweep_ops *ops, void *arg)
{
	const struct suppress_entry *at = suppress_after(s, s->at_address, s->at_scope);
	for (size_t k = 0; k < max && at != NULL; k++) {
		struct suppress_entry *e = (struct suppress_entry *)(uintptr_t)at;
		at = suppress_next(s, at);
		if (is_void(s, e) || (e->expires_ms != 0 && e->expires_ms <= now_ms)) {
			ops->gone(arg, e);
			entry_drop(s, e);
		} else if (e->dirty) {
			e->dirty = false;
			ops->counted(arg, e);
		}
	}
	place_forget(s);
	if (at == NULL)
		return true;
	/* the next one begins at this entry: the place is the one before */
	at = RB_PREV(suppress_tree, &s->tree, (struct suppress_entry *)(uintptr_t)at);
	if (at != NULL) {
		s->at_address = xstrdup(at->address);
		s->at_scope = xstrdup(at->scope);
	}
	return false;
}
