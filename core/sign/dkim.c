/*
 * The body is hashed once for all identities, line by line, without a canonical copy. Header fields
 * are canonicalised into one buffer in the order of h=, which takes fields of a name from the
 * bottom up (RFC 6376, 5.4.2); the signature's own field comes last, without b= and without a line
 * end. Its lines are folded before it is signed: relaxed canonicalisation unfolds them again.
 */
#include "sign/dkim.h"

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#undef ERR_STATE
#include <stdlib.h>

#include "base/mem.h"
#include "mail/header.h"

#define SHA256_N 32
#define HEADERS_MAX ((size_t)1024 * 1024) /* canonical text that is signed */
#define LIST_MAX ((size_t)4096)
#define LINE_MAX_N 72
#define SIGNATURE_MAX 1024

struct dkim_key {
	EVP_PKEY *pkey;
	enum dkim_algorithm algorithm;
};

/* Fields that are signed; `over` ones also when they are missing, or once more. */
static const struct {
	const char *name;
	bool over;
} signed_fields[] = {
	{ "from", true },
	{ "to", true },
	{ "subject", true },
	{ "date", true },
	{ "message-id", true },
	{ "cc", false },
	{ "reply-to", false },
	{ "sender", false },
	{ "in-reply-to", false },
	{ "references", false },
	{ "mime-version", false },
	{ "content-type", false },
	{ "content-transfer-encoding", false },
	{ "list-id", false },
	{ "list-unsubscribe", false },
	{ "list-unsubscribe-post", false },
	{ "list-post", false },
	{ "list-help", false },
	{ "feedback-id", false },
};
#define SIGNED_N ARRAY_LEN(signed_fields)

const char *dkim_algorithm_name(enum dkim_algorithm a)
{
	return a == DKIM_RSA ? "rsa-sha256" : "ed25519-sha256";
}

/* --- keys ------------------------------------------------------------------------------------- */

static int take_key(EVP_PKEY *pkey, struct dkim_key **ret_key, struct err *err)
{
	struct dkim_key *k;
	int id = pkey != NULL ? EVP_PKEY_get_base_id(pkey) : 0;
	int bits = pkey != NULL ? EVP_PKEY_get_bits(pkey) : 0;

	if (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return err_set(err, ERR_INVALID,
			       "not a private key for DKIM; an RSA or Ed25519 key in PEM without a "
			       "passphrase would be");
	}
	if (id == EVP_PKEY_RSA && (bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX)) {
		EVP_PKEY_free(pkey);
		return err_set(err, ERR_INVALID,
			       "an RSA key of %d bits; verifiers take %d to %d (RFC 8301)", bits,
			       DKIM_RSA_BITS_MIN, DKIM_RSA_BITS_MAX);
	}
	k = xcalloc(1, sizeof(*k));
	k->pkey = pkey;
	k->algorithm = id == EVP_PKEY_RSA ? DKIM_RSA : DKIM_ED25519;
	*ret_key = k;
	return 0;
}

/* A key with a passphrase is not asked for. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

int dkim_key_parse(struct str pem, struct dkim_key **ret_key, struct err *err)
{
	BIO *bio = pem.n < 65536 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *pkey =
		bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	return take_key(pkey, ret_key, err);
}

int dkim_key_new(enum dkim_algorithm a, struct dkim_key **ret_key, struct err *err)
{
	return take_key(a == DKIM_RSA ? EVP_RSA_gen(DKIM_RSA_BITS)
				      : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
			ret_key, err);
}

void dkim_key_free(struct dkim_key **kp)
{
	if (kp == NULL || *kp == NULL)
		return;
	EVP_PKEY_free((*kp)->pkey);
	free(*kp);
	*kp = NULL;
}

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k)
{
	return k->algorithm;
}

bool dkim_key_pem(const struct dkim_key *k, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *p;
	long n;
	bool ok = bio != NULL &&
		  PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1;

	if (ok) {
		n = BIO_get_mem_data(bio, &p);
		ok = n > 0 && buf_put(out, p, (size_t)n);
	}
	BIO_free(bio);
	return ok;
}

static bool put_base64(struct buf *out, const uint8_t *p, size_t n)
{
	AUTO_FREE char *text = xmalloc(n / 3 * 4 + 8);
	int got = EVP_EncodeBlock((unsigned char *)text, p, (int)n);

	return got > 0 && buf_put(out, text, (size_t)got);
}

/* p= is the SubjectPublicKeyInfo for RSA, the bare 32 bytes for Ed25519 (RFC 8463, 4.2). */
static bool put_public(const struct dkim_key *k, struct buf *out)
{
	uint8_t raw[32];
	size_t raw_n = sizeof(raw);
	unsigned char *der = NULL;
	bool ok;

	if (k->algorithm == DKIM_ED25519)
		return EVP_PKEY_get_raw_public_key(k->pkey, raw, &raw_n) == 1 &&
		       put_base64(out, raw, raw_n);
	int n = i2d_PUBKEY(k->pkey, &der);
	ok = n > 0 && put_base64(out, der, (size_t)n);
	OPENSSL_free(der);
	return ok;
}

