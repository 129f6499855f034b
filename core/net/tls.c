/*
 * Modern defaults: TLS 1.2 with forward secrecy and authenticated encryption, TLS 1.3, no
 * compression, no renegotiation. Tickets stay off: sessions between relays are long, and a ticket
 * key that is never changed undoes forward secrecy.
 */
#include "net/tls_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"

int tls_error(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return err_set(err, ERR_TLS, "%s: %s", what,
		       reason != NULL ? reason : "the other side ended it");
}

static int file_error(struct err *err, const char *path, const char *what)
{
	/* OpenSSL does not tell a missing file from a wrong one */
	if (access(path, R_OK) != 0) {
		(void)err_sys(err, errno, "%s", path);
		ERR_clear_error();
	} else {
		(void)tls_error(err, what);
		(void)err_prefix(err, "%s", path);
	}
	if (err != NULL)
		err->code = ERR_CONFIG;
	return -ERR_CONFIG;
}

static SSL_CTX *make(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		abort(); /* out of memory */
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_cipher_list(ctx, CIPHERS_12);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					       SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
					       SSL_OP_PRIORITIZE_CHACHA);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

int tls_server_load(struct tls_server *t, const char *certificate, const char *key, struct err *err)
{
	SSL_CTX *ctx = make(TLS_server_method());
	int rc = 0;

	(void)SSL_CTX_set_num_tickets(ctx, 0);
	(void)SSL_CTX_set_dh_auto(ctx, 1);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		rc = file_error(err, certificate, "no certificate chain in PEM");
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		rc = file_error(err, key, "no private key in PEM");
	else if (SSL_CTX_check_private_key(ctx) != 1)
		rc = file_error(err, key, "not the key of the certificate");
	if (rc < 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	SSL_CTX_free(t->ctx);
	t->ctx = ctx;
	return 0;
}

int tls_server_new(const char *certificate, const char *key, struct tls_server **ret_server,
		   struct err *err)
{
	struct tls_server *t = xcalloc(1, sizeof(*t));
	int rc = tls_server_load(t, certificate, key, err);

	if (rc < 0)
		free(t);
	else
		*ret_server = t;
	return rc;
}

void tls_server_free(struct tls_server **tp)
{
	if (tp == NULL || *tp == NULL)
		return;
	SSL_CTX_free((*tp)->ctx);
	free(*tp);
	*tp = NULL;
}

int64_t tls_server_expires_ms(const struct tls_server *t)
{
	const X509 *x = SSL_CTX_get0_certificate(t->ctx);
	struct tm tm;

	if (x == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

static bool is_whole(const struct tls_tlsa *r)
{
	const unsigned char *p = r->data;
	X509 *x = NULL;
	EVP_PKEY *key = NULL;
	bool whole;

	if (r->selector == 0)
		x = d2i_X509(NULL, &p, (long)r->n);
	else
		key = d2i_PUBKEY(NULL, &p, (long)r->n);
	whole = (x != NULL || key != NULL) && p == r->data + r->n;
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return whole;
}

bool tls_tlsa_usable(const struct tls_tlsa *r)
{
	if ((r->usage != 2 && r->usage != 3) || r->selector > 1)
		return false;
	if (r->matching == 1)
		return r->n == 32;
	if (r->matching == 2)
		return r->n == 64;
	return r->matching == 0 && is_whole(r);
}

int tls_client_new(const char *authorities, struct tls_client **ret_client, struct err *err)
{
	struct tls_client *t = xcalloc(1, sizeof(*t));
	int got;

	t->ctx = make(TLS_client_method());
	(void)SSL_CTX_dane_enable(t->ctx);
	got = authorities != NULL ? SSL_CTX_load_verify_file(t->ctx, authorities)
				  : SSL_CTX_set_default_verify_paths(t->ctx);
	if (got != 1 && authorities != NULL) {
		tls_client_free(&t);
		return file_error(err, authorities, "no certificates in PEM");
	}
	ERR_clear_error();
	*ret_client = t;
	return 0;
}

void tls_client_free(struct tls_client **tp)
{
	if (tp == NULL || *tp == NULL)
		return;
	SSL_CTX_free((*tp)->ctx);
	free(*tp);
	*tp = NULL;
}
