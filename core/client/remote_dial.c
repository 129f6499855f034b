/*
 * From a name to a connected socket: ~/.ssh/config, name lookup, connection or proxy command.
 *
 * The socket is ours and not libssh's: its lookup and connection cannot be cut short, its proxy
 * command runs in this terminal. A ProxyJump is rendered by libssh as an ssh command with the jumps
 * in the wrong order; it is taken apart again (remote_jumps()) and started so that it can neither
 * ask on the terminal nor write on it: no password will be asked for a jump host, it needs a key or
 * the agent.
 *
 * Of ~/.ssh/config libssh reads Host, Match, Include, HostName, Port, User, IdentityFile,
 * IdentityAgent, UserKnownHostsFile (the first), ProxyCommand and ProxyJump. It ignores
 * IdentitiesOnly, CertificateFile, HostKeyAlias, PreferredAuthentications, AddressFamily,
 * CanonicalizeHostname, ControlMaster and PKCS11Provider.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "client/remote_int.h"

#define ADDRESS_WAIT_MS 5000 /* for one address, when there are more */
#define USER_TIMEOUT_MS 20000
#define PATH_MAX_LEN 4096
#define COMMAND_MAX 8192
#define JUMPS_MAX 1024

extern char **environ;

/* --- configuration --- */

static void own_account(char *name, size_t name_n, char *home, size_t home_n)
{
	char bytes[4096];
	struct passwd pw;
	struct passwd *found = NULL;
	const char *env = getenv("HOME");

	if (getpwuid_r(geteuid(), &pw, bytes, sizeof(bytes), &found) != 0)
		found = NULL;
	(void)snprintf(name, name_n, "%s", found != NULL ? found->pw_name : "");
	(void)snprintf(home, home_n, "%s", found != NULL ? found->pw_dir : env != NULL ? env : "");
}

static char *option(struct remote *r, enum ssh_options_e which)
{
	char *value = NULL;
	char *copy = NULL;

	if (ssh_options_get(r->session, which, &value) == SSH_OK && value != NULL)
		copy = xstrdup(value);
	ssh_string_free_char(value);
	return copy;
}

/* ~ and %d as libssh has them; what has other escapes is left to it, and not scanned. */
static char *known_hosts_path(struct remote *r, const char *home)
{
	AUTO_FREE char *set = option(r, SSH_OPTIONS_KNOWNHOSTS);

	if (set == NULL)
		return xasprintf("%s/.ssh/known_hosts", home);
	if (strncmp(set, "~/", 2) == 0)
		return xasprintf("%s/%s", home, set + 2);
	if (strncmp(set, "%d/", 3) == 0)
		return xasprintf("%s/.ssh/%s", home, set + 3);
	return xstrdup(set);
}

static int read_config(struct remote *r, struct err *err)
{
	const char *path = getenv("WEIR_SSH_CONFIG");

	if (path != NULL && access(path, R_OK) != 0)
		return err_sys(err, errno, "WEIR_SSH_CONFIG=%s", path);
	if (ssh_options_set(r->session, SSH_OPTIONS_HOST, r->to.host) != SSH_OK)
		return err_set(err, ERR_INVALID, "%s is not a host name", r->to.host);
	if (ssh_options_parse_config(r->session, path) != SSH_OK)
		return err_set(err, ERR_CONFIG, "%s: %s", path != NULL ? path : "~/.ssh/config",
			       ssh_get_error(r->session));
	return 0;
}

int remote_config(struct remote *r, struct err *err)
{
	char name[RELAYS_USER_MAX];
	char home[PATH_MAX_LEN];
	int verbosity = SSH_LOG_NOLOG;
	bool process = false;
	int result = read_config(r, err);
	char *user;
	char *host;

	if (result < 0)
		return result;
	(void)ssh_options_set(r->session, SSH_OPTIONS_LOG_VERBOSITY, &verbosity);
	(void)ssh_options_set(r->session, SSH_OPTIONS_PROCESS_CONFIG, &process);
	if (r->to.user[0] != '\0')
		(void)ssh_options_set(r->session, SSH_OPTIONS_USER, r->to.user);
	if (r->to.port != 0)
		(void)ssh_options_set(r->session, SSH_OPTIONS_PORT, &r->to.port);
	own_account(name, sizeof(name), home, sizeof(home));
	user = option(r, SSH_OPTIONS_USER);
	host = option(r, SSH_OPTIONS_HOST);
	(void)snprintf(r->user, sizeof(r->user), "%s", user != NULL ? user : name);
	(void)snprintf(r->host, sizeof(r->host), "%s", host != NULL ? host : r->to.host);
	(void)ssh_options_get_port(r->session, &r->port);
	(void)snprintf(r->who, sizeof(r->who), "%s@%s", r->user, r->to.host);
	free(user);
	free(host);
	r->known_hosts = known_hosts_path(r, home);
	(void)ssh_options_set(r->session, SSH_OPTIONS_KNOWNHOSTS, r->known_hosts);
	r->proxy_command = option(r, SSH_OPTIONS_PROXYCOMMAND);
	/* The socket comes from here: libssh is not to start the command too. */
	(void)ssh_options_set(r->session, SSH_OPTIONS_PROXYCOMMAND, "none");
	return 0;
}

