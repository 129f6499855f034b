/*
 * weir classify: replies on standard input are judged by the rules, here and without a relay: for
 * trying a rules file, and for logs of other mail systems. With --replay the relay's causes, of its
 * queue and of the last day, are judged here: each by the latest of its replies.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "outcome/classify.h"
#include "outcome/reply_line.h"

#define ANSWER_MAX 4096

static json_t *answer(const struct classify_rules *rules, struct str line, struct str provider)
{
	AUTO_BUF text = BUF_INIT(SMTP_REPLY_TEXT_MAX);
	struct reply_line reply;
	struct classify_in in = { .provider = provider };
	struct classify_out out;

	reply_line_read(line, &reply, &text);
	in.code = reply.code;
	in.enhanced = str_of(reply.enhanced);
	in.text = buf_str(&text);
	in.phase = reply.phase;
	classify(rules, &in, &out);
	return json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "code",
			 reply.code != 0 ? json_integer(reply.code) : json_null(), "enhanced",
			 json_text_or_null(in.enhanced), "class", reply_class_name(out.reply_class),
			 "kind", out.hard ? "hard" : "soft", "action",
			 reply_action_name(out.action), "meaning", out.meaning, "advice",
			 out.advice, "rule", out.rule);
}

/* Each answer is out before the next line is read, so that it can stand in a pipe. */
static int answer_lines(struct cli *c, const struct classify_rules *rules, struct str provider,
			struct err *err)
{
	AUTO_FREE char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) >= 0) {
		AUTO_BUF b = BUF_INIT(ANSWER_MAX);
		struct str reply = str_trim(str_from(line, (size_t)n));
		json_t *doc;
		char *text;
		while (reply.n > 0 &&
		       (reply.p[reply.n - 1] == '\n' || reply.p[reply.n - 1] == '\r'))
			reply.n--;
		if (reply.n == 0)
			continue;
		doc = answer(rules, reply, provider);
		text = json_dumps(doc, JSON_COMPACT);
		json_decref(doc);
		if (text == NULL)
			return err_set(err, ERR_INTERNAL, "an answer could not be written");
		(void)buf_printf(&b, "%s\n", text);
		free(text);
		cli_print(c, &b);
	}
	return 0;
}

/* --- what other rules would change ------------------------------------------------------------ */

#define REPLAY_S 86400
#define REPLAY_ROWS 1000

struct replay {
	const struct classify_rules *rules;
	json_t *rows; /* what changes */
	int64_t all;  /* recipients that were looked at */
	int64_t changed;
};

/* The reply without its codes. */
static struct str words(const char *reply, bool coded)
{
	struct str text = str_of(reply);
	size_t n;

	if (!coded || text.n < 4)
		return text;
	text = str_trim(str_from(text.p + 3, text.n - 3));
	n = smtp_enhanced_length(text);
	return str_trim(str_from(text.p + n, text.n - n));
}

static enum classify_phase phase_of(const char *name)
{
	static const char *const names[CLASSIFY_PHASE__COUNT] = {
		[CLASSIFY_PHASE_UNKNOWN] = "unknown", [CLASSIFY_PHASE_CONNECT] = "connect",
		[CLASSIFY_PHASE_MAIL] = "mail",	      [CLASSIFY_PHASE_RCPT] = "rcpt",
		[CLASSIFY_PHASE_DATA] = "data",
	};

	for (int i = 0; i < CLASSIFY_PHASE__COUNT; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum classify_phase)i;
	return CLASSIFY_PHASE_UNKNOWN;
}

static json_t *verdict_json(const char *class, const char *kind, const char *action,
			    const char *rule)
{
	return json_pack("{s:s, s:s, s:s, s:o}", "class", class, "kind", kind, "action", action,
			 "rule", json_text_or_null(str_of(rule)));
}

