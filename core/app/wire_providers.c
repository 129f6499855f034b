/*
 * Who takes the mail of the queued domains, over restarts: rules that name a provider find its
 * domains at once, and not only when DNS was asked again. Stored in parts (wire_parts.c), kind
 * "providers": {"d": [DOMAIN, PROVIDER, …]}.
 */
#include "app/relayd_int.h"
#include "base/json.h"
#include "base/mem.h"

#define KIND "providers"

/* Domains and providers of a part's groups; owned. */
static char *part_text(struct relayd *r, uint32_t first, uint32_t end)
{
	json_t *list = json_array();
	json_t *o = json_pack("{s:o}", "d", list);
	char *text = NULL;

	for (uint32_t i = first; i < end && i < sched_groups(r->env.sched); i++) {
		struct sched_group_view g;
		struct str domain;
		const char *provider;
		if (!sched_group(r->env.sched, i, &g) || g.counts.total == 0)
			continue;
		domain = queue_name_text(r->env.queue, g.domain);
		provider = resolver_provider(r->env.resolver, domain);
		if (provider == NULL)
			continue;
		(void)json_array_append_new(list, json_text(domain));
		(void)json_array_append_new(list, json_string(provider));
	}
	if (json_array_size(list) > 0)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void load_part(struct relayd *r, const json_t *part)
{
	const json_t *list = json_object_get(part, "d");

	for (size_t i = 0; i + 1 < json_array_size(list); i += 2) {
		const char *domain = json_string_value(json_array_get(list, i));
		const char *provider = json_string_value(json_array_get(list, i + 1));
		if (domain != NULL && provider != NULL)
			resolver_load_provider(r->env.resolver, str_of(domain), provider);
	}
}

int wire_providers_load(struct relayd *r, struct err *err)
{
	r->providers = wire_parts_new(r, KIND, part_text);
	return wire_parts_load(r->providers, load_part, err);
}