/* --- a connection of our own --- */

/* 0, or the reason as an errno. */
static int wait_connected(struct remote *r, int fd, bool more)
{
	short events = POLLOUT;
	int failed = 0;
	socklen_t n = sizeof(failed);

	if (!remote_wait(r, fd, &events, more ? ADDRESS_WAIT_MS : -1) || events == 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0 ? errno : failed;
}

static int connect_one(struct remote *r, const struct addrinfo *a, int *ret_fd, struct err *err)
{
	char address[NI_MAXHOST] = "?";
	int failed = 0;
	int fd;

	(void)getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
			  NI_NUMERICHOST);
	remote_doing(r, "connecting to %s port %u", address, r->port);
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		failed = errno;
	else if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
		failed = errno == EINPROGRESS ? wait_connected(r, fd, a->ai_next != NULL) : errno;
	if (failed == 0) {
		*ret_fd = fd;
		return 0;
	}
	if (fd >= 0)
		(void)close(fd);
	(void)err_sys(err, failed, "%s: connecting to %s port %u", r->who, address, r->port);
	if (err != NULL)
		err->code = ERR_NET;
	return -ERR_NET;
}

static void set_options(int fd)
{
	const int on = 1;
	const unsigned timeout = USER_TIMEOUT_MS;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/* As the system looks names up (hosts file, mDNS, …), which c-ares does not. May hang: see
 * remote_int.h. */
static int connect_host(struct remote *r, int *ret_fd, struct err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	char port[16];
	int result = -ERR_NET;
	int rc;

	(void)snprintf(port, sizeof(port), "%u", r->port);
	remote_doing(r, "looking up %s", r->host);
	rc = getaddrinfo(r->host, port, &hints, &all);
	if (rc != 0)
		return err_set(err, ERR_NET, "%s: no address of %s: %s", r->who, r->host,
			       gai_strerror(rc));
	for (const struct addrinfo *a = all; a != NULL && result < 0 && !remote_cancelled(r);
	     a = a->ai_next)
		result = connect_one(r, a, ret_fd, err);
	freeaddrinfo(all);
	if (result >= 0)
		set_options(*ret_fd);
	return result;
}

/* --- proxy commands --- */

static bool put_expanded(struct buf *to, const struct remote *r, char c)
{
	switch (c) {
	case 'h':
		return buf_puts(to, r->host);
	case 'n':
		return buf_puts(to, r->to.host);
	case 'p':
		return buf_printf(to, "%u", r->port);
	case 'r':
		return buf_puts(to, r->user);
	case '%':
		return buf_putc(to, '%');
	default:
		return false;
	}
}

/* Host and account go into a shell's command line. */
static bool harmless(const char *s)
{
	for (; *s != '\0'; s++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:%@+",
			   *s) == NULL)
			return false;
	return true;
}

static int expand_command(struct remote *r, struct buf *to, struct err *err)
{
	const char *s = r->proxy_command;
	bool ok = buf_puts(to, "exec ");

	if (!harmless(r->host) || !harmless(r->to.host) || !harmless(r->user))
		return err_set(err, ERR_CONFIG, "%s: characters that a ProxyCommand cannot take",
			       r->who);
	for (; ok && *s != '\0'; s++) {
		if (*s != '%')
			ok = buf_putc(to, *s);
		else if (!put_expanded(to, r, *++s))
			return err_set(
				err, ERR_CONFIG,
				"%s: ProxyCommand: %%%c is not known; %%h %%n %%p %%r %%%% are",
				r->who, *s != '\0' ? *s : ' ');
	}
	return ok ? 0 : err_set(err, ERR_CONFIG, "%s: ProxyCommand is too long", r->who);
}

/* A word of libssh's rendering: "-l" and the like, and what follows. */
static bool take_word(struct str *rest, struct str *ret)
{
	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = str_from(rest->p + 1, rest->n - 1);
	if (rest->n == 0)
		return false;
	*ret = str_cut(rest, ' ');
	return true;
}

char *remote_jumps(const char *command)
{
	struct str rest = str_of(command);
	struct str word = { "", 0 };
	struct str user = { "", 0 };
	struct str port = { "", 0 };
	struct str more = { "", 0 };
	struct str host = { "", 0 };
	bool whole = false;
	bool v6;

	if (rest.n > JUMPS_MAX || !take_word(&rest, &word) || !str_eq(word, STR("ssh")))
		return NULL;
	while (take_word(&rest, &word)) {
		struct str *to = str_eq(word, STR("-l"))   ? &user
				 : str_eq(word, STR("-p")) ? &port
				 : str_eq(word, STR("-J")) ? &more
							   : NULL;

		if (to != NULL && to->n == 0 && take_word(&rest, to))
			continue;
		whole = str_eq(word, STR("-W")) && take_word(&rest, &word) &&
			str_eq(word, STR("'[%h]:%p'")) && take_word(&rest, &host) && rest.n == 0;
		break;
	}
	if (!whole || host.p[0] == '-')
		return NULL;
	v6 = str_index(host, ':') >= 0 && host.p[0] != '[';
	return xasprintf("%.*s%s%s%.*s%s%s%.*s%s%.*s", STR_ARG(user), user.n > 0 ? "@" : "",
			 v6 ? "[" : "", STR_ARG(host), v6 ? "]" : "", port.n > 0 ? ":" : "",
			 STR_ARG(port), more.n > 0 ? "," : "", STR_ARG(more));
}

