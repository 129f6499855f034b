#include "lib/vt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vterm.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"

#define LOG_MAX (4u << 20)
#define POLL_MS 20

struct vt {
	int master;
	int slave;
	pthread_t reader;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t seen_more;
	VTerm *vterm;
	VTermScreen *screen;
	struct buf log;
	size_t mark;
	unsigned sync_sent;
	unsigned sync_seen;
	bool stop;
};

static int on_prop(VTermProp prop, VTermValue *val, void *arg)
{
	struct vt *v = arg;

	if (prop == VTERM_PROP_TITLE)
		(void)sscanf(val->string, "sync%u", &v->sync_seen);
	return 1;
}

static const VTermScreenCallbacks callbacks = { .settermprop = on_prop };

static void *reader(void *arg)
{
	struct vt *v = arg;
	char bytes[4096];

	for (;;) {
		struct pollfd p = { .fd = v->master, .events = POLLIN };
		ssize_t n = 0;

		if (poll(&p, 1, POLL_MS) == 1 && (p.revents & POLLIN))
			n = read(v->master, bytes, sizeof(bytes));
		pthread_mutex_lock(&v->lock);
		if (n > 0) {
			vterm_input_write(v->vterm, bytes, (size_t)n);
			(void)buf_put(&v->log, bytes, (size_t)n);
			pthread_cond_broadcast(&v->seen_more);
		}
		if (v->stop || n < 0) {
			pthread_mutex_unlock(&v->lock);
			return NULL;
		}
		pthread_mutex_unlock(&v->lock);
	}
}

struct vt *vt_new(int rows, int cols)
{
	struct vt *v = xcalloc(1, sizeof(*v));
	struct winsize ws = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	v->log = BUF_INIT(LOG_MAX);
	if (openpty(&v->master, &v->slave, NULL, NULL, &ws) < 0)
		BUG("openpty failed");
	v->vterm = vterm_new(rows, cols);
	vterm_set_utf8(v->vterm, 1);
	v->screen = vterm_obtain_screen(v->vterm);
	vterm_screen_set_callbacks(v->screen, &callbacks, v);
	vterm_screen_enable_altscreen(v->screen, 1);
	vterm_screen_reset(v->screen, 1);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->seen_more, NULL);
	if (pthread_create(&v->reader, NULL, reader, v) != 0)
		BUG("no thread");
	return v;
}

void vt_hangup(struct vt *v)
{
	if (v->master < 0)
		return;
	pthread_mutex_lock(&v->lock);
	v->stop = true;
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->reader, NULL);
	close(v->master);
	v->master = -1;
}

void vt_free(struct vt **vp)
{
	struct vt *v;

	if (vp == NULL || *vp == NULL)
		return;
	v = *vp;
	vt_hangup(v);
	vterm_free(v->vterm);
	close(v->slave);
	buf_done(&v->log);
	pthread_mutex_destroy(&v->lock);
	pthread_cond_destroy(&v->seen_more);
	free(v);
	*vp = NULL;
}

int vt_slave(const struct vt *v)
{
	return v->slave;
}

void vt_resize(struct vt *v, int rows, int cols)
{
	struct winsize ws = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	pthread_mutex_lock(&v->lock);
	vterm_set_size(v->vterm, rows, cols);
	pthread_mutex_unlock(&v->lock);
	if (ioctl(v->slave, TIOCSWINSZ, &ws) < 0)
		BUG("TIOCSWINSZ failed");
}

void vt_type(struct vt *v, const char *bytes)
{
	if (write(v->master, bytes, strlen(bytes)) != (ssize_t)strlen(bytes))
		BUG("short write to the pty");
}

void vt_sync(struct vt *v)
{
	char mark[32];
	int n;

	pthread_mutex_lock(&v->lock);
	n = snprintf(mark, sizeof(mark), "\033]2;sync%u\a", ++v->sync_sent);
	pthread_mutex_unlock(&v->lock);
	if (write(v->slave, mark, (size_t)n) != n)
		BUG("short write to the terminal");
	pthread_mutex_lock(&v->lock);
	while (v->sync_seen < v->sync_sent)
		pthread_cond_wait(&v->seen_more, &v->lock);
	pthread_mutex_unlock(&v->lock);
}

struct vt_cell vt_cell(struct vt *v, int row, int col)
{
	struct vt_cell out = { .width = 0 };
	VTermScreenCell c;

	pthread_mutex_lock(&v->lock);
	(void)vterm_screen_get_cell(v->screen, (VTermPos){ row, col }, &c);
	pthread_mutex_unlock(&v->lock);
	for (int i = 0; i < 6; i++)
		out.cp[i] = c.chars[i];
	out.width = c.width;
	out.bold = c.attrs.bold;
	out.underline = c.attrs.underline != 0;
	out.reverse = c.attrs.reverse;
	out.fg_default = VTERM_COLOR_IS_DEFAULT_FG(&c.fg);
	out.bg_default = VTERM_COLOR_IS_DEFAULT_BG(&c.bg);
	out.fg_indexed = VTERM_COLOR_IS_INDEXED(&c.fg);
	out.bg_indexed = VTERM_COLOR_IS_INDEXED(&c.bg);
	out.fg = out.fg_indexed ? c.fg.indexed.idx
				: c.fg.rgb.red << 16 | c.fg.rgb.green << 8 | c.fg.rgb.blue;
	out.bg = out.bg_indexed ? c.bg.indexed.idx
				: c.bg.rgb.red << 16 | c.bg.rgb.green << 8 | c.bg.rgb.blue;
	return out;
}

char *vt_row(struct vt *v, int row)
{
	struct buf b = BUF_INIT(65536);
	int rows, cols;

	pthread_mutex_lock(&v->lock);
	vterm_get_size(v->vterm, &rows, &cols);
	pthread_mutex_unlock(&v->lock);
	(void)buf_puts(&b, "");
	for (int col = 0; col < cols;) {
		struct vt_cell c = vt_cell(v, row, col);
		char utf8[4];

		for (int i = 0; i < 6 && c.cp[i] != 0; i++)
			(void)buf_put(&b, utf8, utf8_encode(c.cp[i], utf8));
		if (c.cp[0] == 0)
			(void)buf_putc(&b, ' ');
		col += c.width > 0 ? c.width : 1;
	}
	while (b.n > 0 && b.p[b.n - 1] == ' ')
		b.p[--b.n] = '\0';
	return buf_take(&b);
}

void vt_mark(struct vt *v)
{
	vt_sync(v);
	pthread_mutex_lock(&v->lock);
	v->mark = v->log.n;
	pthread_mutex_unlock(&v->lock);
}

size_t vt_written(struct vt *v)
{
	size_t n;

	pthread_mutex_lock(&v->lock);
	n = v->log.n - v->mark;
	pthread_mutex_unlock(&v->lock);
	return n;
}

bool vt_wrote(struct vt *v, const char *bytes)
{
	bool found;

	vt_sync(v);
	pthread_mutex_lock(&v->lock);
	found = memmem(v->log.p + v->mark, v->log.n - v->mark, bytes, strlen(bytes)) != NULL;
	pthread_mutex_unlock(&v->lock);
	return found;
}
