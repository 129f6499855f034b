/* Each line is a function that adds its rows, or notes that it waits for DNS. */
#include "ctl/check_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "route/site.h"
#include "route/spf.h"

#define TEXT_MAX ((size_t)8192)

static const char *const status_names[] = {
	[CHECK_OK] = "ok",	 [CHECK_WARNING] = "warning", [CHECK_MISSING] = "missing",
	[CHECK_WRONG] = "wrong", [CHECK_UNKNOWN] = "unknown",
};

static json_t *text_or_null(const char *s)
{
	return s != NULL && *s != '\0' ? json_text(str_of(s)) : json_null();
}

void check_add(struct check *c, const struct check_line *l, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(
		c->rows,
		json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o}", "name", l->name, "about",
			  text_or_null(l->about), "status", status_names[l->status], "text",
			  json_text(str_of(text)), "found", text_or_null(l->found), "wanted",
			  text_or_null(l->wanted), "publish", text_or_null(l->publish)));
}

const struct dns_answer *check_get(struct check *c, const char *name, enum dns_type type)
{
	const struct dns_answer *a = dnsbook_get(c->in->book, name, type);

	c->waits |= a == NULL;
	return a;
}

bool check_in_trouble(struct check *c, const struct check_line *line, const char *name,
		      const struct dns_answer *a)
{
	struct check_line l = { .name = line->name, .about = line->about, .status = CHECK_UNKNOWN };

	if (a->status != DNS_TROUBLE)
		return false;
	check_add(c, &l, "%s: %s", name, a->trouble);
	return true;
}

/* --- our addresses ---------------------------------------------------------------------------- */

static void add_source(struct check *c, const struct ipaddr *a)
{
	for (size_t i = 0; i < c->source_n; i++)
		if (ipaddr_eq(&c->source[i], a))
			return;
	if (c->source_n < CHECK_SOURCES_MAX)
		c->source[c->source_n++] = *a;
}

static void find_sources(struct check *c)
{
	static const enum dns_type types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };

	for (size_t i = 0; i < c->in->own_n; i++)
		add_source(c, &c->in->own[i]);
	for (size_t t = 0; t < ARRAY_LEN(types) && !c->in->only; t++) {
		const struct dns_answer *a = check_get(c, c->in->hostname, types[t]);
		for (size_t i = 0; a != NULL && i < a->records_n; i++)
			add_source(c, &a->records[i].ip);
	}
}

static void put_addresses(struct buf *out, const struct dns_answer *a)
{
	char text[IPADDR_TEXT_LEN];

	for (size_t i = 0; a != NULL && i < a->records_n; i++) {
		ipaddr_text(&a->records[i].ip, text);
		(void)buf_printf(out, "%s%s", out->n > 0 ? " " : "", text);
	}
}

/* --- SPF -------------------------------------------------------------------------------------- */

static void put_term(struct buf *out, const struct ipaddr *a)
{
	char text[IPADDR_TEXT_LEN];

	ipaddr_text(a, text);
	(void)buf_printf(out, " %s:%s", ipaddr_is_v4(a) ? "ip4" : "ip6", text);
}

/* The record as it should be: as it is, with the sources in it that it does not cover. */
static void put_spf(const struct check *c, struct str record, const bool *covered, struct buf *out)
{
	AUTO_BUF text = BUF_INIT(TEXT_MAX);
	struct str rest = record;

	if (record.p != NULL)
		(void)str_cut(&rest, ' ');
	(void)buf_puts(&text, "v=spf1");
	for (size_t i = 0; i < c->source_n; i++)
		if (!covered[i])
			put_term(&text, &c->source[i]);
	if (record.p == NULL)
		(void)buf_puts(&text, " ~all");
	else if (rest.n > 0)
		(void)buf_printf(&text, " %.*s", STR_ARG(rest));
	(void)keys_zone_txt(c->spf_domain, buf_str(&text), out);
}

