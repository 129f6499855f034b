/*
 * Envelope senders of our own (mail/verp.h): the key that signs them, whose mail goes out with one,
 * and who may write to them. The key is made at the first start with a bounce domain, and no
 * address is made before it is on disk. What becomes of the mail that comes is in wire_bounce.c;
 * what is kept of it is stored here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "ctl/decide.h"
#include "loop/loop.h"
#include "mail/bounce.h"

#define KIND_KEY "bounce-key" /* of objects: the one that signs, id "1" */
#define TEND_MS INT64_C(600000)

/* --- the configuration, and what is in the store ---------------------------------------------- */

static int read_conf(const struct conf *c, char domain[static ADDRESS_DOMAIN_MAX + 1],
		     struct address *ret_feedback, struct err *err)
{
	domain[0] = '\0';
	*ret_feedback = (struct address){ .n = 0 };
	if (c->bounces_domain == NULL)
		return 0;
	if (!address_domain_canonical(str_of(c->bounces_domain), domain))
		return err_set(err, ERR_CONFIG,
			       "bounces: domain: a domain is expected, not '%.100s'",
			       c->bounces_domain);
	if (strlen(domain) + VERP_LOCAL_LEN > ADDRESS_MAX)
		return err_set(err, ERR_CONFIG,
			       "bounces: domain: with more than %d bytes there is no room for "
			       "addresses in it",
			       ADDRESS_MAX - VERP_LOCAL_LEN);
	if (c->bounces_feedback != NULL &&
	    address_parse(str_of(c->bounces_feedback), 0, ret_feedback, err) < 0)
		return err_set(err, ERR_CONFIG,
			       "bounces: feedback: an address is expected, not '%.100s'",
			       c->bounces_feedback);
	return 0;
}

int bounces_test(const struct conf *conf, struct err *err)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct address feedback;

	return read_conf(conf, domain, &feedback, err);
}

int bounces_prepare(struct relayd *r, struct err *err)
{
	int rc = read_conf(r->conf, r->bounces.domain, &r->bounces.feedback, err);

	r->env.unread = unread_new((size_t)r->conf->bounces_keep, r->conf->bounces_keep_s * 1000);
	LIST_INIT(&r->bounces.mails);
	if (rc < 0 || r->bounces.domain[0] == '\0')
		return rc;
	r->env.bounce_domain = r->bounces.domain;
	r->env.feedback = &r->bounces.feedback;
	bounce_init();
	return 0;
}

static void load_key(void *arg, const struct queue_object *o)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	json_t *v = NULL;
	struct err err = ERR_INIT;

	if (json_read(o->json, &v, &err) < 0 ||
	    !digest_unhex(str_of(json_get_str(v, "key")), r->bounces.key))
		log_error(NULL, "bounces.key", F_STR("error", "the stored key cannot be read"),
			  F_STR("effect", "a new one is made; earlier addresses are refused"));
	else
		r->bounces.ready = true;
	json_decref(v);
}

static void load_unread(void *arg, const struct queue_object *o)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct err err = ERR_INIT;

	if (unread_put_json(r->env.unread, o->id, o->json, &err) < 0)
		log_warn(NULL, "bounces.kept", F_STR("error", err.msg));
}

static void on_key(void *arg, const struct err *err)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	r->bounces.ready = err == NULL;
	if (err != NULL)
		log_error(NULL, "bounces.key", F_STR("error", err->msg),
			  F_STR("effect", "mail keeps its envelope sender until the next start"));
}

/* At the first start with a bounce domain. No address is made before it is on disk. */
static void make_key(struct relayd *r)
{
	char hex[DIGEST_HEX_LEN], json[DIGEST_HEX_LEN + 16];
	struct queue_object o = { .kind = KIND_KEY, .id = "1", .json = json, .secret = true };

	_Static_assert(VERP_KEY_LEN == DIGEST_LEN, "kept as a digest is");
	digest_random(r->bounces.key, VERP_KEY_LEN);
	digest_hex(r->bounces.key, hex);
	(void)snprintf(json, sizeof(json), "{\"key\":\"%s\"}", hex);
	queue_commit(r->env.queue, NULL, &o, 1, on_key, r);
	secret_wipe(json, sizeof(json));
	secret_wipe(hex, sizeof(hex));
}

/* --- what is kept ----------------------------------------------------------------------------- */

static void on_tended(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL && log_limited("bounces.kept"))
		log_warn(NULL, "bounces.kept", F_STR("error", err->msg));
}

/* Drops what is past its time or too many; `added` is stored with it, or NULL. */
void wire_store_unread(struct relayd *r, const struct unread_mail *added, queue_done_fn *done,
		       void *arg)
{
	struct queue_object objects[UINT8_MAX];
	char ids[UINT8_MAX][UNREAD_ID_LEN];
	size_t n = 0;
	uint64_t gone;
	AUTO_FREE char *json = NULL;

	if (added != NULL) {
		json_t *v = unread_json(added);
		json = json_dumps(v, JSON_COMPACT);
		json_decref(v);
		(void)snprintf(ids[n], sizeof(ids[n]), "%llu", (unsigned long long)added->id);
		objects[n] =
			(struct queue_object){ .kind = UNREAD_KIND, .id = ids[n], .json = json };
		n++;
	}
	while (n < ARRAY_LEN(objects) &&
	       unread_pop(r->env.unread, loop_wall_ms(r->env.loop), &gone)) {
		(void)snprintf(ids[n], sizeof(ids[n]), "%llu", (unsigned long long)gone);
		objects[n] = (struct queue_object){ .kind = UNREAD_KIND, .id = ids[n] };
		n++;
	}
	if (n == 0)
		return;
	r->env.unread_generation++;
	queue_commit(r->env.queue, NULL, objects, n, done, arg);
}

