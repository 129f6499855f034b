/*
 * Each command takes the rest of its line and gives an object, or NULL and an error.
 */
#include "world/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"

#define CONTROL_MAGIC 0x3071d007u
#define CALLER_MAGIC 0x3071d008u
#define CONTROL_BACKLOG 16
#define LIST_LIMIT 100
#define QUIT_MS 50
#define SUBMIT_MAX 10000000

struct caller {
	uint32_t magic;
	struct control *control;
	struct bufferevent *bev;
	LIST_ENTRY(caller) next;
};

struct control {
	uint32_t magic;
	struct world *world;
	struct receiver *receiver;
	struct source *source; /* NULL without a relay */
	char *path;
	struct evconnlistener *listener;
	struct loop_timer *quit; /* so that the answer gets out before the end */
	size_t callers_n;
	LIST_HEAD(, caller) callers;
};

/* The next word of the line; empty at its end. */
static struct str cut_word(struct str *rest)
{
	*rest = str_trim(*rest);
	return str_cut(rest, ' ');
}

static struct domain *cut_domain(struct control *c, struct str *args, struct err *err)
{
	struct str name = cut_word(args);
	struct domain *d = name.n > 0 ? world_domain(c->world, name) : NULL;

	if (d == NULL)
		(void)err_param(err, ERR_UNKNOWN, "domain", "no domain is called \"%.*s\"",
				STR_ARG(name));
	return d;
}

static json_t *cmd_set(struct control *c, struct str args, struct err *err)
{
	struct domain *d = cut_domain(c, &args, err);
	AUTO_FREE char *words = xstrndup(args.p, args.n);

	if (d == NULL || world_set(c->world, d, words, err) < 0 ||
	    receiver_update(c->receiver, err) < 0)
		return NULL;
	return json_pack("{s:s, s:s}", "domain", d->name, "behaviour", d->behaviour.name);
}

static json_t *cmd_stats(struct control *c, struct str args, struct err *err)
{
	json_t *stats = world_stats_json(c->world);

	(void)args;
	(void)err;
	if (c->source != NULL)
		json_object_set_new(stats, "source", source_stats_json(c->source));
	return stats;
}

static json_t *cmd_list(struct control *c, struct str args, struct err *err)
{
	struct domain *d = cut_domain(c, &args, err);
	struct str word = cut_word(&args);
	uint64_t limit = LIST_LIMIT;

	if (d == NULL)
		return NULL;
	if (word.n > 0 && !str_u64(word, SIZE_MAX, &limit)) {
		(void)err_param(err, ERR_INVALID, "limit", "the limit is a number");
		return NULL;
	}
	return json_pack("{s:s, s:o}", "domain", d->name, "messages",
			 world_records_json(c->world, d, limit));
}

static json_t *cmd_last(struct control *c, struct str args, struct err *err)
{
	struct domain *d = cut_domain(c, &args, err);
	AUTO_BUF clean = BUF_INIT(4 * CONTENT_HEAD_MAX);

	if (d == NULL)
		return NULL;
	utf8_put_clean(&clean, buf_str(&d->last));
	return json_pack("{s:s, s:s%}", "domain", d->name, "content", buf_cstr(&clean), clean.n);
}

static json_t *cmd_count(struct control *c, struct str args, struct err *err)
{
	(void)args;
	(void)err;
	return world_tags_json(c->world);
}

static json_t *cmd_domains(struct control *c, struct str args, struct err *err)
{
	(void)args;
	(void)err;
	return json_pack("{s:o}", "domains", world_domains_json(c->world));
}

static json_t *cmd_reset(struct control *c, struct str args, struct err *err)
{
	(void)args;
	(void)err;
	world_reset(c->world);
	return json_object();
}

static bool need_source(const struct control *c, struct err *err)
{
	if (c->source == NULL)
		(void)err_set(err, ERR_STATE, "there is no relay to send to: start with --relay");
	return c->source != NULL;
}

static json_t *cmd_rate(struct control *c, struct str args, struct err *err)
{
	uint64_t rate;

	if (!need_source(c, err))
		return NULL;
	if (!str_u64(cut_word(&args), SOURCE_RATE_MAX, &rate)) {
		(void)err_param(err, ERR_INVALID, "rate", "the rate is a number up to %d",
				SOURCE_RATE_MAX);
		return NULL;
	}
	source_rate(c->source, (int64_t)rate);
	return json_pack("{s:I}", "rate", (json_int_t)rate);
}

static json_t *cmd_submit(struct control *c, struct str args, struct err *err)
{
	uint64_t count;

	if (!need_source(c, err))
		return NULL;
	if (!str_u64(cut_word(&args), SUBMIT_MAX, &count)) {
		(void)err_param(err, ERR_INVALID, "count", "the count is a number up to %d",
				SUBMIT_MAX);
		return NULL;
	}
	struct domain *d = cut_domain(c, &args, err);
	if (d == NULL || source_burst(c->source, d, count, err) < 0)
		return NULL;
	return json_pack("{s:s, s:I}", "domain", d->name, "count", (json_int_t)count);
}

static void on_quit(void *arg)
{
	loop_stop(OBJ(control, CONTROL_MAGIC, arg)->world->loop);
}

