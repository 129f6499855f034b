/*
 * The audit log's chain, as it is written. The last link is in w->meta while the writer runs, so
 * that it is taken back with a transaction that fails; the table has it at the next start, and the
 * file AUDIT_HEAD a moment later.
 *
 * The file never leads the table: it is written after the commit. So a table that ends before the
 * file's link, or has another hash there, was altered (or is an older copy). Going on from the
 * file's link then leaves a gap of numbers, or a record whose predecessor has another hash: either
 * is found by queue_audit_verify() ever after, although the file is soon written over.
 */
#include "queue/queue_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define HASHED_MAX ((size_t)1 << 30)
#define HEAD_LINE_MAX 160

/* --- hashes ----------------------------------------------------------------------------------- */

static void put_number(struct buf *b, uint64_t v)
{
	char bytes[8];
	for (int k = 7; k >= 0; k--, v >>= 8)
		bytes[k] = (char)(v & 0xff);
	(void)buf_put(b, bytes, sizeof(bytes));
}

static void put_text(struct buf *b, const char *text)
{
	size_t n = text != NULL ? strlen(text) : 0;
	put_number(b, n);
	if (n > 0)
		(void)buf_put(b, text, n);
}

void audit_hash(const struct audit_record *r, uint8_t ret[static DIGEST_LEN])
{
	AUTO_BUF b = BUF_INIT(HASHED_MAX);
	const uint64_t numbers[] = { r->seq, (uint64_t)r->at_ms, (uint64_t)r->uid, r->action };
	const char *const texts[] = { r->who,	 r->from_where, r->role,    r->method, r->target,
				      r->reason, r->result,	r->changes, r->prev };
	put_text(&b, AUDIT_TAG);
	for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
		put_number(&b, sizeof(numbers[k]));
		put_number(&b, numbers[k]);
	}
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		put_text(&b, texts[k]);
	digest_sha256(buf_str(&b), ret);
}

/* --- records ---------------------------------------------------------------------------------- */

static struct str text_of(const char *text)
{
	return str_of(text != NULL ? text : "");
}

int audit_put(struct writer *w, const struct audit_record *given, struct err *err)
{
	struct audit_record r = *given;
	struct db_stmt *s = w->st[W_AUDIT];
	uint8_t hash[DIGEST_LEN];
	char prev_text[DIGEST_HEX_LEN], hash_text[DIGEST_HEX_LEN];
	digest_hex(w->meta.audit_hash, prev_text);
	r.seq = w->meta.audit_seq + 1;
	r.prev = prev_text;
	audit_hash(&r, hash);
	digest_hex(hash, hash_text);
	const int64_t ints[] = { (int64_t)r.seq, r.at_ms, r.uid, (int64_t)r.action };
	const char *const texts[] = { r.who,	r.from_where, r.role,	 r.method, r.target,
				      r.reason, r.result,     r.changes, r.prev,   hash_text };
	for (size_t k = 0; k < ARRAY_LEN(ints); k++)
		db_bind_int(s, 1 + (int)k, ints[k]);
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		db_bind_text(s, 1 + (int)ARRAY_LEN(ints) + (int)k, text_of(texts[k]));
	int got = db_run(s, err);
	if (got < 0)
		return got;
	w->meta.audit_seq = r.seq;
	memcpy(w->meta.audit_hash, hash, sizeof(hash));
	return 0;
}

static const char *copy_text(char **at, const char *text)
{
	char *to = *at;
	size_t n = text_of(text).n + 1;
	memcpy(to, text != NULL ? text : "", n);
	*at += n;
	return to;
}

void queue_audit_append(struct queue *q, const struct audit_record *r, queue_audit_done_fn *done,
			void *arg)
{
	struct item_audit *it = xcalloc(1, sizeof(*it));
	const char **const texts[] = { &it->r.who,    &it->r.from_where, &it->r.role,
				       &it->r.method, &it->r.target,	 &it->r.reason,
				       &it->r.result, &it->r.changes };
	size_t n = 0;
	it->i = (struct item){ .kind = ITEM_AUDIT, .done = done, .arg = arg };
	it->r = *r;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		n += text_of(*texts[k]).n + 1;
	char *at = it->block = xmalloc(n);
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		*texts[k] = copy_text(&at, *texts[k]);
	q->audit_n++;
	queue_post_commit(q, &it->i);
}

/* --- the file --------------------------------------------------------------------------------- */

int audit_head_read(const char *dir, uint64_t *ret_seq, uint8_t ret_hash[static DIGEST_LEN])
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, AUDIT_HEAD);
	char line[HEAD_LINE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, sizeof(line)) : -1;
	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 0;
	struct str rest = str_from(line, (size_t)n);
	struct str text = str_cut(&rest, '\n');
	struct str tag = str_cut(&text, ' ');
	struct str seq = str_cut(&text, ' ');
	return str_eq(tag, STR(AUDIT_TAG)) && str_u64(seq, INT64_MAX, ret_seq) &&
	       digest_unhex(text, ret_hash);
}

