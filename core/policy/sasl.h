/*
 * sasl - the server's side of authentication: PLAIN, LOGIN and SCRAM-SHA-256 (libgsasl) over
 * credentials.
 *
 * Model:   one exchange is a struct sasl: sasl_step() with each response of the client, and one
 *          answer to each through the callback, at once from inside of the call or later (a secret
 *          that came in the clear is checked by a worker). A name that is not known, a wrong
 *          secret, one that is past its time or revoked, and a client outside of the credential's
 *          networks all look the same from outside and take the same time; `why` is for the log.
 * Owner:   whoever started it frees it, at any time; then no answer comes any more. The credentials
 *          outlive all exchanges.
 * Context: loop thread.
 * Limits:  SASL_JOBS_MAX secrets being checked at a time, all exchanges of one loop together; above
 *          it SASL_BUSY. The caller bounds a response.
 */
#ifndef POLICY_SASL_H
#define POLICY_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"
#include "loop/loop.h"
#include "policy/creds.h"

#define SASL_MECHANISMS "PLAIN LOGIN SCRAM-SHA-256"
#define SASL_JOBS_MAX 32

struct sasl_server; /* what exchanges share */
struct sasl_server *sasl_server_new(struct loop *l, struct creds *c);
/* After its exchanges; secrets being checked are waited for by the loop's end. */
void sasl_server_free(struct sasl_server **sp);
unsigned sasl_jobs(const struct sasl_server *s); /* secrets being checked now */

enum sasl_outcome {
	SASL_CONTINUE, /* send the challenge */
	SASL_DONE,     /* authenticated; a challenge that is not empty has to be sent and answered
			  with nothing first */
	SASL_REFUSED,
	SASL_MALFORMED, /* the client does not keep to the mechanism */
	SASL_BUSY,	/* try again later */
};

struct sasl_answer {
	enum sasl_outcome outcome;
	struct str challenge;
	const char
		*name; /* DONE: the credential's; REFUSED: when it is known, for the log; or NULL */
	/* The id of the secret; REFUSED: of one that is right, but not good (any more), else empty.
	 */
	const char *secret;
	const char *why; /* not DONE: in plain words, for the log */
};
/* Everything is borrowed for the time of the call. */
typedef void sasl_fn(void *arg, const struct sasl_answer *a);

struct sasl;
/* Whether the mechanism is offered. */
bool sasl_knows(struct str mechanism);
/* NULL for one that is not. */
struct sasl *sasl_start(struct sasl_server *s, struct str mechanism, const struct ipaddr *client,
			sasl_fn *fn, void *arg);
/* Instead of the first step when the client sent no response with its command. */
void sasl_begin(struct sasl *x);
void sasl_step(struct sasl *x, struct str response);
void sasl_free(struct sasl **xp);

#endif
