/*
 * cli - the command line: verbs, options and help from the table of methods.
 *
 * Model:   cli_run() finds the verb, makes parameters of the options, calls the method over
 *          core/client and prints the answer: a table or lines for people, one JSON document with
 *          --json. Verbs that are no method (demo, stdio, classify) are rows of a table here.
 * Context: runs a loop of its own and blocks until the verb is done.
 * Errors:  printed; the exit status is 0 done, 1 refused or failed, 2 wrong usage, 3 relay not
 *          reached, 4 not permitted.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

/* argv[0] is the verb, options may stand anywhere behind it. relay NULL: the default. */
int cli_run(const char *relay, bool json, int argc, char **argv);
/* `weir --help` and `weir help VERB`. */
void cli_usage(void);

#endif
