/*
 * receiver - the ESMTP servers of all sites, one listener each, all on the same port.
 *
 * Model:   a session reads commands and messages strictly (receiver.c), asks the behaviour of the
 *          domain concerned at every stage, and counts what a client does wrong as protocol errors
 *          of its site: commands out of order or behind a command that ends a group (RFC 2920),
 *          bare CR or LF, lines too long, bytes before the banner or before the 354.
 *          Stages up to MAIL belong to the owner of the site, RCPT to the recipient's domain, DATA
 *          and what follows to the domain of the first accepted recipient.
 * Owner:   main(). Context: loop thread only. Borrows the world.
 * Limits:  SESSIONS_MAX sessions, more are closed at once; RCPTS_MAX recipients; LINE_MAX_BYTES a
 *          line, a longer one ends the session; idle sessions end after IDLE_S.
 */
#ifndef WORLD_RECEIVER_H
#define WORLD_RECEIVER_H

#include "base/err.h"
#include "world/world.h"

#define SESSIONS_MAX 4000
#define RCPTS_MAX 1000
#define LINE_MAX_BYTES (64u * 1024)
#define COMMAND_MAX 1024 /* 512 and room for the parameters of ESMTP */
#define IDLE_S 600
#define RECEIVER_SIZE_MAX 36700160

struct receiver;

/* Listens at every site that is not down; port 0 picks one that is free everywhere. */
int receiver_start(struct world *w, uint16_t port, struct receiver **ret,
		   struct err *err) MUST_CHECK;
void receiver_free(struct receiver **rp);
/* Opens and closes listeners as the behaviours want it now; a site that goes down loses its
 * sessions. */
int receiver_update(struct receiver *r, struct err *err) MUST_CHECK;

#endif
