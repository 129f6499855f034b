/*
 * Few secrets and few clients each: all looking up is going along a short array. Whoever was not
 * seen for the longest time makes room.
 */
#include "policy/cred_use.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void clear(struct cred_use *u)
{
	for (size_t i = 0; i < u->n_secrets; i++)
		free(u->secrets[i].users);
	*u = (struct cred_use){ .messages = 0 };
}

void cred_use_free(struct cred_use **up)
{
	if (up == NULL || *up == NULL)
		return;
	clear(*up);
	free(*up);
	*up = NULL;
}

static size_t find_secret(const struct cred_use *u, struct str id)
{
	size_t i = 0;

	while (i < u->n_secrets && !str_eq(str_of(u->secrets[i].id), id))
		i++;
	return i;
}

const struct cred_secret_use *cred_use_of(const struct cred_use *u, struct str secret)
{
	static const struct cred_secret_use none;
	size_t i = find_secret(u, secret);

	return i < u->n_secrets ? &u->secrets[i] : &none;
}

static struct cred_secret_use *secret_use(struct cred_use *u, struct str id)
{
	size_t i = find_secret(u, id);

	if (i == u->n_secrets && u->n_secrets < CRED_USE_SECRETS_MAX) {
		u->n_secrets++;
	} else if (i == u->n_secrets) {
		i = 0;
		for (size_t k = 1; k < u->n_secrets; k++)
			if (u->secrets[k].last_ms < u->secrets[i].last_ms)
				i = k;
		free(u->secrets[i].users);
		u->secrets[i] = (struct cred_secret_use){ .uses = 0 };
	}
	(void)snprintf(u->secrets[i].id, CRED_ID_LEN, "%.*s", STR_ARG(id));
	return &u->secrets[i];
}

static struct cred_user *add_user(struct cred_secret_use *s)
{
	struct cred_user *oldest = s->users;

	if (s->n_users < CRED_USERS_MAX) {
		s->users = xreallocarray(s->users, s->n_users + 1, sizeof(*s->users));
		oldest = &s->users[s->n_users++];
	} else {
		for (size_t i = 1; i < s->n_users; i++)
			if (s->users[i].last_ms < oldest->last_ms)
				oldest = &s->users[i];
		s->forgotten++;
	}
	*oldest = (struct cred_user){ .uses = 0 };
	return oldest;
}

static struct cred_user *user_of(struct cred_secret_use *s, const struct cred_sight *seen,
				 int64_t now_ms)
{
	char helo[CRED_HELO_LEN];
	struct cred_user *x;

	(void)snprintf(helo, sizeof(helo), "%.*s", STR_ARG(seen->helo));
	for (size_t i = 0; i < s->n_users; i++)
		if (ipaddr_eq(&s->users[i].client, seen->client) &&
		    strcmp(s->users[i].helo, helo) == 0)
			return &s->users[i];
	x = add_user(s);
	x->client = *seen->client;
	memcpy(x->helo, helo, sizeof(helo));
	x->first_ms = now_ms;
	return x;
}

void cred_use_note(struct cred_use *u, const struct cred_sight *seen, int64_t now_ms)
{
	struct cred_secret_use *s = secret_use(u, seen->secret);
	struct cred_user *x = user_of(s, seen, now_ms);

	u->dirty = true;
	x->last_ms = now_ms;
	switch (seen->sign) {
	case CRED_LATE:
		x->refused++;
		s->refused++;
		return;
	case CRED_CAME:
		x->uses++;
		s->uses++;
		break;
	case CRED_SENT:
		x->messages++;
		s->messages++;
		u->messages++;
		u->recipients += seen->recipients;
		u->bytes += seen->bytes;
		if (seen->stream.n > 0)
			(void)snprintf(x->stream, sizeof(x->stream), "%.*s", STR_ARG(seen->stream));
		break;
	}
	s->last_ms = now_ms;
	s->last_client = *seen->client;
}

/* --- days ------------------------------------------------------------------------------------- */

bool cred_use_day_take(struct cred_use *u, uint64_t max, int64_t now_ms)
{
	if (u->day != now_ms / DAY_MS) {
		u->day = now_ms / DAY_MS;
		u->day_messages = 0;
	}
	if (max != 0 && u->day_messages >= max)
		return false;
	u->day_messages++;
	u->dirty = true;
	return true;
}

void cred_use_day_give(struct cred_use *u, int64_t now_ms)
{
	if (u->day == now_ms / DAY_MS && u->day_messages > 0)
		u->day_messages--;
}

