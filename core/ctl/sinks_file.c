/*
 * Events into a file: appended and synced by a worker, so that the cursor never is before the
 * file. A line that a crash cut off is ended before the next one begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/sinks_int.h"

struct file_job {
	struct sink *sink; /* loop thread; NULL: it is gone */
	char *path;
	uint64_t size;
	unsigned keep;
	char *bytes;
	size_t n;
	struct err err;
	int rc;
};

static int file_error(struct file_job *j, const char *what)
{
	return err_sys(&j->err, errno, "%s %s", what, j->path);
}

/* FILE becomes FILE.1, that FILE.2, and what is beyond `keep` goes. */
static int rotate(struct file_job *j)
{
	for (unsigned k = j->keep; k > 0; k--) {
		AUTO_FREE char *from =
			k > 1 ? xasprintf("%s.%u", j->path, k - 1) : xstrdup(j->path);
		AUTO_FREE char *to = xasprintf("%s.%u", j->path, k);
		if (rename(from, to) < 0 && errno != ENOENT)
			return file_error(j, "rotating");
	}
	return 0;
}

static int open_file(struct file_job *j, int *ret_fd, struct stat *ret_st)
{
	int fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		      0640);
	if (fd < 0)
		return file_error(j, "opening");
	if (fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode)) {
		(void)close(fd);
		return err_set(&j->err, ERR_IO, "%s is no file that can be written to", j->path);
	}
	*ret_fd = fd;
	return 0;
}

static int write_all(struct file_job *j, int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = write(fd, p, n);
		if (got < 0 && errno != EINTR)
			return file_error(j, "writing");
		p += got > 0 ? got : 0;
		n -= got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static bool is_cut(int fd, const struct stat *st)
{
	char last = '\n';
	return st->st_size > 0 && pread(fd, &last, 1, st->st_size - 1) == 1 && last != '\n';
}

static void work(void *arg)
{
	struct file_job *j = arg;
	struct stat st = { .st_size = 0 };
	int fd = -1;
	j->rc = open_file(j, &fd, &st);
	if (j->rc >= 0 && st.st_size > 0 && (uint64_t)st.st_size + j->n > j->size) {
		(void)close(fd);
		fd = -1;
		j->rc = rotate(j);
		if (j->rc >= 0)
			j->rc = open_file(j, &fd, &st);
	}
	if (j->rc >= 0 && is_cut(fd, &st))
		j->rc = write_all(j, fd, "\n", 1);
	if (j->rc >= 0)
		j->rc = write_all(j, fd, j->bytes, j->n);
	if (j->rc >= 0 && fdatasync(fd) < 0)
		j->rc = file_error(j, "syncing");
	if (fd >= 0)
		(void)close(fd);
}

static void on_worked(void *arg)
{
	struct file_job *j = arg;
	struct sink *s = j->sink;
	if (s != NULL) {
		s->job = NULL;
		if (j->rc < 0)
			sink_refused(s, j->err.msg);
		else
			sink_taken(s);
	}
	free(j->path);
	free(j->bytes);
	free(j);
}

void sink_file(struct sink *s)
{
	struct file_job *j = xcalloc(1, sizeof(*j));
	j->sink = s;
	j->path = xstrdup(s->file);
	j->size = s->size;
	j->keep = s->keep;
	j->n = s->body.n;
	j->bytes = buf_take(&s->body);
	j->err = ERR_INIT;
	s->job = j;
	(void)loop_job_start(s->all->env->loop, "sink.file", work, on_worked, j);
}

void sink_file_leave(struct sink *s)
{
	if (s->job != NULL)
		s->job->sink = NULL;
	s->job = NULL;
}
