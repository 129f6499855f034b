/*
 * demo - a relay to play with: weir-world plays its DNS, its receivers and its clients, all on
 * loopback, in a directory that is gone afterwards.
 *
 * Order: the world (it tells its ports), the relay (it needs them), the allowlist (over the
 * control socket), then the source of mail. The two programs are children that die with us; they
 * have a process group of their own, so that a Ctrl-C reaches us first. Signals are blocked and
 * taken where we wait, except while the console runs, which has its own way with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"

#define DEMO_RATE 10 /* letters a second */
#define CERT_CURVE "ec_paramgen_curve:prime256v1"
#define CERT_DAYS "30"
#define CERT_NAME "/CN=relay.demo.example"
#define CERT_ALT "subjectAltName=DNS:relay.demo.example,IP:127.0.0.1"
#define DEMO_SECONDS "2592000"
#define DEMO_PATH_MAX 4096
#define READY_MS 15000	/* for a program to be there */
#define STEP_MS 100	/* between two looks */
#define END_MS 8000	/* for a program to end before it is killed */
#define DROP_MS 500	/* the same, when nothing is kept */
#define READY_MAX 65536 /* bytes of the world's first line */
#define LOG_TAIL 400	/* bytes of a log that an error repeats */
#define WALK_FDS 16

enum program { WORLD, RELAYD, PROGRAM__COUNT };
static const char *const program_names[PROGRAM__COUNT] = { "weir-world", "weir-relayd" };

struct demo {
	struct cli *c;
	char *dir;
	bool keep;
	char *paths[PROGRAM__COUNT];
	pid_t pids[PROGRAM__COUNT];
	int ready_fd; /* the world's standard output; -1: none */
	uint16_t port;
	uint16_t login_port; /* for clients with a credential; 0: there is no TLS */
	char *relay;	     /* "unix:DIR/control.sock" */
	sigset_t signals;
	sigset_t before;
};

/* --- programs --------------------------------------------------------------------------------- */

/* Beside our own binary, else in PATH. */
static int find_program(const char *name, char **ret_path, struct err *err)
{
	char self[DEMO_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path = getenv("PATH");
	struct str rest = str_of(path != NULL ? path : "");

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/') != NULL) {
		AUTO_FREE char *beside =
			xasprintf("%.*s/%s", (int)(strrchr(self, '/') - self), self, name);

		if (access(beside, X_OK) == 0) {
			*ret_path = xstrdup(beside);
			return 0;
		}
	}
	while (rest.n > 0) {
		struct str dir = str_cut(&rest, ':');
		AUTO_FREE char *there = xasprintf("%.*s/%s", STR_ARG(dir), name);

		if (dir.n > 0 && access(there, X_OK) == 0) {
			*ret_path = xstrdup(there);
			return 0;
		}
	}
	return err_set(err, ERR_UNKNOWN,
		       "the demo needs %s, which is neither beside weir nor in PATH", name);
}

/* In the child: only what may be called between fork and exec. */
static _Noreturn void become(const struct demo *d, const char *const *argv, int out, int log)
{
	int null = open("/dev/null", O_RDWR);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &d->before, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(out >= 0 ? out : null, STDOUT_FILENO);
	(void)dup2(log, STDERR_FILENO);
	(void)execv(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* With `ret_out` the program's standard output becomes readable there. */
static int spawn(struct demo *d, enum program p, const char *const *argv, int *ret_out,
		 struct err *err)
{
	AUTO_FREE char *log_path = xasprintf("%s/%s.log", d->dir, program_names[p]);
	int pipes[2] = { -1, -1 };
	int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid_t pid;

	if (log < 0)
		return err_sys(err, errno, "%s", log_path);
	if (ret_out != NULL && pipe2(pipes, O_CLOEXEC) < 0) {
		(void)close(log);
		return err_sys(err, errno, "a pipe");
	}
	pid = fork();
	if (pid == 0)
		become(d, argv, pipes[1], log);
	(void)close(log);
	if (pipes[1] >= 0)
		(void)close(pipes[1]);
	if (pid < 0) {
		int why = errno;

		if (pipes[0] >= 0)
			(void)close(pipes[0]);
		return err_sys(err, why, "starting %s", program_names[p]);
	}
	d->pids[p] = pid;
	if (ret_out != NULL)
		*ret_out = pipes[0];
	return 0;
}

/* Waits for a signal that ends us; false after the time or when only a child ended. */
static bool end_wanted(const struct demo *d, int64_t ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	int signo =
		ms < 0 ? sigwaitinfo(&d->signals, NULL) : sigtimedwait(&d->signals, NULL, &time);

	return signo > 0 && signo != SIGCHLD;
}

static bool is_running(struct demo *d, enum program p)
{
	if (d->pids[p] > 0 && waitpid(d->pids[p], NULL, WNOHANG) == d->pids[p])
		d->pids[p] = 0;
	return d->pids[p] > 0;
}

/* What its log ends with is the reason. */
static int refuse_ended(const struct demo *d, enum program p, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/%s.log", d->dir, program_names[p]);
	char tail[LOG_TAIL + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		if (lseek(fd, -(off_t)LOG_TAIL, SEEK_END) < 0)
			(void)lseek(fd, 0, SEEK_SET);
		n = read(fd, tail, LOG_TAIL);
		(void)close(fd);
	}
	tail[n > 0 ? n : 0] = '\0';
	return err_set(err, ERR_IO, "%s has ended: %s", program_names[p], tail);
}

static int interrupted(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "interrupted");
}

/* --- the world -------------------------------------------------------------------------------- */

static int free_port(uint16_t *ret_port, struct err *err)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0 || bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&to, &n) < 0)
		rc = err_sys(err, errno, "finding a free port");
	if (fd >= 0)
		(void)close(fd);
	*ret_port = ntohs(to.sin_port);
	return rc;
}

