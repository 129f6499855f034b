/*
 * Where connections come from. Without cfg.source the system says; with it, each connection asks
 * for an address of the family that it goes to and says EHLO by that address's name. Each
 * transaction is counted for the address before it is asked for, and not counted after all when
 * nobody took the message; so that many connections together do not pass a cap.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "smtpout/smtpout_int.h"

#define AGAIN_MS 60000

const char *out_source_name(const struct out_session *s)
{
	return s->from.ehlo[0] != '\0' ? s->from.ehlo : s->o->hostname;
}

/* There is one that may be used, if not for every host. */
static bool has_any(const struct out_hop *h)
{
	const struct smtpout_config *cfg = &h->o->cfg;
	struct smtpout_ask ask = { .next_hop = h->key, .any = true };
	struct smtpout_source from;
	char why[SMTPOUT_WHY_MAX] = "";

	return cfg->source(cfg->arg, &ask, &from, why) == SMTPOUT_FROM;
}

bool out_source_choose(struct out_session *s, char why[static SMTPOUT_WHY_MAX])
{
	const struct smtpout_config *cfg = &s->o->cfg;
	struct smtpout_ask ask = { .next_hop = s->hop->key, .v4 = ipaddr_is_v4(&s->addr.ip) };

	enum smtpout_from got = SMTPOUT_FROM;

	s->from = (struct smtpout_source){ .bound = false };
	if (cfg->source != NULL)
		got = cfg->source(cfg->arg, &ask, &s->from, why);
	/* when only those of the other family may be used, it is this host that cannot be reached
	 */
	s->sourceless = got == SMTPOUT_FROM_NONE && !has_any(s->hop);
	return got == SMTPOUT_FROM;
}

bool out_source_failed(struct out_session *s, const char *error)
{
	const struct smtpout_config *cfg = &s->o->cfg;

	if (!s->from.bound || netaddr_usable(&s->from.ip))
		return false;
	cfg->source_bad(cfg->arg, s->hop->key, &s->from.ip, error);
	if (log_limited("smtpout.source")) {
		char ip[IPADDR_TEXT_LEN];
		ipaddr_text(&s->from.ip, ip);
		log_warn(NULL, "smtpout.source", F_STR("address", ip),
			 F_STR("next_hop", s->hop->key), F_STR("error", error));
	}
	return true;
}

bool out_source_any(struct out_hop *h)
{
	const struct smtpout_config *cfg = &h->o->cfg;
	struct smtpout_ask ask = { .next_hop = h->key, .any = true };
	struct smtpout_source from;
	char why[SMTPOUT_WHY_MAX] = "";
	enum smtpout_from got;
	struct attempt a;

	if (cfg->source == NULL)
		return true;
	got = cfg->source(cfg->arg, &ask, &from, why);
	if (got == SMTPOUT_FROM || got == SMTPOUT_FROM_OTHER)
		return true;
	memset(&a, 0, sizeof(a));
	a.at_ms = loop_wall_ms(h->o->loop);
	a.outcome = OUTCOME_DEFERRED;
	(void)snprintf(a.enhanced, sizeof(a.enhanced), "4.3.5");
	(void)snprintf(a.reply, sizeof(a.reply), "%s", why);
	h->work = 0;
	sched_slow(h->o->sched, h->key, &a,
		   ask.until_ms > a.at_ms ? ask.until_ms : a.at_ms + AGAIN_MS);
	return false;
}

bool out_source_take(struct out_session *s)
{
	const struct smtpout_config *cfg = &s->o->cfg;

	if (!s->from.bound || s->taken)
		return true;
	s->taken = cfg->source_take(cfg->arg, s->hop->key, &s->from.ip);
	return s->taken;
}

void out_source_done(struct out_session *s, bool sent)
{
	const struct smtpout_config *cfg = &s->o->cfg;

	if (s->taken && !sent)
		cfg->source_untake(cfg->arg, s->hop->key, &s->from.ip);
	s->taken = false;
}
