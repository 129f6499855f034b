/*
 * proto - the control protocol: its table of methods, its fields, its frames.
 *
 * Model:   JSON-RPC 2.0, one object a line ('\n'), over a UNIX stream socket. The relay speaks
 * first:
 *            {"jsonrpc":"2.0","method":"hello","params":{"protocol":1,"relay":HOSTNAME,"version":V,
 *             "role":"viewer|operator|admin","user":ACCOUNT,"features":[…],"now_at":TIME}}
 *          Requests carry a number as id; responses may come out of order. The relay pushes
 *            {"jsonrpc":"2.0","method":"push","params":{"sub":N,"topic":T,"seq":K,"data":…,"resync":BOOL}}
 *          for subscriptions. `resync` true means that states were dropped for a slow reader: fetch
 * again. Errors: {"code":N,"message":TEXT,"data":{"name":WIRE-NAME,"param":NAME,"column":N}}.
 *
 *          Lists answer {"rows":[…],"next":CURSOR|null,"prev":CURSOR|null,"total":N,"exact":BOOL},
 * those of what edits change (MF_CONFIG) also the configuration's "version" that they show.
 * A cursor is opaque, a keyset position, and stays usable after any number of changes. Changes
 * (MF_MUTATES) take `request`, a client-made id; the relay remembers it with its answer for an
 * hour, across restarts, and answers a repetition without acting again.
 *
 * Names:   one row of methods.def is one operation; dispatch, permissions, parameter checks, audit,
 * the command line, forms, palette, completion, help and manual derive from it. fields.def does the
 * same for what rows contain.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PROTO_VERSION 1
#define PROTO_REQUEST_MAX (256u * 1024)	      /* bytes of one request line */
#define PROTO_RESPONSE_MAX (4u * 1024 * 1024) /* bytes of one line from the relay */
/* Bytes of a configuration as text: an answer has room for it with its escapes. */
#define PROTO_CONFIG_MAX (3u * 1024 * 1024)
#define PROTO_CALLS_MAX 64  /* calls of one connection under way */
#define PROTO_PAGE_MAX 1000 /* rows of one page */

/* Roles, each with all the rights of those before it. The console calls cell styles roles, so the
 * type is named after what a role gives. */
enum access { ACCESS_NONE, ACCESS_VIEWER, ACCESS_OPERATOR, ACCESS_ADMIN, ACCESS__COUNT };
const char *access_name(enum access r);
enum access access_from_name(const char *name); /* ACCESS_NONE when unknown */

enum param_type {
	T_STRING,
	T_BOOL,		/* true/false; a bare --option on the command line */
	T_INT,		/* `min` to `max` */
	T_AGE,		/* seconds: a number, or "2h" */
	T_TIME,		/* RFC 3339 */
	T_ENUM,		/* one of `choices`, separated by '|' */
	T_FILTER,	/* DESIGN.md section 5 */
	T_AUDIT_FILTER, /* the same language over records of the audit log */
	T_TARGET, /* domain:D, provider:P, stream:S, credential:C, sender:A, id:ID, all, or a filter
		   */
	T_MSGID,  /* a message id */
	T_NETWORK, /* address or address/prefix, v4 or v6 */
	T_ROUTE,   /* mx, smarthost:HOST[:PORT], hold, reject, discard */
	T_CURSOR,
	T_FILE,	   /* text that may be a secret, of up to `max` bytes (0: PROTO_STRING_MAX); on the
		    * command line a file that has it, - for standard input */
	T_STRINGS, /* array of strings; on the command line a list with commas */
	T_OBJECT,
	T__COUNT
};

struct param_def {
	const char *name; /* JSON name; the option is --name with '-' for '_' and without a unit
			     ending */
	const char *
		option; /* option name on the command line, NULL: derived from the name, "": none */
	const char *alias; /* another name of the option, or NULL */
	enum param_type type;
	bool required;
	bool positional; /* stands without its option's name on the command line */
	int64_t min;
	int64_t max;
	const char *choices;
	const char *metavar; /* how help calls the value */
	const char *help;
};

enum {
	MF_MUTATES = 1u << 0,  /* changes something: takes `reason` and `request`, is audited */
	MF_REASON = 1u << 1,   /* `reason` is demanded */
	MF_PLAN = 1u << 2,     /* can be planned first with plan.make */
	MF_CONFIRM = 1u << 3,  /* the command line wants --yes, --plan or a terminal to ask on */
	MF_LIST = 1u << 4,     /* answers rows of `entity` */
	MF_INTERNAL = 1u << 5, /* no verb of its own on the command line */
	/* Edits the configuration: takes `base`, can be planned, and makes a version. Its handler
	 * does nothing that shows before it commits: a plan runs it up to there. */
	MF_EDIT = 1u << 6,
	/* An edit that can be made on probation: takes `probation_s`. */
	MF_PROBATION = 1u << 7,
	/* Lists what edits change: the answer has the `version` that its rows are of, for `base`.
	 */
	MF_CONFIG = 1u << 8,
};

#define PROTO_PARAMS_MAX 24
struct method_def {
	const char *name;
	enum access role;
	unsigned flags;
	const char *cli;    /* the verb, such as "hold" or "allow add"; NULL without one */
	const char *alias;  /* a second spelling of the verb, or NULL */
	const char *entity; /* what the answer's rows or object are, in fields.def */
	const char *summary;
	struct param_def params[PROTO_PARAMS_MAX]; /* ended by a NULL name */
};

enum method_id {
#define METHOD(id, fn, ...) M_##id,
#include "proto/methods.def"
#undef METHOD
	M__COUNT
};
extern const struct method_def method_defs[M__COUNT];
const struct method_def *method_find(const char *name); /* NULL when unknown */
/* The n-th parameter: the method's own, then those that its flags imply, `reason`, `probation_s`,
 * `base` and `request`; NULL behind the last. */
