/*
 * TLS on a stream's descriptor. While the handshake is under way nothing else passes (s->shaking);
 * afterwards the stream's recv and send go through OpenSSL, which may hold bytes that the
 * descriptor says nothing of (pending), and may have to write in order to read (io_wants).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/obj.h"
#include "net/stream_int.h"
#include "net/tls_int.h"

struct stream_tls {
	SSL *ssl;
	bool client;
};

/* --- the descriptor under OpenSSL: as its own socket BIO, but without SIGPIPE --- */

static int bio_read(BIO *b, char *p, int n)
{
	ssize_t got = recv((int)(intptr_t)BIO_get_data(b), p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)got;
}

static int bio_write(BIO *b, const char *p, int n)
{
	ssize_t sent = send((int)(intptr_t)BIO_get_data(b), p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)sent;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *bio_new(int fd)
{
	static BIO_METHOD *method; /* made once, for the life of the process */
	BIO *b;

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
		(void)BIO_meth_set_read(method, bio_read);
		(void)BIO_meth_set_write(method, bio_write);
		(void)BIO_meth_set_ctrl(method, bio_ctrl);
	}
	b = BIO_new(method);
	BIO_set_data(b, (void *)(intptr_t)fd);
	BIO_set_init(b, 1);
	return b;
}

/* --- */

