/*
 * libgsasl parses and makes the messages; whether a secret is the right one is found out here.
 *
 * PLAIN and LOGIN: its callback only notes name and secret, and says yes; then a worker derives the
 * keys of what was given, with the salt that the name has or would have, and the loop compares.
 * The job owns all that it needs; when the exchange is freed meanwhile, its result goes nowhere.
 *
 * SCRAM: the callback gives salt and keys. With several secrets the proof tells which one the
 * client has: it is looked for before libgsasl checks it, with the messages that went over the
 * wire.
 */
#include "policy/sasl.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"

#define SASL_MAGIC 0x5a7b3001u
#define SASL_JOB_MAGIC 0x5a7b3002u
#define NAME_MAX 255  /* of what a client calls itself; longer names are nobody's */
#define TEXT_MAX 8192 /* of a message that is kept */
#define PROOF ",p="

struct sasl_server {
	struct loop *loop;
	struct creds *creds;
	Gsasl *gsasl;
	unsigned jobs;
	bool freed;
};

struct job {
	uint32_t magic;
	struct sasl_server *server;
	struct sasl *exchange; /* NULL: freed */
	struct secret secret;
	uint8_t salt[CRED_SALT_LEN];
	struct cred_keys keys;
};

struct sasl {
	uint32_t magic;
	struct sasl_server *server;
	Gsasl_session *session;
	struct ipaddr client;
	sasl_fn *fn;
	void *arg;
	bool login;
	bool scram;
	bool for_another; /* it asks to act for somebody else, which is nobody's right */
	bool asked;	  /* LOGIN: for the name */
	unsigned steps;	  /* of SCRAM */
	char name[NAME_MAX + 1];
	char secret_id[CRED_ID_LEN]; /* of SCRAM: whose keys were given */
	struct buf client_first;     /* bare */
	struct buf server_first;
	struct str final;    /* the client's; while it is checked */
	struct secret given; /* PLAIN, LOGIN: to be checked */
	struct job *job;
};

