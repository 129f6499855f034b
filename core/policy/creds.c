/*
 * Credentials stand in an array in the order of their names: they are looked up far more often
 * than changed, and the store gives them in that order.
 */
#include "policy/creds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"

#define GROUP 4
#define GROUPS 7
#define PEPPER_LEN 32

struct creds {
	struct cred **v;
	size_t n;
	size_t cap;
	uint8_t pepper[PEPPER_LEN];
};

struct creds *creds_new(void)
{
	struct creds *c = xcalloc(1, sizeof(*c));

	digest_random(c->pepper, sizeof(c->pepper));
	return c;
}

static void cred_free(struct cred **xp)
{
	struct cred *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	free(x->name);
	free(x->note);
	free(x->by);
	free(x->secrets);
	for (size_t i = 0; i < x->n_senders; i++)
		free(x->senders[i]);
	free(x->senders);
	for (size_t i = 0; i < x->n_streams; i++)
		free(x->streams[i]);
	free(x->streams);
	free(x->networks);
	cred_use_free(&x->use);
	free(x);
}

void creds_free(struct creds **cp)
{
	struct creds *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	*cp = NULL;
	for (size_t i = 0; i < c->n; i++)
		cred_free(&c->v[i]);
	free(c->v);
	secret_wipe(c->pepper, sizeof(c->pepper));
	free(c);
}

/* --- finding ---------------------------------------------------------------------------------- */

static int name_cmp(struct str name, const struct cred *x)
{
	struct str other = str_of(x->name);
	size_t n = name.n < other.n ? name.n : other.n;
	int d = n > 0 ? strncasecmp(name.p, other.p, n) : 0;

	return d != 0 ? d : (name.n > other.n) - (name.n < other.n);
}

/* Where it is, or would be. */
static size_t place_of(const struct creds *c, struct str name, bool *ret_there)
{
	size_t from = 0;
	size_t to = c->n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int d = name_cmp(name, c->v[mid]);
		if (d == 0) {
			*ret_there = true;
			return mid;
		}
		if (d < 0)
			to = mid;
		else
			from = mid + 1;
	}
	*ret_there = false;
	return from;
}

const struct cred *creds_find(const struct creds *c, struct str name)
{
	bool there;
	size_t i = place_of(c, name, &there);

	return there ? c->v[i] : NULL;
}

size_t creds_n(const struct creds *c)
{
	return c->n;
}

const struct cred *creds_at(const struct creds *c, size_t i)
{
	ASSERT(i < c->n);
	return c->v[i];
}

const struct cred_secret *cred_secret_find(const struct cred *x, struct str id)
{
	for (size_t i = 0; i < x->n_secrets; i++)
		if (str_eq(str_of(x->secrets[i].id), id))
			return &x->secrets[i];
	return NULL;
}

/* --- from and to the store -------------------------------------------------------------------- */

static bool read_bytes(const json_t *o, const char *name, uint8_t *ret, size_t n)
{
	AUTO_BUF bytes = BUF_INIT(n + 3);

	if (!base64_read(&bytes, str_of(json_get_str(o, name))) || bytes.n != n)
		return false;
	memcpy(ret, bytes.p, n);
	return true;
}

static json_t *bytes_json(const uint8_t *p, size_t n)
{
	AUTO_BUF text = BUF_INIT(200);

	(void)base64_put(&text, str_from((const char *)p, n));
	return json_string(buf_cstr(&text));
}

