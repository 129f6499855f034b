/*
 * verdict - what the rules say of an attempt: when it is made, and again when it is shown, because
 * only its class is stored.
 *
 * Model:   the sentence of the rule that decides is shown, as long as it is of the class that is
 *          stored; when the rules were edited since, the class's own.
 * Owner:   texts of the answer belong to the rules.
 */
#ifndef CTL_VERDICT_H
#define CTL_VERDICT_H

#include "outcome/classify.h"
#include "queue/attempt.h"

/* a->reply_class: what failed where there was no reply, or none. */
void verdict_make(const struct classify_rules *rules, const struct attempt *a,
		  struct classify_out *ret);
/* a->reply_class: the one that is stored. site: of the host when a->host is empty. rules may be
 * NULL. */
void verdict_again(const struct classify_rules *rules, struct str site, const struct attempt *a,
		   struct classify_out *ret);
/* The same where only the reply's text is known, with its codes. */
void verdict_text(const struct classify_rules *rules, struct str site, uint8_t reply_class,
		  const char *reply, struct classify_out *ret);
/* The code at the beginning of a reply; 0: it is the relay's own words. */
int verdict_code(const char *reply);

#endif
