/*
 * streams - the ordered rules that say which stream a message belongs to, and what is different for
 * its mail.
 *
 * Model:   a stream has a filter and header conditions; the first one in order whose filter matches
 *          the message, and of whose conditions (when it has any) one is met, takes it. What nobody
 *          takes is the stream `default`'s, which is always there and stands behind all others. Of
 *          a message with several recipients one that matches is enough. A message stays in its
 *          stream, whatever happens to the rules.
 *          Each is an object of the store (kind "stream", id is its name); `default` is one when it
 *          was changed.
 * Stored:  the members of struct mailstream by their names; what is missing is as in a new one.
 * Owner:   streams belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread; pure.
 * Errors:  streams_check() names the parameter at fault.
 * Limits:  STREAMS_MAX and those beside it.
 */
#ifndef ROUTE_STREAMS_H
#define ROUTE_STREAMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "filter/filter.h"
#include "route/tls_policy.h"

#define STREAMS_KIND "stream"
#define STREAMS_MAX 200
#define STREAM_DEFAULT "default"
#define STREAM_NAME_MAX 40
#define STREAM_CONDITIONS_MAX 20 /* of one stream, and as many required ones */
#define STREAM_CONDITION_MAX 300
#define STREAM_RETRIES_MAX 20
#define STREAM_PRIORITY 5 /* of 1 to 9; of a stream without another one */
#define STREAM_ONE_CLICK "one-click"

struct stream_retry {
	int64_t ms[STREAM_RETRIES_MAX]; /* the last one repeats */
	unsigned n;			/* 0: as the relay has it */
	int64_t doubles_to_ms;		/* from ms[0] on, n is 1; 0: no */
};

/* To a recipient that the suppression list has. */
enum stream_suppressed {
	STREAM_AS_RELAY, /* as relayd.conf has it */
	STREAM_REJECT,	 /* refused at RCPT; what is queued is returned */
	STREAM_DROP	 /* taken, and deleted without a word */
};

struct mailstream {
	char id[STREAM_NAME_MAX + 1];
	double place; /* order; ascending */
	struct filter *match;
	char *match_text; /* canonical; "" for all */
	char **headers;	  /* "NAME" or "NAME: PATTERN"; NULL-terminated, none: not asked for */
	char **require;	  /* the same, and STREAM_ONE_CLICK; all of them */
	int priority;
	char *retry_text; /* "1m,5m,1h" or "1m..4h"; "": as the relay has it */
	struct stream_retry retry;
	int64_t lifetime_s;   /* 0: as the relay has it */
	int64_t delay_s;      /* a warning after that; 0: never, -1: as the relay has it */
	unsigned rate;	      /* messages a minute to one destination; 0: no limit */
	unsigned concurrency; /* messages at once to one destination; 0: no limit */
	enum route_tls tls;   /* all but implicit, which a host's port decides */
	enum stream_suppressed suppressed;
	char *pool; /* "": none */
	char *dkim; /* whose keys sign besides those of the author's domain; "": nobody's */
	char *note;
	char *by;
	int64_t created_ms;
	bool stored; /* false: `default` as it is in a new relay */
};

struct streams;
struct streams *streams_new(void);
void streams_free(struct streams **sp);
/* A name as it is kept, in lower case: ERR_INVALID for what is none. */
int streams_name(struct str text, char ret[static STREAM_NAME_MAX + 1], struct err *err) MUST_CHECK;
/* Completes what could be a stream, so that it is as streams_json() has it: ERR_INVALID with the
 * parameter. */
int streams_check(json_t *o, struct err *err) MUST_CHECK;
int streams_put(struct streams *s, const char *json, struct err *err) MUST_CHECK;
json_t *streams_json(const struct mailstream *x); /* owned; what the store keeps */
bool streams_drop(struct streams *s, struct str id);
const struct mailstream *streams_find(const struct streams *s, struct str id);
/* The same, and `default` for one that is gone. */
const struct mailstream *streams_of(const struct streams *s, struct str id);
/* A place before `before`; behind all others but `default` when it is NULL or `default`. */
double streams_place(const struct streams *s, const struct mailstream *before);
size_t streams_n(const struct streams *s);
const struct mailstream *streams_at(const struct streams *s, size_t i); /* `default` is the last */

/* --- which one (streams_match.c) -------------------------------------------------------------- */

/* A message as far as it is known. */
struct stream_facts {
	const struct filter_row *row; /* without fields of a recipient */
	size_t rcpts_n;
	/* Completes a copy of the row. */
	void (*rcpt)(void *arg, size_t i, struct filter_row *row);
	void *arg;
	bool all_rcpts;	 /* there will be no others */
	bool has_header; /* `header` is there, and whole */
	struct str header;
};
/* The fields that a stream can ask for. */
bool streams_may_ask(enum filter_field field);
/* NULL: it depends on what is not known yet; *ret_open is the stream that asks for it. */
const struct mailstream *streams_assign(const struct streams *s, const struct stream_facts *f,
					const struct mailstream **ret_open);
/* The first of the header conditions that is met; NULL. */
const char *streams_met(const struct mailstream *x, struct str header);
/* True when a required field is missing; what, for the client, is appended to `why`. */
bool streams_lacks(const struct mailstream *x, struct str header, struct buf *why);

#endif
