/*
 * weir classify: replies on standard input are judged by the rules, here and without a relay: for
 * trying a rules file, and for logs of other mail systems.
 */
#include <stdio.h>
#include <stdlib.h>

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

int verb_classify(struct cli *c, const struct args *a, struct err *err)
{
	AUTO(classify) struct classify_rules *rules = NULL;
	const char *path = json_get_str(a->params, "rules");
	int rc = classify_load(path[0] != '\0' ? path : NULL, &rules, err);

	if (rc < 0)
		return rc;
	return answer_lines(c, rules, str_of(json_get_str(a->params, "provider")), err);
}
