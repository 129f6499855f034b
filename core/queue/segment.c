/*
 * The table of files is behind a mutex that is held for look-ups and opening only, never over
 * reading, writing or removing. Few files are open at a time: a descriptor that a reader, the
 * writer or a sync is using is counted, others are closed when there are too many. A file that is
 * removed under a reader is read as it was.
 */
#include "queue/segment.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define FRAME_MAGIC 0x57656672u /* "Wefr" */
#define SPARSE_PART 4		/* less than a fourth of the file is kept */
#define NUMBER_MAX 99999999u
#define SEGMENT_GAP_MAX 100000 /* numbers beyond the last file that are believed */
#define SYNC_MAX 64	       /* files dirty at once */
#define OPEN_MAX 32

/* On disk, little-endian. The checksum covers what follows it, up to the end of the frame. */
struct frame {
	uint32_t magic;
	uint32_t crc;
	uint64_t id;
	uint32_t envelope_n;
	uint32_t content_n;
};

enum use { USE_NONE, USE_LIVE, USE_CURRENT, USE_POOL, USE_GONE /* to be removed */ };

struct file {
	int fd;		  /* -1 while closed */
	unsigned holders; /* that use fd */
	enum use use;
	bool dirty;
	uint64_t end; /* where the next frame goes */
	uint64_t size;
	uint64_t live;	/* bytes of frames kept */
	uint64_t count; /* frames kept */
};

struct segments {
	int dir;
	pthread_mutex_t lock;
	struct file *files; /* by number; [0] is not used */
	uint32_t n;
	uint32_t cap;
	uint32_t current; /* 0: none */
	unsigned pooled;
	unsigned open_n;
	uint32_t hand; /* where closing went on last */
	bool dir_dirty;
	uint32_t syncing[SYNC_MAX];
	unsigned syncing_n;
	bool syncing_dir;
};

static void file_name(uint32_t number, char ret[static 16])
{
	(void)snprintf(ret, 16, "%08u", number);
}

static struct file *file_at(struct segments *s, uint32_t number)
{
	while (number >= s->cap) {
		uint32_t cap = s->cap == 0 ? 64 : s->cap * 2;
		s->files = xreallocarray(s->files, cap, sizeof(*s->files));
		for (uint32_t k = s->cap; k < cap; k++)
			s->files[k] = (struct file){ .fd = -1 };
		s->cap = cap;
	}
	if (number >= s->n)
		s->n = number + 1;
	return &s->files[number];
}

/* --- opening ---------------------------------------------------------------------------------- */

static int adopt(struct segments *s, const char *name, struct err *err)
{
	uint64_t number;
	struct stat st;
	if (strlen(name) != 8 || !str_u64(str_of(name), NUMBER_MAX, &number) || number == 0)
		return 0;
	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "looking at segment %s", name);
	struct file *f = file_at(s, (uint32_t)number);
	*f = (struct file){ .fd = -1, .use = USE_LIVE, .size = (uint64_t)st.st_size };
	return 0;
}

/* The directory, made when it is not there, so that it stays. */
static int open_dir(const char *dir, struct err *err)
{
	bool made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_sys(err, errno, "making directory %s", dir);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "opening directory %s", dir);
	if (!made)
		return fd;
	int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int got = up >= 0 && fsync(up) == 0 ? fd : err_sys(err, errno, "syncing above %s", dir);
	if (up >= 0)
		(void)close(up);
	if (got < 0)
		(void)close(fd);
	return got;
}

int segments_open(const char *dir, struct segments **ret_segments, struct err *err)
{
	int fd = open_dir(dir, err);
	if (fd < 0)
		return fd;
	int again = dup(fd);
	DIR *list = again >= 0 ? fdopendir(again) : NULL;
	if (list == NULL) {
		int e = errno;
		(void)close(fd);
		if (again >= 0)
			(void)close(again);
		return err_sys(err, e, "reading directory %s", dir);
	}
	struct segments *s = xcalloc(1, sizeof(*s));
	s->dir = fd;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)file_at(s, 0);
	int got = 0;
	const struct dirent *e;
	while (got >= 0 && (e = readdir(list)) != NULL)
		got = adopt(s, e->d_name, err);
	(void)closedir(list);
	if (got < 0) {
		segments_close(&s);
		return got;
	}
	*ret_segments = s;
	return 0;
}

