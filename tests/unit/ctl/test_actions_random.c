/*
 * Random sequences of what operators do, with restarts and time in between, against a model that
 * is as plain as can be: recipients with flags, actions with what they did. After each step every
 * recipient's state, the list of holds and the answer are compared.
 */
#include "ops_rig.h"

#define ARRIVALS 60
#define RCPTS (2 * ARRIVALS) /* and a report for each */
#define NOBODY 99	     /* domain and sender of reports */
#define ACTIONS 400
#define STEPS 350
#define DOMAINS 3
#define SENDERS 3
#define HOLDS 6

/* Targets, and whom they cover in the model. */
struct aim {
	const char *text;
	int domain; /* -1: any */
	int sender;
};
static const struct aim aims[] = {
	{ "domain:d0.example", 0, -1 },
	{ "domain:d1.example", 1, -1 },
	{ "sender:s0@a.example", -1, 0 },
	{ "sender:s1@a.example", -1, 1 },
	{ "all", -1, -1 },
	{ "domain:d0.example from:s0@a.example", 0, 0 },
	{ "stream:default", -1, -1 },
	{ "to:*@d2.example", 2, -1 },
};

enum kind { K_HOLD, K_RELEASE, K_RETRY, K_DELETE, K_BOUNCE };

struct rcpt {
	struct rid rid;
	int domain;
	int sender;
	bool gone;
	bool trash;
	int64_t next_ms; /* its own */
};

struct model_action {
	uint64_t id;
	enum kind kind;
	const struct aim *aim;
	int64_t at_ms;
	bool undone;
	bool final; /* delete and bounce: the window is over */
	bool touched[RCPTS];
	int64_t was[RCPTS]; /* retry */
	uint64_t hold;	    /* hold, release: which */
};

struct model_hold {
	uint64_t id;
	const struct aim *aim;
	uint64_t by; /* the action that changed it last */
	bool active;
};

static struct model {
	struct rcpt r[RCPTS];
	int n;
	int arrived;
	struct model_action a[ACTIONS];
	int actions;
	struct model_hold h[ACTIONS];
	int holds;
	/* an open plan */
	char plan[32];
	enum kind plan_kind;
	const struct aim *plan_aim;
	uint64_t plan_hold;
	bool in_plan[RCPTS];
	int64_t plan_until_ms;
} m;

static int64_t now(void)
{
	return loop_wall_ms(rig.loop);
}

static bool covers(const struct aim *a, const struct rcpt *r)
{
	return (a->domain < 0 || a->domain == r->domain) &&
	       (a->sender < 0 || a->sender == r->sender);
}

static bool held(const struct rcpt *r)
{
	for (int k = 0; k < m.holds; k++)
		if (m.h[k].active && covers(m.h[k].aim, r))
			return true;
	return false;
}

static struct model_hold *hold_on(const struct aim *a)
{
	for (int k = 0; k < m.holds; k++)
		if (m.h[k].active && m.h[k].aim == a)
			return &m.h[k];
	return NULL;
}

static struct model_hold *hold_of(uint64_t id)
{
	for (int k = 0; k < m.holds; k++)
		if (m.h[k].id == id)
			return &m.h[k];
	fail_msg("no hold %d", (int)id);
	abort();
}

/* --- comparing -------------------------------------------------------------------------------- */

static enum sched_state expected(const struct rcpt *r)
{
	if (r->gone)
		return SCHED_STATE__COUNT;
	if (r->trash)
		return SCHED_TRASH;
	if (held(r))
		return SCHED_HELD;
	return r->next_ms > now() ? SCHED_DEFERRED : SCHED_READY;
}

static bool all_as_expected(bool say)
{
	for (int k = 0; k < m.n; k++) {
		struct sched_view v;
		bool there = sched_find(rig.env.sched, m.r[k].rid, &v);
		enum sched_state is = there ? v.state : SCHED_STATE__COUNT;
		if (is == expected(&m.r[k]) &&
		    (!there || v.own_next_ms == m.r[k].next_ms ||
		     (v.own_next_ms <= now() && m.r[k].next_ms <= now())))
			continue;
		if (say)
			fail_msg("recipient %d is %d (next %lld), not %d (next %lld); log: …%s", k,
				 is, there ? (long long)(v.own_next_ms - now()) : 0,
				 expected(&m.r[k]), (long long)(m.r[k].next_ms - now()),
				 strlen(rig.log) > 600 ? rig.log + strlen(rig.log) - 600 : rig.log);
		return false;
	}
	return true;
}