static enum check_status spf_status(enum spf_result r)
{
	switch (r) {
	case SPF_PASS:
		return CHECK_OK;
	case SPF_UNKNOWN:
	case SPF_TEMPERROR:
	case SPF_WAIT:
		return CHECK_UNKNOWN;
	case SPF_NONE:
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
	case SPF_PERMERROR:
	case SPF_RESULT__COUNT:
		break;
	}
	return CHECK_WRONG;
}

static void spf_sources(struct check *c, struct str record)
{
	AUTO_FREE char *found = xstrndup(record.p, record.n);
	AUTO_BUF publish = BUF_INIT(TEXT_MAX);
	enum spf_result r[CHECK_SOURCES_MAX];
	const char *why[CHECK_SOURCES_MAX];
	bool covered[CHECK_SOURCES_MAX];

	for (size_t i = 0; i < c->source_n; i++) {
		r[i] = spf_check(c->in->book, c->spf_domain, &c->source[i], &why[i]);
		c->waits |= r[i] == SPF_WAIT;
		covered[i] = spf_status(r[i]) != CHECK_WRONG || r[i] == SPF_PERMERROR;
	}
	put_spf(c, record, covered, &publish);
	for (size_t i = 0; i < c->source_n; i++) {
		char address[IPADDR_TEXT_LEN];
		AUTO_BUF wanted = BUF_INIT(TEXT_MAX);
		ipaddr_text(&c->source[i], address);
		put_term(&wanted, &c->source[i]);
		check_add(c,
			  &(struct check_line){ .name = c->spf_name,
						.about = address,
						.status = spf_status(r[i]),
						.found = found,
						.wanted = covered[i] ? NULL : buf_cstr(&wanted) + 1,
						.publish = covered[i] ? NULL : buf_cstr(&publish) },
			  "SPF says %s for our address %s%s%s", spf_result_name(r[i]), address,
			  *why[i] != '\0' ? ": " : "", why[i]);
	}
}

static void check_spf(struct check *c)
{
	static const bool covered[CHECK_SOURCES_MAX] = { false };
	const struct dns_answer *txt = check_get(c, c->spf_domain, DNS_TYPE_TXT);
	AUTO_BUF publish = BUF_INIT(TEXT_MAX);
	struct str record;
	size_t n;

	if (txt == NULL ||
	    check_in_trouble(c, &(struct check_line){ .name = c->spf_name }, c->spf_domain, txt))
		return;
	record = spf_record(txt, &n);
	if (n == 0) {
		put_spf(c, record, covered, &publish);
		check_add(c,
			  &(struct check_line){ .name = c->spf_name,
						.status = CHECK_MISSING,
						.wanted = "v=spf1 …",
						.publish = buf_cstr(&publish) },
			  "%s has no SPF record", c->spf_domain);
	} else if (n > 1) {
		check_add(c,
			  &(struct check_line){ .name = c->spf_name,
						.status = CHECK_WRONG,
						.wanted = "one record" },
			  "%s has %zu SPF records; receivers take that for an error", c->spf_domain,
			  n);
	} else if (c->source_n == 0) {
		AUTO_FREE char *found = xstrndup(record.p, record.n);
		check_add(c,
			  &(struct check_line){
				  .name = c->spf_name, .status = CHECK_UNKNOWN, .found = found },
			  "there is a record, but our addresses are not known: %s has none in DNS",
			  c->in->hostname);
	} else {
		spf_sources(c, record);
	}
}

