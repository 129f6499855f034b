/*
 * The files are parsed by libconfuse, which gives its callbacks no argument of ours: the parse
 * under way is kept in a thread-local pointer for its time. As it takes a section that is never
 * closed for a good one, a key of our own stands behind the text: inside a section it is unknown.
 */
#include "client/relays.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"

#define SYSTEM_FILE "/etc/weir/relays"
#define END_KEY "weir-end-of-file"
#define NEAR_MAX 3 /* edits between a wrong name and the one that is suggested */

/* --- addresses --- */

static int bad(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int bad(struct err *err, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_param(err, ERR_INVALID, "relay", "%s", text);
}

static bool plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool all_of(struct str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c != '\0' && strchr(more, c) != NULL)))
			return false;
	}
	return s.n > 0 && s.p[0] != '-'; /* nor an option of a command */
}

static int take_path(struct str path, struct relays_addr *to, struct err *err)
{
	if (path.n == 0 || path.p[0] != '/')
		return bad(err, "the path of a socket begins with /, as in unix:" RELAYS_SOCKET);
	if (path.n >= sizeof(to->path))
		return bad(err, "the path of a socket has at most %zu bytes", sizeof(to->path) - 1);
	if (memchr(path.p, '\0', path.n) != NULL)
		return bad(err, "the path of a socket has no zero bytes");
	memcpy(to->path, path.p, path.n);
	to->path[path.n] = '\0';
	to->own_path = true;
	return 0;
}

/* host, host:port, [v6], [v6]:port */
static int take_host(struct str host, struct relays_addr *to, struct err *err)
{
	struct str port = { "", 0 };
	bool has_port = false;
	uint64_t number = 0;
	ptrdiff_t end;

	if (host.n > 0 && host.p[0] == '[') {
		end = str_index(host, ']');
		if (end < 0)
			return bad(err, "a ] is missing behind the address");
		port = str_from(host.p + end + 1, host.n - (size_t)end - 1);
		host = str_from(host.p + 1, (size_t)end - 1);
		if (port.n > 0 && port.p[0] != ':')
			return bad(err, "only :PORT can stand behind the ]");
	} else if ((end = str_index(host, ':')) >= 0) {
		port = str_from(host.p + end, host.n - (size_t)end);
		host = str_from(host.p, (size_t)end);
	}
	if (port.n > 0) {
		has_port = true;
		port = str_from(port.p + 1, port.n - 1);
	}
	if (has_port && (!str_u64(port, 65535, &number) || number == 0))
		return bad(err, "a port is a number from 1 to 65535; an IPv6 address stands in []");
	if (!all_of(host, "._-:%") || host.n >= sizeof(to->host))
		return bad(err, "a host name is expected: ssh://[user@]host[:port][/path]");
	memcpy(to->host, host.p, host.n);
	to->host[host.n] = '\0';
	to->port = (unsigned)number;
	return 0;
}

static int take_ssh(struct str rest, struct relays_addr *to, struct err *err)
{
	ptrdiff_t slash = str_index(rest, '/');
	struct str who = slash < 0 ? rest : str_from(rest.p, (size_t)slash);
	ptrdiff_t at = str_index(who, '@');
	struct str user = str_from(who.p, at < 0 ? 0 : (size_t)at);

	if (!plain(rest))
		return bad(err, "blanks and control characters are not possible in ssh://…");
	if (slash >= 0 && (size_t)slash + 1 < rest.n &&
	    take_path(str_from(rest.p + slash, rest.n - (size_t)slash), to, err) < 0)
		return -ERR_INVALID;
	if (at == 0 || (at > 0 && (!all_of(user, "._-+\\$@") || user.n >= sizeof(to->user))))
		return bad(err, "an account's name is expected before the @");
	if (at > 0) {
		memcpy(to->user, user.p, user.n);
		to->user[user.n] = '\0';
		who = str_from(who.p + at + 1, who.n - (size_t)at - 1);
	}
	return take_host(who, to, err);
}

int relays_parse(struct str text, struct relays_addr *ret, struct err *err)
{
	struct relays_addr a = { .kind = RELAYS_UNIX, .path = RELAYS_SOCKET };
	int result;

	if (str_starts(text, STR("ssh://"))) {
		a.kind = RELAYS_SSH;
		result = take_ssh(str_from(text.p + 6, text.n - 6), &a, err);
	} else if (str_starts(text, STR("unix:"))) {
		result = take_path(str_from(text.p + 5, text.n - 5), &a, err);
	} else if (text.n > 0 && text.p[0] == '/') {
		result = take_path(text, &a, err);
	} else {
		result = bad(err, "unix:PATH or ssh://[user@]host[:port][/path] is expected");
	}
	if (result >= 0)
		*ret = a;
	return result;
}

