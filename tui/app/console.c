/*
 * console - wiring: the terminal's events go to the shell, the relay's state to its top bar.
 *
 * Changing to another relay tears everything but the terminal down and builds it again.
 */
#include "app/console.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/ask.h"
#include "app/choose.h"
#include "app/link.h"
#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "proto/proto.h"
#include "term/term.h"
#include "view/act.h"
#include "view/app.h"
#include "widget/prompt.h"

#define CONSOLE_MAGIC 0x436f6e73u

struct console {
	uint32_t magic;
	struct app app; /* what screens see; must stay where it is */
	struct console_options o;
	struct loop *loop;
	struct term *term;
	struct link *link;
	struct ask *ask;
	struct choose *choose;
	char *relay; /* as it was asked for; NULL: the local default */
	char *next;  /* to change to, in the next turn of the loop */
	struct loop_timer *change;
	char said[sizeof(((struct shell_status *)0)->trouble)]; /* the trouble told last */
	struct loop_signal *ends[3];
};

static const int end_signals[] = { SIGTERM, SIGHUP, SIGINT };

static void on_event(const struct event *ev, void *arg)
{
	struct console *c = OBJ(console, CONSOLE_MAGIC, arg);

	if (c->app.shell != NULL)
		shell_event(c->app.shell, ev);
}

static void on_end(void *arg)
{
	loop_stop(OBJ(console, CONSOLE_MAGIC, arg)->loop);
}

static struct console *console_of(void *app)
{
	char *at = (char *)app - offsetof(struct console, app);

	return OBJ(console, CONSOLE_MAGIC, at);
}

static void on_quit(void *app)
{
	on_end(console_of(app));
}

static void on_try_again(void *arg, bool yes)
{
	struct console *c = OBJ(console, CONSOLE_MAGIC, arg);

	if (!yes)
		return;
	c->said[0] = '\0'; /* to be told again */
	link_hurry(c->link);
}

/* "12 431 queued, oldest 3h15m" for the top bar. */
static void summarise(const json_t *status, struct shell_status *out)
{
	const json_t *queued = json_object_get(status, "queued");
	char count[FMT_TIME_LEN], age[FMT_SHORT_LEN];

	if (queued == NULL)
		return;
	fmt_count((uint64_t)ji(queued, "messages"), count);
	fmt_age(ji(status, "oldest_age_s"), age);
	if (js_has(status, "oldest_age_s"))
		(void)snprintf(out->summary, sizeof(out->summary), "%s queued, oldest %s", count,
			       age);
	else
		(void)snprintf(out->summary, sizeof(out->summary), "nothing queued");
	out->summary_role = ji(status, "alerts") > 0 ? ROLE_WARN : ROLE_TEXT;
}

/* "version 12 goes back in 7m12s: route.add discard by olga" */
static void warn_of_probation(const json_t *status, struct shell_status *out)
{
	const json_t *p = json_object_get(status, "probation");

	if (!json_is_object(p))
		return;
	(void)snprintf(out->banner, sizeof(out->banner), "version %lld goes back",
		       (long long)ji(p, "version"));
	(void)fmt_parse_time(str_of(js(p, "until_at")), &out->banner_wall_ms);
	(void)snprintf(out->banner_about, sizeof(out->banner_about), ": %.40s %.60s by %.40s",
		       js(p, "method"), js(p, "target"), js(p, "who"));
	(void)snprintf(out->banner_keys, sizeof(out->banner_keys),
		       ":config confirm  :config rollback");
}

/* In full once, for the top bar may cut it. */
static void tell_trouble(struct console *c, const struct shell_status *status)
{
	bool settled = status->link == LINK_REFUSED || status->retry_wall_ms != 0;

	if (status->link == LINK_UP && c->said[0] != '\0') {
		c->said[0] = '\0';
		shell_notice(c->app.shell, NOTICE_INFO, "connected");
	}
	if (!settled || status->trouble[0] == '\0' || strcmp(status->trouble, c->said) == 0)
		return;
	(void)snprintf(c->said, sizeof(c->said), "%s", status->trouble);
	if (status->link != LINK_REFUSED) {
		shell_notice(c->app.shell, NOTICE_BAD, "%s", status->trouble);
		return;
	}
	(void)shell_ask(c->app.shell, &(struct shell_ask){ .title = "Not connected",
							   .text = status->trouble,
							   .yes = "Try again",
							   .done = on_try_again,
							   .arg = c });
}

static void show_status(struct console *c)
{
	struct shell_status status = { .link = LINK_CONNECTING };

	if (c->app.shell == NULL || c->app.relay == NULL)
		return;
	link_status(c->link, &status);
	summarise(relay_status(c->app.relay), &status);
	warn_of_probation(relay_status(c->app.relay), &status);
	shell_status_set(c->app.shell, &status);
	tell_trouble(c, &status); /* which the top bar says, too: it is the notice that gives way */
	if (status.link != LINK_UP)
		acts_unlinked(c->app.acts);
}

static void on_link(void *arg)
{
	show_status(OBJ(console, CONSOLE_MAGIC, arg));
}

static void on_ask(void *arg, const struct client_question *q)
{
	ask_show(OBJ(console, CONSOLE_MAGIC, arg)->ask, q);
}