/* The world's first line says that it is ready, and its ports; owned. */
static int read_ready(struct demo *d, json_t **ret_ready, struct err *err)
{
	AUTO_BUF line = BUF_INIT(READY_MAX);

	for (int waited = 0; waited < READY_MS; waited += STEP_MS) {
		struct pollfd fd = { .fd = d->ready_fd, .events = POLLIN };

		if (end_wanted(d, 0))
			return interrupted(err);
		if (poll(&fd, 1, STEP_MS) > 0 && buf_reserve(&line, 4096)) {
			ssize_t n = read(d->ready_fd, line.p + line.n, 4096);

			if (n <= 0)
				return refuse_ended(d, WORLD, err);
			line.n += (size_t)n;
			line.p[line.n] = '\0';
		}
		if (str_index(buf_str(&line), '\n') >= 0)
			break;
	}
	*ret_ready = json_loads(buf_cstr(&line), 0, NULL);
	return *ret_ready != NULL ? 0 : err_set(err, ERR_PROTO, "weir-world does not get ready");
}

static int start_world(struct demo *d, json_t **ret_ready, struct err *err)
{
	AUTO_FREE char *control = xasprintf("%s/world.sock", d->dir);
	AUTO_FREE char *relay = xasprintf("127.0.0.1:%u", (unsigned)d->port);
	const char *const argv[] = {
		d->paths[WORLD], "--control", control,	   "--relay",	 relay,
		"--rate",	 "0",	      "--seconds", DEMO_SECONDS, NULL
	};
	int rc = spawn(d, WORLD, argv, &d->ready_fd, err);

	return rc < 0 ? rc : read_ready(d, ret_ready, err);
}

/* Commands on the world's control socket; it answers each with a line. */
static int tell_world(const struct demo *d, int64_t rate, struct err *err)
{
	AUTO_FREE char *commands = xasprintf("submit 60 yahoo.com\nsubmit 25 university.example\n"
					     "submit 15 down.example\nsubmit 20 isp.example\n"
					     "rate %lld\n",
					     (long long)rate);
	AUTO_FREE char *path = xasprintf("%s/world.sock", d->dir);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[512];
	int rc = 0;

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
	    write(fd, commands, strlen(commands)) < 0 || shutdown(fd, SHUT_WR) < 0)
		rc = err_sys(err, errno, "%s", path);
	while (rc == 0 && read(fd, answer, sizeof(answer)) > 0 && !end_wanted(d, 0))
		if (memmem(answer, sizeof(answer), "\"rate\"", 6) != NULL)
			break;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* A certificate of its own, made by openssl where there is one; false: there is none. */
static bool make_certificate(struct demo *d)
{
	AUTO_FREE char *openssl = NULL;
	AUTO_FREE char *cert = xasprintf("%s/relay.pem", d->dir);
	AUTO_FREE char *key = xasprintf("%s/relay.key", d->dir);
	AUTO_FREE char *log_path = xasprintf("%s/openssl.log", d->dir);
	int log, status = -1;
	pid_t pid;

	if (access(cert, R_OK) == 0 && access(key, R_OK) == 0)
		return true; /* a kept directory */
	if (find_program("openssl", &openssl, NULL) < 0)
		return false;
	log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log < 0)
		return false;
	const char *const argv[] = {
		openssl,  "req",     "-x509",	"-newkey", "ec", "-pkeyopt", CERT_CURVE,
		"-nodes", "-keyout", key,	"-out",	   cert, "-days",    CERT_DAYS,
		"-subj",  CERT_NAME, "-addext", CERT_ALT,  NULL,
	};
	pid = fork();
	if (pid == 0)
		become(d, argv, -1, log);
	(void)close(log);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- the relay -------------------------------------------------------------------------------- */