static void check(void)
{
	json_t *rows;
	size_t active = 0;
	/* marks of holds that ask may come a moment later */
	for (unsigned n = 0; n < 200 && !all_as_expected(false); n++)
		rig_turn(n);
	(void)all_as_expected(true);
	for (int k = 0; k < m.holds; k++)
		active += m.h[k].active;
	rows = rig_do("hold.list", "{}");
	assert_int_equal(json_array_size(json_object_get(rows, "rows")), active);
	json_decref(rows);
}

/* --- the steps -------------------------------------------------------------------------------- */

static void arrive(void)
{
	struct rcpt *r = &m.r[m.n];
	char from[40], to[40];
	if (m.arrived == ARRIVALS)
		return;
	m.arrived++;
	*r = (struct rcpt){ .domain = rand() % DOMAINS, .sender = rand() % SENDERS };
	(void)snprintf(from, sizeof(from), "s%d@a.example", r->sender);
	(void)snprintf(to, sizeof(to), "x%d@d%d.example", m.n, r->domain);
	r->rid = rid_of(rig_accept(from, to), 1);
	m.n++;
}

static struct rcpt *rcpt_of(struct msgid id)
{
	for (int k = 0; k < m.n; k++)
		if (msgid_eq(rid_msgid(m.r[k].rid), id))
			return &m.r[k];
	return NULL;
}

/* Reports of what was bounced are mail like any other. */
static void find_reports(void)
{
	for (uint32_t p = 0; p < sched_places(rig.env.sched); p++) {
		struct sched_view v;
		if (!sched_at(rig.env.sched, p, &v) || rcpt_of(rid_msgid(v.rid)) != NULL)
			continue;
		assert_true(m.n < RCPTS);
		m.r[m.n++] = (struct rcpt){ .rid = v.rid, .domain = NOBODY, .sender = NOBODY };
	}
}

/* One session takes one message; never one that is held or in the trash. */
static void deliver(void)
{
	char hop[40];
	struct rcpt *r;
	struct sched_view v;
	(void)snprintf(hop, sizeof(hop), "mx:d%d.example", rand() % DOMAINS);
	if (!rig_want(hop))
		return;
	r = rcpt_of(rig.given->id);
	assert_non_null(r);
	assert_true(expected(r) == SCHED_READY);
	if (rand() % 4 == 0) {
		rig_end(OUTCOME_DELIVERED, 250, "2.0.0", "250 ok");
		r->gone = true;
	} else {
		rig_end(OUTCOME_DEFERRED, 451, "4.3.2", "451 4.3.2 Later");
		assert_true(sched_find(rig.env.sched, r->rid, &v));
		r->next_ms = v.own_next_ms;
	}
	rig_disk();
}

static void forget_final(void)
{
	for (int k = 0; k < m.actions; k++) {
		struct model_action *a = &m.a[k];
		int64_t window = a->kind == K_BOUNCE ? RIG_GRACE_MS : RIG_UNDO_MS;
		if ((a->kind != K_DELETE && a->kind != K_BOUNCE) || a->undone || a->final ||
		    a->at_ms + window > now())
			continue;
		a->final = true;
		for (int i = 0; i < m.n; i++)
			m.r[i].gone = m.r[i].gone || a->touched[i];
	}
}

static void pass_time(void)
{
	static const int64_t steps[] = { 1000, 20000, RIG_GRACE_MS, 200000, RIG_UNDO_MS };
	rig_advance(steps[rand() % ARRAY_LEN(steps)] + 50);
	forget_final();
	for (unsigned n = 0; n < 2000 && !all_as_expected(false); n++)
		rig_turn(n);
	find_reports();
}

/* What an action would do to a recipient now. */
static bool fits(enum kind kind, const struct aim *a, const struct rcpt *r)
{
	if (r->gone || r->trash || !covers(a, r))
		return false;
	return kind != K_RETRY || expected(r) == SCHED_DEFERRED;
}

static struct model_action *new_action(const json_t *answer, enum kind kind, const struct aim *aim)
{
	struct model_action *a = &m.a[m.actions];
	assert_true(m.actions < ACTIONS);
	m.actions++;
	*a = (struct model_action){ .kind = kind, .aim = aim, .at_ms = now() };
	a->id = strtoull(json_get_str(answer, "action") + 1, NULL, 10);
	return a;
}

