/*
 * Tables. A recipient's id has its message's in it, so that one tree in the order of ids serves
 * both and no further index is kept.
 *
 *	messages	envelopes of all messages, queued and finished
 *	rcpt		queued recipients; where the content is stands in each
 *	done		finished ones, the same columns: what is queued stays dense
 *	events		the feed, and with it each recipient's attempts: last_seq of the recipient,
 *then prev of each event, lead through them
 *	audit		who changed what (queue/audit.h)
 *	connections	what was said on one before its transactions; refs: events that have its id
 *	config		versions of what operators edit (queue/versions.h)
 *	suppress	the suppression list
 *	late		recipients of whom something came back by mail, or whose sender was told
 *			of it, for as long as it may come again
 *	causes		(code, class, enhanced code, normalised text) of last deferrals
 *
 * Migrations are only ever added at the end; user_version counts those that were made.
 */
#include "queue/queue_int.h"

#include "base/mem.h"
#include "base/obj.h"

#define RECIPIENT_COLUMNS                                                                          \
	"(rid INTEGER PRIMARY KEY, domain INTEGER NOT NULL, stream INTEGER NOT NULL,"              \
	" outcome INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,"                \
	" code INTEGER NOT NULL DEFAULT 0, class INTEGER NOT NULL DEFAULT 0,"                      \
	" cause INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0,"                   \
	" expires_ms INTEGER NOT NULL, last_seq INTEGER NOT NULL DEFAULT 0,"                       \
	" size INTEGER NOT NULL, segment INTEGER NOT NULL DEFAULT 0,"                              \
	" offset INTEGER NOT NULL DEFAULT 0, length INTEGER NOT NULL DEFAULT 0,"                   \
	" address TEXT NOT NULL);"

static const char *const migrations[] = {
	"CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), last_id INTEGER NOT NULL,"
	" last_seq INTEGER NOT NULL, synced_seq INTEGER NOT NULL, clean_seq INTEGER NOT NULL,"
	" ended_n INTEGER NOT NULL);"
	"INSERT INTO meta VALUES(1, 0, 0, 0, 0, 0);"
	"CREATE TABLE names(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"
	"CREATE TABLE messages(id INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL,"
	" expires_ms INTEGER NOT NULL, size INTEGER NOT NULL, stream INTEGER NOT NULL,"
	" eight_bit INTEGER NOT NULL, received_seq INTEGER NOT NULL,"
	" ended_seq INTEGER NOT NULL DEFAULT 0, sender TEXT NOT NULL, client TEXT NOT NULL,"
	" helo TEXT NOT NULL, msgid_header TEXT NOT NULL, subject TEXT NOT NULL,"
	" credential TEXT NOT NULL);"
	"CREATE TABLE rcpt" RECIPIENT_COLUMNS "CREATE TABLE done" RECIPIENT_COLUMNS
	"CREATE TABLE events(seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, prev INTEGER NOT NULL,"
	" at_ms INTEGER NOT NULL, outcome INTEGER NOT NULL, code INTEGER NOT NULL,"
	" class INTEGER NOT NULL, duration_ms INTEGER NOT NULL, domain INTEGER NOT NULL,"
	" stream INTEGER NOT NULL, enhanced TEXT NOT NULL, reply TEXT NOT NULL,"
	" host TEXT NOT NULL, ip TEXT NOT NULL, source TEXT NOT NULL, tls TEXT NOT NULL);"
	"CREATE TABLE causes(id INTEGER PRIMARY KEY, code INTEGER NOT NULL,"
	" class INTEGER NOT NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL);"
	"CREATE TABLE objects(kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL,"
	" PRIMARY KEY(kind, id)) WITHOUT ROWID;"
	"CREATE TABLE object_versions(kind TEXT NOT NULL, id TEXT NOT NULL,"
	" version INTEGER NOT NULL, at_ms INTEGER NOT NULL, action INTEGER NOT NULL, json TEXT,"
	" PRIMARY KEY(kind, id, version)) WITHOUT ROWID;"
	"CREATE TABLE actions(id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,"
	" undo_until_ms INTEGER NOT NULL, who TEXT NOT NULL, from_where TEXT NOT NULL,"
	" role TEXT NOT NULL, method TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL,"
	" request TEXT NOT NULL, state TEXT NOT NULL, result TEXT NOT NULL, undo TEXT NOT NULL,"
	" rids_n INTEGER NOT NULL, rids BLOB);",

	"ALTER TABLE messages ADD COLUMN smtputf8 INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE messages ADD COLUMN ret INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE messages ADD COLUMN envid TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE rcpt ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE rcpt ADD COLUMN orcpt TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE done ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE done ADD COLUMN orcpt TEXT NOT NULL DEFAULT '';",

	/* the audit log, see queue/audit.h */
	"CREATE TABLE audit(seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,"
	" uid INTEGER NOT NULL, action INTEGER NOT NULL, who TEXT NOT NULL,"
	" from_where TEXT NOT NULL, role TEXT NOT NULL, method TEXT NOT NULL,"
	" target TEXT NOT NULL, reason TEXT NOT NULL, result TEXT NOT NULL,"
	" changes TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL);",

	/* what was said in attempts */
	"ALTER TABLE events ADD COLUMN connection INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE events ADD COLUMN talk BLOB;"
	"CREATE TABLE connections(id INTEGER PRIMARY KEY, refs INTEGER NOT NULL,"
	" talk BLOB NOT NULL);",
	"CREATE TABLE config(version INTEGER PRIMARY KEY, action INTEGER NOT NULL,"
	" changes TEXT NOT NULL);",

	"CREATE TABLE suppress(id TEXT PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL,"
	" by TEXT NOT NULL, message TEXT NOT NULL, reply TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, last_hit_ms INTEGER NOT NULL,"
	" hits INTEGER NOT NULL, batch INTEGER NOT NULL, watch INTEGER NOT NULL) WITHOUT ROWID;",
	/* when a reply was said, and since when a cause is there */
	"ALTER TABLE events ADD COLUMN phase INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE causes ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;",

	/* what undo needs may have secrets, and goes; what nobody read goes, too */
	"ALTER TABLE actions ADD COLUMN wipe INTEGER NOT NULL DEFAULT 0;"
	"PRAGMA secure_delete=ON; DROP TABLE object_versions; PRAGMA secure_delete=OFF;",

	/* whom an event is about that belongs to no message */
	"ALTER TABLE events ADD COLUMN address TEXT NOT NULL DEFAULT '';",
	/* what came back by mail, so that it counts once */
	"CREATE TABLE late(rid INTEGER NOT NULL, outcome INTEGER NOT NULL,"
	" until_ms INTEGER NOT NULL, PRIMARY KEY(rid, outcome)) WITHOUT ROWID;"
	"CREATE INDEX late_until ON late(until_ms);",
	/* and the message that tells the sender of it */
	"ALTER TABLE late ADD COLUMN report INTEGER NOT NULL DEFAULT 0;",
	/* how far suppressions follow from events */
	"ALTER TABLE meta ADD COLUMN suppress_seq INTEGER NOT NULL DEFAULT 0;"
	"UPDATE meta SET suppress_seq = last_seq;",
	/* what was told by a message, asked for each one that a start finds is not there */
	"CREATE INDEX late_report ON late(report) WHERE report <> 0;",
};

