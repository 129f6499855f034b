/*
 * Routes stand in one array in their order (place, then number), in one by their numbers, and in an
 * index that finds the first one that matches.
 */
#include "route/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ipnet.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "filter/filter_index.h"
#include "mail/address.h"
#include "route/hop.h"

#define SMARTHOST "smarthost:"
#define SMARTHOST_PORT 25

struct routes {
	struct route **v;
	struct route **by_number; /* the same */
	size_t n;
	size_t cap;
	uint32_t last; /* the highest number that was ever here */
	struct filter_index *index;
};

struct routes *routes_new(void)
{
	struct routes *r = xcalloc(1, sizeof(*r));

	r->index = filter_index_new();
	return r;
}

static void route_free(struct route **xp)
{
	struct route *x = *xp;

	if (x == NULL)
		return;
	filter_free(&x->match);
	free(x->match_text);
	free(x->to);
	free(x->user);
	if (x->password != NULL)
		secret_wipe(x->password, strlen(x->password));
	free(x->password);
	free(x->pool);
	free(x->note);
	free(x->by);
	free(x);
	*xp = NULL;
}

void routes_free(struct routes **rp)
{
	if (rp == NULL || *rp == NULL)
		return;
	filter_index_free(&(*rp)->index);
	for (size_t i = 0; i < (*rp)->n; i++)
		route_free(&(*rp)->v[i]);
	free((*rp)->v);
	free((*rp)->by_number);
	free(*rp);
	*rp = NULL;
}

/* ---- where mail goes ---- */

static int refuse_to(struct str text, struct err *err)
{
	return err_set(err, ERR_INVALID,
		       "\"%.*s\" is no place for mail; it is mx, smarthost:HOST, "
		       "smarthost:HOST:PORT, hold, reject or discard",
		       text.n < 80 ? (int)text.n : 80, text.p);
}

/* Host and port apart; "[v6]:port" keeps its brackets out of *ret_host. */
static bool split(struct str s, struct str *ret_host, bool *ret_v6, struct str *ret_port)
{
	ptrdiff_t at = str_index(s, ':');

	*ret_v6 = s.n > 0 && s.p[0] == '[';
	*ret_port = STR("");
	if (*ret_v6) {
		at = str_index(s, ']');
		if (at < 0)
			return false;
		*ret_host = str_from(s.p + 1, (size_t)at - 1);
		s = str_from(s.p + at + 1, s.n - (size_t)at - 1);
		if (s.n == 0)
			return true;
		*ret_port = str_from(s.p + 1, s.n - 1);
		return s.p[0] == ':' && s.n > 1;
	}
	*ret_host = at < 0 ? s : str_from(s.p, (size_t)at);
	if (at < 0)
		return true;
	*ret_port = str_from(s.p + at + 1, s.n - (size_t)at - 1);
	return ret_port->n > 0;
}

static int parse_smarthost(struct str s, char ret_to[static ROUTE_HOP_MAX], struct err *err)
{
	char address[IPADDR_TEXT_LEN];
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct ipaddr a;
	struct str host;
	struct str port_text;
	uint64_t port = SMARTHOST_PORT;
	bool v6;

	if (ipaddr_parse(s, &a) && !ipaddr_is_v4(&a))
		return err_set(err, ERR_INVALID,
			       "an IPv6 address stands in brackets: smarthost:[%.*s]:25",
			       STR_ARG(s));
	if (!split(s, &host, &v6, &port_text))
		return err_set(err, ERR_INVALID,
			       "a smarthost is HOST or HOST:PORT, and [ADDRESS]:PORT for IPv6");
	if (port_text.n > 0 && (!str_u64(port_text, 65535, &port) || port == 0))
		return err_set(err, ERR_INVALID, "the port of a smarthost is from 1 to 65535");
	if (ipaddr_parse(host, &a) && v6 == !ipaddr_is_v4(&a)) {
		ipaddr_text(&a, address);
		(void)snprintf(ret_to, ROUTE_HOP_MAX, v6 ? SMARTHOST "[%s]:%u" : SMARTHOST "%s:%u",
			       address, (unsigned)port);
		return 0;
	}
	if (v6 || host.n > ADDRESS_DOMAIN_MAX || !address_domain_valid(host, 0))
		return err_set(err, ERR_INVALID,
			       "the host of a smarthost is a name or an address; \"%.*s\" is not",
			       host.n < 80 ? (int)host.n : 80, host.p);
	for (size_t i = 0; i < host.n; i++)
		name[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] - 'A' + 'a'
								      : host.p[i]);
	name[host.n] = '\0';
	(void)snprintf(ret_to, ROUTE_HOP_MAX, SMARTHOST "%s:%u", name, (unsigned)port);
	return 0;
}

