/*
 * The payload is made of digits of 5 bits: 10 of the message, 3 of the recipient's number, 3 of the
 * day, then as many as the stream's number takes. What is signed is the text itself, in lower case.
 */
#include "mail/verp.h"

#include <string.h>

#include "base/digest.h"

#define PREFIX "b-"
#define ID_DIGITS 10
#define N_DIGITS 3
#define DAY_DIGITS 3
#define STREAM_DIGITS_MAX 7
#define TAG_DIGITS (VERP_TAG_LEN - 1)
#define MAC_DIGITS 16
#define HEAD_DIGITS (ID_DIGITS + N_DIGITS + DAY_DIGITS)
#define DAY_MS INT64_C(86400000)
#define EPOCH_MS INT64_C(1704067200000) /* 2024-01-01, as of message ids */
#define RCPT_MAX 512

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static char *put_number(char *to, uint64_t v, int n)
{
	for (int i = n - 1; i >= 0; i--, v >>= 5)
		to[i] = digits[v & 31];
	return to + n;
}

static char *put_stream(char *to, uint32_t v)
{
	int n = 1;

	while (n < STREAM_DIGITS_MAX && v >> (5 * n) != 0)
		n++;
	return put_number(to, v, n);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool get_number(const char *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		const char *at = p[i] != '\0' ? strchr(digits, p[i]) : NULL;
		if (at == NULL)
			return false;
		v = v << 5 | (uint64_t)(at - digits);
	}
	*ret = v;
	return true;
}

/* n digits of what the key makes of the two texts; `what` keeps tags and signatures apart. */
static void sign(const uint8_t *key, char what, struct str a, struct str b, char *ret, int n)
{
	char text[2 * RCPT_MAX + 3];
	uint8_t mac[DIGEST_LEN];
	size_t at = 0;

	text[at++] = what;
	for (size_t i = 0; i < a.n && i < RCPT_MAX; i++)
		text[at++] = lower(a.p[i]);
	text[at++] = '\0';
	for (size_t i = 0; i < b.n && i < RCPT_MAX; i++)
		text[at++] = lower(b.p[i]);
	digest_hmac(key, VERP_KEY_LEN, str_from(text, at), mac);
	for (int i = 0; i < n; i++) {
		unsigned bit = (unsigned)i * 5;
		unsigned two = (unsigned)mac[bit / 8] << 8 | mac[bit / 8 + 1];
		ret[i] = digits[two >> (11 - bit % 8) & 31];
	}
}

static void make_tag(const uint8_t *key, struct rid rid, struct str rcpt,
		     char ret[static VERP_TAG_LEN])
{
	char id[RID_TEXT_LEN];

	rid_text(rid, id);
	sign(key, 'r', str_of(id), rcpt, ret, TAG_DIGITS);
	ret[TAG_DIGITS] = '\0';
}

void verp_make(const uint8_t key[static VERP_KEY_LEN], struct str domain, struct rid rid,
	       uint32_t stream, struct str rcpt, int64_t expires_ms,
	       char ret[static VERP_LOCAL_LEN])
{
	char tag[VERP_TAG_LEN];
	char *at = ret;

	make_tag(key, rid, rcpt, tag);
	memcpy(at, PREFIX, sizeof(PREFIX) - 1);
	at = put_number(at + sizeof(PREFIX) - 1, rid_msgid(rid).v, ID_DIGITS);
	at = put_number(at, rid_n(rid), N_DIGITS);
	at = put_number(at, (uint64_t)((expires_ms - EPOCH_MS) / DAY_MS), DAY_DIGITS);
	at = put_stream(at, stream);
	*at++ = '-';
	memcpy(at, tag, TAG_DIGITS);
	at += TAG_DIGITS;
	sign(key, 'a', domain, str_from(ret, (size_t)(at - ret)), at, MAC_DIGITS);
	at[MAC_DIGITS] = '\0';
}

/* The pieces in lower case, which are in place when this is true. */
static bool split(struct str local, char text[static VERP_LOCAL_LEN], struct str *ret_payload,
		  struct str *ret_tag)
{
	size_t tail = 1 + TAG_DIGITS + MAC_DIGITS;
	size_t head = sizeof(PREFIX) - 1;

	for (size_t i = 0; i < local.n; i++)
		text[i] = lower(local.p[i]);
	if (local.n < head + HEAD_DIGITS + 1 + tail ||
	    local.n > head + HEAD_DIGITS + STREAM_DIGITS_MAX + tail || text[local.n - tail] != '-')
		return false;
	*ret_payload = str_from(text + head, local.n - tail - head);
	*ret_tag = str_from(text + local.n - tail + 1, TAG_DIGITS);
	return true;
}

static bool is_signed(const uint8_t *key, struct str domain, struct str text)
{
	struct str covered = str_from(text.p, text.n - MAC_DIGITS);
	char mac[MAC_DIGITS];

	sign(key, 'a', domain, covered, mac, MAC_DIGITS);
	return digest_equal((const uint8_t *)mac, (const uint8_t *)text.p + covered.n, MAC_DIGITS);
}

enum verp_verdict verp_read(const uint8_t key[static VERP_KEY_LEN], struct str domain,
			    struct str local, int64_t now_ms, struct verp *ret_verp)
{
	char text[VERP_LOCAL_LEN];
	struct str payload, tag;
	uint64_t id, n, day, stream;

	if (!str_starts_nocase(local, STR(PREFIX)))
		return VERP_STRANGE;
	if (local.n >= VERP_LOCAL_LEN || !split(local, text, &payload, &tag))
		return VERP_CUT;
	if (!is_signed(key, domain, str_from(text, local.n)))
		return VERP_FORGED;
	if (!get_number(payload.p, ID_DIGITS, &id) ||
	    !get_number(payload.p + ID_DIGITS, N_DIGITS, &n) ||
	    !get_number(payload.p + ID_DIGITS + N_DIGITS, DAY_DIGITS, &day) ||
	    !get_number(payload.p + HEAD_DIGITS, payload.n - HEAD_DIGITS, &stream) ||
	    n > RID_RCPT_MAX || stream > UINT32_MAX)
		return VERP_FORGED;
	ret_verp->rid = rid_of((struct msgid){ id }, (unsigned)n);
	ret_verp->stream = (uint32_t)stream;
	ret_verp->expires_ms = EPOCH_MS + ((int64_t)day + 1) * DAY_MS;
	memcpy(ret_verp->tag, tag.p, TAG_DIGITS);
	ret_verp->tag[TAG_DIGITS] = '\0';
	return now_ms < ret_verp->expires_ms ? VERP_GOOD : VERP_EXPIRED;
}

bool verp_is_for(const uint8_t key[static VERP_KEY_LEN], const struct verp *v, struct str rcpt)
{
	char tag[VERP_TAG_LEN];

	make_tag(key, v->rid, rcpt, tag);
	return digest_equal((const uint8_t *)tag, (const uint8_t *)v->tag, TAG_DIGITS);
}
