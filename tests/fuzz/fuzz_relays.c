/*
 * What people write: addresses of relays, relays files, jumps of ~/.ssh/config. What is taken for
 * an address holds nothing that could become an option or a shell's business; what is refused is
 * refused with a text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "client/relays.h"
#include "client/remote_int.h"

static void check_addr(const struct relays_addr *a)
{
	ASSERT(a->path[0] == '/');
	ASSERT(a->port <= 65535);
	if (a->kind == RELAYS_UNIX)
		return;
	ASSERT(a->host[0] != '\0' && a->host[0] != '-' && a->user[0] != '-');
	ASSERT(strpbrk(a->host, " \t\r\n;|&`$'\"\\()<>") == NULL);
	ASSERT(strpbrk(a->user, " \t\r\n;|&`'\"()<>") == NULL);
}

static void on_relay(void *arg, const char *name, const char *url, bool production)
{
	struct relays_addr a;

	(void)production;
	(*(int *)arg)++;
	ASSERT(name[0] != '\0' && strchr(name, '/') == NULL);
	ASSERT(relays_parse(str_of(url), &a, NULL) == 0);
}

static void read_file(struct str text)
{
	struct err err = ERR_INIT;
	int n = 0;

	if (relays_read(text, "file", on_relay, &n, &err) < 0) {
		ASSERT(err.code == ERR_CONFIG && err.msg[0] != '\0');
		ASSERT(n == 0);
	}
}

static void read_jumps(struct str text)
{
	AUTO_FREE char *command = xstrndup(text.p, text.n);
	AUTO_FREE char *jumps = remote_jumps(command);
	char **argv;

	if (jumps == NULL)
		return;
	argv = remote_jump_argv(jumps, "host", 22, NULL);
	ASSERT(strcmp(argv[0], "ssh") == 0);
	free(argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relays_addr a;
	struct err err = ERR_INIT;
	struct str text;

	if (size < 1 || size > 20000)
		return 0;
	text = str_from((const char *)data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		if (relays_parse(text, &a, &err) < 0)
			ASSERT(err.code == ERR_INVALID && err.msg[0] != '\0');
		else
			check_addr(&a);
		break;
	case 1:
		read_file(text);
		break;
	default:
		read_jumps(text);
		break;
	}
	return 0;
}
