/*
 * completion - scripts for shells, and the verb they ask.
 *
 * The scripts know nothing but how their shell hands over words and takes candidates; what can
 * stand where is said by the same tables that parse it. A relay that does not answer at once is
 * left alone: what it would have told is missing then.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "args/complete.h"
#include "cli/cli_int.h"
#include "client/relays.h"

#define ANSWERING_MAGIC 0x616e7377u
#define PATIENCE_S 2 /* for everything that the relay is asked */
#define LISTED_MAX 200
#define TEXT_MAX ((size_t)256 * 1024)

/* --- scripts ---------------------------------------------------------------------------------- */

static const struct {
	const char *shell;
	const char *text;
} scripts[] = {
	{ "bash",
	  "# Completion of weir for bash: source it, or install it as\n"
	  "# /usr/share/bash-completion/completions/weir.\n"
	  "_weir()\n"
	  "{\n"
	  "\tmapfile -t COMPREPLY < <(\"$1\" complete bash -- \"${COMP_LINE:0:COMP_POINT}\" "
	  "\"$2\" 2>/dev/null)\n"
	  "}\n"
	  "complete -o nospace -o default -F _weir weir\n" },
	{ "zsh",
	  "#compdef weir\n"
	  "# Completion of weir for zsh: install it as _weir in a directory of $fpath.\n"
	  "_weir()\n"
	  "{\n"
	  "\tlocal -a lines closed open\n"
	  "\tlines=(\"${(@f)$(\"${(@Q)words[1]}\" complete zsh -- "
	  "\"${(@Q)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	  "\tclosed=(${${(M)lines:#S*}#S})\n"
	  "\topen=(${${(M)lines:#N*}#N})\n"
	  "\t(( $#closed )) && _describe -V weir closed\n"
	  "\t(( $#open )) && _describe -V weir open -S ''\n"
	  "\t(( $#closed + $#open )) || _default\n"
	  "}\n"
	  "# loaded by the first completion, or sourced\n"
	  "if [[ ${funcstack[1]} == _weir ]]; then _weir \"$@\"; else compdef _weir weir; fi\n" },
	{ "fish",
	  "# Completion of weir for fish: install it as ~/.config/fish/completions/weir.fish.\n"
	  "function __weir_complete\n"
	  "\tset -l words (commandline -opc)\n"
	  "\t$words[1] complete fish -- $words[2..-1] (commandline -ct) 2>/dev/null\n"
	  "end\n"
	  "complete -c weir -f -a '(__weir_complete)'\n" },
};

int verb_completion(struct cli *c, const struct args *a, struct err *err)
{
	const char *shell = json_get_str(a->params, "shell");
	AUTO_BUF b = BUF_INIT(TEXT_MAX);

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
		if (strcmp(scripts[i].shell, shell) == 0) {
			(void)buf_puts(&b, scripts[i].text);
			cli_print(c, &b);
			return 0;
		}
	return err_param(err, ERR_INVALID, "shell", "no script for %.60s", shell);
}

/* --- candidates ------------------------------------------------------------------------------- */

struct answering {
	uint32_t magic;
	struct cli *c;
	char shell; /* 'b', 'z', 'f' */
	bool quoted;
	size_t skip; /* bash: bytes of the word that it keeps */
	size_t n;
	struct buf out;
	bool local; /* the relay is a socket of this machine */
};

/* Unquoted, what the shell would take for its own is escaped. */
static void put_bash(struct answering *w, const char *word, bool more)
{
	size_t n = strlen(word);

	for (size_t i = w->skip < n ? w->skip : n; i < n; i++) {
		if (!w->quoted && strchr("<>|&;()$`\"'*?[]{}!\\ ", word[i]) != NULL)
			(void)buf_putc(&w->out, '\\');
		(void)buf_putc(&w->out, word[i]);
	}
	(void)buf_puts(&w->out, more || w->quoted ? "\n" : " \n");
}

static void put_zsh(struct answering *w, const char *word, const char *help, bool more)
{
	(void)buf_putc(&w->out, more ? 'N' : 'S');
	for (; *word != '\0'; word++) {
		if (*word == ':' || *word == '\\')
			(void)buf_putc(&w->out, '\\');
		(void)buf_putc(&w->out, *word);
	}
	(void)buf_printf(&w->out, "%s%s\n", *help != '\0' ? ":" : "", help);
}

static bool is_harmless(const char *word)
{
	struct str rest = str_of(word);

	while (rest.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(rest, &cp);

		if (utf8_harmful(cp) || cp == UTF8_REPLACEMENT)
			return false;
		rest = str_from(rest.p + n, rest.n - n);
	}
	return true;
}

static void on_offer(void *arg, const char *word, const char *help, bool more)
{
	struct answering *w = OBJ(answering, ANSWERING_MAGIC, arg);

	/* names come from mail */
	if (!is_harmless(word) || w->n++ >= COMPLETE_MAX)
		return;
	if (w->shell == 'b')
		put_bash(w, word, more);
	else if (w->shell == 'z')
		put_zsh(w, word, help, more);
	else
		(void)buf_printf(&w->out, "%s\t%s\n", word, help);
}

/* What is known so far goes out before the relay is asked, and is there if it does not answer. */
static void on_list(void *arg, struct complete *to, enum method_id method, const char *field,
		    const char *by, const char *where)
{
	struct answering *w = OBJ(answering, ANSWERING_MAGIC, arg);
	json_t *params = json_object(), *result = NULL;
	struct err ignored = ERR_INIT;
	const json_t *row;
	size_t i;

	cli_print(w->c, &w->out);
	if (!w->local) {
		json_decref(params);
		return;
	}
	(void)alarm(PATIENCE_S);
	if (method_param(&method_defs[method], "limit") != NULL)
		(void)json_object_set_new(params, "limit", json_integer(LISTED_MAX));
	if (by != NULL)
		(void)json_object_set_new(params, "by", json_string(by));
	if (where != NULL)
		(void)json_object_set_new(params, "where", json_string(where));
	if (talk_call(w->c, method_defs[method].name, params, &result, &ignored) >= 0)
		json_array_foreach(json_object_get(result, "rows"), i, row)
			complete_known(to, json_get_str(row, field), "");
	json_decref(result);
}

static void on_relay(void *arg, const char *name, const char *url, bool production)
{
	(void)production;
	complete_known(arg, name, url);
}

static void on_relays(void *arg, struct complete *to)
{
	struct err ignored = ERR_INIT;

	(void)arg;
	(void)!client_relays(on_relay, to, &ignored);
}

/* What bash replaces is `text`, the end of the word after its own word breaks. */
static size_t kept(const char *word, const char *text)
{
	size_t n = strlen(word), m = strlen(text);

	return m <= n && strcmp(word + n - m, text) == 0 ? n - m : 0;
}

static bool is_local(const struct cli *c)
{
	struct relays_found found;
	struct err ignored = ERR_INIT;

	return relays_find(c->relay, &found, &ignored) >= 0 && found.addr.kind == RELAYS_UNIX;
}

/* A relay that was named on the line that is completed. */
static void take_relay(struct cli *c, size_t n, const char *const *words)
{
	for (size_t i = 0; i + 1 < n; i++) {
		if (i + 2 < n && (strcmp(words[i], "-r") == 0 || strcmp(words[i], "--relay") == 0))
			c->relay = words[i + 1];
		else if (str_starts(str_of(words[i]), STR("--relay=")))
			c->relay = words[i] + strlen("--relay=");
	}
}

int verb_complete(struct cli *c, const struct args *a, struct err *err)
{
	const json_t *given = json_object_get(a->params, "words");
	struct answering w = { .magic = ANSWERING_MAGIC, .c = c, .out = BUF_INIT(OUT_MAX) };
	struct complete_source source = { on_offer, on_list, on_relays, &w };
	AUTO_BUF text = BUF_INIT(TEXT_MAX);
	const char *split[ARGS_SPLIT_MAX];
	const char **words = split;
	size_t n = 0;

	(void)err;
	w.shell = json_get_str(a->params, "shell")[0];
	if (w.shell == 'b') {
		const char *line = json_string_value(json_array_get(given, 0));
		const char *replaced = json_string_value(json_array_get(given, 1));

		n = args_split(str_of(line != NULL ? line : ""), &text, split, &w.quoted);
		if (n > 0) { /* the command's own name */
			words++;
			n--;
		}
		if (n > 0 && replaced != NULL)
			w.skip = kept(words[n - 1], replaced);
	} else {
		for (; n < json_array_size(given) && n < ARGS_SPLIT_MAX; n++)
			words[n] = json_string_value(json_array_get(given, n));
	}
	take_relay(c, n, words);
	w.local = is_local(c);
	complete_words(n, words, &source);
	cli_print(c, &w.out);
	buf_done(&w.out);
	return 0;
}
