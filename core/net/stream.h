/*
 * stream - a non-blocking byte stream over a descriptor (TCP, UNIX socket, socketpair, pipe).
 *
 * Model:   what arrives is shown to on_data() as a borrowed slice; it returns how many bytes it
 *          took, the rest is kept and shown again in front of what comes next. What is written is
 *          copied and leaves in one piece at the end of the current callback, or at once when
 *          written from elsewhere. A stream that pauses is shown nothing until it resumes.
 * Owner:   the stream owns its descriptor; whoever made the stream frees it, in any callback of its
 *          own or outside. After stream_free() no callback comes.
 * Context: loop thread. Callbacks come from the loop only, never from inside a call into this
 *          module. One wake-up reads at most STREAM_READ_SIZE bytes.
 * Errors:  on_closed() is called exactly once, unless the stream was freed before: err->code is
 *          ERR_NONE when stream_close() has done its work, ERR_CLOSED when the other side ended,
 *          ERR_TIMEOUT, ERR_CANCELLED (closed while connecting), ERR_LIMIT (more than in_limit
 *          bytes not taken), else ERR_NET. The descriptor is closed by then; what is left to do is
 *          stream_free().
 * Limits:  in_limit bytes wait to be taken, out_limit bytes wait to be sent: beyond it
 *          stream_write() adds nothing and answers false. Above `high` stream_full() is true and
 *          the writer should wait for on_drain(), which comes at `low`.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/netaddr.h"

#define STREAM_READ_SIZE ((size_t)64 * 1024)
#define STREAM_CLOSE_MS 10000 /* for what is still to be sent when a stream closes */

struct stream;
struct tls_server;
struct tls_client;
struct tls_peer;
struct tls_facts;

struct stream_ops {
	const char *name; /* for the log */
	size_t in_limit;  /* 0: 64 KiB */
	size_t out_limit; /* 0: 1 MiB */
	size_t high;	  /* 0: 64 KiB */
	size_t low;	  /* 0: a quarter of high */

	size_t (*on_data)(void *arg, struct str in);
	void (*on_closed)(void *arg, const struct err *err);

	/* The rest may be NULL. */
	void (*on_open)(void *arg); /* connected, after stream_connect() */
	/* The other side sends no more; what it left unfinished is lost. Without it the stream is
	 * closed with ERR_CLOSED; with it the owner still writes, and closes. */
	void (*on_end)(void *arg);
	void (*on_drain)(void *arg);
	/* The handshake after stream_tls_accept() or _connect() is over; when it fails, the stream
	 * is closed with ERR_TLS. */
	void (*on_secure)(void *arg);
	/* The idle time or the deadline is over; both are off then. Without it, and always while
	 * connecting and closing, the stream is closed with ERR_TIMEOUT. */
	void (*on_timeout)(void *arg);
};

/* Takes fd, which is connected, and makes it non-blocking. `ops` is static. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *arg);
/*
 * Connects; on_open() or on_closed() follows. `source` is an address of ours, or NULL. What the
 * kernel refuses at once (no route, source not here) comes as -ERR_NET without a stream.
 */
int stream_connect(struct loop *l, const struct netaddr *to, const struct ipaddr *source,
		   int64_t deadline_ms, const struct stream_ops *ops, void *arg,
		   struct stream **ret, struct err *err) MUST_CHECK;
void stream_free(struct stream **sp);

/* False beyond out_limit, and on a stream that closes. */
bool stream_write(struct stream *s, const void *p, size_t n);
bool stream_writev(struct stream *s, const struct str *pieces, size_t n);
bool stream_printf(struct stream *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Between the two, nothing leaves before the last uncork; they nest. */
void stream_cork(struct stream *s);
void stream_uncork(struct stream *s);
/* Bytes written and not yet sent. */
size_t stream_pending(const struct stream *s);
bool stream_full(const struct stream *s);

/* While paused nothing is read. Resuming shows again what was not taken. */
void stream_pause(struct stream *s, bool pause);

/* No byte in either direction for so long; 0 is never. Cheap: may be set for every command. */
void stream_idle(struct stream *s, int64_t ms);
/* From now, whatever happens; 0 is never. As cheap. */
void stream_deadline(struct stream *s, int64_t ms);

/*
 * From here on everything passes through TLS (net/tls.h): what is pending is sent before; what
 * came and was not taken is dropped, for a peer must not send ahead of the handshake (STARTTLS
 * injection): refuse it before. What is written meanwhile waits for the end of the handshake. The
 * contexts and `peer` are borrowed for the length of the call.
 */
void stream_tls_accept(struct stream *s, const struct tls_server *t);
void stream_tls_connect(struct stream *s, const struct tls_client *t, const struct tls_peer *peer);
/* False without TLS or before the end of the handshake. */
bool stream_tls_facts(const struct stream *s, struct tls_facts *ret);

/* Sends what is pending, then ends our direction; the other goes on. */
void stream_shutdown(struct stream *s);
/*
 * Sends what is pending, then closes; on_data() is not called any more. With linger_ms, what the
 * peer still sends is read and dropped for so long, for else the kernel answers it with a reset
 * that may destroy our last words on their way.
 */
void stream_close(struct stream *s, int64_t linger_ms);
bool stream_closing(const struct stream *s);

/* The descriptor, for addresses and credentials of the peer; -1 when closed. */
int stream_fd(const struct stream *s);
uint64_t stream_bytes_in(const struct stream *s);
uint64_t stream_bytes_out(const struct stream *s);

#endif
