/*
 * libcurl's multi handle with our loop under it: it says which descriptors it waits for and when it
 * wants to be called (on_socket, on_timeout), we call it (act), and then look what is over.
 *
 *	WAITING   in h->waiting: HTTPS_ACTIVE_MAX others are under way
 *	ACTIVE    libcurl has it
 *	DONE      in h->done: on_turn() calls back, outside of libcurl and of our callers
 *
 * Certificates are verified against the store of the relay's own TLS client, which is read once:
 * libcurl by itself would read the authorities' file for every connection.
 */
#include "net/https.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "net/tls_int.h"

#define HTTPS_MAGIC 0x477b5001u
#define GET_MAGIC 0x477b5002u
#define URL_MAX 1200
#define RESOLVE_MAX 2048
#define BATCH 16 /* callbacks in one wake-up */

struct get {
	uint32_t magic;
	struct https *https;
	uint64_t id;
	https_fn *fn;
	void *arg;
	CURL *curl; /* NULL: waits, or is over */
	struct curl_slist *addresses;
	struct curl_slist *headers;
	char *post; /* NULL: none */
	size_t post_n;
	bool plain;
	char url[URL_MAX];
	int64_t timeout_ms;
	struct buf body;
	bool too_long;
	char why[CURL_ERROR_SIZE];
	/* the answer */
	int status;
	char type[HTTPS_TYPE_MAX];
	bool failed;
	TAILQ_ENTRY(get) next;
};
TAILQ_HEAD(gets, get);

struct watch {
	LIST_ENTRY(watch) next;
	struct loop_fd *fd;
};

struct https {
	uint32_t magic;
	struct loop *loop;
	const struct tls_client *trust;
	CURLM *multi;
	struct loop_timer *timer; /* libcurl's */
	struct loop_timer *turn;
	LIST_HEAD(, watch) watches;
	struct gets waiting;
	struct gets active;
	struct gets done;
	unsigned active_n;
	uint64_t last_id;
};

static void turn_soon(struct https *h)
{
	if (!loop_timer_pending(h->turn))
		loop_timer_set(h->turn, 0);
}

/* --- one request ------------------------------------------------------------------------------ */

static void put_str(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}

static void close_curl(struct get *g)
{
	if (g->curl == NULL)
		return;
	(void)curl_multi_remove_handle(g->https->multi, g->curl);
	curl_easy_cleanup(g->curl);
	g->curl = NULL;
}

static void get_free(struct get *g)
{
	close_curl(g);
	curl_slist_free_all(g->addresses);
	curl_slist_free_all(g->headers);
	free(g->post);
	buf_done(&g->body);
	g->magic = 0;
	free(g);
}

static void finish(struct get *g)
{
	struct https *h = g->https;

	close_curl(g);
	TAILQ_REMOVE(&h->active, g, next);
	h->active_n--;
	TAILQ_INSERT_TAIL(&h->done, g, next);
	turn_soon(h);
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct get *g = OBJ(get, GET_MAGIC, arg);

	if (buf_put(&g->body, p, one * n))
		return one * n;
	g->too_long = true;
	return 0;
}

static CURLcode on_context(CURL *curl, void *ctx, void *arg)
{
	const struct https *h = OBJ(https, HTTPS_MAGIC, arg);

	(void)curl;
	SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(h->trust->ctx));
	return CURLE_OK;
}

static void set_options(struct get *g, CURL *c)
{
	(void)curl_easy_setopt(c, CURLOPT_PRIVATE, g);
	(void)curl_easy_setopt(c, CURLOPT_URL, g->url);
	(void)curl_easy_setopt(c, CURLOPT_RESOLVE, g->addresses);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, g->plain ? "http" : "https");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)g->timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "weir");
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_context);
	(void)curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, g->https);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, g);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, g->why);
	if (g->headers != NULL)
		(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, g->headers);
	if (g->post == NULL)
		return;
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)g->post_n);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, g->post);
}