static void on_withdraw(void *arg, uint64_t question)
{
	struct console *c = OBJ(console, CONSOLE_MAGIC, arg);

	if (c->ask != NULL)
		ask_withdraw(c->ask, question);
}

static void on_answer(void *arg, uint64_t question, const char *text)
{
	link_answer(OBJ(console, CONSOLE_MAGIC, arg)->link, question, text);
}

static void on_hurry(void *app)
{
	link_hurry(console_of(app)->link);
}

static void on_moved(void *arg, unsigned moved)
{
	if ((moved & RELAY_STATUS) != 0)
		show_status(OBJ(console, CONSOLE_MAGIC, arg));
}

static int on_command(void *app, struct str line, struct err *err)
{
	return act_command(((struct app *)app)->acts, line, err);
}

static void close_relay(struct console *c)
{
	if (c->app.relay != NULL)
		relay_unlisten(c->app.relay, c);
	log_to_stderr();
	ask_free(&c->ask);
	choose_free(&c->choose);
	shell_free(&c->app.shell);
	acts_free(&c->app.acts);
	relay_free(&c->app.relay);
	link_free(&c->link);
}

static void on_chosen(void *arg, const char *relay)
{
	struct console *c = OBJ(console, CONSOLE_MAGIC, arg);

	free(c->next);
	c->next = xstrdup(relay);
	loop_timer_set(c->change, 0); /* not from inside a window of the shell that goes */
}

static void on_relays(void *app)
{
	struct console *c = console_of(app);

	choose_open(c->choose, c->relay);
}

static const struct link_ops link_ops = { .state = on_link,
					  .ask = on_ask,
					  .withdraw = on_withdraw };

/* Takes the link. */
static void open_relay(struct console *c, struct link *link)
{
	c->link = link;
	c->said[0] = '\0';
	c->app.rpc = link_rpc(c->link);
	c->app.relay = relay_new(c->app.rpc);
	c->app.acts = acts_new(&c->app);
	c->app.shell = shell_new(&(struct shell_options){ .loop = c->loop,
							  .screen_ops = &term_screen,
							  .screen = c->term,
							  .app = &c->app,
							  .ascii = c->o.ascii,
							  .readonly = c->o.readonly,
							  .quit = on_quit,
							  .complete = act_complete_line,
							  .command = on_command,
							  .relays = on_relays,
							  .hurry = on_hurry });
	c->ask = ask_new(c->app.shell, on_answer, c);
	c->choose = choose_new(c->app.shell, on_chosen, c);
	log_to_fn(shell_log_line, c->app.shell);
	app_register(c->app.shell);
	relay_listen(c->app.relay, on_moved, c);
	show_status(c);
	(void)shell_open(c->app.shell, "overview", "");
}

/* --- another relay --- */

/* The new link first: what is no relay leaves the console where it is. */
static void on_change(void *arg)
{
	struct console *c = OBJ(console, CONSOLE_MAGIC, arg);
	struct link *link = NULL;
	struct err err = ERR_INIT;

	if (link_new(c->loop, c->next, &link_ops, c, &link, &err) < 0) {
		shell_notice_err(c->app.shell, "not changed", &err);
		free(c->next);
	} else {
		close_relay(c);
		free(c->relay);
		c->relay = c->next;
		open_relay(c, link);
	}
	c->next = NULL;
}

static int start(struct console *c, struct err *err)
{
	struct theme *theme = NULL;
	struct link *link = NULL;
	const char *name = c->o.theme != NULL ? c->o.theme : getenv("WEIR_THEME");
	int result;

	if (!term_locale())
		c->o.ascii = true;
	result = theme_find(name != NULL ? name : "dark", &theme, err);
	if (result < 0 && name != NULL)
		return result; /* the default may be missing: there is a built-in one */
	c->loop = loop_new();
	c->app.loop = c->loop;
	c->app.filters = history_new();
	c->app.readonly = c->o.readonly;
	c->term = term_new(&(struct term_options){ .loop = c->loop,
						   .fd = -1,
						   .theme = theme,
						   .no_mouse = c->o.no_mouse,
						   .event = on_event,
						   .hangup = on_end,
						   .arg = c });
	result = term_start(c->term, err);
	if (result < 0)
		return result;
	for (size_t i = 0; i < ARRAY_LEN(end_signals); i++)
		c->ends[i] = loop_signal_new(c->loop, end_signals[i], on_end, c);
	c->change = loop_timer_new(c->loop, "console.change", on_change, c);
	c->relay = c->o.relay != NULL ? xstrdup(c->o.relay) : NULL;
	result = link_new(c->loop, c->relay, &link_ops, c, &link, err);
	if (result >= 0)
		open_relay(c, link);
	return result;
}

int console_run(const struct console_options *o, struct err *err)
{
	struct console *c = xcalloc(1, sizeof(*c));
	int result;

	c->magic = CONSOLE_MAGIC;
	c->o = *o;
	result = start(c, err);
	if (result >= 0)
		loop_run(c->loop);
	close_relay(c);
	for (size_t i = 0; i < ARRAY_LEN(c->ends); i++)
		loop_signal_free(&c->ends[i]);
	loop_timer_free(&c->change);
	term_free(&c->term);
	history_free(&c->app.filters);
	loop_free(&c->loop);
	free(c->relay);
	free(c->next);
	free(c);
	return result;
}
