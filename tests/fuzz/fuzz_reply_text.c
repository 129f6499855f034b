/* Any bytes as a reply's text: bounded, clean UTF-8 on one line without control characters. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "mail/reply_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char got[REPLY_TEXT_MAX + 1];
	struct str s = { got, 0 };

	s.n = reply_text_normalise(str_from((const char *)data, size), got);
	ASSERT(s.n <= REPLY_TEXT_MAX && strlen(got) == s.n);
	ASSERT(utf8_valid(s) && strstr(got, "  ") == NULL);
	while (s.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);
		ASSERT(!utf8_harmful(cp) || cp == UTF8_REPLACEMENT);
		s = str_from(s.p + n, s.n - n);
	}
	return 0;
}
