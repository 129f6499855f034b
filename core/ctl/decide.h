/*
 * decide - what becomes of mail by the relay's rules.
 *
 * Model:   the same functions are asked when mail comes in and when it is tried (core/app), when
 *          somebody tests a rule (ctl/trial.h), and when an edit is replayed (ctl/replay.h): so the
 *          answers of these are what happens.
 * Owner:   what is returned borrows from the rules, until their next change.
 * Context: loop thread; pure.
 */
#ifndef CTL_DECIDE_H
#define CTL_DECIDE_H

#include "ctl/env.h"

/* A message on its way in, as far as it is known. */
struct decide_mail {
	const struct ipaddr *client; /* NULL: not known */
	const struct address *from;  /* NULL: not known */
	struct str credential;	     /* empty: none; p NULL: not known */
	size_t rcpts_n;
	const struct address *(*rcpt)(void *arg, size_t i);
	void *arg;
	bool all_rcpts;	 /* there will be no others */
	bool has_header; /* and these, where they are known: p NULL, they are not */
	struct str header;
	struct str subject;
	struct str msgid;
	int64_t size;			 /* < 0: not known */
	const struct mailstream *stream; /* it is this one; NULL: the rules are asked */
};
/* What filters see of it, without its recipients. The row borrows `client`. */
void decide_row(const struct ctl_env *env, const struct decide_mail *m,
		char client[static IPADDR_TEXT_LEN], struct filter_row *ret);
/* The entry of the allowlist whose stream, one of these, a client's mail without a credential gets;
 * NULL: the rules say. */
const struct allow_entry *decide_network(const struct ctl_env *env, const struct streams *streams,
					 const struct ipaddr *client);
const struct allow_entry *decide_network_of(const struct ctl_env *env, const struct decide_mail *m);
/* Its stream. NULL: it depends on what is not known; *ret_open is the stream that asks for it. */
const struct mailstream *decide_stream(const struct ctl_env *env, const struct decide_mail *m,
				       const struct mailstream **ret_open);
/* A recipient at RCPT. *ret_stream: as far as the envelope decides it, or NULL. The route that
 * refuses it; NULL: none does. m->rcpts_n counts it. */
const struct route *decide_rcpt(const struct ctl_env *env, const struct decide_mail *m,
				const struct address *rcpt, const struct mailstream **ret_stream);
/* An address for bounces or complaints, whose mail the relay reads itself, from anybody. */
bool decide_is_ours(const struct ctl_env *env, const struct address *rcpt);
bool decide_is_feedback(const struct ctl_env *env, const struct address *rcpt); /* for complaints */
/* The entry because of which a recipient is refused at RCPT; NULL: it is taken, if only to be
 * dropped. x NULL: the stream is not known yet. */
struct suppress_entry *decide_suppressed(const struct ctl_env *env, struct str rcpt,
					 const struct mailstream *x);
/* What is suppressed is taken and dropped in this stream, instead of being refused. */
bool decide_drops(const struct ctl_env *env, const struct mailstream *x);
/* At the end of DATA: its stream lacks something, or is none of its credential's. */
bool decide_refuses(const struct ctl_env *env, const struct mailstream *x, struct str credential,
		    struct str header, struct smtp_answer *ret_refusal);
/* The active keys that sign it: those of the author's domain, and of the stream's when that is
 * another one. How many. */
size_t decide_signers(const struct ctl_env *env, struct str content, const struct mailstream *x,
		      const struct key_entry *ret[static KEYS_DOMAIN_MAX]);

/* Rules as they are, or as they would be. */
struct decide_rules {
	const struct routes *routes;
	const struct streams *streams;
	const struct pools *pools;
};
struct decide_way {
	bool known; /* false: it depends on what is not known of the message; next_hop is "" */
	const struct route *route; /* NULL: none matches */
	const struct mailstream *stream;
	const char *pool; /* the route's, or the stream's; "" */
	char next_hop[ROUTE_HOP_MAX];
};
struct decide_rules decide_rules_of(const struct ctl_env *env);
void decide_way(const struct decide_rules *r, const struct filter_row *row, struct str domain,
		struct decide_way *ret);
/*
 * The provider could decide, and is not known: the way to it leads over the domain's own mail
 * exchangers, whose names tell who it is. It is judged anew before anything is sent there, and what
 * DNS has against the domain is met as it is by other mail. False: it is not the provider.
 */
bool decide_by_provider(const struct decide_rules *r, const struct filter_row *row,
			struct str domain, struct decide_way *way);

#endif
