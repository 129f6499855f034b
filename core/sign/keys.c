/*
 * Keys stand in one array in the order of their ids, so that the keys of a domain are neighbours
 * ('/' sorts before all that a domain's name may go on with, but for '-' and '.', which is why the
 * order compares domains first). Changes are rare, look-ups are one binary search a message.
 */
#include "sign/keys.h"

#define ERR_STATE OPENSSL_ERR_STATE
#undef ERR_STATE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "mail/address.h"

#define PEM_MAX ((size_t)16 * 1024)
#define RECORD_MAX ((size_t)4096)
#define ZONE_STRING_MAX 255

static const char *const state_names[KEY_STATE__COUNT] = {
	[KEY_WAITING] = "waiting",
	[KEY_ACTIVE] = "active",
	[KEY_RETIRED] = "retired",
};

const char *key_state_name(enum key_state s)
{
	ASSERT(s < KEY_STATE__COUNT);
	return state_names[s];
}

/* --- private parts ---------------------------------------------------------------------------- */

struct sign_key {
	unsigned refs;
	struct dkim_key *dkim;
};

struct sign_key *sign_key_ref(struct sign_key *k)
{
	k->refs++;
	return k;
}

void sign_key_unref(struct sign_key **kp)
{
	struct sign_key *k = *kp;

	*kp = NULL;
	if (k == NULL || --k->refs > 0)
		return;
	dkim_key_free(&k->dkim);
	free(k);
}

const struct dkim_key *sign_key_dkim(const struct sign_key *k)
{
	return k->dkim;
}

struct secret_part {
	char id[KEY_SECRET_LEN];
	struct sign_key *key;
	unsigned used;	   /* by keys */
	int64_t orphan_ms; /* since when by none */
};

/* In the order of their ids, in which the store gives them, too. */
struct secret_parts {
	struct secret_part *v;
	size_t n;
	size_t cap;
};

struct keys {
	struct key_entry **v;
	size_t n;
	size_t cap;
	size_t empty_n; /* without their private part */
	size_t mute_n;	/* of them, active */
	struct secret_parts *secrets;
	bool beside; /* the private parts are another list's */
};

struct keys *keys_new(void)
{
	struct keys *k = xcalloc(1, sizeof(*k));

	k->secrets = xcalloc(1, sizeof(*k->secrets));
	return k;
}

struct keys *keys_beside(struct keys *k)
{
	struct keys *other = xcalloc(1, sizeof(*other));

	other->secrets = k->secrets;
	other->beside = true;
	return other;
}

static void entry_free(struct key_entry *e)
{
	sign_key_unref(&e->key);
	free(e->record);
	free(e->by);
	free(e);
}

void keys_free(struct keys **kp)
{
	struct keys *k = kp != NULL ? *kp : NULL;

	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		entry_free(k->v[i]);
	for (size_t i = 0; !k->beside && i < k->secrets->n; i++)
		sign_key_unref(&k->secrets->v[i].key);
	if (!k->beside) {
		free(k->secrets->v);
		free(k->secrets);
	}
	free(k->v);
	free(k);
	*kp = NULL;
}

void keys_wipe(char **textp)
{
	if (*textp != NULL)
		explicit_bzero(*textp, strlen(*textp));
	free(*textp);
	*textp = NULL;
}

static void record_id(struct str record, char ret[static KEY_SECRET_LEN])
{
	uint8_t digest[DIGEST_LEN];

	digest_sha256(record, digest);
	digest_hex(digest, ret);
}

/* A digest of the public key: the same key given again is the same secret. */
static bool secret_id(const struct dkim_key *k, char ret[static KEY_SECRET_LEN])
{
	AUTO_BUF record = BUF_INIT(RECORD_MAX);

	if (!dkim_key_record(k, &record))
		return false;
	record_id(buf_str(&record), ret);
	return true;
}

