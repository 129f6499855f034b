/*
 * The file is parsed by libconfuse. Every value passes on_value() while the parser knows its line,
 * so that whatever is wrong with one is said with its place; what needs two values is checked at
 * the end. The arrays that libconfuse wants are made from options.def.
 *
 * libconfuse gives its callbacks no argument of ours: the parse under way is kept in a thread-local
 * pointer for its time.
 */
#include "conf/conf.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/ipnet.h"
#include "base/mem.h"
#include "base/obj.h"
#include "net/netaddr.h"

enum kind {
	KIND_TEXT,
	KIND_NUMBER,
	KIND_AGE,
	KIND_SIZE,
	KIND_MODE,
	KIND_LIST,
	KIND_ADDR,
	KIND_ADDRS,
	KIND_NETS,
	KIND_YES,
	KIND_TLS,
	KIND_AUTH,
	KIND_KEEP,
	KIND_TRUST,
	KIND_ANSWER,
	KIND_SCOPE,
	KIND_LINES
};

/* Where a section's values are: `listen` and `role` may come several times, the others once. */
struct fields {
	struct conf conf;
	struct conf_listen listen;
	struct conf_sink sink;
	struct conf_role role;
};

struct option_def {
	const char *section;
	const char *key;
	enum kind kind;
	size_t offset; /* in struct fields */
	const char *initial;
	int64_t least;
	int64_t most;
	const char *help;
};

