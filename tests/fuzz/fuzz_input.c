/*
 * Bytes from the terminal, or from whoever writes to it: events stay within what an event may be,
 * however the bytes are cut. The first byte chooses the size of the pieces.
 */
#include <stdint.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "term/input.h"
#include "term/term.h"

static void on_event(const struct event *ev, void *arg)
{
	uint32_t code = key_code(ev->key);

	(void)arg;
	ASSERT(ev->kind != EVENT_RESIZE && ev->kind < EVENT__COUNT);
	if (ev->kind == EVENT_KEY)
		ASSERT(code >= K_BASE ? code < K__END : !utf8_harmful(code));
	if (ev->kind == EVENT_MOUSE)
		ASSERT(ev->mouse.row >= 0 && ev->mouse.col >= 0);
	if (ev->kind == EVENT_PASTE)
		ASSERT(ev->paste.n <= TERM_PASTE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input *in = input_new(on_event, NULL);
	size_t piece = size > 0 ? data[0] % 16 + 1 : 1;

	input_define(in, "\033[25~", K_F1);
	input_define(in, "\033Oz", K_END);
	for (size_t at = 1; at < size; at += piece)
		input_feed(in, data + at, size - at < piece ? size - at : piece);
	input_timeout(in);
	ASSERT(!input_pending(in));
	input_free(&in);
	return 0;
}
