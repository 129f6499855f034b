/* The authority signs one leaf; both have P-256 keys. */
#include "lib/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include <cmocka.h>

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static X509 *make(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *by, long valid_s)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	char alt[300];

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), issuer == NULL ? 1 : 2);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 2);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), valid_s);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					 -1, -1, 0);
	(void)X509_set_issuer_name(x, issuer == NULL ? subject : X509_get_subject_name(issuer));
	(void)X509_set_pubkey(x, key);
	(void)snprintf(alt, sizeof(alt), "DNS:%s", name);
	if (issuer == NULL)
		add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
	else
		add_extension(x, issuer, NID_subject_alt_name, alt);
	assert_true(X509_sign(x, by, EVP_sha256()) > 0);
	return x;
}

static FILE *create(const char *dir, const char *name, char ret_path[static CERTS_PATH_MAX])
{
	FILE *f;

	(void)snprintf(ret_path, CERTS_PATH_MAX, "%s/%s", dir, name);
	f = fopen(ret_path, "w");
	assert_non_null(f);
	return f;
}

void certs_make(const char *dir, const char *host, long valid_s, struct certs *ret)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = make(ca_key, "Test authority", NULL, ca_key, 86400);
	X509 *leaf = make(key, host, ca, ca_key, valid_s);
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	FILE *f = create(dir, "authority.pem", ret->authority);

	assert_true(PEM_write_X509(f, ca) == 1 && fclose(f) == 0);
	f = create(dir, "certificate.pem", ret->certificate);
	assert_true(PEM_write_X509(f, leaf) == 1 && fclose(f) == 0);
	f = create(dir, "key.pem", ret->key);
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
	assert_true(EVP_Digest(der, (size_t)n, ret->spki_sha256, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	X509_free(ca);
	X509_free(leaf);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}
