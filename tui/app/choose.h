/*
 * choose - the menu of relays: those of the relays file, the one of this machine, any other.
 *
 * Model:   `chosen` gets what client_new() takes; it comes from inside a window of the shell, which
 *          therefore must not be freed in it.
 * Owner:   borrows the shell for its life.
 */
#ifndef APP_CHOOSE_H
#define APP_CHOOSE_H

struct choose;
struct shell;

typedef void choose_fn(void *arg, const char *relay);

struct choose *choose_new(struct shell *s, choose_fn *chosen, void *arg);
void choose_free(struct choose **cp);
/* `current`: the relay that the console is at, NULL for the one of this machine. */
void choose_open(struct choose *c, const char *current);

#endif