/* Where mail goes out with the relay's envelope sender, receivers look there. */
static void check_bounces(struct check *c)
{
	const char *bounces = c->in->bounce_domain;
	const struct dns_answer *mx;
	struct check_line l = { .name = "bounce-mx", .about = bounces, .status = CHECK_OK };
	bool same;

	if (bounces == NULL)
		return;
	c->spf_name = "bounce-spf";
	c->spf_domain = bounces;
	check_spf(c);
	mx = check_get(c, bounces, DNS_TYPE_MX);
	if (mx != NULL && !check_in_trouble(c, &l, bounces, mx)) {
		l.status = mx->records_n > 0 ? CHECK_OK : CHECK_MISSING;
		check_add(c, &l,
			  mx->records_n > 0
				  ? "reports come to the mail exchangers of %s"
				  : "%s has no mail exchanger: reports and bounces have to "
				    "come to this relay",
			  bounces);
	}
	same = strcasecmp(site_of(c->in->domain), site_of(bounces)) == 0;
	l = (struct check_line){ .name = "alignment",
				 .about = bounces,
				 .status = same ? CHECK_OK : CHECK_WARNING };
	check_add(c, &l,
		  same ? "for DMARC, SPF of %s counts for mail from %s (unless its policy says "
			 "aspf=s)"
		       : "for DMARC, SPF of %s does not count for mail from %s: DKIM has to pass",
		  bounces, c->in->domain);
}

/* --- DKIM ------------------------------------------------------------------------------------- */

static size_t active_of(const struct keys *k, const char *domain)
{
	size_t first, active = 0, n = keys_of(k, str_of(domain), &first);

	for (size_t i = 0; i < n; i++)
		active += keys_at(k, first + i)->state == KEY_ACTIVE &&
			  keys_at(k, first + i)->key != NULL;
	return active;
}

/* Whose keys sign this domain's mail. */
static const char *signer_of(const struct check_in *in)
{
	const char *site = site_of(in->domain);

	return active_of(in->keys, in->domain) == 0 && active_of(in->keys, site) > 0 ? site
										     : in->domain;
}

static bool is_dkim(struct str text)
{
	for (struct str rest = text; rest.n > 0;) {
		struct str tag = str_trim(str_cut(&rest, ';'));
		if (str_starts(tag, STR("p=")) || str_starts(tag, STR("p =")))
			return true;
	}
	return false;
}

/* The record that has the key, else the first that is one. */
static struct str find_dkim(const struct key_entry *e, const struct dns_answer *txt,
			    const char **ret_why, size_t *ret_n)
{
	struct str found = { NULL, 0 };

	*ret_n = 0;
	*ret_why = "no record there is one of DKIM";
	for (size_t i = 0; i < txt->records_n; i++) {
		struct str t = txt->records[i].text;
		const char *why = "";
		if (!is_dkim(t))
			continue;
		if (e->key == NULL)
			why = "the key's private part is not on this relay";
		if ((e->key != NULL && dkim_record_fits(sign_key_dkim(e->key), t, &why)) ||
		    (*ret_n)++ == 0) {
			found = t;
			*ret_why = why;
		}
		if (*why == '\0')
			break;
	}
	return found;
}

static enum check_status dkim_status(enum key_state s, bool found, bool fits)
{
	if (fits)
		return CHECK_OK;
	if (s == KEY_RETIRED)
		return found ? CHECK_WARNING : CHECK_OK;
	return found ? CHECK_WRONG : CHECK_MISSING;
}

static void say_dkim(struct check *c, const struct key_entry *e, const struct check_line *l,
		     const char *why)
{
	static const char *const fine[KEY_STATE__COUNT] = {
		[KEY_ACTIVE] = "published; mail is signed with it",
		[KEY_WAITING] = "published: weir dkim activate begins to sign with it",
		[KEY_RETIRED] = "still published, for mail under way; it signs no more",
	};
	const char *what = e->state == KEY_ACTIVE    ? "mail is signed with it, and does not verify"
			   : e->state == KEY_WAITING ? "it waits for that before it signs"
						     : "it signs no more";

	if (*why == '\0')
		check_add(c, l, "%s", fine[e->state]);
	else if (l->found == NULL)
		check_add(c, l, "not published; %s", what);
	else
		check_add(c, l, "%s; %s", why, what);
}

