/*
 * The socket and its connections. Requests go to call.c, subscriptions are in subs.c.
 *
 * The socket's file is made under a tight umask and opened up afterwards, so that nobody can
 * connect before mode and group are right. An old file is taken away only when it is a socket and
 * nobody answers on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/accounts.h"
#include "ctl/ctl_int.h"

#define BACKLOG 64
#define LINGER_MS 500
#define GROUPS_MAX 1024

/* ---- who it is ---- */

static bool has_uid(const struct ctl_role_rule *r, uid_t uid)
{
	for (size_t i = 0; i < r->uids_n; i++)
		if (r->uids[i] == uid)
			return true;
	return false;
}

static bool has_gid(const struct ctl_role_rule *r, const gid_t *gids, size_t n)
{
	for (size_t i = 0; i < r->gids_n; i++)
		for (size_t j = 0; j < n; j++)
			if (r->gids[i] == gids[j])
				return true;
	return false;
}

enum access ctl_role_of(const struct ctl_role_rule rules[static ACCESS__COUNT], uid_t uid,
			const gid_t *gids, size_t gids_n)
{
	if (uid == 0 || uid == geteuid())
		return ACCESS_ADMIN;
	for (int r = ACCESS_ADMIN; r > ACCESS_NONE; r--)
		if (has_uid(&rules[r], uid) || has_gid(&rules[r], gids, gids_n))
			return (enum access)r;
	return ACCESS_NONE;
}

/* sshd holds the other end of a forwarded socket; whom it serves, its kernel does not tell. */
static const char *where_from(pid_t pid)
{
	char path[64];
	char name[32] = "";
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, sizeof(name) - 1);
		(void)close(fd);
	}
	return n >= 4 && memcmp(name, "sshd", 4) == 0 ? "ssh" : "local";
}

/* All but the account's name. */
static bool identify(struct ctl *c, int fd, struct ctl_caller *ret)
{
	struct ctl_role_rule rules[ACCESS__COUNT] = { 0 };
	struct ucred cred;
	socklen_t n = sizeof(cred);
	gid_t gids[GROUPS_MAX];
	socklen_t gids_size = sizeof(gids) - sizeof(gids[0]);
	size_t gids_n;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &gids_size) != 0)
		gids_size = 0;
	gids_n = gids_size / sizeof(gids[0]);
	gids[gids_n++] = cred.gid;
	for (int r = 0; r < ACCESS__COUNT; r++)
		if (c->cfg.roles[r] != NULL)
			rules[r] = *c->cfg.roles[r];
	*ret = (struct ctl_caller){ .uid = cred.uid };
	ret->role = ctl_role_of(rules, cred.uid, gids, gids_n);
	(void)snprintf(ret->from_where, sizeof(ret->from_where), "%s", where_from(cred.pid));
	return true;
}

/* ---- connections ---- */

struct ctl_conn *ctl_conn_find(struct ctl *c, uint64_t id)
{
	struct ctl_conn *conn;

	LIST_FOREACH (conn, &c->conns, link)
		if (conn->id == id)
			return conn;
	return NULL;
}

static void conn_free(struct ctl_conn **connp)
{
	struct ctl_conn *conn = *connp;
	struct ctl *c = conn->ctl;

	*connp = NULL;
	ctl_subs_drop(conn);
	LIST_REMOVE(conn, link);
	ctl_calls_drop(conn);
	if (c->services->gone != NULL)
		c->services->gone(c->env, conn->id);
	stream_free(&conn->stream);
	c->conns_n--;
	if (c->listener != NULL)
		listener_resume(c->listener);
	conn->magic = 0;
	free(conn);
}

void ctl_send(struct ctl_conn *conn, struct str line)
{
	if (stream_closing(conn->stream))
		return;
	if (!stream_write(conn->stream, line.p, line.n)) {
		log_warn(conn->who.user, "ctl.slow", F_U64("unread", stream_pending(conn->stream)));
		stream_close(conn->stream, 0);
	}
}

void ctl_send_error(struct ctl_conn *conn, uint64_t id, const struct err *err)
{
	AUTO_BUF b = BUF_INIT(8192);

	if (proto_put_error(&b, id, err))
		ctl_send(conn, buf_str(&b));
}