static bool read_secrets(const json_t *o, struct cred *x)
{
	const json_t *list = json_object_get(o, "secrets");
	size_t n = json_array_size(list);

	if (n > CRED_SECRETS_MAX)
		return false;
	x->secrets = xcalloc(n + 1, sizeof(*x->secrets));
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(list, i);
		struct cred_secret *s = &x->secrets[x->n_secrets++];
		struct str id = str_of(json_get_str(e, "id"));
		if (id.n == 0 || id.n >= sizeof(s->id) ||
		    !read_bytes(e, "stored_key", s->keys.stored, DIGEST_LEN) ||
		    !read_bytes(e, "server_key", s->keys.server, DIGEST_LEN))
			return false;
		memcpy(s->id, id.p, id.n);
		s->created_ms = json_get_int(e, "created_ms");
		s->expires_ms = json_get_int(e, "expires_ms");
		s->replaced_ms = json_get_int(e, "replaced_ms");
		s->silent_ms = json_get_int(e, "silent_ms");
	}
	return true;
}

static bool read_texts(const json_t *list, char ***ret, size_t *ret_n)
{
	size_t n = json_array_size(list);

	if (n > CRED_BOUNDS_MAX)
		return false;
	*ret = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text == NULL)
			return false;
		(*ret)[(*ret_n)++] = xstrdup(text);
	}
	return true;
}

static bool read_bounds(const json_t *o, struct cred *x)
{
	const json_t *networks = json_object_get(o, "networks");
	size_t n_networks = json_array_size(networks);

	if (n_networks > CRED_BOUNDS_MAX ||
	    !read_texts(json_object_get(o, "senders"), &x->senders, &x->n_senders) ||
	    !read_texts(json_object_get(o, "streams"), &x->streams, &x->n_streams))
		return false;
	x->networks = xcalloc(n_networks + 1, sizeof(*x->networks));
	for (size_t i = 0; i < n_networks; i++) {
		const char *text = json_string_value(json_array_get(networks, i));
		if (text == NULL ||
		    ipnet_parse(str_of(text), &x->networks[x->n_networks++], NULL) < 0)
			return false;
	}
	return true;
}

/* A number of a bound; out of range is damage. */
static bool read_limit(const json_t *o, const char *name, unsigned *ret)
{
	int64_t n = json_get_int(o, name);

	if (n < 0 || n > CRED_LIMIT_TOP)
		return false;
	*ret = (unsigned)n;
	return true;
}

static struct cred *read_cred(const json_t *o)
{
	struct cred *x = xcalloc(1, sizeof(*x));

	x->name = json_dup_str(o, "name");
	x->note = json_dup_str(o, "note");
	x->by = json_dup_str(o, "by");
	x->created_ms = json_get_int(o, "created_ms");
	x->revoked_ms = json_get_int(o, "revoked_ms");
	x->disabled_ms = json_get_int(o, "disabled_ms");
	x->expires_ms = json_get_int(o, "expires_ms");
	if (cred_name_check(str_of(x->name), NULL) < 0 ||
	    json_get_int(o, "iterations") != CRED_ITERATIONS ||
	    !read_bytes(o, "salt", x->salt, sizeof(x->salt)) || !read_secrets(o, x) ||
	    !read_bounds(o, x) || !read_limit(o, "per_minute", &x->per_minute) ||
	    !read_limit(o, "per_day", &x->per_day) ||
	    !read_limit(o, "recipients_max", &x->recipients_max))
		cred_free(&x);
	return x;
}

int creds_put(struct creds *c, const char *json, struct err *err)
{
	json_t *o = NULL;
	struct cred *x;
	bool there;
	size_t i;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a credential");
	x = read_cred(o);
	json_decref(o);
	if (x == NULL)
		return err_set(err, ERR_CORRUPT, "a credential is damaged in the store");
	i = place_of(c, str_of(x->name), &there);
	if (there) {
		x->use = c->v[i]->use;
		c->v[i]->use = NULL;
		cred_free(&c->v[i]);
		c->v[i] = x;
		return 0;
	}
	if (c->n >= CREDS_MAX) {
		cred_free(&x);
		return err_set(err, ERR_LIMIT, "there are at most %d credentials", CREDS_MAX);
	}
	if (c->n == c->cap) {
		c->cap = c->cap != 0 ? 2 * c->cap : 16;
		c->v = xreallocarray(c->v, c->cap, sizeof(struct cred *));
	}
	x->use = xcalloc(1, sizeof(*x->use));
	x->use->dirty = true; /* the store may have that of a former one of this name */
	memmove(c->v + i + 1, c->v + i, (c->n - i) * sizeof(struct cred *));
	c->v[i] = x;
	c->n++;
	return 0;
}

