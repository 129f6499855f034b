/*
 * weir - options before the verb, then the command line; without a verb the console.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/console.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "shell/action.h"

#define USAGE_MAX 16384

enum { OPT_READONLY = 256, OPT_ASCII, OPT_NO_MOUSE, OPT_THEME, OPT_JSON, OPT_DUMP };

static const struct option options[] = {
	{ "relay", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "theme", required_argument, NULL, OPT_THEME },
	{ "readonly", no_argument, NULL, OPT_READONLY },
	{ "ascii", no_argument, NULL, OPT_ASCII },
	{ "no-mouse", no_argument, NULL, OPT_NO_MOUSE },
	{ "dump-tables", required_argument, NULL, OPT_DUMP },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static const char usage_head[] =
	"usage: weir [-r RELAY] [--json] VERB …\n"
	"       weir [-r RELAY] [--theme NAME] [--readonly] [--ascii] [--no-mouse]\n"
	"\n"
	"Without a verb the console opens.\n"
	"\n"
	"  -r, --relay RELAY  a name from the relays file, unix:PATH or "
	"ssh://[user@]host[:port][/path]\n"
	"      --json         one JSON document instead of text\n"
	"      --theme NAME   how the console looks; Ctrl-T lists the themes\n"
	"      --readonly     refuse everything that changes the relay\n"
	"      --ascii        no signs beyond ASCII\n"
	"      --no-mouse     leave the mouse to the terminal\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n";
static const char usage_tail[] =
	"\nweir help VERB says what a verb takes; also: weir help targets, weir help filter.\n";

static int usage(FILE *to)
{
	AUTO_BUF verbs = BUF_INIT(USAGE_MAX);

	(void)cli_verbs(&verbs);
	return fprintf(to, "%s%s%s", usage_head, buf_cstr(&verbs), usage_tail) < 0;
}

static int run_console(const struct console_options *o)
{
	struct err err = ERR_INIT;

	if (console_run(o, &err) < 0) {
		(void)fprintf(stderr, "weir: %s\n", err.msg);
		return err_exit_status(err.code);
	}
	return 0;
}

/* For verbs that end in the console, with the options that were given for it. */
static int open_console(void *arg, const char *relay)
{
	struct console_options o = *(const struct console_options *)arg;

	o.relay = relay;
	return run_console(&o);
}

static bool nth_key(void *arg, size_t n, const char **ret_keys, const char **ret_help,
		    const char **ret_group)
{
	(void)arg;
	if (n >= A__COUNT)
		return false;
	*ret_keys = action_defs[n].keys;
	*ret_help = action_defs[n].help;
	*ret_group = action_group_title(action_defs[n].group);
	return true;
}

/* Takes an option; -1 to go on, else the exit status. */
static int take_option(int c, struct console_options *o, struct cli_options *cli)
{
	switch (c) {
	case 'r':
		o->relay = optarg;
		cli->relay = optarg;
		return -1;
	case OPT_JSON:
		cli->json = true;
		return -1;
	case OPT_THEME:
		o->theme = optarg;
		return -1;
	case OPT_READONLY:
		o->readonly = true;
		cli->readonly = true;
		return -1;
	case OPT_ASCII:
		o->ascii = true;
		return -1;
	case OPT_NO_MOUSE:
		o->no_mouse = true;
		return -1;
	case OPT_DUMP:
		return cli_dump(cli, optarg);
	case 'h':
		return usage(stdout);
	case 'V':
		return printf("weir %s\n", WEIR_VERSION) < 0;
	default:
		(void)usage(stderr);
		return 2;
	}
}

int main(int argc, char **argv)
{
	struct console_options o = { .relay = NULL };
	const struct cli_app app = { .console = open_console, .key = nth_key, .arg = &o };
	struct cli_options cli = { .app = &app };
	int c;

	/* "+": options behind the verb are the verb's */
	while ((c = getopt_long(argc, argv, "+r:hV", options, NULL)) != -1) {
		int status = take_option(c, &o, &cli);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return cli_run(&cli, argc - optind, argv + optind);
	if (cli.json) {
		(void)fputs("weir: --json needs a verb\n", stderr);
		return 2;
	}
	return run_console(&o);
}
