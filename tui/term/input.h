/*
 * input - bytes from the terminal to events.
 *
 * Model: a parser with a little memory: bytes go in as they come, events come out as soon as they
 * are sure. Because Esc is a key and the beginning of sequences, a lone one is only sure after a
 * while: as long as input_pending() says so, call input_timeout() when nothing came for
 * TERM_ESC_DELAY_MS. Knows xterm, linux, rxvt and VT sequences, modifyOtherKeys and CSI u, SGR and
 * X10 mouse, bracketed paste, focus; what else a terminal sends for its keys is added with
 * input_define(). Sequences nobody knows are skipped whole.
 *
 * Owner: input_free() frees. The event and the text of a paste are borrowed by the callback.
 *
 * Limits: INPUT_SEQ_MAX bytes a sequence (longer ones are skipped), TERM_PASTE_MAX a paste.
 */
#ifndef TERM_INPUT_H
#define TERM_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cell/event.h"

#define INPUT_SEQ_MAX 64
#define INPUT_MAX_DEFINED 128

struct input;
typedef void input_event_fn(const struct event *ev, void *arg);

struct input *input_new(input_event_fn *fn, void *arg);
void input_free(struct input **ip);
/* This sequence, beginning with Esc, is that key; too long ones and repetitions are ignored. */
void input_define(struct input *in, const char *seq, uint32_t key);
void input_feed(struct input *in, const uint8_t *p, size_t n);
bool input_pending(const struct input *in);
void input_timeout(struct input *in);

#endif