bool creds_drop(struct creds *c, struct str name)
{
	bool there;
	size_t i = place_of(c, name, &there);

	if (!there)
		return false;
	cred_free(&c->v[i]);
	c->n--;
	memmove(c->v + i, c->v + i + 1, (c->n - i) * sizeof(struct cred *));
	return true;
}

/* Both stand in the order of names. */
static void swap_uses(const struct creds *c, const struct creds *was)
{
	size_t k = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct cred *x = c->v[i];
		while (k < was->n && name_cmp(str_of(was->v[k]->name), x) < 0)
			k++;
		if (k < was->n && name_cmp(str_of(was->v[k]->name), x) == 0) {
			struct cred_use *fresh = x->use;
			x->use = was->v[k]->use;
			was->v[k]->use = fresh;
		}
	}
}

void creds_swap(struct creds *c, struct creds *other)
{
	const struct creds was = *c;

	c->v = other->v;
	c->n = other->n;
	c->cap = other->cap;
	other->v = was.v;
	other->n = was.n;
	other->cap = was.cap;
	swap_uses(c, other);
}

bool creds_free_some(struct creds **cp, size_t most)
{
	struct creds *c = *cp;

	for (; most > 0 && c->n > 0; most--)
		cred_free(&c->v[--c->n]);
	if (c->n > 0)
		return true;
	creds_free(cp);
	return false;
}

json_t *cred_secret_json(const struct cred_secret *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "id", s->id, "created_ms",
			 (json_int_t)s->created_ms, "expires_ms", (json_int_t)s->expires_ms,
			 "replaced_ms", (json_int_t)s->replaced_ms, "silent_ms",
			 (json_int_t)s->silent_ms, "stored_key",
			 bytes_json(s->keys.stored, DIGEST_LEN), "server_key",
			 bytes_json(s->keys.server, DIGEST_LEN));
}

static json_t *secrets_json(const struct cred *x)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->n_secrets; i++)
		(void)json_array_append_new(list, cred_secret_json(&x->secrets[i]));
	return list;
}

static json_t *texts_json(char *const *texts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_text(str_of(texts[i])));
	return list;
}

json_t *creds_json(const struct cred *x)
{
	json_t *senders = texts_json(x->senders, x->n_senders);
	json_t *networks = json_array();

	for (size_t i = 0; i < x->n_networks; i++) {
		char text[IPNET_TEXT_LEN];
		ipnet_text(&x->networks[i], text);
		(void)json_array_append_new(networks, json_string(text));
	}
	return json_pack(
		"{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:i, s:o, s:o, s:o, s:I, s:I, s:I, "
		"s:o}",
		"name", x->name, "note", json_text(str_of(x->note)), "by", json_text(str_of(x->by)),
		"created_ms", (json_int_t)x->created_ms, "revoked_ms", (json_int_t)x->revoked_ms,
		"disabled_ms", (json_int_t)x->disabled_ms, "expires_ms", (json_int_t)x->expires_ms,
		"salt", bytes_json(x->salt, sizeof(x->salt)), "iterations", CRED_ITERATIONS,
		"senders", senders, "networks", networks, "streams",
		texts_json(x->streams, x->n_streams), "per_minute", (json_int_t)x->per_minute,
		"per_day", (json_int_t)x->per_day, "recipients_max", (json_int_t)x->recipients_max,
		"secrets", secrets_json(x));
}

/* --- what a credential may ------------------------------------------------------------------- */