/* What an operation that gave `rc` means: IO_AGAIN, 0 (the end) or IO_FAILED. */
static ssize_t outcome(struct stream *s, int rc, const char *what, struct err *err)
{
	int saved = errno;

	s->io_wants = 0;
	switch (SSL_get_error(s->tls->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->io_wants = LOOP_READ;
		return IO_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->io_wants = LOOP_WRITE;
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		if (saved != 0 && ERR_peek_error() == 0)
			(void)stream_net_error(err, saved, what);
		else
			(void)tls_error(err, what);
		return IO_FAILED;
	default:
		(void)tls_error(err, what);
		return IO_FAILED;
	}
}

static ssize_t tls_recv(struct stream *s, void *p, size_t n, struct err *err)
{
	ssize_t done = 0;

	/* records are small: as many as there is room for */
	while ((size_t)done < n) {
		size_t got = 0;
		int rc;

		ERR_clear_error();
		errno = 0;
		rc = SSL_read_ex(s->tls->ssl, (char *)p + done, n - (size_t)done, &got);
		if (rc != 1) {
			ssize_t end;

			if (done > 0 && SSL_get_error(s->tls->ssl, rc) != SSL_ERROR_WANT_WRITE)
				break;
			end = outcome(s, rc, "receiving", err);
			if (s->io_wants == LOOP_READ)
				s->io_wants = 0; /* the stream itself knows whether to read */
			return done > 0 ? done : end;
		}
		s->io_wants = 0;
		done += (ssize_t)got;
	}
	return done;
}

static ssize_t tls_send(struct stream *s, const void *p, size_t n, struct err *err)
{
	size_t sent = 0;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(s->tls->ssl, p, n, &sent);
	if (rc == 1) {
		s->io_wants = 0;
		return (ssize_t)sent;
	}
	ssize_t end = outcome(s, rc, "sending", err);
	if (s->io_wants == LOOP_WRITE)
		s->io_wants = 0; /* known from what is pending */
	if (end == 0) {
		(void)err_set(err, ERR_CLOSED, "the other side closed the connection");
		return IO_FAILED;
	}
	return end;
}

static bool tls_pending(const struct stream *s)
{
	return SSL_pending(s->tls->ssl) > 0;
}

static void tls_bye(struct stream *s)
{
	if (SSL_is_init_finished(s->tls->ssl))
		(void)SSL_shutdown(s->tls->ssl);
	ERR_clear_error();
}

static const struct stream_io tls_io = {
	.recv = tls_recv, .send = tls_send, .pending = tls_pending, .bye = tls_bye
};

void stream_tls_step(struct stream *s)
{
	struct err err = ERR_INIT;
	ssize_t end;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = s->tls->client ? SSL_connect(s->tls->ssl) : SSL_accept(s->tls->ssl);
	if (rc == 1) {
		s->shaking = false;
		s->io_wants = 0;
		s->active_at = loop_now_ms(s->loop);
		if (s->ops->on_secure != NULL)
			s->ops->on_secure(s->arg);
		return;
	}
	end = outcome(s, rc, "TLS handshake", &err);
	if (end == IO_AGAIN)
		return;
	if (end == 0)
		(void)err_set(&err, ERR_TLS, "TLS handshake: the other side ended it");
	err.code = ERR_TLS;
	stream_finish(s, &err);
}

void stream_tls_done(struct stream *s)
{
	if (s->tls == NULL)
		return;
	SSL_free(s->tls->ssl);
	free(s->tls);
	s->tls = NULL;
}

static void start(struct stream *s, SSL_CTX *ctx, bool client)
{
	BIO *bio;

	ASSERT(s->tls == NULL);
	s->tls = xcalloc(1, sizeof(*s->tls));
	s->tls->client = client;
	s->tls->ssl = SSL_new(ctx);
	if (s->tls->ssl == NULL)
		BUG("no TLS session");
	bio = bio_new(s->fd);
	SSL_set_bio(s->tls->ssl, bio, bio);
}

/* From here on: what is pending leaves in the clear first. Inside of on_data() the stream drops
 * what was shown and not taken. */
static void go(struct stream *s)
{
	if (s->depth == 0)
		buf_reset(&s->in);
	if (stream_flush(s, &s->failed) >= 0 && stream_pending(s) > 0)
		(void)err_set(&s->failed, ERR_TLS, "TLS handshake: the other side does not read");
	s->io = &tls_io;
	s->shaking = true;
	s->io_wants = s->tls->client ? LOOP_WRITE : LOOP_READ;
	stream_kick(s);
}

void stream_tls_accept(struct stream *s, const struct tls_server *t)
{
	start(s, t->ctx, false);
	go(s);
}

static void expect(SSL *ssl, const struct tls_peer *peer)
{
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (peer->tlsa_n > 0) {
		(void)SSL_dane_enable(ssl, peer->host);
		(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
		for (size_t i = 0; i < peer->tlsa_n; i++)
			(void)SSL_dane_tlsa_add(ssl, peer->tlsa[i].usage, peer->tlsa[i].selector,
						peer->tlsa[i].matching, peer->tlsa[i].data,
						peer->tlsa[i].n);
	} else if (peer->host != NULL) {
		struct ipaddr ip;
		/* SSL_set_tlsext_host_name() casts const away, which clang takes amiss; an address
		 * is no name (RFC 6066, 3), but may be in a certificate */
		if (!ipaddr_parse(str_of(peer->host), &ip))
			(void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
				       (void *)(uintptr_t)peer->host);
		(void)SSL_set1_host(ssl, peer->host);
	}
	for (size_t i = 0; i < peer->names_n; i++)
		(void)SSL_add1_host(ssl, peer->names[i]);
	/* the handshake goes on whatever the certificate: the result is looked at afterwards */
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
}

void stream_tls_connect(struct stream *s, const struct tls_client *t, const struct tls_peer *peer)
{
	start(s, t->ctx, true);
	expect(s->tls->ssl, peer);
	go(s);
}

bool stream_tls_facts(const struct stream *s, struct tls_facts *ret)
{
	long verify;
	X509 *x;

	if (s->tls == NULL || s->shaking)
		return false;
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->protocol, sizeof(ret->protocol), "%s", SSL_get_version(s->tls->ssl));
	(void)snprintf(ret->cipher, sizeof(ret->cipher), "%s", SSL_get_cipher(s->tls->ssl));
	if (!s->tls->client)
		return true;
	verify = SSL_get_verify_result(s->tls->ssl);
	x = SSL_get1_peer_certificate(s->tls->ssl);
	ret->verified = verify == X509_V_OK && x != NULL;
	ret->dane = ret->verified && SSL_get0_dane_authority(s->tls->ssl, NULL, NULL) >= 0;
	if (!ret->verified)
		(void)snprintf(ret->why, sizeof(ret->why), "%s",
			       x == NULL ? "no certificate"
					 : X509_verify_cert_error_string(verify));
	X509_free(x);
	return true;
}