static int version_get(struct db *d, int64_t *ret_version, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = db_prepare(d, "PRAGMA user_version", &s, err);
	if (got < 0)
		return got;
	got = db_step(s, err);
	if (got > 0)
		*ret_version = db_int(s, 0);
	db_reset(s);
	db_finalize(&s);
	return got < 0 ? got : 0;
}

static int migrate(struct db *d, size_t k, struct err *err)
{
	AUTO_FREE char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %zu; COMMIT;",
					migrations[k], k + 1);
	int got = db_exec(d, sql, err);
	if (got < 0)
		db_rollback(d);
	return got;
}

int schema_new(struct db *d, bool *ret_new, struct err *err)
{
	int64_t version = 0;
	int got = version_get(d, &version, err);
	if (got >= 0)
		*ret_new = version == 0;
	return got;
}

int schema_open(struct db *d, struct err *err)
{
	int64_t version = 0;
	int got = version_get(d, &version, err);
	if (got < 0)
		return got;
	if (version < 0 || version > (int64_t)ARRAY_LEN(migrations))
		return err_set(err, ERR_CONFIG,
			       "the queue's database was made by a newer release (version %lld; "
			       "this one knows up to %zu)",
			       (long long)version, ARRAY_LEN(migrations));
	for (size_t k = (size_t)version; k < ARRAY_LEN(migrations) && got >= 0; k++)
		got = migrate(d, k, err);
	return got;
}

int schema_prepare(struct writer *w, struct err *err)
{
	static const char *const sql[W__COUNT] = {
#define STMT(id, text) [W_##id] = text,
#include "queue/queue_stmts.def"
#undef STMT
	};
	for (int k = 0; k < W__COUNT; k++) {
		int got = db_prepare(w->db, sql[k], &w->st[k], err);
		if (got < 0)
			return got;
	}
	return 0;
}