static void refuse_line(struct ctl_conn *conn)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_LIMIT, "a request has at most %u bytes", PROTO_REQUEST_MAX);
	ctl_send_error(conn, 0, &err);
	stream_close(conn->stream, LINGER_MS);
}

/* Above the mark nothing more is taken until the peer has read its answers. */
static bool hold_up(struct ctl_conn *conn)
{
	if (!conn->held_up && stream_pending(conn->stream) > CTL_OUT_HIGH) {
		conn->held_up = true;
		stream_pause(conn->stream, true);
	}
	return conn->held_up;
}

static size_t on_data(void *arg, struct str in)
{
	struct ctl_conn *conn = OBJ(ctl_conn, CTL_CONN_MAGIC, arg);
	size_t taken = 0;

	while (!stream_closing(conn->stream) && !hold_up(conn)) {
		struct str rest = str_from(in.p + taken, in.n - taken);
		ptrdiff_t end = str_index(rest, '\n');
		if (end > (ptrdiff_t)PROTO_REQUEST_MAX || (end < 0 && rest.n > PROTO_REQUEST_MAX)) {
			refuse_line(conn);
			return in.n;
		}
		if (end < 0)
			break;
		taken += (size_t)end + 1;
		if (end > 0 && rest.p[end - 1] == '\r')
			end--;
		if (end > 0)
			ctl_take_line(conn, str_from(rest.p, (size_t)end));
	}
	return taken;
}

static void on_drain(void *arg)
{
	struct ctl_conn *conn = OBJ(ctl_conn, CTL_CONN_MAGIC, arg);

	if (conn->held_up) {
		conn->held_up = false;
		stream_pause(conn->stream, false);
	}
}

static void on_end(void *arg)
{
	struct ctl_conn *conn = OBJ(ctl_conn, CTL_CONN_MAGIC, arg);

	conn->ended = true;
	ctl_subs_drop(conn);
	if (conn->calls == 0)
		stream_close(conn->stream, 0);
}

static void on_closed(void *arg, const struct err *err)
{
	struct ctl_conn *conn = OBJ(ctl_conn, CTL_CONN_MAGIC, arg);

	log_debug(conn->who.user, "ctl.closed", F_STR("error", err->msg));
	conn_free(&conn);
}

static const struct stream_ops conn_stream = {
	.name = "ctl.conn",
	.in_limit = PROTO_REQUEST_MAX + STREAM_READ_SIZE + 2,
	.out_limit = CTL_OUT_MAX,
	.high = CTL_OUT_HIGH,
	.low = CTL_PUSH_HIGH,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_end = on_end,
	.on_drain = on_drain,
};

static void greet(struct ctl_conn *conn)
{
	AUTO_BUF b = BUF_INIT(4096);
	char now[FMT_TIME_LEN];
	json_t *p;

	fmt_time(loop_wall_ms(conn->ctl->loop), now);
	p = json_pack("{s:i, s:s, s:s, s:s, s:s, s:[s,s,s], s:s}", "protocol", PROTO_VERSION,
		      "relay", conn->ctl->cfg.relay, "version", conn->ctl->cfg.version, "role",
		      access_name(conn->who.role), "user", conn->who.user, "features", "plan",
		      "undo", "subscribe", "now_at", now);
	if (p != NULL && proto_put_notify(&b, "hello", p))
		ctl_send(conn, buf_str(&b));
	json_decref(p);
}

static int admit(const struct ctl *c, const struct ctl_caller *who, struct err *err)
{
	const struct ctl_conn *conn;
	unsigned same = 0;

	if (who->role == ACCESS_NONE)
		return err_set(err, ERR_DENIED,
			       "the account %s has no role on this relay: the configuration's role "
			       "sections name users and groups",
			       who->user);
	LIST_FOREACH (conn, &c->conns, link)
		same += conn->who.uid == who->uid;
	if (same > CTL_CONNS_UID)
		return err_set(err, ERR_LIMIT, "the account %s has %d connections already",
			       who->user, CTL_CONNS_UID);
	return 0;
}