char *keys_secret(const struct dkim_key *k, char ret_id[static KEY_SECRET_LEN])
{
	struct buf pem = BUF_INIT(PEM_MAX);
	char *text = NULL;

	(void)buf_reserve(&pem, PEM_MAX); /* so that no copy stays behind in the heap */
	if (dkim_key_pem(k, &pem) && secret_id(k, ret_id)) {
		json_t *o = json_pack("{s:s}", "pem", buf_cstr(&pem));
		text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
	}
	explicit_bzero(pem.p, pem.n);
	buf_done(&pem);
	return text;
}

/* Where it is, or would be. */
static size_t secret_place(const struct secret_parts *s, const char *id)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (strcmp(s->v[mid].id, id) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static struct secret_part *find_secret(const struct keys *k, const char *id)
{
	size_t i = secret_place(k->secrets, id);

	return i < k->secrets->n && strcmp(k->secrets->v[i].id, id) == 0 ? &k->secrets->v[i] : NULL;
}

static struct secret_part *add_secret(struct secret_parts *s, const char *id)
{
	size_t i = secret_place(s, id);

	if (s->n == s->cap) {
		s->cap = s->cap != 0 ? 2 * s->cap : 16;
		s->v = xreallocarray(s->v, s->cap, sizeof(*s->v));
	}
	memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof(*s->v));
	s->n++;
	return &s->v[i];
}

int keys_put_secret(struct keys *k, const char *id, const char *json, int64_t now_ms,
		    struct err *err)
{
	struct dkim_key *key = NULL;
	struct secret_part *s;
	json_t *o = NULL;
	int rc = json_read(json, &o, err);

	if (rc >= 0 && strlen(id) != KEY_SECRET_LEN - 1)
		rc = err_set(err, ERR_CORRUPT, "a private key has no proper id");
	if (rc >= 0 && dkim_key_parse(str_of(json_get_str(o, "pem")), &key, err) < 0)
		rc = err_set(err, ERR_CORRUPT, "a private key cannot be read");
	json_decref(o);
	if (rc < 0)
		return rc;
	s = find_secret(k, id);
	if (s != NULL) { /* the same key */
		dkim_key_free(&key);
		return 0;
	}
	s = add_secret(k->secrets, id);
	*s = (struct secret_part){ .orphan_ms = now_ms, .key = xcalloc(1, sizeof(*s->key)) };
	(void)snprintf(s->id, sizeof(s->id), "%s", id);
	s->key->refs = 1;
	s->key->dkim = key;
	return 0;
}

bool keys_has_secret(const struct keys *k, const char *id)
{
	return find_secret(k, id) != NULL;
}

void keys_drop_secret(struct keys *k, const char *id)
{
	struct secret_part *s = find_secret(k, id);

	if (s == NULL || s->used > 0)
		return;
	sign_key_unref(&s->key);
	k->secrets->n--;
	memmove(s, s + 1, (size_t)(k->secrets->v + k->secrets->n - s) * sizeof(*s));
}

const char *keys_orphan(const struct keys *k, int64_t before_ms)
{
	for (size_t i = 0; i < k->secrets->n; i++)
		if (k->secrets->v[i].used == 0 && k->secrets->v[i].orphan_ms < before_ms)
			return k->secrets->v[i].id;
	return NULL;
}

int64_t keys_orphan_ms(const struct keys *k)
{
	int64_t first = 0;

	for (size_t i = 0; i < k->secrets->n; i++) {
		const struct secret_part *s = &k->secrets->v[i];
		if (s->used == 0 && (first == 0 || s->orphan_ms < first))
			first = s->orphan_ms;
	}
	return first;
}

/* --- names ------------------------------------------------------------------------------------ */

static bool is_selector(struct str s)
{
	bool label = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (c == '.' ? !label : !alnum && c != '-' && c != '_')
			return false;
		label = c != '.';
	}
	return label && s.n <= KEY_SELECTOR_MAX;
}

