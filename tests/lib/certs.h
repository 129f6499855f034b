/*
 * certs - an authority and certificates made for a test, as PEM files in its directory.
 *
 * Owner:   the directory is the caller's. Fails the test when OpenSSL does not do as asked.
 */
#ifndef LIB_CERTS_H
#define LIB_CERTS_H

#include <stddef.h>
#include <stdint.h>

#define CERTS_PATH_MAX 256

struct certs {
	char authority[CERTS_PATH_MAX];
	char certificate[CERTS_PATH_MAX]; /* for `host`, by the authority */
	char key[CERTS_PATH_MAX];
	uint8_t spki_sha256[32]; /* of the certificate: TLSA 3 1 1 */
};

/* valid_s: from now on; negative: it ended so long ago. */
void certs_make(const char *dir, const char *host, long valid_s, struct certs *ret);

#endif
