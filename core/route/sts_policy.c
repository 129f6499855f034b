#include "route/sts_policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "route/names.h"

#define VERSION "STSv1"

static const char *const mode_names[STS_MODE__COUNT] = {
	[STS_MODE_NONE] = "none", [STS_MODE_TESTING] = "testing", [STS_MODE_ENFORCE] = "enforce"
};

/* Of the fields that may come once, the first one counts (RFC 8461, 3.2). */
struct seen {
	bool version;
	bool mode;
	bool max_age;
};

const char *sts_mode_name(enum sts_mode m)
{
	return mode_names[m];
}

static bool take_mode(struct str value, struct sts_policy *p)
{
	for (int i = 0; i < STS_MODE__COUNT; i++) {
		if (!str_eq(value, str_of(mode_names[i])))
			continue;
		p->mode = (enum sts_mode)i;
		return true;
	}
	return false;
}

static bool take_max_age(struct str value, struct sts_policy *p)
{
	uint64_t age;

	if (value.n > 10 || !str_u64(value, UINT64_MAX, &age))
		return false;
	p->max_age_s = age < STS_AGE_MAX_S ? (int64_t)age : STS_AGE_MAX_S;
	return true;
}

static bool take_mx(struct str value, struct sts_policy *p)
{
	char *mx = xstrndup(value.p, value.n);
	const char *name = mx[0] == '*' && mx[1] == '.' ? mx + 2 : mx;

	for (char *c = mx; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (strlen(mx) != value.n || !names_host_valid(name) || p->mx_n == STS_MX_MAX) {
		free(mx);
		return false;
	}
	p->mx = xreallocarray(p->mx, p->mx_n + 1, sizeof(*p->mx));
	p->mx[p->mx_n++] = mx;
	return true;
}

static bool take_field(struct str name, struct str value, struct sts_policy *p, struct seen *seen)
{
	bool *once = str_eq(name, STR("version"))   ? &seen->version
		     : str_eq(name, STR("mode"))    ? &seen->mode
		     : str_eq(name, STR("max_age")) ? &seen->max_age
						    : NULL;

	if (str_eq(name, STR("mx")))
		return take_mx(value, p);
	if (once == NULL || *once)
		return true;
	*once = true;
	if (once == &seen->version)
		return str_eq(value, STR(VERSION));
	return once == &seen->mode ? take_mode(value, p) : take_max_age(value, p);
}

static int take_line(struct str line, unsigned number, struct sts_policy *p, struct seen *seen,
		     struct err *err)
{
	struct str rest;
	struct str name;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	line = rest = str_trim(line);
	if (line.n == 0)
		return 0;
	if (str_index(line, ':') < 0)
		return err_set(err, ERR_PROTO, "line %u is no field", number);
	name = str_cut(&rest, ':');
	if (!take_field(name, str_trim(rest), p, seen))
		return err_set(err, ERR_PROTO, "line %u: what it says of %.*s makes no sense",
			       number, name.n < 20 ? (int)name.n : 20, name.p);
	return 0;
}

static int check_whole(const struct sts_policy *p, const struct seen *seen, struct err *err)
{
	const char *missing = !seen->version				 ? "version"
			      : !seen->mode				 ? "mode"
			      : !seen->max_age				 ? "max_age"
			      : p->mx_n == 0 && p->mode != STS_MODE_NONE ? "mx"
									 : NULL;

	if (missing == NULL)
		return 0;
	return err_set(err, ERR_PROTO, "it has no %s", missing);
}

int sts_policy_parse(struct str text, struct sts_policy *ret, struct err *err)
{
	struct sts_policy p = { .mode = STS_MODE_NONE };
	struct seen seen = { .version = false };
	unsigned number = 0;
	int rc = 0;

	if (text.n > STS_TEXT_MAX)
		return err_set(err, ERR_PROTO, "it is too long");
	while (text.n > 0 && rc >= 0)
		rc = take_line(str_cut(&text, '\n'), ++number, &p, &seen, err);
	if (rc >= 0)
		rc = check_whole(&p, &seen, err);
	if (rc >= 0)
		*ret = p;
	else
		sts_policy_done(&p);
	return rc;
}

char *sts_policy_text(const struct sts_policy *p)
{
	AUTO_BUF b = BUF_INIT(STS_TEXT_MAX);

	(void)buf_printf(&b, "version: " VERSION "\nmode: %s\nmax_age: %lld\n", mode_names[p->mode],
			 (long long)p->max_age_s);
	for (size_t i = 0; i < p->mx_n; i++)
		(void)buf_printf(&b, "mx: %s\n", p->mx[i]);
	return xstrdup(buf_cstr(&b));
}

void sts_policy_done(struct sts_policy *p)
{
	for (size_t i = 0; i < p->mx_n; i++)
		free(p->mx[i]);
	free(p->mx);
	*p = (struct sts_policy){ .mode = STS_MODE_NONE };
}

/* The star stands for the leftmost label, all of it, and for nothing else (4.1). */
static bool pattern_matches(const char *pattern, const char *host)
{
	const char *rest;

	if (pattern[0] != '*')
		return strcmp(pattern, host) == 0;
	rest = strchr(host, '.');
	return rest != NULL && rest != host && strcmp(pattern + 1, rest) == 0;
}

bool sts_policy_matches(const struct sts_policy *p, const char *host)
{
	for (size_t i = 0; i < p->mx_n; i++)
		if (pattern_matches(p->mx[i], host))
			return true;
	return false;
}

bool sts_record_is(struct str text)
{
	struct str rest = text;

	return str_index(text, ';') >= 0 &&
	       str_eq(str_trim(str_cut(&rest, ';')), STR("v=" VERSION));
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			return false;
	}
	return s.n > 0 && s.n <= STS_ID_MAX;
}

bool sts_record_parse(struct str text, char ret_id[static STS_ID_MAX + 1])
{
	struct str rest = text;

	if (!sts_record_is(text))
		return false;
	(void)str_cut(&rest, ';');
	while (rest.n > 0) {
		struct str field = str_trim(str_cut(&rest, ';'));
		struct str value = field;
		if (!str_eq(str_cut(&value, '='), STR("id")))
			continue;
		if (!is_id(value))
			return false;
		memcpy(ret_id, value.p, value.n);
		ret_id[value.n] = '\0';
		return true;
	}
	return false;
}
