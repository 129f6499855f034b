/*
 * mime - a message as people read it: decoded headers, the text of the body, a list of parts.
 *
 * Model:   pure; bytes in, text out. HTML is shown without its tags when there is no plain text.
 *          The text is UTF-8 but otherwise as it came: the canvas makes it harmless.
 * Limits:  MIME_PARTS_MAX parts are listed, MIME_DEPTH_MAX levels followed, MIME_TEXT_MAX bytes of
 *          text given.
 */
#ifndef MODEL_MIME_H
#define MODEL_MIME_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define MIME_PARTS_MAX 200
#define MIME_DEPTH_MAX 20
#define MIME_TEXT_MAX (1u << 20)

/* `headers` gets "Name: decoded value" lines, `body` the text, `parts` one line a part. */
void mime_read(struct str raw, struct buf *headers, struct buf *body, struct buf *parts);

/* Appends the bytes; false when there are none, or the buffer is full. */
bool mime_base64(const char *text, struct buf *out);

#endif
