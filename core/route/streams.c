/*
 * Streams stand in one array in their order, `default` last; there are few of them, and each
 * message asks them once.
 */
#include "route/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "mail/address.h"

#define RETRY_MAX_S (INT64_C(7) * 86400)
#define NOTE_MAX 1000

struct streams {
	struct mailstream *v[STREAMS_MAX];
	size_t n;
};

/* ---- one ---- */

static void list_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void mailstream_free(struct mailstream **xp)
{
	struct mailstream *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	filter_free(&x->match);
	free(x->match_text);
	list_free(x->headers);
	list_free(x->require);
	free(x->retry_text);
	free(x->pool);
	free(x->dkim);
	free(x->note);
	free(x->by);
	free(x);
}

int streams_name(struct str text, char ret[static STREAM_NAME_MAX + 1], struct err *err)
{
	struct str s = str_trim(text);

	for (size_t i = 0; i < s.n && i < STREAM_NAME_MAX; i++) {
		char c = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] - 'A' + 'a' : s.p[i]);
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && (i == 0 || strchr("-_.", c) == NULL))
			return err_param(err, ERR_INVALID, "name",
					 "the name of a stream has letters and digits, and - _ . "
					 "behind the first one, such as marketing");
		ret[i] = c;
	}
	if (s.n == 0 || s.n > STREAM_NAME_MAX)
		return err_param(err, ERR_INVALID, "name",
				 "the name of a stream has 1 to %d characters", STREAM_NAME_MAX);
	ret[s.n] = '\0';
	return 0;
}

bool streams_may_ask(enum filter_field field)
{
	static const uint32_t fields =
		1u << FILTER_FROM | 1u << FILTER_SENDER_DOMAIN | 1u << FILTER_TO |
		1u << FILTER_DOMAIN | 1u << FILTER_CREDENTIAL | 1u << FILTER_CLIENT |
		1u << FILTER_SIZE | 1u << FILTER_SUBJECT | 1u << FILTER_MSGID | 1u << FILTER_RELAY;

	return (fields & 1u << field) != 0;
}

static int read_match(const json_t *o, struct mailstream *x, struct err *err)
{
	AUTO_BUF canonical = BUF_INIT(FILTER_TEXT_MAX);
	bool is_default = strcmp(x->id, STREAM_DEFAULT) == 0;

	x->match = filter_parse(str_of(json_get_str(o, "match")), err);
	if (x->match == NULL) {
		if (err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "match");
		return err != NULL ? -err->code : -ERR_SYNTAX;
	}
	for (int f = 0; f < FILTER__COUNT; f++)
		if ((filter_uses(x->match) & 1u << f) != 0 &&
		    !streams_may_ask((enum filter_field)f))
			return err_param(err, ERR_INVALID, "match",
					 "a stream cannot depend on %s: it is chosen when the "
					 "message comes in",
					 filter_field_name((enum filter_field)f));
	(void)filter_print(x->match, &canonical);
	x->match_text = xstrdup(buf_cstr(&canonical));
	if (is_default && *x->match_text != '\0')
		return err_param(err, ERR_INVALID, "match",
				 "the stream default takes what no other one takes: it has no "
				 "rule of its own");
	return 0;
}

/* "NAME" or "NAME: PATTERN" */
static bool is_condition(struct str s)
{
	struct str rest = s;
	struct str name = str_trim(str_cut(&rest, ':'));

	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return name.n > 0 && s.n <= STREAM_CONDITION_MAX;
}

static int read_conditions(const json_t *o, const char *param, char ***ret, struct err *err)
{
	const json_t *list = json_object_get(o, param);
	size_t n = json_array_size(list);

	if (n > STREAM_CONDITIONS_MAX)
		return err_param(err, ERR_LIMIT, param, "at most %d header fields",
				 STREAM_CONDITIONS_MAX);
	*ret = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct str s = str_trim(str_of(text != NULL ? text : ""));
		if (!is_condition(s))
			return err_param(err, ERR_INVALID, param,
					 "\"%.60s\" is no condition on a header field; it is a "
					 "name such as List-Unsubscribe, or NAME: PATTERN",
					 text != NULL ? text : "");
		(*ret)[i] = xstrndup(s.p, s.n);
	}
	return 0;
}

