#include "ctl/verdict.h"

#include <stdio.h>
#include <string.h>

#include "route/site.h"

int verdict_code(const char *reply)
{
	bool is_code = strlen(reply) >= 3 && reply[0] >= '2' && reply[0] <= '5';

	for (int i = 0; is_code && i < 3; i++)
		is_code = reply[i] >= '0' && reply[i] <= '9';
	is_code = is_code && (reply[3] == '\0' || reply[3] == ' ');
	return is_code ? (reply[0] - '0') * 100 + (reply[1] - '0') * 10 + reply[2] - '0' : 0;
}

/* The reply without its codes: those are known. */
static struct str words(const struct attempt *a)
{
	struct str text = str_of(a->reply);
	size_t n;

	if (a->code == 0 || text.n < 4)
		return text;
	text = str_trim(str_from(text.p + 3, text.n - 3));
	n = smtp_enhanced_length(text);
	return str_trim(str_from(text.p + n, text.n - n));
}

static void judge(const struct classify_rules *rules, struct str site, const struct attempt *a,
		  struct classify_out *ret)
{
	classify(rules,
		 &(struct classify_in){
			 .provider = a->host[0] != '\0' ? str_of(site_of(a->host)) : site,
			 .code = a->code,
			 .enhanced = str_of(a->enhanced),
			 .text = words(a),
			 .given = (enum reply_class)a->reply_class,
			 .phase = a->phase < CLASSIFY_PHASE__COUNT ? (enum classify_phase)a->phase
								   : CLASSIFY_PHASE_UNKNOWN },
		 ret);
}

void verdict_make(const struct classify_rules *rules, const struct attempt *a,
		  struct classify_out *ret)
{
	judge(rules, STR(""), a, ret);
}

void verdict_again(const struct classify_rules *rules, struct str site, const struct attempt *a,
		   struct classify_out *ret)
{
	enum reply_class stored =
		a->reply_class < REPLY_CLASS__COUNT ? (enum reply_class)a->reply_class : REPLY_NONE;
	struct attempt copy = *a;

	copy.reply_class = a->code == 0 ? (uint8_t)stored : (uint8_t)REPLY_NONE;
	if (rules != NULL)
		judge(rules, site, &copy, ret);
	if (rules == NULL || ret->reply_class != stored)
		classify_class(stored, a->code, ret);
}

void verdict_text(const struct classify_rules *rules, struct str site, uint8_t reply_class,
		  const char *reply, struct classify_out *ret)
{
	struct attempt a = { .code = verdict_code(reply), .reply_class = reply_class };
	struct str rest;
	size_t n;

	(void)snprintf(a.reply, sizeof(a.reply), "%s", reply);
	rest = str_from(a.reply + 4, a.code != 0 && strlen(a.reply) > 4 ? strlen(a.reply + 4) : 0);
	n = smtp_enhanced_length(rest);
	if (n > 0)
		(void)snprintf(a.enhanced, sizeof(a.enhanced), "%.*s", (int)n, rest.p);
	verdict_again(rules, site, &a, ret);
}
