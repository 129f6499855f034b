/*
 * stream_int - what a stream is, for the files that move its bytes.
 */
#ifndef NET_STREAM_INT_H
#define NET_STREAM_INT_H

#include <sys/types.h>

#include "base/buf.h"
#include "net/stream.h"

#define STREAM_MAGIC 0x57e3a001u

struct stream_tls;

enum stream_state { CONNECTING, OPEN, CLOSING, LINGER, OVER };

/*
 * How bytes pass the descriptor. Both return the bytes moved, IO_AGAIN, or IO_FAILED with *err set;
 * recv returns 0 at the end.
 */
enum { IO_AGAIN = -1, IO_FAILED = -2 };
struct stream_io {
	ssize_t (*recv)(struct stream *s, void *p, size_t n, struct err *err);
	ssize_t (*send)(struct stream *s, const void *p, size_t n, struct err *err);
	/* The rest may be NULL: for what keeps bytes of its own between the two ends. */
	bool (*pending)(
		const struct stream *s); /* bytes are there without the descriptor saying so */
	void (*bye)(struct stream *s);	 /* all is sent, and nothing will follow */
};

struct stream {
	uint32_t magic;
	struct loop *loop;
	const struct stream_ops *ops;
	const struct stream_io *io;
	void *arg;
	int fd;
	struct loop_fd *watch;
	enum stream_state state;
	unsigned depth; /* callbacks we are in */
	unsigned cork;
	bool freed;
	bool paused;
	bool unread;	   /* something came while paused: reading is off */
	bool again;	   /* show what is in `in` */
	bool end;	   /* the peer's direction is over */
	bool shutdown;	   /* end our direction when all is sent */
	bool above;	   /* was above the high mark */
	struct err failed; /* to be told by the loop, when its code is set */
	int64_t linger_ms;
	uint64_t linger_from;
	struct loop_timer *timer;
	int64_t timer_at;
	int64_t idle_ms;
	int64_t active_at;
	int64_t deadline_at;
	size_t high;
	size_t low;
	struct buf in;
	struct buf out;
	size_t out_at; /* sent of `out` */
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct stream_tls *tls; /* NULL without */
	bool shaking;		/* the handshake is under way: nothing else passes */
	unsigned io_wants; /* LOOP_READ, LOOP_WRITE: what the last operation waits for besides */
};

/* ERR_NET with the system's words. */
int stream_net_error(struct err *err, int errnum, const char *what);
/* Between the two a callback of ours runs: what has to follow it follows in leave. */
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);
/* Looks again, from the loop, soon. */
void stream_kick(struct stream *s);
/* Sends what is pending as far as the kernel takes it; < 0 with *err when the stream is broken. */
int stream_flush(struct stream *s, struct err *err) MUST_CHECK;
/* Ends it: on_closed(). */
void stream_finish(struct stream *s, const struct err *err);
/* stream_tls.c: one step of the handshake, which may end it; and what it holds. */
void stream_tls_step(struct stream *s);
void stream_tls_done(struct stream *s);

#endif