static int write_config(const struct demo *d, const json_t *ready, const char *path,
			struct err *err)
{
	FILE *f = fopen(path, "we");
	int rc = 0;

	if (f == NULL)
		return err_sys(err, errno, "%s", path);
	(void)fprintf(f,
		      "# The relay of weir demo; see weir-relayd.conf(5).\n"
		      "hostname  = \"relay.demo.example\"\n"
		      "state-dir = \"%s/state\"\n\n"
		      "control {\n\tsocket = \"%s/control.sock\"\n\tmode   = \"0600\"\n}\n\n"
		      "listen submission {\n\taddress = \"127.0.0.1:%u\"\n\ttls     = \"none\"\n"
		      "\tauth    = \"none\"\n}\n\n"
		      "dns      { servers = {\"%s\"} }\n"
		      "delivery { port = %lld }\n\n"
		      "# so that something happens while one looks\n"
		      "queue {\n\tretry-first = \"20s\"\n\tretry-max   = \"5m\"\n}\n",
		      d->dir, d->dir, (unsigned)d->port, json_get_str(ready, "dns"),
		      (long long)json_get_int(ready, "smtp_port"));
	if (d->login_port != 0)
		(void)fprintf(f,
			      "\n# for credentials\n"
			      "tls {\n\tcertificate = \"%s/relay.pem\"\n\tkey         = "
			      "\"%s/relay.key\"\n}\n"
			      "listen login {\n\taddress = \"127.0.0.1:%u\"\n"
			      "\ttls     = \"starttls\"\n\tauth    = \"required\"\n}\n",
			      d->dir, d->dir, (unsigned)d->login_port);
	if (ferror(f) != 0)
		rc = err_sys(err, errno, "%s", path);
	if (fclose(f) != 0 && rc == 0)
		rc = err_sys(err, errno, "%s", path);
	return rc;
}

/* Asks until it answers. */
static int wait_relay(struct demo *d, struct err *err)
{
	int rc = -ERR_NET;

	for (int waited = 0; waited < READY_MS && rc < 0; waited += STEP_MS) {
		json_t *pong = NULL;

		if (end_wanted(d, STEP_MS))
			return interrupted(err);
		if (!is_running(d, RELAYD))
			return refuse_ended(d, RELAYD, err);
		client_free(&d->c->client);
		rc = talk_call(d->c, method_defs[M_PING].name, NULL, &pong, err);
		json_decref(pong);
	}
	return rc;
}

