/* Filters over the store: which expression holds a field, and which tables it needs. */
#include "queue/queue_int.h"

#include "base/mem.h"
#include "base/obj.h"

/* The numbers are those of enum reply_class, which are stored. */
static const char *const class_names[] = {
#define REPLY_CLASS(id, name, ...) name,
#include "outcome/classes.def"
#undef REPLY_CLASS
};

#define NEEDS_MESSAGE                                                                              \
	(1u << FILTER_FROM | 1u << FILTER_SENDER_DOMAIN | 1u << FILTER_SUBJECT |                   \
	 1u << FILTER_CREDENTIAL | 1u << FILTER_CLIENT | 1u << FILTER_AGE | 1u << FILTER_MSGID)
#define NEEDS_EVENT (1u << FILTER_ENHANCED | 1u << FILTER_TEXT)
#define NEVER_KNOWN (1u << FILTER_PROVIDER)

static void message_fields(struct filter_columns *c)
{
	c->expr[FILTER_FROM] = "m.sender";
	c->expr[FILTER_SENDER_DOMAIN] = "weir_domain(m.sender)";
	c->expr[FILTER_SUBJECT] = "m.subject";
	c->expr[FILTER_CREDENTIAL] = "m.credential";
	c->expr[FILTER_CLIENT] = "m.client";
	c->expr[FILTER_AGE] = "m.received_ms";
	c->expr[FILTER_MSGID] = "m.msgid_header";
}

static void rcpt_fields(struct filter_columns *c)
{
	c->expr[FILTER_ID] = "r.rid";
	c->expr[FILTER_TO] = "r.address";
	c->expr[FILTER_CODE] = "nullif(r.code, 0)";
	c->expr[FILTER_ENHANCED] = "e.enhanced";
	c->expr[FILTER_TEXT] = "e.reply";
	c->expr[FILTER_NEXT] = "r.next_ms";
	c->expr[FILTER_ATTEMPTS] = "r.attempts";
	c->expr[FILTER_SIZE] = "r.size";
}

static void event_fields(struct filter_columns *c)
{
	c->expr[FILTER_ID] = "e.rid";
	c->expr[FILTER_TO] = "coalesce(nullif(e.address, ''), r.address, d.address)";
	c->expr[FILTER_CODE] = "nullif(e.code, 0)";
	c->expr[FILTER_ENHANCED] = "e.enhanced";
	c->expr[FILTER_TEXT] = "e.reply";
	c->expr[FILTER_NEXT] = "r.next_ms";
	c->expr[FILTER_ATTEMPTS] = "coalesce(r.attempts, d.attempts)";
	c->expr[FILTER_SIZE] = "m.size";
}

/* --- fields that are numbers of names --------------------------------------------------------- */

struct special {
	enum list_kind kind;
	struct str relay;
};

