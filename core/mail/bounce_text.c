/*
 * Reports in words. Each program that bounces mail without the parts of RFC 3464 has a sentence by
 * which it is known, and names addresses at the beginning of lines with what happened behind them;
 * what is returned follows a line of its own kind and is no part of it.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "mail/bounce_int.h"

#define LOOK_MAX ((size_t)32 * 1024)
#define LINES_MAX 1000

/* The sentences: the more telling ones first. */
static const struct opening {
	const char *text; /* a glob, of any place in the text */
	const char *format;
	bool sure; /* nobody but that program writes so */
} openings[] = {
	{ "*Hi. This is the *", "qmail", true },
	{ "*This is the qmail-send program*", "qmail", true },
	{ "*This is the mail system at host *", "postfix", true },
	{ "*This is the Postfix program at host *", "postfix", true },
	{ "*----- The following addresses had permanent fatal errors -----*", "sendmail", true },
	{ "*----- The following addresses had transient non-fatal errors -----*", "sendmail",
	  true },
	{ "*----- The following addresses had delivery problems -----*", "sendmail", true },
	{ "*This message was created automatically by mail delivery software*", "exim", true },
	{ "*This is the MAILER-DAEMON, please DO NOT REPLY*", "opensmtpd", true },
	{ "*Delivery to the following recipient* failed permanently*", "gmail", true },
	{ "*There was an error delivering your mail to *", "dma", true },
	{ "*Delivery to the following recipient* has been delayed*", "gmail", true },
	{ "*Your message wasn't delivered to *", "gmail", true },
	{ "*Diagnostic information for administrators:*", "exchange", true },
	{ "*Your message did not reach some or all of the intended recipients*", "exchange", true },
	{ "*Delivery has failed to these recipients*", "exchange", true },
	{ "*The following recipient(s) c*not be reached*", "exchange", true },
	{ "*emote Server returned '*", "exchange", true },
	{ "*Your message to * couldn't be delivered*", "exchange", false },
	{ "*could not be delivered*", "text", false },
	{ "*couldn't be delivered*", "text", false },
	{ "*cannot be delivered*", "text", false },
	{ "*not be delivered to*", "text", false },
	{ "*undeliverable*", "text", false },
	{ "*nable to deliver*", "text", false },
	{ "*delivery failed*", "text", false },
	{ "*delivery failure*", "text", false },
	{ "*failed permanently*", "text", false },
	{ "*delivery to the following recipient*", "text", false },
	{ "*returned to sender*", "text", false },
	{ "*did not reach the following recipient*", "text", false },
	{ "*user unknown*", "text", false },
};

/* It is tried again; whoever is told so has no failure yet. */
static const char *const delays[] = {
	"*THIS IS A WARNING *",
	"*DO NOT NEED TO RESEND*",
	"*will be retried*",
	"*has been delayed*",
	"*has not yet been delivered*",
	"*not been delivered to one or more of its recipients after more than*",
	"*will continue to *",
	"*still being retried*",
	"*transient non-fatal errors*",
	"*A message is delayed for more than*",
	"*No action is required on your part*",
};
static const char *const final[] = {
	"*permanent fatal errors*", "*failed permanently*", "*permanent error*",
	"*has not been retried*",   "*given up*",	    "*retry timeout exceeded*",
};

/* Lines that begin what is returned. */
static const char *const returns[] = {
	"--- Below this line is a copy of the message*",
	"------ This is a copy of *",
	"--- The header of the original message is following*",
	"*-----Original message-----*",
	"*----- Original message -----*",
	"*----- Original message follows -----*",
	"*Original message headers:*",
	"*Message headers follow*",
	"*--- Undelivered message follows ---*",
	"*----- Message header follows -----*",
	"Below is a copy of the original message*",
	"Return-Path: *",
	"Received: *",
};

static bool matches(struct str text, const char *const *globs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_glob(str_of(globs[i]), text))
			return true;
	return false;
}
#define MATCHES(text, globs) matches(text, globs, ARRAY_LEN(globs))

/* The text without what is returned, which is read for the sender that it had. */
static struct str words_of(struct str text, struct bounce *b)
{
	struct str rest = text;

	for (int i = 0; rest.n > 0 && i < LINES_MAX; i++) {
		const char *at = rest.p;
		struct str line = str_trim(str_cut(&rest, '\n'));
		if (!MATCHES(line, returns))
			continue;
		if (str_starts_nocase(line, STR("Return-Path:")) ||
		    str_starts_nocase(line, STR("Received:")))
			rest = str_from(at, (size_t)(text.p + text.n - at));
		while (rest.n > 0 && (*rest.p == '\n' || *rest.p == '\r'))
			rest = str_from(rest.p + 1, rest.n - 1);
		if (rest.n > 0)
			bounce_returned(rest, b);
		return str_from(text.p, (size_t)(at - text.p));
	}
	return text;
}