bool sasl_knows(struct str mechanism)
{
	struct str rest = STR(SASL_MECHANISMS);

	while (rest.n > 0)
		if (str_eq_nocase(str_cut(&rest, ' '), mechanism))
			return true;
	return false;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answer(struct sasl *x, enum sasl_outcome outcome, struct str challenge, const char *why)
{
	const struct cred *c = creds_find(x->server->creds, str_of(x->name));
	struct sasl_answer a = { .outcome = outcome,
				 .challenge = challenge,
				 .name = c != NULL ? c->name : NULL,
				 .secret = x->secret_id,
				 .why = why };

	x->fn(x->arg, &a);
}

/* The secret was right: the rest of what has to fit. NULL when it does. */
static const char *objection(const struct sasl *x, const struct cred *c,
			     const struct cred_secret *s)
{
	const char *why = cred_objection(c, s, loop_wall_ms(x->server->loop));

	if (x->for_another)
		return "it asks to act for somebody else";
	if (why == NULL && !cred_in_networks(c, &x->client))
		why = "the client is outside of the credential's networks";
	return why;
}

static void decide(struct sasl *x, const struct cred_secret *s, struct str challenge)
{
	const struct cred *c = creds_find(x->server->creds, str_of(x->name));
	const char *why;

	(void)snprintf(x->secret_id, sizeof(x->secret_id), "%s", s != NULL ? s->id : "");
	if (c == NULL || s == NULL)
		why = c == NULL ? "no such credential" : "wrong secret";
	else
		why = objection(x, c, s);
	if (why != NULL) {
		answer(x, SASL_REFUSED, STR(""), why);
		return;
	}
	answer(x, SASL_DONE, challenge, NULL);
}

/* --- secrets in the clear --------------------------------------------------------------------- */

static void work(void *arg)
{
	struct job *j = OBJ(job, SASL_JOB_MAGIC, arg);

	cred_derive(str_from(j->secret.p, j->secret.n), j->salt, &j->keys);
}

static const struct cred_secret *whose(const struct cred *c, const struct cred_keys *keys)
{
	const struct cred_secret *found = NULL;

	for (size_t i = 0; c != NULL && i < c->n_secrets; i++)
		if (digest_equal(c->secrets[i].keys.stored, keys->stored, DIGEST_LEN))
			found = &c->secrets[i];
	return found;
}

static void on_worked(void *arg)
{
	struct job *j = OBJ(job, SASL_JOB_MAGIC, arg);
	struct sasl_server *server = j->server;
	struct sasl *x = j->exchange;
	struct cred_keys keys = j->keys;

	secret_done(&j->secret);
	secret_wipe(&j->keys, sizeof(j->keys));
	j->magic = 0;
	free(j);
	server->jobs--;
	if (x != NULL) {
		x->job = NULL;
		decide(x, whose(creds_find(server->creds, str_of(x->name)), &keys), STR(""));
	} else if (server->freed && server->jobs == 0) {
		free(server);
	}
	secret_wipe(&keys, sizeof(keys));
}

static void check_given(struct sasl *x)
{
	struct sasl_server *server = x->server;
	struct job *j;

	if (server->jobs >= SASL_JOBS_MAX) {
		secret_done(&x->given);
		answer(x, SASL_BUSY, STR(""), "too many secrets are being checked");
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->magic = SASL_JOB_MAGIC;
	j->server = server;
	j->exchange = x;
	j->secret = x->given;
	x->given = (struct secret){ .n = 0 };
	creds_salt(server->creds, str_of(x->name), j->salt);
	x->job = j;
	server->jobs++;
	(void)loop_job_start(server->loop, "sasl", work, on_worked, j);
}

/* --- libgsasl asks ---------------------------------------------------------------------------- */

/* A name that is too long is treated as one that is not known. */
static void note_name(struct sasl *x, Gsasl_session *session)
{
	const char *name = gsasl_property_fast(session, GSASL_AUTHID);
	const char *other = gsasl_property_fast(session, GSASL_AUTHZID);

	(void)snprintf(x->name, sizeof(x->name), "%s", name != NULL ? name : "");
	if (name == NULL || strlen(name) > NAME_MAX)
		(void)snprintf(x->name, sizeof(x->name), "?");
	x->for_another = other != NULL && other[0] != '\0' && strcmp(other, x->name) != 0;
}

static int take_given(struct sasl *x, Gsasl_session *session)
{
	const char *secret = gsasl_property_fast(session, GSASL_PASSWORD);

	note_name(x, session);
	secret_set(&x->given, str_of(secret != NULL ? secret : ""));
	return GSASL_OK;
}

static int set_base64(Gsasl_session *session, Gsasl_property p, const uint8_t *bytes, size_t n)
{
	AUTO_BUF text = BUF_INIT(200);

	(void)base64_put(&text, str_from((const char *)bytes, n));
	return gsasl_property_set(session, p, buf_cstr(&text));
}

static int give_salt(struct sasl *x, Gsasl_session *session)
{
	uint8_t salt[CRED_SALT_LEN];

	note_name(x, session);
	creds_salt(x->server->creds, str_of(x->name), salt);
	return set_base64(session, GSASL_SCRAM_SALT, salt, sizeof(salt));
}

static int give_iterations(Gsasl_session *session)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", CRED_ITERATIONS);
	return gsasl_property_set(session, GSASL_SCRAM_ITER, text);
}

/* Whether the client's proof is that of somebody who knows the secret behind these keys. */
static bool proves(const struct sasl *x, struct str unproved, const uint8_t *proof,
		   const struct cred_keys *keys)
{
	AUTO_BUF text = BUF_INIT(3 * TEXT_MAX);
	uint8_t client[DIGEST_LEN];
	uint8_t stored[DIGEST_LEN];

	(void)buf_put_str(&text, buf_str(&x->client_first));
	(void)buf_putc(&text, ',');
	(void)buf_put_str(&text, buf_str(&x->server_first));
	(void)buf_putc(&text, ',');
	(void)buf_put_str(&text, unproved);
	digest_hmac(keys->stored, DIGEST_LEN, buf_str(&text), client);
	for (size_t i = 0; i < DIGEST_LEN; i++)
		client[i] ^= proof[i];
	digest_sha256(str_from((const char *)client, sizeof(client)), stored);
	secret_wipe(client, sizeof(client));
	return digest_equal(stored, keys->stored, DIGEST_LEN);
}

/* The proof is at the end of the client's last message; false when there is none. */
static bool find_proof(struct str final, struct str *ret_unproved, uint8_t ret_proof[DIGEST_LEN])
{
	AUTO_BUF proof = BUF_INIT(DIGEST_LEN + 3);

	for (size_t i = final.n; i-- > 0;) {
		struct str part = str_from(final.p + i, final.n - i);
		if (!str_starts(part, STR(PROOF)))
			continue;
		part = str_from(part.p + sizeof(PROOF) - 1, part.n - (sizeof(PROOF) - 1));
		if (!base64_read(&proof, part) || proof.n != DIGEST_LEN)
			return false;
		memcpy(ret_proof, proof.p, DIGEST_LEN);
		*ret_unproved = str_from(final.p, i);
		return true;
	}
	return false;
}

/* Does the same for a name that is not known as for one that has a secret. */
static void choose_keys(struct sasl *x, struct cred_keys *ret)
{
	const struct cred *c = creds_find(x->server->creds, str_of(x->name));
	size_t n = c != NULL ? c->n_secrets : 1;
	uint8_t proof[DIGEST_LEN];
	struct str unproved;

	creds_no_keys(x->server->creds, str_of(x->name), ret);
	if (!find_proof(x->final, &unproved, proof))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct cred_keys *keys = c != NULL ? &c->secrets[i].keys : ret;
		if (!proves(x, unproved, proof, keys) || c == NULL)
			continue;
		*ret = *keys;
		(void)snprintf(x->secret_id, sizeof(x->secret_id), "%s", c->secrets[i].id);
	}
}