static json_t *cmd_quit(struct control *c, struct str args, struct err *err)
{
	(void)args;
	(void)err;
	loop_timer_set(c->quit, QUIT_MS);
	return json_object();
}

static const struct command {
	const char *name;
	const char *args;
	const char *help;
	json_t *(*fn)(struct control *c, struct str args, struct err *err);
} commands[] = {
	{ "set", "DOMAIN BEHAVIOUR [key=value ...]", "gives a domain another behaviour, at once",
	  cmd_set },
	{ "stats", "", "counters of domains, sites (by address) and the source", cmd_stats },
	{ "list", "DOMAIN [LIMIT]",
	  "the last messages it accepted, oldest first: from to msgid tag size sha256 body_sha256",
	  cmd_list },
	{ "last", "DOMAIN", "the last message it accepted, its first 64 KiB", cmd_last },
	{ "count-by-header", "",
	  "how often each X-Weir-Test value was accepted; repeated: those a recipient got twice",
	  cmd_count },
	{ "domains", "", "all domains with behaviour and site", cmd_domains },
	{ "reset", "", "forgets counters and messages, keeps behaviours", cmd_reset },
	{ "rate", "N", "letters a second of the source", cmd_rate },
	{ "submit", "COUNT DOMAIN", "the source sends a burst now", cmd_submit },
	{ "quit", "", "ends the world", cmd_quit },
};

void control_help(struct buf *out)
{
	buf_puts(out,
		 "\nCommands on the control socket, one a line; each answers one JSON line:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		buf_printf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].args,
			   commands[i].help);
}

static json_t *run(struct control *c, struct str line)
{
	struct err err = ERR_INIT;
	struct str args = line;
	struct str name = cut_word(&args);
	json_t *answer = NULL;

	(void)err_set(&err, ERR_METHOD, "no command is called \"%.*s\"", STR_ARG(name));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(name, str_of(commands[i].name)))
			answer = commands[i].fn(c, str_trim(args), &err);
	if (answer == NULL) {
		AUTO_BUF text = BUF_INIT(sizeof(err.msg) * 4);

		utf8_put_clean(&text, str_of(err.msg));
		return json_pack("{s:s}", "error", buf_cstr(&text));
	}
	json_object_set_new(answer, "ok", json_true());
	return answer;
}

static void caller_close(struct caller *caller)
{
	LIST_REMOVE(caller, next);
	caller->control->callers_n--;
	bufferevent_free(caller->bev);
	free(caller);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct caller *caller = OBJ(caller, CALLER_MAGIC, arg);
	struct evbuffer *in = bufferevent_get_input(bev);
	char *line;
	size_t n;

	while ((line = evbuffer_readln(in, &n, EVBUFFER_EOL_CRLF)) != NULL) {
		json_t *answer = run(caller->control, str_from(line, n));
		AUTO_FREE char *text = json_dumps(answer, JSON_COMPACT);

		ASSERT(text != NULL);
		bufferevent_write(bev, text, strlen(text));
		bufferevent_write(bev, "\n", 1);
		json_decref(answer);
		free(line);
	}
	if (evbuffer_get_length(in) > CONTROL_LINE_MAX)
		caller_close(caller);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	caller_close(OBJ(caller, CALLER_MAGIC, arg));
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len,
		      void *arg)
{
	struct control *c = OBJ(control, CONTROL_MAGIC, arg);

	(void)l;
	(void)addr;
	(void)len;
	if (c->callers_n >= CONTROL_MAX) {
		close(fd);
		return;
	}
	struct caller *caller = xcalloc(1, sizeof(*caller));
	caller->magic = CALLER_MAGIC;
	caller->control = c;
	caller->bev = bufferevent_socket_new(loop_base(c->world->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	LIST_INSERT_HEAD(&c->callers, caller, next);
	c->callers_n++;
	bufferevent_setcb(caller->bev, on_read, NULL, on_event, caller);
	bufferevent_enable(caller->bev, EV_READ | EV_WRITE);
}

int control_start(struct world *w, struct receiver *receiver, struct source *source,
		  const char *path, struct control **ret, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_param(err, ERR_INVALID, "control", "%s: at most %zu bytes", path,
				 sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	struct control *c = xcalloc(1, sizeof(*c));
	c->magic = CONTROL_MAGIC;
	c->world = w;
	c->receiver = receiver;
	c->source = source;
	c->quit = loop_timer_new(w->loop, "world.quit", on_quit, c);
	LIST_INIT(&c->callers);
	c->listener = evconnlistener_new_bind(
		loop_base(w->loop), on_accept, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
		CONTROL_BACKLOG, (struct sockaddr *)&addr, sizeof(addr));
	if (c->listener == NULL) {
		int errnum = errno;

		control_free(&c);
		return err_sys(err, errnum, "control socket %s", path);
	}
	c->path = xstrdup(path);
	*ret = c;
	return 0;
}

void control_free(struct control **cp)
{
	struct control *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	while (!LIST_EMPTY(&c->callers))
		caller_close(LIST_FIRST(&c->callers));
	if (c->listener != NULL)
		evconnlistener_free(c->listener);
	loop_timer_free(&c->quit);
	if (c->path != NULL)
		unlink(c->path);
	free(c->path);
	free(c);
	*cp = NULL;
}
