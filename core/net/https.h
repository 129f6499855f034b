/*
 * https - fetches and posts documents by HTTPS (libcurl), through the event loop.
 *
 * Model:   https_get() fetches one document from addresses that the caller has looked up: no name
 *          is asked here, no proxy used, no redirect followed, no connection kept. The host's
 *          certificate must be valid for its name under the authorities of `trust`.
 * Owner:   the request is copied; the answer borrows for the length of the callback. `trust` is
 *          borrowed and lives longer.
 * Context: loop thread. A callback comes once, never from inside https_get() or https_cancel();
 *          after https_cancel() none comes. Callbacks may get and cancel, but not free.
 * Errors:  an answer with `trouble`, in plain words.
 * Limits:  below; requests beyond HTTPS_ACTIVE_MAX wait. Their time begins when they start.
 */
#ifndef NET_HTTPS_H
#define NET_HTTPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"

#define HTTPS_ACTIVE_MAX 32
#define HTTPS_ADDRESSES_MAX 16
#define HTTPS_TYPE_MAX 128 /* of a content type that is told */

struct https;
struct loop;
struct tls_client;

struct https_request {
	const char *host; /* a valid name in ASCII */
	uint16_t port;
	const char *path; /* "/…" */
	const struct ipaddr *addresses;
	size_t addresses_n;
	size_t body_max; /* a longer document is trouble */
	int64_t timeout_ms;
	bool plain;		    /* HTTP without TLS */
	struct str post;	    /* sent instead of asking for a document; p NULL: none */
	const char *const *headers; /* "Name: value", besides the usual ones */
	size_t headers_n;
};

struct https_answer {
	int status;		  /* 200, or what it was; 0 with trouble */
	const char *content_type; /* as it came; "" without */
	struct str body;
	const char *trouble; /* NULL: there is an answer */
};

struct https *https_new(struct loop *l, const struct tls_client *trust);
void https_free(struct https **hp); /* no callback comes any more */

typedef void https_fn(void *arg, const struct https_answer *answer);
/* Answers a number for https_cancel(), never 0. */
uint64_t https_get(struct https *h, const struct https_request *r, https_fn *fn, void *arg);
void https_cancel(struct https *h, uint64_t id);

#endif