void ctl_serve(struct ctl *c, int fd, const struct ctl_caller *who)
{
	struct ctl_conn *conn = xcalloc(1, sizeof(*conn));
	struct err err = ERR_INIT;

	conn->magic = CTL_CONN_MAGIC;
	conn->id = ++c->last_id;
	conn->ctl = c;
	conn->who = *who;
	LIST_INIT(&conn->subs);
	LIST_INSERT_HEAD(&c->conns, conn, link);
	c->conns_n++;
	conn->stream = stream_new(c->loop, fd, &conn_stream, conn);
	if (admit(c, who, &err) < 0) {
		if (log_limited("ctl.refused"))
			log_warn(who->user, "ctl.refused", F_STR("error", err.msg));
		ctl_send_error(conn, 0, &err);
		stream_close(conn->stream, LINGER_MS);
		return;
	}
	log_debug(who->user, "ctl.open", F_STR("role", access_name(who->role)),
		  F_STR("from", who->from_where));
	greet(conn);
}

/* ---- connections whose account has no name yet ---- */

struct ctl_arrival {
	LIST_ENTRY(ctl_arrival) link;
	int fd;
	struct ctl_caller who;
};

static bool has_room(const struct ctl *c)
{
	return c->conns_n + c->arrivals_n < CTL_CONNS_MAX;
}

static struct ctl_arrival *arrival_of(const struct ctl *c, uid_t uid)
{
	struct ctl_arrival *x;

	LIST_FOREACH (x, &c->arrivals, link)
		if (x->who.uid == uid)
			return x;
	return NULL;
}

static void arrival_free(struct ctl *c, struct ctl_arrival **xp)
{
	LIST_REMOVE(*xp, link);
	c->arrivals_n--;
	free(*xp);
	*xp = NULL;
}

static void on_name(void *arg, uid_t uid, const char *name)
{
	struct ctl *c = OBJ(ctl, CTL_MAGIC, arg);
	struct ctl_arrival *x;

	while ((x = arrival_of(c, uid)) != NULL) {
		struct ctl_caller who = x->who;
		int fd = x->fd;
		arrival_free(c, &x);
		(void)snprintf(who.user, sizeof(who.user), "%s", name);
		ctl_serve(c, fd, &who);
	}
	if (c->listener != NULL && has_room(c))
		listener_resume(c->listener);
}

static void arrive(struct ctl *c, int fd, const struct ctl_caller *who)
{
	struct ctl_arrival *x = xcalloc(1, sizeof(*x));

	x->fd = fd;
	x->who = *who;
	LIST_INSERT_HEAD(&c->arrivals, x, link);
	c->arrivals_n++;
	accounts_ask(c->accounts, who->uid);
}

static bool on_accept(int fd, const struct netaddr *peer, void *arg)
{
	struct ctl *c = OBJ(ctl, CTL_MAGIC, arg);
	struct ctl_caller who;
	const char *name;

	(void)peer;
	if (!identify(c, fd, &who)) {
		(void)close(fd);
		return has_room(c);
	}
	name = accounts_name(c->accounts, who.uid);
	if (name != NULL) {
		(void)snprintf(who.user, sizeof(who.user), "%s", name);
		ctl_serve(c, fd, &who);
	} else {
		arrive(c, fd, &who);
	}
	return has_room(c);
}

/* Those that are sure to come are asked for before anybody waits. */
static void know_accounts(struct ctl *c)
{
	accounts_know(c->accounts, 0);
	if (geteuid() != 0)
		accounts_know(c->accounts, geteuid());
	for (int r = 0; r < ACCESS__COUNT; r++)
		for (size_t i = 0; c->cfg.roles[r] != NULL && i < c->cfg.roles[r]->uids_n; i++)
			accounts_know(c->accounts, c->cfg.roles[r]->uids[i]);
}

/* ---- the socket's file ---- */

static int config_error(struct err *err, int errnum, const char *what, const char *path)
{
	(void)err_sys(err, errnum, "%s control socket %s", what, path);
	if (err != NULL)
		err->code = ERR_CONFIG;
	return -ERR_CONFIG;
}

