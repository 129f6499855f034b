/* check_int - a check under way, for the files that make its lines. */
#ifndef CTL_CHECK_INT_H
#define CTL_CHECK_INT_H

#include <stdbool.h>

#include "ctl/check.h"

enum check_status { CHECK_OK, CHECK_WARNING, CHECK_MISSING, CHECK_WRONG, CHECK_UNKNOWN };

struct check {
	const struct check_in *in;
	json_t *rows;
	bool waits;
	struct ipaddr source[CHECK_SOURCES_MAX];
	size_t source_n;
	const char *spf_name; /* of the line, and whose record it is about */
	const char *spf_domain;
};

struct check_line {
	const char *name;
	const char *about; /* address or selector; NULL: the domain */
	enum check_status status;
	const char *found; /* NULL: nothing */
	const char *wanted;
	const char *publish;
};

void check_add(struct check *c, const struct check_line *l, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* NULL while it is not there. */
const struct dns_answer *check_get(struct check *c, const char *name, enum dns_type type);
/* Whether DNS gave no answer that counts; says so. */
bool check_in_trouble(struct check *c, const struct check_line *line, const char *name,
		      const struct dns_answer *a);

/* check_tls.c: what the domain publishes for those who send mail to it */
void check_sts(struct check *c);
void check_tlsa(struct check *c);

#endif