static void judge(struct replay *r, const char *where, const json_t *row)
{
	int code = (int)json_get_int(row, "code");
	const char *class = json_get_str(row, "class");
	struct classify_in in = { .provider = str_of(json_get_str(row, "provider")),
				  .code = code,
				  .enhanced = str_of(json_get_str(row, "enhanced")),
				  .text = words(json_get_str(row, "reply"), code != 0),
				  .phase = phase_of(json_get_str(row, "phase")) };
	struct classify_out out;

	if (code == 0)
		in.given = reply_class_find(str_of(class));
	classify(r->rules, &in, &out);
	r->all += json_get_int(row, "count");
	if (strcmp(reply_class_name(out.reply_class), class) == 0 &&
	    strcmp(reply_action_name(out.action), json_get_str(row, "action")) == 0 &&
	    strcmp(out.hard ? "hard" : "soft", json_get_str(row, "kind")) == 0)
		return;
	r->changed += json_get_int(row, "count");
	(void)json_array_append_new(
		r->rows,
		json_pack(
			"{s:s, s:I, s:O, s:O, s:o, s:o}", "in", where, "count",
			(json_int_t)json_get_int(row, "count"), "text",
			json_object_get(row, "text"), "reply", json_object_get(row, "reply"), "now",
			verdict_json(class, json_get_str(row, "kind"), json_get_str(row, "action"),
				     json_get_str(row, "rule")),
			"then",
			verdict_json(reply_class_name(out.reply_class), out.hard ? "hard" : "soft",
				     reply_action_name(out.action), out.rule)));
}

static void put_verdict(const struct out *o, struct buf *b, const json_t *v)
{
	(void)buf_printf(b, "%s (%s), %s", json_get_str(v, "class"), json_get_str(v, "kind"),
			 json_get_str(v, "action"));
	if (*json_get_str(v, "rule") != '\0') {
		(void)buf_puts(b, ", by ");
		out_clean(o, b, str_of(json_get_str(v, "rule")));
	}
	(void)buf_putc(b, '\n');
}

static void put_replay(const struct out *o, struct buf *b, const struct replay *r,
		       const char *title, const char *where)
{
	const json_t *row;
	size_t i;

	out_style(o, b, OUT_HEAD, true);
	(void)buf_puts(b, title);
	out_style(o, b, OUT_HEAD, false);
	(void)buf_printf(b, ": %lld of %lld recipients would be judged differently.\n",
			 (long long)r->changed, (long long)r->all);
	json_array_foreach(r->rows, i, row)
	{
		if (strcmp(json_get_str(row, "in"), where) != 0)
			continue;
		(void)buf_printf(b, "\n%8lld  ", (long long)json_get_int(row, "count"));
		out_clean(o, b, str_of(json_get_str(row, "text")));
		(void)buf_puts(b, "\n          now:  ");
		put_verdict(o, b, json_object_get(row, "now"));
		(void)buf_puts(b, "          then: ");
		put_verdict(o, b, json_object_get(row, "then"));
	}
}

static int replay(struct cli *c, const struct classify_rules *rules, struct err *err)
{
	static const struct {
		const char *where;
		const char *title;
		int64_t last_s;
	} parts[] = { { "queue", "In the queue", 0 }, { "past", "\nIn the last day", REPLAY_S } };
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	struct replay r = { .rules = rules, .rows = json_array() };
	int rc = 0;

	for (size_t k = 0; k < ARRAY_LEN(parts) && rc >= 0; k++) {
		json_t *params = json_pack("{s:i}", "limit", REPLAY_ROWS);
		json_t *result = NULL;
		const json_t *row;
		size_t i;
		if (parts[k].last_s > 0)
			(void)json_object_set_new(params, "last_s",
						  json_integer((json_int_t)parts[k].last_s));
		rc = talk_call(c, "cause.list", params, &result, err);
		if (rc < 0)
			break;
		r.all = r.changed = 0;
		json_array_foreach(json_object_get(result, "rows"), i, row)
			judge(&r, parts[k].where, row);
		put_replay(&c->out, &b, &r, parts[k].title, parts[k].where);
		json_decref(result);
	}
	if (rc >= 0 && c->json)
		cli_print_json(c, r.rows);
	else if (rc >= 0)
		cli_print(c, &b);
	json_decref(r.rows);
	return rc < 0 ? rc : 0;
}

int verb_classify(struct cli *c, const struct args *a, struct err *err)
{
	AUTO(classify) struct classify_rules *rules = NULL;
	const char *path = json_get_str(a->params, "rules");
	int rc = classify_load(path[0] != '\0' ? path : NULL, &rules, err);

	if (rc < 0)
		return rc;
	if (json_get_bool(a->params, "replay"))
		return replay(c, rules, err);
	return answer_lines(c, rules, str_of(json_get_str(a->params, "provider")), err);
}
