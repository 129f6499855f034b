#include "lib/cred_made.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/obj.h"

static void put_bytes(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	(void)buf_printf(out, "\"%s\":\"", name);
	(void)base64_put(out, str_from((const char *)p, n));
	(void)buf_puts(out, "\"");
}

static void put_secret(struct buf *out, const char *text, const uint8_t *salt)
{
	struct str rest = str_of(text);
	struct str id = str_cut(&rest, '=');
	struct str secret = str_cut(&rest, ';');
	struct cred_keys keys;

	cred_derive(secret, salt, &keys);
	(void)buf_printf(out, "{\"id\":\"%.*s\",\"expires_ms\":%.*s,", STR_ARG(id),
			 rest.n > 0 ? (int)rest.n : 1, rest.n > 0 ? rest.p : "0");
	put_bytes(out, "stored_key", keys.stored, DIGEST_LEN);
	(void)buf_putc(out, ',');
	put_bytes(out, "server_key", keys.server, DIGEST_LEN);
	(void)buf_putc(out, '}');
}

void cred_make_with(struct creds *c, const char *name, const char *more,
		    const char *const secrets[4])
{
	AUTO_BUF json = BUF_INIT(5000);
	uint8_t salt[CRED_SALT_LEN];
	struct err err = ERR_INIT;

	creds_salt(c, str_of(name), salt);
	(void)buf_printf(&json, "{\"name\":\"%s\",\"iterations\":%d,%s", name, CRED_ITERATIONS,
			 more);
	put_bytes(&json, "salt", salt, sizeof(salt));
	(void)buf_puts(&json, ",\"secrets\":[");
	for (int i = 0; i < 4 && secrets[i] != NULL; i++) {
		(void)buf_puts(&json, i > 0 ? "," : "");
		put_secret(&json, secrets[i], salt);
	}
	(void)buf_puts(&json, "]}");
	if (creds_put(c, buf_cstr(&json), &err) < 0)
		BUG("%s: %s", buf_cstr(&json), err.msg);
}
