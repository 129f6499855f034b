/* Any bytes as a rules file: rules or a message with a line, and what is read can be asked. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "outcome/classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(classify) struct classify_rules *rules = NULL;
	struct str text = str_from((const char *)data, size);
	struct err err = ERR_INIT;
	struct classify_out out;
	int rc = classify_parse("f", text, &rules, &err);

	ASSERT((rc == 0) == (rules != NULL));
	if (rc < 0) {
		ASSERT(rc == -ERR_CONFIG && strncmp(err.msg, "f:", 2) == 0);
		return 0;
	}
	/* the file's own words are what its rules look for */
	classify(rules, &(struct classify_in){ .code = 550, .text = text }, &out);
	ASSERT(out.reply_class > REPLY_NONE && out.reply_class < REPLY_CLASS__COUNT);
	ASSERT(out.rule[0] != '\0');
	return 0;
}
