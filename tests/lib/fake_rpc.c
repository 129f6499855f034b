/* fake_rpc - fixed arrays; tests make few calls. */
#include "lib/fake_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAX 64

static struct {
	char *method;
	json_t *answer;
	fake_rpc_fn *fn;
	struct err err;
	int calls;
	char *params;
} methods[MAX];
static struct {
	uint64_t id;
	int method;
	json_t *params;
	rpc_answer_fn *fn;
	void *arg;
} waiting[MAX];
static struct {
	uint64_t id;
	char *topic;
	rpc_push_fn *fn;
	void *arg;
} subs[MAX];
static uint64_t last_id;

static int method_index(const char *name)
{
	for (int i = 0; i < MAX; i++) {
		if (methods[i].method == NULL)
			methods[i].method = xstrdup(name);
		if (strcmp(methods[i].method, name) == 0)
			return i;
	}
	BUG("too many methods");
}

void fake_rpc_reset(void)
{
	for (int i = 0; i < MAX; i++) {
		free(methods[i].method);
		json_decref(methods[i].answer);
		free(methods[i].params);
		json_decref(waiting[i].params);
		free(subs[i].topic);
	}
	memset(methods, 0, sizeof(methods));
	memset(waiting, 0, sizeof(waiting));
	memset(subs, 0, sizeof(subs));
}

static json_t *parse(const char *json)
{
	char *text = xstrdup(json);
	json_error_t error;
	json_t *v;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	v = json_loads(text, JSON_DECODE_ANY, &error);
	if (v == NULL)
		BUG("bad JSON in a test: %s in %s", error.text, text);
	free(text);
	return v;
}

void fake_rpc_answer(const char *method, const char *json)
{
	int i = method_index(method);

	json_decref(methods[i].answer);
	methods[i].answer = parse(json);
	methods[i].err.code = 0;
}

void fake_rpc_answer_fn(const char *method, fake_rpc_fn *fn)
{
	methods[method_index(method)].fn = fn;
}

void fake_rpc_fail(const char *method, int code, const char *text)
{
	(void)err_set(&methods[method_index(method)].err, code, "%s", text);
}

static uint64_t fake_call(void *conn, const char *method, json_t *params, rpc_answer_fn *fn,
			  void *arg)
{
	int m = method_index(method);

	(void)conn;
	if (params == NULL)
		params = json_object();
	methods[m].calls++;
	free(methods[m].params);
	methods[m].params = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);
	for (int i = 0; i < MAX; i++) {
		if (waiting[i].id == 0) {
			waiting[i].id = ++last_id;
			waiting[i].method = m;
			waiting[i].params = params;
			waiting[i].fn = fn;
			waiting[i].arg = arg;
			return last_id;
		}
	}
	BUG("too many calls wait");
}

static void fake_cancel(void *conn, uint64_t call)
{
	(void)conn;
	for (int i = 0; i < MAX; i++) {
		if (waiting[i].id == call) {
			waiting[i].id = 0;
			json_decref(waiting[i].params);
			waiting[i].params = NULL;
			return;
		}
	}
	BUG("cancelled a call that does not wait");
}

static uint64_t fake_sub(void *conn, const char *topic, json_t *params, rpc_push_fn *fn, void *arg)
{
	(void)conn;
	json_decref(params);
	for (int i = 0; i < MAX; i++) {
		if (subs[i].id == 0) {
			subs[i].id = ++last_id;
			subs[i].topic = xstrdup(topic);
			subs[i].fn = fn;
			subs[i].arg = arg;
			return last_id;
		}
	}
	BUG("too many subscriptions");
}

static void fake_unsub(void *conn, uint64_t sub)
{
	(void)conn;
	for (int i = 0; i < MAX; i++) {
		if (subs[i].id == sub) {
			free(subs[i].topic);
			memset(&subs[i], 0, sizeof(subs[i]));
			return;
		}
	}
	BUG("ended a subscription that is not there");
}

struct rpc fake_rpc(void)
{
	static const struct rpc_ops ops = { fake_call, fake_cancel, fake_sub, fake_unsub };

	return (struct rpc){ &ops, NULL };
}

static bool answer_one(int i)
{
	int m = waiting[i].method;
	rpc_answer_fn *fn = waiting[i].fn;
	void *arg = waiting[i].arg;
	json_t *params, *result;

	if (waiting[i].id == 0)
		return false;
	result = methods[m].fn != NULL ? methods[m].fn(waiting[i].params)
				       : json_incref(methods[m].answer);
	if (result == NULL && methods[m].err.code == 0)
		return false;
	params = waiting[i].params;
	waiting[i].id = 0;
	waiting[i].params = NULL;
	if (methods[m].err.code != 0)
		fn(arg, NULL, &methods[m].err);
	else
		fn(arg, result, NULL);
	json_decref(result);
	json_decref(params);
	return true;
}

void fake_rpc_run(void)
{
	bool again = true;

	while (again) {
		again = false;
		for (int i = 0; i < MAX; i++)
			again = answer_one(i) || again;
	}
}

void fake_rpc_push(const char *topic, const char *json, bool resync)
{
	json_t *data = parse(json);

	for (int i = 0; i < MAX; i++) {
		if (subs[i].id != 0 && strcmp(subs[i].topic, topic) == 0)
			subs[i].fn(subs[i].arg, data, resync);
	}
	json_decref(data);
}

int fake_rpc_calls(const char *method)
{
	return methods[method_index(method)].calls;
}

const char *fake_rpc_params(const char *method)
{
	const char *params = methods[method_index(method)].params;

	return params != NULL ? params : "";
}

int fake_rpc_subs(void)
{
	int n = 0;

	for (int i = 0; i < MAX; i++)
		n += subs[i].id != 0;
	return n;
}
