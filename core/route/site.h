/*
 * site - who runs a host: the domain that was registered for it.
 *
 * Model:   "gmail-smtp-in.l.google.com" is google.com's, "mx.mail.example.co.uk" example.co.uk's:
 * one label below the public suffix, as the Public Suffix List has it. Only the list's suffixes of
 * registries count, not those that companies put under their own names
 *          ("us-east-1.amazonaws.com"): the mail hosts there have one operator. A name that is no
 *          longer than a suffix stays whole.
 * Context: any thread; pure.
 */
#ifndef ROUTE_SITE_H
#define ROUTE_SITE_H

/* The end of `host`, which is in lower case without a last dot. Borrows. */
const char *site_of(const char *host);

#endif
