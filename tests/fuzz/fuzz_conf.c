/*
 * Any text as the relay's configuration: taken, and then printed and read again the same; or
 * refused with a place.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int load(const void *p, size_t n, struct conf **ret, struct err *err)
{
	char path[] = "/tmp/weir-fuzz-conf.XXXXXX";
	int fd = mkstemp(path);
	int rc;

	ASSERT(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	(void)close(fd);
	rc = conf_load(path, ret, err);
	ASSERT(rc >= 0 || strstr(err->msg, path) != NULL);
	(void)unlink(path);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(conf) struct conf *c = NULL;
	AUTO(conf) struct conf *again = NULL;
	AUTO_BUF first = BUF_INIT(1 << 20);
	AUTO_BUF second = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;

	if (load(data, size, &c, &err) < 0 || !conf_print(c, &first))
		return 0;
	if (load(first.p, first.n, &again, &err) < 0)
		BUG("not read back: %s", err.msg);
	ASSERT(conf_print(again, &second) && str_eq(buf_str(&first), buf_str(&second)));
	return 0;
}
