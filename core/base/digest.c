#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#include "base/obj.h"

void digest_sha256(struct str bytes, uint8_t ret[static DIGEST_LEN])
{
	if (EVP_Digest(bytes.p, bytes.n, ret, NULL, EVP_sha256(), NULL) != 1)
		BUG("no SHA-256");
}

void digest_hmac(const uint8_t *key, size_t key_n, struct str bytes, uint8_t ret[static DIGEST_LEN])
{
	if (HMAC(EVP_sha256(), key, (int)key_n, (const uint8_t *)bytes.p, bytes.n, ret, NULL) ==
	    NULL)
		BUG("no HMAC");
}

void digest_pbkdf2(struct str password, const uint8_t *salt, size_t salt_n, unsigned iterations,
		   uint8_t ret[static DIGEST_LEN])
{
	if (PKCS5_PBKDF2_HMAC(password.p, (int)password.n, salt, (int)salt_n, (int)iterations,
			      EVP_sha256(), DIGEST_LEN, ret) != 1)
		BUG("no PBKDF2");
}

bool digest_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void digest_random(void *p, size_t n)
{
	uint8_t *at = p;

	/* up to 256 bytes come whole and without waiting, once the kernel has its seed */
	while (n > 0) {
		ssize_t got = getrandom(at, n < 256 ? n : 256, 0);
		ASSERT(got > 0);
		at += got;
		n -= (size_t)got;
	}
}

static const char hex_digits[] = "0123456789abcdef";

void digest_hex(const uint8_t bytes[static DIGEST_LEN], char ret[static DIGEST_HEX_LEN])
{
	for (size_t i = 0; i < DIGEST_LEN; i++) {
		ret[2 * i] = hex_digits[bytes[i] >> 4];
		ret[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	ret[DIGEST_HEX_LEN - 1] = '\0';
}

static int nibble(char c)
{
	const char *at = c != '\0' ? strchr(hex_digits, c) : NULL;

	return at != NULL ? (int)(at - hex_digits) : -1;
}

bool digest_unhex(struct str text, uint8_t ret[static DIGEST_LEN])
{
	uint8_t bytes[DIGEST_LEN];

	if (text.n != DIGEST_HEX_LEN - 1)
		return false;
	for (size_t i = 0; i < DIGEST_LEN; i++) {
		int high = nibble(text.p[2 * i]), low = nibble(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret, bytes, sizeof(bytes));
	return true;
}