bool dkim_key_record(const struct dkim_key *k, struct buf *out)
{
	return buf_printf(out, "v=DKIM1; k=%s; p=", k->algorithm == DKIM_RSA ? "rsa" : "ed25519") &&
	       put_public(k, out);
}

/* The value of a tag in a tag list, without its white space; false when it is not there. */
static bool record_tag(struct str record, struct str tag, struct buf *ret)
{
	while (record.n > 0) {
		struct str part = str_cut(&record, ';');
		struct str name = str_trim(str_cut(&part, '='));

		if (!str_eq_nocase(name, tag))
			continue;
		for (size_t i = 0; i < part.n; i++)
			if (part.p[i] != ' ' && part.p[i] != '\t')
				(void)buf_putc(ret, part.p[i]);
		return true;
	}
	return false;
}

bool dkim_record_fits(const struct dkim_key *k, struct str record, const char **ret_why)
{
	AUTO_BUF want = BUF_INIT(LIST_MAX);
	AUTO_BUF kind = BUF_INIT(LIST_MAX);
	AUTO_BUF got = BUF_INIT(LIST_MAX);
	struct str type = k->algorithm == DKIM_RSA ? STR("rsa") : STR("ed25519");

	if (!put_public(k, &want))
		return false;
	if (!record_tag(record, STR("k"), &kind))
		(void)buf_puts(&kind, "rsa");
	if (!record_tag(record, STR("p"), &got))
		*ret_why = "the record has no public key (p=)";
	else if (got.n == 0)
		*ret_why = "the record says that the key is revoked (p= is empty)";
	else if (!str_eq_nocase(buf_str(&kind), type))
		*ret_why = "the record is for a key of another kind (k=)";
	else if (!str_eq(buf_str(&got), buf_str(&want)))
		*ret_why = "the record has another public key (p=)";
	else
		return true;
	return false;
}

/* --- the body --------------------------------------------------------------------------------- */

static const char *find_lf(const char *p, size_t n)
{
	return n > 0 ? memchr(p, '\n', n) : NULL;
}

/* One line, without its end, with runs of white space as one space and none at the end. */
static void hash_line(EVP_MD_CTX *md, const char *p, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < n;) {
		size_t end = i;

		if (p[i] != ' ' && p[i] != '\t') {
			i++;
			continue;
		}
		while (end < n && (p[end] == ' ' || p[end] == '\t'))
			end++;
		(void)EVP_DigestUpdate(md, p + from, i - from);
		if (end < n)
			(void)EVP_DigestUpdate(md, " ", 1);
		from = i = end;
	}
	(void)EVP_DigestUpdate(md, p + from, n - from);
}

static bool is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t')
			return false;
	return true;
}

/* Empty lines count only when something follows them. */
static void hash_body(EVP_MD_CTX *md, struct str body)
{
	const char *p = body.p;
	const char *end = body.p + body.n;
	size_t blank = 0;

	while (p < end) {
		const char *lf = find_lf(p, (size_t)(end - p));
		size_t n = (size_t)((lf != NULL ? lf : end) - p);
		const char *next = lf != NULL ? lf + 1 : end;

		if (lf != NULL && n > 0 && p[n - 1] == '\r')
			n--;
		if (is_blank(p, n)) {
			blank++;
		} else {
			for (; blank > 0; blank--)
				(void)EVP_DigestUpdate(md, "\r\n", 2);
			hash_line(md, p, n);
			(void)EVP_DigestUpdate(md, "\r\n", 2);
		}
		p = next;
	}
}

static bool body_hash(struct str body, uint8_t ret[static SHA256_N])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	if (ok) {
		hash_body(md, body);
		ok = EVP_DigestFinal_ex(md, ret, NULL) == 1;
	}
	EVP_MD_CTX_free(md);
	return ok;
}

/* --- the header ------------------------------------------------------------------------------- */

/* A value unfolded, with runs of white space as one space, none at its ends (RFC 6376, 3.4.2). */
static void put_relaxed(struct buf *out, struct str value)
{
	bool gap = false, any = false;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
			continue;
		if (c == '\n')
			continue;
		if (c == ' ' || c == '\t') {
			gap = any;
			continue;
		}
		if (gap)
			(void)buf_putc(out, ' ');
		gap = false;
		any = true;
		(void)buf_putc(out, c);
	}
}

static int signed_index(struct str name)
{
	for (size_t i = 0; i < SIGNED_N; i++)
		if (str_eq_nocase(str_of(signed_fields[i].name), name))
			return (int)i;
	return -1;
}

/* The last fields of each name, for a verifier takes them from the bottom (RFC 6376, 5.4.2). */
struct to_sign {
	struct str v[SIGNED_N]
		    [DKIM_SAME_MAX]; /* values; the i-th of a name is at i % DKIM_SAME_MAX */
	size_t n[SIGNED_N];
};

static void collect(struct str block, struct to_sign *f)
{
	struct header_field field;

	while (header_next(&block, &field)) {
		int k = signed_index(str_trim(field.name));

		if (k >= 0)
			f->v[k][f->n[k]++ % DKIM_SAME_MAX] = field.value;
	}
}

