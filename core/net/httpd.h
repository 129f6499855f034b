/*
 * httpd - answers GET of a few documents made on the spot, for monitoring (libevent's evhttp).
 *
 * Context: loop thread. `page` is called for every GET: it appends the document for the path and
 *          answers its content type, or NULL when there is none (404).
 * Errors:  httpd_new(): ERR_NET when the address cannot be had.
 * Limits:  HTTPD_BODY_MAX bytes of an answer, HTTPD_HEAD_MAX of a question, HTTPD_IDLE_S idle.
 */
#ifndef NET_HTTPD_H
#define NET_HTTPD_H

#include "base/buf.h"
#include "base/err.h"
#include "net/netaddr.h"

#define HTTPD_BODY_MAX ((size_t)4 << 20)
#define HTTPD_HEAD_MAX 8192
#define HTTPD_IDLE_S 30

struct httpd;
struct loop;
typedef const char *httpd_page_fn(void *arg, const char *path, struct buf *out);
int httpd_new(struct loop *l, const struct netaddr *at, httpd_page_fn *page, void *arg,
	      struct httpd **ret, struct err *err) MUST_CHECK;
void httpd_free(struct httpd **hp);

#endif