static int write_whole(int fd, const char *line, size_t n)
{
	if (write(fd, line, n) != (ssize_t)n || fsync(fd) != 0)
		return -1;
	return 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 ? fsync(fd) : -1;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int head_write(const struct writer *w)
{
	AUTO_FREE char *path = xasprintf("%s/%s", w->q->dir, AUDIT_HEAD);
	AUTO_FREE char *next = xasprintf("%s.new", path);
	char hash[DIGEST_HEX_LEN], line[HEAD_LINE_MAX];
	digest_hex(w->meta.audit_hash, hash);
	int n = snprintf(line, sizeof(line), "%s %" PRIu64 " %s\n", AUDIT_TAG, w->meta.audit_seq,
			 hash);
	int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd >= 0 ? write_whole(fd, line, (size_t)n) : -1;
	if (fd >= 0 && close(fd) != 0)
		rc = -1;
	return rc == 0 && rename(next, path) == 0 ? sync_dir(w->q->dir) : -1;
}

int64_t audit_head_due(const struct writer *w)
{
	return w->meta.audit_seq != w->head_seq ? w->head_at_ms : INT64_MAX;
}

void audit_head(struct writer *w, bool now)
{
	int64_t at = loop_clock_mono_ms();
	if (w->meta.audit_seq == w->head_seq || (!now && at < w->head_at_ms))
		return;
	w->head_at_ms = at + AUDIT_HEAD_MS;
	if (head_write(w) == 0)
		w->head_seq = w->meta.audit_seq;
	else if (log_limited("audit.head"))
		log_warn(NULL, "audit.head", F_I64("errno", errno));
}

/* --- at start --------------------------------------------------------------------------------- */

void audit_read(struct db_stmt *s, struct audit_record *ret)
{
	*ret = (struct audit_record){ .seq = (uint64_t)db_int(s, 0),
				      .at_ms = db_int(s, 1),
				      .uid = db_int(s, 2),
				      .action = (uint64_t)db_int(s, 3) };
	const char **const texts[] = { &ret->who,    &ret->from_where, &ret->role,   &ret->method,
				       &ret->target, &ret->reason,     &ret->result, &ret->changes,
				       &ret->prev,   &ret->hash };
	bool whole = true;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
		struct str text = db_text(s, 4 + (int)k);
		*texts[k] = text.p;
		whole = whole && strlen(text.p) == text.n;
	}
	if (!whole) /* something hides behind a NUL, which none was written with */
		ret->hash = "";
}

/* Number and hash of the record that a query gives; 0 when there is none. */
static int link_of(struct writer *w, const char *sql, uint64_t seq, uint64_t *ret_seq,
		   uint8_t ret_hash[static DIGEST_LEN], struct err *err)
{
	struct db_stmt *s = NULL;
	int got = db_prepare(w->db, sql, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)seq);
	got = db_step(s, err);
	if (got > 0) {
		*ret_seq = (uint64_t)db_int(s, 0);
		if (!digest_unhex(db_text(s, 1), ret_hash)) /* then the next record shows it */
			memset(ret_hash, 0, DIGEST_LEN);
	}
	db_finalize(&s);
	return got;
}

int audit_load(struct writer *w, struct err *err)
{
	struct queue_meta *m = &w->meta;
	uint8_t head[DIGEST_LEN], there[DIGEST_LEN] = { 0 };
	uint64_t head_seq = 0, seq = 0;
	struct err damage = ERR_INIT;
	int got =
		link_of(w, "SELECT seq, hash FROM audit WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
			INT64_MAX, &m->audit_seq, m->audit_hash, &damage);
	bool file = audit_head_read(w->q->dir, &head_seq, head) > 0;
	if (got >= 0 && file && head_seq <= m->audit_seq)
		got = link_of(w, "SELECT seq, hash FROM audit WHERE seq = ?1", head_seq, &seq,
			      there, &damage);
	if (got == -ERR_CORRUPT) { /* mail goes on; verifying tells */
		log_error(NULL, "queue.damaged", F_STR("what", "the audit log"),
			  F_STR("error", damage.msg));
	} else if (got < 0) {
		if (err != NULL)
			*err = damage;
		return got;
	}
	if (!file && m->audit_seq > 1) /* the first may not have come to it */
		log_warn(NULL, "audit.head-missing", F_U64("records", m->audit_seq));
	if (file && head_seq > m->audit_seq)
		log_error(NULL, "audit.cut", F_U64("last", m->audit_seq), F_U64("was", head_seq));
	else if (file && head_seq > 0 && memcmp(head, there, sizeof(head)) != 0)
		log_error(NULL, "audit.rewritten", F_U64("record", head_seq));
	else
		file = false;
	if (file) { /* so that the break stays to be seen */
		memcpy(m->audit_hash, head, sizeof(head));
		m->audit_seq = head_seq > m->audit_seq ? head_seq : m->audit_seq;
	}
	w->head_seq = head_seq;
	return 0;
}
