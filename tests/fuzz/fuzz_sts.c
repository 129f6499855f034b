/*
 * Any text as a policy of MTA-STS, and as its TXT record. What is taken says the same when it is
 * written down and read again: policies are kept as text.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "route/sts_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_policy(struct str text)
{
	struct sts_policy p;
	struct sts_policy again;
	char *first;
	char *second;

	if (sts_policy_parse(text, &p, NULL) < 0)
		return;
	ASSERT(p.mode < STS_MODE__COUNT && p.mx_n <= STS_MX_MAX);
	ASSERT(p.max_age_s >= 0 && p.max_age_s <= STS_AGE_MAX_S);
	ASSERT(p.mx_n > 0 || p.mode == STS_MODE_NONE);
	(void)sts_policy_matches(&p, "mx.example.org");
	first = sts_policy_text(&p);
	ASSERT(sts_policy_parse(str_of(first), &again, NULL) >= 0);
	second = sts_policy_text(&again);
	ASSERT(strcmp(first, second) == 0);
	free(first);
	free(second);
	sts_policy_done(&p);
	sts_policy_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	char id[STS_ID_MAX + 1];

	check_policy(text);
	if (sts_record_parse(text, id))
		ASSERT(sts_record_is(text) && id[0] != '\0' && strlen(id) <= STS_ID_MAX);
	return 0;
}
