/* Any bytes as a message: no crash, and only valid UTF-8 comes out. */
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "model/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF headers = BUF_INIT(MIME_TEXT_MAX);
	AUTO_BUF body = BUF_INIT(MIME_TEXT_MAX);
	AUTO_BUF parts = BUF_INIT(65536);

	mime_read(str_from((const char *)data, size), &headers, &body, &parts);
	ASSERT(headers.full || utf8_valid(buf_str(&headers)));
	ASSERT(body.full || utf8_valid(buf_str(&body)));
	ASSERT(parts.full || utf8_valid(buf_str(&parts)));
	return 0;
}
