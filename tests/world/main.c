/*
 * weir-world - DNS and the receivers of some two dozen domains on loopback, and a source of mail.
 *
 * `make demo` and the system tests run it beside a relay. Ready, it prints one JSON line:
 *   {"dns":"127.0.0.1:PORT","smtp_port":N,"control":PATH,"domains":[{domain,behaviour,set,site,addresses}]}
 * It ends after --seconds, on SIGTERM or SIGINT, by `quit`, and when its parent dies.
 * The tables (sites.def, domains.def, behaviours.def, params.def) say what the world is like;
 * --help prints the behaviours, their parameters and the commands of the control socket.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "world/control.h"
#include "world/dns.h"
#include "world/receiver.h"
#include "world/source.h"
#include "world/world.h"

#define DEFAULT_SECONDS 3600
#define DEFAULT_KEEP 200
#define DEFAULT_RATE 10
#define KEEP_MAX 1000000
#define SECONDS_MAX (30 * 86400)
#define BURSTS_MAX 16
#define HELP_MAX (64u * 1024)
#define EXIT_USAGE 2

struct options {
	uint64_t dns_port;
	uint64_t smtp_port;
	uint64_t rate;
	uint64_t seconds;
	uint64_t keep;
	uint64_t seed;
	const char *control;
	const char *relay;
	size_t bursts_n;
	const char *bursts[BURSTS_MAX];
};

struct everything {
	struct loop *loop;
	struct world *world;
	struct dns *dns;
	struct receiver *receiver;
	struct source *source;
	struct control *control;
	struct loop_signal *on_term;
	struct loop_signal *on_int;
	struct loop_timer *end;
	char control_path[64];
};

static const char usage[] =
	"weir-world [option ...]\n"
	"  --dns-port N       port of the name server on 127.0.0.1; a free one unless given\n"
	"  --smtp-port N      port of all receivers, on 127.0.10.x; a free one unless given\n"
	"  --control PATH     control socket; under /tmp unless given\n"
	"  --relay HOST:PORT  send mail to this relay (numeric address)\n"
	"  --rate N           letters a second; 10 unless given\n"
	"  --burst DOMAIN:N   first send N letters to DOMAIN; may be repeated\n"
	"  --seconds N        end after so long; 3600 unless given\n"
	"  --keep N           messages remembered a domain; 200 unless given\n"
	"  --seed N           another course of events\n"
	"  --help             this, the behaviours and the commands of the control socket\n";

static const struct option long_options[] = {
	{ "dns-port", required_argument, NULL, 'd' },
	{ "smtp-port", required_argument, NULL, 's' },
	{ "control", required_argument, NULL, 'c' },
	{ "relay", required_argument, NULL, 'r' },
	{ "rate", required_argument, NULL, 'n' },
	{ "burst", required_argument, NULL, 'b' },
	{ "seconds", required_argument, NULL, 't' },
	{ "keep", required_argument, NULL, 'k' },
	{ "seed", required_argument, NULL, 'x' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void help(void)
{
	AUTO_BUF text = BUF_INIT(HELP_MAX);

	buf_puts(&text, usage);
	behaviour_help(&text);
	control_help(&text);
	fputs(buf_cstr(&text), stdout);
}

/* The numeric option's place and largest value; NULL for the others. */
static uint64_t *number_option(struct options *o, int c, uint64_t *ret_max)
{
	switch (c) {
	case 'd':
		*ret_max = UINT16_MAX;
		return &o->dns_port;
	case 's':
		*ret_max = UINT16_MAX;
		return &o->smtp_port;
	case 'n':
		*ret_max = SOURCE_RATE_MAX;
		return &o->rate;
	case 't':
		*ret_max = SECONDS_MAX;
		return &o->seconds;
	case 'k':
		*ret_max = KEEP_MAX;
		return &o->keep;
	case 'x':
		*ret_max = UINT64_MAX;
		return &o->seed;
	default:
		return NULL;
	}
}

