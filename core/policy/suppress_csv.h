/*
 * suppress_csv - suppressions in a file, a line each, as other systems export them.
 *
 * Model:   fields stand between commas, semicolons or tabs (what comes first in the file decides),
 *          quoted where they have to be (RFC 4180; a line end inside quotes is not taken). A first
 *          line that names its fields says which is which: address (email, recipient), stream
 *          (scope), reason (note, comment), expires_at (expires, until); others are passed over.
 *          Without one the first field is the address and the second the reason. Empty lines and
 *          those that begin with # say nothing.
 * Errors:  ERR_INVALID with what is wrong in the line; the next line may be all right.
 */
#ifndef POLICY_SUPPRESS_CSV_H
#define POLICY_SUPPRESS_CSV_H

#include "policy/suppress.h"

enum suppress_csv_field { CSV_ADDRESS, CSV_STREAM, CSV_REASON, CSV_EXPIRES, CSV__COUNT };

struct suppress_csv {
	bool begun;
	char separator;
	int column[CSV__COUNT]; /* from 0; -1: there is none */
};
#define SUPPRESS_CSV_INIT ((struct suppress_csv){ .separator = ',' })

struct suppress_csv_row {
	char address[ADDRESS_DOMAIN_MAX + 1]; /* canonical */
	char scope[SUPPRESS_SCOPE_MAX + 1];
	char reason[SUPPRESS_REASON_MAX + 1];
	int64_t expires_ms; /* 0: never */
};

/* One line without its end (a CR is cut off): 1 with *ret_row; 0 when it says nothing. */
int suppress_csv_line(struct suppress_csv *c, struct str line, struct suppress_csv_row *ret_row,
		      struct err *err) MUST_CHECK;
/* Appends a field, quoted when it has to be. */
struct buf;
bool suppress_csv_put(struct buf *out, struct str field);

#endif