static void check_key(struct check *c, const struct key_entry *e)
{
	AUTO_BUF name = BUF_INIT(TEXT_MAX);
	AUTO_BUF publish = BUF_INIT(TEXT_MAX);
	AUTO_FREE char *found = NULL;
	const struct dns_answer *txt;
	const char *why;
	struct str record;
	struct check_line l = { .name = "dkim", .about = e->selector, .wanted = e->record };
	size_t n;

	(void)keys_record_name(e->domain, e->selector, &name);
	txt = check_get(c, buf_cstr(&name), DNS_TYPE_TXT);
	if (txt == NULL || check_in_trouble(c, &l, buf_cstr(&name), txt))
		return;
	(void)keys_zone_txt(buf_cstr(&name), str_of(e->record), &publish);
	record = find_dkim(e, txt, &why, &n);
	if (record.p != NULL)
		l.found = found = xstrndup(record.p, record.n);
	l.status = dkim_status(e->state, record.p != NULL, *why == '\0');
	if (l.status == CHECK_MISSING || l.status == CHECK_WRONG)
		l.publish = buf_cstr(&publish);
	say_dkim(c, e, &l, why);
}

static void check_dkim(struct check *c)
{
	const char *signer = signer_of(c->in);
	size_t first, n = keys_of(c->in->keys, str_of(signer), &first);

	for (size_t i = 0; i < n; i++)
		check_key(c, keys_at(c->in->keys, first + i));
	if (active_of(c->in->keys, signer) == 0)
		check_add(c, &(struct check_line){ .name = "dkim", .status = CHECK_MISSING },
			  "no key signs mail of %s: weir dkim %s %s", c->in->domain,
			  n > 0 ? "activate" : "add", c->in->domain);
}

/* --- DMARC ------------------------------------------------------------------------------------ */

static struct str tag_of(struct str record, struct str name)
{
	while (record.n > 0) {
		struct str value = str_cut(&record, ';');
		struct str tag = str_trim(str_cut(&value, '='));
		if (str_eq_nocase(tag, name))
			return str_trim(value);
	}
	return STR("");
}

static struct str find_dmarc(const struct dns_answer *txt, size_t *ret_n)
{
	struct str found = { NULL, 0 };

	*ret_n = 0;
	for (size_t i = 0; i < txt->records_n; i++)
		if (str_starts(txt->records[i].text, STR("v=DMARC1")) && (*ret_n)++ == 0)
			found = txt->records[i].text;
	return found;
}

static void judge_dmarc(struct check *c, struct str record, bool own)
{
	AUTO_FREE char *found = xstrndup(record.p, record.n);
	struct str p = tag_of(record, own ? STR("p") : STR("sp"));
	const char *signer = signer_of(c->in);
	struct check_line l = { .name = "dmarc", .status = CHECK_OK, .found = found };

	if (p.n == 0)
		p = tag_of(record, STR("p"));
	if (!str_eq_nocase(p, STR("none")) && !str_eq_nocase(p, STR("quarantine")) &&
	    !str_eq_nocase(p, STR("reject"))) {
		l.status = CHECK_WRONG;
		l.wanted = "p=none, p=quarantine or p=reject";
		check_add(c, &l, "the record has no policy that there is");
	} else if (active_of(c->in->keys, signer) == 0) {
		l.status = CHECK_WARNING;
		check_add(c, &l, "policy %.*s, but no DKIM key of ours signs: only SPF can align",
			  STR_ARG(p));
	} else if (strcmp(signer, c->in->domain) != 0 &&
		   str_eq_nocase(tag_of(record, STR("adkim")), STR("s"))) {
		l.status = CHECK_WRONG;
		l.wanted = "adkim=r, or a key of its own";
		check_add(c, &l,
			  "adkim=s wants a signature of %s, and mail is signed by %s: weir dkim "
			  "add %s",
			  c->in->domain, signer, c->in->domain);
	} else {
		check_add(c, &l, "policy %.*s; signatures of %s align", STR_ARG(p), signer);
	}
}

