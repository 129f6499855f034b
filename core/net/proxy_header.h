/*
 * proxy_header - what a load balancer says in front of a connection (PROXY protocol, versions 1 and
 * 2, as HAProxy, nginx and cloud balancers speak it): whose connection it really is.
 *
 * Model:   pure; the caller collects bytes and asks until the header is complete. Nothing behind it
 *          is looked at. What version 2 adds beside the addresses is skipped.
 * Limits:  PROXY_HEADER_MAX bytes.
 */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/netaddr.h"

#define PROXY_HEADER_MAX                                                                           \
	552 /* 16, the longest addresses (2 * 108), and 320 for what is skipped                    \
	     */

struct proxy_header {
	bool named;	       /* false: the balancer's own connection, or one it does not name */
	struct netaddr client; /* when it is named */
};

enum proxy_result { PROXY_MORE, PROXY_DONE, PROXY_WRONG };

/* DONE: *ret and *ret_used, the header's length, are set. */
enum proxy_result proxy_header_parse(const uint8_t *p, size_t n, struct proxy_header *ret,
				     size_t *ret_used);

#endif
