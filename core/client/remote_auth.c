/*
 * Logging in: none (which tells the methods), agent and key files, keyboard-interactive, password.
 * A server may want several of them one after the other: after each partial success the rest is
 * tried again from the start. keyboard-interactive and password mostly ask for the same thing, and
 * share their tries.
 *
 * Key files are tried by libssh, which knows those of ~/.ssh/config and gives nobody the list; a
 * passphrase is tried here before libssh gets it, so that a wrong one can be asked for again. Where
 * a private key has no .pub beside it, libssh writes one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libssh/callbacks.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "client/remote_int.h"

#define STAGES_MAX 4  /* partial successes */
#define ROUNDS_MAX 20 /* of one keyboard-interactive try */

static bool again(int rc)
{
	return rc == SSH_AUTH_DENIED;
}

/* --- keys --- */

static bool opens(const char *path, const char *passphrase)
{
	ssh_key key = NULL;
	bool ok = ssh_pki_import_privkey_file(path, passphrase, NULL, NULL, &key) == SSH_OK;

	ssh_key_free(key);
	return ok;
}

static int on_passphrase(const char *prompt, char *buf, size_t len, int echo, int verify, void *arg)
{
	struct remote *r = arg;
	char title[REMOTE_TITLE_MAX];
	char answer[REMOTE_ANSWER_MAX];
	char *path = NULL;
	bool good = false;

	(void)prompt;
	(void)echo;
	(void)verify;
	if (ssh_userauth_publickey_auto_get_current_identity(r->session, &path) != SSH_OK)
		return -1;
	(void)snprintf(title, sizeof(title), "%s: passphrase of %s", r->who, path);
	for (int i = 0; i < REMOTE_TRIES && !good; i++) {
		if (!remote_ask(r, CLIENT_ASK_SECRET, title,
				i == 0 ? "" : "That was not the passphrase of this key.", answer))
			break;
		good = strlen(answer) < len && opens(path, answer);
		if (good)
			(void)snprintf(buf, len, "%s", answer);
		explicit_bzero(answer, sizeof(answer));
	}
	if (!good)
		(void)snprintf(r->locked, sizeof(r->locked), "%s", path);
	ssh_string_free_char(path);
	return good ? 0 : -1;
}

static int try_keys(struct remote *r, struct err *err)
{
	struct ssh_callbacks_struct callbacks = { .userdata = r, .auth_function = on_passphrase };
	int rc;

	(void)err;
	ssh_callbacks_init(&callbacks);
	(void)ssh_set_callbacks(r->session, &callbacks);
	do
		rc = ssh_userauth_publickey_auto(r->session, NULL, NULL);
	while (rc == SSH_AUTH_AGAIN && remote_more(r));
	(void)ssh_set_callbacks(r->session, NULL);
	return rc;
}

/* --- keyboard-interactive --- */

static void round_text(struct remote *r, char *to, size_t n)
{
	const char *name = ssh_userauth_kbdint_getname(r->session);
	const char *instruction = ssh_userauth_kbdint_getinstruction(r->session);

	name = name != NULL ? name : "";
	instruction = instruction != NULL ? instruction : "";
	(void)snprintf(to, n, "%s%s%s", name, name[0] != '\0' && instruction[0] != '\0' ? "\n" : "",
		       instruction);
}

/* A round may have no prompt at all; it is answered all the same. */
static bool answer_round(struct remote *r, const char *note)
{
	int n = ssh_userauth_kbdint_getnprompts(r->session);
	char text[REMOTE_TEXT_MAX];
	char title[REMOTE_TITLE_MAX];
	char answer[REMOTE_ANSWER_MAX];

	round_text(r, text, sizeof(text));
	if (note[0] != '\0')
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			       text[0] != '\0' ? "\n" : "", note);
	for (int i = 0; i < n; i++) {
		char echo = 0;
		const char *prompt = ssh_userauth_kbdint_getprompt(r->session, (unsigned)i, &echo);
		struct str p = str_trim(str_of(prompt != NULL ? prompt : ""));
		int rc;

		if (p.n > 0 && p.p[p.n - 1] == ':')
			p.n--;
		(void)snprintf(title, sizeof(title), "%s: %.*s", r->who, STR_ARG(p));
		if (!remote_ask(r, echo ? CLIENT_ASK_TEXT : CLIENT_ASK_SECRET, title, text, answer))
			return false;
		rc = ssh_userauth_kbdint_setanswer(r->session, (unsigned)i, answer);
		explicit_bzero(answer, sizeof(answer));
		if (rc < 0)
			return false;
	}
	return true;
}

