/*
 * sinks_int - what the files of sinks.h share: a batch goes from sinks.c to one of the two ways and
 * comes back with sink_taken() or sink_refused().
 */
#ifndef CTL_SINKS_INT_H
#define CTL_SINKS_INT_H

#include "base/buf.h"
#include "ctl/env.h"
#include "ctl/sinks.h"
#include "loop/loop.h"
#include "net/dns.h"
#include "net/https.h"

#define SINK_MAGIC 0x57e3c0a1u
#define SINK_HOST_MAX 253
#define SINK_PATH_MAX 900
#define SINK_ERROR_MAX 300

struct sink_url {
	bool plain;
	char host[SINK_HOST_MAX + 1];
	uint16_t port;
	char path[SINK_PATH_MAX + 1];
	bool literal; /* host is an address */
	struct ipaddr ip;
};
int sink_url_parse(const char *text, struct sink_url *ret, struct err *err) MUST_CHECK;

struct file_job; /* sinks_file.c */

struct sink {
	uint32_t magic;
	struct sinks *all;
	char *name;
	char *file;
	struct filter *filter; /* NULL: all events */
	char *filter_text;
	uint64_t size;
	unsigned keep;
	struct sink_url url;
	char *url_text;
	char *secret;
	struct tls_client *trust; /* NULL: that of all */
	struct https *own;	  /* with it; NULL: the one of all */
	unsigned batch;
	int64_t timeout_ms;
	/* where it is */
	uint64_t cursor;
	bool known;    /* the cursor is from the store */
	bool busy;     /* a batch is read, on its way, or being noted */
	uint64_t seen; /* the newest there was when the read under way began */
	uint64_t last; /* of the batch under way */
	uint64_t top;  /* the last one that is in it: others are passed over */
	uint64_t n;    /* its events */
	struct buf body;
	struct loop_timer *timer; /* the next try */
	unsigned tries;		  /* that failed, in a row */
	int64_t failing_ms;	  /* wall clock, since when; 0: it does not */
	int64_t sent_ms;	  /* the last batch that was taken */
	char error[SINK_ERROR_MAX];
	uint64_t sent;
	uint64_t missed;
	uint64_t failures;
	/* the ways */
	struct file_job *job;
	uint64_t dns;	/* question under way; 0: none */
	uint64_t https; /* request under way; 0: none */
	struct ipaddr addresses[HTTPS_ADDRESSES_MAX];
	size_t addresses_n;
	bool asked_v6;
};

struct sinks {
	struct ctl_env *env;
	struct https *https; /* NULL without a sink that posts */
	uint64_t newest;     /* event that there is, as far as we know */
	bool ended;
	struct sink *v;
	size_t n;
};

/* From the ways, once for each batch; never from inside sink_file() or sink_post(). */
void sink_taken(struct sink *s);
void sink_refused(struct sink *s, const char *why);

void sink_file(struct sink *s);	      /* sinks_file.c */
void sink_file_leave(struct sink *s); /* the sink goes */
void sink_post(struct sink *s);	      /* sinks_url.c */
void sink_post_leave(struct sink *s);

#endif
