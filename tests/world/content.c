/*
 * The head is collected to find the fields and where the trace fields on top end; from there on the
 * second digest runs, which is the same before and after the relay that put its Received on top.
 */
#include "world/content.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

static EVP_MD_CTX *digest_new(void)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ASSERT(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	return md;
}

struct content *content_new(void)
{
	struct content *c = xcalloc(1, sizeof(*c));

	c->whole = digest_new();
	c->body = digest_new();
	c->head = BUF_INIT(CONTENT_HEAD_MAX);
	c->in_head = true;
	return c;
}

void content_free(struct content **cp)
{
	struct content *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	EVP_MD_CTX_free(c->whole);
	EVP_MD_CTX_free(c->body);
	buf_done(&c->head);
	free(c);
	*cp = NULL;
}

/* Cuts one header field with its folded lines off *rest. */
static struct str cut_field(struct str *rest)
{
	size_t n = 0;

	do {
		const char *lf = memchr(rest->p + n, '\n', rest->n - n);
		n = lf != NULL ? (size_t)(lf - rest->p) + 1 : rest->n;
	} while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'));
	struct str field = str_from(rest->p, n);
	*rest = str_from(rest->p + n, rest->n - n);
	return field;
}

static void end_head(struct content *c)
{
	struct str rest = buf_str(&c->head);
	struct str below = rest;

	c->in_head = false;
	while (rest.n > 0) {
		struct str field = cut_field(&rest);

		if (!str_starts_nocase(field, STR("received:")) &&
		    !str_starts_nocase(field, STR("return-path:")))
			break;
		below = rest;
	}
	EVP_DigestUpdate(c->body, below.p, below.n);
}

static void fault(struct content *c, const char *text)
{
	c->fault = text;
	c->faults++;
}

static void check_line(struct content *c, struct str line)
{
	size_t text = line.n - 1;

	if (text == 0 || line.p[text - 1] != '\r') {
		fault(c, "bare LF in the message");
		c->bare_lf = true;
	} else {
		text--;
	}
	if (memchr(line.p, '\r', text) != NULL)
		fault(c, "bare CR in the message");
	if (text > CONTENT_LINE_MAX + (line.p[0] == '.'))
		fault(c, "line longer than 998 bytes");
}

bool content_line(struct content *c, struct str line)
{
	if (str_eq(line, STR(".\r\n"))) {
		if (c->in_head)
			end_head(c);
		return true;
	}
	check_line(c, line);
	if (line.p[0] == '.')
		line = str_from(line.p + 1, line.n - 1);
	c->size += line.n;
	EVP_DigestUpdate(c->whole, line.p, line.n);
	if (c->in_head && c->head.n + line.n > CONTENT_HEAD_MAX)
		end_head(c);
	buf_put_str(&c->head, line);
	if (!c->in_head)
		EVP_DigestUpdate(c->body, line.p, line.n);
	else if (str_eq(line, STR("\r\n")) || str_eq(line, STR("\n")))
		end_head(c);
	return false;
}

static void finish(EVP_MD_CTX *md, char ret[static CONTENT_HEX_LEN])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	ASSERT(EVP_DigestFinal_ex(md, raw, &n) == 1 && n * 2 + 1 == CONTENT_HEX_LEN);
	for (unsigned i = 0; i < n; i++)
		snprintf(ret + (size_t)i * 2, 3, "%02x", raw[i]);
}

void content_digests(struct content *c, char ret_whole[static CONTENT_HEX_LEN],
		     char ret_body[static CONTENT_HEX_LEN])
{
	finish(c->whole, ret_whole);
	finish(c->body, ret_body);
}

struct str content_field(const struct content *c, const char *name)
{
	struct str rest = buf_str(&c->head);

	while (rest.n > 0 && rest.p[0] != '\r' && rest.p[0] != '\n') {
		struct str value = cut_field(&rest);
		struct str key = str_cut(&value, ':');

		if (!str_eq_nocase(key, str_of(name)))
			continue;
		while (value.n > 0 && strchr("\r\n \t", value.p[value.n - 1]) != NULL)
			value.n--;
		return str_trim(value);
	}
	return STR("");
}
