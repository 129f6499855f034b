#include "policy/unread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

TAILQ_HEAD(mails, unread_mail);

struct unread {
	struct mails list; /* by number, the highest first */
	size_t n;
	size_t max;
	int64_t keep_ms;
	uint64_t last;
};

struct unread *unread_new(size_t max, int64_t keep_ms)
{
	struct unread *u = xcalloc(1, sizeof(*u));

	TAILQ_INIT(&u->list);
	u->max = max;
	u->keep_ms = keep_ms;
	return u;
}

static void mail_free(struct unread_mail *m)
{
	free(m->client);
	free(m->from);
	free(m->to);
	free(m->subject);
	free(m->original);
	free(m->why);
	free(m->digest);
	free(m->text);
	free(m);
}

static void drop(struct unread *u, struct unread_mail *m)
{
	TAILQ_REMOVE(&u->list, m, link);
	u->n--;
	mail_free(m);
}

void unread_free(struct unread **up)
{
	struct unread *u = up != NULL ? *up : NULL;

	if (u == NULL)
		return;
	*up = NULL;
	while (!TAILQ_EMPTY(&u->list))
		drop(u, TAILQ_FIRST(&u->list));
	free(u);
}

static void insert(struct unread *u, struct unread_mail *m)
{
	struct unread_mail *at = TAILQ_FIRST(&u->list);

	while (at != NULL && at->id > m->id)
		at = TAILQ_NEXT(at, link);
	if (at != NULL)
		TAILQ_INSERT_BEFORE(at, m, link);
	else
		TAILQ_INSERT_TAIL(&u->list, m, link);
	u->n++;
	u->last = m->id > u->last ? m->id : u->last;
}

/* Of the body: what each hop adds on top makes it no other mail. */
static char *digest_of(struct str content)
{
	const char *body = memmem(content.p, content.n, "\r\n\r\n", 4);
	struct str of =
		body != NULL ? str_from(body, (size_t)(content.p + content.n - body)) : content;
	uint8_t digest[DIGEST_LEN];
	char *text = xmalloc(DIGEST_HEX_LEN);

	digest_sha256(of, digest);
	digest_hex(digest, text);
	return text;
}

static char *clean(struct str s, size_t max)
{
	AUTO_BUF out = BUF_INIT(max);

	(void)utf8_put_clean(&out, s);
	return xstrdup(buf_cstr(&out));
}

const struct unread_mail *unread_add(struct unread *u, const struct unread_new_mail *m,
				     int64_t now_ms)
{
	struct unread_mail *old, *x;
	char *digest = digest_of(m->content);
	size_t shown = m->content.n < UNREAD_TEXT_MAX ? m->content.n : UNREAD_TEXT_MAX;

	TAILQ_FOREACH (old, &u->list, link)
		if (strcmp(old->digest, digest) == 0 && strcmp(old->to, m->to) == 0) {
			old->count++;
			old->last_ms = now_ms;
			free(digest);
			return old;
		}
	x = xcalloc(1, sizeof(*x));
	*x = (struct unread_mail){ .id = u->last + 1,
				   .at_ms = now_ms,
				   .last_ms = now_ms,
				   .count = 1,
				   .size = m->content.n,
				   .client = xstrdup(m->client),
				   .from = xstrdup(m->from),
				   .to = xstrdup(m->to),
				   .subject = xstrdup(m->subject),
				   .original = xstrdup(m->original),
				   .why = xstrdup(m->why),
				   .digest = digest,
				   .text = clean(str_from(m->content.p, shown),
						 3 * UNREAD_TEXT_MAX) };
	insert(u, x);
	return x;
}

bool unread_pop(struct unread *u, int64_t now_ms, uint64_t *ret_id)
{
	struct unread_mail *m = TAILQ_LAST(&u->list, mails);

	if (m == NULL || (u->n <= u->max && m->at_ms + u->keep_ms > now_ms))
		return false;
	*ret_id = m->id;
	drop(u, m);
	return true;
}

bool unread_drop(struct unread *u, uint64_t id)
{
	struct unread_mail *m;

	TAILQ_FOREACH (m, &u->list, link)
		if (m->id == id) {
			drop(u, m);
			return true;
		}
	return false;
}

const struct unread_mail *unread_find(const struct unread *u, uint64_t id)
{
	const struct unread_mail *m;

	TAILQ_FOREACH (m, &u->list, link)
		if (m->id == id)
			return m;
	return NULL;
}

const struct unread_mail *unread_first(const struct unread *u)
{
	return TAILQ_FIRST(&u->list);
}

const struct unread_mail *unread_next(const struct unread_mail *m)
{
	return TAILQ_NEXT(m, link);
}

size_t unread_n(const struct unread *u)
{
	return u->n;
}

json_t *unread_json(const struct unread_mail *m)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "at_ms",
			 (json_int_t)m->at_ms, "last_ms", (json_int_t)m->last_ms, "count",
			 (json_int_t)m->count, "size", (json_int_t)m->size, "client",
			 json_text(str_of(m->client)), "from", json_text(str_of(m->from)), "to",
			 json_text(str_of(m->to)), "subject", json_text(str_of(m->subject)),
			 "original", json_text(str_of(m->original)), "why",
			 json_text(str_of(m->why)), "digest", m->digest, "text",
			 json_text(str_of(m->text)));
}

int unread_put_json(struct unread *u, const char *id, const char *json, struct err *err)
{
	json_t *v = NULL;
	uint64_t number;
	struct unread_mail *x;
	int rc;

	if (!str_u64(str_of(id), INT64_MAX, &number))
		return err_set(err, ERR_CORRUPT, "a kept report has the number %.20s", id);
	rc = json_read(json, &v, err);
	if (rc < 0)
		return rc;
	x = xcalloc(1, sizeof(*x));
	*x = (struct unread_mail){ .id = number,
				   .at_ms = json_get_int(v, "at_ms"),
				   .last_ms = json_get_int(v, "last_ms"),
				   .count = (uint64_t)json_get_int(v, "count"),
				   .size = (uint64_t)json_get_int(v, "size"),
				   .client = json_dup_str(v, "client"),
				   .from = json_dup_str(v, "from"),
				   .to = json_dup_str(v, "to"),
				   .subject = json_dup_str(v, "subject"),
				   .original = json_dup_str(v, "original"),
				   .why = json_dup_str(v, "why"),
				   .digest = json_dup_str(v, "digest"),
				   .text = json_dup_str(v, "text") };
	(void)unread_drop(u, number);
	insert(u, x);
	json_decref(v);
	return 0;
}