static const struct option_def option_defs[] = {
#define OPTION(section, key, kind, field, initial, least, most, help)                              \
	{ section, key, KIND_##kind, offsetof(struct fields, field), initial, least, most, help },
#include "conf/options.def"
#undef OPTION
};

static const struct {
	const char *name;
	bool titled;
	size_t base;
} sections[] = {
	{ "", false, 0 },
	{ "control", false, 0 },
	{ "listen", true, offsetof(struct fields, listen) },
	{ "tls", false, 0 },
	{ "dns", false, 0 },
	{ "delivery", false, 0 },
	{ "queue", false, 0 },
	{ "content", false, 0 },
	{ "limits", false, 0 },
	{ "suppression", false, 0 },
	{ "bounces", false, 0 },
	{ "sink", true, offsetof(struct fields, sink) },
	{ "metrics", false, 0 },
	{ "role", true, offsetof(struct fields, role) },
};

static const char *const role_names[CONF_ROLE__COUNT] = { "viewer", "operator", "admin" };
static const char *const tls_words[] = { "none", "starttls", "implicit" };
static const char *const yes_words[] = { "no", "yes" };
static const char *const auth_words[] = { "none", "optional", "required" };
static const char *const lines_words[] = { "encode", "refuse", "pass" };
static const char *const keep_words[] = { "yes", "failures", "no" };
static const char *const trust_words[] = { "no", "auto", "yes" };
static const char *const answer_words[] = { "reject", "drop" };
static const char *const scope_words[] = { "all", "stream" };

#define KEYS_MAX 32
#define FILE_MAX (1u << 20)

/*
 * libconfuse takes a section that is never closed for a good one. So a key of our own stands behind
 * the file's text: inside a section it is unknown.
 */
#define END_KEY "weir-end-of-file"

struct load {
	struct err *err; /* the first thing that is wrong */
	const char *path;
	char scratch[512];
};
static _Thread_local struct load *loading;

static int wrong(cfg_t *cfg, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The first complaint counts; what follows from it does not. */
static int wrong(cfg_t *cfg, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (loading->err->code == 0)
		(void)err_set(loading->err, ERR_CONFIG, "%s:%d: %s", loading->path,
			      cfg != NULL ? cfg->line : 0, text);
	return -1;
}

static bool is_list(const struct option_def *o)
{
	return o->kind == KIND_LIST || o->kind == KIND_ADDRS || o->kind == KIND_NETS;
}

static bool is_text(const struct option_def *o)
{
	return o->kind == KIND_TEXT || o->kind == KIND_ADDR;
}

static const struct option_def *option_find(const char *section, const char *key)
{
	for (size_t k = 0; k < ARRAY_LEN(option_defs); k++)
		if (strcmp(option_defs[k].section, section) == 0 &&
		    strcmp(option_defs[k].key, key) == 0)
			return &option_defs[k];
	return NULL;
}

static const char *section_of(cfg_t *cfg)
{
	return strcmp(cfg_name(cfg), "root") == 0 ? "" : cfg_name(cfg);
}

/* The key or section nearest to a wrong name, for the message; NULL when none is near. */
static const char *nearest(const char *section, const char *name)
{
	const char *best = NULL;
	unsigned best_d = 4;
	for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
		unsigned d = str_distance(str_of(name), str_of(option_defs[k].key));
		if (strcmp(option_defs[k].section, section) == 0 && d < best_d) {
			best = option_defs[k].key;
			best_d = d;
		}
	}
	for (size_t k = 1; section[0] == '\0' && k < ARRAY_LEN(sections); k++) {
		unsigned d = str_distance(str_of(name), str_of(sections[k].name));
		if (d < best_d) {
			best = sections[k].name;
			best_d = d;
		}
	}
	return best;
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The parser's own complaints; an unknown key is made a better one. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[300];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	static const char unknown[] = "no such option '";
	if (strncmp(text, unknown, sizeof(unknown) - 1) != 0) {
		(void)wrong(cfg, "%s", text);
		return;
	}
	struct str rest = str_of(text + sizeof(unknown) - 1);
	struct str key = str_cut(&rest, '\'');
	(void)snprintf(loading->scratch, sizeof(loading->scratch), "%.*s", STR_ARG(key));
	const char *section = section_of(cfg);
	if (strcmp(loading->scratch, END_KEY) == 0) {
		(void)wrong(cfg, "section %s is not closed; a } is missing", section);
		return;
	}
	const char *near = nearest(section, loading->scratch);
	(void)wrong(cfg, "unknown key %s%s%s%s%s%s", loading->scratch,
		    section[0] != '\0' ? " in section " : "", section,
		    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
		    near != NULL ? "?" : "; `weir-relayd -n` lists the keys");
}

static int word_index(const char *const *words, size_t n, const char *word)
{
	for (size_t k = 0; k < n; k++)
		if (strcmp(words[k], word) == 0)
			return (int)k;
	return -1;
}

/* Everybody in one is never meant where a network is trusted. */
static bool network_parse(const char *text, char *why, size_t why_n)
{
	struct ipnet net;
	struct err err = ERR_INIT;
	if (ipnet_parse(str_of(text), &net, &err) < 0)
		(void)snprintf(why, why_n, "%.190s", err.msg);
	else if (ipnet_prefix(&net) == 0)
		(void)snprintf(why, why_n, "that is everybody; name the networks that are trusted");
	else
		return true;
	return false;
}

/* The value of a text of this kind; what is wrong with it goes to `why`. */
static bool value_parse(const struct option_def *o, const char *text, int64_t *ret, char *why,
			size_t why_n)
{
	uint64_t u = 0;
	int64_t v = 0;
	bool ok = true;
	char *end = NULL;
	struct netaddr at;
	struct err err = ERR_INIT;
	switch (o->kind) {
	case KIND_TEXT:
	case KIND_LIST:
		return true;
	case KIND_ADDR:
	case KIND_ADDRS:
		if (netaddr_parse(str_of(text), &at, &err) >= 0)
			return true;
		(void)snprintf(why, why_n, "%.190s", err.msg);
		return false;
	case KIND_NUMBER:
		ok = str_u64(str_of(text), INT64_MAX, &u);
		v = (int64_t)u;
		break;
	case KIND_AGE:
		ok = fmt_parse_age(str_of(text), &v);
		break;
	case KIND_SIZE:
		ok = fmt_parse_size(str_of(text), &u) && u <= INT64_MAX;
		v = (int64_t)u;
		break;
	case KIND_MODE:
		errno = 0;
		v = strtol(text, &end, 8);
		ok = errno == 0 && end != text && *end == '\0';
		break;
	case KIND_NETS:
		return network_parse(text, why, why_n);
	case KIND_YES:
		v = word_index(yes_words, ARRAY_LEN(yes_words), text);
		(void)snprintf(why, why_n, "yes or no is expected");
		*ret = v;
		return v >= 0;
	case KIND_TLS:
		v = word_index(tls_words, ARRAY_LEN(tls_words), text);
		(void)snprintf(why, why_n, "none, starttls or implicit is expected");
		*ret = v;
		return v >= 0;
	case KIND_AUTH:
		v = word_index(auth_words, ARRAY_LEN(auth_words), text);
		(void)snprintf(why, why_n, "none, optional or required is expected");
		*ret = v;
		return v >= 0;
	case KIND_KEEP:
		v = word_index(keep_words, ARRAY_LEN(keep_words), text);
		(void)snprintf(why, why_n, "yes, failures or no is expected");
		*ret = v;
		return v >= 0;
	case KIND_TRUST:
		v = word_index(trust_words, ARRAY_LEN(trust_words), text);
		(void)snprintf(why, why_n, "no, yes or auto is expected");
		*ret = v;
		return v >= 0;
	case KIND_ANSWER:
		v = word_index(answer_words, ARRAY_LEN(answer_words), text);
		(void)snprintf(why, why_n, "reject or drop is expected");
		*ret = v;
		return v >= 0;
	case KIND_SCOPE:
		v = word_index(scope_words, ARRAY_LEN(scope_words), text);
		(void)snprintf(why, why_n, "all or stream is expected");
		*ret = v;
		return v >= 0;
	case KIND_LINES:
		v = word_index(lines_words, ARRAY_LEN(lines_words), text);
		(void)snprintf(why, why_n, "encode, refuse or pass is expected");
		*ret = v;
		return v >= 0;
	}
	static const char *const like[] = { [KIND_NUMBER] = "a number",
					    [KIND_AGE] = "a time such as 90s, 5m, 2h or 3d",
					    [KIND_SIZE] = "a size such as 64K, 25M or 1G",
					    [KIND_MODE] = "octal permissions such as 0660" };
	if (!ok)
		(void)snprintf(why, why_n, "%s is expected", like[o->kind]);
	else if (v < o->least || v > o->most)
		(void)snprintf(why, why_n,
			       o->kind == KIND_MODE ? "%lo to %lo is possible"
						    : "%ld to %ld is possible",
			       (long)o->least, (long)o->most);
	*ret = v;
	return ok && v >= o->least && v <= o->most;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct option_def *o = option_find(section_of(cfg), opt->name);
	ASSERT(o != NULL);
	unsigned n = cfg_opt_size(opt);
	if (n > CONF_LIST_MAX)
		return wrong(cfg, "%s has more than %d values", o->key, CONF_LIST_MAX);
	const char *text = cfg_opt_getnstr(opt, n > 0 ? n - 1 : 0);
	char why[200] = "";
	int64_t v;
	if (text != NULL && value_parse(o, text, &v, why, sizeof(why)))
		return 0;
	return wrong(cfg, "%s = \"%s\": %s", o->key, text != NULL ? text : "", why);
}

/* --- from the parser to the struct ------------------------------------------------------------ */

static void take_values(cfg_t *cfg, const char *section, struct fields *at, size_t base)
{
	for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
		const struct option_def *o = &option_defs[k];
		if (strcmp(o->section, section) != 0)
			continue;
		void *to = (char *)at + (o->offset - base);
		if (is_list(o)) {
			struct conf_list *list = to;
			list->n = cfg_size(cfg, o->key);
			list->v = xcalloc(list->n + 1, sizeof(char *));
			for (unsigned j = 0; j < list->n; j++)
				list->v[j] = xstrdup(cfg_getnstr(cfg, o->key, j));
			continue;
		}
		const char *text = cfg_getstr(cfg, o->key);
		char why[200];
		if (is_text(o))
			*(char **)to = text != NULL ? xstrdup(text) : NULL;
		else
			ASSERT(text != NULL && value_parse(o, text, to, why, sizeof(why)));
	}
}

