/*
 * What the command line makes of bytes from mail, and of a half-written line: nothing harmful comes
 * out, lines keep to their width, completion ends. The first byte chooses width and character set.
 */
#include <locale.h>
#include <stdint.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "args/args.h"
#include "args/complete.h"
#include "cli/out.h"

#define BYTES_MAX 65536

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	return 0;
}

static void check(const struct out *o, struct str text)
{
	while (text.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(text, &cp);

		ASSERT(!utf8_harmful(cp) || cp == '\n' || cp == '\t');
		ASSERT(o->utf8 || cp < 0x7f);
		text = str_from(text.p + n, text.n - n);
	}
}

static void on_offer(void *arg, const char *word, const char *help, bool more)
{
	(void)help;
	(void)more;
	ASSERT(str_starts(str_of(word), str_of(arg)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct out o = { .tty = true };
	AUTO_BUF b = BUF_INIT(16 * BYTES_MAX);
	const char *words[ARGS_SPLIT_MAX];
	struct complete_source source = { .offer = on_offer };
	struct str text, rest;
	bool quoted;
	size_t n;

	if (size < 1 || size > BYTES_MAX)
		return 0;
	o.utf8 = (data[0] & 1) != 0;
	o.width = OUT_WIDTH_MIN + data[0];
	text = str_from((const char *)data + 1, size - 1);
	ASSERT(out_fit(&o, &b, text, data[0]) <= data[0]);
	ASSERT(out_cols(&o, buf_str(&b)) <= data[0]);
	check(&o, buf_str(&b));
	buf_reset(&b);
	out_clean_lines(&o, &b, text);
	check(&o, buf_str(&b));
	buf_reset(&b);
	out_wrap(&o, &b, text, 4);
	check(&o, buf_str(&b));
	rest = buf_str(&b);
	while (rest.n > 0)
		ASSERT(out_cols(&o, str_cut(&rest, '\n')) <= o.width);
	buf_reset(&b);
	n = args_split(text, &b, words, &quoted);
	source.arg = (void *)(uintptr_t)(n > 1 ? words[n - 1] : "");
	complete_words(n > 0 ? n - 1 : 0, words + 1, &source);
	return 0;
}
