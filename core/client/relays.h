/*
 * relays - what a RELAY is: addresses, and the file that gives them names.
 *
 * Model:   an address is unix:PATH, an absolute path, or ssh://[user@]host[:port][/path/to/socket].
 *          A name is looked up in ~/.config/weir/relays (below $XDG_CONFIG_HOME if that is set),
 *          then in /etc/weir/relays:
 *
 *		relay mx1 {
 *			url        = "ssh://ops@mx1.example.net"
 *			production = true
 *		}
 *
 * Context: loop thread only: the parser of the files has a state of its own.
 * Errors:  ERR_INVALID (param "relay"): not an address, or no such name. ERR_CONFIG with file and
 *          line: something is wrong in a file. A file that is not there is an empty one.
 * Limits:  RELAYS_MAX names, RELAYS_FILE_MAX bytes of a file.
 */
#ifndef CLIENT_RELAYS_H
#define CLIENT_RELAYS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "client/client.h"

#define RELAYS_MAX 500
#define RELAYS_FILE_MAX ((size_t)1024 * 1024)
#define RELAYS_SOCKET "/run/weir/control.sock"
#define RELAYS_HOST_MAX 256
#define RELAYS_USER_MAX 64
#define RELAYS_PATH_MAX 108 /* of a socket, with its end: what the kernel takes */

enum relays_kind { RELAYS_UNIX, RELAYS_SSH };

struct relays_addr {
	enum relays_kind kind;
	char path[RELAYS_PATH_MAX];
	bool own_path;		    /* the address names the path */
	char user[RELAYS_USER_MAX]; /* "": as ~/.ssh/config says, else our own account's name */
	char host[RELAYS_HOST_MAX]; /* without brackets */
	unsigned port;		    /* 0: as ~/.ssh/config says, else 22 */
};

int relays_parse(struct str text, struct relays_addr *ret, struct err *err) MUST_CHECK;

/* What was asked for (NULL: $WEIR_RELAY, else the local socket) as an address. */
struct relays_found {
	struct relays_addr addr;
	char name[RELAYS_HOST_MAX]; /* for people */
	bool production;
};
int relays_find(const char *relay, struct relays_found *ret, struct err *err) MUST_CHECK;

/* The names of a file's text; `path` is for the messages. */
int relays_read(struct str text, const char *path, client_relay_fn *fn, void *arg,
		struct err *err) MUST_CHECK;

#endif
