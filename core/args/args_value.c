/* Words to JSON, a function a type. */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "args/args_int.h"
#include "filter/target.h"
#include "mail/msgid.h"

static int point(struct args *a, const struct param_def *p, const char *text, struct err *err)
{
	if (err != NULL) {
		size_t n = strlen(p->name);

		memcpy(err->param, p->name, n < sizeof(err->param) ? n + 1 : 0);
		if (err->column > 0) {
			free(a->fault_text);
			a->fault_text = xstrdup(text);
		}
	}
	return err != NULL ? -err->code : -ERR_SYNTAX;
}

int args_target_value(struct args *a, const struct param_def *p, const char *text, bool where,
		      json_t **ret, struct err *err)
{
	struct target t = TARGET_INIT;
	struct msgid id;
	unsigned n;
	int rc;

	if (!where && p->metavar != NULL && str_starts(str_of(p->metavar), STR("ID")) &&
	    msgid_parse_rcpt(str_of(text), &id, &n)) {
		*ret = json_sprintf("id:%s", text);
		return 0;
	}
	rc = where ? target_from_filter(str_of(text), &t, err)
		   : target_parse(str_of(text), &t, err);
	if (rc < 0)
		return point(a, p, text, err);
	*ret = json_string(t.canonical);
	target_done(&t);
	return 0;
}

static int filter_value(struct args *a, const struct param_def *p, const char *text, json_t **ret,
			struct err *err)
{
	enum filter_about about = p->type == T_AUDIT_FILTER ? FILTER_AUDIT : FILTER_MAIL;
	AUTO(filter) struct filter *f = filter_parse_about(about, str_of(text), err);

	if (f == NULL)
		return point(a, p, text, err);
	*ret = json_string(text);
	return 0;
}

/* Row ids, ID/N, are what tables show; the message is what is meant. */
static int msgid_value(const struct param_def *p, const char *text, json_t **ret, struct err *err)
{
	char canonical[MSGID_TEXT_LEN];
	struct msgid id;
	unsigned n;

	if (!msgid_parse_rcpt(str_of(text), &id, &n))
		return err_param(err, ERR_INVALID, p->name,
				 "\"%.*s\" is no message id; one has ten letters and digits, such "
				 "as 0N4XK2M8QF",
				 ARGS_SHOWN, text);
	msgid_text(id, canonical);
	*ret = json_string(canonical);
	return 0;
}

static json_t *int_value(const char *text)
{
	struct str digits = str_of(text);
	bool minus = digits.n > 0 && digits.p[0] == '-';
	uint64_t n;

	if (minus)
		digits = str_from(digits.p + 1, digits.n - 1);
	if (!str_u64(digits, INT64_MAX, &n))
		return json_string(text); /* method_check() says what a number would be */
	return json_integer(minus ? -(json_int_t)n : (json_int_t)n);
}

static json_t *bool_value(const char *text)
{
	if (*text == '\0' || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
		return json_true();
	if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
		return json_false();
	return json_string(text);
}

static json_t *age_value(const char *text)
{
	int64_t s;

	return fmt_parse_age(str_of(text), &s) ? json_integer(s) : json_string(text);
}

int args_value(struct args *a, const struct param_def *p, const char *text, json_t **ret,
	       struct err *err)
{
	switch (p->type) {
	case T_BOOL:
		*ret = bool_value(text);
		break;
	case T_INT:
		*ret = int_value(text);
		break;
	case T_AGE:
		*ret = age_value(text);
		break;
	case T_FILTER:
	case T_AUDIT_FILTER:
		return filter_value(a, p, text, ret, err);
	case T_TARGET:
		return args_target_value(a, p, text, false, ret, err);
	case T_MSGID:
		return msgid_value(p, text, ret, err);
	case T_STRINGS:
		*ret = proto_strings(str_of(text));
		break;
	case T_OBJECT:
		*ret = json_loads(text, 0, NULL);
		break;
	case T_STRING:
	case T_TIME:
	case T_ENUM:
	case T_NETWORK:
	case T_ROUTE:
	case T_CURSOR:
	case T_FILE:
	case T__COUNT:
		*ret = json_string(text);
		break;
	}
	return 0;
}