void segments_close(struct segments **sp)
{
	if (sp == NULL || *sp == NULL)
		return;
	struct segments *s = *sp;
	*sp = NULL;
	segments_reap(s);
	for (uint32_t k = 0; k < s->n; k++)
		if (s->files[k].fd >= 0)
			(void)close(s->files[k].fd);
	free(s->files);
	(void)close(s->dir);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- open files ------------------------------------------------------------------------------- */

static void close_one(struct segments *s)
{
	for (uint32_t k = 1; k < s->n; k++) {
		s->hand = s->hand + 1 < s->n ? s->hand + 1 : 1;
		struct file *f = &s->files[s->hand];
		if (f->fd < 0 || f->holders > 0 || f->dirty || f->use == USE_CURRENT)
			continue;
		(void)close(f->fd);
		f->fd = -1;
		s->open_n--;
		return;
	}
}

/* The descriptor of a file, which stays open until let_go(). Locked. */
static int hold(struct segments *s, uint32_t number, struct err *err)
{
	struct file *f = &s->files[number];
	if (f->fd < 0) {
		char name[16];
		file_name(number, name);
		int fd = openat(s->dir, name, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return err_set(err, ERR_CORRUPT, "segment %s is missing", name);
		if (fd < 0)
			return err_sys(err, errno, "opening segment %s", name);
		if (s->open_n >= OPEN_MAX)
			close_one(s);
		f->fd = fd;
		s->open_n++;
	}
	f->holders++;
	return f->fd;
}

/* Locked. */
static void let_go(struct segments *s, uint32_t number)
{
	struct file *f = &s->files[number];
	ASSERT(f->holders > 0);
	if (--f->holders > 0 || f->use != USE_NONE)
		return;
	(void)close(f->fd); /* it was removed meanwhile */
	f->fd = -1;
	s->open_n--;
}

/* --- files that are not needed ---------------------------------------------------------------- */

/* Nobody needs the file any more: into the pool, or away. Locked. */
static void retire(struct segments *s, uint32_t number)
{
	struct file *f = &s->files[number];
	f->end = 0;
	if (s->pooled < SEGMENT_POOL_MAX && f->size <= SEGMENT_BYTES &&
	    f->size >= SEGMENT_BYTES / 2) {
		f->use = USE_POOL;
		s->pooled++;
		return;
	}
	f->use = USE_GONE;
	f->dirty = false;
}

bool segments_garbage(struct segments *s)
{
	bool any = false;
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n && !any; k++)
		any = s->files[k].use == USE_GONE;
	(void)pthread_mutex_unlock(&s->lock);
	return any;
}

void segments_reap(struct segments *s)
{
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n; k++) {
		char name[16];
		int fd = -1;
		if (s->files[k].use != USE_GONE)
			continue;
		if (s->files[k].holders == 0 && s->files[k].fd >= 0) {
			fd = s->files[k].fd;
			s->files[k].fd = -1;
			s->open_n--;
		}
		(void)pthread_mutex_unlock(&s->lock);
		file_name(k, name);
		if (unlinkat(s->dir, name, 0) < 0 && errno != ENOENT)
			log_warn(NULL, "segment.remove", F_STR("name", name),
				 F_I64("errno", errno));
		if (fd >= 0)
			(void)close(fd); /* this is what takes its time */
		(void)pthread_mutex_lock(&s->lock);
		s->files[k].use = USE_NONE;
		s->files[k].size = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void segments_ready(struct segments *s)
{
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n; k++)
		if (s->files[k].use == USE_LIVE && s->files[k].count == 0)
			retire(s, k);
	(void)pthread_mutex_unlock(&s->lock);
}

void segments_pin(struct segments *s)
{
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n; k++)
		if (s->files[k].use == USE_LIVE)
			s->files[k].count++; /* never comes down to nothing */
	(void)pthread_mutex_unlock(&s->lock);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* A number that no file has: not that of one that is still being read. Locked. */
static uint32_t number_free(struct segments *s)
{
	for (uint32_t k = 1; k < s->n; k++)
		if (s->files[k].use == USE_NONE && s->files[k].holders == 0)
			return k;
	return s->n;
}

static uint32_t pool_take(struct segments *s)
{
	for (uint32_t k = 1; k < s->n; k++)
		if (s->files[k].use == USE_POOL) {
			s->pooled--;
			return k;
		}
	return 0;
}

/* Nothing more is written to the current file. Locked. */
static void leave_current(struct segments *s)
{
	uint32_t old = s->current;
	s->current = 0;
	if (old == 0)
		return;
	s->files[old].use = USE_LIVE;
	if (s->files[old].count == 0)
		retire(s, old);
}

/* Another file becomes the current one, with room for need bytes. Locked. */
static int next_file(struct segments *s, uint64_t need, struct err *err)
{
	uint32_t number = need <= SEGMENT_BYTES ? pool_take(s) : 0;
	if (number == 0) {
		char name[16];
		number = number_free(s);
		struct file *f = file_at(s, number);
		file_name(number, name);
		int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(err, errno, "making segment %s", name);
		*f = (struct file){ .fd = fd };
		s->open_n++;
		s->dir_dirty = true;
	}
	leave_current(s);
	s->current = number;
	s->files[number].use = USE_CURRENT;
	return 0;
}

static int write_all(int fd, struct iovec *v, int n, uint64_t at, struct err *err)
{
	while (n > 0) {
		ssize_t got = v->iov_len == 0 ? 0 : pwritev(fd, v, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (got == 0 && v->iov_len > 0))
			return err_sys(err, got < 0 ? errno : EIO, "writing a segment");
		at += (uint64_t)got;
		while (n > 0 && (size_t)got >= v->iov_len) {
			got -= (ssize_t)v->iov_len;
			v++;
			n--;
		}
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + got;
			v->iov_len -= (size_t)got;
		}
	}
	return 0;
}