static void put_name(struct buf *names, const char *name)
{
	(void)buf_printf(names, "%s%s", names->n > 0 ? ":" : "", name);
}

/* The names of h=, and the canonical fields behind them. */
static void put_fields(const struct to_sign *f, struct buf *names, struct buf *canonical)
{
	for (size_t k = 0; k < SIGNED_N; k++) {
		bool all = f->n[k] <= DKIM_SAME_MAX;

		for (size_t i = f->n[k]; i > (all ? 0 : f->n[k] - DKIM_SAME_MAX); i--) {
			put_name(names, signed_fields[k].name);
			(void)buf_printf(canonical, "%s:", signed_fields[k].name);
			put_relaxed(canonical, f->v[k][(i - 1) % DKIM_SAME_MAX]);
			(void)buf_puts(canonical, "\r\n");
		}
		if (signed_fields[k].over && all)
			put_name(names, signed_fields[k].name);
	}
}

/* --- the signature ---------------------------------------------------------------------------- */

/* Appends text in folded lines, broken behind `at` (or anywhere when it is '\0'). */
static void put_folded(struct buf *out, struct str text, char at)
{
	size_t column = 0;

	for (size_t i = 0; i < text.n; i++) {
		(void)buf_putc(out, text.p[i]);
		column++;
		if (column >= LINE_MAX_N - 12 && i + 1 < text.n &&
		    (at == '\0' || text.p[i] == at)) {
			(void)buf_puts(out, "\r\n\t ");
			column = 0;
		}
	}
}

static bool sign_bytes(const struct dkim_key *k, struct str text, struct buf *out)
{
	uint8_t digest[SHA256_N], sig[SIGNATURE_MAX];
	size_t sig_n = sizeof(sig);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	AUTO_BUF base64 = BUF_INIT(2 * SIGNATURE_MAX);
	bool ok = md != NULL;

	if (k->algorithm == DKIM_RSA) {
		ok = ok && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
		     EVP_DigestSign(md, sig, &sig_n, (const unsigned char *)text.p, text.n) == 1;
	} else {
		/* RFC 8463, 3: Ed25519 over the SHA-256 of the data */
		ok = ok && EVP_Digest(text.p, text.n, digest, NULL, EVP_sha256(), NULL) == 1 &&
		     EVP_DigestSignInit(md, NULL, NULL, NULL, k->pkey) == 1 &&
		     EVP_DigestSign(md, sig, &sig_n, digest, sizeof(digest)) == 1;
	}
	EVP_MD_CTX_free(md);
	if (!ok || !put_base64(&base64, sig, sig_n))
		return false;
	put_folded(out, buf_str(&base64), '\0');
	return !out->full;
}

static bool sign_one(const struct dkim_identity *id, struct str names, struct str body,
		     struct buf *canonical, int64_t now_ms, struct buf *out)
{
	AUTO_BUF field = BUF_INIT(DKIM_FIELD_MAX);
	size_t before = canonical->n;
	struct str value;

	(void)buf_printf(&field,
			 "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed;\r\n\td=%.*s; s=%.*s;"
			 " t=%lld;\r\n\th=",
			 dkim_algorithm_name(id->key->algorithm), STR_ARG(id->domain),
			 STR_ARG(id->selector), (long long)(now_ms / 1000));
	put_folded(&field, names, ':');
	(void)buf_printf(&field, ";\r\n\tbh=%.*s;\r\n\tb=", STR_ARG(body));
	value = buf_str(&field);
	(void)str_cut(&value, ':');
	(void)buf_puts(canonical, "dkim-signature:");
	put_relaxed(canonical, value);
	if (field.full || canonical->full || !sign_bytes(id->key, buf_str(canonical), &field))
		return false;
	canonical->n = before;
	return buf_puts(&field, "\r\n") && buf_put_str(out, buf_str(&field));
}

bool dkim_sign(struct str message, const struct dkim_identity *ids, size_t n, int64_t now_ms,
	       struct buf *out)
{
	AUTO_FREE struct to_sign *fields = xcalloc(1, sizeof(*fields));
	AUTO_BUF names = BUF_INIT(LIST_MAX);
	AUTO_BUF canonical = BUF_INIT(HEADERS_MAX);
	AUTO_BUF all = BUF_INIT(n * DKIM_FIELD_MAX);
	AUTO_BUF body = BUF_INIT(128);
	struct header_facts facts;
	uint8_t hash[SHA256_N];

	header_scan(message, &facts);
	if (!body_hash(str_from(message.p + facts.body_at, message.n - facts.body_at), hash) ||
	    !put_base64(&body, hash, sizeof(hash)))
		return false;
	collect(facts.block, fields);
	put_fields(fields, &names, &canonical);
	for (size_t i = 0; i < n; i++)
		if (!sign_one(&ids[i], buf_str(&names), buf_str(&body), &canonical, now_ms, &all))
			return false;
	return buf_put_str(out, buf_str(&all));
}