static void check_dmarc(struct check *c)
{
	const char *names[] = { c->in->domain, site_of(c->in->domain) };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *name = xasprintf("_dmarc.%s", names[i]);
		const struct dns_answer *txt = check_get(c, name, DNS_TYPE_TXT);
		struct str record;
		size_t n;
		if (txt == NULL ||
		    check_in_trouble(c, &(struct check_line){ .name = "dmarc" }, name, txt))
			return;
		record = find_dmarc(txt, &n);
		if (n > 1)
			check_add(c,
				  &(struct check_line){ .name = "dmarc",
							.status = CHECK_WRONG,
							.wanted = "one record" },
				  "%s has %zu DMARC records; receivers ignore all of them", name,
				  n);
		else if (n == 1)
			judge_dmarc(c, record, i == 0);
		if (n > 0)
			return;
	}
	AUTO_FREE char *own = xasprintf("_dmarc.%s", c->in->domain);
	AUTO_BUF publish = BUF_INIT(TEXT_MAX);
	(void)keys_zone_txt(own, STR("v=DMARC1; p=none"), &publish);
	check_add(c,
		  &(struct check_line){ .name = "dmarc",
					.status = CHECK_MISSING,
					.wanted = "v=DMARC1; p=…",
					.publish = buf_cstr(&publish) },
		  "%s has no DMARC record; p=none begins without an effect on mail", c->in->domain);
}

/* --- MX, EHLO, PTR ---------------------------------------------------------------------------- */

static void check_mx(struct check *c)
{
	const struct dns_answer *mx = check_get(c, c->in->domain, DNS_TYPE_MX);
	const struct dns_answer *a;
	AUTO_BUF found = BUF_INIT(TEXT_MAX);
	struct check_line l = { .name = "mx", .status = CHECK_OK };

	if (mx == NULL || check_in_trouble(c, &l, c->in->domain, mx))
		return;
	for (size_t i = 0; i < mx->records_n; i++)
		(void)buf_printf(&found, "%s%u %s", i > 0 ? ", " : "",
				 (unsigned)mx->records[i].preference,
				 *mx->records[i].host != '\0' ? mx->records[i].host : ".");
	l.found = buf_cstr(&found);
	if (mx->records_n > 0) {
		if (*mx->records[0].host == '\0') {
			l.status = CHECK_WARNING;
			check_add(c, &l, "%s takes no mail: replies and bounces are lost",
				  c->in->domain);
		} else {
			check_add(c, &l, "replies and bounces have a place to go");
		}
		return;
	}
	a = check_get(c, c->in->domain, DNS_TYPE_A);
	if (a == NULL)
		return;
	l.status = CHECK_WARNING;
	l.wanted = "an MX record";
	if (a->records_n > 0)
		check_add(c, &l, "there is no MX record; mail goes to the address of %s",
			  c->in->domain);
	else
		check_add(c, &l,
			  "%s has neither MX nor address: replies and bounces are lost, and some "
			  "receivers refuse such senders",
			  c->in->domain);
}