/* 0 to go on, 1 when help was given, -1 on a mistake that was reported. */
static int parse_options(int argc, char **argv, struct options *o)
{
	int c, index = 0;
	uint64_t max = 0;

	while ((c = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
		uint64_t *number = number_option(o, c, &max);

		if (number != NULL && !str_u64(str_of(optarg), max, number)) {
			fprintf(stderr, "weir-world: --%s wants a number up to %llu\n",
				long_options[index].name, (unsigned long long)max);
			return -1;
		}
		if (c == 'h') {
			help();
			return 1;
		}
		if (c == '?')
			return -1;
		if (c == 'c')
			o->control = optarg;
		if (c == 'r')
			o->relay = optarg;
		if (c == 'b' && o->bursts_n < BURSTS_MAX)
			o->bursts[o->bursts_n++] = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "weir-world: what is \"%s\"?\n", argv[optind]);
		return -1;
	}
	return 0;
}

static void on_stop(void *arg)
{
	loop_stop(arg);
}

static int send_bursts(struct everything *e, const struct options *o, struct err *err)
{
	for (size_t i = 0; i < o->bursts_n; i++) {
		struct str count = str_of(o->bursts[i]);
		struct str name = str_cut(&count, ':');
		struct domain *d = world_domain(e->world, name);
		uint64_t n;

		if (e->source == NULL || d == NULL || !str_u64(count, KEEP_MAX, &n))
			return err_param(err, ERR_INVALID, "burst",
					 "--burst %s: DOMAIN:N is wanted, and --relay",
					 o->bursts[i]);
		if (source_burst(e->source, d, n, err) < 0)
			return -err->code;
	}
	return 0;
}

static int start(struct everything *e, const struct options *o, struct err *err)
{
	uint16_t dns_port = 0;

	e->loop = loop_new();
	e->on_term = loop_signal_new(e->loop, SIGTERM, on_stop, e->loop);
	e->on_int = loop_signal_new(e->loop, SIGINT, on_stop, e->loop);
	e->end = loop_timer_new(e->loop, "world.end", on_stop, e->loop);
	loop_timer_set(e->end, (int64_t)o->seconds * 1000);
	e->world = world_new(e->loop, o->keep, o->seed);
	if (dns_start(e->world, (uint16_t)o->dns_port, &e->dns, &dns_port, err) < 0 ||
	    receiver_start(e->world, (uint16_t)o->smtp_port, &e->receiver, err) < 0)
		return -err->code;
	if (o->relay != NULL &&
	    source_start(e->world, o->relay, (int64_t)o->rate, &e->source, err) < 0)
		return -err->code;
	snprintf(e->control_path, sizeof(e->control_path), "/tmp/weir-world.%ld", (long)getpid());
	const char *path = o->control != NULL ? o->control : e->control_path;
	if (control_start(e->world, e->receiver, e->source, path, &e->control, err) < 0 ||
	    send_bursts(e, o, err) < 0)
		return -err->code;

	AUTO_FREE char *dns = xasprintf("127.0.0.1:%u", (unsigned)dns_port);
	json_t *ready =
		json_pack("{s:s, s:i, s:s, s:o}", "dns", dns, "smtp_port", (int)e->world->smtp_port,
			  "control", path, "domains", world_domains_json(e->world));
	AUTO_FREE char *text = json_dumps(ready, JSON_COMPACT);
	puts(text);
	fflush(stdout);
	json_decref(ready);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {
		.rate = DEFAULT_RATE, .seconds = DEFAULT_SECONDS, .keep = DEFAULT_KEEP, .seed = 1
	};
	struct everything e = { .loop = NULL };
	struct err err = ERR_INIT;
	int parsed = parse_options(argc, argv, &o);

	if (parsed != 0)
		return parsed > 0 ? EXIT_SUCCESS : EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	int rc = start(&e, &o, &err);
	if (rc < 0)
		fprintf(stderr, "weir-world: %s\n", err.msg);
	else
		loop_run(e.loop);
	control_free(&e.control);
	source_free(&e.source);
	receiver_free(&e.receiver);
	dns_free(&e.dns);
	world_free(&e.world);
	loop_timer_free(&e.end);
	loop_signal_free(&e.on_int);
	loop_signal_free(&e.on_term);
	loop_free(&e.loop);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
