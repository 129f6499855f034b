/*
 * digest - SHA-256 and what is made of it (OpenSSL), and random bytes (the kernel).
 *
 * Context: any thread. digest_pbkdf2() takes milliseconds: a job for a worker.
 * Errors:  none; what OpenSSL refuses here is a bug.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define DIGEST_LEN 32
#define DIGEST_HEX_LEN (2 * DIGEST_LEN + 1) /* in hexadecimal, with the end */

void digest_sha256(struct str bytes, uint8_t ret[static DIGEST_LEN]);
void digest_hmac(const uint8_t *key, size_t key_n, struct str bytes,
		 uint8_t ret[static DIGEST_LEN]);
/* PBKDF2 with HMAC-SHA-256 (RFC 8018). */
void digest_pbkdf2(struct str password, const uint8_t *salt, size_t salt_n, unsigned iterations,
		   uint8_t ret[static DIGEST_LEN]);
/* In a time that depends on n alone. */
bool digest_equal(const uint8_t *a, const uint8_t *b, size_t n);
void digest_random(void *p, size_t n);

/* In hexadecimal, lower case; ret has room for DIGEST_HEX_LEN. */
void digest_hex(const uint8_t bytes[static DIGEST_LEN], char ret[static DIGEST_HEX_LEN]);
/* False, and ret as it was, when it is anything else. */
bool digest_unhex(struct str text, uint8_t ret[static DIGEST_LEN]);

#endif
