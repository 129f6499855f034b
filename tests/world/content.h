/*
 * content - a message as it comes in after DATA: strict line ends, digests, the fields of interest.
 *
 * Model:   content_line() takes lines one by one until it says that the message ended. Nothing is
 *          kept but digests and the first CONTENT_HEAD_MAX bytes.
 * Errors:  what a client must not send is counted and the last of it named: bare CR, bare LF, lines
 *          above 998 bytes.
 */
#ifndef WORLD_CONTENT_H
#define WORLD_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define CONTENT_HEX_LEN (2 * 32 + 1)
#define CONTENT_HEAD_MAX (64u * 1024)
#define CONTENT_LINE_MAX 998

struct evp_md_ctx_st; /* EVP_MD_CTX; openssl/evp.h clashes with base/err.h */

struct content {
	struct evp_md_ctx_st *whole;
	struct evp_md_ctx_st *body;
	struct buf head;
	bool in_head;	   /* the header has not ended */
	const char *fault; /* the last thing wrong, or NULL */
	int64_t faults;
	bool bare_lf;
	size_t size;
};

struct content *content_new(void);
void content_free(struct content **cp);
/* One line with its end, still dot-stuffed. True when it was the final dot. */
bool content_line(struct content *c, struct str line);
/* Finishes the digests; in hex. */
void content_digests(struct content *c, char ret_whole[static CONTENT_HEX_LEN],
		     char ret_body[static CONTENT_HEX_LEN]);
/* Value of a header field, folded lines and all, trimmed; empty when absent. Borrows. */
struct str content_field(const struct content *c, const char *name);

#endif
