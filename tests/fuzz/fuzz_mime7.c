/* Any message: what comes of it has short lines, bodies of 7 bits, and needs nothing more. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "mail/header.h"
#include "mail/mime7.h"

#define LINE_MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* With the line ends of mail, and without NUL, as it is stored. */
static void put_lines(const uint8_t *data, size_t size, struct buf *out)
{
	for (size_t i = 0; i < size; i++)
		if (data[i] == '\n')
			(void)buf_puts(out, "\r\n");
		else if (data[i] != '\r' && data[i] != 0)
			(void)buf_putc(out, (char)data[i]);
	(void)buf_puts(out, "\r\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mime7_want want = { LINE_MAX, size > 0 && data[0] % 2 == 0 };
	AUTO_BUF in = BUF_INIT(4u << 20);
	AUTO_BUF out = BUF_INIT(4u << 20);
	AUTO_BUF again = BUF_INIT(8u << 20);
	struct header_lines lines;
	struct err err = ERR_INIT;

	put_lines(data, size, &in);
	out.limit = MIME7_GROWTH(in.n);
	if (mime7_encode(buf_str(&in), &want, &out, &err) < 0) {
		ASSERT(err.code == ERR_INVALID && err.msg[0] != '\0');
		return 0;
	}
	header_lines_scan(buf_str(&out), &lines);
	ASSERT(lines.longest <= LINE_MAX && lines.bare_lf == 0 && lines.bare_cr == 0);
	ASSERT(mime7_encode(buf_str(&out), &want, &again, &err) == 0);
	ASSERT(str_eq(buf_str(&out), buf_str(&again)));
	return 0;
}
