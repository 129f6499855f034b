/*
 * Since when destinations are in trouble, over restarts: what is loaded of the queue says only that
 * they are, and when their mail came in. Stored in parts (wire_parts.c), kind "trouble":
 * {"t": [[DOMAIN, STREAM, NEXT-HOP, MS, MS OF THE NEXT HOP], …]}. A kill may take the last seconds.
 */
#include "app/relayd_int.h"
#include "base/json.h"
#include "base/mem.h"

#define KIND "trouble"

static json_t *name_json(const struct relayd *r, uint32_t name)
{
	return json_text(queue_name_text(r->env.queue, name));
}

static char *part_text(struct relayd *r, uint32_t first, uint32_t end)
{
	json_t *list = json_array();
	json_t *o = json_pack("{s:o}", "t", list);
	char *text = NULL;

	for (uint32_t i = first; i < end && i < sched_groups(r->env.sched); i++) {
		struct sched_group_view g;
		struct sched_dest_view d = { .since_ms = 0 };
		if (!sched_group(r->env.sched, i, &g))
			continue;
		(void)sched_dest(r->env.sched, g.next_hop, &d);
		if (g.trouble_since_ms != 0 || d.since_ms != 0)
			(void)json_array_append_new(
				list,
				json_pack("[o, o, s, I, I]", name_json(r, g.domain),
					  name_json(r, g.stream), g.next_hop,
					  (json_int_t)g.trouble_since_ms, (json_int_t)d.since_ms));
	}
	if (json_array_size(list) > 0)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void load_part(struct relayd *r, const json_t *part)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(part, "t"), i, row)
	{
		const char *domain, *stream, *next_hop;
		json_int_t since_ms, hop_ms;
		if (json_unpack((json_t *)(uintptr_t)row, "[s, s, s, I, I]", &domain, &stream,
				&next_hop, &since_ms, &hop_ms) < 0)
			continue;
		sched_load_trouble(r->env.sched, queue_name_find(r->env.queue, str_of(domain)),
				   queue_name_find(r->env.queue, str_of(stream)), next_hop,
				   since_ms, hop_ms);
	}
}

int wire_trouble_load(struct relayd *r, struct err *err)
{
	r->trouble = wire_parts_new(r, KIND, part_text);
	return wire_parts_load(r->trouble, load_part, err);
}