static int give_key(struct sasl *x, Gsasl_session *session, Gsasl_property p)
{
	struct cred_keys keys;
	int rc;

	choose_keys(x, &keys);
	rc = set_base64(session, p, p == GSASL_SCRAM_STOREDKEY ? keys.stored : keys.server,
			DIGEST_LEN);
	secret_wipe(&keys, sizeof(keys));
	return rc;
}

static int on_asked(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
	struct sasl *x = OBJ(sasl, SASL_MAGIC, gsasl_session_hook_get(session));

	(void)g;
	/* an enumeration of libgsasl's with hundreds of values */
	if (p == GSASL_VALIDATE_SIMPLE)
		return take_given(x, session);
	if (p == GSASL_SCRAM_SALT)
		return give_salt(x, session);
	if (p == GSASL_SCRAM_ITER)
		return give_iterations(session);
	if (p == GSASL_SCRAM_STOREDKEY || p == GSASL_SCRAM_SERVERKEY)
		return give_key(x, session, p);
	return GSASL_NO_CALLBACK;
}

/* --- exchanges -------------------------------------------------------------------------------- */

struct sasl_server *sasl_server_new(struct loop *l, struct creds *c)
{
	struct sasl_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->creds = c;
	if (gsasl_init(&s->gsasl) != GSASL_OK)
		BUG("no libgsasl");
	gsasl_callback_set(s->gsasl, on_asked);
	return s;
}

void sasl_server_free(struct sasl_server **sp)
{
	struct sasl_server *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	*sp = NULL;
	gsasl_done(s->gsasl);
	s->gsasl = NULL;
	s->freed = true;
	if (s->jobs == 0)
		free(s);
}

unsigned sasl_jobs(const struct sasl_server *s)
{
	return s->jobs;
}

