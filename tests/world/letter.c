/*
 * Everything is drawn from tables of words; the weights of domains.def decide who gets the mail.
 */
#include "world/letter.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"

#define SIZE_MIN 1024
#define SIZE_DOUBLINGS 6 /* up to 64 times SIZE_MIN, less what letter_write() cuts */
#define SIZE_MAX_BYTES (60 * 1024)
#define PERCENT_UNKNOWN_USER 4
#define PERCENT_FULL_USER 3
#define PERCENT_ESCAPE 1
#define BASE64_LINE 76

enum body { BODY_PLAIN, BODY_ALTERNATIVE, BODY_ATTACHMENT };

static const struct kind {
	const char *from;
	const char *name;
	unsigned weight;
	size_t rcpts_max;
	enum body body;
	const char *subjects[4];
} kinds[] = {
	{ "receipts@shop.example",
	  "Shop Receipts",
	  40,
	  1,
	  BODY_PLAIN,
	  { "Your order %llu is on its way", "Receipt for order %llu",
	    "=?utf-8?B?SWhyZSBCZXN0ZWxsdW5n?= %llu =?utf-8?Q?ist_unterwegs_=E2=9C=93?=",
	    "Commande n\302\272 %llu exp\303\251di\303\251e" } },
	{ "password-resets@accounts.example",
	  "Account Security",
	  25,
	  1,
	  BODY_PLAIN,
	  { "Reset your password", "New sign-in to your account (%llu)",
	    "=?iso-8859-1?Q?Passwort_zur=FCcksetzen?=", "Your code is %llu" } },
	{ "news@letters.example",
	  "Weekly Letters",
	  20,
	  LETTER_RCPTS_MAX,
	  BODY_ALTERNATIVE,
	  { "This week in letters, no. %llu", "Autumn sale: a fifth off until Sunday",
	    "=?utf-8?Q?Caf=C3=A9s_worth_the_walk?=", "Ten things we learned" } },
	{ "invoices@shop.example",
	  "Shop Billing",
	  14,
	  2,
	  BODY_ATTACHMENT,
	  { "Invoice %llu", "Rechnung Nr. %llu", "=?utf-8?B?44GU6KuL5rGC5pu4?= %llu",
	    "Reminder: invoice %llu is due" } },
	/* A bounce of ours, as relays see them too: the null sender. */
	{ "",
	  "Mail System",
	  1,
	  1,
	  BODY_PLAIN,
	  { "Out of office", "Out of office", "Away", "Away" } },
};

static const char *const given_names[] = { "anna",  "bela",  "chen",   "dara",	 "emre",  "fatima",
					   "greta", "hugo",  "ines",   "jonas",	 "kira",  "luis",
					   "maria", "nadia", "oskar",  "priya",	 "quinn", "rosa",
					   "samir", "tove",  "ursula", "viktor", "wanda", "yuki" };
static const char *const words[] = {
	"the",	    "order",   "you",	  "placed",    "on",	      "Tuesday",
	"has",	    "left",    "our",	  "warehouse", "and",	      "should",
	"arrive",   "within",  "three",	  "days",      "please",      "keep",
	"this",	    "message", "for",	  "your",      "records",     "if",
	"anything", "is",      "missing", "write",     "to",	      "us",
	"with",	    "number",  "above",	  "we",	       "look",	      "forward",
	"hearing",  "from",    "again",	  "soon",      "caf\303\251", "gr\303\274\303\237e"
};

static uint64_t below(struct world *w, uint64_t n)
{
	return world_random(w) % n;
}

void letter_init(struct letter *l)
{
	memset(l, 0, sizeof(*l));
	l->text = BUF_INIT(LETTER_MAX);
}

void letter_done(struct letter *l)
{
	buf_done(&l->text);
}

static const struct kind *pick_kind(struct world *w)
{
	uint64_t total = 0, at;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		total += kinds[i].weight;
	at = below(w, total);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (at < kinds[i].weight)
			return &kinds[i];
		at -= kinds[i].weight;
	}
	BUG("weights do not add up");
}

static const struct domain *pick_domain(struct world *w)
{
	uint64_t total = 0, at;

	for (size_t i = 0; i < w->domains_n; i++)
		total += w->domains[i].weight;
	at = below(w, total);
	for (size_t i = 0; i < w->domains_n; i++) {
		if (at < w->domains[i].weight)
			return &w->domains[i];
		at -= w->domains[i].weight;
	}
	BUG("weights do not add up");
}

static void pick_rcpt(struct world *w, const struct domain *d, char *ret, size_t size)
{
	uint64_t percent = below(w, 100);
	unsigned number = (unsigned)below(w, 1000);
	const char *name = given_names[below(w, ARRAY_LEN(given_names))];

	if (d == NULL)
		d = pick_domain(w);
	if (percent < PERCENT_UNKNOWN_USER)
		name = "nobody";
	else if (percent < PERCENT_UNKNOWN_USER + PERCENT_FULL_USER)
		name = "full";
	if (d->name[0] == '*')
		snprintf(ret, size, "%s.%u@d%u%s", name, number, number % 50, d->name + 1);
	else
		snprintf(ret, size, "%s.%u@%s", name, number, d->name);
}