uint64_t cred_use_today(const struct cred_use *u, int64_t now_ms)
{
	return u->day == now_ms / DAY_MS ? u->day_messages : 0;
}

/* --- from and to the store -------------------------------------------------------------------- */

static uint64_t count_of(const json_t *o, const char *name)
{
	int64_t n = json_get_int(o, name);

	return n > 0 ? (uint64_t)n : 0;
}

static bool read_user(struct cred_secret_use *s, const json_t *o)
{
	struct cred_user *x = add_user(s);

	if (!ipaddr_parse(str_of(json_get_str(o, "client")), &x->client))
		return false;
	(void)snprintf(x->helo, sizeof(x->helo), "%s", json_get_str(o, "helo"));
	(void)snprintf(x->stream, sizeof(x->stream), "%s", json_get_str(o, "stream"));
	x->first_ms = json_get_int(o, "first_ms");
	x->last_ms = json_get_int(o, "last_ms");
	x->uses = count_of(o, "uses");
	x->messages = count_of(o, "messages");
	x->refused = count_of(o, "refused");
	return true;
}

static bool read_secret(struct cred_use *u, const json_t *o)
{
	struct str id = str_of(json_get_str(o, "id"));
	const char *client = json_get_str(o, "last_client");
	const json_t *users = json_object_get(o, "users");
	struct cred_secret_use *s;
	bool good = id.n > 0 && id.n < CRED_ID_LEN && json_array_size(users) <= CRED_USERS_MAX;

	if (!good)
		return false;
	s = secret_use(u, id);
	s->last_ms = json_get_int(o, "last_ms");
	s->uses = count_of(o, "uses");
	s->messages = count_of(o, "messages");
	s->refused = count_of(o, "refused");
	s->forgotten = count_of(o, "forgotten");
	if (*client != '\0' && !ipaddr_parse(str_of(client), &s->last_client))
		return false;
	for (size_t i = 0; good && i < json_array_size(users); i++)
		good = read_user(s, json_array_get(users, i));
	return good;
}

bool cred_use_read(struct cred_use *u, const json_t *o)
{
	const json_t *secrets = json_object_get(o, "secrets");
	bool good = json_array_size(secrets) <= CRED_USE_SECRETS_MAX;

	clear(u);
	u->messages = count_of(o, "messages");
	u->recipients = count_of(o, "recipients");
	u->bytes = count_of(o, "bytes");
	u->at_ms = json_get_int(o, "at_ms");
	u->day = json_get_int(o, "day");
	u->day_messages = count_of(o, "day_messages");
	for (size_t i = 0; good && i < json_array_size(secrets); i++)
		good = read_secret(u, json_array_get(secrets, i));
	if (!good)
		clear(u);
	return good;
}

static json_t *user_json(const struct cred_user *x)
{
	char client[IPADDR_TEXT_LEN];

	ipaddr_text(&x->client, client);
	return json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "client", client, "helo",
			 json_text(str_of(x->helo)), "stream", json_text(str_of(x->stream)),
			 "first_ms", (json_int_t)x->first_ms, "last_ms", (json_int_t)x->last_ms,
			 "uses", (json_int_t)x->uses, "messages", (json_int_t)x->messages,
			 "refused", (json_int_t)x->refused);
}

static json_t *secret_json(const struct cred_secret_use *s)
{
	json_t *users = json_array();
	char client[IPADDR_TEXT_LEN] = "";

	for (size_t i = 0; i < s->n_users; i++)
		(void)json_array_append_new(users, user_json(&s->users[i]));
	if (s->last_ms != 0)
		ipaddr_text(&s->last_client, client);
	return json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:o}", "id", s->id, "last_ms",
			 (json_int_t)s->last_ms, "last_client", client, "uses", (json_int_t)s->uses,
			 "messages", (json_int_t)s->messages, "refused", (json_int_t)s->refused,
			 "forgotten", (json_int_t)s->forgotten, "users", users);
}

json_t *cred_use_json(const struct cred_use *u, int64_t now_ms)
{
	json_t *secrets = json_array();

	for (size_t i = 0; i < u->n_secrets; i++)
		(void)json_array_append_new(secrets, secret_json(&u->secrets[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "messages", (json_int_t)u->messages,
			 "recipients", (json_int_t)u->recipients, "bytes", (json_int_t)u->bytes,
			 "at_ms", (json_int_t)now_ms, "day", (json_int_t)u->day, "day_messages",
			 (json_int_t)u->day_messages, "secrets", secrets);
}
