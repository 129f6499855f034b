/* Each list and number is checked by itself; what is kept is the canonical spelling. */
#include "ctl/cred_bounds.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/stream_env.h"
#include "policy/creds.h"
#include "proto/proto.h"

static int canonical_sender(const struct streams *streams, const char *text, char *ret,
			    struct err *err)
{
	(void)streams;
	return cred_sender_read(str_of(text), ret, err);
}

static int canonical_stream(const struct streams *streams, const char *text, char *ret,
			    struct err *err)
{
	const struct mailstream *x;

	if (stream_get(streams, "streams", text, &x, err) < 0)
		return -ERR_UNKNOWN;
	(void)snprintf(ret, CRED_SENDER_LEN, "%s", x->id);
	return 0;
}

static int canonical_network(const struct streams *streams, const char *text, char *ret,
			     struct err *err)
{
	struct ipnet net;

	(void)streams;
	if (ipnet_parse(str_of(text), &net, err) < 0) {
		if (err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "networks");
		return err_prefix(err, "%.60s", text);
	}
	ipnet_text(&net, ret);
	return 0;
}

static bool has(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

typedef int canonical_fn(const struct streams *streams, const char *text, char *ret,
			 struct err *err);

static int put_list(json_t *cred, const json_t *params, const char *name,
		    const struct streams *streams, canonical_fn *canonical, struct err *err)
{
	static const char all[] = "all";
	const json_t *given = json_object_get(params, name);
	size_t n = json_array_size(given);
	json_t *list;
	int rc = 0;

	if (!json_is_array(given))
		return 0;
	if (n > CRED_BOUNDS_MAX)
		return err_param(err, ERR_LIMIT, name, "a credential has up to %d %s",
				 CRED_BOUNDS_MAX, name);
	if (n == 1 && strcmp(json_string_value(json_array_get(given, 0)), all) == 0)
		n = 0;
	list = json_array();
	for (size_t i = 0; rc >= 0 && i < n; i++) {
		char text[CRED_SENDER_LEN];
		rc = canonical(streams, json_string_value(json_array_get(given, i)), text, err);
		if (rc >= 0 && !has(list, text))
			(void)json_array_append_new(list, json_text(str_of(text)));
	}
	if (rc >= 0)
		(void)json_object_set(cred, name, list);
	json_decref(list);
	return rc;
}

int cred_bounds_put(json_t *cred, const json_t *params, const struct streams *streams,
		    int64_t now_ms, struct err *err)
{
	static const char *const plain[] = { "per_minute", "per_day", "recipients_max", "note" };
	int64_t for_s = 0;
	int rc = put_list(cred, params, "senders", streams, canonical_sender, err);

	if (rc >= 0)
		rc = put_list(cred, params, "networks", streams, canonical_network, err);
	if (rc >= 0)
		rc = put_list(cred, params, "streams", streams, canonical_stream, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		json_t *v = json_object_get(params, plain[i]);
		if (v != NULL && !json_is_null(v))
			(void)json_object_set(cred, plain[i], v);
	}
	if (proto_age(json_object_get(params, "for_s"), &for_s))
		(void)json_object_set_new(cred, "expires_ms",
					  json_integer(for_s > 0 ? now_ms + for_s * 1000 : 0));
	return 0;
}
