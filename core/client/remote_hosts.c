/*
 * Is it the host that it should be? libssh compares with known_hosts, but skips lines with a
 * marker: those with @revoked are looked at here, first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/remote_int.h"

#define LINE_MAX_LEN 65536
#define SYSTEM_KNOWN_HOSTS "/etc/ssh/ssh_known_hosts"

struct host_key {
	ssh_key key;
	char *fingerprint; /* "SHA256:…" */
	const char *type;
};

static int key_get(struct remote *r, struct host_key *ret, struct err *err)
{
	unsigned char *hash = NULL;
	size_t n = 0;

	if (ssh_get_server_publickey(r->session, &ret->key) != SSH_OK ||
	    ssh_get_publickey_hash(ret->key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) != 0)
		return remote_fail(r, err, "reading the host key");
	ret->fingerprint = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
	ssh_clean_pubkey_hash(&hash);
	ret->type = ssh_key_type_to_char(ssh_key_type(ret->key));
	if (ret->type == NULL)
		ret->type = "unknown type";
	return ret->fingerprint != NULL ? 0 : remote_fail(r, err, "reading the host key");
}

static void key_done(struct host_key *k)
{
	ssh_key_free(k->key);
	ssh_string_free_char(k->fingerprint);
}

/* --- @revoked --- */

/* `host` as known_hosts writes it: with the port in [host]:port unless it is 22. */
static bool revokes(const char *line, const char *host, ssh_key key)
{
	struct ssh_knownhosts_entry *entry = NULL;
	bool hit = false;

	while (*line == ' ' || *line == '\t')
		line++;
	if (strncmp(line, "@revoked", 8) != 0 || (line[8] != ' ' && line[8] != '\t'))
		return false;
	line += 8;
	while (*line == ' ' || *line == '\t')
		line++;
	if (ssh_known_hosts_parse_line(host, line, &entry) == SSH_OK && entry != NULL)
		hit = ssh_key_cmp(entry->publickey, key, SSH_KEY_CMP_PUBLIC) == 0;
	ssh_knownhosts_entry_free(entry);
	return hit;
}

static int scan(const char *path, const char *host, ssh_key key, int *ret_line, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int number = 0;
	int result = 0;

	*ret_line = 0;
	if (f == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(err, errno, "%s", path);
	while (*ret_line == 0 && (n = getline(&line, &cap, f)) >= 0) {
		number++;
		if (n > 0 && line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (n < LINE_MAX_LEN && revokes(line, host, key))
			*ret_line = number;
	}
	if (ferror(f))
		result = err_sys(err, errno, "%s", path);
	free(line);
	(void)fclose(f);
	return result;
}

static int check_revoked(struct remote *r, const struct host_key *k, struct err *err)
{
	const char *paths[] = { r->known_hosts, SYSTEM_KNOWN_HOSTS };
	char host[sizeof(r->host) + 16];

	if (r->port == 22)
		(void)snprintf(host, sizeof(host), "%s", r->host);
	else
		(void)snprintf(host, sizeof(host), "[%s]:%u", r->host, r->port);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int line = 0;
		int result = scan(paths[i], host, k->key, &line, err);

		if (result < 0)
			return result;
		if (line == 0)
			continue;
		r->final = true;
		return err_set(err, ERR_DENIED,
			       "%s: the host key %s (%s) is revoked by %s:%d: whoever has it may "
			       "pretend to be this host. Nothing was sent. Ask its administrator",
			       r->who, k->fingerprint, k->type, paths[i], line);
	}
	return 0;
}

/* --- known or not --- */

static int refuse_changed(struct remote *r, const struct host_key *k, struct err *err)
{
	char host[sizeof(r->host) + 16];

	(void)snprintf(host, sizeof(host), r->port == 22 ? "%s" : "[%s]:%u", r->host, r->port);
	r->final = true;
	return err_set(err, ERR_DENIED,
		       "%s: THE HOST KEY CHANGED: it is %s (%s) now, %s has another. Somebody may "
		       "stand in between, or the host was set up anew. Nothing was sent. Compare "
		       "with what its administrator says; if it is right, take the old one out: "
		       "ssh-keygen -R '%s'",
		       r->who, k->fingerprint, k->type, r->known_hosts, host);
}

static int refuse_other(struct remote *r, const struct host_key *k, struct err *err)
{
	r->final = true;
	return err_set(err, ERR_DENIED,
		       "%s: the host shows a key of another type than before: %s (%s), and %s has "
		       "none of that type for it. Somebody may stand in between. Nothing was sent. "
		       "Compare with what its administrator says, and add it by hand: "
		       "ssh-keyscan -t %s -p %u %s",
		       r->who, k->fingerprint, k->type, r->known_hosts, k->type, r->port, r->host);
}

static int ask_unknown(struct remote *r, const struct host_key *k, struct err *err)
{
	char title[REMOTE_TITLE_MAX];
	char text[REMOTE_TEXT_MAX];
	char answer[REMOTE_ANSWER_MAX];
	bool yes;

	(void)snprintf(title, sizeof(title), "%s: unknown host key", r->to.host);
	(void)snprintf(text, sizeof(text),
		       "%s port %u was never seen from here. Its key is\n\n  %s\n  (%s)\n\n"
		       "If it is what the host's administrator says, accept it: it will be "
		       "remembered in %s.",
		       r->host, r->port, k->fingerprint, k->type, r->known_hosts);
	yes = remote_ask(r, CLIENT_ASK_HOST_KEY, title, text, answer) && strcmp(answer, "yes") == 0;
	if (!yes) {
		r->final = true;
		return err_set(err, ERR_DENIED, "%s: its host key %s was not accepted", r->who,
			       k->fingerprint);
	}
	if (ssh_session_update_known_hosts(r->session) != SSH_OK)
		log_warn(NULL, "client.known_hosts", F_STR("path", r->known_hosts),
			 F_STR("error", "the accepted key could not be written"));
	return 0;
}

static int judge(struct remote *r, const struct host_key *k, struct err *err)
{
	switch (ssh_session_is_known_server(r->session)) {
	case SSH_KNOWN_HOSTS_OK:
		return 0;
	case SSH_KNOWN_HOSTS_CHANGED:
		return refuse_changed(r, k, err);
	case SSH_KNOWN_HOSTS_OTHER:
		return refuse_other(r, k, err);
	case SSH_KNOWN_HOSTS_NOT_FOUND:
	case SSH_KNOWN_HOSTS_UNKNOWN:
		return ask_unknown(r, k, err);
	case SSH_KNOWN_HOSTS_ERROR:
		break;
	}
	return remote_fail(r, err, "comparing the host key");
}

int remote_check_host(struct remote *r, struct err *err)
{
	struct host_key k = { .key = NULL };
	int result;

	remote_doing(r, "checking the host key of %s", r->host);
	result = key_get(r, &k, err);
	if (result >= 0)
		result = check_revoked(r, &k, err);
	if (result >= 0)
		result = judge(r, &k, err);
	key_done(&k);
	return result;
}
