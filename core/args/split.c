/* A line to words. */
#include "args/args.h"

#include <string.h>

size_t args_split(struct str line, struct buf *text, const char *ret_words[static ARGS_SPLIT_MAX],
		  bool *ret_quoted)
{
	size_t starts[ARGS_SPLIT_MAX];
	size_t n = 0;
	char quote = '\0';
	bool inside = false;

	for (size_t i = 0; i <= line.n; i++) {
		char c = i < line.n ? line.p[i] : ' ';
		bool last = i == line.n;
		bool escapes = c == '\\' && i + 1 < line.n &&
			       (quote == '\0' ||
				(quote == '"' && strchr("\"\\$`", line.p[i + 1]) != NULL));

		if (!inside && (last || c != ' ') && n < ARGS_SPLIT_MAX) {
			starts[n++] = text->n;
			inside = true;
		}
		if (last) {
			(void)buf_putc(text, '\0');
		} else if (quote != '\0' && c == quote) {
			quote = '\0';
		} else if (quote == '\0' && (c == '\'' || c == '"')) {
			quote = c;
		} else if (escapes) {
			(void)buf_putc(text, line.p[++i]);
		} else if (c == ' ' && quote == '\0') {
			if (inside)
				(void)buf_putc(text, '\0');
			inside = false;
		} else {
			(void)buf_putc(text, c);
		}
	}
	*ret_quoted = quote != '\0';
	for (size_t i = 0; i < n && !text->full; i++)
		ret_words[i] = text->p + starts[i];
	return text->full ? 0 : n;
}