static int interactive(struct remote *r)
{
	int rc;

	do
		rc = ssh_userauth_kbdint(r->session, NULL, NULL);
	while (rc == SSH_AUTH_AGAIN && remote_more(r));
	return rc;
}

static int try_interactive(struct remote *r, struct err *err)
{
	int rc = SSH_AUTH_DENIED;

	(void)err;
	for (int i = 0; r->secrets < REMOTE_TRIES && again(rc); i++) {
		int rounds = 0;

		rc = interactive(r);
		while (rc == SSH_AUTH_INFO && rounds++ < ROUNDS_MAX) {
			if (!answer_round(r, i > 0 ? "That was refused." : "")) {
				r->gave_up = true;
				return SSH_AUTH_DENIED;
			}
			remote_doing(r, "logging in as %s", r->user);
			rc = interactive(r);
		}
		if (rounds == 0)
			break; /* it does not even ask */
		r->secrets++;
	}
	return rc;
}

/* --- password --- */

static int try_password(struct remote *r, struct err *err)
{
	char title[REMOTE_TITLE_MAX];
	char answer[REMOTE_ANSWER_MAX];
	int rc = SSH_AUTH_DENIED;

	(void)err;
	(void)snprintf(title, sizeof(title), "%s: password", r->who);
	for (; r->secrets < REMOTE_TRIES && again(rc); r->secrets++) {
		if (!remote_ask(r, CLIENT_ASK_SECRET, title,
				r->secrets > 0 ? "That was refused." : "", answer)) {
			r->gave_up = true;
			return SSH_AUTH_DENIED;
		}
		remote_doing(r, "logging in as %s", r->user);
		do
			rc = ssh_userauth_password(r->session, NULL, answer);
		while (rc == SSH_AUTH_AGAIN && remote_more(r));
		explicit_bzero(answer, sizeof(answer));
	}
	return rc;
}

/* --- all of them --- */

static const struct method {
	int bit;
	const char *name;
	int (*try)(struct remote *r, struct err *err);
} methods[] = {
	{ SSH_AUTH_METHOD_PUBLICKEY, "publickey", try_keys },
	{ SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive", try_interactive },
	{ SSH_AUTH_METHOD_PASSWORD, "password", try_password },
};

static int refused(struct remote *r, int offered, struct err *err)
{
	AUTO_BUF names = BUF_INIT(256);

	r->final = true;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if ((offered & methods[i].bit) != 0)
			(void)buf_printf(&names, "%s%s", names.n > 0 ? ", " : "", methods[i].name);
	if (r->gave_up)
		return err_set(err, ERR_DENIED, "%s: not logged in: the question was not answered",
			       r->who);
	if (r->locked[0] != '\0')
		return err_set(err, ERR_DENIED,
			       "%s: not let in (the host takes %s): %s stayed locked, its "
			       "passphrase was not given",
			       r->who, buf_cstr(&names), r->locked);
	return err_set(err, ERR_DENIED,
		       "%s: not let in (the host takes %s). Is the account right, is the key "
		       "loaded (ssh-add -l), does `ssh %s` work?",
		       r->who, names.n > 0 ? buf_cstr(&names) : "nothing that is known here",
		       r->who);
}

/* One stage: the first method that gets anywhere. */
static int stage(struct remote *r, int offered, struct err *err)
{
	int rc = SSH_AUTH_DENIED;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if ((offered & methods[i].bit) == 0)
			continue;
		rc = methods[i].try(r, err);
		if (rc == SSH_AUTH_SUCCESS || rc == SSH_AUTH_PARTIAL || r->gave_up ||
		    remote_cancelled(r) || !ssh_is_connected(r->session))
			break;
	}
	return rc;
}

int remote_login(struct remote *r, struct err *err)
{
	int offered;
	int rc;

	remote_doing(r, "logging in as %s", r->user);
	do
		rc = ssh_userauth_none(r->session, NULL);
	while (rc == SSH_AUTH_AGAIN && remote_more(r));
	offered = ssh_userauth_list(r->session, NULL);
	for (int i = 0; i < STAGES_MAX && rc != SSH_AUTH_SUCCESS; i++) {
		rc = stage(r, offered, err);
		if (rc != SSH_AUTH_PARTIAL)
			break;
		r->secrets = 0;
		offered = ssh_userauth_list(r->session, NULL);
	}
	if (rc == SSH_AUTH_SUCCESS)
		return 0;
	r->final = r->secrets > 0; /* the same answers are not to be asked for again and again */
	if (!ssh_is_connected(r->session) || rc == SSH_AUTH_ERROR || rc == SSH_AUTH_AGAIN)
		return remote_fail(r, err, "logging in");
	return refused(r, offered, err);
}