/* --- a file --- */

struct load {
	struct err *err; /* the first thing that is wrong */
	const char *path;
};
static _Thread_local struct load *loading;

static int wrong(cfg_t *cfg, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int wrong(cfg_t *cfg, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (loading->err->code == 0)
		(void)err_set(loading->err, ERR_CONFIG, "%s:%d: %s", loading->path, cfg->line,
			      text);
	return -1;
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The parser's own complaints; an unknown key is made a better one. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const char unknown[] = "no such option '";
	char text[300];
	struct str key;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	if (strncmp(text, unknown, sizeof(unknown) - 1) != 0) {
		(void)wrong(cfg, "%s", text);
		return;
	}
	key = str_of(text + sizeof(unknown) - 1);
	key = str_cut(&key, '\'');
	if (str_eq(key, STR(END_KEY)))
		(void)wrong(cfg, "section relay is not closed; a } is missing");
	else if (strcmp(cfg_name(cfg), "relay") == 0)
		(void)wrong(cfg, "unknown key %.*s; a relay has url and production", STR_ARG(key));
	else
		(void)wrong(cfg, "unknown key %.*s; relay NAME { … } is expected", STR_ARG(key));
}

static int on_url(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *url = cfg_opt_getstr(opt);
	struct relays_addr addr;
	struct err err = ERR_INIT;

	if (url != NULL && strcmp(url, END_KEY) == 0)
		return wrong(cfg, "the value of url is missing");
	if (url == NULL || relays_parse(str_of(url), &addr, &err) < 0)
		return wrong(cfg, "url = \"%s\": %s", url != NULL ? url : "", err.msg);
	return 0;
}

static bool good_name(const char *name)
{
	return all_of(str_of(name), "._-") && strlen(name) < RELAYS_HOST_MAX;
}

static int take_relays(cfg_t *cfg, client_relay_fn *fn, void *arg)
{
	unsigned n = cfg_size(cfg, "relay");

	if (n > RELAYS_MAX)
		return wrong(cfg, "more than %d relays", RELAYS_MAX);
	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(cfg, "relay", i);
		const char *url = cfg_getstr(sec, "url");

		if (!good_name(cfg_title(sec)))
			return wrong(sec, "\"%s\": letters, digits and . _ - make a name",
				     cfg_title(sec));
		if (url == NULL)
			return wrong(sec,
				     "relay %s has no url; url = \"ssh://ops@%s\" would be one",
				     cfg_title(sec), cfg_title(sec));
	}
	/* Only a file that is good as a whole counts. */
	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(cfg, "relay", i);

		fn(arg, cfg_title(sec), cfg_getstr(sec, "url"), cfg_getbool(sec, "production"));
	}
	return 0;
}

int relays_read(struct str text, const char *path, client_relay_fn *fn, void *arg, struct err *err)
{
	cfg_opt_t relay_opts[] = { CFG_STR("url", NULL, CFGF_NODEFAULT),
				   CFG_BOOL("production", cfg_false, CFGF_NONE), CFG_END() };
	cfg_opt_t opts[] = { CFG_SEC("relay", relay_opts,
				     CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
			     CFG_STR(END_KEY, NULL, CFGF_NONE), CFG_END() };
	struct err first = ERR_INIT;
	struct load load = { &first, path };
	AUTO_BUF whole = BUF_INIT(RELAYS_FILE_MAX + 64);
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);

	ASSERT(cfg != NULL);
	loading = &load;
	(void)cfg_set_error_function(cfg, on_error);
	(void)cfg_set_validate_func(cfg, "relay|url", on_url);
	if (memchr(text.p, '\0', text.n) != NULL) {
		(void)err_set(&first, ERR_CONFIG, "%s: this is not a text file", path);
	} else if (!buf_put_str(&whole, text) || !buf_puts(&whole, "\n" END_KEY " = \"\"\n")) {
		(void)err_set(&first, ERR_CONFIG, "%s: larger than %zu bytes", path,
			      RELAYS_FILE_MAX);
	} else if (cfg_parse_buf(cfg, buf_cstr(&whole)) == CFG_SUCCESS && first.code == 0) {
		(void)take_relays(cfg, fn, arg);
	} else if (first.code == 0) {
		(void)wrong(cfg, "this is not understood");
	}
	loading = NULL;
	(void)cfg_free(cfg);
	if (first.code != 0 && err != NULL)
		*err = first;
	return -first.code;
}

/* --- the files --- */

