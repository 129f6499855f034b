#include "net/httpd.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define HTTPD_MAGIC 0x57e3a0f1u

struct httpd {
	uint32_t magic;
	struct loop *loop;
	struct evhttp *http;
	httpd_page_fn *page;
	void *arg;
};

static void on_request(struct evhttp_request *req, void *arg)
{
	struct httpd *h = OBJ(httpd, HTTPD_MAGIC, arg);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	AUTO_BUF body = BUF_INIT(HTTPD_BODY_MAX);
	struct evbuffer *out;
	const char *type;

	loop_clock_refresh(h->loop);
	type = h->page(h->arg, path != NULL ? path : "", &body);
	if (type == NULL || body.full) {
		evhttp_send_error(req, type == NULL ? HTTP_NOTFOUND : HTTP_INTERNAL, NULL);
		return;
	}
	out = evbuffer_new();
	if (out == NULL)
		BUG("no memory for an answer");
	(void)evbuffer_add(out, body.p, body.n);
	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", type);
	evhttp_send_reply(req, HTTP_OK, "OK", out);
	evbuffer_free(out);
}

int httpd_new(struct loop *l, const struct netaddr *at, httpd_page_fn *page, void *arg,
	      struct httpd **ret, struct err *err)
{
	struct httpd *h = xcalloc(1, sizeof(*h));
	char ip[IPADDR_TEXT_LEN];

	h->magic = HTTPD_MAGIC;
	h->loop = l;
	h->page = page;
	h->arg = arg;
	h->http = evhttp_new(loop_base(l));
	if (h->http == NULL)
		BUG("no memory for a server");
	evhttp_set_allowed_methods(h->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->http, HTTPD_HEAD_MAX);
	evhttp_set_max_body_size(h->http, 0);
	evhttp_set_timeout(h->http, HTTPD_IDLE_S);
	evhttp_set_gencb(h->http, on_request, h);
	ipaddr_text(&at->ip, ip);
	if (evhttp_bind_socket(h->http, ip, at->port) != 0) {
		(void)err_sys(err, errno, "listening on %s port %u", ip, at->port);
		httpd_free(&h);
		return -ERR_NET;
	}
	*ret = h;
	return 0;
}

void httpd_free(struct httpd **hp)
{
	if (hp == NULL || *hp == NULL)
		return;
	evhttp_free((*hp)->http);
	(*hp)->magic = 0;
	free(*hp);
	*hp = NULL;
}
