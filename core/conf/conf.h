/*
 * conf - the configuration file of weir-relayd: what belongs to the machine.
 *
 * Model:   conf_load() reads and checks a file; options.def has the keys, their kinds, ranges and
 *          defaults. What operators change while the relay runs is not here but in the store.
 * Owner:   the caller frees with conf_free(); texts and lists in the struct belong to it.
 * Context: any; blocks on reading the file.
 * Errors:  ERR_CONFIG, "FILE:LINE: what is wrong and what would be right"; ERR_IO for the file.
 * Limits:  CONF_LIST_MAX values in a list, CONF_LISTEN_MAX listen sections, CONF_SINK_MAX sinks.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define CONF_LIST_MAX 256
#define CONF_LISTEN_MAX 64
#define CONF_SINK_MAX 16

struct conf_list {
	char **v;
	size_t n;
};

enum conf_tls { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
enum conf_keep { CONF_KEEP_YES, CONF_KEEP_FAILURES, CONF_KEEP_NO };
enum conf_trust { CONF_TRUST_NO, CONF_TRUST_AUTO, CONF_TRUST_YES };
enum conf_answer { CONF_ANSWER_REJECT, CONF_ANSWER_DROP };
enum conf_scope { CONF_SCOPE_ALL, CONF_SCOPE_STREAM };
enum conf_lines { CONF_LINES_ENCODE, CONF_LINES_REFUSE, CONF_LINES_PASS };
enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_OPTIONAL, CONF_AUTH_REQUIRED };

struct conf_listen {
	char *name;
	char *address;
	int64_t tls;  /* enum conf_tls */
	int64_t auth; /* enum conf_auth */
	int64_t loopback_auth;
	struct conf_list proxy; /* networks */
};

/* Sections `sink NAME`: where events go. */
struct conf_sink {
	char *name;
	char *file; /* either this or url */
	char *filter;
	int64_t size;
	int64_t keep;
	char *url;
	char *secret_file;
	char *authorities;
	int64_t batch;
	int64_t timeout_s;
};

/* Sections `role NAME`, in the order of their power. */
enum conf_role_id { CONF_VIEWER, CONF_OPERATOR, CONF_ADMIN, CONF_ROLE__COUNT };
struct conf_role {
	struct conf_list users;
	struct conf_list groups;
};

struct conf {
	char *hostname;
	char *state_dir;
	char *user; /* NULL: stay who we are */
	char *postmaster;
	char *control_socket;
	int64_t control_mode;
	char *control_group; /* NULL: the account's own */
	struct conf_listen *listen;
	size_t listen_n;
	char *tls_certificate;
	char *tls_key;
	char *tls_authorities;
	struct conf_list dns_servers; /* empty: the system's */
	int64_t trust_ad;	      /* enum conf_trust */
	int64_t delivery_port;
	struct conf_list delivery_avoid; /* networks */
	int64_t sts_port;
	int64_t delivery_connections;
	int64_t delivery_per_hop;
	int64_t delivery_per_connection;
	int64_t transcripts;  /* enum conf_keep */
	char *classify_rules; /* NULL: the built-in ones */
	int64_t retry_first_s;
	int64_t retry_max_s;
	int64_t delay_warning_s;
	int64_t lifetime_s;
	int64_t probation_s;
	int64_t undo_window_s;
	int64_t bounce_grace_s;
	int64_t keep_finished_s;
	int64_t keep_finished_max;
	int64_t cache_bytes;
	int64_t line_length;
	int64_t long_lines; /* enum conf_lines */
	int64_t encode_8bit;
	int64_t message_size;
	int64_t recipients;
	int64_t memory;
	int64_t connections;
	int64_t connections_per_client;
	int64_t connections_per_credential;
	int64_t connection_rate;
	int64_t message_rate;
	int64_t recipient_rate;
	int64_t credential_message_rate;
	int64_t credential_recipient_rate;
	int64_t commands;
	int64_t errors;
	int64_t command_s;
	int64_t message_s;
	int64_t auth_failures;
	int64_t auth_block_s;
	int64_t suppress_answer;	   /* enum conf_answer */
	struct conf_list suppress_at_once; /* names of classes of replies */
	struct conf_list suppress_several;
	int64_t suppress_count;
	int64_t suppress_within_s;
	int64_t suppress_complaints;
	int64_t suppress_scope; /* enum conf_scope */
	int64_t suppress_keep_s;
	char *bounces_domain;		  /* NULL: there is no bounce address */
	char *bounces_feedback;		  /* NULL: nor one for complaints */
	struct conf_list bounces_streams; /* empty: all */
	int64_t bounces_valid_s;
	int64_t bounces_notify_sender;
	int64_t bounces_keep;
	int64_t bounces_keep_s;
	struct conf_sink *sinks;
	size_t sinks_n;
	char *metrics_address; /* NULL: none */
	struct conf_role roles[CONF_ROLE__COUNT];
};

int conf_load(const char *path, struct conf **ret_conf, struct err *err) MUST_CHECK;
void conf_free(struct conf **cp);
/* Appends the configuration as a file that conf_load() reads, every default written out. */
bool conf_print(const struct conf *c, struct buf *out);
/* Appends the keys with kinds, defaults and help, as roff paragraphs for the manual. */
bool conf_print_manual(struct buf *out);

#endif