static void on_tend(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	wire_store_unread(r, NULL, on_tended, NULL);
	loop_timer_set(r->bounces.tend, TEND_MS);
}

int bounces_open(struct relayd *r, struct err *err)
{
	int rc = queue_load_objects(r->env.queue, UNREAD_KIND, load_unread, r, err);

	if (rc < 0 || r->bounces.domain[0] == '\0')
		return rc;
	rc = queue_load_objects(r->env.queue, KIND_KEY, load_key, r, err);
	if (rc < 0)
		return rc;
	if (!r->bounces.ready)
		make_key(r);
	r->bounces.tend = loop_timer_new(r->env.loop, "relayd.bounces", on_tend, r);
	loop_timer_set(r->bounces.tend, 0);
	return 0;
}

/* --- envelope senders ------------------------------------------------------------------------- */

static bool has_stream(const struct relayd *r, const struct message *m)
{
	const struct conf_list *streams = &r->conf->bounces_streams;
	struct str name = queue_name_text(r->env.queue, m->stream);

	for (size_t i = 0; i < streams->n; i++)
		if (str_eq_nocase(str_of(streams->v[i]), name))
			return true;
	return streams->n == 0;
}

/* Never of mail from the null sender, which nobody is told of. Whoever wants to hear of successes
 * hears of them from the next hops, and has to be the sender for that. */
bool wire_alone(void *arg, const struct message *m, const struct message_rcpt *rcpt)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	return r->bounces.ready && m->sender.n > 0 && (rcpt->notify & SMTP_NOTIFY_SUCCESS) == 0 &&
	       has_stream(r, m) &&
	       !str_eq_nocase(address_text_domain(m->sender), str_of(r->bounces.domain));
}

/* The same in all attempts for a while: what knows mail by its sender is not to see another one
 * each day. At least `valid` is left of it. */
static int64_t end_of(const struct relayd *r, const struct message *m)
{
	int64_t valid = r->conf->bounces_valid_s * 1000;
	int64_t age = loop_wall_ms(r->env.loop) - m->received_ms;

	return m->received_ms + valid * (2 + (age > 0 ? age / valid : 0));
}

bool wire_sender(void *arg, const struct message *m, const struct message_rcpt *rcpt,
		 char ret[static ADDRESS_MAX + 1])
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	char local[VERP_LOCAL_LEN];

	if (!wire_alone(arg, m, rcpt))
		return false;
	verp_make(r->bounces.key, str_of(r->bounces.domain), rid_of(m->id, rcpt->n), m->stream,
		  rcpt->address, end_of(r, m), local);
	(void)snprintf(ret, ADDRESS_MAX + 1, "%s@%s", local, r->bounces.domain);
	return true;
}

/* --- RCPT ------------------------------------------------------------------------------------- */

bool wire_is_ours(void *arg, const struct address *rcpt)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	return decide_is_ours(&r->env, rcpt);
}

enum verp_verdict wire_report_address(const struct relayd *r, struct str local, struct verp *ret)
{
	if (!r->bounces.ready)
		return VERP_STRANGE;
	return verp_read(r->bounces.key, str_of(r->bounces.domain), local,
			 loop_wall_ms(r->env.loop), ret);
}

static bool refuse(struct relayd *r, enum report_refusal why, struct smtp_answer *a)
{
	static const struct {
		const char *enhanced;
		const char *text;
	} words[REPORT_REFUSAL__COUNT] = {
		[REPORT_REFUSED_UNKNOWN] = { "5.1.1", "There is no such address here" },
		[REPORT_REFUSED_CUT] = { "5.1.1", "This bounce address is damaged" },
		[REPORT_REFUSED_FORGED] = { "5.7.1",
					    "This bounce address was not made by this relay" },
		[REPORT_REFUSED_EXPIRED] = { "5.7.1", "This bounce address is past its time" },
	};

	r->env.reports_refused[why]++;
	a->code = 550;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", words[why].enhanced);
	(void)snprintf(a->text, sizeof(a->text), "%s", words[why].text);
	return false;
}

bool wire_report_rcpt(struct relayd *r, const struct smtpin_envelope *e, const struct address *rcpt,
		      struct smtp_answer *ret_refusal)
{
	struct verp v;

	if (e->n_rcpts > 0) { /* the other one, or another one of ours, comes by itself */
		ret_refusal->code = 452;
		(void)snprintf(ret_refusal->enhanced, sizeof(ret_refusal->enhanced), "4.5.3");
		(void)snprintf(ret_refusal->text, sizeof(ret_refusal->text),
			       "Mail to a bounce address has one recipient; send the rest in "
			       "another message");
		return false;
	}
	if (decide_is_feedback(&r->env, rcpt))
		return true;
	switch (wire_report_address(r, address_local(rcpt), &v)) {
	case VERP_GOOD:
		return true;
	case VERP_STRANGE:
		return refuse(r, REPORT_REFUSED_UNKNOWN, ret_refusal);
	case VERP_CUT:
		return refuse(r, REPORT_REFUSED_CUT, ret_refusal);
	case VERP_FORGED:
		return refuse(r, REPORT_REFUSED_FORGED, ret_refusal);
	case VERP_EXPIRED:
		break;
	}
	return refuse(r, REPORT_REFUSED_EXPIRED, ret_refusal);
}

void bounces_end(struct relayd *r)
{
	loop_timer_free(&r->bounces.tend);
	wire_reports_end(r);
	secret_wipe(r->bounces.key, sizeof(r->bounces.key));
}