int segments_append(struct segments *s, struct msgid id, struct str envelope, struct str content,
		    struct segment_place *ret_place, struct err *err)
{
	if (content.n > SEGMENT_CONTENT_MAX || envelope.n > SEGMENT_CONTENT_MAX)
		return err_set(err, ERR_LIMIT, "a message of %zu bytes is too large", content.n);
	uint64_t need = sizeof(struct frame) + envelope.n + content.n;
	int got = 0;
	(void)pthread_mutex_lock(&s->lock);
	if (s->current == 0 || s->files[s->current].end + need > SEGMENT_BYTES)
		got = next_file(s, need, err);
	uint32_t number = s->current;
	int fd = got < 0 ? -1 : hold(s, number, err);
	uint64_t at = fd < 0 ? 0 : s->files[number].end;
	(void)pthread_mutex_unlock(&s->lock);
	if (got >= 0 && fd < 0)
		got = fd;
	if (got < 0)
		return got;

	struct frame h = { .magic = htole32(FRAME_MAGIC),
			   .id = htole64(id.v),
			   .envelope_n = htole32((uint32_t)envelope.n),
			   .content_n = htole32((uint32_t)content.n) };
	uint32_t crc = crc32c(0, (const char *)&h + 8, sizeof(h) - 8);
	crc = crc32c(crc, envelope.p, envelope.n);
	h.crc = htole32(crc32c(crc, content.p, content.n));
	struct iovec v[] = { { &h, sizeof(h) },
			     { (void *)(uintptr_t)envelope.p, envelope.n },
			     { (void *)(uintptr_t)content.p, content.n } };
	got = write_all(fd, v, ARRAY_LEN(v), at, err);