static int check_listen(cfg_t *sec, const struct conf *c, const struct conf_listen *l)
{
	if (l->tls != CONF_TLS_NONE && c->tls_certificate == NULL)
		return wrong(
			sec,
			"listen %s: tls = \"%s\" needs a certificate; section tls names it and "
			"its key",
			l->name, tls_words[l->tls]);
	if (l->auth == CONF_AUTH_REQUIRED && l->tls == CONF_TLS_NONE && l->loopback_auth == 0)
		return wrong(sec,
			     "listen %s: auth = \"required\" needs tls = \"starttls\" or "
			     "\"implicit\": without TLS it is never offered",
			     l->name);
	return 0;
}

static int take_listens(cfg_t *cfg, struct conf *c)
{
	unsigned n = cfg_size(cfg, "listen");
	if (n > CONF_LISTEN_MAX)
		return wrong(cfg, "more than %d listen sections", CONF_LISTEN_MAX);
	c->listen = xcalloc(n + 1, sizeof(*c->listen));
	for (unsigned k = 0; k < n; k++) {
		cfg_t *sec = cfg_getnsec(cfg, "listen", k);
		struct conf_listen *l = &c->listen[c->listen_n++];
		take_values(sec, "listen", (struct fields *)(void *)l,
			    offsetof(struct fields, listen));
		l->name = xstrdup(cfg_title(sec));
		if (l->address == NULL)
			return wrong(sec, "listen %s has no address; \"127.0.0.1:25\" would be one",
				     l->name);
		if (check_listen(sec, c, l) < 0)
			return -1;
	}
	return 0;
}

