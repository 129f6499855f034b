/*
 * The decoder's states, with what each byte does ("emit" appends to the output):
 *
 *	state        '.'            CR           LF                      other
 *	LINE_START   -> DOT         -> CR        bare, emit, -> TEXT     emit, -> TEXT
 *	DOT          emit, -> TEXT  -> DOT_CR    bare, emit, -> TEXT     emit, -> TEXT
 *	DOT_CR       bare CR        bare CR      END                     bare CR; then as CR state
 *	TEXT         emit           -> CR        bare, emit              emit
 *	CR           bare CR        bare CR      emit CRLF, LINE_START   bare CR, emit both, TEXT
 *
 * In TEXT, whole runs up to the next CR or LF are copied at once: that is where the time goes.
 */
#include "mail/dotstuff.h"

#include <string.h>

void dot_decoder_init(struct dot_decoder *d, uint64_t limit)
{
	*d = (struct dot_decoder){ .state = DOT_LINE_START, .limit = limit };
}

static bool has_eight_bit(const uint8_t *p, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= p[i];
	return (all & 0x80) != 0;
}

static void emit_any(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out)
{
	d->size += n;
	if (!d->eight_bit)
		d->eight_bit = has_eight_bit(p, n);
	if (!d->nul)
		d->nul = memchr(p, 0, n) != NULL;
	if (d->size > d->limit)
		d->too_big = true;
	if (!d->too_big && !buf_put(out, p, n))
		d->too_big = true;
}

static void emit(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out)
{
	if (n == 0)
		return;
	d->line += n;
	if (d->line > d->longest)
		d->longest = d->line;
	emit_any(d, p, n, out);
}

static void emit_line_end(struct dot_decoder *d, struct buf *out)
{
	d->line = 0;
	emit_any(d, (const uint8_t *)"\r\n", 2, out);
}

/* The number of bytes before the first CR or LF. */
static size_t text_run(const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	const uint8_t *cr = memchr(p, '\r', lf != NULL ? (size_t)(lf - p) : n);

	if (cr != NULL)
		return (size_t)(cr - p);
	return lf != NULL ? (size_t)(lf - p) : n;
}

/* A byte that is neither waited for nor the end: text, or the start of a line end. */
static void text_byte(struct dot_decoder *d, const uint8_t *p, struct buf *out)
{
	if (*p == '\r') {
		d->state = DOT_CR;
		return;
	}
	d->bare_lf += *p == '\n';
	emit(d, p, 1, out);
	d->state = DOT_TEXT;
}

static void step(struct dot_decoder *d, const uint8_t *p, struct buf *out)
{
	switch (d->state) {
	case DOT_LINE_START:
		if (*p == '.')
			d->state = DOT_DOT;
		else
			text_byte(d, p, out);
		return;
	case DOT_DOT:
		if (*p == '\r')
			d->state = DOT_DOT_CR;
		else
			text_byte(d, p, out);
		return;
	case DOT_TEXT:
		text_byte(d, p, out);
		return;
	case DOT_DOT_CR:
	case DOT_CR:
		if (*p == '\n') {
			if (d->state == DOT_CR)
				emit_line_end(d, out);
			d->state = d->state == DOT_CR ? DOT_LINE_START : DOT_END;
			return;
		}
		d->bare_cr++;
		emit(d, (const uint8_t *)"\r", 1, out);
		text_byte(d, p, out);
		return;
	case DOT_END:
		return;
	}
}

size_t dot_decode(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n && d->state != DOT_END) {
		size_t run = 0;
		if (d->state == DOT_TEXT || (d->state == DOT_LINE_START && p[i] != '.'))
			run = text_run(p + i, n - i);
		if (run > 0) {
			emit(d, p + i, run, out);
			d->state = DOT_TEXT;
			i += run;
		} else {
			step(d, p + i++, out);
		}
	}
	return i;
}

void raw_decode(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n) {
		size_t run;
		/* a dot is a byte like any other */
		if (d->state == DOT_LINE_START)
			d->state = DOT_TEXT;
		run = d->state == DOT_TEXT ? text_run(p + i, n - i) : 0;
		if (run > 0) {
			emit(d, p + i, run, out);
			i += run;
		} else {
			step(d, p + i++, out);
		}
	}
}

void raw_end(struct dot_decoder *d, struct buf *out)
{
	if (d->state == DOT_CR) {
		d->bare_cr++;
		emit(d, (const uint8_t *)"\r", 1, out);
	}
	if (d->state != DOT_LINE_START)
		emit_line_end(d, out);
	d->state = DOT_END;
}

static bool end_line(struct dot_encoder *e, struct buf *out)
{
	e->in_line = false;
	e->cr = false;
	return buf_put(out, "\r\n", 2);
}

bool dot_encode(struct dot_encoder *e, const uint8_t *p, size_t n, struct buf *out)
{
	size_t i = 0;

	while (i < n && !out->full) {
		size_t run = text_run(p + i, n - i);
		if (e->cr) {
			/* CRLF, or a bare CR that becomes a line end */
			(void)end_line(e, out);
			if (run == 0 && p[i] == '\n')
				i++;
			continue;
		}
		if (run > 0) {
			if (!e->in_line && p[i] == '.')
				(void)buf_putc(out, '.');
			(void)buf_put(out, p + i, run);
			e->in_line = true;
			i += run;
		} else if (p[i] == '\r') {
			e->cr = true;
			i++;
		} else {
			(void)end_line(e, out);
			i++;
		}
	}
	return !out->full;
}

bool dot_encode_end(struct dot_encoder *e, struct buf *out)
{
	if (e->cr || e->in_line)
		(void)end_line(e, out);
	return buf_put(out, ".\r\n", 3);
}