int routes_parse_to(struct str text, char ret_to[static ROUTE_HOP_MAX], struct err *err)
{
	static const char *const plain[] = { "mx", "hold", "reject", "discard" };
	struct str s = str_trim(text);
	struct str prefix = STR(SMARTHOST);

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (!str_eq_nocase(s, str_of(plain[i])))
			continue;
		(void)snprintf(ret_to, ROUTE_HOP_MAX, "%s", plain[i]);
		return 0;
	}
	if (!str_starts_nocase(s, prefix))
		return refuse_to(s, err);
	return parse_smarthost(str_from(s.p + prefix.n, s.n - prefix.n), ret_to, err);
}

/* ---- what is demanded of connections ---- */

static bool is_smarthost(const char *to)
{
	return strncmp(to, SMARTHOST, strlen(SMARTHOST)) == 0;
}

static bool is_here(const char *to)
{
	static const char *const hosts[] = { "127.", "[::1]", "localhost:" };

	for (size_t i = 0; is_smarthost(to) && i < ARRAY_LEN(hosts); i++)
		if (strncmp(to + strlen(SMARTHOST), hosts[i], strlen(hosts[i])) == 0)
			return true;
	return false;
}

enum route_tls routes_default_tls(const char *to, const char *user)
{
	return *user != '\0' && !is_here(to) ? ROUTE_TLS_REQUIRED : ROUTE_TLS_OPPORTUNISTIC;
}

int routes_check_demands(const char *to, enum route_tls tls, const char *user, const char *password,
			 struct err *err)
{
	bool sends = is_smarthost(to) || strcmp(to, "mx") == 0;

	if (!sends && tls != ROUTE_TLS_OPPORTUNISTIC)
		return err_param(err, ERR_INVALID, "tls", "a route to %s makes no connections", to);
	if (is_smarthost(to) && tls == ROUTE_TLS_STS)
		return err_param(err, ERR_INVALID, "tls",
				 "MTA-STS is for mail exchangers; a smarthost has `required`");
	if (!is_smarthost(to) && tls == ROUTE_TLS_IMPLICIT)
		return err_param(err, ERR_INVALID, "tls",
				 "implicit TLS is for smarthosts; mail exchangers have STARTTLS");
	if (!is_smarthost(to) && *user != '\0')
		return err_param(err, ERR_INVALID, "user", "only a smarthost is logged in to");
	if ((*user == '\0') != (*password == '\0'))
		return err_param(err, ERR_INVALID, *user == '\0' ? "user" : "password",
				 "user and password belong together; one is missing");
	if (*user != '\0' && (tls == ROUTE_TLS_NONE || tls == ROUTE_TLS_UNVERIFIED) && !is_here(to))
		return err_param(err, ERR_INVALID, "tls",
				 "a password is given to another machine only under TLS");
	return 0;
}

static void put_demands(const struct route *x, char hop[static ROUTE_HOP_MAX])
{
	size_t n = strlen(hop);

	if (*x->user != '\0')
		(void)snprintf(hop + n, ROUTE_HOP_MAX - n, "#%s", x->id);
	else if (x->tls != ROUTE_TLS_OPPORTUNISTIC)
		(void)snprintf(hop + n, ROUTE_HOP_MAX - n, "#%s", route_tls_name(x->tls));
}

