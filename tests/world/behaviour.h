/*
 * behaviour - what a domain of the demo world does to mail that comes for it.
 *
 * Model:   a behaviour is a row of behaviours.def with parameters (params.def) changed by the words
 *          of a `set` command. At each stage of a session the receiver asks behaviour_acts(); the
 *          state behind the conditions (first contact, counts of a window, greylisted triples)
 *          lives in struct behaviour_state and starts anew whenever a behaviour is set.
 * Limits:  GREYLIST_MAX triples a domain; at the limit all are forgotten.
 */
#ifndef WORLD_BEHAVIOUR_H
#define WORLD_BEHAVIOUR_H

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define GREYLIST_MAX 65536
#define BEHAVIOUR_PREFIX_LEN 64
#define BEHAVIOUR_TEXT_LEN 640

enum stage {
	STAGE_BANNER,
	STAGE_HELO,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA, /* the DATA command */
	STAGE_BODY, /* in the middle of the message */
	STAGE_EOD,  /* after its final dot */
	STAGE__COUNT
};

enum when { WHEN_ALWAYS, WHEN_RATE, WHEN_PERIOD, WHEN_TRIPLE, WHEN_PREFIX };
enum act { ACT_NONE, ACT_REPLY, ACT_HANG, ACT_DROP, ACT_DOWN };
enum dns_form {
	DNS_MX,
	DNS_IMPLICIT, /* no MX, only addresses */
	DNS_CNAME,
	DNS_MANY, /* more MX records than fit a datagram */
	DNS_NULL,
	DNS_NXDOMAIN,
	DNS_SERVFAIL,
	DNS_TIMEOUT,
	DNS_GARBAGE,
	DNS_FORM__COUNT
};

struct behaviour {
	const char *name;
	const char *help;
	enum act act;
	enum when when;
	int64_t at;  /* enum stage */
	int64_t dns; /* enum dns_form */
	int64_t seconds;
	int64_t every;
	int64_t rate;
	int64_t window;
	int64_t percent;
	int64_t delay;
	int64_t mx;
	char prefix[BEHAVIOUR_PREFIX_LEN];
	char text[BEHAVIOUR_TEXT_LEN];
};

struct triple;
RB_HEAD(triples, triple);

struct behaviour_state {
	int64_t first_contact_ms; /* -1 before it */
	int64_t window_start_ms;
	int64_t window_count;
	size_t triples_n;
	struct triples triples;
};

/* What is known at the moment of the question; empty where it is not known yet. */
struct contact {
	enum stage at;
	unsigned mx; /* which MX of the domain the site is, from 1 */
	struct str client;
	struct str from;
	struct str rcpt;
	int64_t now_ms;
	uint64_t dice; /* random bits */
};

/* Reads "NAME [key=value …]"; values with spaces stand in double quotes. Untouched on failure. */
int behaviour_parse(const char *words, struct behaviour *ret, struct err *err) MUST_CHECK;
/* True when the behaviour's action is to happen now; moves the state on. */
bool behaviour_acts(const struct behaviour *b, struct behaviour_state *state,
		    const struct contact *c);
/* True when nothing listens at the domain's mx-th site. */
bool behaviour_is_down(const struct behaviour *b, unsigned mx);
/* Appends the reply as it goes over the wire, all its lines. Returns its code. */
int behaviour_reply(const struct behaviour *b, const struct contact *c, const char *host,
		    struct buf *out);

void behaviour_state_init(struct behaviour_state *state);
void behaviour_state_done(struct behaviour_state *state);

/* The tables as text for --help. */
void behaviour_help(struct buf *out);

#endif