static int clear_path(const struct sockaddr_un *at, struct err *err)
{
	struct stat st;
	int fd;
	int errnum;

	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : config_error(err, errno, "looking at", at->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFIG,
			       "%s is in the way of the control socket and is not a socket",
			       at->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return config_error(err, errno, "making", at->sun_path);
	errnum = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? 0 : errno;
	(void)close(fd);
	if (errnum == 0 || errnum == EAGAIN)
		return err_set(err, ERR_CONFIG, "another relay answers on the control socket %s",
			       at->sun_path);
	if (errnum != ECONNREFUSED)
		return config_error(err, errnum, "asking at", at->sun_path);
	if (unlink(at->sun_path) != 0 && errno != ENOENT)
		return config_error(err, errno, "replacing", at->sun_path);
	return 0;
}

static int open_up(struct ctl *c, int fd, const char *path, struct err *err)
{
	struct stat st;

	if (c->cfg.group != (gid_t)-1 && chown(path, (uid_t)-1, c->cfg.group) != 0)
		return config_error(err, errno, "giving its group to", path);
	if (chmod(path, c->cfg.mode) != 0 || lstat(path, &st) != 0)
		return config_error(err, errno, "setting the mode of", path);
	if (listen(fd, BACKLOG) != 0)
		return config_error(err, errno, "listening on", path);
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static int listen_at(struct ctl *c, const char *path, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t before;
	int fd;
	int rc;

	if (strlen(path) >= sizeof(at.sun_path))
		return err_set(err, ERR_CONFIG,
			       "the control socket's path has %zu bytes; %zu are possible: %s",
			       strlen(path), sizeof(at.sun_path) - 1, path);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (clear_path(&at, err) < 0)
		return -ERR_CONFIG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return config_error(err, errno, "making", path);
	before = umask(0177);
	rc = bind(fd, (const struct sockaddr *)&at, sizeof(at));
	(void)umask(before);
	if (rc != 0) {
		rc = config_error(err, errno, "binding", path);
		(void)close(fd);
		return rc;
	}
	rc = open_up(c, fd, path, err);
	if (rc < 0) {
		(void)close(fd);
		(void)unlink(path);
		return rc;
	}
	c->listener = listener_adopt(c->loop, fd, on_accept, c);
	return 0;
}

/* Another process may have put its own socket there meanwhile. */
static void remove_path(const struct ctl *c)
{
	struct stat st;

	if (c->cfg.path != NULL && c->listener != NULL && lstat(c->cfg.path, &st) == 0 &&
	    st.st_dev == c->dev && st.st_ino == c->ino)
		(void)unlink(c->cfg.path);
}

int ctl_new(struct loop *l, const struct ctl_config *cfg, const struct ctl_services *services,
	    void *env, struct ctl **ret_ctl, struct err *err)
{
	struct ctl *c = xcalloc(1, sizeof(*c));

	c->magic = CTL_MAGIC;
	c->loop = l;
	c->cfg = *cfg;
	c->services = services;
	c->env = env;
	LIST_INIT(&c->conns);
	LIST_INIT(&c->calls);
	LIST_INIT(&c->arrivals);
	c->accounts = accounts_new(l, NULL, on_name, c);
	know_accounts(c);
	if (cfg->path != NULL && listen_at(c, cfg->path, err) < 0) {
		ctl_free(&c);
		return -ERR_CONFIG;
	}
	*ret_ctl = c;
	return 0;
}

void ctl_free(struct ctl **cp)
{
	struct ctl *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	*cp = NULL;
	remove_path(c);
	listener_free(&c->listener);
	accounts_free(&c->accounts);
	while (!LIST_EMPTY(&c->arrivals)) {
		struct ctl_arrival *x = LIST_FIRST(&c->arrivals);
		(void)close(x->fd);
		arrival_free(c, &x);
	}
	while (!LIST_EMPTY(&c->conns)) {
		struct ctl_conn *conn = LIST_FIRST(&c->conns);
		conn_free(&conn);
	}
	while (!LIST_EMPTY(&c->calls)) {
		struct ctl_call *call = LIST_FIRST(&c->calls);
		ctl_call_free(&call);
	}
	ctl_subs_done(c);
	c->magic = 0;
	free(c);
}