struct sasl *sasl_start(struct sasl_server *s, struct str mechanism, const struct ipaddr *client,
			sasl_fn *fn, void *arg)
{
	struct sasl *x;
	char name[32];

	if (!sasl_knows(mechanism))
		return NULL;
	x = xcalloc(1, sizeof(*x));
	x->magic = SASL_MAGIC;
	x->server = s;
	x->client = *client;
	x->fn = fn;
	x->arg = arg;
	x->client_first = x->server_first = BUF_INIT(TEXT_MAX);
	for (size_t i = 0; i < mechanism.n; i++) /* libgsasl knows them in upper case */
		name[i] = mechanism.p[i] >= 'a' && mechanism.p[i] <= 'z'
				  ? (char)(mechanism.p[i] - 'a' + 'A')
				  : mechanism.p[i];
	name[mechanism.n] = '\0';
	x->login = strcmp(name, "LOGIN") == 0;
	x->scram = strcmp(name, "SCRAM-SHA-256") == 0;
	if (gsasl_server_start(s->gsasl, name, &x->session) != GSASL_OK)
		BUG("libgsasl does not know %s", name);
	gsasl_session_hook_set(x->session, x);
	return x;
}

/* "n,,n=user,r=…": behind the second comma. */
static struct str bare(struct str first)
{
	(void)str_cut(&first, ',');
	(void)str_cut(&first, ',');
	return first;
}

static void note_messages(struct sasl *x, struct str in, struct str out)
{
	x->steps++;
	if (x->steps != 1)
		return;
	(void)buf_put_str(&x->client_first, bare(in));
	(void)buf_put_str(&x->server_first, out);
}

static void run(struct sasl *x, struct str in)
{
	char *out = NULL;
	size_t out_n = 0;
	int rc;

	x->final = in;
	rc = gsasl_step(x->session, in.p, in.n, &out, &out_n);
	if (x->scram && rc == GSASL_NEEDS_MORE && out_n > 0)
		note_messages(x, in, str_from(out, out_n));
	x->final = STR("");
	if (rc == GSASL_NEEDS_MORE) {
		answer(x, SASL_CONTINUE, str_from(out != NULL ? out : "", out_n), NULL);
	} else if (rc == GSASL_OK && x->scram) {
		const struct cred *c = creds_find(x->server->creds, str_of(x->name));
		decide(x, c != NULL ? cred_secret_find(c, str_of(x->secret_id)) : NULL,
		       str_from(out != NULL ? out : "", out_n));
	} else if (rc == GSASL_OK) {
		check_given(x);
	} else if (rc == GSASL_AUTHENTICATION_ERROR) {
		decide(x, NULL, STR(""));
	} else {
		answer(x, SASL_MALFORMED, STR(""), gsasl_strerror(rc));
	}
	gsasl_free(out);
}

void sasl_begin(struct sasl *x)
{
	ASSERT(x->job == NULL);
	x->asked = true;
	run(x, STR(""));
}

void sasl_step(struct sasl *x, struct str response)
{
	ASSERT(x->job == NULL);
	if (memchr(response.p, 0, response.n) != NULL && (x->login || x->scram)) {
		answer(x, SASL_MALFORMED, STR(""), "a NUL byte");
		return;
	}
	if (x->login && !x->asked) {
		/* its question was answered beforehand */
		char *out = NULL;
		size_t out_n = 0;
		(void)gsasl_step(x->session, "", 0, &out, &out_n);
		gsasl_free(out);
		x->asked = true;
	}
	run(x, response);
}

void sasl_free(struct sasl **xp)
{
	struct sasl *x = xp != NULL ? *xp : NULL;

	if (x == NULL)
		return;
	*xp = NULL;
	if (x->job != NULL)
		x->job->exchange = NULL;
	gsasl_finish(x->session);
	secret_done(&x->given);
	buf_done(&x->client_first);
	buf_done(&x->server_first);
	x->magic = 0;
	free(x);
}