static void start(struct get *g)
{
	struct https *h = g->https;

	TAILQ_INSERT_TAIL(&h->active, g, next);
	h->active_n++;
	g->curl = curl_easy_init();
	if (g->curl == NULL)
		BUG("no memory for a request");
	set_options(g, g->curl);
	if (curl_multi_add_handle(h->multi, g->curl) == CURLM_OK)
		return;
	put_str(g->why, sizeof(g->why), "libcurl does not take the request");
	g->failed = true;
	finish(g);
}

/* --- libcurl and the loop --------------------------------------------------------------------- */

static void note_result(struct get *g, CURLcode rc)
{
	const char *type = NULL;
	long status = 0;

	g->failed = rc != CURLE_OK;
	if (g->too_long)
		put_str(g->why, sizeof(g->why), "the document is too long");
	else if (rc != CURLE_OK && g->why[0] == '\0')
		put_str(g->why, sizeof(g->why), curl_easy_strerror(rc));
	if (rc != CURLE_OK)
		return;
	(void)curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(g->curl, CURLINFO_CONTENT_TYPE, &type);
	g->status = (int)status;
	put_str(g->type, sizeof(g->type), type != NULL ? type : "");
}

static void act(struct https *h, curl_socket_t fd, int what)
{
	CURLMsg *m;
	int left;

	(void)curl_multi_socket_action(h->multi, fd, what, &left);
	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		void *p = NULL;
		CURLcode rc = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
		struct get *g = OBJ(get, GET_MAGIC, p);
		note_result(g, rc);
		finish(g);
	}
}

