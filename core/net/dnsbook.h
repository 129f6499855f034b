/*
 * dnsbook - what DNS says, for questions that follow from each other's answers.
 *
 * Model:   whoever evaluates something reads answers with dnsbook_get(). One that is not there is
 *          noted, and the reader goes on as far as it can; dnsbook_ask() asks for all that were
 *          noted, and then it evaluates again from the beginning. So evaluation is a plain function
 *          of the book, without states between questions.
 * Owner:   the book owns its answers; they stay as long as it.
 * Context: loop thread. The callback never comes from inside dnsbook_ask(); after dnsbook_free()
 *          none comes.
 * Limits:  DNSBOOK_MAX questions; beyond it the answer is trouble, so that nothing waits for ever.
 */
#ifndef NET_DNSBOOK_H
#define NET_DNSBOOK_H

#include <stdbool.h>

#include "net/dns.h"

#define DNSBOOK_MAX 400

struct dnsbook;
typedef void dnsbook_fn(void *arg);
/* d NULL: answers are only written by dnsbook_put(). */
struct dnsbook *dnsbook_new(struct dns *d, dnsbook_fn *fn, void *arg);
void dnsbook_free(struct dnsbook **bp);

/* The answer, or NULL while it is not there. */
const struct dns_answer *dnsbook_get(struct dnsbook *b, const char *name, enum dns_type type);
/* Asks what was missing; fn is called when all of it is there. False when nothing was. */
bool dnsbook_ask(struct dnsbook *b);
/* Writes a copy of an answer. */
void dnsbook_put(struct dnsbook *b, const char *name, enum dns_type type,
		 const struct dns_answer *answer);

#endif