static int check_sink(cfg_t *sec, const struct conf_sink *s)
{
	if ((s->file == NULL) == (s->url == NULL))
		return wrong(sec, "sink %s: either file or url says where events go", s->name);
	if (s->file != NULL && s->file[0] != '/')
		return wrong(
			sec,
			"sink %s: file is a path from the root, such as \"/var/log/weir/events\"",
			s->name);
	if (s->url != NULL && s->secret_file == NULL)
		return wrong(sec, "sink %s: what is posted is signed; secret-file is missing",
			     s->name);
	return 0;
}

static int take_sinks(cfg_t *cfg, struct conf *c)
{
	unsigned n = cfg_size(cfg, "sink");
	if (n > CONF_SINK_MAX)
		return wrong(cfg, "more than %d sink sections", CONF_SINK_MAX);
	c->sinks = xcalloc(n + 1, sizeof(*c->sinks));
	for (unsigned k = 0; k < n; k++) {
		cfg_t *sec = cfg_getnsec(cfg, "sink", k);
		struct conf_sink *s = &c->sinks[c->sinks_n++];
		take_values(sec, "sink", (struct fields *)(void *)s, offsetof(struct fields, sink));
		s->name = xstrdup(cfg_title(sec));
		if (check_sink(sec, s) < 0)
			return -1;
	}
	return 0;
}

static int take_roles(cfg_t *cfg, struct conf *c)
{
	for (unsigned k = 0; k < cfg_size(cfg, "role"); k++) {
		cfg_t *sec = cfg_getnsec(cfg, "role", k);
		int role = word_index(role_names, CONF_ROLE__COUNT, cfg_title(sec));
		if (role < 0)
			return wrong(sec, "unknown role %s; there are viewer, operator and admin",
				     cfg_title(sec));
		if (c->roles[role].users.v != NULL)
			return wrong(sec, "role %s is there twice", cfg_title(sec));
		take_values(sec, "role", (struct fields *)(void *)&c->roles[role],
			    offsetof(struct fields, role));
	}
	return 0;
}

static int check_whole(cfg_t *cfg, const struct conf *c)
{
	if (c->hostname == NULL || c->hostname[0] == '\0')
		return wrong(cfg,
			     "hostname is missing; hostname = \"relay.example.net\" would be one");
	if (c->retry_max_s < c->retry_first_s)
		return wrong(cfg, "queue: retry-max is shorter than retry-first");
	if (c->bounce_grace_s > c->undo_window_s)
		return wrong(cfg, "queue: bounce-grace is longer than undo-window");
	if (c->bounces_domain == NULL && c->bounces_feedback != NULL)
		return wrong(cfg, "bounces: feedback needs domain: a complaint is known by the "
				  "envelope sender that the message had");
	if ((c->tls_certificate == NULL) != (c->tls_key == NULL))
		return wrong(cfg, "tls: certificate and key belong together; one is missing");
	return 0;
}

/* --- the parser's tables ---------------------------------------------------------------------- */

struct tables {
	cfg_opt_t keys[ARRAY_LEN(sections)][KEYS_MAX + ARRAY_LEN(sections) + 2];
};

