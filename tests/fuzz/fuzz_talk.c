/* Any bytes as what is kept of an attempt: texts within their limits, and an end. */
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"
#include "mail/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str packed = str_from((const char *)data, size);
	struct talk_facts f = { .sender = STR("a@b.example"),
				.rcpt = STR("c@d.example"),
				.reply = STR("250 ok"),
				.size = size };
	struct talk_times times = TALK_TIMES_NONE;
	struct talk_reader r;
	struct talk_record got;
	size_t n = 0;

	talk_usual(packed, &f);
	talk_reader_init(&r, packed, &f);
	while (talk_next(&r, &got)) {
		ASSERT(got.step < TALK_STEP__COUNT && got.after_ms >= 0);
		ASSERT(got.text.n <= TALK_TEXT_MAX && ++n <= size);
		talk_time(&times, &got);
	}
	talk_reader_done(&r);
	return 0;
}