static int start_relay(struct demo *d, const json_t *ready, struct err *err)
{
	AUTO_FREE char *config = xasprintf("%s/relayd.conf", d->dir);
	AUTO_FREE char *state = xasprintf("%s/state", d->dir);
	const char *const argv[] = { d->paths[RELAYD], "-c", config, NULL };
	json_t *done = NULL;
	int rc;

	if (mkdir(state, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", state);
	rc = write_config(d, ready, config, err);
	if (rc >= 0)
		rc = spawn(d, RELAYD, argv, NULL, err);
	if (rc >= 0)
		rc = wait_relay(d, err);
	if (rc < 0)
		return rc;
	rc = talk_call(d->c, method_defs[M_ALLOW_ADD].name,
		       json_pack("{s:s, s:s}", "network", "127.0.0.0/8", "note", "the demo's mail"),
		       &done, err);
	json_decref(done);
	return rc == -ERR_EXISTS ? 0 : rc; /* a kept directory */
}

/* --- its life --------------------------------------------------------------------------------- */

static int prepare(struct demo *d, const char *keep, struct err *err)
{
	const char *tmp = getenv("TMPDIR");

	for (int p = 0; p < PROGRAM__COUNT; p++)
		if (find_program(program_names[p], &d->paths[p], err) < 0)
			return -err->code;
	d->keep = *keep != '\0';
	if (!d->keep) {
		d->dir =
			xasprintf("%s/weir-demo.XXXXXX", tmp != NULL && *tmp == '/' ? tmp : "/tmp");
		if (mkdtemp(d->dir) == NULL)
			return err_sys(err, errno, "%s", d->dir);
	} else {
		if (mkdir(keep, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "%s", keep);
		d->dir = realpath(keep, NULL);
		if (d->dir == NULL)
			return err_sys(err, errno, "%s", keep);
	}
	if (strpbrk(d->dir, "\"\\\n$") != NULL)
		return err_param(err, ERR_INVALID, "keep", "%s: quotes in the name of a directory",
				 d->dir);
	d->relay = xasprintf("unix:%s/control.sock", d->dir);
	d->c->relay = d->relay;
	if (free_port(&d->port, err) < 0)
		return -err->code;
	do
		if (make_certificate(d) && free_port(&d->login_port, err) < 0)
			return -err->code;
	while (d->port == d->login_port);
	return 0;
}

static void end_program(struct demo *d, enum program p)
{
	int most = d->keep ? END_MS : DROP_MS;

	if (!is_running(d, p))
		return;
	(void)kill(d->pids[p], SIGTERM);
	for (int waited = 0; waited < most && is_running(d, p); waited += STEP_MS)
		(void)end_wanted(d, STEP_MS);
	if (is_running(d, p)) {
		(void)kill(d->pids[p], SIGKILL);
		(void)waitpid(d->pids[p], NULL, 0);
	}
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void clean_up(struct demo *d)
{
	client_free(&d->c->client);
	end_program(d, RELAYD);
	end_program(d, WORLD);
	if (d->ready_fd >= 0)
		(void)close(d->ready_fd);
	if (d->dir != NULL && !d->keep)
		(void)nftw(d->dir, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
	for (int p = 0; p < PROGRAM__COUNT; p++)
		free(d->paths[p]);
	d->c->relay = NULL;
	free(d->relay);
	free(d->dir);
}

static json_t *login_json(const struct demo *d)
{
	return d->login_port != 0 ? json_sprintf("127.0.0.1:%u", (unsigned)d->login_port)
				  : json_null();
}

/* Without a console: how to reach it, until somebody interrupts. */
static int wait_for_end(struct demo *d, struct err *err)
{
	AUTO_BUF b = BUF_INIT(8192);
	AUTO_FREE char *login =
		d->login_port != 0 ? xasprintf("SMTP with STARTTLS and AUTH at 127.0.0.1:%u; weir "
					       "cred add makes one",
					       (unsigned)d->login_port)
				   : xstrdup("not here: openssl, which makes a certificate, is not "
					     "installed");

	if (d->c->json) {
		json_t *doc = json_pack("{s:s, s:o, s:o, s:s}", "relay", d->relay, "smtp",
					json_sprintf("127.0.0.1:%u", (unsigned)d->port), "login",
					login_json(d), "directory", d->dir);

		cli_print_json(d->c, doc);
		json_decref(doc);
	} else {
		(void)buf_printf(&b,
				 "The demo's relay runs.\n\n"
				 "  console       weir -r %s\n"
				 "  command line  weir -r %s status\n"
				 "  mail          SMTP at 127.0.0.1:%u\n"
				 "  credentials   %s\n"
				 "  world         commands at %s/world.sock; weir-world --help\n"
				 "  files         %s\n\nCtrl-C ends it.\n",
				 d->relay, d->relay, (unsigned)d->port, login, d->dir, d->dir);
		cli_print(d->c, &b);
	}
	while (!end_wanted(d, -1)) {
		for (int p = 0; p < PROGRAM__COUNT; p++)
			if (!is_running(d, (enum program)p))
				return refuse_ended(d, (enum program)p, err);
	}
	return 0;
}

static int open_console(struct demo *d)
{
	const struct cli_app *app = d->c->o->app;
	int status;

	client_free(&d->c->client);
	(void)sigprocmask(SIG_SETMASK, &d->before, NULL);
	status = app->console(app->arg, d->relay);
	(void)sigprocmask(SIG_BLOCK, &d->signals, NULL);
	return status;
}

static int play(struct demo *d, const struct args *a, struct err *err)
{
	const json_t *rate = json_object_get(a->params, "rate");
	const struct cli_app *app = d->c->o->app;
	json_t *ready = NULL;
	int rc = prepare(d, json_get_str(a->params, "keep"), err);

	if (rc >= 0)
		rc = start_world(d, &ready, err);
	if (rc >= 0)
		rc = start_relay(d, ready, err);
	if (rc >= 0)
		rc = tell_world(d, rate != NULL ? json_integer_value(rate) : DEMO_RATE, err);
	json_decref(ready);
	if (rc < 0)
		return rc;
	if (app == NULL || app->console == NULL || json_get_bool(a->params, "no_console"))
		return wait_for_end(d, err);
	return open_console(d);
}

int verb_demo(struct cli *c, const struct args *a, struct err *err)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
	struct demo d = { .c = c, .ready_fd = -1 };
	int rc;

	(void)sigemptyset(&d.signals);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		(void)sigaddset(&d.signals, ends[i]);
	(void)sigprocmask(SIG_BLOCK, &d.signals, &d.before);
	rc = play(&d, a, err);
	clean_up(&d);
	(void)sigprocmask(SIG_SETMASK, &d.before, NULL);
	return rc;
}