int cred_name_check(struct str name, struct err *err)
{
	static const char more[] = ".-_+@";
	bool good = name.n > 0 && name.n <= CRED_NAME_MAX && memchr(more, name.p[0], 5) == NULL;

	for (size_t i = 0; good && i < name.n; i++) {
		char b = name.p[i];
		good = (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') ||
		       memchr(more, b, sizeof(more) - 1) != NULL;
	}
	if (good)
		return 0;
	return err_param(err, ERR_INVALID, "name",
			 "a name has up to %d lower-case letters, digits and .-_+@ and begins with "
			 "a letter or a digit",
			 CRED_NAME_MAX);
}

int cred_sender_read(struct str sender, char ret[static CRED_SENDER_LEN], struct err *err)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct address a;
	bool under = str_starts(sender, STR("*."));
	struct str rest = under ? str_from(sender.p + 2, sender.n - 2) : sender;

	if (str_eq(sender, STR("<>")))
		(void)snprintf(ret, CRED_SENDER_LEN, "<>");
	else if (address_domain_canonical(rest, domain))
		(void)snprintf(ret, CRED_SENDER_LEN, "%s%s", under ? "*." : "", domain);
	/* a star elsewhere would be taken for a wildcard, which it is not */
	else if (!under && str_index(rest, '*') < 0 &&
		 address_parse(rest, ADDRESS_UTF8, &a, NULL) >= 0)
		(void)snprintf(ret, CRED_SENDER_LEN, "%s", a.text);
	else
		return err_param(
			err, ERR_INVALID, "senders",
			"a sender is shop.example, *.shop.example, app@shop.example, or <> "
			"for the null sender");
	return 0;
}

static bool is_past(int64_t expires_ms, int64_t now_ms)
{
	return expires_ms != 0 && expires_ms <= now_ms;
}

const char *cred_objection(const struct cred *x, const struct cred_secret *s, int64_t now_ms)
{
	if (x->revoked_ms != 0)
		return "the credential is revoked";
	if (x->disabled_ms != 0)
		return "the credential is disabled";
	if (is_past(x->expires_ms, now_ms))
		return "the credential is past its end";
	if (is_past(s->expires_ms, now_ms))
		return "the secret is past its end";
	return NULL;
}

bool cred_secret_usable(const struct cred *x, const struct cred_secret *s, int64_t now_ms)
{
	return cred_objection(x, s, now_ms) == NULL;
}

const char *cred_status(const struct cred *x, int64_t now_ms)
{
	if (x->revoked_ms != 0)
		return "revoked";
	if (x->disabled_ms != 0)
		return "disabled";
	for (size_t i = 0; i < x->n_secrets; i++)
		if (cred_secret_usable(x, &x->secrets[i], now_ms))
			return "active";
	return x->n_secrets == 0 && !is_past(x->expires_ms, now_ms) ? "empty" : "expired";
}

/* --- old and new secrets ---------------------------------------------------------------------- */

int64_t cred_silent_end_ms(const struct cred *x, const struct cred_secret *s, int64_t now_ms)
{
	int64_t since = cred_use_of(x->use, str_of(s->id))->last_ms;

	if (s->silent_ms == 0 || s->replaced_ms == 0 || is_past(s->expires_ms, now_ms))
		return 0;
	return (since > s->replaced_ms ? since : s->replaced_ms) + s->silent_ms;
}

bool cred_is_straggler(const struct cred *x, const struct cred_secret *s, const struct cred_user *u)
{
	const struct cred_secret *newest = &x->secrets[x->n_secrets - 1];
	const struct cred_secret_use *use = cred_use_of(x->use, str_of(newest->id));

	if (s == newest)
		return false;
	for (size_t i = 0; i < use->n_users; i++)
		if (ipaddr_eq(&use->users[i].client, &u->client) &&
		    strcmp(use->users[i].helo, u->helo) == 0 && use->users[i].last_ms > u->last_ms)
			return false;
	return true;
}

