/*
 * control - the demo world's control socket: one command a line, one JSON object a line back.
 *
 * Model:   commands and what they answer stand in control.c's table, which --help prints. Answers
 *          to what is wrong are {"error": TEXT}; all others have "ok": true.
 * Owner:   main(). Context: loop thread only.
 * Limits:  CONTROL_MAX connections, CONTROL_LINE_MAX bytes a line; a longer line ends the
 *          connection.
 */
#ifndef WORLD_CONTROL_H
#define WORLD_CONTROL_H

#include "base/buf.h"
#include "base/err.h"
#include "world/receiver.h"
#include "world/source.h"
#include "world/world.h"

#define CONTROL_MAX 32
#define CONTROL_LINE_MAX 4096

struct control;

/* Listens on a UNIX socket at `path`; source may be NULL. A stale socket there is replaced. */
int control_start(struct world *w, struct receiver *receiver, struct source *source,
		  const char *path, struct control **ret, struct err *err) MUST_CHECK;
void control_free(struct control **cp);
/* The commands as text for --help. */
void control_help(struct buf *out);

#endif
