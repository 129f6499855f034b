/*
 * relayd_int - the relay's parts, for the files that wire them to each other.
 */
#ifndef APP_RELAYD_INT_H
#define APP_RELAYD_INT_H

#include <sys/queue.h>

#include "app/relayd.h"
#include "ctl/actions.h"
#include "ctl/env.h"
#include "ctl/sinks.h"
#include "mail/verp.h"
#include "net/tls.h"
#include "policy/sasl.h"

#define RELAYD_MAGIC 0x57e3c0d1u
#define RELAYD_ADDRESSES_MAX 16
#define RELAYD_OWN_MAX 256 /* addresses of ours that an MX may not have */

struct loop_signal;
struct report_mail;
LIST_HEAD(report_mails, report_mail);

struct relayd {
	uint32_t magic;
	const struct conf *conf;
	struct ctl_env env;
	struct sasl_server *sasl;
	struct tls_server *tls;	  /* our certificate; NULL without */
	struct tls_client *trust; /* for the hosts that we deliver to */
	struct loop_signal *ends[2];
	struct loop_signal *reload;
	struct loop_timer *shutdown; /* the last resort when something does not end */
	struct ctl_role_rule roles[ACCESS__COUNT];
	struct ipaddr addresses[RELAYD_ADDRESSES_MAX]; /* env.addresses */
	struct ipaddr own[RELAYD_OWN_MAX];
	size_t own_n;
	struct suppression {
		uint64_t at_once; /* classes, a bit each */
		uint64_t several;
		struct limiter *told;	 /* of refusals */
		bool moved;		 /* there were events since it was stored how far it is */
		struct loop_timer *tend; /* stores counters, drops what ended */
		LIST_HEAD(, suppression_put) puts; /* on their way to the store */
		size_t refused_n;		   /* of them, which wait for another try */
		struct loop_timer *again;
	} suppression;
	struct bounces {
		char domain[ADDRESS_DOMAIN_MAX + 1]; /* "": there is no bounce address */
		struct address feedback;	     /* n 0: none */
		uint8_t key[VERP_KEY_LEN];
		bool ready;		   /* the key is on disk */
		struct report_mails mails; /* that are being read */
		struct loop_timer *tend;   /* drops what was kept long enough */
	} bounces;
	struct loop_timer *pool_counts;
	struct loop_timer *pool_turn;
	struct sched_pass pool_pass;
	struct wire_parts *providers;
	struct wire_parts *trouble;
	struct metrics *metrics;
	struct httpd *httpd; /* serves them; NULL: nowhere */
	struct sink_config *sinks;
	char (*secrets)[SINK_SECRET_MAX + 2]; /* of the sinks, until they have them */
	bool ending;
	bool in_drained;
	bool out_drained;
};

/* How parts call each other (wire.c); `arg` is the struct relayd. */
extern const struct smtpin_ops wire_smtpin_ops;
extern const struct sched_ops wire_sched_ops;
extern const struct queue_ops wire_queue_ops;
void wire_provider(void *arg, struct str domain, const char *provider);
void wire_event(void *arg, const struct queue_event *e);
/* The reply says that we send too much. */
bool wire_heard(void *arg);
void wire_spoken(void *arg, const struct smtpout_spoken *s);
bool wire_slows(void *arg, const struct attempt *a);
void wire_relayed(void *arg, const struct message *m, const struct sched_result *results,
		  unsigned n);
bool wire_demands(void *arg, const char *next_hop, struct smtpout_demands *ret);
/* Policies of MTA-STS are objects of the store. */
#define WIRE_KIND_STS "mta-sts"
void wire_keep_sts(void *arg, const char *domain, const char *json);
void wire_load_sts(void *arg, const struct queue_object *o);
void wire_load(void *arg, const struct queue_row *row);
void wire_drained(struct relayd *r); /* looks whether all is over */

/* The suppression list (wire_suppress.c). */
int suppression_open(struct relayd *r, struct err *err) MUST_CHECK; /* the policy */
int suppression_test(const struct conf *conf, struct err *err) MUST_CHECK;
void suppression_start(struct relayd *r);
void suppression_end(struct relayd *r);
void suppression_close(struct relayd *r); /* when the queue is closed */
/* False refuses the recipient. stream NULL: it is not known yet. */
bool wire_suppressed(struct relayd *r, const struct smtpin_envelope *e, struct str rcpt,
		     const struct mailstream *stream, struct smtp_answer *ret_refusal);
bool wire_ends(void *arg, const struct message *m, const struct message_rcpt *rcpt,
	       struct attempt *ret);
/* Why an address comes on the list by itself; texts are borrowed. */
struct wire_offence {
	struct str address;
	struct str stream;
	enum suppress_source source;
	const char *reason;
	struct str reply;
	struct rid rid; /* 0 without */
	bool several;	/* only counted until there are several */
};
void wire_suppress(struct relayd *r, const struct wire_offence *o);
/* An event, in their order: it may be one that suppresses. */
void wire_follow(struct relayd *r, const struct queue_event *e);