/* `in`: the plan's set, NULL without a plan. */
static void apply_set(const json_t *answer, enum kind kind, const struct aim *aim, const bool *in)
{
	struct model_action *a = new_action(answer, kind, aim);
	int n = 0;
	for (int k = 0; k < m.n; k++) {
		struct rcpt *r = &m.r[k];
		if (!fits(kind, aim, r) || (in != NULL && !in[k]))
			continue;
		n++;
		a->touched[k] = true;
		a->was[k] = r->next_ms;
		if (kind == K_RETRY)
			r->next_ms = 0;
		else
			r->trash = true;
	}
	assert_int_equal(json_get_int(answer, "recipients"), n);
	if (n == 0)
		a->undone = true; /* nothing to take back */
}

static void apply_hold(const json_t *answer, const struct aim *aim)
{
	struct model_action *a = new_action(answer, K_HOLD, aim);
	a->hold = a->id;
	m.h[m.holds++] =
		(struct model_hold){ .id = a->id, .aim = aim, .by = a->id, .active = true };
}

static void apply_release(const json_t *answer, struct model_hold *h)
{
	struct model_action *a = new_action(answer, K_RELEASE, h->aim);
	a->hold = h->id;
	h->active = false;
	h->by = a->id;
}

static const char *const methods[] = { [K_HOLD] = "queue.hold",
				       [K_RELEASE] = "queue.release",
				       [K_RETRY] = "queue.retry",
				       [K_DELETE] = "queue.delete",
				       [K_BOUNCE] = "queue.bounce" };

static int active_holds(void)
{
	int n = 0;
	for (int k = 0; k < m.holds; k++)
		n += m.h[k].active;
	return n;
}

static void act(void)
{
	enum kind kind = (enum kind)(rand() % 5);
	const struct aim *aim = &aims[(size_t)rand() % ARRAY_LEN(aims)];
	struct model_hold *h = hold_on(aim);
	AUTO_FREE char *params = NULL;
	json_t *answer;
	if (kind == K_HOLD && active_holds() >= HOLDS)
		return;
	params = kind == K_RELEASE || kind == K_RETRY
			 ? xasprintf("{\"target\":\"%s\"}", aim->text)
			 : xasprintf("{\"target\":\"%s\",\"reason\":\"r\"}", aim->text);
	if (kind == K_HOLD && h != NULL) {
		rig_refuse(methods[kind], params, ERR_EXISTS, "held already");
		return;
	}
	if (kind == K_RELEASE && h == NULL) {
		rig_refuse(methods[kind], params, ERR_UNKNOWN, "no hold on");
		return;
	}
	answer = rig_do(methods[kind], params);
	if (kind == K_HOLD)
		apply_hold(answer, aim);
	else if (kind == K_RELEASE)
		apply_release(answer, h);
	else
		apply_set(answer, kind, aim, NULL);
	json_decref(answer);
}

static void plan(void)
{
	AUTO_FREE char *params = NULL;
	struct model_hold *h;
	json_t *p;
	int n = 0;
	m.plan_kind = (enum kind)(rand() % 5);
	m.plan_aim = &aims[(size_t)rand() % ARRAY_LEN(aims)];
	m.plan[0] = '\0';
	h = hold_on(m.plan_aim);
	if ((m.plan_kind == K_HOLD && (h != NULL || active_holds() >= HOLDS)) ||
	    (m.plan_kind == K_RELEASE && h == NULL))
		return;
	m.plan_hold = h != NULL ? h->id : 0;
	params = xasprintf("{\"method\":\"%s\",\"params\":{\"target\":\"%s\"}}",
			   methods[m.plan_kind], m.plan_aim->text);
	p = rig_do("plan.make", params);
	for (int k = 0; k < m.n; k++) {
		m.in_plan[k] = fits(m.plan_kind, m.plan_aim, &m.r[k]);
		n += m.in_plan[k];
	}
	if (m.plan_kind != K_RELEASE) /* which names what it holds itself: the oldest of several */
		if (json_get_int(p, "recipients") != n)
			fail_msg("%d: %s", n, json_dumps(p, 0));
	(void)snprintf(m.plan, sizeof(m.plan), "%s", json_get_str(p, "plan"));
	m.plan_until_ms = now() + INT64_C(1000) * ACTIONS_PLAN_S;
	json_decref(p);
}

/* Whether something of the plan's set went into the trash since, and is still there. */
static bool plan_is_trashed(void)
{
	for (int k = 0; k < m.n; k++)
		if (m.in_plan[k] && !m.r[k].gone && m.r[k].trash)
			return true;
	return false;
}