static void put_lower(char *to, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		to[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
	to[s.n] = '\0';
}

int keys_name(struct str domain, struct str selector, char ret_id[static KEY_ID_MAX + 1],
	      struct err *err)
{
	char low[KEY_SELECTOR_MAX + 1];

	if (domain.n > KEY_DOMAIN_MAX || !address_domain_valid(domain, 0) ||
	    str_index(domain, '.') < 0)
		return err_param(
			err, ERR_INVALID, "domain",
			"\"%.*s\" is no domain of senders; shop.example would be one (with "
			"xn-- for what is not ASCII)",
			(int)(domain.n < 80 ? domain.n : 80), domain.p);
	if (selector.n <= KEY_SELECTOR_MAX)
		put_lower(low, selector);
	if (selector.n > KEY_SELECTOR_MAX || !is_selector(str_of(low)))
		return err_param(err, ERR_INVALID, "selector",
				 "a selector has letters, digits, '-' and '.', at most %d",
				 KEY_SELECTOR_MAX);
	if (domain.n + selector.n + sizeof("._domainkey.") - 1 > KEY_DOMAIN_MAX)
		return err_param(err, ERR_INVALID, "selector",
				 "the record's name would be longer than names in DNS can be");
	put_lower(ret_id, domain);
	ret_id[domain.n] = '/';
	put_lower(ret_id + domain.n + 1, selector);
	return 0;
}

bool keys_record_name(const char *domain, const char *selector, struct buf *out)
{
	return buf_printf(out, "%s._domainkey.%s", selector, domain);
}

bool keys_zone_txt(const char *name, struct str text, struct buf *out)
{
	bool several = text.n > ZONE_STRING_MAX;

	(void)buf_printf(out, "%s. IN TXT %s", name, several ? "( " : "");
	do {
		size_t n = text.n < ZONE_STRING_MAX ? text.n : ZONE_STRING_MAX;
		(void)buf_putc(out, '"');
		for (size_t i = 0; i < n; i++) {
			if (text.p[i] == '"' || text.p[i] == '\\')
				(void)buf_putc(out, '\\');
			(void)buf_putc(out, text.p[i]);
		}
		(void)buf_puts(out, several ? "\" " : "\"");
		text = str_from(text.p + n, text.n - n);
	} while (text.n > 0);
	return buf_puts(out, several ? ")" : "");
}

/* --- public parts ----------------------------------------------------------------------------- */

#define RECORD_BEGIN "v=DKIM1;"
#define RECORD_ED25519 "k=ed25519"

enum dkim_algorithm keys_algorithm(const struct key_entry *e)
{
	if (e->key != NULL)
		return dkim_key_algorithm(e->key->dkim);
	return strstr(e->record, RECORD_ED25519) != NULL ? DKIM_ED25519 : DKIM_RSA;
}

static json_t *public_json(const char *domain, const char *selector, const char *state,
			   const char *secret, const char *record, const char *by,
			   int64_t created_ms)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I}", "domain", domain, "selector",
			 selector, "state", state, "secret", secret, "public", record, "by",
			 json_text(str_of(by)), "created_ms", (json_int_t)created_ms);
}

json_t *keys_public(struct str domain, struct str selector, const struct dkim_key *k,
		    enum key_state state, const char *by, int64_t created_ms)
{
	AUTO_BUF record = BUF_INIT(RECORD_MAX);
	char id[KEY_ID_MAX + 1], secret[KEY_SECRET_LEN];

	if (keys_name(domain, selector, id, NULL) < 0 || !secret_id(k, secret) ||
	    !dkim_key_record(k, &record))
		return NULL;
	id[domain.n] = '\0';
	return public_json(id, id + domain.n + 1, key_state_name(state), secret, buf_cstr(&record),
			   by, created_ms);
}

static bool is_record(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return s.n <= RECORD_MAX && str_starts(s, STR(RECORD_BEGIN));
}

static bool is_state(const char *text)
{
	for (int s = 0; s < KEY_STATE__COUNT; s++)
		if (strcmp(state_names[s], text) == 0)
			return true;
	return false;
}