/* Envelope senders of our own (wire_verp.c). */
int bounces_test(const struct conf *conf, struct err *err) MUST_CHECK;
int bounces_prepare(struct relayd *r, struct err *err) MUST_CHECK;
int bounces_open(struct relayd *r, struct err *err) MUST_CHECK; /* when the queue is there */
void bounces_end(struct relayd *r);				/* after queue_close() */
bool wire_is_ours(void *arg, const struct address *rcpt);
/* False refuses the recipient: of ours, or beside one of ours. */
bool wire_report_rcpt(struct relayd *r, const struct smtpin_envelope *e, const struct address *rcpt,
		      struct smtp_answer *ret_refusal);
enum verp_verdict wire_report_address(const struct relayd *r, struct str local, struct verp *ret);
/* Drops what is past its time or too many; `added` is stored with it, or NULL. */
void wire_store_unread(struct relayd *r, const struct unread_mail *added, queue_done_fn *done,
		       void *arg);
/* What comes to them (wire_bounce.c). */
void wire_reports_end(struct relayd *r);
void wire_report(struct relayd *r, struct smtpin_message *take, struct smtpin_token token);
bool wire_alone(void *arg, const struct message *m, const struct message_rcpt *rcpt);
bool wire_sender(void *arg, const struct message *m, const struct message_rcpt *rcpt,
		 char ret[static ADDRESS_MAX + 1]);
void wire_classify(void *arg, struct attempt *a); /* its class, when it has none */

/* What is known of groups from `first` up to `end`, kept over restarts (wire_parts.c). */
typedef char *wire_part_fn(struct relayd *r, uint32_t first, uint32_t end); /* owned; NULL: nothing
									     */
typedef void wire_part_load_fn(struct relayd *r, const json_t *part);
struct wire_parts *wire_parts_new(struct relayd *r, const char *kind, wire_part_fn *text);
int wire_parts_load(struct wire_parts *p, wire_part_load_fn *load, struct err *err) MUST_CHECK;
void wire_parts_changed(struct wire_parts *p); /* NULL: not yet, or no more */
void wire_parts_store(struct wire_parts *p);   /* all of it: for the end */
void wire_parts_free(struct wire_parts **pp);
/* Of providers (wire_providers.c), and since when there is trouble (wire_trouble.c). */
int wire_providers_load(struct relayd *r, struct err *err) MUST_CHECK;
int wire_trouble_load(struct relayd *r, struct err *err) MUST_CHECK;

/* Where connections come from (wire_pool.c). */
enum smtpout_from wire_source(void *arg, struct smtpout_ask *ask, struct smtpout_source *ret,
			      char why[static SMTPOUT_WHY_MAX]);
bool wire_source_take(void *arg, const char *next_hop, const struct ipaddr *ip);
void wire_source_untake(void *arg, const char *next_hop, const struct ipaddr *ip);
void wire_source_bad(void *arg, const char *next_hop, const struct ipaddr *ip, const char *why);
void wire_pools_open(struct relayd *r); /* when the queue is there */
void wire_pools_close(struct relayd *r);
void wire_pools_store(struct relayd *r); /* what was sent */
/* A pool has got or lost its room. */
void wire_pools_turned(struct relayd *r);

/* Sinks and metrics (wire_sinks.c). */
struct httpd;
struct metrics;
int sinks_test(const struct conf *conf, struct err *err) MUST_CHECK;
int sinks_prepare(struct relayd *r, struct err *err) MUST_CHECK;
int sinks_open(struct relayd *r, struct err *err) MUST_CHECK; /* after the queue */
void sinks_event(struct relayd *r, const struct queue_event *e);
void sinks_end(struct relayd *r); /* after queue_close() */

/* The addresses that this machine has to the public (addresses.c). */
size_t public_addresses(struct ipaddr *ret, size_t max);
/* All of them, those of loopback too. */
typedef void address_fn(void *arg, const struct ipaddr *a);
void addresses_each(address_fn *fn, void *arg);

/* A message between DATA and its 250. */
struct coming;
/* Stores it and answers its client, or forgets about it without an answer. */
void wire_store(struct relayd *r, const struct queue_new *n, struct coming *c);
void wire_forget(struct coming *c);
void wire_refuse(struct coming *c, const struct smtp_answer *a); /* answers so, and frees c */
/* Encodes and signs the message and calls wire_store(), later, or refuses it; false when neither is
 * needed. `longest` is its longest line. Takes the content and copies the rest when true.
 * (wire_sign.c) */
bool wire_sign(struct relayd *r, const struct queue_new *n, size_t longest,
	       const struct mailstream *stream, struct coming *c);

/* A route refuses one more recipient; *ret_stream: whose the message is, as far as the envelope and
 * that recipient decide it, or NULL. Borrows, as do the others. (wire_stream.c) */
bool wire_rejects(const struct relayd *r, const struct smtpin_envelope *e,
		  const struct address *rcpt, const struct mailstream **ret_stream);
/* The stream of a message that came in. */
const struct mailstream *wire_stream(const struct relayd *r, const struct smtpin_message *m);
/* It lacks what its stream demands, or its credential is bound to other streams. */
bool wire_stream_refuses(const struct relayd *r, const struct mailstream *x,
			 const struct smtpin_message *m, struct smtp_answer *ret_refusal);

#endif
