/*
 * What the files of the SSH transport share. Nothing else includes this.
 *
 * Two threads meet in struct remote_link and nowhere else: the loop's, and the one that runs
 * libssh. Each holds one of its two references. They wake each other through the socketpair `ctl`;
 * when the loop closes its end, the thread gives up wherever it is: all its waiting looks at that
 * end, and libssh's ends because remote_cancel() shuts the connection down under it. Only a name
 * lookup, the agent and a passphrase being tried cannot be cut short: then the thread goes on alone
 * with its own memory, and ends when they are over.
 */
#ifndef CLIENT_REMOTE_INT_H
#define CLIENT_REMOTE_INT_H

#include <libssh/libssh.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "client/client.h"
#include "client/relays.h"

#define REMOTE_ANSWER_MAX 1024
#define REMOTE_TITLE_MAX 512
#define REMOTE_TEXT_MAX 1024
#define REMOTE_TRIES 3 /* of a passphrase; of what the server asks for */

struct remote_link {
	pthread_mutex_t lock; /* everything below */
	unsigned refs;
	bool cancelled;
	int ctl[2];  /* loop, thread */
	int data[2]; /* loop, thread */
	int sock;    /* a second descriptor of the connection, to shut it down; -1 */
	pid_t proxy; /* 0 */

	char doing[160];
	bool doing_new;
	bool asking;
	bool asking_new;
	enum client_question_kind kind;
	char title[REMOTE_TITLE_MAX];
	char text[REMOTE_TEXT_MAX];
	char *answer; /* wiped when it was taken */
	bool answered;
	bool open;
	bool open_new;
	bool failed_new; /* before it was open */
	bool over;
	bool final;
	struct err err; /* code 0 when the other side just ended it */
};

/* The thread's own. */
struct running;
struct remote {
	struct remote_link *link;
	struct running *running;
	struct relays_addr to;
	ssh_session session;
	ssh_channel channel;
	char host[RELAYS_HOST_MAX]; /* as it is reached: HostName of ~/.ssh/config */
	unsigned port;
	char user[RELAYS_USER_MAX];
	char who[RELAYS_USER_MAX + RELAYS_HOST_MAX]; /* "ops@mx1", for people */
	char *known_hosts;			     /* paths */
	char *proxy_command;			     /* or NULL */
	int proxy_err;				     /* what it writes to standard error; -1 */
	bool exec;	  /* over `weir stdio`, not over a forwarded socket */
	bool final;	  /* the failure needs somebody who changes something */
	bool gave_up;	  /* the person did, at a question */
	int secrets;	  /* refused by the server */
	char locked[256]; /* a key file without its passphrase; "" */
	struct buf said;  /* the command's standard error */
};

/* transport_ssh.c */
bool remote_cancelled(struct remote *r);
void remote_doing(struct remote *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Waits for the answer: true and the text, to be wiped, or false when it is refused or cancelled.
 * Bytes of the title and text may come from the server. */
bool remote_ask(struct remote *r, enum client_question_kind kind, const char *title,
		const char *text, char ret[static REMOTE_ANSWER_MAX]);
/* Waits for fd; false when cancelled. *events is what happened, 0 when the time is over. */
bool remote_wait(struct remote *r, int fd, short *events, int timeout_ms);
/*
 * libssh does not block (its blocking calls do not always notice that the server hung up). What
 * answers SSH_AGAIN or SSH_AUTH_AGAIN is called again while this is true:
 *
 *	do
 *		rc = ssh_connect(r->session);
 *	while (rc == SSH_AGAIN && remote_more(r));
 */
bool remote_more(struct remote *r);
/* The connection, or the command that makes it: to be ended when the transport is freed. */
void remote_hold(struct remote *r, int sock, pid_t proxy);
int remote_fail(struct remote *r, struct err *err, const char *doing); /* with libssh's reason */

/* remote_dial.c */
int remote_config(struct remote *r, struct err *err) MUST_CHECK;
int remote_dial(struct remote *r, struct err *err) MUST_CHECK;
/* What the proxy command complained about, for the error's text. */
void remote_proxy_said(struct remote *r, struct err *err);
/* The jumps of a ProxyJump in libssh's rendering of it: "a,b,c", or NULL; owned. */
char *remote_jumps(const char *command);
/* Its command line as it has to be, ended by NULL; owned, as one block. */
char **remote_jump_argv(const char *jumps, const char *host, unsigned port, const char *config);

/* remote_hosts.c */
int remote_check_host(struct remote *r, struct err *err) MUST_CHECK;

/* remote_auth.c */
int remote_login(struct remote *r, struct err *err) MUST_CHECK;

/* remote_pump.c */
int remote_open(struct remote *r, struct err *err) MUST_CHECK;
/* Until one side ends; *err says why if there is something to say. */
void remote_pump(struct remote *r, struct err *err);

#endif