static void on_fd(int fd, unsigned what, void *arg)
{
	act(OBJ(https, HTTPS_MAGIC, arg), fd,
	    ((what & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
		    ((what & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *own)
{
	struct https *h = OBJ(https, HTTPS_MAGIC, arg);
	struct watch *w = own;
	unsigned wants = ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
			 ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0);

	(void)curl;
	if (what == CURL_POLL_REMOVE) {
		if (w == NULL)
			return 0;
		LIST_REMOVE(w, next);
		loop_fd_free(&w->fd);
		free(w);
		(void)curl_multi_assign(h->multi, fd, NULL);
	} else if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->fd = loop_fd_new(h->loop, "https", fd, wants, on_fd, h);
		LIST_INSERT_HEAD(&h->watches, w, next);
		(void)curl_multi_assign(h->multi, fd, w);
	} else {
		loop_fd_want(w->fd, wants);
	}
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	struct https *h = OBJ(https, HTTPS_MAGIC, arg);

	(void)multi;
	if (ms < 0)
		loop_timer_cancel(h->timer);
	else
		loop_timer_set(h->timer, ms);
	return 0;
}

static void on_timer(void *arg)
{
	act(OBJ(https, HTTPS_MAGIC, arg), CURL_SOCKET_TIMEOUT, 0);
}

/* --- requests --------------------------------------------------------------------------------- */

static void answer(struct get *g)
{
	struct https_answer a = { .status = g->status,
				  .content_type = g->type,
				  .body = buf_str(&g->body),
				  .trouble = g->failed ? g->why : NULL };

	g->fn(g->arg, &a);
	get_free(g);
}

static void on_turn(void *arg)
{
	struct https *h = OBJ(https, HTTPS_MAGIC, arg);
	struct get *g;

	for (unsigned i = 0; i < BATCH && (g = TAILQ_FIRST(&h->done)) != NULL; i++) {
		TAILQ_REMOVE(&h->done, g, next);
		answer(g);
	}
	while (h->active_n < HTTPS_ACTIVE_MAX && (g = TAILQ_FIRST(&h->waiting)) != NULL) {
		TAILQ_REMOVE(&h->waiting, g, next);
		start(g);
	}
	if (!TAILQ_EMPTY(&h->done))
		turn_soon(h);
}

/* "+HOST:PORT:ADDRESS,…": for this request, and forgotten after a while. */
static struct curl_slist *address_list(const struct https_request *r)
{
	AUTO_BUF b = BUF_INIT(RESOLVE_MAX);

	(void)buf_printf(&b, "+%s:%u:", r->host, (unsigned)r->port);
	for (size_t i = 0; i < r->addresses_n && i < HTTPS_ADDRESSES_MAX; i++) {
		char text[IPADDR_TEXT_LEN];
		ipaddr_text(&r->addresses[i], text);
		(void)buf_printf(&b, ipaddr_is_v4(&r->addresses[i]) ? "%s%s" : "%s[%s]",
				 i > 0 ? "," : "", text);
	}
	return curl_slist_append(NULL, buf_cstr(&b));
}

uint64_t https_get(struct https *h, const struct https_request *r, https_fn *fn, void *arg)
{
	struct get *g = xcalloc(1, sizeof(*g));

	ASSERT(r->addresses_n > 0);
	g->magic = GET_MAGIC;
	g->https = h;
	g->id = ++h->last_id;
	g->fn = fn;
	g->arg = arg;
	g->timeout_ms = r->timeout_ms;
	g->body = BUF_INIT(r->body_max);
	g->addresses = address_list(r);
	g->plain = r->plain;
	(void)snprintf(g->url, sizeof(g->url), "http%s://%s:%u%s", r->plain ? "" : "s", r->host,
		       (unsigned)r->port, r->path);
	for (size_t i = 0; i < r->headers_n; i++)
		g->headers = curl_slist_append(g->headers, r->headers[i]);
	if (r->post.p != NULL) {
		g->post = xstrndup(r->post.p, r->post.n);
		g->post_n = r->post.n;
		/* it does not ask whether it may send what it has */
		g->headers = curl_slist_append(g->headers, "Expect:");
	}
	TAILQ_INSERT_TAIL(&h->waiting, g, next);
	turn_soon(h);
	return g->id;
}

static struct get *find(struct gets *list, uint64_t id)
{
	struct get *g;

	TAILQ_FOREACH (g, list, next)
		if (g->id == id)
			return g;
	return NULL;
}

void https_cancel(struct https *h, uint64_t id)
{
	struct gets *lists[] = { &h->waiting, &h->active, &h->done };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct get *g = find(lists[i], id);
		if (g == NULL)
			continue;
		TAILQ_REMOVE(lists[i], g, next);
		if (lists[i] == &h->active) {
			h->active_n--;
			turn_soon(h);
		}
		get_free(g);
	}
}

struct https *https_new(struct loop *l, const struct tls_client *trust)
{
	struct https *h = xcalloc(1, sizeof(*h));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		BUG("libcurl does not start");
	h->magic = HTTPS_MAGIC;
	h->loop = l;
	h->trust = trust;
	LIST_INIT(&h->watches);
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->active);
	TAILQ_INIT(&h->done);
	h->timer = loop_timer_new(l, "https.timer", on_timer, h);
	h->turn = loop_timer_new(l, "https.turn", on_turn, h);
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		BUG("no memory for libcurl");
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	return h;
}

void https_free(struct https **hp)
{
	struct https *h = hp != NULL ? *hp : NULL;
	struct gets *lists[3];
	struct watch *w;

	if (h == NULL)
		return;
	lists[0] = &h->waiting;
	lists[1] = &h->active;
	lists[2] = &h->done;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct get *g;
		while ((g = TAILQ_FIRST(lists[i])) != NULL) {
			TAILQ_REMOVE(lists[i], g, next);
			get_free(g);
		}
	}
	(void)curl_multi_cleanup(h->multi);
	while ((w = LIST_FIRST(&h->watches)) != NULL) {
		LIST_REMOVE(w, next);
		loop_fd_free(&w->fd);
		free(w);
	}
	loop_timer_free(&h->timer);
	loop_timer_free(&h->turn);
	curl_global_cleanup();
	h->magic = 0;
	free(h);
	*hp = NULL;
}
