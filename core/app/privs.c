/*
 * The order matters: directory, groups, group, account. A process that is not root and is told to
 * be somebody else says so instead of running as whoever it is.
 */
#include "app/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

void privs_limits(void)
{
	struct rlimit files, none = { 0, 0 };

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)umask(077);
}

static int make_dir(const char *dir, const struct passwd *pw, struct err *err)
{
	struct stat st;

	if (mkdir(dir, 0700) == 0) {
		if (pw != NULL && chown(dir, pw->pw_uid, pw->pw_gid) != 0)
			return err_sys(err, errno, "giving %s to %s", dir, pw->pw_name);
		return 0;
	}
	if (errno != EEXIST)
		return err_sys(err, errno, "making the state directory %s", dir);
	if (stat(dir, &st) != 0)
		return err_sys(err, errno, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFIG, "%s is not a directory; state-dir names one", dir);
	return 0;
}

int privs_become(const char *user, const char *dir, struct err *err)
{
	const struct passwd *pw = NULL;
	int rc;

	if (user != NULL) {
		pw = getpwnam(user); /* at start: may block */
		if (pw == NULL)
			return err_set(err, ERR_CONFIG,
				       "there is no account %s; `user` names the one to become",
				       user);
		if (geteuid() != 0 && geteuid() != pw->pw_uid)
			return err_set(err, ERR_CONFIG,
				       "only root can become %s; start it as root or as %s", user,
				       user);
	}
	rc = make_dir(dir, pw, err);
	if (rc == 0 && pw != NULL && geteuid() != pw->pw_uid &&
	    (initgroups(pw->pw_name, pw->pw_gid) != 0 ||
	     setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	     setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0))
		rc = err_sys(err, errno, "becoming %s", user);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (rc == 0 && access(dir, R_OK | W_OK | X_OK) != 0)
		rc = err_sys(err, errno, "the state directory %s", dir);
	return rc;
}

int privs_lock(const char *dir, int *ret_fd, struct err *err)
{
	AUTO_BUF path = BUF_INIT(4096);
	int fd, rc = 0;

	(void)buf_printf(&path, "%s/lock", dir);
	fd = open(buf_cstr(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s", buf_cstr(&path));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		rc = errno == EWOULDBLOCK
			     ? err_set(err, ERR_CONFIG,
				       "another weir-relayd runs on %s; each needs a state-dir of "
				       "its own",
				       dir)
			     : err_sys(err, errno, "locking %s", buf_cstr(&path));
	if (rc < 0)
		(void)close(fd);
	else
		*ret_fd = fd;
	return rc;
}
