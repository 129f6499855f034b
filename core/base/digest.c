#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
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
