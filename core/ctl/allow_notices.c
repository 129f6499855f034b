#include "ctl/allow_notices.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define WIDE_V4 16 /* public networks with shorter prefixes are pointed out */
#define WIDE_V6 32

static bool is_private(const struct ipnet *net)
{
	static const char *const ranges[] = { "10.0.0.0/8",  "172.16.0.0/12",  "192.168.0.0/16",
					      "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
					      "fc00::/7",    "fe80::/10",      "::1" };

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		struct ipnet range;
		if (ipnet_parse(str_of(ranges[i]), &range, NULL) >= 0 && ipnet_covers(&range, net))
			return true;
	}
	return false;
}

static void add(json_t *list, char *text_take)
{
	(void)json_array_append_new(list, json_text(str_of(text_take)));
	free(text_take);
}

static void note_width(const struct allow_entry *e, json_t *list)
{
	unsigned wide = ipaddr_is_v4(&e->net.addr) ? WIDE_V4 : WIDE_V6;

	if (e->mode == ALLOW_RELAY && ipnet_prefix(&e->net) < wide && !is_private(&e->net))
		add(list, xasprintf("this is a large part of the public Internet: everybody in /%u "
				    "may relay",
				    ipnet_prefix(&e->net)));
}

/* Whether the wider one does the same, for as long. */
static bool does_the_same(const struct allow_entry *wider, const struct allow_entry *e)
{
	return wider->mode == e->mode && strcmp(wider->stream, e->stream) == 0 &&
	       (wider->expires_ms == 0 ||
		(e->expires_ms != 0 && e->expires_ms <= wider->expires_ms));
}

static void note_wider(const struct allow *a, const struct allow_entry *e, int64_t now_ms,
		       json_t *list)
{
	const struct allow_entry *wider = allow_above(a, &e->net, now_ms);

	if (wider == NULL)
		return;
	if (does_the_same(wider, e))
		add(list, xasprintf("%s is on the list already and has all of it (%.80s)",
				    wider->text, wider->note[0] != '\0' ? wider->note : "no note"));
	else if (wider->mode == ALLOW_RELAY && e->mode == ALLOW_AUTHENTICATE)
		add(list, xasprintf("it takes this out of %s, which may relay: its clients have to "
				    "authenticate",
				    wider->text));
	else
		add(list, xasprintf("it is a part of %s, and decides for its own addresses",
				    wider->text));
}

json_t *allow_notices(const struct allow *a, const struct allow_entry *e, int64_t now_ms)
{
	json_t *list = json_array();

	note_width(e, list);
	note_wider(a, e, now_ms, list);
	if (e->expires_ms != 0 && e->expires_ms <= now_ms)
		add(list, xstrdup("its time is over"));
	return list;
}
