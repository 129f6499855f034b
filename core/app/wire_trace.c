/* What is being spoken with next hops, for those who listen on the control socket. */
#include <string.h>

#include "app/relayd_int.h"
#include "base/json.h"
#include "base/obj.h"
#include "route/hop.h"
#include "route/site.h"

#define SHOWN_MAX 1000 /* bytes of a line: a push has hundreds */

bool wire_heard(void *arg)
{
	const struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	return r->env.ctl != NULL && ctl_trace_wanted(r->env.ctl);
}

struct line {
	const struct smtpout_spoken *s;
	struct str text;
};

static json_t *make_line(void *arg)
{
	static const char *const by[] = { [TALK_RELAY] = "relay",
					  [TALK_HOST] = "host",
					  [TALK_NOTE] = "note",
					  [TALK_CONTENT] = "relay" };
	const struct line *l = arg;
	const struct smtpout_spoken *s = l->s;
	char id[MSGID_TEXT_LEN] = "";

	if (s->m != NULL)
		msgid_text(s->m->id, id);
	return json_pack(
		"{s:o, s:I, s:o, s:o, s:s, s:o, s:s, s:o}", "at", json_time(s->at_ms), "session",
		(json_int_t)(s->session & INT64_MAX), "hop", json_text(str_of(s->next_hop)), "host",
		json_text(str_of(s->host)), "ip", s->ip, "id", json_text_or_null(str_of(id)), "by",
		by[s->by], "text",
		s->by == TALK_CONTENT
			? json_sprintf("(the content: %.*s bytes, and a dot)", STR_ARG(l->text))
			: json_text(l->text));
}

/* Before there is a message: the domain of an MX, and whose host it is. */
static void place_row(const struct relayd *r, const struct smtpout_spoken *s,
		      struct filter_row *ret)
{
	*ret = FILTER_ROW_INIT(s->at_ms);
	filter_row_text(ret, FILTER_RELAY, str_of(r->env.hostname));
	filter_row_text(ret, FILTER_PROVIDER, str_of(site_of(s->host)));
	if (strncmp(s->next_hop, "mx:", 3) == 0) {
		struct str place = hop_place(s->next_hop);
		(void)str_cut(&place, ':');
		filter_row_text(ret, FILTER_DOMAIN, place);
	}
}

void wire_spoken(void *arg, const struct smtpout_spoken *s)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct filter_row rows[SMTPOUT_SPOKEN_RCPTS];
	struct ctl_line line = {
		.hop = s->next_hop, .rows = rows, .rows_n = s->rcpts_n, .opening = s->m == NULL
	};
	struct line l = { .s = s };
	struct str rest = s->text;

	for (unsigned i = 0; i < s->rcpts_n; i++) {
		struct sched_view v;
		bool known = sched_find(r->env.sched, rid_of(s->m->id, s->rcpts[i]->n), &v);
		env_rcpt_row(&r->env, s->m, s->rcpts[i], known ? &v : NULL, &rows[i]);
	}
	if (s->m == NULL) {
		place_row(r, s, &rows[0]);
		line.rows_n = 1;
	}
	do {
		l.text = str_cut(&rest, '\n');
		if (l.text.n > 0 && l.text.p[l.text.n - 1] == '\r')
			l.text.n--;
		if (l.text.n > SHOWN_MAX)
			l.text.n = SHOWN_MAX;
		ctl_trace(r->env.ctl, &line, make_line, &l);
	} while (rest.n > 0);
}
