/*
 * ask - windows that are careful (what was typed before they were shown does not count): a password
 * begins with no keys that were meant for a list.
 */
#include "app/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell.h"

#define ASK_MAGIC 0x41736b21u

struct ask {
	uint32_t magic;
	struct shell *shell;
	ask_answer_fn *answer;
	void *arg;
	uint64_t question; /* 0: none */
	struct overlay_id window;
	struct form_field field;
};

struct ask *ask_new(struct shell *s, ask_answer_fn *answer, void *arg)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->magic = ASK_MAGIC;
	a->shell = s;
	a->answer = answer;
	a->arg = arg;
	return a;
}

void ask_free(struct ask **ap)
{
	struct ask *a = *ap;

	if (a == NULL)
		return;
	ask_withdraw(a, a->question);
	a->magic = 0;
	free(a);
	*ap = NULL;
}

static void answer(struct ask *a, const char *text)
{
	uint64_t question = a->question;

	a->question = 0;
	if (question != 0)
		a->answer(a->arg, question, text);
}

static void on_decided(void *arg, bool yes)
{
	answer(OBJ(ask, ASK_MAGIC, arg), yes ? "yes" : NULL);
}

static int on_enter(void *arg, const struct form *form, struct err *err)
{
	struct str typed = form_value(form, "answer");
	char text[PROMPT_MAX];

	(void)err;
	(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(typed));
	answer(OBJ(ask, ASK_MAGIC, arg), text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

static void on_cancel(void *arg)
{
	answer(OBJ(ask, ASK_MAGIC, arg), NULL);
}

static struct overlay_id show_line(struct ask *a, const struct client_question *q)
{
	bool secret = q->kind == CLIENT_ASK_SECRET;

	a->field =
		(struct form_field){ .name = "answer",
				     .title = "answer",
				     .help = secret ? "It is not shown. Enter sends it, Esc gives "
						      "up."
						    : "Enter sends it, Esc gives up.",
				     .kind = secret ? FORM_SECRET : FORM_TEXT };
	return shell_form(a->shell,
			  &(struct shell_form){ .title = q->title,
						.text = q->text[0] != '\0' ? q->text : NULL,
						.fields = &a->field,
						.n = 1,
						.enter = on_enter,
						.cancel = on_cancel,
						.arg = a });
}

void ask_show(struct ask *a, const struct client_question *q)
{
	ask_withdraw(a, a->question);
	a->question = q->id;
	if (q->kind == CLIENT_ASK_HOST_KEY)
		a->window = shell_ask(a->shell, &(struct shell_ask){ .title = q->title,
								     .text = q->text,
								     .yes = "Accept the key",
								     .danger = true,
								     .done = on_decided,
								     .arg = a });
	else
		a->window = show_line(a, q);
}

void ask_withdraw(struct ask *a, uint64_t question)
{
	if (question == 0 || a->question != question)
		return;
	a->question = 0;
	shell_overlay_done(a->shell, a->window);
}
