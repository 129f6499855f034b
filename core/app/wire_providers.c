/*
 * Who takes the mail of the queued domains, over restarts: rules that name a provider find its
 * domains at once, and not only when DNS was asked again.
 *
 * When something new is known, all groups of the scheduler are gone through, a part of PART groups
 * at a time; each part is an object of the store (kind "providers", its number), written when it is
 * another one than last time: {"d": [DOMAIN, PROVIDER, …]}. What is beyond PARTS_MAX is not kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define PART 1000
#define PARTS_MAX 50
#define SOON_MS 2000   /* after something new is known */
#define SLICE_MS 20    /* between two parts */
#define PAUSE_MS 10000 /* between two passes */

struct wire_providers {
	struct loop_timer *timer;
	bool more;		  /* something new, since the pass began */
	uint32_t part;		  /* the next one */
	uint64_t hash[PARTS_MAX]; /* of what is stored; 0: nothing is known of it */
};

static void on_kept(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL && log_limited("relayd.providers"))
		log_warn(NULL, "relayd.providers", F_STR("error", err->msg));
}

/* Domains and providers of a part's groups; owned. */
static char *part_text(const struct relayd *r, uint32_t part)
{
	json_t *list = json_array();
	json_t *o = json_pack("{s:o}", "d", list);
	char *text;

	for (uint32_t i = part * PART; i < (part + 1) * PART; i++) {
		struct sched_group_view g;
		struct str domain;
		const char *provider;
		if (i >= sched_groups(r->env.sched))
			break;
		if (!sched_group(r->env.sched, i, &g) || g.counts.total == 0)
			continue;
		domain = queue_name_text(r->env.queue, g.domain);
		provider = resolver_provider(r->env.resolver, domain);
		if (provider == NULL)
			continue;
		(void)json_array_append_new(list, json_text(domain));
		(void)json_array_append_new(list, json_string(provider));
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void keep(struct relayd *r, uint32_t part)
{
	AUTO_FREE char *text = part_text(r, part);
	uint64_t hash = str_hash(str_of(text));
	char id[16];

	if (hash == r->providers->hash[part])
		return;
	r->providers->hash[part] = hash;
	(void)snprintf(id, sizeof(id), "%u", (unsigned)part);
	queue_commit(r->env.queue, NULL,
		     &(struct queue_object){ .kind = WIRE_KIND_PROVIDERS, .id = id, .json = text },
		     1, on_kept, NULL);
}

static void on_turn(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct wire_providers *p = r->providers;

	if (r->ending || r->env.disk_full)
		return;
	if (p->part == 0)
		p->more = false;
	keep(r, p->part++);
	if (p->part < PARTS_MAX && p->part * PART < sched_groups(r->env.sched)) {
		loop_timer_set(p->timer, SLICE_MS);
		return;
	}
	p->part = 0;
	if (p->more)
		loop_timer_set(p->timer, PAUSE_MS);
}

void wire_providers_changed(struct relayd *r)
{
	struct wire_providers *p = r->providers;

	if (p == NULL)
		return;
	p->more = true;
	if (!loop_timer_pending(p->timer))
		loop_timer_set(p->timer, SOON_MS);
}

static void load_part(void *arg, const struct queue_object *o)
{
	struct relayd *r = arg;
	json_t *part = NULL;
	const json_t *list;

	if (json_read(o->json, &part, NULL) < 0)
		return; /* DNS says it again */
	list = json_object_get(part, "d");
	for (size_t i = 0; i + 1 < json_array_size(list); i += 2) {
		const char *domain = json_string_value(json_array_get(list, i));
		const char *provider = json_string_value(json_array_get(list, i + 1));
		if (domain != NULL && provider != NULL)
			resolver_load_provider(r->env.resolver, str_of(domain), provider);
	}
	json_decref(part);
}

int wire_providers_load(struct relayd *r, struct err *err)
{
	return queue_load_objects(r->env.queue, WIRE_KIND_PROVIDERS, load_part, r, err);
}

void wire_providers_open(struct relayd *r)
{
	r->providers = xcalloc(1, sizeof(*r->providers));
	r->providers->timer = loop_timer_new(r->env.loop, "relayd.providers", on_turn, r);
}

void wire_providers_close(struct relayd *r)
{
	if (r->providers == NULL)
		return;
	loop_timer_free(&r->providers->timer);
	free(r->providers);
	r->providers = NULL;
}