const struct param_def *method_param_at(const struct method_def *m, size_t n);
/* The one of that name, or NULL. */
const struct param_def *method_param(const struct method_def *m, const char *name);

#define PROTO_OPTION_LEN 48
/* The name of its option, without dashes: "for" of for_s; empty when it has none. */
void param_option(const struct param_def *p, char ret[static PROTO_OPTION_LEN]);
/* The parameter that has this option, also by the option's other name; NULL when there is none. */
const struct param_def *method_option(const struct method_def *m, struct str option);

/* method_find() that says what was probably meant: ERR_METHOD. */
int method_get(const char *name, const struct method_def **ret_m, struct err *err) MUST_CHECK;

#define PROTO_STRING_MAX 8192 /* bytes of one string parameter, other than some files */
size_t param_bytes(const struct param_def *p); /* of this one, when it is a text */
#define PROTO_STRINGS_MAX 1000		       /* strings of one T_STRINGS */
#define PROTO_REQUEST_ID_MAX 64
#define PROTO_REASON_MAX 1000

/* What an entry of the suppression list can be from, for two tables: policy/suppress.h. */
#define SUPPRESS_SOURCES "hand|import|hard-bounce|bounce|complaint"

/*
 * Checks params (an object, or NULL for none) against the table: unknown names, missing ones,
 * types, ranges, choices, a demanded reason. The message says what would be right and names the
 * parameter. A null value counts as absent. What T_FILTER, T_AUDIT_FILTER, T_TARGET, T_MSGID and
 * T_CURSOR say is only checked to be text: their grammars live above this layer.
 */
int method_check(const struct method_def *m, const json_t *params, struct err *err) MUST_CHECK;
/* T_AGE in either of its forms; false when it is neither. */
bool proto_age(const json_t *value, int64_t *ret_s);

/*
 * Appends the command line of a call, to be pasted into a shell: the command line reads it back as
 * exactly these parameters. A file's parameter has its path; a demanded reason that is not there
 * is TEXT, as help has it.
 */
void proto_put_command(struct buf *b, const struct method_def *m, const json_t *params);
/* "1d2h": exactly, as T_AGE takes it. */
void proto_put_age(struct buf *b, int64_t s);
/* One value other than true, as it stands in that line before it is quoted. */
void proto_put_value(struct buf *b, const struct param_def *p, const json_t *v);
/* A T_STRINGS of such a value: commas part the strings, "\\," is a comma and "\\\\" a backslash.
 * Returns owned. */
json_t *proto_strings(struct str text);

enum field_kind {
	FK_TEXT,
	FK_INT,
	FK_COUNT,
	FK_SIZE, /* bytes */
	FK_AGE,	 /* seconds, name ends in _s */
	FK_MS,	 /* milliseconds, name ends in _ms */
	FK_TIME, /* RFC 3339, name ends in _at */
	FK_BOOL,
	FK_OBJECT, /* object or array; not a column */
};

enum {
	FF_WIDE = 1u << 0, /* a column only in wide tables */
	FF_SORT = 1u << 1, /* the relay can sort by it */
	FF_HIDE = 1u << 2, /* never a column */
};

/* One field of one entity: what the relay sends, and how the console and the command line show it.
 */
struct field_def {
	const char *entity;
	const char *name;
	enum field_kind kind;
	const char *title;
	int width;    /* columns wanted */
	int priority; /* columns of higher numbers disappear first when room is short */
	unsigned flags;
	const char *help;
	/* What these mean, such as "all"; NULL: nothing of their own. Changes are told with these
	 * words (ctl/change_text.h). */
	const char *null;
	const char *empty;
	const char *zero;
};
extern const struct field_def field_defs[];
extern const size_t field_defs_n;
const struct field_def *field_find(const char *entity, const char *name); /* NULL when unknown */
/* Its help, and what null, an empty one and 0 mean. */
void field_put_help(struct buf *b, const struct field_def *f);

/* Subscriptions. */
enum topic {
#define TOPIC(id, ...) TOPIC_##id,
#include "proto/topics.def"
#undef TOPIC
	TOPIC__COUNT
};
const char *topic_name(enum topic t);
const char *topic_help(enum topic t);
int topic_from_name(const char *name); /* enum topic, or -1 */

/*
 * Messages. Each appends one line with its '\n'; false (and nothing appended, b->full set) when the
 * buffer's limit is reached. Ids are 1 and above; an error for id 0 answers a line whose id could
 * not be read, and carries null.
 */
bool proto_put_request(struct buf *b, uint64_t id, const char *method, const json_t *params);
bool proto_put_result(struct buf *b, uint64_t id, const json_t *result);
bool proto_put_result_text(struct buf *b, uint64_t id, struct str json);
bool proto_put_error(struct buf *b, uint64_t id, const struct err *err);
bool proto_put_notify(struct buf *b, const char *method, const json_t *params);

/* One line from the other side, taken apart. */
struct proto_msg {
	json_t *root; /* owned; proto_msg_done() */
	bool has_id;
	uint64_t id;
	const char *method;   /* borrowed from root; NULL in a response */
	const json_t *params; /* borrowed; NULL when absent, else an object */
	const json_t *result; /* borrowed; NULL unless a good response */
	bool is_error;
	struct err error; /* in an error response */
};
/*
 * ERR_PARSE with the column when the line is not JSON, ERR_FRAME when it is not a message. Nothing
 * is owned after a failure, but has_id and id are set when they could be read, so that the
 * refusal can be addressed.
 */
int proto_parse(struct str line, struct proto_msg *ret_msg, struct err *err) MUST_CHECK;
void proto_msg_done(struct proto_msg *m);

#endif
