/*
 * One line is built in a stack buffer and handed to the sink in one call, so lines of several
 * threads do not mix. The wall clock is read here and not from the loop: log lines come from worker
 * threads too.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fmt.h"

#define LOG_LINE_MAX 2048
#define LOG_LIMITED_EVENTS 64
#define LOG_LIMITED_PER_S 20

static enum log_level max_level = LOG_LEVEL_INFO;
static log_sink_fn *sink;
static void *sink_arg;
static bool to_syslog;

static pthread_mutex_t limited_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	const char *event;
	time_t second;
	unsigned count;
} limited[LOG_LIMITED_EVENTS];

void log_to_stderr(void)
{
	sink = NULL;
	to_syslog = false;
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
	to_syslog = true;
}

void log_to_fn(log_sink_fn *fn, void *arg)
{
	sink = fn;
	sink_arg = arg;
}

void log_level_set(enum log_level level)
{
	max_level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= max_level;
}

static bool plain(struct str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f)
			return false;
	}
	return true;
}

static void put_value(struct buf *b, struct str s)
{
	if (plain(s)) {
		(void)buf_put_str(b, s);
		return;
	}
	(void)buf_putc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			(void)buf_printf(b, "\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			(void)buf_printf(b, "\\x%02x", c);
		else
			(void)buf_putc(b, (char)c);
	}
	(void)buf_putc(b, '"');
}

static void put_field(struct buf *b, const struct log_field *f)
{
	(void)buf_printf(b, " %s=", f->key);
	switch (f->kind) {
	case LOG_FIELD_STR:
		put_value(b, f->s);
		break;
	case LOG_FIELD_I64:
		(void)buf_printf(b, "%lld", (long long)f->i);
		break;
	case LOG_FIELD_U64:
		(void)buf_printf(b, "%llu", (unsigned long long)f->u);
		break;
	case LOG_FIELD_NONE:
		break;
	}
}

static void emit(enum log_level level, const char *line)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
	static const char *const names[] = { "error", "warn", "info", "debug" };

	if (sink != NULL) {
		sink(level, line, sink_arg);
	} else if (to_syslog) {
		syslog(priorities[level], "%s", line);
	} else {
		char stamp[FMT_TIME_LEN];
		char out[LOG_LINE_MAX + 128];
		struct timespec now;
		int n;
		clock_gettime(CLOCK_REALTIME, &now);
		fmt_time(now.tv_sec * 1000 + now.tv_nsec / 1000000, stamp);
		n = snprintf(out, sizeof(out), "%s %s %s\n", stamp, names[level], line);
		if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
			return; /* nowhere left to say it */
	}
}

void log_write(enum log_level level, const char *ctx, const char *event, ...)
{
	AUTO_BUF b = BUF_INIT(LOG_LINE_MAX);
	struct log_field f;
	va_list ap;

	if (!log_enabled(level))
		return;
	(void)buf_puts(&b, event);
	if (ctx != NULL)
		put_field(&b, &F_STR("ctx", ctx));
	va_start(ap, event);
	for (f = va_arg(ap, struct log_field); f.kind != LOG_FIELD_NONE;
	     f = va_arg(ap, struct log_field))
		put_field(&b, &f);
	va_end(ap);
	emit(level, buf_cstr(&b));
}

bool log_limited_at(enum log_level level, const char *event)
{
	struct timespec now;
	size_t i = 0;
	unsigned dropped = 0;
	bool ok;

	if (!log_enabled(level))
		return false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	(void)pthread_mutex_lock(&limited_lock);
	while (i < LOG_LIMITED_EVENTS - 1 && limited[i].event != NULL &&
	       strcmp(limited[i].event, event) != 0)
		i++;
	if (limited[i].second != now.tv_sec) {
		if (limited[i].count > LOG_LIMITED_PER_S)
			dropped = limited[i].count - LOG_LIMITED_PER_S;
		limited[i].second = now.tv_sec;
		limited[i].count = 0;
	}
	limited[i].event = event;
	ok = ++limited[i].count <= LOG_LIMITED_PER_S;
	(void)pthread_mutex_unlock(&limited_lock);
	if (dropped > 0)
		log_write(LOG_LEVEL_WARN, NULL, "log.dropped", F_STR("event", event),
			  F_U64("lines", dropped), F_END);
	return ok;
}

bool log_limited(const char *event)
{
	return log_limited_at(LOG_LEVEL_WARN, event);
}