static int read_file(const char *path, struct buf *to, struct err *err)
{
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int result = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(err, errno, "%s", path);
	while (n > 0) {
		if (!buf_reserve(to, 4096)) {
			result = err_set(err, ERR_CONFIG, "%s: larger than %zu bytes", path,
					 RELAYS_FILE_MAX);
			break;
		}
		n = read(fd, to->p + to->n, 4096);
		if (n < 0)
			result = err_sys(err, errno, "%s", path);
		else
			to->n += (size_t)n;
	}
	(void)close(fd);
	return result;
}

static char *user_file(void)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (config != NULL && config[0] == '/')
		return xasprintf("%s/weir/relays", config);
	return home != NULL && home[0] == '/' ? xasprintf("%s/.config/weir/relays", home) : NULL;
}

/* Names seen already, so that those of the user's file hide those of the system's. */
struct seen {
	client_relay_fn *fn;
	void *arg;
	char **name;
	size_t n;
	size_t first; /* of this file */
};

static void on_relay(void *arg, const char *name, const char *url, bool production)
{
	struct seen *s = arg;

	for (size_t i = 0; i < s->first; i++)
		if (strcmp(s->name[i], name) == 0)
			return;
	s->name[s->n++] = xstrdup(name);
	s->fn(s->arg, name, url, production);
}

static int read_one(const char *path, struct seen *seen, struct err *err)
{
	AUTO_BUF text = BUF_INIT(RELAYS_FILE_MAX);
	int result = 0;

	seen->first = seen->n;
	if (path != NULL)
		result = read_file(path, &text, err);
	if (result >= 0 && text.n > 0)
		result = relays_read(buf_str(&text), path, on_relay, seen, err);
	return result;
}

int client_relays(client_relay_fn *fn, void *arg, struct err *err)
{
	struct seen seen = { .fn = fn, .arg = arg };
	AUTO_FREE char *own = user_file();
	int result;

	seen.name = xcalloc(2 * (size_t)RELAYS_MAX, sizeof(*seen.name));
	result = read_one(own, &seen, err);
	if (result >= 0)
		result = read_one(SYSTEM_FILE, &seen, err);
	for (size_t i = 0; i < seen.n; i++)
		free(seen.name[i]);
	free(seen.name);
	return result;
}

/* --- finding one --- */

struct wanted {
	const char *name;
	struct relays_found found;
	bool has;
	char near[RELAYS_HOST_MAX];
	unsigned distance;
};

static void on_candidate(void *arg, const char *name, const char *url, bool production)
{
	struct wanted *w = arg;
	unsigned d = str_distance(str_of(name), str_of(w->name));

	if (strcmp(name, w->name) == 0) {
		w->has = relays_parse(str_of(url), &w->found.addr, NULL) >= 0;
		w->found.production = production;
	} else if (d <= NEAR_MAX && d < w->distance) {
		w->distance = d;
		(void)snprintf(w->near, sizeof(w->near), "%s", name);
	}
}

static int find_name(const char *name, struct relays_found *ret, struct err *err)
{
	struct wanted w = { .name = name, .distance = NEAR_MAX + 1 };
	int result;

	if (!good_name(name))
		return err_param(err, ERR_INVALID, "relay",
				 "%s is not a relay: a name from the relays file, unix:PATH or "
				 "ssh://[user@]host[:port][/path] would be one",
				 name);
	result = client_relays(on_candidate, &w, err);
	if (result < 0)
		return result;
	if (!w.has)
		return err_param(err, ERR_INVALID, "relay",
				 "no relay named %s in ~/.config/weir/relays and " SYSTEM_FILE "; "
				 "%s%s%sthe host of that name would be ssh://%s",
				 name, w.near[0] != '\0' ? "did you mean " : "", w.near,
				 w.near[0] != '\0' ? "? " : "", name);
	*ret = w.found;
	return 0;
}

int relays_find(const char *relay, struct relays_found *ret, struct err *err)
{
	struct relays_found found = { .production = false };
	const char *given = relay;
	int result;

	if (given == NULL)
		given = getenv("WEIR_RELAY");
	if (given == NULL || given[0] == '\0')
		given = "unix:" RELAYS_SOCKET;
	if (given[0] == '/' || strchr(given, ':') != NULL)
		result = relays_parse(str_of(given), &found.addr, err);
	else
		result = find_name(given, &found, err);
	if (result < 0)
		return relay == NULL ? err_prefix(err, "WEIR_RELAY=%s", given) : result;
	(void)snprintf(found.name, sizeof(found.name), "%s", given);
	*ret = found;
	return 0;
}
