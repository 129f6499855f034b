/* choose - the names shown are kept until the menu is opened again: the file may change meanwhile.
 */
#include "app/choose.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "client/client.h"
#include "client/relays.h"
#include "shell/shell.h"

#define CHOOSE_MAGIC 0x43686f6fu
#define LOCAL "unix:" RELAYS_SOCKET
#define NAMES_MAX (MENU_MAX_ITEMS - 1)
#define TYPE_IT (MENU_MAX_ITEMS + 1u)

struct choose {
	uint32_t magic;
	struct shell *shell;
	choose_fn *chosen;
	void *arg;
	char *names[NAMES_MAX];
	struct menu_item items[NAMES_MAX + 1];
	int n;
	const char *current; /* while the menu is made */
	uint64_t here;
};

struct choose *choose_new(struct shell *s, choose_fn *chosen, void *arg)
{
	struct choose *c = xcalloc(1, sizeof(*c));

	c->magic = CHOOSE_MAGIC;
	c->shell = s;
	c->chosen = chosen;
	c->arg = arg;
	return c;
}

static void forget(struct choose *c)
{
	for (int i = 0; i < c->n; i++)
		free(c->names[i]);
	c->n = 0;
	c->here = 0;
}

void choose_free(struct choose **cp)
{
	struct choose *c = *cp;

	if (c == NULL)
		return;
	forget(c);
	c->magic = 0;
	free(c);
	*cp = NULL;
}

static void add(struct choose *c, const char *name, const char *help, bool danger)
{
	uint64_t id = (uint64_t)c->n + 1;

	if (c->n == NAMES_MAX)
		return;
	c->names[c->n] = xstrdup(name);
	c->items[c->n] = (struct menu_item){
		.id = id, .title = c->names[c->n], .help = help, .danger = danger
	};
	if (strcmp(name, c->current) == 0)
		c->here = id;
	c->n++;
}

static void on_known(void *arg, const char *name, const char *url, bool production)
{
	(void)url;
	add(OBJ(choose, CHOOSE_MAGIC, arg), name, production ? "production" : "", production);
}

static int on_typed(void *arg, struct str line, struct err *err)
{
	struct choose *c = OBJ(choose, CHOOSE_MAGIC, arg);
	AUTO_FREE char *relay = xstrndup(line.p, line.n);
	struct relays_found found;
	int result = relays_find(relay, &found, err);

	if (result >= 0)
		c->chosen(c->arg, relay);
	return result;
}

static void on_chosen(void *arg, uint64_t id)
{
	struct choose *c = OBJ(choose, CHOOSE_MAGIC, arg);

	if (id == TYPE_IT)
		(void)shell_prompt(c->shell, &(struct shell_prompt){
						     .label = "relay",
						     .hint = "ssh://[user@]host[:port][/path], "
							     "unix:PATH, or a name",
						     .enter = on_typed,
						     .arg = c });
	else if (id > 0 && id <= (uint64_t)c->n && id != c->here)
		c->chosen(c->arg, c->names[id - 1]);
}

void choose_open(struct choose *c, const char *current)
{
	struct err err = ERR_INIT;

	forget(c);
	c->current = current != NULL ? current : LOCAL;
	if (client_relays(on_known, c, &err) < 0)
		shell_notice_err(c->shell, "relays", &err);
	add(c, LOCAL, "the relay of this machine", false);
	if (c->here == 0)
		add(c, c->current, "", false);
	c->items[c->n] = (struct menu_item){ .id = TYPE_IT, .title = "another …" };
	(void)shell_menu(c->shell, &(struct shell_menu){ .title = "Relays",
							 .items = c->items,
							 .n = c->n + 1,
							 .filter = true,
							 .current = c->here,
							 .done = on_chosen,
							 .arg = c });
}