static void tables_make(struct tables *t)
{
	for (size_t s = ARRAY_LEN(sections); s-- > 0;) {
		unsigned n = 0;
		for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
			const struct option_def *o = &option_defs[k];
			if (strcmp(o->section, sections[s].name) != 0)
				continue;
			ASSERT(n < KEYS_MAX);
			cfg_opt_t text = CFG_STR(o->key, o->initial, CFGF_NONE);
			cfg_opt_t list = CFG_STR_LIST(o->key, NULL, CFGF_NONE);
			t->keys[s][n] = is_list(o) ? list : text;
			t->keys[s][n++].validcb = on_value;
		}
		for (size_t k = 1; s == 0 && k < ARRAY_LEN(sections); k++) {
			cfg_flag_t flags = sections[k].titled
						   ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
						   : CFGF_NONE;
			cfg_opt_t sec = CFG_SEC(sections[k].name, t->keys[k], flags);
			t->keys[0][n++] = sec;
		}
		cfg_opt_t last = CFG_STR(END_KEY, NULL, CFGF_NONE);
		if (s == 0)
			t->keys[s][n++] = last;
		cfg_opt_t end = CFG_END();
		t->keys[s][n] = end;
	}
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return err_sys(err, errno, "reading %s", path);
	size_t got = 1;
	while (got > 0 && buf_reserve(out, 4096)) {
		got = fread(out->p + out->n, 1, 4096, f);
		out->n += got;
	}
	int failed = ferror(f) ? errno : 0;
	(void)fclose(f);
	if (failed != 0)
		return err_sys(err, failed, "reading %s", path);
	if (out->full || memchr(out->p, '\0', out->n) != NULL)
		return err_set(err, ERR_CONFIG, "%s: not a text file of at most 1 MiB", path);
	(void)buf_puts(out, "\n" END_KEY " = \"\"\n");
	return 0;
}

int conf_load(const char *path, struct conf **ret_conf, struct err *err)
{
	struct err local = ERR_INIT;
	struct load state = { .err = &local, .path = path };
	AUTO_FREE struct tables *t = xcalloc(1, sizeof(*t));
	AUTO(conf) struct conf *c = xcalloc(1, sizeof(*c));
	tables_make(t);
	loading = &state;
	cfg_t *cfg = cfg_init(t->keys[0], CFGF_NONE);
	ASSERT(cfg != NULL);
	cfg_set_error_function(cfg, on_error);
	AUTO_BUF text = BUF_INIT(FILE_MAX);
	if (read_file(path, &text, &local) >= 0 && cfg_parse_buf(cfg, buf_cstr(&text)) != 0)
		(void)wrong(cfg, "syntax error");
	if (local.code == 0) {
		for (size_t s = 0; s < ARRAY_LEN(sections); s++)
			if (!sections[s].titled)
				take_values(s == 0 ? cfg : cfg_getsec(cfg, sections[s].name),
					    sections[s].name, (struct fields *)(void *)c, 0);
		if (take_listens(cfg, c) == 0 && take_sinks(cfg, c) == 0 && take_roles(cfg, c) == 0)
			(void)check_whole(cfg, c);
	}
	(void)cfg_free(cfg);
	loading = NULL;
	if (local.code != 0) {
		if (err != NULL)
			*err = local;
		return -local.code;
	}
	*ret_conf = c;
	c = NULL;
	return 0;
}

static void list_done(struct conf_list *l)
{
	for (size_t k = 0; k < l->n; k++)
		free(l->v[k]);
	free(l->v);
}

static void values_free(const char *section, struct fields *at, size_t base)
{
	for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
		const struct option_def *o = &option_defs[k];
		void *to;
		if (section != NULL ? strcmp(o->section, section) != 0
				    : strcmp(o->section, "listen") == 0 ||
					      strcmp(o->section, "role") == 0 ||
					      strcmp(o->section, "sink") == 0)
			continue;
		to = (char *)at + (o->offset - base);
		if (is_list(o))
			list_done(to);
		else if (is_text(o))
			free(*(char **)to);
	}
}

void conf_free(struct conf **cp)
{
	if (cp == NULL || *cp == NULL)
		return;
	struct conf *c = *cp;
	*cp = NULL;
	values_free(NULL, (struct fields *)(void *)c, 0);
	for (size_t k = 0; k < c->listen_n; k++) {
		values_free("listen", (struct fields *)(void *)&c->listen[k],
			    offsetof(struct fields, listen));
		free(c->listen[k].name);
	}
	free(c->listen);
	for (size_t k = 0; k < c->sinks_n; k++) {
		values_free("sink", (struct fields *)(void *)&c->sinks[k],
			    offsetof(struct fields, sink));
		free(c->sinks[k].name);
	}
	free(c->sinks);
	for (int k = 0; k < CONF_ROLE__COUNT; k++)
		values_free("role", (struct fields *)(void *)&c->roles[k],
			    offsetof(struct fields, role));
	free(c);
}

/* --- printing --------------------------------------------------------------------------------- */

static void put_quoted(struct buf *out, const char *text)
{
	(void)buf_putc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			(void)buf_putc(out, '\\');
		(void)buf_putc(out, *text);
	}
	(void)buf_putc(out, '"');
}

