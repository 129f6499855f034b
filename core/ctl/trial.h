/*
 * trial - a message that nobody has sent, followed on its way: what happens to it at each step, by
 * which rule (route.test, stream.test).
 *
 * Model:   what is decided when mail comes in and when it is tried is decided here by the same
 *          functions (ctl/decide.h and the rules' own); only the words are this module's. DNS is
 *          asked as delivery asks it, for the hosts with what is published about their TLS; and
 *          again when that said who the provider is, and a route asks for it.
 *          What was not said is not guessed: a rule that asks for it makes its step `open`.
 * Owner:   all in struct trial_found borrows for the call of the answer's function.
 * Context: loop thread.
 * Limits:  TRIAL_DNS_MS for DNS; what it has not said by then is said not to be known.
 */
#ifndef CTL_TRIAL_H
#define CTL_TRIAL_H

#include "base/buf.h"
#include "ctl/decide.h"
#include "ctl/steps.h"

#define TRIAL_DNS_MS 5000

struct trial_found {
	const struct ctl_env *env;
	int64_t now_ms;
	/* What was said. */
	const struct address *to;
	struct decide_mail mail;
	bool stream_said;
	bool ours; /* the relay reads it itself: nothing else is asked */
	/* What was decided. */
	struct filter_row row;		      /* all that is known */
	const struct allow_entry *entry;      /* of the client's address; NULL */
	const struct allow_entry *network;    /* and the one whose stream it gets */
	const struct cred *cred;	      /* NULL: none was said, or there is none such */
	const struct mailstream *stream;      /* NULL: it depends */
	const struct mailstream *stream_open; /* and this one asks for what is not known */
	const struct route *rejects;	      /* at RCPT; NULL */
	const struct suppress_entry *suppressed;
	bool suppressed_late; /* not at RCPT, where its stream is not known yet */
	bool suppressed_open; /* there are entries of streams, and its own is not known */
	struct decide_way way;
	bool by_provider; /* it goes on to be decided by who that is */
	struct route_demands demands;
	const struct resolve_answer *answer; /* NULL: there is no place to ask for */
	char client[IPADDR_TEXT_LEN];
	/* The first host and address that are tried, as far as that is decided; NULL. */
	const struct resolve_host *host;
	const struct ipaddr *address;
	const struct pool_source *sources[POOL_SOURCES_MAX]; /* where that comes from */
	size_t sources_n;				     /* 0: the system says */
	const struct key_entry *signers[KEYS_DOMAIN_MAX];
	size_t signers_n;
	struct steps steps;
};

/* Answers the call with what fn makes of it (owned). */
typedef json_t *trial_fn(struct trial_found *f);
void trial_start(struct ctl_call *call, trial_fn *fn);

/* What was found on its way in and out, step by step. */
void trial_way_in(struct trial_found *f);  /* (trial_in.c) */
void trial_way_out(struct trial_found *f); /* (trial_out.c) */

/* What a stream does where it says nothing itself; "1m..1h", "5d". */
void trial_retry(const struct ctl_env *env, const struct mailstream *x, struct buf *out);
int64_t trial_lifetime_s(const struct ctl_env *env, const struct mailstream *x);
int64_t trial_delay_s(const struct ctl_env *env, const struct mailstream *x);

#endif
