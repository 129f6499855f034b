/* check.domain: asks DNS until there is nothing more to ask, then answers the rows (ctl/check.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/check.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ROUNDS_MAX 40 /* of questions that follow from each other */

struct check_job {
	struct view_job job;
	struct dnsbook *book;
	char domain[KEY_DOMAIN_MAX + 1];
	struct ipaddr own[CHECK_SOURCES_MAX];
	size_t own_n;
	unsigned rounds;
};

static void check_done(struct view_job *j)
{
	dnsbook_free(&((struct check_job *)j)->book);
}

static void check_step(struct view_job *j)
{
	struct check_job *k = (struct check_job *)j;
	struct err err = ERR_INIT;
	json_t *rows =
		check_rows(&(struct check_in){ .book = k->book,
					       .keys = j->env->keys,
					       .domain = k->domain,
					       .hostname = j->env->hostname,
					       .bounce_domain = j->env->bounce_domain,
					       .own = k->own,
					       .own_n = k->own_n,
					       .only = ctl_json(j->call, "sources") != NULL });

	if (rows != NULL) {
		size_t n = json_array_size(rows);
		view_reply(j, view_page(rows, NULL, NULL, n, true));
	} else if (++k->rounds > ROUNDS_MAX || !dnsbook_ask(k->book)) {
		(void)err_set(&err, ERR_LIMIT, "the records of %s lead on and on", k->domain);
		view_fail(j, &err);
	}
}

static void on_answers(void *arg)
{
	view_soon(arg);
}

static int read_sources(const struct ctl_call *call, struct check_job *k, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const json_t *given = ctl_json(call, "sources");
	const json_t *one;
	size_t i;

	for (i = 0; given == NULL && i < env->addresses_n && i < CHECK_SOURCES_MAX; i++)
		k->own[k->own_n++] = env->addresses[i];
	if (json_array_size(given) > CHECK_SOURCES_MAX)
		return err_param(err, ERR_LIMIT, "sources", "at most %d addresses",
				 CHECK_SOURCES_MAX);
	json_array_foreach(given, i, one) if (
		!ipaddr_parse(str_of(json_string_value(one)),
			      &k->own[k->own_n++])) return err_param(err, ERR_INVALID, "sources",
								     "\"%.60s\" is no address; "
								     "192.0.2.7 would be one",
								     json_string_value(one));
	return 0;
}

void ctl_check_domain(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = check_step, .done = check_done };
	struct ctl_env *env = ctl_env(call);
	struct str domain = str_of(ctl_str(call, "domain"));
	struct check_job *k = xcalloc(1, sizeof(*k));
	struct err err = ERR_INIT;
	char id[KEY_ID_MAX + 1];
	int rc = keys_name(domain, STR("s"), id, &err);

	if (rc >= 0)
		rc = read_sources(call, k, &err);
	if (rc < 0) {
		free(k);
		ctl_fail(call, &err);
		return;
	}
	memcpy(k->domain, id, domain.n); /* in lower case */
	view_begin(&k->job, env, call, &ops);
	k->book = dnsbook_new(env->dns, on_answers, &k->job);
	check_step(&k->job);
}
