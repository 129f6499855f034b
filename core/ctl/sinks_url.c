/*
 * Events posted: the host's addresses are asked for with each batch, v4 before v6, then the batch
 * is sent with its signature. Whatever is not answered with 2xx was not taken.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/sinks_int.h"
#include "mail/address.h"

#define ANSWER_MAX 65536 /* bytes of an answer; nothing of them is used */
#define HEADERS 4

int sink_url_parse(const char *text, struct sink_url *ret, struct err *err)
{
	struct str rest = str_of(text);
	struct str host, path = STR("/");
	uint64_t port;
	size_t i = 0;

	*ret = (struct sink_url){ .plain = str_starts_nocase(rest, STR("http://")) };
	if (!ret->plain && !str_starts_nocase(rest, STR("https://")))
		return err_set(err, ERR_CONFIG, "url begins with http:// or https://");
	rest = str_from(rest.p + (ret->plain ? 7 : 8), rest.n - (ret->plain ? 7 : 8));
	while (i < rest.n && rest.p[i] != '/' && rest.p[i] != '?')
		i++;
	host = str_from(rest.p, i);
	if (i < rest.n)
		path = str_from(rest.p + i, rest.n - i);
	port = ret->plain ? 80 : 443;
	if (str_index(host, ':') >= 0) {
		struct str number = host;
		host = str_cut(&number, ':');
		if (!str_u64(number, UINT16_MAX, &port) || port == 0)
			return err_set(err, ERR_CONFIG, "url: that is no port");
	}
	(void)snprintf(ret->host, sizeof(ret->host), "%.*s", STR_ARG(host));
	ret->literal = ipaddr_parse(host, &ret->ip) && ipaddr_is_v4(&ret->ip);
	if (host.n > SINK_HOST_MAX || (!ret->literal && !address_domain_valid(host, 0)))
		return err_set(err, ERR_CONFIG,
			       "url: a host name or an IPv4 address is expected behind //");
	for (i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] > 126)
			return err_set(err, ERR_CONFIG,
				       "url: signs in the path that have no place there");
	if (path.n >= SINK_PATH_MAX)
		return err_set(err, ERR_CONFIG, "url: the path is too long");
	(void)snprintf(ret->path, sizeof(ret->path), "%s%.*s", path.p[0] == '?' ? "/" : "",
		       STR_ARG(path));
	ret->port = (uint16_t)port;
	return 0;
}

/* --- the batch -------------------------------------------------------------------------------- */

/* HMAC-SHA256 of "TIME.BODY", in hexadecimal. */
static void sign(const struct sink *s, int64_t now_s, char ret[static DIGEST_HEX_LEN])
{
	AUTO_BUF text = BUF_INIT(SINK_BODY_MAX + 64);
	uint8_t hmac[DIGEST_LEN];

	(void)buf_printf(&text, "%" PRId64 ".", now_s);
	(void)buf_put_str(&text, buf_str(&s->body));
	digest_hmac((const uint8_t *)s->secret, strlen(s->secret), buf_str(&text), hmac);
	digest_hex(hmac, ret);
}

static struct https *way(const struct sink *s)
{
	return s->own != NULL ? s->own : s->all->https;
}

static void on_answer(void *arg, const struct https_answer *a)
{
	struct sink *s = OBJ(sink, SINK_MAGIC, arg);
	char why[SINK_ERROR_MAX];

	s->https = 0;
	if (a->trouble == NULL && a->status >= 200 && a->status < 300) {
		sink_taken(s);
		return;
	}
	if (a->trouble != NULL)
		(void)snprintf(why, sizeof(why), "%s", a->trouble);
	else
		(void)snprintf(why, sizeof(why), "%s answered with %d", s->url.host, a->status);
	sink_refused(s, why);
}

static void send_batch(struct sink *s)
{
	int64_t now_s = loop_wall_ms(s->all->env->loop) / 1000;
	char time[64], batch[128], signature[64 + 2 * DIGEST_LEN], hex[2 * DIGEST_LEN + 1];
	const char *const headers[HEADERS] = { "Content-Type: application/json", time, batch,
					       signature };
	const struct https_request r = { .host = s->url.host,
					 .port = s->url.port,
					 .path = s->url.path,
					 .addresses = s->addresses,
					 .addresses_n = s->addresses_n,
					 .body_max = ANSWER_MAX,
					 .timeout_ms = s->timeout_ms,
					 .plain = s->url.plain,
					 .post = buf_str(&s->body),
					 .headers = headers,
					 .headers_n = HEADERS };

	sign(s, now_s, hex);
	(void)snprintf(time, sizeof(time), "Weir-Timestamp: %" PRId64, now_s);
	(void)snprintf(batch, sizeof(batch), "Weir-Batch: %" PRIu64, s->top);
	(void)snprintf(signature, sizeof(signature), "Weir-Signature: sha256=%s", hex);
	s->https = https_get(way(s), &r, on_answer, s);
}

static void on_addresses(void *arg, const struct dns_answer *a);

static void ask(struct sink *s, enum dns_type type)
{
	s->dns = dns_ask(s->all->env->dns, s->url.host, type, on_addresses, s);
}

static void on_addresses(void *arg, const struct dns_answer *a)
{
	struct sink *s = OBJ(sink, SINK_MAGIC, arg);
	bool first = s->addresses_n == 0;
	char why[SINK_ERROR_MAX];

	s->dns = 0;
	for (size_t i = 0; i < a->records_n && s->addresses_n < HTTPS_ADDRESSES_MAX; i++)
		s->addresses[s->addresses_n++] = a->records[i].ip;
	if (s->addresses_n > 0) {
		send_batch(s);
	} else if (first && !s->asked_v6) {
		s->asked_v6 = true;
		ask(s, DNS_TYPE_AAAA);
	} else {
		(void)snprintf(why, sizeof(why), "no address of %s is known%s%s", s->url.host,
			       a->trouble[0] != '\0' ? ": " : "", a->trouble);
		sink_refused(s, why);
	}
}

void sink_post(struct sink *s)
{
	s->addresses_n = 0;
	s->asked_v6 = false;
	if (!s->url.literal) {
		ask(s, DNS_TYPE_A);
		return;
	}
	s->addresses[s->addresses_n++] = s->url.ip;
	send_batch(s);
}

void sink_post_leave(struct sink *s)
{
	if (s->dns != 0)
		dns_cancel(s->all->env->dns, s->dns);
	if (s->https != 0)
		https_cancel(way(s), s->https);
	s->dns = s->https = 0;
}
