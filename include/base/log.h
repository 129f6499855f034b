/*
 * log - structured log lines: a stable event name, typed fields, an inherited context prefix.
 *
 * Model:   log_info(ctx, "smtpin.accepted", F_STR("id", id), F_U64("bytes", n)). `ctx` is a short
 * prefix such as a session or message id, or NULL. Peer bytes may be passed as they are: values are
 *          escaped here. Secrets and message bodies are never passed at all.
 * Context: any thread. Levels: error = an operator must act; warn = degraded; info = one line per
 * message event; debug = development, off unless switched on. Limits:  a line is cut at 2 KiB. What
 * a peer can trigger is rate-limited per event name by log_limited(): at most 20 lines a second,
 * the rest counted and reported.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_field_kind { LOG_FIELD_NONE, LOG_FIELD_STR, LOG_FIELD_I64, LOG_FIELD_U64 };
struct log_field {
	const char *key;
	enum log_field_kind kind;
	struct str s;
	int64_t i;
	uint64_t u;
};
#define F_STR(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .s = str_of(v) })
#define F_SLICE(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .s = (v) })
#define F_I64(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_I64, .i = (int64_t)(v) })
#define F_U64(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_U64, .u = (uint64_t)(v) })

/* Where lines go: standard error with a time stamp (the default), syslog, or a function of the
 * caller's. */
typedef void log_sink_fn(enum log_level level, const char *line, void *arg);
void log_to_stderr(void);
void log_to_syslog(const char *ident);
void log_to_fn(log_sink_fn *fn, void *arg);
void log_level_set(enum log_level level);
bool log_enabled(enum log_level level);

/* `event`, then struct log_field values, ended by F_END; called by the macros below. */
void log_write(enum log_level level, const char *ctx, const char *event, ...);
/* True while this event may still be written this second; counts what is dropped. What is not
 * written anyway, for its level is switched off, is neither counted nor told as dropped. */
bool log_limited_at(enum log_level level, const char *event);
/* The same for a warning or an error. */
bool log_limited(const char *event);

#define F_END ((struct log_field){ .kind = LOG_FIELD_NONE })
#define log_error(ctx, ...) log_write(LOG_LEVEL_ERROR, ctx, __VA_ARGS__, F_END)
#define log_warn(ctx, ...) log_write(LOG_LEVEL_WARN, ctx, __VA_ARGS__, F_END)
#define log_info(ctx, ...) log_write(LOG_LEVEL_INFO, ctx, __VA_ARGS__, F_END)
#define log_debug(ctx, ...) log_write(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__, F_END)

#endif