static void put_text(struct buf *b, struct world *w, size_t upto)
{
	size_t column = 0;

	while (b->n < upto) {
		const char *word = words[below(w, ARRAY_LEN(words))];

		buf_puts(b, word);
		column += strlen(word) + 1;
		if (column > 66) {
			/* A line that begins with a dot, stuffed, to keep both sides honest. */
			buf_puts(b, below(w, 40) == 0 ? ".\r\n..and so on " : "\r\n");
			column = 0;
		} else {
			buf_putc(b, ' ');
		}
	}
	buf_puts(b, "\r\n");
}

static void put_base64(struct buf *b, struct world *w, size_t upto)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char line[BASE64_LINE + 2];

	memcpy(line + BASE64_LINE, "\r\n", 2);
	while (b->n < upto) {
		for (size_t i = 0; i < BASE64_LINE; i++)
			line[i] = digits[below(w, 64)];
		buf_put(b, line, sizeof(line));
	}
}

static void put_body(struct buf *b, struct world *w, enum body body, size_t upto)
{
	static const char plain[] = "Content-Type: text/plain; charset=utf-8\r\n"
				    "Content-Transfer-Encoding: 8bit\r\n\r\n";
	unsigned long long mark = (unsigned long long)world_random(w);

	buf_puts(b, "MIME-Version: 1.0\r\n");
	if (body == BODY_PLAIN) {
		buf_puts(b, plain);
		put_text(b, w, upto);
		return;
	}
	buf_printf(b, "Content-Type: multipart/%s; boundary=\"=_%llx\"\r\n\r\n--=_%llx\r\n%s",
		   body == BODY_ALTERNATIVE ? "alternative" : "mixed", mark, mark, plain);
	put_text(b, w, b->n + (upto - b->n) / 3);
	if (body == BODY_ALTERNATIVE) {
		buf_printf(b,
			   "\r\n--=_%llx\r\nContent-Type: text/html; charset=utf-8\r\n"
			   "Content-Transfer-Encoding: 8bit\r\n\r\n<html><body><p>\r\n",
			   mark);
		put_text(b, w, upto);
		buf_puts(b, "</p></body></html>\r\n");
	} else {
		buf_printf(b,
			   "\r\n--=_%llx\r\nContent-Type: application/pdf; name=\"invoice.pdf\"\r\n"
			   "Content-Disposition: attachment; filename=\"invoice.pdf\"\r\n"
			   "Content-Transfer-Encoding: base64\r\n\r\n",
			   mark);
		put_base64(b, w, upto);
	}
	buf_printf(b, "\r\n--=_%llx--\r\n", mark);
}

static void put_subject(struct buf *b, struct world *w, const struct kind *k)
{
	const char *subject = k->subjects[below(w, ARRAY_LEN(k->subjects))];
	const char *number = strstr(subject, "%llu");

	buf_puts(b, "Subject: ");
	if (below(w, 100) < PERCENT_ESCAPE)
		buf_puts(b, "\x1b]0;gotcha\x07\x1b[2J\x1b[31m");
	if (number == NULL)
		buf_puts(b, subject);
	else
		buf_printf(b, "%.*s%u%s", (int)(number - subject), subject,
			   (unsigned)(100000 + below(w, 900000)), number + 4);
	buf_puts(b, "\r\n");
}

void letter_write(struct letter *l, struct world *w, const struct domain *only)
{
	const struct kind *k = pick_kind(w);
	size_t size = (size_t)SIZE_MIN << below(w, SIZE_DOUBLINGS);
	char date[FMT_TIME_LEN];

	size += below(w, size);
	if (size > SIZE_MAX_BYTES)
		size = SIZE_MAX_BYTES;
	l->from = k->from;
	l->rcpts_n = only != NULL || k->rcpts_max == 1 ? 1 : 1 + below(w, k->rcpts_max);
	for (size_t i = 0; i < l->rcpts_n; i++)
		pick_rcpt(w, only, l->rcpts[i], sizeof(l->rcpts[i]));
	fmt_mail_date(loop_wall_ms(w->loop), date);
	buf_reset(&l->text);
	buf_printf(&l->text,
		   "From: %s <%s>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%016llx@%s>\r\n", k->name,
		   k->from[0] != '\0' ? k->from : "mailer-daemon@accounts.example", l->rcpts[0],
		   date, (unsigned long long)world_random(w),
		   k->from[0] != '\0' ? strchr(k->from, '@') + 1 : "accounts.example");
	put_subject(&l->text, w, k);
	put_body(&l->text, w, k->body, size);
}
