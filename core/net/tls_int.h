/* tls_int - the contexts, for the stream. */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

/* a name that OpenSSL and base/err.h both have */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "net/tls.h"

struct tls_server {
	SSL_CTX *ctx;
};
struct tls_client {
	SSL_CTX *ctx;
};

/* What OpenSSL's queue of errors says, emptied: ERR_TLS. */
int tls_error(struct err *err, const char *what);

#endif