int keys_public_read(const char *id, const char *state, const char *record, const char *by,
		     int64_t created_ms, json_t **ret, struct err *err)
{
	struct str selector = str_of(id);
	struct str domain = str_cut(&selector, '/');
	char low[KEY_ID_MAX + 1], secret[KEY_SECRET_LEN];
	int rc = keys_name(domain, selector, low, err);

	if (rc < 0)
		return rc;
	if (!is_state(state))
		return err_param(err, ERR_INVALID, "state",
				 "the state of a key is waiting, active or retired");
	if (!is_record(str_of(record)))
		return err_param(err, ERR_INVALID, "public",
				 "what a key publishes begins with " RECORD_BEGIN);
	record_id(str_of(record), secret);
	low[domain.n] = '\0';
	*ret = public_json(low, low + domain.n + 1, state, secret, record, by, created_ms);
	return 0;
}

json_t *keys_json(const struct key_entry *e)
{
	return public_json(e->domain, e->selector, key_state_name(e->state), e->secret, e->record,
			   e->by, e->created_ms);
}

static int cmp(const char *domain, const char *selector, const struct key_entry *e)
{
	int d = strcmp(domain, e->domain);

	return d != 0 ? d : strcmp(selector, e->selector);
}

/* The place of the first key that does not stand before this one. */
static size_t place(const struct keys *k, const char *domain, const char *selector)
{
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cmp(domain, selector, k->v[mid]) > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One that stood there without its private part was never counted by it, even if that is here now.
 */
static void let_go(struct keys *k, const struct key_entry *e, int64_t now_ms)
{
	struct secret_part *s = e->key != NULL ? find_secret(k, e->secret) : NULL;

	if (s != NULL && --s->used == 0)
		s->orphan_ms = now_ms;
}

static int fill(struct keys *k, const json_t *o, struct key_entry *e, struct err *err)
{
	struct str domain = str_of(json_get_str(o, "domain"));
	struct str selector = str_of(json_get_str(o, "selector"));
	const char *state = json_get_str(o, "state");
	const char *secret = json_get_str(o, "secret");
	struct secret_part *s = find_secret(k, secret);

	if (keys_name(domain, selector, e->id, NULL) < 0)
		return err_set(err, ERR_CORRUPT, "a DKIM key has no proper name");
	if (strlen(secret) != KEY_SECRET_LEN - 1)
		return err_set(err, ERR_CORRUPT, "the DKIM key %s names no private part", e->id);
	for (e->state = 0; e->state < KEY_STATE__COUNT; e->state++)
		if (strcmp(state_names[e->state], state) == 0)
			break;
	if (e->state == KEY_STATE__COUNT)
		return err_set(err, ERR_CORRUPT, "the DKIM key %s has no proper state", e->id);
	put_lower(e->domain, domain);
	put_lower(e->selector, selector);
	memcpy(e->secret, secret, sizeof(e->secret));
	e->record = json_dup_str(o, "public");
	e->by = json_dup_str(o, "by");
	e->created_ms = json_get_int(o, "created_ms");
	if (s == NULL)
		return 0;
	e->key = sign_key_ref(s->key);
	s->used++;
	return 0;
}

static void count(struct keys *k, const struct key_entry *e, int by)
{
	if (e->key != NULL)
		return;
	k->empty_n += (size_t)by;
	if (e->state == KEY_ACTIVE)
		k->mute_n += (size_t)by;
}

int keys_put(struct keys *k, const char *json, int64_t now_ms, struct err *err)
{
	struct key_entry *e = NULL;
	json_t *o = NULL;
	size_t at;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a DKIM key");
	e = xcalloc(1, sizeof(*e));
	rc = fill(k, o, e, err);
	json_decref(o);
	if (rc < 0) {
		entry_free(e);
		return rc;
	}
	at = place(k, e->domain, e->selector);
	if (at < k->n && cmp(e->domain, e->selector, k->v[at]) == 0) {
		e->signed_n = k->v[at]->signed_n;
		e->failed_n = k->v[at]->failed_n;
		e->last_ms = k->v[at]->last_ms;
		count(k, k->v[at], -1);
		count(k, e, 1);
		let_go(k, k->v[at], now_ms);
		entry_free(k->v[at]);
		k->v[at] = e;
		return 0;
	}
	if (k->n >= KEYS_MAX) {
		let_go(k, e, now_ms);
		entry_free(e);
		return err_set(err, ERR_LIMIT, "there are %d DKIM keys already", KEYS_MAX);
	}
	if (k->n == k->cap) {
		k->cap = k->cap != 0 ? 2 * k->cap : 16;
		k->v = xreallocarray(k->v, k->cap, sizeof(struct key_entry *));
	}
	memmove(k->v + at + 1, k->v + at, (k->n - at) * sizeof(struct key_entry *));
	k->v[at] = e;
	k->n++;
	count(k, e, 1);
	return 0;
}

static struct key_entry *find(const struct keys *k, struct str id)
{
	char domain[KEY_ID_MAX + 1];
	char *slash;
	size_t at;

	if (id.n > KEY_ID_MAX || memchr(id.p, '\0', id.n) != NULL)
		return NULL;
	put_lower(domain, id);
	slash = strchr(domain, '/');
	if (slash == NULL)
		return NULL;
	*slash = '\0';
	at = place(k, domain, slash + 1);
	return at < k->n && cmp(domain, slash + 1, k->v[at]) == 0 ? k->v[at] : NULL;
}

const struct key_entry *keys_find(const struct keys *k, struct str id)
{
	return find(k, id);
}

bool keys_drop(struct keys *k, struct str id, int64_t now_ms)
{
	struct key_entry *e = find(k, id);
	size_t at;

	if (e == NULL)
		return false;
	at = place(k, e->domain, e->selector);
	memmove(k->v + at, k->v + at + 1, (k->n - at - 1) * sizeof(struct key_entry *));
	k->n--;
	count(k, e, -1);
	let_go(k, e, now_ms);
	entry_free(e);
	return true;
}

void keys_swap(struct keys *k, struct keys *beside)
{
	const struct keys was = *k;

	k->v = beside->v;
	k->n = beside->n;
	k->cap = beside->cap;
	k->empty_n = beside->empty_n;
	k->mute_n = beside->mute_n;
	beside->v = was.v;
	beside->n = was.n;
	beside->cap = was.cap;
	beside->empty_n = was.empty_n;
	beside->mute_n = was.mute_n;
	for (size_t i = 0; i < beside->n; i++) {
		const struct key_entry *e = beside->v[i];
		struct key_entry *now =
			e->signed_n + e->failed_n > 0 ? find(k, str_of(e->id)) : NULL;
		if (now == NULL)
			continue;
		now->signed_n = e->signed_n;
		now->failed_n = e->failed_n;
		now->last_ms = e->last_ms;
	}
}

bool keys_free_some(struct keys **kp, size_t most, int64_t now_ms)
{
	struct keys *k = *kp;

	ASSERT(k->beside);
	for (; most > 0 && k->n > 0; most--) {
		struct key_entry *e = k->v[--k->n];
		let_go(k, e, now_ms);
		entry_free(e);
	}
	if (k->n > 0)
		return true;
	keys_free(kp);
	return false;
}

size_t keys_n(const struct keys *k)
{
	return k->n;
}

size_t keys_empty_n(const struct keys *k)
{
	return k->empty_n;
}

size_t keys_mute_n(const struct keys *k)
{
	return k->mute_n;
}

const struct key_entry *keys_at(const struct keys *k, size_t i)
{
	ASSERT(i < k->n);
	return k->v[i];
}

size_t keys_of(const struct keys *k, struct str domain, size_t *ret_first)
{
	char low[KEY_DOMAIN_MAX + 1];
	size_t at, n = 0;

	*ret_first = 0;
	if (domain.n > KEY_DOMAIN_MAX || k->n == 0)
		return 0;
	put_lower(low, domain);
	at = place(k, low, "");
	while (at + n < k->n && strcmp(k->v[at + n]->domain, low) == 0)
		n++;
	*ret_first = at;
	return n;
}

void keys_count(struct keys *k, struct str id, bool good, int64_t now_ms)
{
	struct key_entry *e = find(k, id);

	if (e == NULL)
		return;
	if (good)
		e->last_ms = now_ms;
	e->signed_n += good;
	e->failed_n += !good;
}