static int refuse_retry(struct err *err)
{
	return err_param(err, ERR_INVALID, "retry",
			 "a schedule has up to %d times from 1s to 7d, of which the last one "
			 "repeats, such as 1m,5m,30m,2h; or doubles, such as 1m..4h",
			 STREAM_RETRIES_MAX);
}

static bool read_wait(struct str text, int64_t *ret_ms)
{
	int64_t s;

	if (!fmt_parse_age(str_trim(text), &s) || s < 1 || s > RETRY_MAX_S)
		return false;
	*ret_ms = s * 1000;
	return true;
}

static int read_retry(const json_t *o, struct mailstream *x, struct err *err)
{
	struct str rest = str_trim(str_of(json_get_str(o, "retry")));
	struct stream_retry *r = &x->retry;
	const char *dots = rest.n > 0 ? strstr(rest.p, "..") : NULL;

	x->retry_text = xstrndup(rest.p, rest.n);
	if (rest.n == 0)
		return 0;
	if (dots != NULL) {
		struct str first = str_from(rest.p, (size_t)(dots - rest.p));
		struct str last = str_from(dots + 2, rest.n - first.n - 2);
		r->n = 1;
		if (!read_wait(first, &r->ms[0]) || !read_wait(last, &r->doubles_to_ms) ||
		    r->doubles_to_ms < r->ms[0])
			return refuse_retry(err);
		return 0;
	}
	while (rest.n > 0) {
		if (r->n == STREAM_RETRIES_MAX || !read_wait(str_cut(&rest, ','), &r->ms[r->n++]))
			return refuse_retry(err);
	}
	return 0;
}

