#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int rpc;
	int exit_status;
	const char *text;
} errors[ERR__COUNT] = {
	[ERR_NONE] = { "none", 0, 0, "no error" },
#define ERROR(id, name, rpc, exit_status, text) [ERR_##id] = { name, rpc, exit_status, text },
#include "base/errors.def"
#undef ERROR
};

static int known(int code)
{
	return code > 0 && code < ERR__COUNT ? code : ERR_INTERNAL;
}

static void __attribute__((format(printf, 4, 0)))
err_vset(struct err *err, int code, const char *param, const char *fmt, va_list ap)
{
	if (err == NULL)
		return;
	err->code = known(code);
	err->column = 0;
	(void)snprintf(err->param, sizeof(err->param), "%s", param);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, "", fmt, ap);
	va_end(ap);
	return -known(code);
}

int err_param(struct err *err, int code, const char *param, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, param, fmt, ap);
	va_end(ap);
	return -known(code);
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	int code = errnum == ENOSPC || errnum == EDQUOT ? ERR_NOSPC : ERR_IO;
	char reason[128] = "";
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, "", fmt, ap);
	va_end(ap);
	if (err != NULL) {
		size_t n = strlen(err->msg);
		(void)snprintf(err->msg + n, sizeof(err->msg) - n, ": %s",
			       strerror_r(errnum, reason, sizeof(reason)));
	}
	return -code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list ap;
	size_t n;

	if (err == NULL)
		return -ERR_INTERNAL;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	(void)snprintf(err->msg + n, sizeof(err->msg) - n, ": %.*s",
		       (int)(sizeof(err->msg) - n > 3 ? sizeof(err->msg) - n - 3 : 0), old);
	return -known(err->code);
}

const char *err_name(int code)
{
	return errors[known(code)].name;
}

const char *err_text(int code)
{
	return errors[known(code)].text;
}

int err_rpc_code(int code)
{
	return errors[known(code)].rpc;
}

int err_exit_status(int code)
{
	return errors[known(code)].exit_status;
}

int err_from_name(const char *nm)
{
	for (int i = 1; i < ERR__COUNT; i++)
		if (strcmp(errors[i].name, nm) == 0)
			return i;
	return ERR_INTERNAL;
}
