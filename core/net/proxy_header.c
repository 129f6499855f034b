/*
 * Version 1 is a line of at most 107 bytes: "PROXY TCP4 SOURCE DEST SPORT DPORT\r\n", or "PROXY
 * UNKNOWN" and anything. Version 2 is binary: a signature of 12 bytes, version and command, family
 * and protocol, the length of the rest.
 */
#include "net/proxy_header.h"

#include <string.h>

#include "base/str.h"

#define V1_MAX 107
#define V1_WORD "PROXY "
#define V2_HEAD 16
#define V2_SIGNATURE 12
#define V2_IPV4 0x11 /* AF_INET, STREAM */
#define V2_IPV6 0x21

static const uint8_t signature[V2_SIGNATURE] = { '\r', '\n', '\r', '\n', 0,   '\r',
						 '\n', 'Q',  'U',  'I',	 'T', '\n' };

/* Whether p can still become, or is, something that begins so. */
static bool begins(const uint8_t *p, size_t n, const void *with, size_t with_n)
{
	return memcmp(p, with, n < with_n ? n : with_n) == 0;
}

static bool read_port(struct str text, uint16_t *ret)
{
	uint64_t port;

	if (!str_u64(text, UINT16_MAX, &port))
		return false;
	*ret = (uint16_t)port;
	return true;
}

static bool read_named(struct str rest, bool v4, struct proxy_header *ret)
{
	struct ipaddr dest;
	uint16_t dest_port;
	struct str source = str_cut(&rest, ' ');
	struct str to = str_cut(&rest, ' ');
	struct str port = str_cut(&rest, ' ');

	ret->named = true;
	if (!ipaddr_parse(source, &ret->client.ip) || !ipaddr_parse(to, &dest))
		return false;
	/* of TCP6 there may be v4-mapped ones */
	return (!v4 || (ipaddr_is_v4(&ret->client.ip) && ipaddr_is_v4(&dest))) &&
	       read_port(port, &ret->client.port) && read_port(rest, &dest_port);
}

static enum proxy_result parse_v1(const uint8_t *p, size_t n, struct proxy_header *ret,
				  size_t *ret_used)
{
	struct str line = { (const char *)p, n < V1_MAX ? n : V1_MAX };
	ptrdiff_t lf = str_index(line, '\n');
	struct proxy_header h = { .named = false };
	struct str family;

	if (lf < 0)
		return n < V1_MAX ? PROXY_MORE : PROXY_WRONG;
	if (lf == 0 || line.p[lf - 1] != '\r')
		return PROXY_WRONG;
	line = str_from(line.p + sizeof(V1_WORD) - 1, (size_t)lf - sizeof(V1_WORD));
	family = str_cut(&line, ' ');
	if (!str_eq(family, STR("UNKNOWN")) &&
	    !(str_eq(family, STR("TCP4")) && read_named(line, true, &h)) &&
	    !(str_eq(family, STR("TCP6")) && read_named(line, false, &h)))
		return PROXY_WRONG;
	*ret = h;
	*ret_used = (size_t)lf + 1;
	return PROXY_DONE;
}

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static enum proxy_result parse_v2(const uint8_t *p, size_t n, struct proxy_header *ret,
				  size_t *ret_used)
{
	struct proxy_header h = { .named = false };
	size_t length;

	if (n < V2_HEAD)
		return PROXY_MORE;
	length = read16(p + 14);
	/* the version in the high half; the command: 0 is its own connection, 1 somebody else's */
	if (p[12] >> 4 != 2 || (p[12] & 15) > 1 || V2_HEAD + length > PROXY_HEADER_MAX)
		return PROXY_WRONG;
	if (n < V2_HEAD + length)
		return PROXY_MORE;
	if ((p[12] & 15) == 1 && p[13] == V2_IPV4) {
		static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
		if (length < 12)
			return PROXY_WRONG;
		h.named = true;
		memcpy(h.client.ip.b, mapped, sizeof(mapped));
		memcpy(h.client.ip.b + sizeof(mapped), p + V2_HEAD, 4);
		h.client.port = read16(p + V2_HEAD + 8);
	} else if ((p[12] & 15) == 1 && p[13] == V2_IPV6) {
		if (length < 36)
			return PROXY_WRONG;
		h.named = true;
		memcpy(h.client.ip.b, p + V2_HEAD, 16);
		h.client.port = read16(p + V2_HEAD + 32);
	}
	*ret = h;
	*ret_used = V2_HEAD + length;
	return PROXY_DONE;
}

enum proxy_result proxy_header_parse(const uint8_t *p, size_t n, struct proxy_header *ret,
				     size_t *ret_used)
{
	if (n == 0)
		return PROXY_MORE;
	if (begins(p, n, signature, sizeof(signature)))
		return n < sizeof(signature) ? PROXY_MORE : parse_v2(p, n, ret, ret_used);
	if (begins(p, n, V1_WORD, sizeof(V1_WORD) - 1))
		return n < sizeof(V1_WORD) - 1 ? PROXY_MORE : parse_v1(p, n, ret, ret_used);
	return PROXY_WRONG;
}