static void put_value(struct buf *out, const struct option_def *o, const void *from)
{
	if (is_list(o)) {
		const struct conf_list *l = from;
		(void)buf_puts(out, "{");
		for (size_t k = 0; k < l->n; k++) {
			(void)buf_puts(out, k > 0 ? ", " : "");
			put_quoted(out, l->v[k]);
		}
		(void)buf_puts(out, "}");
		return;
	}
	if (is_text(o)) {
		put_quoted(out, *(char *const *)from);
		return;
	}
	int64_t v = *(const int64_t *)from;
	if (o->kind == KIND_YES)
		put_quoted(out, yes_words[v]);
	else if (o->kind == KIND_TLS)
		put_quoted(out, tls_words[v]);
	else if (o->kind == KIND_AUTH)
		put_quoted(out, auth_words[v]);
	else if (o->kind == KIND_KEEP)
		put_quoted(out, keep_words[v]);
	else if (o->kind == KIND_TRUST)
		put_quoted(out, trust_words[v]);
	else if (o->kind == KIND_ANSWER)
		put_quoted(out, answer_words[v]);
	else if (o->kind == KIND_SCOPE)
		put_quoted(out, scope_words[v]);
	else if (o->kind == KIND_LINES)
		put_quoted(out, lines_words[v]);
	else if (o->kind == KIND_MODE)
		(void)buf_printf(out, "\"%04lo\"", (long)v);
	else if (o->kind == KIND_AGE)
		(void)buf_printf(out, "\"%lds\"", (long)v);
	else
		(void)buf_printf(out, "%ld", (long)v);
}

static void put_section(struct buf *out, const char *section, const char *title,
			const struct fields *at, size_t base)
{
	const char *indent = section[0] != '\0' ? "\t" : "";
	if (section[0] != '\0')
		(void)buf_printf(out, "\n%s%s%s {\n", section, title != NULL ? " " : "",
				 title != NULL ? title : "");
	for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
		const struct option_def *o = &option_defs[k];
		if (strcmp(o->section, section) != 0)
			continue;
		const void *from = (const char *)at + (o->offset - base);
		(void)buf_printf(out, "%s# %s\n%s", indent, o->help, indent);
		if (is_text(o) && *(char *const *)from == NULL) {
			(void)buf_printf(out, "# %s =\n", o->key);
			continue;
		}
		(void)buf_printf(out, "%s = ", o->key);
		put_value(out, o, from);
		(void)buf_putc(out, '\n');
	}
	if (section[0] != '\0')
		(void)buf_puts(out, "}\n");
}

bool conf_print(const struct conf *c, struct buf *out)
{
	for (size_t s = 0; s < ARRAY_LEN(sections); s++)
		if (!sections[s].titled)
			put_section(out, sections[s].name, NULL,
				    (const struct fields *)(const void *)c, 0);
	for (size_t k = 0; k < c->listen_n; k++)
		put_section(out, "listen", c->listen[k].name,
			    (const struct fields *)(const void *)&c->listen[k],
			    offsetof(struct fields, listen));
	for (size_t k = 0; k < c->sinks_n; k++)
		put_section(out, "sink", c->sinks[k].name,
			    (const struct fields *)(const void *)&c->sinks[k],
			    offsetof(struct fields, sink));
	for (int k = 0; k < CONF_ROLE__COUNT; k++)
		put_section(out, "role", role_names[k],
			    (const struct fields *)(const void *)&c->roles[k],
			    offsetof(struct fields, role));
	return !out->full;
}

bool conf_print_manual(struct buf *out)
{
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		if (s > 0)
			(void)buf_printf(out, ".SS %s%s\n", sections[s].name,
					 sections[s].titled ? " NAME" : "");
		for (size_t k = 0; k < ARRAY_LEN(option_defs); k++) {
			const struct option_def *o = &option_defs[k];
			if (strcmp(o->section, sections[s].name) != 0)
				continue;
			(void)buf_printf(out, ".TP\n.B %s\n%c%s.", o->key,
					 o->help[0] >= 'a' && o->help[0] <= 'z'
						 ? o->help[0] - 'a' + 'A'
						 : o->help[0],
					 o->help + 1);
			if (o->initial != NULL)
				(void)buf_printf(out, " Default: %s.", o->initial);
			(void)buf_putc(out, '\n');
		}
	}
	return !out->full;
}