size_t cred_stragglers(const struct cred *x, int64_t now_ms)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < x->n_secrets; i++) {
		const struct cred_secret *s = &x->secrets[i];
		const struct cred_secret_use *use = cred_use_of(x->use, str_of(s->id));
		for (size_t k = 0; cred_secret_usable(x, s, now_ms) && k < use->n_users; k++)
			n += cred_is_straggler(x, s, &use->users[k]);
	}
	return n;
}

static uint64_t id_number(const char *id)
{
	uint64_t n = 0;

	return *id == 's' && str_u64(str_of(id + 1), INT32_MAX, &n) ? n : 0;
}

void cred_next_id(const struct cred *x, char ret[static CRED_ID_LEN])
{
	uint64_t last = 0;

	for (size_t i = 0; i < x->n_secrets; i++)
		last = id_number(x->secrets[i].id) > last ? id_number(x->secrets[i].id) : last;
	for (size_t i = 0; i < x->use->n_secrets; i++)
		last = id_number(x->use->secrets[i].id) > last ? id_number(x->use->secrets[i].id)
							       : last;
	(void)snprintf(ret, CRED_ID_LEN, "s%u", (unsigned)(last + 1) % 1000000);
}

bool cred_in_networks(const struct cred *x, const struct ipaddr *client)
{
	for (size_t i = 0; i < x->n_networks; i++)
		if (ipnet_has(&x->networks[i], client))
			return true;
	return x->n_networks == 0;
}

static bool sender_fits(struct str rule, const struct address *from)
{
	struct str domain = address_domain(from);

	if (address_is_null(from))
		return str_eq(rule, STR("<>"));
	if (str_starts(rule, STR("*.")))
		return str_ends_nocase(domain, str_from(rule.p + 1, rule.n - 1));
	if (str_index(rule, '@') >= 0)
		return str_eq_nocase(rule, address_str(from));
	return str_eq_nocase(rule, domain);
}

bool cred_in_streams(const struct cred *x, struct str stream)
{
	for (size_t i = 0; i < x->n_streams; i++)
		if (str_eq(str_of(x->streams[i]), stream))
			return true;
	return x->n_streams == 0;
}

bool cred_may_send(const struct cred *x, const struct address *from)
{
	for (size_t i = 0; i < x->n_senders; i++)
		if (sender_fits(str_of(x->senders[i]), from))
			return true;
	return x->n_senders == 0;
}

/* --- what is counted -------------------------------------------------------------------------- */

static struct cred *find(struct creds *c, struct str name)
{
	bool there;
	size_t i = place_of(c, name, &there);

	return there ? c->v[i] : NULL;
}

void creds_note(struct creds *c, struct str name, const struct cred_sight *s, int64_t now_ms)
{
	struct cred *x = find(c, name);

	if (x != NULL && cred_secret_find(x, s->secret) != NULL)
		cred_use_note(x->use, s, now_ms);
}

bool creds_day_take(struct creds *c, struct str name, int64_t now_ms)
{
	struct cred *x = find(c, name);

	return x == NULL || cred_use_day_take(x->use, x->per_day, now_ms);
}

void creds_day_give(struct creds *c, struct str name, int64_t now_ms)
{
	struct cred *x = find(c, name);

	if (x != NULL)
		cred_use_day_give(x->use, now_ms);
}

bool creds_put_use(struct creds *c, struct str name, const json_t *o)
{
	struct cred *x = find(c, name);

	return x != NULL && cred_use_read(x->use, o);
}

void creds_day_again(struct creds *c, struct str name, int64_t received_ms, int64_t now_ms)
{
	struct cred *x = find(c, name);

	if (x != NULL && received_ms > x->use->at_ms)
		(void)cred_use_day_take(x->use, 0, now_ms);
}

const struct cred *creds_dirty(struct creds *c, struct str behind)
{
	bool there;
	size_t i = place_of(c, behind, &there);

	for (i += there; i < c->n; i++) {
		struct cred *x = c->v[i];
		if (!x->use->dirty)
			continue;
		x->use->dirty = false;
		return x;
	}
	return NULL;
}