/* The address with which the line begins; *ret_rest is what follows. */
static bool leads(struct str line, char ret[static ADDRESS_MAX + 1], struct str *ret_rest)
{
	size_t n = 0;
	bool at = false;

	line = str_trim(line);
	while (line.n > 0 && strchr("<'\"*([>", *line.p) != NULL)
		line = str_trim(str_from(line.p + 1, line.n - 1));
	while (n < line.n && (unsigned char)line.p[n] > ' ' &&
	       strchr("<>'\"()[],;", line.p[n]) == NULL && !(line.p[n] == ':' && at)) {
		at = at || line.p[n] == '@';
		n++;
	}
	if (!at || n > ADDRESS_MAX || !bounce_address(str_from(line.p, n), ret))
		return false;
	*ret_rest = str_from(line.p + n, line.n - n);
	while (ret_rest->n > 0 && strchr("<>'\"()[],;: \t", *ret_rest->p) != NULL)
		*ret_rest = str_from(ret_rest->p + 1, ret_rest->n - 1);
	return true;
}

static bool is_known(const struct bounce *b, const char *address)
{
	for (size_t i = 0; i < b->rcpts_n; i++)
		if (strcasecmp(b->rcpts[i].final, address) == 0)
			return true;
	return false;
}

/* What was collected for the last recipient is its reply. */
static void close_block(struct bounce *b, struct buf *said)
{
	if (b->rcpts_n > 0 && said->n > 0 && b->rcpts[b->rcpts_n - 1].text[0] == '\0')
		bounce_reply(buf_str(said), &b->rcpts[b->rcpts_n - 1]);
	buf_reset(said);
}

/* Blanks before it. */
static size_t indent_of(struct str line)
{
	size_t n = 0;

	while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++;
	return n;
}

/* Those begin a block that stand as far from the margin as the first: others are in what is said.
 */
static void read_blocks(struct str words, enum dsn_action action, struct bounce *b)
{
	AUTO_BUF said = BUF_INIT(LOOK_MAX);
	char address[ADDRESS_MAX + 1];
	struct str rest = words, more;
	size_t indent = 0;

	for (int i = 0; rest.n > 0 && i < LINES_MAX; i++) {
		struct str line = str_cut(&rest, '\n');
		if ((b->rcpts_n == 0 || indent_of(line) == indent) && leads(line, address, &more) &&
		    !is_known(b, address)) {
			struct bounce_rcpt *r;
			close_block(b, &said);
			r = bounce_add(b, action);
			if (r == NULL)
				break;
			memcpy(r->final, address, sizeof(address));
			indent = indent_of(line);
			line = more;
		}
		if (b->rcpts_n > 0) {
			(void)buf_put_str(&said, str_trim(line));
			(void)buf_putc(&said, '\n');
		}
	}
	close_block(b, &said);
}

/* Recipients that a field names, and that the words did not. */
static void read_failed(struct str failed, struct bounce *b)
{
	char address[ADDRESS_MAX + 1];

	while (failed.n > 0) {
		struct bounce_rcpt *r;
		if (!bounce_address(str_cut(&failed, ','), address) || is_known(b, address))
			continue;
		r = bounce_add(b, DSN_FAILED);
		if (r != NULL)
			memcpy(r->final, address, sizeof(address));
	}
}

/* Of all that is said, when no recipient has a reply of its own. */
static void read_whole(struct str words, enum dsn_action action, struct bounce *b)
{
	struct bounce_rcpt whole = { .action = action };
	struct bounce_rcpt *r;

	bounce_reply(words, &whole);
	if (b->rcpts_n == 0)
		(void)bounce_add(b, action);
	for (size_t i = 0; i < b->rcpts_n; i++) {
		r = &b->rcpts[i];
		if (r->code != 0 || r->enhanced[0] != '\0')
			continue;
		r->code = whole.code;
		memcpy(r->enhanced, whole.enhanced, sizeof(r->enhanced));
		if (r->text[0] == '\0' || whole.code != 0)
			memcpy(r->text, whole.text, sizeof(r->text));
	}
}

static const struct opening *opening_of(struct str words)
{
	for (size_t i = 0; i < ARRAY_LEN(openings); i++)
		if (str_glob(str_of(openings[i].text), words))
			return &openings[i];
	return NULL;
}

bool bounce_text(struct str text, struct str failed, bool daemon, struct bounce *b)
{
	struct str words = words_of(str_from(text.p, text.n < LOOK_MAX ? text.n : LOOK_MAX), b);
	const struct opening *o = opening_of(words);
	enum dsn_action action =
		MATCHES(words, delays) && !MATCHES(words, final) ? DSN_DELAYED : DSN_FAILED;

	if (failed.n == 0 && (o == NULL || (!o->sure && !daemon)))
		return false;
	b->format = o != NULL && o->sure ? o->format : failed.n > 0 ? "failed-recipients" : "text";
	if (failed.n > 0)
		action = DSN_FAILED;
	read_blocks(words, action, b);
	read_failed(failed, b);
	read_whole(words, action, b);
	return true;
}