static void commit(void)
{
	AUTO_FREE char *params = xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", m.plan);
	struct model_hold *h;
	json_t *answer;
	if (m.plan[0] == '\0')
		return;
	if (m.plan_until_ms <= now()) {
		rig_refuse("plan.commit", params, ERR_UNKNOWN, "no such plan");
		m.plan[0] = '\0';
		return;
	}
	h = m.plan_kind == K_RELEASE ? hold_of(m.plan_hold) : hold_on(m.plan_aim);
	if (m.plan_kind == K_HOLD && h != NULL) {
		rig_refuse("plan.commit", params, ERR_EXISTS, "held already");
	} else if (m.plan_kind == K_RELEASE && !h->active) {
		rig_refuse("plan.commit", params, ERR_CONFLICT, "ended since");
	} else if ((m.plan_kind == K_DELETE || m.plan_kind == K_BOUNCE) && plan_is_trashed()) {
		rig_refuse("plan.commit", params, ERR_CONFLICT, "went into the trash");
	} else {
		answer = rig_do("plan.commit", params);
		if (m.plan_kind == K_HOLD)
			apply_hold(answer, m.plan_aim);
		else if (m.plan_kind == K_RELEASE)
			apply_release(answer, h);
		else
			apply_set(answer, m.plan_kind, m.plan_aim, m.in_plan);
		json_decref(answer);
		m.plan[0] = '\0';
	}
}

static void undo_hold_change(struct model_action *a, const char *params)
{
	struct model_hold *h = hold_of(a->hold);
	const struct model_hold *other = hold_on(a->aim);
	json_t *answer;
	uint64_t undo_id;
	if (h->by != a->id) {
		rig_refuse("action.undo", params, ERR_CONFLICT, "changed since");
		return;
	}
	if (a->kind == K_RELEASE && other != NULL) {
		rig_refuse("action.undo", params, ERR_EXISTS, "held again");
		return;
	}
	answer = rig_do("action.undo", params);
	undo_id = strtoull(json_get_str(answer, "action") + 1, NULL, 10);
	json_decref(answer);
	h->active = a->kind == K_RELEASE;
	/* as before the release: so the hold itself can be taken back again */
	h->by = a->kind == K_RELEASE ? h->id : undo_id;
	a->undone = true;
}

static void undo_set(struct model_action *a, const char *params)
{
	json_t *answer = rig_do("action.undo", params);
	int n = 0;
	for (int k = 0; k < m.n; k++) {
		struct rcpt *r = &m.r[k];
		if (!a->touched[k] || r->gone)
			continue;
		if (a->kind != K_RETRY) {
			r->trash = false;
			n++;
		} else if (r->next_ms == 0 && a->was[k] != 0) {
			r->next_ms = a->was[k];
			n++;
		}
	}
	assert_int_equal(json_get_int(answer, "recipients"), n);
	json_decref(answer);
	a->undone = true;
}

static void take_back(void)
{
	struct model_action *a;
	int64_t window;
	AUTO_FREE char *params = NULL;
	if (m.actions == 0)
		return;
	a = &m.a[m.actions - 1 - rand() % (m.actions < 8 ? m.actions : 8)];
	params = xasprintf("{\"action\":\"a%llu\"}", (unsigned long long)a->id);
	window = a->kind == K_BOUNCE ? RIG_GRACE_MS : RIG_UNDO_MS;
	if (a->undone)
		rig_refuse("action.undo", params, ERR_STATE, "taken back");
	else if (a->at_ms + window <= now())
		rig_refuse("action.undo", params, ERR_EXPIRED, "too late");
	else if (a->kind == K_HOLD || a->kind == K_RELEASE)
		undo_hold_change(a, params);
	else
		undo_set(a, params);
}

static void step(void)
{
	switch (rand() % 16) {
	case 0:
	case 1:
	case 2:
		arrive();
		break;
	case 3:
	case 4:
	case 5:
		deliver();
		break;
	case 6:
		pass_time();
		break;
	case 7:
		rig_restart();
		m.plan[0] = '\0';
		break;
	case 8:
		plan();
		break;
	case 9:
		commit();
		break;
	case 10:
	case 11:
		take_back();
		break;
	default:
		act();
		break;
	}
}

static void test_random(void **state)
{
	for (unsigned seed = 1; seed <= 4; seed++) {
		srand(seed);
		memset(&m, 0, sizeof(m));
		for (int k = 0; k < STEPS; k++) {
			step();
			find_reports();
			check();
		}
		assert_int_equal(rig_teardown(state), 0);
		assert_int_equal(rig_setup(state), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, rig_setup, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
