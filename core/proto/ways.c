#include "proto/ways.h"

#include "base/json.h"
#include "base/mem.h"
#include "proto/proto.h"

bool ways_at(const json_t *recipients, size_t i, struct ways *ret)
{
	static const char *const fields[] = { "next_hop", "pool", "sources" };
	json_t *seen;
	const json_t *row;
	size_t k;

	*ret = (struct ways){ .n = 0 };
	if (i >= ARRAY_LEN(fields))
		return false;
	ret->title = field_find("message", fields[i])->title;
	seen = json_object();
	json_array_foreach(recipients, k, row)
	{
		const char *text = json_get_str(row, fields[i]);
		if (*text == '\0' || json_object_get(seen, text) != NULL)
			continue;
		(void)json_object_set_new(seen, text, json_true());
		if (ret->n < WAYS_SHOWN)
			ret->texts[ret->n++] = text;
	}
	ret->more = json_object_size(seen) - ret->n;
	json_decref(seen);
	return true;
}
