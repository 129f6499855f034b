/*
 * Where events go besides the control socket: sinks and metrics, as the configuration names them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/metrics.h"
#include "ctl/sinks.h"
#include "net/httpd.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The first line of the file. */
static int read_secret(const char *path, char ret[static SINK_SECRET_MAX + 2], struct err *err)
{
	FILE *f = fopen(path, "re");
	bool got = f != NULL && fgets(ret, SINK_SECRET_MAX + 2, f) != NULL;

	if (f != NULL)
		(void)fclose(f);
	if (!got)
		return err_set(err, ERR_CONFIG, "%s cannot be read, or is empty", path);
	ret[strcspn(ret, "\r\n")] = '\0';
	return 0;
}

static int sink_of(const struct conf_sink *c, char secret[static SINK_SECRET_MAX + 2],
		   struct sink_config *ret, struct err *err)
{
	int rc = 0;

	*ret = (struct sink_config){ .name = c->name,
				     .file = c->file,
				     .filter = c->filter,
				     .size = (uint64_t)c->size,
				     .keep = (unsigned)c->keep,
				     .url = c->url,
				     .batch = (unsigned)c->batch,
				     .timeout_ms = c->timeout_s * 1000 };
	if (c->secret_file != NULL) {
		rc = read_secret(c->secret_file, secret, err);
		ret->secret = secret;
	}
	if (rc < 0)
		return err_prefix(err, "sink %s: secret-file", c->name);
	rc = sink_check(ret, err);
	if (rc >= 0 && c->authorities != NULL)
		rc = tls_client_new(c->authorities, &ret->trust_take, err) < 0
			     ? err_prefix(err, "sink %s: authorities", c->name)
			     : 0;
	return rc;
}

int sinks_test(const struct conf *conf, struct err *err)
{
	char secret[SINK_SECRET_MAX + 2];
	struct sink_config c;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < conf->sinks_n; i++) {
		rc = sink_of(&conf->sinks[i], secret, &c, err);
		tls_client_free(&c.trust_take);
	}
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

static const char *on_page(void *arg, const char *path, struct buf *out)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	if (strcmp(path, "/metrics") != 0 || r->env.sched == NULL)
		return NULL;
	metrics_text(r->metrics, &r->env, out);
	return METRICS_TYPE;
}

/* As long as we may still be root: files and ports. */
int sinks_prepare(struct relayd *r, struct err *err)
{
	const struct conf *c = r->conf;
	struct netaddr at;
	int rc = 0;

	r->metrics = metrics_new();
	r->sinks = xcalloc(c->sinks_n + 1, sizeof(*r->sinks));
	r->secrets = xcalloc(c->sinks_n + 1, sizeof(*r->secrets));
	for (size_t i = 0; rc >= 0 && i < c->sinks_n; i++)
		rc = sink_of(&c->sinks[i], r->secrets[i], &r->sinks[i], err);
	if (rc >= 0 && c->metrics_address != NULL)
		rc = netaddr_parse(str_of(c->metrics_address), &at, err);
	if (rc >= 0 && c->metrics_address != NULL)
		rc = httpd_new(r->env.loop, &at, on_page, r, &r->httpd, err);
	return rc;
}

int sinks_open(struct relayd *r, struct err *err)
{
	int rc = sinks_new(&r->env, r->trust, r->sinks, r->conf->sinks_n, &r->env.sinks, err);

	if (r->conf->sinks_n > 0)
		explicit_bzero(r->secrets, r->conf->sinks_n * sizeof(*r->secrets));
	return rc;
}

void sinks_event(struct relayd *r, const struct queue_event *e)
{
	metrics_event(r->metrics, e);
	sinks_wake(r->env.sinks, e->seq);
}

void sinks_end(struct relayd *r)
{
	httpd_free(&r->httpd);
	sinks_free(&r->env.sinks);
	if (r->metrics != NULL)
		metrics_free(&r->metrics);
	for (size_t i = 0; r->sinks != NULL && i < r->conf->sinks_n; i++)
		tls_client_free(&r->sinks[i].trust_take);
	free(r->sinks);
	free(r->secrets);
	r->sinks = NULL;
	r->secrets = NULL;
}
