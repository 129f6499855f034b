/*
 * Any bytes as a mail to a bounce address: no crash, all texts valid UTF-8 and without control
 * characters, addresses that parse, codes in their range.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "mail/bounce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	struct str s = str_of(text);

	ASSERT(utf8_valid(s));
	while (s.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);
		ASSERT(cp == UTF8_REPLACEMENT || !utf8_harmful(cp));
		s = str_from(s.p + n, s.n - n);
	}
}

static void check_address(const char *text)
{
	struct address a;

	ASSERT(*text == '\0' || address_parse(str_of(text), ADDRESS_UTF8, &a, NULL) >= 0);
}

static void check(const struct bounce *b)
{
	ASSERT(b->kind < BOUNCE_KIND__COUNT && b->rcpts_n <= BOUNCE_RCPTS_MAX);
	ASSERT(b->kind != BOUNCE_STATUS || b->rcpts_n > 0);
	ASSERT(b->kind == BOUNCE_UNREAD || *b->format != '\0');
	for (size_t i = 0; i < b->rcpts_n; i++) {
		const struct bounce_rcpt *r = &b->rcpts[i];
		check_address(r->original);
		check_address(r->final);
		check_text(r->text);
		check_text(r->remote);
		ASSERT(r->code == 0 || (r->code >= 400 && r->code <= 599));
		ASSERT(strlen(r->enhanced) < SMTP_ENHANCED_LEN);
	}
	for (size_t i = 0; i < b->senders_n; i++)
		check_address(b->senders[i]);
	check_text(b->reporter);
	check_text(b->complaint);
	ASSERT(utf8_valid(str_of(b->subject)) && utf8_valid(str_of(b->from)));
	check_text(b->original_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct bounce b;

	if (!ready)
		bounce_init();
	ready = true;
	if (size == 0)
		return 0;
	bounce_read(str_from((const char *)data + 1, size - 1), (*data & 1) != 0, &b);
	check(&b);
	return 0;
}
