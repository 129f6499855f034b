/*
 * cli - the command line: verbs, options and help from the table of methods.
 *
 * Model:   cli_run() finds the verb, makes parameters of the options, calls the method over
 *          core/client and prints the answer: a table or lines for people, one JSON document with
 *          --json. What the words mean stands in args.
 * Owner:   everything is borrowed until the function returns.
 * Context: runs a loop of its own and blocks until the verb is done.
 * Errors:  printed; the exit status is 0 done, 1 refused or failed, 2 wrong usage, 3 relay not
 *          reached, 4 not permitted.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "base/buf.h"

/* What lies above the command line, and what it needs from there. */
struct cli_app {
	/* Opens the console on a relay and returns its exit status. */
	int (*console)(void *arg, const char *relay);
	/* The n-th key of the console for the manual; false when there are no more. */
	bool (*key)(void *arg, size_t n, const char **ret_keys, const char **ret_help,
		    const char **ret_group);
	void *arg;
};

struct cli_options {
	const char *relay; /* NULL: the default */
	bool json;
	bool readonly;		   /* refuses everything that changes the relay */
	const struct cli_app *app; /* may be NULL: without a console */
};

/* argv[0] is the verb, options may stand anywhere behind it. */
int cli_run(const struct cli_options *o, int argc, char **argv);
/* Appends the verbs with what they do, for `weir --help`. */
bool cli_verbs(struct buf *out);
/*
 * Prints a table as text for manuals and other programs: verbs, options, targets, filter, status,
 * keys, reference (roff), json. The exit status.
 */
int cli_dump(const struct cli_options *o, const char *what);

#endif