	(void)pthread_mutex_lock(&s->lock);
	struct file *f = &s->files[number];
	let_go(s, number);
	f->dirty = true;
	if (got >= 0) {
		f->end = at + need;
		if (f->end > f->size)
			f->size = f->end;
		f->live += need;
		f->count++;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (got < 0)
		return got;
	*ret_place =
		(struct segment_place){ .segment = number, .offset = at, .length = (uint32_t)need };
	return 0;
}

void segments_sync_begin(struct segments *s)
{
	(void)pthread_mutex_lock(&s->lock);
	ASSERT(s->syncing_n == 0);
	for (uint32_t k = 1; k < s->n && s->syncing_n < SYNC_MAX; k++) {
		if (!s->files[k].dirty)
			continue;
		s->files[k].dirty = false;
		s->files[k].holders++;
		s->syncing[s->syncing_n++] = k;
	}
	s->syncing_dir = s->dir_dirty;
	s->dir_dirty = false;
	(void)pthread_mutex_unlock(&s->lock);
}

int segments_sync(struct segments *s, struct err *err)
{
	int got = 0;
	for (unsigned k = 0; k < s->syncing_n; k++) {
		(void)pthread_mutex_lock(&s->lock);
		int fd = s->files[s->syncing[k]].fd;
		(void)pthread_mutex_unlock(&s->lock);
		if (fdatasync(fd) < 0 && got == 0)
			got = err_sys(err, errno, "syncing segment %u", s->syncing[k]);
	}
	if (s->syncing_dir && fsync(s->dir) < 0 && got == 0)
		got = err_sys(err, errno, "syncing the segments' directory");
	(void)pthread_mutex_lock(&s->lock);
	for (unsigned k = 0; k < s->syncing_n; k++)
		let_go(s, s->syncing[k]);
	s->syncing_n = 0;
	if (got < 0)
		leave_current(s);
	(void)pthread_mutex_unlock(&s->lock);
	return got;
}

/* --- keeping and dropping --------------------------------------------------------------------- */

void segment_keep(struct segments *s, const struct segment_place *at)
{
	(void)pthread_mutex_lock(&s->lock);
	if (at->segment != 0 && at->segment <= s->n + SEGMENT_GAP_MAX) {
		struct file *f = file_at(s, at->segment);
		if (f->use == USE_NONE)
			f->use = USE_LIVE; /* the file is missing: its number stays taken */
		f->live += at->length;
		f->count++;
		if (at->offset + at->length > f->end)
			f->end = at->offset + at->length;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void segment_drop(struct segments *s, const struct segment_place *at)
{
	(void)pthread_mutex_lock(&s->lock);
	if (at->segment != 0 && at->segment < s->n && s->files[at->segment].count > 0) {
		struct file *f = &s->files[at->segment];
		f->live -= at->length < f->live ? at->length : f->live;
		if (--f->count == 0 && f->use == USE_LIVE)
			retire(s, at->segment);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static bool is_sparse(const struct file *f)
{
	return f->use == USE_LIVE && f->live * SPARSE_PART < f->size;
}

bool segment_sparse(struct segments *s, uint32_t segment)
{
	(void)pthread_mutex_lock(&s->lock);
	bool sparse = segment < s->n && is_sparse(&s->files[segment]);
	(void)pthread_mutex_unlock(&s->lock);
	return sparse;
}

bool segments_sparse(struct segments *s)
{
	bool any = false;
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n && !any; k++)
		any = is_sparse(&s->files[k]);
	(void)pthread_mutex_unlock(&s->lock);
	return any;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_frame(int fd, const struct segment_place *at, void *to, struct err *err)
{
	size_t done = 0;
	while (done < at->length) {
		ssize_t got =
			pread(fd, (char *)to + done, at->length - done, (off_t)(at->offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, errno, "reading segment %u", at->segment);
		if (got == 0)
			return err_set(err, ERR_CORRUPT,
				       "segment %08u ends at byte %llu, inside a message",
				       at->segment, (unsigned long long)(at->offset + done));
		done += (size_t)got;
	}
	return 0;
}

static int check_frame(struct msgid id, const struct segment_place *at, const void *p,
		       struct str *ret_envelope, struct str *ret_content, struct err *err)
{
	struct frame h;
	memcpy(&h, p, sizeof(h));
	uint64_t envelope_n = le32toh(h.envelope_n), content_n = le32toh(h.content_n);
	bool whole = le32toh(h.magic) == FRAME_MAGIC &&
		     sizeof(h) + envelope_n + content_n == at->length &&
		     crc32c(0, (const char *)p + 8, at->length - 8) == le32toh(h.crc);
	if (whole && le64toh(h.id) != id.v)
		return err_set(err, ERR_UNKNOWN, "the content is gone");
	if (!whole)
		return err_set(err, ERR_CORRUPT,
			       "the content in segment %08u at byte %llu is damaged", at->segment,
			       (unsigned long long)at->offset);
	*ret_envelope = str_from((const char *)p + sizeof(h), envelope_n);
	*ret_content = str_from((const char *)p + sizeof(h) + envelope_n, content_n);
	return 0;
}

int segments_read(struct segments *s, struct msgid id, const struct segment_place *at,
		  void **ret_frame, struct str *ret_envelope, struct str *ret_content,
		  struct err *err)
{
	if (at->length < sizeof(struct frame))
		return err_set(err, ERR_CORRUPT, "a place of %u bytes holds no message",
			       at->length);
	int fd;
	(void)pthread_mutex_lock(&s->lock);
	if (at->segment >= s->n)
		fd = err_set(err, ERR_CORRUPT, "segment %08u is missing", at->segment);
	else if (s->files[at->segment].use == USE_NONE || s->files[at->segment].use == USE_GONE)
		fd = err_set(err, ERR_UNKNOWN, "the content is gone");
	else
		fd = hold(s, at->segment, err);
	(void)pthread_mutex_unlock(&s->lock);
	if (fd < 0)
		return fd;
	AUTO_FREE void *p = malloc(at->length);
	int got = p == NULL ? err_set(err, ERR_LIMIT, "no memory for %u bytes", at->length)
			    : read_frame(fd, at, p, err);
	(void)pthread_mutex_lock(&s->lock);
	let_go(s, at->segment);
	(void)pthread_mutex_unlock(&s->lock);
	if (got >= 0)
		got = check_frame(id, at, p, ret_envelope, ret_content, err);
	if (got < 0)
		return got;
	*ret_frame = p;
	p = NULL;
	return 0;
}

void segments_figures(struct segments *s, struct segments_figures *ret)
{
	*ret = (struct segments_figures){ .pooled = 0 };
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t k = 1; k < s->n; k++) {
		const struct file *f = &s->files[k];
		if (f->use == USE_NONE || f->use == USE_GONE)
			continue;
		ret->files++;
		ret->pooled += f->use == USE_POOL;
		ret->bytes += f->size;
		ret->live += f->live;
	}
	(void)pthread_mutex_unlock(&s->lock);
}
