#include "term/crash.h"

#include <errno.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"

static struct termios crash_modes;
static volatile sig_atomic_t crash_fd = -1;

void term_put_bytes(int fd, const char *s, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(fd, s, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return; /* the terminal is gone; reading will tell */
		s += wrote;
		n -= (size_t)wrote;
	}
}

static void crash_restore(void)
{
	static const char reset[] = MODES_OFF SYNC_END "\033[0m\033[?25h\033[?1049l\r\n";

	if (crash_fd < 0)
		return;
	term_put_bytes(crash_fd, reset, sizeof(reset) - 1);
	(void)tcsetattr(crash_fd, TCSANOW, &crash_modes);
	crash_fd = -1;
}

static void on_fatal(int signo)
{
	crash_restore();
	(void)raise(signo); /* SA_RESETHAND: this time it kills */
}

void crash_arm(int fd)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND | SA_NODEFER };

	if (tcgetattr(fd, &crash_modes) < 0)
		return;
	crash_fd = fd;
	bug_hook_set(crash_restore);
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++) {
		struct sigaction old;

		/* A sanitizer's or debugger's handler stays. */
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)sigaction(fatal[i], &sa, NULL);
	}
}

void crash_disarm(void)
{
	crash_fd = -1;
	bug_hook_set(NULL);
}
