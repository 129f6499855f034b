/*
 * segment - files of message contents beside the database: appended to, synced, reused.
 *
 * Model:   a content is a frame in a numbered file of SEGMENT_BYTES (larger for one large
 *          message): header with magic, message id, lengths and CRC32C; a copy of the envelope;
 *          the content. Frames are found by the place that the database keeps, never by scanning.
 *          A file whose last content was dropped goes to a pool and is written again from its
 *          start: blocks that exist already sync several times as fast. What a reader finds then
 *          at an old place has another id: it is gone, not damaged.
 * Owner:   the caller owns contents and results; segments_close() frees.
 * Context: append, sync_begin, keep and drop by one thread (the writer); segments_sync() by any
 *          other at the same time; segments_read() by any thread.
 * Errors:  ERR_NOSPC (nothing was written that counts), ERR_IO; of a read ERR_UNKNOWN (gone) or
 *          ERR_CORRUPT.
 * Limits:  SEGMENT_POOL_MAX files wait for reuse, more are removed: by segments_reap(), because
 *          removing a large file takes tens of milliseconds. 32 files are open at a time.
 *
 * Order at start: segments_open(), segment_keep() for every content that the database knows,
 * segments_ready().
 */
#ifndef QUEUE_SEGMENT_H
#define QUEUE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "mail/msgid.h"

#define SEGMENT_BYTES (32u << 20)
#define SEGMENT_POOL_MAX 8
#define SEGMENT_CONTENT_MAX (1u << 30)

struct segments;

struct segment_place {
	uint32_t segment; /* from 1; 0: none */
	uint32_t length;  /* of the whole frame */
	uint64_t offset;
};

int segments_open(const char *dir, struct segments **ret_segments, struct err *err) MUST_CHECK;
/* Everything that is kept has been named: files without contents go to the pool. */
void segments_ready(struct segments *s);
/* Before that: something may be in them that cannot be named. All files there are stay as they are.
 */
void segments_pin(struct segments *s);
void segments_close(struct segments **sp);

/* Writes a frame; it is durable only after a sync that began behind this call. */
int segments_append(struct segments *s, struct msgid id, struct str envelope, struct str content,
		    struct segment_place *ret_place, struct err *err) MUST_CHECK;
/*
 * Syncing, so that it can run beside the database's commit: sync_begin() by the writer takes note
 * of what has to be synced; sync() by another thread does it. One at a time.
 */
void segments_sync_begin(struct segments *s);
int segments_sync(struct segments *s, struct err *err) MUST_CHECK;

/* A content is there (at start), or is no longer needed; its room may be written over. */
void segment_keep(struct segments *s, const struct segment_place *at);
void segment_drop(struct segments *s, const struct segment_place *at);
/* True when the file has mostly dropped contents: what lives in it had better move. */
bool segment_sparse(struct segments *s, uint32_t segment);
bool segments_sparse(struct segments *s); /* any of them */
/* Whether files wait to be removed; and removes them. Any thread, one at a time. */
bool segments_garbage(struct segments *s);
void segments_reap(struct segments *s);

/* Reads and checks a frame: *ret_frame is malloc'ed, the slices point into it. */
int segments_read(struct segments *s, struct msgid id, const struct segment_place *at,
		  void **ret_frame, struct str *ret_envelope, struct str *ret_content,
		  struct err *err) MUST_CHECK;

struct segments_figures {
	uint64_t files;
	uint64_t pooled;
	uint64_t bytes; /* of all files */
	uint64_t live;	/* of frames kept */
};
void segments_figures(struct segments *s, struct segments_figures *ret);

#endif