static int64_t number(const json_t *o, const char *name, int64_t otherwise)
{
	const json_t *v = json_object_get(o, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : otherwise;
}

static int read_numbers(const json_t *o, struct mailstream *x, struct err *err)
{
	int64_t priority = number(o, "priority", STREAM_PRIORITY);
	int64_t rate = number(o, "rate", 0);
	int64_t concurrency = number(o, "concurrency", 0);
	const char *tls = json_get_str(o, "tls");

	if (priority < 1 || priority > 9)
		return err_param(err, ERR_INVALID, "priority", "a priority is from 1 to 9");
	if (rate < 0 || rate > INT32_MAX)
		return err_param(err, ERR_INVALID, "rate", "a rate is 0 or more");
	if (concurrency < 0 || concurrency > INT32_MAX)
		return err_param(err, ERR_INVALID, "concurrency", "it is 0 or more");
	x->priority = (int)priority;
	x->rate = (unsigned)rate;
	x->concurrency = (unsigned)concurrency;
	x->lifetime_s = number(o, "lifetime_s", 0);
	x->delay_s = number(o, "delay_s", -1);
	x->place = json_number_value(json_object_get(o, "place"));
	x->created_ms = json_get_int(o, "created_ms");
	x->tls = ROUTE_TLS_OPPORTUNISTIC;
	if (*tls != '\0' &&
	    (!route_tls_parse(str_of(tls), &x->tls) || x->tls == ROUTE_TLS_IMPLICIT))
		return err_param(err, ERR_INVALID, "tls",
				 "opportunistic, none, required, dane, sts and unverified fit");
	return 0;
}

static const char *const suppressed_names[] = {
	[STREAM_AS_RELAY] = "", [STREAM_REJECT] = "reject", [STREAM_DROP] = "drop"
};

static int read_suppressed(const json_t *o, struct mailstream *x, struct err *err)
{
	const char *text = json_get_str(o, "suppressed");

	for (size_t i = 0; i < ARRAY_LEN(suppressed_names); i++)
		if (strcmp(suppressed_names[i], text) == 0) {
			x->suppressed = (enum stream_suppressed)i;
			return 0;
		}
	return err_param(err, ERR_INVALID, "suppressed",
			 "a suppressed recipient is answered with reject or drop");
}

static int read_dkim(const json_t *o, struct mailstream *x, struct err *err)
{
	x->dkim = json_dup_str(o, "dkim");
	for (char *p = x->dkim; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (*x->dkim != '\0' && !address_domain_valid(str_of(x->dkim), 0))
		return err_param(err, ERR_INVALID, "dkim",
				 "it is a domain that has keys (weir dkim list)");
	return 0;
}

static int read_stream(const json_t *o, struct mailstream *x, struct err *err)
{
	int rc = streams_name(str_of(json_get_str(o, "id")), x->id, err);

	if (rc >= 0)
		rc = read_match(o, x, err);
	if (rc >= 0)
		rc = read_conditions(o, "headers", &x->headers, err);
	if (rc >= 0 && strcmp(x->id, STREAM_DEFAULT) == 0 && x->headers[0] != NULL)
		rc = err_param(err, ERR_INVALID, "headers",
			       "the stream default takes what no other one takes");
	if (rc >= 0)
		rc = read_conditions(o, "require", &x->require, err);
	if (rc >= 0)
		rc = read_retry(o, x, err);
	if (rc >= 0)
		rc = read_numbers(o, x, err);
	if (rc >= 0)
		rc = read_dkim(o, x, err);
	if (rc >= 0)
		rc = read_suppressed(o, x, err);
	x->pool = json_dup_str(o, "pool");
	x->note = json_dup_str(o, "note");
	x->by = json_dup_str(o, "by");
	x->stored = true;
	if (rc >= 0 && strlen(x->note) > NOTE_MAX)
		rc = err_param(err, ERR_INVALID, "note", "a note has up to %d bytes", NOTE_MAX);
	return rc;
}

static json_t *list_json(char *const *list)
{
	json_t *a = json_array();

	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		(void)json_array_append_new(a, json_text(str_of(list[i])));
	return a;
}

json_t *streams_json(const struct mailstream *x)
{
	return json_pack("{s:s, s:f, s:s, s:o, s:i, s:s, s:I, s:I, s:I, s:I, s:s, s:o, s:s, s:s, "
			 "s:o, s:o, s:I, s:s}",
			 "id", x->id, "place", x->place, "match", x->match_text, "headers",
			 list_json(x->headers), "priority", x->priority, "retry", x->retry_text,
			 "lifetime_s", (json_int_t)x->lifetime_s, "delay_s", (json_int_t)x->delay_s,
			 "rate", (json_int_t)x->rate, "concurrency", (json_int_t)x->concurrency,
			 "tls", route_tls_name(x->tls), "require", list_json(x->require), "pool",
			 x->pool, "dkim", x->dkim, "note", json_text(str_of(x->note)), "by",
			 json_text(str_of(x->by)), "created_ms", (json_int_t)x->created_ms,
			 "suppressed", suppressed_names[x->suppressed]);
}

int streams_check(json_t *o, struct err *err)
{
	struct mailstream *x = xcalloc(1, sizeof(*x));
	int rc = read_stream(o, x, err);

	if (rc >= 0) {
		json_t *whole = streams_json(x);
		(void)json_object_clear(o);
		(void)json_object_update(o, whole);
		json_decref(whole);
	}
	mailstream_free(&x);
	return rc;
}

/* ---- the list ---- */

/* As it is when nobody has changed it. */
static struct mailstream *plain_default(void)
{
	json_t *o = json_pack("{s:s}", "id", STREAM_DEFAULT);
	struct mailstream *x = xcalloc(1, sizeof(*x));

	if (read_stream(o, x, NULL) < 0)
		BUG("no stream %s", STREAM_DEFAULT);
	x->stored = false;
	json_decref(o);
	return x;
}

static bool is_default(const struct mailstream *x)
{
	return strcmp(x->id, STREAM_DEFAULT) == 0;
}

static bool stands_before(const struct mailstream *a, const struct mailstream *b)
{
	if (is_default(a) || is_default(b))
		return is_default(b);
	if (a->place < b->place || a->place > b->place)
		return a->place < b->place;
	return strcmp(a->id, b->id) < 0;
}

static void insert(struct streams *s, struct mailstream *x)
{
	size_t at = s->n++;

	ASSERT(at < STREAMS_MAX);
	for (; at > 0 && stands_before(x, s->v[at - 1]); at--)
		s->v[at] = s->v[at - 1];
	s->v[at] = x;
}

static void take_out(struct streams *s, const struct mailstream *x)
{
	size_t i = 0;

	while (s->v[i] != x)
		i++;
	s->n--;
	memmove(s->v + i, s->v + i + 1, (s->n - i) * sizeof(s->v[0]));
}

struct streams *streams_new(void)
{
	struct streams *s = xcalloc(1, sizeof(*s));

	insert(s, plain_default());
	return s;
}

void streams_free(struct streams **sp)
{
	if (sp == NULL || *sp == NULL)
		return;
	for (size_t i = 0; i < (*sp)->n; i++)
		mailstream_free(&(*sp)->v[i]);
	free(*sp);
	*sp = NULL;
}

static struct mailstream *find(const struct streams *s, struct str id)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq_nocase(str_of(s->v[i]->id), id))
			return s->v[i];
	return NULL;
}

