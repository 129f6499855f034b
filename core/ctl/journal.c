/* What actions are called; what the journal remembers of them is in actions.c. */
#include "ctl/journal.h"

#include <inttypes.h>
#include <stdio.h>

void journal_id_text(uint64_t id, char ret[static ACTION_ID_LEN])
{
	(void)snprintf(ret, ACTION_ID_LEN, "a%" PRIu64, id);
}

bool journal_id_parse(struct str text, uint64_t *ret_id)
{
	text = str_trim(text);
	if (text.n > 1 && (text.p[0] == 'a' || text.p[0] == 'A'))
		text = str_from(text.p + 1, text.n - 1);
	return str_u64(text, INT64_MAX, ret_id) && *ret_id != 0;
}
