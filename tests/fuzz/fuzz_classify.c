/* Any bytes as a reply, in a log's line and as the session has it: it gets a class and sentences.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/obj.h"
#include "outcome/classify.h"
#include "outcome/reply_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct classify_rules *rules(void)
{
	static struct classify_rules *r;
	struct err err = ERR_INIT;

	if (r == NULL && classify_load(NULL, &r, &err) < 0)
		BUG("%s", err.msg);
	return r;
}

static void judge(const struct classify_in *in)
{
	struct classify_out out;

	classify(rules(), in, &out);
	ASSERT(out.reply_class > REPLY_NONE && out.reply_class < REPLY_CLASS__COUNT);
	ASSERT(out.action < REPLY_ACTION__COUNT);
	ASSERT(out.meaning[0] != '\0' && out.advice[0] != '\0' && out.rule[0] != '\0');
	ASSERT(in->code == 0 || in->code >= 500 || !out.hard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str raw = str_from((const char *)data, size);
	AUTO_BUF text = BUF_INIT(SMTP_REPLY_TEXT_MAX);
	struct reply_line line;

	reply_line_read(raw, &line, &text);
	ASSERT(line.code == 0 || (line.code >= 400 && line.code <= 599));
	ASSERT(!text.full && text.n <= raw.n);
	judge(&(struct classify_in){ .code = line.code,
				     .enhanced = str_of(line.enhanced),
				     .text = buf_str(&text),
				     .phase = line.phase });
	if (size < 2)
		return 0;
	judge(&(struct classify_in){ .code = 400 + (data[0] & 1) * 100 + data[1] % 100,
				     .provider = STR("google.com"),
				     .text = str_from(raw.p + 2, raw.n - 2) });
	return 0;
}