int streams_put(struct streams *s, const char *json, struct err *err)
{
	struct mailstream *x = NULL;
	struct mailstream *old;
	json_t *o = NULL;
	int rc = json_read(json, &o, err);

	if (rc < 0)
		return err_prefix(err, "a stream");
	x = xcalloc(1, sizeof(*x));
	rc = read_stream(o, x, err);
	if (rc < 0) {
		(void)err_prefix(err, "stream %.40s", json_get_str(o, "id"));
		if (err != NULL)
			err->code = ERR_CORRUPT;
		rc = -ERR_CORRUPT;
		goto out;
	}
	old = find(s, str_of(x->id));
	if (old == NULL && s->n == STREAMS_MAX) {
		rc = err_set(err, ERR_LIMIT, "there are %d streams already", STREAMS_MAX);
		goto out;
	}
	if (old != NULL) {
		take_out(s, old);
		mailstream_free(&old);
	}
	insert(s, x);
	x = NULL;
out:
	mailstream_free(&x);
	json_decref(o);
	return rc;
}

bool streams_drop(struct streams *s, struct str id)
{
	struct mailstream *x = find(s, id);
	bool again;

	if (x == NULL || !x->stored)
		return false;
	again = is_default(x);
	take_out(s, x);
	mailstream_free(&x);
	if (again)
		insert(s, plain_default());
	return true;
}

const struct mailstream *streams_find(const struct streams *s, struct str id)
{
	return find(s, id);
}

const struct mailstream *streams_of(const struct streams *s, struct str id)
{
	const struct mailstream *x = find(s, id);

	return x != NULL ? x : s->v[s->n - 1];
}

double streams_place(const struct streams *s, const struct mailstream *before)
{
	size_t i = 0;

	if (before == NULL || is_default(before))
		return s->n > 1 ? s->v[s->n - 2]->place + 1 : 1;
	while (s->v[i] != before)
		i++;
	return i == 0 ? before->place - 1
		      : s->v[i - 1]->place + (before->place - s->v[i - 1]->place) / 2;
}

size_t streams_n(const struct streams *s)
{
	return s->n;
}

const struct mailstream *streams_at(const struct streams *s, size_t i)
{
	ASSERT(i < s->n);
	return s->v[i];
}
