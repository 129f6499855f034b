/*
 * routes - the ordered rules that say where mail goes.
 *
 * Model:   a route is a filter and what to do: mx, smarthost:HOST:PORT, hold, reject, discard. The
 *          first one that matches decides; without one it is mx. Each is an object of the store
 *          (kind "route", id "r1", "r2", …) with a place in the order.
 * Stored:  {"id", "place", "match", "to", "tls", "user", "password", "pool", "note",
 *          "by", "created_ms"}.
 *          The password is there because the next hop wants it in the clear; nothing shows it.
 *          What a route demands of connections stands behind '#' in the next hop's text:
 *          "mx:DOMAIN#required", "smarthost:HOST:PORT#r7" (route 7 has it all, a login as well);
 *          nothing there is opportunistic TLS.
 * Owner:   routes belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread; pure.
 * Limits:  ROUTES_MAX.
 */
#ifndef ROUTE_ROUTES_H
#define ROUTE_ROUTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "filter/filter.h"
#include "route/tls_policy.h"

#define ROUTES_MAX 10000
#define ROUTE_DEFAULT "default" /* what stands behind all routes: everything by MX */
#define ROUTE_HOP_MAX 360	/* of a next hop's text, SCHED_KEY_MAX */

struct route {
	uint32_t number;
	char id[16];
	double place; /* order; ascending */
	struct filter *match;
	char *match_text; /* canonical; "" for all */
	char *to;	  /* canonical: "mx", "smarthost:mail.example.net:25", "hold", … */
	enum route_tls tls;
	char *user;	/* to log in with at a smarthost; "" without */
	char *password; /* never shown */
	char *pool;	/* whose addresses its mail leaves from, whatever the stream says; "" */
	char *note;
	char *by;
	int64_t created_ms;
};

struct routes;
struct routes *routes_new(void);
void routes_free(struct routes **rp);
int routes_put(struct routes *r, const char *json, struct err *err) MUST_CHECK;
json_t *routes_json(const struct route *x); /* owned; what the store keeps */
bool routes_drop(struct routes *r, uint32_t number);
/* For a list that was made beside this one: the contents change places. */
void routes_swap(struct routes *r, struct routes *other);
/* routes_free() in steps: true while there is more of it. */
bool routes_free_some(struct routes **rp, size_t most);
const struct route *routes_find(const struct routes *r, struct str id);
uint32_t routes_next_number(const struct routes *r);
/* A place before the route `before` (or last when NULL). Between the same two neighbours there is
 * room for some fifty. */
double routes_place(const struct routes *r, const struct route *before);
size_t routes_n(const struct routes *r);
const struct route *routes_at(const struct routes *r, size_t i); /* in their order */
/* Checks and spells out the text of `to` ("smarthost:Mail.Example.net" is
 * "smarthost:mail.example.net:25"): ERR_INVALID. */
int routes_parse_to(struct str text, char ret_to[static ROUTE_HOP_MAX], struct err *err) MUST_CHECK;

/* What can be said of connections to there: ERR_INVALID, with the parameter at fault. */
int routes_check_demands(const char *to, enum route_tls tls, const char *user, const char *password,
			 struct err *err) MUST_CHECK;
/* A login goes to another machine only under TLS; that is what a route has unless it says so. */
enum route_tls routes_default_tls(const char *to, const char *user);

struct route_demands {
	enum route_tls tls;
	const char *user; /* NULL: no login. Borrow until the next change of the list. */
	const char *password;
};
/* False: the next hop's route is gone. */
bool routes_demands(const struct routes *r, const char *next_hop, struct route_demands *ret);

/*
 * The route that decides for a row (NULL: none, mail goes by MX) and its next hop: "mx:DOMAIN",
 * "smarthost:HOST:PORT", "hold", "reject", "discard". False: it cannot be decided from what is
 * known of the row; *ret_hop is "" and *ret_route NULL then.
 */
bool routes_judge(const struct routes *r, const struct filter_row *row, struct str domain,
		  const struct route **ret_route, char ret_hop[static ROUTE_HOP_MAX]);

#endif