static void check_ehlo(struct check *c)
{
	const struct dns_answer *a4 = check_get(c, c->in->hostname, DNS_TYPE_A);
	const struct dns_answer *a6 = check_get(c, c->in->hostname, DNS_TYPE_AAAA);
	AUTO_BUF found = BUF_INIT(TEXT_MAX);
	struct check_line l = { .name = "ehlo", .about = c->in->hostname };

	if (a4 == NULL || a6 == NULL)
		return;
	put_addresses(&found, a4);
	put_addresses(&found, a6);
	l.found = buf_cstr(&found);
	if (found.n > 0) {
		check_add(c, &l, "we call ourselves %s, which has addresses", c->in->hostname);
	} else if (!check_in_trouble(c, &l, c->in->hostname, a4) &&
		   !check_in_trouble(c, &l, c->in->hostname, a6)) {
		AUTO_BUF publish = BUF_INIT(TEXT_MAX);
		char text[IPADDR_TEXT_LEN];
		l.status = CHECK_MISSING;
		l.wanted = "A or AAAA records";
		if (c->source_n > 0) {
			ipaddr_text(&c->source[0], text);
			(void)buf_printf(&publish, "%s. IN %s %s", c->in->hostname,
					 ipaddr_is_v4(&c->source[0]) ? "A" : "AAAA", text);
			l.publish = buf_cstr(&publish);
		}
		check_add(c, &l, "we call ourselves %s, which is no name in DNS", c->in->hostname);
	}
}

/* Whether one of the names leads back to the address; *ret_host: one of them is ours. */
static bool leads_back(struct check *c, const struct dns_answer *ptr, const struct ipaddr *ip,
		       bool *ret_ours)
{
	bool back = false;

	*ret_ours = false;
	for (size_t i = 0; i < ptr->records_n && i < CHECK_SOURCES_MAX; i++) {
		const struct dns_answer *a = check_get(
			c, ptr->records[i].host, ipaddr_is_v4(ip) ? DNS_TYPE_A : DNS_TYPE_AAAA);
		for (size_t k = 0; a != NULL && k < a->records_n; k++) {
			bool same = ipaddr_eq(&a->records[k].ip, ip);
			back |= same;
			*ret_ours |= same && strcasecmp(ptr->records[i].host, c->in->hostname) == 0;
		}
	}
	return back;
}

static void check_ptr(struct check *c, const struct ipaddr *ip)
{
	char reverse[DNS_REVERSE_LEN], address[IPADDR_TEXT_LEN];
	const struct dns_answer *ptr;
	AUTO_FREE char *publish = NULL;
	AUTO_BUF found = BUF_INIT(TEXT_MAX);
	struct check_line l = {
		.name = "ptr", .about = address, .status = CHECK_OK, .wanted = c->in->hostname
	};
	bool ours, back;

	dns_reverse(ip, reverse);
	ipaddr_text(ip, address);
	publish = xasprintf("%s. IN PTR %s.", reverse, c->in->hostname);
	ptr = check_get(c, reverse, DNS_TYPE_PTR);
	if (ptr == NULL || check_in_trouble(c, &l, reverse, ptr))
		return;
	for (size_t i = 0; i < ptr->records_n; i++)
		(void)buf_printf(&found, "%s%s", i > 0 ? " " : "", ptr->records[i].host);
	l.found = buf_cstr(&found);
	back = leads_back(c, ptr, ip, &ours);
	if (ptr->records_n == 0) {
		l.status = CHECK_MISSING;
		l.publish = publish;
		check_add(c, &l, "the address has no name; large receivers refuse mail from it");
	} else if (!back) {
		l.status = CHECK_WRONG;
		l.publish = publish;
		check_add(c, &l, "the name does not lead back to the address");
	} else if (!ours) {
		l.status = CHECK_WARNING;
		check_add(c, &l, "the name leads back, but we call ourselves %s", c->in->hostname);
	} else {
		check_add(c, &l, "name and address lead to each other");
	}
}

json_t *check_rows(const struct check_in *in)
{
	struct check c = {
		.in = in, .rows = json_array(), .spf_name = "spf", .spf_domain = in->domain
	};

	find_sources(&c);
	check_spf(&c);
	check_bounces(&c);
	check_dkim(&c);
	check_dmarc(&c);
	check_mx(&c);
	check_sts(&c);
	check_tlsa(&c);
	check_ehlo(&c);
	for (size_t i = 0; i < c.source_n; i++)
		check_ptr(&c, &c.source[i]);
	if (!c.waits)
		return c.rows;
	json_decref(c.rows);
	return NULL;
}
