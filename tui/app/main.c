/* weir - options of the console. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/console.h"

enum { OPT_READONLY = 256, OPT_ASCII, OPT_NO_MOUSE, OPT_THEME };

static const struct option options[] = {
	{ "relay", required_argument, NULL, 'r' },
	{ "theme", required_argument, NULL, OPT_THEME },
	{ "readonly", no_argument, NULL, OPT_READONLY },
	{ "ascii", no_argument, NULL, OPT_ASCII },
	{ "no-mouse", no_argument, NULL, OPT_NO_MOUSE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: weir [-r RELAY] [--theme NAME] [--readonly] [--ascii] [--no-mouse]\n"
	"\n"
	"  -r, --relay RELAY  unix:PATH of a relay's control socket\n"
	"      --theme NAME   how the console looks; Ctrl-T lists the themes\n"
	"      --readonly     refuse everything that changes the relay\n"
	"      --ascii        no signs beyond ASCII\n"
	"      --no-mouse     leave the mouse to the terminal\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n";

int main(int argc, char **argv)
{
	struct console_options o = { .relay = NULL };
	struct err err = ERR_INIT;
	int c;

	while ((c = getopt_long(argc, argv, "r:hV", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			o.relay = optarg;
			break;
		case OPT_THEME:
			o.theme = optarg;
			break;
		case OPT_READONLY:
			o.readonly = true;
			break;
		case OPT_ASCII:
			o.ascii = true;
			break;
		case OPT_NO_MOUSE:
			o.no_mouse = true;
			break;
		case 'h':
			return fputs(usage, stdout) < 0;
		case 'V':
			return printf("weir %s\n", WEIR_VERSION) < 0;
		default:
			(void)fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "weir: unexpected %s\n%s", argv[optind], usage);
		return 2;
	}
	if (console_run(&o, &err) < 0) {
		(void)fprintf(stderr, "weir: %s\n", err.msg);
		return err_exit_status(err.code);
	}
	return 0;
}