static int name_is(const char *column, struct str pattern, struct buf *sql,
		   struct filter_binds *binds)
{
	char lower[QUEUE_NAME_MAX + 1];
	if (pattern.n == 0) {
		(void)buf_printf(sql, "%s = 0", column);
		return 1;
	}
	if (str_index(pattern, '*') >= 0) {
		AUTO_BUF like = BUF_INIT(2 * FILTER_TEXT_MAX);
		(void)filter_like(pattern, false, &like);
		(void)buf_printf(sql, "%s IN (SELECT id FROM names WHERE text LIKE ? ESCAPE '\\')",
				 column);
		filter_bind_text(binds, buf_str(&like));
		return 1;
	}
	size_t n = pattern.n < sizeof(lower) ? pattern.n : sizeof(lower);
	for (size_t k = 0; k < n; k++) {
		char c = pattern.p[k];
		lower[k] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	(void)buf_printf(sql, "%s = (SELECT id FROM names WHERE text = ?)", column);
	filter_bind_text(binds, str_from(lower, n));
	return 1;
}

static int class_is(const char *column, struct str pattern, struct buf *sql)
{
	(void)buf_printf(sql, "%s IN (", column);
	const char *comma = "";
	for (size_t k = 0; k < ARRAY_LEN(class_names); k++) {
		struct str name = str_of(class_names[k]);
		if (pattern.n == 0 ? name.n > 0 : name.n == 0 || !str_glob(pattern, name))
			continue;
		(void)buf_printf(sql, "%s%zu", comma, k);
		comma = ", ";
	}
	(void)buf_putc(sql, ')');
	return 1;
}

static int on_special(void *arg, enum filter_field field, struct str pattern, struct buf *sql,
		      struct filter_binds *binds, struct err *err)
{
	const struct special *s = arg;
	bool event = s->kind == LIST_EVENTS;
	(void)err;
	if (field == FILTER_DOMAIN)
		return name_is(event ? "e.domain" : "r.domain", pattern, sql, binds);
	if (field == FILTER_STREAM)
		return name_is(event ? "e.stream" : "r.stream", pattern, sql, binds);
	if (field == FILTER_CLASS)
		return class_is(event ? "e.class" : "r.class", pattern, sql);
	if (field != FILTER_RELAY)
		return 0;
	(void)buf_putc(sql, str_glob(pattern, s->relay) ? '1' : '0');
	return 1;
}

/* --- a list's conditions ---------------------------------------------------------------------- */

static void add_tables(enum list_kind kind, uint32_t uses, struct buf *sql)
{
	if (kind == LIST_EVENTS) {
		(void)buf_puts(sql, "events e");
		if ((uses & (NEEDS_MESSAGE | 1u << FILTER_SIZE)) != 0)
			(void)buf_puts(sql, " LEFT JOIN messages m ON m.id = e.rid >> 13");
		if ((uses & (1u << FILTER_TO | 1u << FILTER_NEXT | 1u << FILTER_ATTEMPTS)) != 0)
			(void)buf_puts(sql, " LEFT JOIN rcpt r ON r.rid = e.rid"
					    " LEFT JOIN done d ON d.rid = e.rid");
		return;
	}
	(void)buf_puts(sql, kind == LIST_ENDED ? "done r" : "rcpt r");
	if ((uses & NEEDS_MESSAGE) != 0)
		(void)buf_puts(sql, " CROSS JOIN messages m ON m.id = r.rid >> 13");
	if ((uses & NEEDS_EVENT) != 0)
		(void)buf_puts(sql, " LEFT JOIN events e ON e.seq = r.last_seq");
}

int list_sql(enum list_kind kind, const struct filter *f, const char *relay, int64_t now_ms,
	     struct buf *sql, struct filter_binds *binds, struct err *err)
{
	struct special special = { .kind = kind, .relay = str_of(relay) };
	struct filter_columns map = { .now_ms = now_ms, .special = on_special, .arg = &special };
	if (f == NULL) {
		add_tables(kind, 0, sql);
		(void)buf_puts(sql, " WHERE 1");
		return 0;
	}
	message_fields(&map);
	switch (kind) {
	case LIST_QUEUED:
		map.unknown = NEVER_KNOWN | 1u << FILTER_STATE;
		rcpt_fields(&map);
		break;
	case LIST_ENDED:
		map.unknown = NEVER_KNOWN;
		rcpt_fields(&map);
		map.expr[FILTER_NEXT] = "NULL";
		map.expr[FILTER_STATE] =
			"CASE r.outcome WHEN 3 THEN 'delivered' WHEN 4 THEN"
			" 'failed' WHEN 5 THEN 'expired' WHEN 9 THEN 'bounced' ELSE"
			" 'deleted' END";
		break;
	case LIST_EVENTS:
		map.unknown = NEVER_KNOWN | 1u << FILTER_STATE;
		event_fields(&map);
		break;
	case LIST_CAUSES:
		rcpt_fields(&map);
		break;
	}
	add_tables(kind, filter_uses(f), sql);
	(void)buf_puts(sql, " WHERE (");
	int got = filter_sql(f, &map, sql, binds, err);
	(void)buf_putc(sql, ')');
	return got;
}

int list_prepare(struct reader *r, const struct buf *sql, const struct filter_binds *binds,
		 struct db_stmt **ret_stmt, struct err *err)
{
	if (sql->full)
		return err_set(err, ERR_LIMIT, "the filter is too long");
	int got = db_prepare(r->db, buf_cstr(sql), ret_stmt, err);
	for (size_t k = 0; k < binds->n && got >= 0; k++) {
		const struct filter_bind *b = &binds->v[k];
		if (b->text != NULL)
			db_bind_text(*ret_stmt, (int)k + 1, str_of(b->text));
		else
			db_bind_int(*ret_stmt, (int)k + 1, b->i);
	}
	return got;
}