/* The last jump is the one that connects to the host; those before are on the way to it. */
char **remote_jump_argv(const char *jumps, const char *host, unsigned port, const char *config)
{
	enum { WORDS = 12 };
	size_t room = strlen(jumps) + strlen(host) + (config != NULL ? strlen(config) : 0) + 256;
	char **argv = xcalloc(1, (WORDS + 1) * sizeof(*argv) + room);
	char *at = (char *)(argv + WORDS + 1);
	const char *comma = strrchr(jumps, ',');
	const char *last = comma != NULL ? comma + 1 : jumps;
	const char *fixed[] = { "ssh", "-o", "BatchMode=yes" };
	int n = 0;

#define WORD(...)                                                                                  \
	do {                                                                                       \
		int len = snprintf(at, room, __VA_ARGS__);                                         \
		argv[n++] = at;                                                                    \
		at += len + 1;                                                                     \
		room -= (size_t)len + 1;                                                           \
	} while (0)
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		WORD("%s", fixed[i]);
	if (config != NULL) {
		WORD("-F");
		WORD("%s", config);
	}
	if (comma != NULL) {
		WORD("-J");
		WORD("%.*s", (int)(comma - jumps), jumps);
	}
	WORD("-W");
	WORD("[%s]:%u", host, port);
	WORD("--");
	WORD("ssh://%s", last);
#undef WORD
	return argv;
}

/* In a session of its own the command has no terminal to ask on. */
static int spawn(char *const argv[], int fd, int err_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, err_fd, STDERR_FILENO);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	rc = posix_spawnp(ret_pid, argv[0], &files, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

static int start_proxy(struct remote *r, char *const argv[], int *ret_fd, struct err *err)
{
	int fds[2];
	pid_t pid = 0;
	int rc;

	r->proxy_err = memfd_create("weir-proxy", MFD_CLOEXEC);
	if (r->proxy_err < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(err, errno, "%s: starting the proxy command", r->who);
	rc = spawn(argv, fds[1], r->proxy_err, &pid);
	(void)close(fds[1]);
	if (rc != 0) {
		(void)close(fds[0]);
		return err_sys(err, rc, "%s: starting %s for the jump host", r->who, argv[0]);
	}
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	remote_hold(r, fds[0], pid);
	*ret_fd = fds[0];
	return 0;
}

static int dial_proxy(struct remote *r, int *ret_fd, struct err *err)
{
	AUTO_FREE char *jumps = remote_jumps(r->proxy_command);
	AUTO_BUF command = BUF_INIT(COMMAND_MAX);
	char shell[] = "/bin/sh";
	char option_c[] = "-c";
	char *argv[] = { shell, option_c, NULL, NULL };
	char **jump;
	int result;

	if (jumps != NULL) {
		remote_doing(r, "connecting through %s", jumps);
		jump = remote_jump_argv(jumps, r->host, r->port, getenv("WEIR_SSH_CONFIG"));
		result = start_proxy(r, jump, ret_fd, err);
		free(jump);
		return result;
	}
	result = expand_command(r, &command, err);
	if (result < 0)
		return result;
	remote_doing(r, "connecting through the ProxyCommand");
	argv[2] = command.p;
	return start_proxy(r, argv, ret_fd, err);
}

void remote_proxy_said(struct remote *r, struct err *err)
{
	char text[200];
	char before[sizeof(err->msg)];
	AUTO_BUF shown = BUF_INIT(4 * sizeof(text));
	ssize_t n = r->proxy_err >= 0 ? pread(r->proxy_err, text, sizeof(text), 0) : 0;

	if (n <= 0 || err == NULL)
		return;
	(void)utf8_put_shown(&shown, str_from(text, (size_t)n));
	(void)snprintf(before, sizeof(before), "%s", err->msg);
	(void)snprintf(err->msg, sizeof(err->msg), "%.220s; its proxy says: %s", before,
		       buf_cstr(&shown));
}

int remote_dial(struct remote *r, struct err *err)
{
	bool proxy = r->proxy_command != NULL && strcasecmp(r->proxy_command, "none") != 0;
	int fd = -1;
	int result = proxy ? dial_proxy(r, &fd, err) : connect_host(r, &fd, err);

	if (result < 0)
		return result;
	if (!proxy)
		remote_hold(r, fd, 0);
	(void)ssh_options_set(r->session, SSH_OPTIONS_FD, &fd);
	return 0;
}
