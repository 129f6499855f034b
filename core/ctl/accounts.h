/*
 * accounts - names of accounts by their numbers, without waiting for whoever knows them: a
 * directory service may take its time.
 *
 * Model:   a name that is known is at hand; after ACCOUNTS_FRESH_MS it is asked for again, and
 *          used meanwhile. Another one is looked up by a job, one at a time, and told when it is
 *          there; after ACCOUNTS_WAIT_MS without an answer, and when there is no such account,
 *          "uid N" takes its place.
 * Owner:   the caller. Context: loop thread; the look-up runs in a job, and at accounts_know().
 * Limits:  ACCOUNTS_MAX names; the one that was asked for first gives way.
 */
#ifndef CTL_ACCOUNTS_H
#define CTL_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ACCOUNTS_MAX 256
#define ACCOUNTS_NAME_LEN 64
#define ACCOUNTS_FRESH_MS (INT64_C(10) * 60 * 1000)
#define ACCOUNTS_WAIT_MS 2000

struct accounts;
struct loop;

/* Any thread; false: there is no such account. */
typedef bool account_lookup_fn(uid_t uid, char *ret, size_t n);
/* Told once for each accounts_ask(), never from inside of it. */
typedef void accounts_fn(void *arg, uid_t uid, const char *name);

/* lookup NULL: the system's. */
struct accounts *accounts_new(struct loop *l, account_lookup_fn *lookup, accounts_fn *fn,
			      void *arg);
void accounts_free(struct accounts **ap);
/* Looks it up now, which may block: before the loop runs. */
void accounts_know(struct accounts *a, uid_t uid);
/* NULL: it has to be asked for. Borrowed until the next call. */
const char *accounts_name(struct accounts *a, uid_t uid);
void accounts_ask(struct accounts *a, uid_t uid);

#endif
