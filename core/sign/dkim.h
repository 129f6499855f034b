/*
 * dkim - DKIM signatures (RFC 6376, 8463): rsa-sha256 and ed25519-sha256, relaxed/relaxed.
 *
 * Model:   a key is a private key with its algorithm; dkim_sign() writes one DKIM-Signature field
 *          for each identity, to stand in front of the message as it is. From, To, Subject, Date
 *          and Message-ID are named once more than they occur, so that none can be added; other
 *          fields that matter are signed as often as they occur.
 * Owner:   dkim_key_parse() and dkim_key_new() return owned keys. Keys do not change: signing with
 *          one from several threads is all right.
 * Context: any thread; pure. An RSA signature takes a third of a millisecond, a new RSA key up to
 *          seconds: not in the loop.
 * Errors:  ERR_INVALID for what is no key, and why.
 * Limits:  of DKIM_SAME_MAX fields of one name the last are signed, and then that name is not named
 *          once more.
 */
#ifndef SIGN_DKIM_H
#define SIGN_DKIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define DKIM_SAME_MAX 8
#define DKIM_RSA_BITS 2048
#define DKIM_RSA_BITS_MIN 1024
#define DKIM_RSA_BITS_MAX 4096
#define DKIM_FIELD_MAX ((size_t)8192) /* of one signature field */

enum dkim_algorithm { DKIM_RSA, DKIM_ED25519, DKIM_ALGORITHM__COUNT };
const char *dkim_algorithm_name(enum dkim_algorithm a); /* "rsa-sha256", "ed25519-sha256" */

struct dkim_key;

/* A private key in PEM (PKCS#8 or traditional RSA). */
int dkim_key_parse(struct str pem, struct dkim_key **ret_key, struct err *err) MUST_CHECK;
int dkim_key_new(enum dkim_algorithm a, struct dkim_key **ret_key, struct err *err) MUST_CHECK;
void dkim_key_free(struct dkim_key **kp);
enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k);
/* Appends the private key in PEM: a secret. */
bool dkim_key_pem(const struct dkim_key *k, struct buf *out);
/* Appends what SELECTOR._domainkey.DOMAIN has to say as TXT: "v=DKIM1; k=rsa; p=…". */
bool dkim_key_record(const struct dkim_key *k, struct buf *out);
/* Whether a published TXT record has this key; *ret_why says what differs otherwise. */
bool dkim_record_fits(const struct dkim_key *k, struct str record, const char **ret_why);

struct dkim_identity {
	struct str domain;
	struct str selector;
	const struct dkim_key *key;
};

/*
 * Appends the fields, with CRLF. message has CRLF line ends (what has none at its end is signed as
 * if it had, which is how it leaves). False when `out` is full or OpenSSL fails; then nothing is
 * appended.
 */
bool dkim_sign(struct str message, const struct dkim_identity *ids, size_t n, int64_t now_ms,
	       struct buf *out) MUST_CHECK;

#endif
