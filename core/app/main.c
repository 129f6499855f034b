/* weir-relayd - options, and the order in which a relay starts. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/privs.h"
#include "app/relayd.h"
#include "base/buf.h"
#include "base/log.h"
#include "ctl/config_file.h"
#include "loop/loop.h"

#define CONFIG_PATH "/etc/weir/relayd.conf"
#define TEXT_MAX ((size_t)1024 * 1024)

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "print", no_argument, NULL, 'n' },
	{ "syslog", no_argument, NULL, 's' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "dump-tables", required_argument, NULL, 'D' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: weir-relayd [-c FILE] [-t | -n] [-s] [-v]\n"
	"\n"
	"  -c, --config FILE          configuration; " CONFIG_PATH " unless said\n"
	"  -t, --test                 check the configuration and end\n"
	"  -n, --print                print it with every default and end\n"
	"  -s, --syslog               log to syslog instead of standard error\n"
	"  -v, --verbose              log what developers want to see as well\n"
	"      --dump-tables=options  the configuration's keys, for the manual\n"
	"      --dump-tables=text     the same of what weir config import reads\n"
	"  -h, --help                 this text\n"
	"  -V, --version              the version\n";

struct args {
	const char *config;
	bool test;
	bool print;
	bool syslog;
	bool verbose;
};

static int print_text(bool (*fill)(const struct conf *c, struct buf *out), const struct conf *c)
{
	AUTO_BUF text = BUF_INIT(TEXT_MAX);

	(void)fill(c, &text);
	return fwrite(buf_cstr(&text), 1, text.n, stdout) == text.n ? 0 : 1;
}

static bool fill_manual(const struct conf *c, struct buf *out)
{
	(void)c;
	return conf_print_manual(out);
}

static bool fill_text_manual(const struct conf *c, struct buf *out)
{
	(void)c;
	config_file_manual(out);
	return !out->full;
}

static int wrong_usage(const char *what)
{
	(void)fprintf(stderr, "weir-relayd: unexpected %s\n%s", what, usage);
	return 2;
}

/* -1: go on; else the exit status. */
static int read_args(int argc, char **argv, struct args *a)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:tnsvhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case 't':
			a->test = true;
			break;
		case 'n':
			a->print = true;
			break;
		case 's':
			a->syslog = true;
			break;
		case 'v':
			a->verbose = true;
			break;
		case 'D':
			if (strcmp(optarg, "text") == 0)
				return print_text(fill_text_manual, NULL);
			if (strcmp(optarg, "options") != 0)
				return wrong_usage(optarg);
			return print_text(fill_manual, NULL);
		case 'h':
			return fputs(usage, stdout) < 0;
		case 'V':
			return printf("weir-relayd %s\n", WEIR_VERSION) < 0;
		default:
			(void)fputs(usage, stderr);
			return 2;
		}
	}
	return optind < argc ? wrong_usage(argv[optind]) : -1;
}

static int fail(const struct err *err)
{
	log_error(NULL, "relayd.failed", F_STR("error", err->msg));
	return err->code == ERR_CONFIG || err->code == ERR_INVALID ? 2 : 1;
}

static int run(const struct args *a, const struct conf *conf, struct err *err)
{
	struct relayd *r = NULL;
	int lock = -1;
	int rc;

	if (a->verbose)
		log_level_set(LOG_LEVEL_DEBUG);
	if (a->syslog)
		log_to_syslog("weir-relayd");
	privs_limits();
	rc = relayd_new(conf, loop_new(), &r, err);
	if (rc >= 0)
		rc = privs_become(conf->user, conf->state_dir, err);
	if (rc >= 0)
		rc = privs_lock(conf->state_dir, &lock, err);
	if (rc >= 0)
		rc = relayd_open(r, err);
	if (rc >= 0)
		relayd_run(r);
	relayd_free(&r);
	if (lock >= 0)
		(void)close(lock);
	return rc < 0 ? fail(err) : 0;
}

static int test(const struct conf *conf)
{
	struct err err = ERR_INIT;

	if (relayd_test(conf, &err) >= 0)
		return 0;
	(void)fprintf(stderr, "weir-relayd: %s\n", err.msg);
	return 2;
}

int main(int argc, char **argv)
{
	struct args a = { .config = CONFIG_PATH };
	struct conf *conf = NULL;
	struct err err = ERR_INIT;
	int status = read_args(argc, argv, &a);

	if (status >= 0)
		return status;
	if (conf_load(a.config, &conf, &err) < 0) {
		(void)fprintf(stderr, "weir-relayd: %s\n", err.msg);
		return 2;
	}
	if (a.print)
		status = print_text(conf_print, conf);
	else if (a.test)
		status = test(conf);
	else
		status = run(&a, conf, &err);
	conf_free(&conf);
	return status;
}
