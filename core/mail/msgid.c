/*
 * Crockford's base32 leaves out I, L, O and U, so that an id survives being read aloud; reading
 * takes the three look-alikes back. Ten characters are exactly 50 bits: 42 bits of milliseconds
 * last until 2163, and 256 ids fit into each before the counter borrows from the next millisecond.
 */
#include "mail/msgid.h"

#include <stdio.h>

#define EPOCH_2024_MS INT64_C(1704067200000)
#define COUNTER_BITS 8
#define CHAR_BITS 5

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct msgid msgid_next(struct msgid last, int64_t wall_ms)
{
	int64_t since = wall_ms - EPOCH_2024_MS;
	uint64_t now = since > 0 ? (uint64_t)since << COUNTER_BITS : 0;

	return (struct msgid){ now > last.v ? now : last.v + 1 };
}

int64_t msgid_time_ms(struct msgid id)
{
	return (int64_t)(id.v >> COUNTER_BITS) + EPOCH_2024_MS;
}

void msgid_text(struct msgid id, char ret[static MSGID_TEXT_LEN])
{
	uint64_t v = id.v;

	for (int i = MSGID_LEN - 1; i >= 0; i--) {
		ret[i] = alphabet[v & 31];
		v >>= CHAR_BITS;
	}
	ret[MSGID_LEN] = '\0';
}

/* The value of one character, -1 when it is none. */
static int char_value(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		return 0;
	if (c == 'I' || c == 'L')
		return 1;
	for (int i = 0; i < 32; i++)
		if (alphabet[i] == c)
			return i;
	return -1;
}

bool msgid_parse_prefix(struct str prefix, struct msgid *ret_first, struct msgid *ret_last)
{
	uint64_t v = 0;
	unsigned open_bits;

	if (prefix.n > MSGID_LEN)
		return false;
	for (size_t i = 0; i < prefix.n; i++) {
		int d = char_value(prefix.p[i]);
		if (d < 0)
			return false;
		v = v << CHAR_BITS | (uint64_t)d;
	}
	open_bits = (unsigned)(MSGID_LEN - prefix.n) * CHAR_BITS;
	ret_first->v = v << open_bits;
	ret_last->v = ret_first->v | ((UINT64_C(1) << open_bits) - 1);
	return true;
}

bool msgid_parse(struct str s, struct msgid *ret_id)
{
	struct msgid first;
	struct msgid last;

	if (s.n != MSGID_LEN || !msgid_parse_prefix(s, &first, &last) || msgid_is_none(first))
		return false;
	*ret_id = first;
	return true;
}

bool msgid_parse_rcpt(struct str s, struct msgid *ret_id, unsigned *ret_n)
{
	ptrdiff_t slash = str_index(s, '/');
	struct msgid id;
	uint64_t n = 0;

	if (slash >= 0) {
		if (!str_u64(str_from(s.p + slash + 1, s.n - (size_t)slash - 1), RID_RCPT_MAX,
			     &n) ||
		    n == 0)
			return false;
		s.n = (size_t)slash;
	}
	if (!msgid_parse(s, &id))
		return false;
	*ret_id = id;
	*ret_n = (unsigned)n;
	return true;
}

void rid_text(struct rid r, char ret[static RID_TEXT_LEN])
{
	char id[MSGID_TEXT_LEN];

	msgid_text(rid_msgid(r), id);
	(void)snprintf(ret, RID_TEXT_LEN, "%s/%u", id, rid_n(r));
}
