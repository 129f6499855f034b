/*
 * tls - certificates and trust for streams (OpenSSL): TLS 1.2 and 1.3, both sides.
 *
 * Model:   a struct tls_server has our certificate and key and can be given new ones while sessions
 *          go on with the old; a struct tls_client has the authorities that we trust. Streams use
 *          them through stream_tls_accept() and stream_tls_connect(). The client's handshake never
 *          fails over the peer's certificate: who demands more looks at tls_facts.verified.
 * Owner:   whoever made them frees them; sessions hold what they need themselves.
 * Context: loop thread; _new and _load read files.
 * Errors:  ERR_CONFIG with the file and what is wrong with it.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct tls_server;
struct tls_client;

int tls_server_new(const char *certificate, const char *key, struct tls_server **ret_server,
		   struct err *err) MUST_CHECK;
/* Reads them again: what is wrong is said, and the old ones stay in use. */
int tls_server_load(struct tls_server *t, const char *certificate, const char *key,
		    struct err *err) MUST_CHECK;
void tls_server_free(struct tls_server **tp);
/* End of the certificate's validity, wall clock milliseconds. */
int64_t tls_server_expires_ms(const struct tls_server *t);

/* authorities: a PEM file; NULL: the system's. */
int tls_client_new(const char *authorities, struct tls_client **ret_client,
		   struct err *err) MUST_CHECK;
void tls_client_free(struct tls_client **tp);

/* A TLSA record (RFC 6698, 7672), borrowed. */
struct tls_tlsa {
	uint8_t usage;
	uint8_t selector;
	uint8_t matching;
	const uint8_t *data;
	size_t n;
};

/* DANE-TA or DANE-EE with fields that we know and data that fits them; what else there is does not
 * count (RFC 7672, 3.1). */
bool tls_tlsa_usable(const struct tls_tlsa *r);

struct tls_peer {
	const char *host;	  /* for SNI and the name in the certificate; an address is
				     looked for there, too; NULL: any */
	const char *const *names; /* further names that its certificate may have (RFC 7672, 8461) */
	size_t names_n;
	const struct tls_tlsa *tlsa; /* DANE when there are any */
	size_t tlsa_n;
};

struct tls_facts {
	char protocol[16]; /* "TLSv1.3" */
	char cipher[48];
	bool verified; /* chain and name, or a TLSA record, fit */
	bool dane;     /* by a TLSA record */
	char why[128]; /* not verified: the reason in plain words */
};

#endif