void creds_dirty_again(struct creds *c, struct str name)
{
	struct cred *x = find(c, name);

	if (x != NULL)
		x->use->dirty = true;
}

/* --- secrets ---------------------------------------------------------------------------------- */

int cred_given_check(struct str secret, struct err *err)
{
	bool good = secret.n >= CRED_GIVEN_MIN && secret.n <= CRED_GIVEN_MAX;

	/* others would have to be prepared (RFC 4013) by both sides alike, which few do */
	for (size_t i = 0; good && i < secret.n; i++)
		good = secret.p[i] > ' ' && secret.p[i] < 127;
	if (good)
		return 0;
	return err_param(err, ERR_INVALID, "secret",
			 "a secret has %d to %d characters of ASCII, no spaces; without one, the "
			 "relay makes a good one",
			 CRED_GIVEN_MIN, CRED_GIVEN_MAX);
}

void cred_secret_make(char ret[static CRED_SECRET_LEN])
{
	/* without i, l, o and u, which the ear or the eye takes for something else */
	static const char digits[32] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t random[GROUP * GROUPS];
	size_t n = 0;

	digest_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++) {
		if (i > 0 && i % GROUP == 0)
			ret[n++] = '-';
		ret[n++] = digits[random[i] & 31];
	}
	ret[n++] = '\0';
	ASSERT(n == CRED_SECRET_LEN);
	secret_wipe(random, sizeof(random));
}

void cred_derive(struct str secret, const uint8_t salt[static CRED_SALT_LEN], struct cred_keys *ret)
{
	uint8_t salted[DIGEST_LEN];
	uint8_t client[DIGEST_LEN];

	digest_pbkdf2(secret, salt, CRED_SALT_LEN, CRED_ITERATIONS, salted);
	digest_hmac(salted, sizeof(salted), STR("Client Key"), client);
	digest_sha256(str_from((const char *)client, sizeof(client)), ret->stored);
	digest_hmac(salted, sizeof(salted), STR("Server Key"), ret->server);
	secret_wipe(salted, sizeof(salted));
	secret_wipe(client, sizeof(client));
}

/* What follows from the pepper for a name, whatever its letter case. */
static void peppered(const struct creds *c, char what, struct str name,
		     uint8_t ret[static DIGEST_LEN])
{
	AUTO_BUF text = BUF_INIT(name.n + 2);

	(void)buf_putc(&text, what);
	for (size_t i = 0; i < name.n; i++)
		(void)buf_putc(&text, name.p[i] >= 'A' && name.p[i] <= 'Z'
					      ? (char)(name.p[i] - 'A' + 'a')
					      : name.p[i]);
	digest_hmac(c->pepper, sizeof(c->pepper), buf_str(&text), ret);
}

void creds_salt(const struct creds *c, struct str name, uint8_t ret[static CRED_SALT_LEN])
{
	const struct cred *x = creds_find(c, name);
	uint8_t made[DIGEST_LEN];

	peppered(c, 's', name, made); /* also when it is not needed: it takes its time */
	memcpy(ret, x != NULL ? x->salt : made, CRED_SALT_LEN);
}

void creds_no_keys(const struct creds *c, struct str name, struct cred_keys *ret)
{
	peppered(c, 'k', name, ret->stored);
	peppered(c, 'v', name, ret->server);
}

int creds_put_pepper(struct creds *c, const char *json, struct err *err)
{
	json_t *o = NULL;
	int rc = json_read(json, &o, err);

	if (rc >= 0 && !read_bytes(o, "bytes", c->pepper, sizeof(c->pepper)))
		rc = err_set(err, ERR_CORRUPT, "the salts of unknown names are damaged");
	json_decref(o);
	return rc;
}

json_t *creds_pepper_json(const struct creds *c)
{
	return json_pack("{s:o}", "bytes", bytes_json(c->pepper, sizeof(c->pepper)));
}