bool routes_demands(const struct routes *r, const char *next_hop, struct route_demands *ret)
{
	struct hop_ways w = hop_ways(next_hop);
	const struct route *x;

	*ret = (struct route_demands){ .tls = ROUTE_TLS_OPPORTUNISTIC };
	if (w.demands.n > 0 && !route_tls_parse(w.demands, &ret->tls)) {
		x = routes_find(r, w.demands);
		if (x == NULL)
			return false;
		*ret = (struct route_demands){ .tls = x->tls,
					       .user = x->user,
					       .password = x->password };
	}
	/* Only domains publish a policy of MTA-STS. */
	if (w.tls == ROUTE_TLS_STS && str_starts(str_of(next_hop), STR("smarthost:")))
		w.tls = ROUTE_TLS_REQUIRED;
	ret->tls = route_tls_with(ret->tls, w.tls);
	return true;
}

/* ---- the list ---- */

static bool parse_id(struct str id, uint32_t *ret_number)
{
	uint64_t n;

	if (id.n < 2 || id.p[0] != 'r' || !str_u64(str_from(id.p + 1, id.n - 1), UINT32_MAX, &n) ||
	    n == 0)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

static struct filter_rule rule_of(const struct route *x)
{
	return (struct filter_rule){
		.place = x->place, .number = x->number, .filter = x->match, .arg = x
	};
}

static bool stands_before(const struct route *a, const struct route *b)
{
	if (a->place < b->place || a->place > b->place)
		return a->place < b->place;
	return a->number < b->number;
}

static bool is_lower(const struct route *a, const struct route *b)
{
	return a->number < b->number;
}

/* Where it is in one of the arrays, or would be. */
static size_t place_in(struct route *const *v, size_t n, const struct route *x,
		       bool (*before)(const struct route *a, const struct route *b))
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (before(v[mid], x))
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static struct route *find(const struct routes *r, uint32_t number)
{
	const struct route probe = { .number = number };
	size_t i = place_in(r->by_number, r->n, &probe, is_lower);

	return i < r->n && r->by_number[i]->number == number ? r->by_number[i] : NULL;
}

static void put_in(struct route **v, size_t n, size_t at, struct route *x)
{
	memmove(v + at + 1, v + at, (n - at) * sizeof(struct route *));
	v[at] = x;
}

static void take_out(struct route **v, size_t n, size_t at)
{
	memmove(v + at, v + at + 1, (n - at - 1) * sizeof(struct route *));
}

static void insert(struct routes *r, struct route *x)
{
	struct filter_rule rule = rule_of(x);

	if (r->n == r->cap) {
		r->cap = r->cap != 0 ? 2 * r->cap : 16;
		r->v = xreallocarray(r->v, r->cap, sizeof(struct route *));
		r->by_number = xreallocarray(r->by_number, r->cap, sizeof(struct route *));
	}
	put_in(r->v, r->n, place_in(r->v, r->n, x, stands_before), x);
	put_in(r->by_number, r->n, place_in(r->by_number, r->n, x, is_lower), x);
	r->n++;
	filter_index_add(r->index, &rule);
}

static int read_route(const json_t *o, struct route *x, struct err *err)
{
	AUTO_BUF canonical = BUF_INIT(FILTER_TEXT_MAX);
	char to[ROUTE_HOP_MAX];
	int rc;

	if (!parse_id(str_of(json_get_str(o, "id")), &x->number))
		return err_set(err, ERR_CORRUPT, "a route without a proper id");
	(void)snprintf(x->id, sizeof(x->id), "r%u", x->number);
	rc = routes_parse_to(str_of(json_get_str(o, "to")), to, err);
	if (rc >= 0) {
		x->match = filter_parse(str_of(json_get_str(o, "match")), err);
		rc = x->match != NULL ? 0 : -ERR_CORRUPT;
	}
	if (rc < 0) {
		(void)err_prefix(err, "route %s", x->id);
		if (err != NULL)
			err->code = ERR_CORRUPT;
		return -ERR_CORRUPT;
	}
	(void)filter_print(x->match, &canonical);
	x->match_text = xstrdup(buf_cstr(&canonical));
	x->to = xstrdup(to);
	x->user = json_dup_str(o, "user");
	x->password = json_dup_str(o, "password");
	x->pool = json_dup_str(o, "pool");
	if (!route_tls_parse(str_of(json_get_str(o, "tls")), &x->tls))
		x->tls = routes_default_tls(x->to,
					    x->user); /* of a route from before there was it */
	x->place = json_number_value(json_object_get(o, "place"));
	x->note = json_dup_str(o, "note");
	x->by = json_dup_str(o, "by");
	x->created_ms = json_get_int(o, "created_ms");
	return 0;
}

int routes_put(struct routes *r, const char *json, struct err *err)
{
	json_t *o = NULL;
	struct route *x = NULL;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a route");
	x = xcalloc(1, sizeof(*x));
	rc = read_route(o, x, err);
	if (rc < 0)
		goto out;
	if (r->n >= ROUTES_MAX && find(r, x->number) == NULL) {
		rc = err_set(err, ERR_LIMIT, "there are %d routes already", ROUTES_MAX);
		goto out;
	}
	(void)routes_drop(r, x->number);
	if (x->number > r->last)
		r->last = x->number;
	insert(r, x);
	x = NULL;
out:
	route_free(&x);
	json_decref(o);
	return rc;
}

json_t *routes_json(const struct route *x)
{
	json_t *o =
		json_pack("{s:s, s:f, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I}", "id", x->id,
			  "place", x->place, "match", x->match_text, "to", x->to, "tls",
			  route_tls_name(x->tls), "user", json_text(str_of(x->user)), "password",
			  json_text(str_of(x->password)), "note", json_text(str_of(x->note)), "by",
			  json_text(str_of(x->by)), "created_ms", (json_int_t)x->created_ms);

	if (x->pool != NULL && *x->pool != '\0')
		(void)json_object_set_new(o, "pool", json_text(str_of(x->pool)));
	return o;
}

bool routes_drop(struct routes *r, uint32_t number)
{
	struct filter_rule rule;
	struct route *x = find(r, number);

	if (x == NULL)
		return false;
	rule = rule_of(x);
	(void)filter_index_drop(r->index, &rule);
	take_out(r->v, r->n, place_in(r->v, r->n, x, stands_before));
	take_out(r->by_number, r->n, place_in(r->by_number, r->n, x, is_lower));
	r->n--;
	route_free(&x);
	return true;
}

void routes_swap(struct routes *r, struct routes *other)
{
	const struct routes copy = *r;

	*r = *other;
	*other = copy;
	if (r->last < other->last)
		r->last = other->last;
}

bool routes_free_some(struct routes **rp, size_t most)
{
	struct routes *r = *rp;

	/* nobody asks it any more */
	if (r->index != NULL && filter_index_free_some(&r->index, most))
		return true;
	for (; most > 0 && r->n > 0; most--)
		route_free(&r->v[--r->n]);
	if (r->n > 0)
		return true;
	routes_free(rp);
	return false;
}

const struct route *routes_find(const struct routes *r, struct str id)
{
	uint32_t number;

	return parse_id(id, &number) ? find(r, number) : NULL;
}

uint32_t routes_next_number(const struct routes *r)
{
	return r->last + 1;
}

double routes_place(const struct routes *r, const struct route *before)
{
	double prev;

	if (before == NULL)
		return r->n > 0 ? r->v[r->n - 1]->place + 1 : 1;
	if (r->v[0] == before)
		return before->place - 1;
	prev = before->place;
	for (size_t i = 1; i < r->n; i++)
		if (r->v[i] == before)
			prev = r->v[i - 1]->place;
	return prev + (before->place - prev) / 2;
}

size_t routes_n(const struct routes *r)
{
	return r->n;
}

const struct route *routes_at(const struct routes *r, size_t i)
{
	ASSERT(i < r->n);
	return r->v[i];
}

bool routes_judge(const struct routes *r, const struct filter_row *row, struct str domain,
		  const struct route **ret_route, char ret_hop[static ROUTE_HOP_MAX])
{
	bool open;
	const struct route *x = filter_index_first(r->index, row, &open);

	*ret_route = open ? NULL : x;
	ret_hop[0] = '\0';
	if (open)
		return false;
	if (x == NULL || strcmp(x->to, "mx") == 0)
		(void)snprintf(ret_hop, ROUTE_HOP_MAX, "mx:%.*s", STR_ARG(domain));
	else
		(void)snprintf(ret_hop, ROUTE_HOP_MAX, "%s", x->to);
	if (x != NULL)
		put_demands(x, ret_hop);
	return true;
}
