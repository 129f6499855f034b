/*
 * ask - the client's questions as windows: a host key, a passphrase, a password.
 *
 * Model:   one question at a time. `answer` gets what was typed, NULL when the window was left; the
 *          text is borrowed for the call.
 * Owner:   borrows the shell for its life; windows that are open when it is freed are closed.
 */
#ifndef APP_ASK_H
#define APP_ASK_H

#include "client/client.h"

struct ask;
struct shell;

typedef void ask_answer_fn(void *arg, uint64_t question, const char *text);

struct ask *ask_new(struct shell *s, ask_answer_fn *answer, void *arg);
void ask_free(struct ask **ap);
void ask_show(struct ask *a, const struct client_question *q);
/* The question is not to be answered any more. */
void ask_withdraw(struct ask *a, uint64_t question);

#endif
