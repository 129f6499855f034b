/*
 * err - expected failures (network, disk, configuration, input) as values.
 *
 * Model:   a function that can fail returns int: >= 0 is success, -ERR_X is failure, and takes
 *          `struct err *err` as its last parameter. The caller owns the struct; NULL means that the
 *          text is not wanted. Codes and their wire names live in base/errors.def.
 * Errors:  none of its own; texts longer than the buffer are cut.
 *
 *	struct err err = ERR_INIT;
 *	if (conf_load(path, &conf, &err) < 0)
 *		log_error(NULL, "conf.load", F_STR("error", err.msg));
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum err_code {
	ERR_NONE,
#define ERROR(id, ...) ERR_##id,
#include "base/errors.def"
#undef ERROR
	ERR__COUNT
};

struct err {
	int code;	/* an enum err_code, positive; 0 when nothing failed */
	int column;	/* 1-based place in the text at fault, 0 when there is none */
	char param[48]; /* name of the parameter at fault, or empty */
	char msg[464];
};

#define ERR_INIT ((struct err){ .code = 0 })

/* Sets *err (if not NULL) and returns -code. The message says what is wrong and what would be
 * right. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same, and names the parameter at fault. */
int err_param(struct err *err, int code, const char *param, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Sets *err from errno (ENOSPC and EDQUOT become ERR_NOSPC, all others ERR_IO); "text: reason". */
int err_sys(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "text: " before the message on the way up; returns -err->code, or -ERR_INTERNAL without one.
 */
int err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *err_name(int code);	   /* wire name */
const char *err_text(int code);	   /* default text */
int err_rpc_code(int code);	   /* JSON-RPC error code */
int err_exit_status(int code);	   /* exit status of the command line */
int err_from_name(const char *nm); /* enum err_code, ERR_INTERNAL when the name is not known */

#endif
