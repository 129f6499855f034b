/* The console's screens on a fake relay, at 80x24 and 200x50, and what their keys do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/mem.h"
#include "lib/fake_rpc.h"
#include "lib/screen.h"
#include "loop/loop.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/app.h"

#define WALL_MS INT64_C(1795494727000) /* 2026-11-24T04:32:07Z */

static char root[4096];
static struct app app;
static int screen_rows, screen_cols;

static void fake_size(void *screen, int *ret_rows, int *ret_cols)
{
	(void)screen;
	*ret_rows = screen_rows;
	*ret_cols = screen_cols;
}

static bool fake_ready(void *screen)
{
	(void)screen;
	return true;
}

static void fake_present(void *screen, const struct grid *g)
{
	(void)screen;
	(void)g;
}

static const struct screen_ops screen_ops = { .size = fake_size,
					      .ready = fake_ready,
					      .present = fake_present };

#define REPLY_SLOW                                                                                 \
	"421-4.7.28 Our system has detected an unusual rate of unsolicited mail originating from " \
	"your IP address. To protect our users, mail has been temporarily rate limited."
#define STATUS                                                                                     \
	"{'relay':'mx1.example.net','queued':{'messages':12431,'recipients':13020,'ready':12,"     \
	"'active':3,'deferred':12405,'held':600,'trash':0},'oldest_age_s':11700,"                  \
	"'rates':{'accepted_per_s':12.25,'delivered_per_s':9.5,'deferred_per_s':3.1,"              \
	"'failed_per_s':0},'rate_history':{'accepted':[1,2,3,5,8,8,7,6,9,12],"                     \
	"'delivered':[1,2,3,4,4,4,4,3,2,1],'deferred':[0,0,0,1,2,4,8,8,8,9],'failed':[0,0,0]},"    \
	"'holds':1,'alerts':0,'attention':["                                                       \
	"{'domain':'gmail.example','total':11804,'ready':0,'active':2,'deferred':11802,'held':0,"  \
	"'oldest_age_s':11700,'since_at':'2026-11-24T01:17:00.000Z','stream':'marketing',"         \
	"'hold':null,'backoff':'rate limited','class':'rate-limited','cause':{'class':"            \
	"'rate-limited','text':'" REPLY_SLOW "'}},"                                                \
	"{'domain':'down.example','total':601,'ready':0,'active':1,'deferred':0,'held':600,"       \
	"'oldest_age_s':4000,'since_at':'2026-11-24T03:25:00.000Z','hold':'h3','class':'network'," \
	"'last_reply':'connect to mx.down.example: connection refused'}]}"

static json_t *no_more(const char *rows)
{
	json_t *answer;
	char *text = xasprintf("{'rows':%s,'next':null,'prev':null,'exact':true}", rows);

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	answer = json_loads(text, 0, NULL);
	assert_non_null(answer);
	free(text);
	return answer;
}

static json_t *serve_queue(const json_t *params)
{
	if (strcmp(js(params, "by"), "stream") == 0)
		return no_more("[{'stream':'marketing','total':12000,'deferred':11900,'ready':100,"
			       "'active':0,'held':0,'oldest_age_s':11700}]");
	return no_more(
		"[{'domain':'gmail.example','total':11804,'ready':0,'active':2,'deferred':11802,"
		"'held':0,'oldest_age_s':11700,'next_attempt_s':95,'hold':null,"
		"'backoff':'rate limited','class':'rate-limited','last_reply':'421 4.7.28 Our "
		"system has detected an unusual rate','ages':[100,200,400,800,1600,3000,5000,704,0,"
		"0]},{'domain':'down.example','total':601,'ready':0,'active':1,'deferred':0,"
		"'held':600,'oldest_age_s':4000,'hold':'h3','class':'network','last_reply':"
		"'connection refused','ages':[0,0,600,0,0,0,0,0,0,1]},{'domain':'fast.example',"
		"'total':12,'ready':12,'active':0,'deferred':0,'held':0,'oldest_age_s':2,"
		"'ages':[12,0,0,0,0,0,0,0,0,0]}]");
}

static json_t *serve_messages(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'row':'0N4XK2M8QF/1','id':'0N4XK2M8QF','state':'deferred','from':"
		"'news@shop.example','to':'anna@gmail.example','domain':'gmail.example','stream':"
		"'marketing','size':48211,'age_s':11700,'attempts':7,'next_attempt_s':95,"
		"'last_code':421,'last_enhanced':'4.7.28','class':'rate-limited','last_reply':"
		"'Our system has detected','subject':'Week 48'},{'row':'0N4XK2M8QG/1','id':"
		"'0N4XK2M8QG','state':'held','from':'','to':'bob@down.example','domain':"
		"'down.example','stream':'default','size':912,'age_s':4000,'attempts':0,"
		"'next_attempt_s':null,'last_code':0,'class':null,'last_reply':null,'subject':"
		"'Undelivered','hold':'h3'}]");
}

static json_t *serve_holds(const json_t *params)
{
	(void)params;
	return no_more("[{'id':'h3','target':'domain:down.example','reason':'their site is down',"
		       "'by':'eva','created_at':'2026-11-24T04:02:00.000Z','expires_at':"
		       "'2026-11-24T06:02:00.000Z','messages':600,'recipients':600}]");
}

static json_t *serve_journal(const json_t *params)
{
	(void)params;
	return no_more("[{'action':'a7','at':'2026-11-24T04:02:00.000Z','who':'eva','method':"
		       "'queue.hold','target':'domain:down.example','recipients':600,'reason':"
		       "'their site is down','state':'undoable','undo_until_at':"
		       "'2026-11-24T04:36:00.000Z'}]");
}

static json_t *serve_edit(const json_t *params)
{
	(void)params;
	return no_more("[{'action':'a9','at':'2026-11-24T04:20:00.000Z','who':'olga','method':"
		       "'route.add','target':'discard','recipients':0,'state':'undoable',"
		       "'undo_until_at':null}]");
}

static json_t *serve_versions(const json_t *params)
{
	(void)params;
	return no_more("[{'version':12,'at':'2026-11-24T04:20:00.000Z','who':'olga','from_where':'"
		       "ssh','role':"
		       "'admin','method':'route.add','target':'discard','reason':'their site is "
		       "gone','action':"
		       "'a9','text':'+ route r9: match domain:down.example, to "
		       "discard','changes':[{'op':'+',"
		       "'kind':'route','id':'r9','text':'match domain:down.example, to discard'}],"
		       "'probation_until_at':'2026-11-24T04:40:00.000Z'},{'version':11,'at':"
		       "'2026-11-23T09:00:00.000Z','who':'eva','from_where':'local','role':'admin',"
		       "'method':"
		       "'config.import','target':'configuration of a file','reason':'as in the "
		       "repository',"
		       "'action':'a7','text':'~ stream marketing, 1 "
		       "more','changes':[{'op':'~','kind':'stream',"
		       "'id':'marketing','text':'rate 600 -> "
		       "900'},{'op':'-','kind':'allow','id':'10.0.0.0/8',"
		       "'text':'mode relay, note office'}],'probation_until_at':null}]");
}

static json_t *serve_audit(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'seq':12,'at':'2026-11-24T04:05:00.000Z','who':'bob','uid':1002,'from_where':'"
		"ssh',"
		"'role':'viewer','method':'queue.delete','target':'all','reason':'','result':"
		"'refused: denied queue.delete needs the role operator; bob is "
		"viewer','action':null,"
		"'changes':null,'prev':'5d5b','hash':'9c0d'},{'seq':11,'at':"
		"'2026-11-24T04:02:00.000Z','who':'eva','uid':1001,'from_where':'local','role':"
		"'admin','method':'allow.remove','target':'10.0.0.0/8','reason':'the office moved',"
		"'result':'done','action':'a7','changes':[{'kind':'allow','id':'10.0.0.0/"
		"8','before':"
		"{'note':'office'},'after':null}],'prev':'77aa','hash':'5d5b'}]");
}

#define CRED_SHOP                                                                                  \
	"'name':'shop','status':'active','stragglers':1,'note':'the shop','senders':["             \
	"'shop.example','*.news.example'],'streams':[],'networks':['10.0.0.0/8'],'per_minute':"    \
	"null,'per_day':5000,'recipients_max':null,'last_used_at':'2026-11-24T04:30:00.000Z',"     \
	"'last_client':'10.0.0.7','uses':812,'messages':90412,'recipients':90650,'bytes':"         \
	"412000000,'today':1204,'by':'eva','created_at':'2026-01-04T09:00:00.000Z','expires_at':"  \
	"null,'disabled_at':null,'revoked_at':null,'secrets':[{'id':'s1','state':'old',"           \
	"'created_at':'2026-01-04T09:00:00.000Z','expires_at':'2026-11-30T04:00:00.000Z',"         \
	"'silent_s':172800,'last_used_at':'2026-11-24T04:10:00.000Z','last_client':'10.0.0.9',"    \
	"'uses':800,'messages':90300,'refused':0},{'id':'s2','state':'new','created_at':"          \
	"'2026-11-23T04:00:00.000Z','expires_at':null,'silent_s':null,'last_used_at':"             \
	"'2026-11-24T04:30:00.000Z','last_client':'10.0.0.7','uses':12,'messages':112,"            \
	"'refused':0}]"

static json_t *serve_creds(const json_t *params)
{
	(void)params;
	return no_more("[{" CRED_SHOP "},{'name':'crm','status':'revoked','stragglers':0,'note':"
		       "null,'secrets':[],'senders':[],'streams':['bulk'],'networks':[],"
		       "'last_used_at':null,'last_client':null,'uses':0,'messages':0,'by':'root',"
		       "'created_at':'2026-01-04T09:00:00.000Z'}]");
}

static json_t *serve_allow(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'network':'10.0.0.0/8','mode':'relay','stream':null,'note':'the office','by':"
		"'eva','created_at':'2026-01-04T09:00:00.000Z','expires_at':null,'last_hit_at':"
		"'2026-11-24T04:30:00.000Z','hits':90121,'notices':[]},{'network':'8.0.0.0/7',"
		"'mode':'relay','stream':'bulk','note':null,'by':'bob','created_at':"
		"'2026-11-24T04:00:00.000Z','expires_at':'2026-11-24T06:00:00.000Z','last_hit_at':"
		"null,'hits':0,'notices':['this is a large part of the public Internet: everybody "
		"in "
		"/7 may relay']}]");
}

static json_t *serve_suppress(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'id':'anna@shop.example','address':'anna@shop.example','stream':null,'source':"
		"'hard-bounce','reason':'bad-mailbox','by':'weir','created_at':"
		"'2026-11-24T04:30:00.000Z','expires_at':null,'hits':12,'last_hit_at':"
		"'2026-11-24T04:40:00.000Z','message':'0N4XK2M8QF/1','reply':'550 5.1.1 No such "
		"user','bounces':0,'import':null},{'id':'stream:bulk old.example','address':"
		"'old.example','stream':'bulk','source':'hand','reason':'closed its doors','by':"
		"'eva','created_at':'2026-01-04T09:00:00.000Z','expires_at':"
		"'2027-01-04T09:00:00.000Z','hits':0,'last_hit_at':null,'message':null,'reply':"
		"null,"
		"'bounces':0,'import':null}]");
}

static json_t *serve_bounces(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'id':'12','at':'2026-11-24T04:30:00.000Z','last_at':'2026-11-24T04:40:00.000Z',"
		"'count':3,'client':'192.0.2.9','from':'','to':'fbl@relay.example','subject':"
		"'Complaint','original':'<1@shop.example>','why':'it names no envelope sender that "
		"this relay "
		"signed','size':4711},"
		"{'id':'11','at':'2026-11-24T03:30:00.000Z','last_at':'2026-11-24T03:30:00.000Z',"
		"'count':1,'client':'192.0.2.7','from':'anna@fast.example','to':"
		"'b-0n4xk2m8qf0015yd1-abcdefghabcdefgh@bounces.example','subject':null,'original':"
		"null,'why':"
		"'nothing in it says what it reports','size':800}]");
}

static json_t *serve_bounce(const json_t *params)
{
	(void)params;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", "12", "why", "it names nobody",
			 "from", "", "to", "fbl@relay.example", "client", "192.0.2.9", "text",
			 "Subject: Complaint\r\n\r\nStop \x1b[31mit.\r\n");
}

static json_t *serve_streams(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'id':'marketing','rule':'sender-domain:news.example, with List-Unsubscribe',"
		"'match':'sender-domain:news.example','headers':['List-Unsubscribe'],'require':["
		"'one-click'],'priority':2,'rate':600,'concurrency':5,'retry':'5m..4h','delay_s':"
		"null,'tls':'opportunistic','lifetime_s':86400,'pool':'bulk','dkim':null,"
		"'suppressed':'drop','note':'letters','by':'eva','created_at':'2026-11-24T04:00:00."
		"000Z'},{'id':'default',"
		"'rule':'everything else','match':'','headers':[],'require':[],'priority':5,'rate':"
		"null,'concurrency':null,'retry':null,'delay_s':null,'tls':'opportunistic',"
		"'lifetime_s':null,'pool':null,'dkim':null,'note':null,'by':'','created_at':"
		"null}]");
}

static json_t *serve_pools(const json_t *params)
{
	(void)params;
	return no_more(
		"[{'id':'bulk','addresses':'192.0.2.9, 192.0.2.10','warmup':'50..20000*1.5',"
		"'progress':'[####......] day 4 of 16: 140 of 336','day':4,'cap':336,'sent_today':"
		"140,'overflow':'main','note':null,'by':'eva','created_at':"
		"'2026-11-21T04:00:00.000Z','sources':[{'address':'192.0.2.9','ehlo':"
		"'mta9.example.net','weight':2,'sent_today':140,'cap':168,'trouble':null},"
		"{'address':'192.0.2.10','ehlo':null,'weight':1,'sent_today':0,'cap':168,"
		"'trouble':'Cannot assign requested address'}]}]");
}

#define URGENT                                                                                     \
	"[{'id':'sink:crm','kind':'sink','severity':'bad','target':'crm','text':'sink crm takes "  \
	"no events, 412 wait: crm.example answered with 500','class':null,'recipients':null,"      \
	"'since_at':'2026-11-24T03:12:00.000Z','until_at':null,'command':'weir sinks','meaning':"  \
	"'a sink takes no events; they are kept for it'},{'id':'pool-cap:bulk','kind':"            \
	"'pool-cap','severity':'warn','target':'bulk','text':'pool bulk is at its warm-up cap, "   \
	"168 from each address on day 4; the rest waits for the next day','class':null,"           \
	"'recipients':null,'since_at':'2026-11-24T02:00:00.000Z','until_at':"                      \
	"'2026-11-25T00:00:00.000Z','command':'weir pool show bulk','meaning':'a pool has sent "   \
	"what its warm-up plan allows for the day'}]"

static json_t *serve_alerts(const json_t *params)
{
	json_t *page = no_more(URGENT);

	(void)params;
	(void)json_array_insert_new(
		json_object_get(page, "rows"), 0,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "id",
			  "destination:gmail.example", "kind", "destination", "severity", "bad",
			  "target", "gmail.example", "text", "gmail.example: " REPLY_SLOW, "class",
			  "rate-limited", "recipients", 11804, "since_at",
			  "2026-11-24T01:17:00.000Z", "command", "weir why domain:gmail.example"));
	return page;
}

static json_t *serve_rows(const json_t *params)
{
	(void)params;
	return serve_messages(params);
}

static json_t *serve_content(const json_t *params)
{
	(void)params;
	/* "Subject: =?utf-8?q?gr=C3=BCn?=\r\n\r\nhello\r\n" */
	return json_pack("{s:s, s:i, s:i}", "base64",
			 "U3ViamVjdDogPT91dGYtOD9xP2dyPUMzPUJDbj89DQoNCmhlbGxvDQo=", "total", 41,
			 "offset", 0);
}

static void fake_relay(void)
{
	fake_rpc_reset();
	fake_rpc_answer("status.get", STATUS);
	fake_rpc_answer_fn("queue.list", serve_queue);
	fake_rpc_answer_fn("message.list", serve_messages);
	fake_rpc_answer_fn("hold.list", serve_holds);
	fake_rpc_answer_fn("action.list", serve_journal);
	fake_rpc_answer_fn("config.history", serve_versions);
	fake_rpc_answer_fn("audit.list", serve_audit);
	fake_rpc_answer_fn("cred.list", serve_creds);
	fake_rpc_answer_fn("allow.list", serve_allow);
	fake_rpc_answer_fn("alert.list", serve_alerts);
	fake_rpc_answer_fn("suppress.list", serve_suppress);
	fake_rpc_answer_fn("bounces.list", serve_bounces);
	fake_rpc_answer_fn("bounces.show", serve_bounce);
	fake_rpc_answer_fn("stream.list", serve_streams);
	fake_rpc_answer_fn("pool.list", serve_pools);
	fake_rpc_answer(
		"cred.show",
		"{" CRED_SHOP ",'users':[{'secret':'s2','client':'10.0.0.7','helo':"
		"'app1.shop.example','stream':'default','straggler':false,'first_at':"
		"'2026-11-23T04:00:00.000Z','last_at':'2026-11-24T04:30:00.000Z','uses':12,"
		"'messages':112,'refused':0},{'secret':'s1','client':'10.0.0.9','helo':"
		"'app2.shop.example','stream':'bulk','straggler':true,'first_at':"
		"'2026-01-04T09:00:00.000Z','last_at':'2026-11-24T04:10:00.000Z','uses':400,"
		"'messages':45150,'refused':0}]}");
	fake_rpc_answer("audit.verify", "{'intact':false,'seq':5,'damage':'missing','text':"
					"'record 5 is missing'}");
	fake_rpc_answer_fn("plan.rows", serve_rows);
	fake_rpc_answer_fn("message.content", serve_content);
	fake_rpc_answer("plan.drop", "{}");
	fake_rpc_answer(
		"plan.make",
		"{'plan':'p9','method':'queue.hold','target':'domain:gmail.example',"
		"'messages':790,'recipients':804,'in_delivery':2,'by_state':{'deferred':802,"
		"'ready':2},'by_domain':{'gmail.example':804},'by_stream':{'marketing':804},"
		"'oldest_age_s':11700,'newest_age_s':3,'undo_window_s':600,"
		"'command':'weir hold domain:gmail.example'}");
	fake_rpc_answer("plan.commit", "{'action':'a8','messages':790,'recipients':803,'skipped':1,"
				       "'undo_until_at':'2026-11-24T04:42:07.000Z'}");
	fake_rpc_answer("action.undo", "{'action':'a9','messages':600,'recipients':600}");
	fake_rpc_answer(
		"message.get",
		"{'id':'0N4XK2M8QF','from':'news@shop.example','received_at':"
		"'2026-11-24T01:17:07.000Z','size':48211,'stream':'marketing','client':"
		"'10.0.0.7','msgid':'<1@shop.example>','subject':'Week 48','content':'stored',"
		"'recipients':[{'to':'anna@gmail.example','domain':'gmail.example','state':'"
		"deferred','attempts':7,"
		"'next_attempt_s':95,'last_reply':'421 4.7.28 Our system has detected'}],"
		"'attempts':[{'at':'2026-11-24T04:20:07.000Z','to':'anna@gmail.example',"
		"'outcome':'deferred','code':421,'class':'rate-limited','reply':'421 4.7.28 Our "
		"system has detected','host':'mx.gmail.example','ip':'192.0.2.7','source':"
		"'10.0.0.1','tls':'none','duration_ms':230,'phases':{'dns_ms':2,'connect_ms':31,"
		"'mail_ms':180},'transcript':[{'by':'note','after_ms':31,'text':'connected to "
		"mx.gmail.example [192.0.2.7]:25 from 10.0.0.1'},{'by':'host','after_ms':17,'text':"
		"'220 mx.gmail.example ESMTP'},{'by':'relay','after_ms':0,'text':'MAIL "
		"FROM:<news@shop.example> SIZE=48211'},{'by':'host','after_ms':180,'text':"
		"'421-4.7.28 Our system has detected'},{'by':'host','after_ms':0,'text':'421 "
		"4.7.28 "
		"an unusual rate'}]}]}");
	fake_rpc_answer(
		"event.list",
		"{'rows':[{'seq':39,'at':'2026-11-24T04:31:50.000Z','event':'received','id':"
		"'0N4XK2M8QA','from':'a@shop.example','to':null,'code':0,'reply':null},{'seq':40,"
		"'at':'2026-11-24T04:31:51.000Z','event':'suppressed','id':null,'from':'','to':"
		"'d@fast.example','code':0,'reply':null,'source':'hand','reason':'asked us "
		"to','by':"
		"'eva'},{'seq':41,'at':'2026-11-24T04:31:58.120Z','event':'delivered','id':"
		"'0N4XK2M8QA','from':'a@shop.example','to':'c@fast.example','code':250,'reply':"
		"'250 2.0.0 queued'},{'seq':42,'at':'2026-11-24T04:32:01.000Z','event':"
		"'deferred','id':'0N4XK2M8QF','from':'news@shop.example','to':"
		"'anna@gmail.example','code':421,'class':'rate-limited','reply':'421 4.7.28'}],"
		"'next':null}");
	fake_rpc_answer("why.get", "{'binding':'backoff','text':'gmail.example asked to slow down',"
				   "'since_at':'2026-11-24T01:17:00.000Z'}");
}

static void frame(void)
{
	fake_rpc_run();
	loop_advance(app.loop, 50);
	fake_rpc_run();
	shell_dirty(app.shell, SHELL_RELAYOUT | SHELL_RECALC | SHELL_REPAINT);
	shell_frame(app.shell);
	fake_rpc_run();
	shell_dirty(app.shell, SHELL_RECALC | SHELL_REPAINT);
	shell_frame(app.shell);
}

static void start(int rows, int cols)
{
	struct shell_status status = { .relay = "mx1.example.net",
				       .role = "operator",
				       .link = LINK_UP,
				       .perm = ACTION_OPERATE };

	screen_rows = rows;
	screen_cols = cols;
	fake_relay();
	app.loop = loop_new();
	loop_fake_clock(app.loop, WALL_MS);
	app.rpc = fake_rpc();
	app.relay = relay_new(app.rpc);
	app.filters = history_new();
	app.acts = acts_new(&app);
	app.shell = shell_new(&(struct shell_options){
		.loop = app.loop, .screen_ops = &screen_ops, .app = &app });
	app_register(app.shell);
	shell_status_set(app.shell, &status);
	fake_rpc_push("status", STATUS, false);
	(void)shell_open(app.shell, "overview", "");
	frame();
}

static int setup(void **state)
{
	(void)state;
	start(24, 80);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shell_free(&app.shell);
	acts_free(&app.acts);
	history_free(&app.filters);
	relay_free(&app.relay);
	assert_int_equal(fake_rpc_subs(), 0);
	loop_free(&app.loop);
	fake_rpc_reset();
	return 0;
}

static void key(uint32_t k)
{
	shell_event(app.shell, &EVENT_OF_KEY(k));
	frame();
}

static void type(const char *text)
{
	for (; *text != '\0'; text++)
		key((uint32_t)*text);
}

static bool shows(const char *text)
{
	return screen_has(shell_grid(app.shell), text);
}

static void be_admin(void)
{
	struct shell_status status = *shell_status(app.shell);

	status.perm = ACTION_ADMIN;
	shell_status_set(app.shell, &status);
}

/* --- how screens look --- */

static void look(const char *view, const char *arg, const char *name)
{
	char golden[64];

	(void)shell_open(app.shell, view, arg);
	frame();
	(void)snprintf(golden, sizeof(golden), "view-%s-%d", name, screen_cols);
	screen_golden(shell_grid(app.shell), golden);
}

static void test_screens(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 50, 200 } };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		start(sizes[i][0], sizes[i][1]);
		look("overview", "", "overview");
		look("queues", "", "queues");
		look("messages", "domain:gmail.example", "messages");
		look("message", "0N4XK2M8QF", "message");
		look("message", "0N4XK2M8QF attempts", "attempts");
		look("message", "0N4XK2M8QF transcript", "transcript");
		look("holds", "", "holds");
		look("events", "", "events");
		look("undo", "", "undo");
		look("audit", "", "audit");
		look("access", "", "access");
		key(K_ENTER);
		screen_golden(shell_grid(app.shell), i == 0 ? "view-cred-80" : "view-cred-200");
		key(K_ESC);
		(void)shell_open(app.shell, "allow", "");
		frame();
		key(K_DOWN);
		look("allow", "", "allow");
		look("suppress", "", "suppress");
		look("alerts", "", "alerts");
		key('0');
		key('H');
		screen_golden(shell_grid(app.shell), i == 0 ? "view-plan-80" : "view-plan-200");
		key(K_ESC);
		look("bounces", "", "bounces");
		look("streams", "", "streams");
		key(K_TAB); /* the pools stand beside them */
		screen_golden(shell_grid(app.shell), i == 0 ? "view-pools-80" : "view-pools-200");
		look("versions", "", "versions");
		(void)teardown(state);
	}
}

/* --- what keys do --- */

static void test_hold_in_three_keys(void **state)
{
	(void)state;
	key('H');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "\"target\":\"domain:gmail.example\""));
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"method\":\"queue.hold\""));
	assert_true(shows("804 recipients of 790 messages"));
	key(K_TAB);
	type("rate limited");
	key(K_TAB);
	key(K_ENTER);
	if (fake_rpc_calls("plan.commit") == 0)
		key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"rate limited\"}");
	assert_int_equal(fake_rpc_calls("plan.drop"), 0);
	assert_true(shows("803 recipients, 1 in delivery or gone"));
}

/* What came is shown without what it could do to a terminal, and forgotten by its number. */
static void test_bounces(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "bounces", "");
	frame();
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("bounces.show"), "\"id\":\"12\""));
	assert_true(shows("it names nobody") && shows("Subject: Complaint") && shows("[31mit."));
	key(K_ESC);
	key('D');
	frame();
	assert_true(shows("12"));
}

/* Taken off with the stream that the entry is for; a message's recipient is put on it. */
static void test_suppress(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "suppress", "");
	frame();
	key('/');
	type("to:anna*");
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("suppress.list"), "\"where\":\"to:anna*\""));
	key('\\');
	frame();
	key(K_ENTER);
	frame();
	assert_true(shows("550 5.1.1 No such user"));
	key('q');
	key('j');
	key('D');
	frame();
	assert_true(shows("old.example") && shows("bulk"));
	key(K_ESC);
	(void)shell_open(app.shell, "messages", "domain:gmail.example");
	frame();
	key('S');
	frame();
	assert_true(shows("@gmail.example") && shows("stream"));
	for (int i = 0; i < 3; i++)
		key(K_ENTER);
	assert_true(shows("weir suppress add") && shows("[>Cancel<]")); /* asked about first */
	assert_int_equal(fake_rpc_calls("suppress.add"), 0);
	key(K_TAB);
	type("left us");
	key(K_TAB);
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("suppress.add"), "\"reason\":\"left us\""));
}

/* Filtered by its own fields; a record with what changed; whether the log is whole. */
static void test_audit(void **state)
{
	(void)state;
	key(':');
	type("audit");
	key(K_ENTER);
	frame();
	assert_true(shows("refused: denied"));
	key('/');
	type("who:bob");
	key(K_ENTER);
	frame();
	assert_non_null(strstr(fake_rpc_params("audit.list"), "\"where\":\"who:bob\""));
	key('\\');
	frame();
	key('j');
	key('d');
	frame();
	assert_true(shows("allow 10.0.0.0/8"));
	assert_true(shows("{\"note\":\"office\"}"));
	key('q');
	key('s');
	frame();
	assert_true(shows("record 5 is missing"));
}

/* A list that nobody looked at is as old as it was left, not as the link. */
static void test_old_rows_say_how_old(void **state)
{
	struct shell_status status = *shell_status(app.shell);

	(void)state;
	fake_rpc_push("changes", "{'queue':1}", false);
	key('1');
	key('4');
	fake_rpc_push("changes", "{'queue':2}", false);
	loop_advance(app.loop, 600000);
	fake_rpc_push("changes", "{'queue':3}", false);
	status.link = LINK_LOST;
	status.data_wall_ms = shell_wall_ms(app.shell) - 3000;
	shell_status_set(app.shell, &status);
	fake_rpc_fail("queue.list", ERR_CLOSED, "no link");
	frame();
	assert_true(shows("data of 3s ago"));
	key('1');
	assert_true(shows("gmail.example"));
	assert_true(shows("data of 10m"));
	status.link = LINK_UP;
	shell_status_set(app.shell, &status);
	frame();
	assert_false(shows("data of"));
}

static void test_leaving_a_plan_drops_it(void **state)
{
	(void)state;
	key('H');
	key(K_ESC);
	assert_int_equal(fake_rpc_calls("plan.drop"), 1);
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
}

static void test_refused_plan_says_why(void **state)
{
	(void)state;
	fake_rpc_fail("plan.make", ERR_CONFLICT, "bob has a plan for gmail.example open");
	key('H');
	assert_true(shows("bob has a plan"));
	assert_false(shows("Cancel"));
}

static void test_enter_goes_to_the_messages(void **state)
{
	(void)state;
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "messages");
	assert_non_null(strstr(fake_rpc_params("message.list"), "domain:gmail.example"));
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("message.get"), "{\"id\":\"0N4XK2M8QF\"}");
}

static void test_marks_become_one_target(void **state)
{
	(void)state;
	key('2');
	key(' ');
	key(' ');
	key('D');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "0N4XK2M8QF/1,0N4XK2M8QG/1") != NULL
			? strstr(fake_rpc_params("plan.make"), "id:")
			: strstr(fake_rpc_params("plan.make"), "id:0N4XK2M8QG/1,0N4XK2M8QF/1"));
}

static void test_all_marked_is_the_filter(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "messages", "domain:gmail.example");
	frame();
	key('*');
	key(' ');
	key('R');
	assert_non_null(
		strstr(fake_rpc_params("plan.make"), "domain:gmail.example -id:0N4XK2M8QF/1"));
}

static void test_filter_is_live_and_esc_takes_it_back(void **state)
{
	(void)state;
	key('2');
	key('/');
	type("state:held");
	assert_non_null(strstr(fake_rpc_params("message.list"), "\"where\":\"state:held\""));
	key(K_ESC);
	assert_null(strstr(fake_rpc_params("message.list"), "where"));
}

static void test_queues_group_and_release_by_hold(void **state)
{
	(void)state;
	key('1');
	key('j');
	key('L');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"hold\":\"h3\""));
	key(K_ESC);
	key('b');
	key('s');
	assert_true(shows("marketing"));
	assert_non_null(strstr(fake_rpc_params("queue.list"), "\"by\":\"stream\""));
	key('H');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"target\":\"stream:marketing\""));
}

static void test_undo_asks_first(void **state)
{
	(void)state;
	key('z');
	assert_true(shows("queue.hold"));
	key('z');
	assert_int_equal(fake_rpc_calls("action.undo"), 0);
	key(K_RIGHT);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("action.undo"), "{\"action\":\"a7\"}");
}

static void test_changes_refetch_without_moving_the_cursor(void **state)
{
	int calls;

	(void)state;
	key('2');
	key('j');
	loop_advance(app.loop, 2000);
	calls = fake_rpc_calls("message.list");
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("message.list"), calls + 1);
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("message.list"), calls + 1);
	key('R');
	assert_non_null(strstr(fake_rpc_params("plan.make"), "0N4XK2M8QG/1"));
}

static void test_overview_in_a_small_window(void **state)
{
	start(10, 40);
	assert_true(shows("Needs attention"));
	assert_true(shows("gmail.example"));
	assert_false(shows("Holds ("));
	assert_true(shows("12 405 deferred 600 held"));
	be_admin();
	(void)shell_open(app.shell, "streams", "");
	key('A');
	assert_true(shows("[ OK ]") && shows("name") && shows("match"));
	(void)teardown(state);
}

/* A refusal is read to its end where it appears. */
static void test_long_notices(void **state)
{
	(void)state;
	fake_rpc_fail("plan.make", ERR_UNKNOWN,
		      "there is no hold on domain:flaky.example; weir holds lists those that there "
		      "are, and a filter finds what they hold");
	key('H');
	assert_true(shows("there is no hold on domain:flaky.example"));
	assert_true(shows("finds what they hold"));
	key('/');
}

/* d on an action says what it changed; Enter on what leads nowhere describes it. */
static void test_described(void **state)
{
	(void)state;
	fake_rpc_answer_fn("action.list", serve_edit);
	key('6');
	key('d');
	assert_true(shows("+ route r9: match domain:down.example, to discard"));
	key(K_ESC);
	assert_true(shell_open(app.shell, "pools", ""));
	frame();
	key(K_ENTER);
	assert_true(shows("Esc close") && shows("EHLO mta9.example.net"));
}

/* What is the matter besides destinations stands above them, and in a small window they come
 * first. */
static void test_overview_says_what_is_the_matter(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 10, 40 }, { 50, 200 } };
	AUTO_FREE char *status =
		xasprintf("%.*s,'urgent':" URGENT "}", (int)strlen(STATUS) - 1, STATUS);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char golden[40];

		start(sizes[i][0], sizes[i][1]);
		fake_rpc_push("status", status, false);
		frame();
		assert_true(shows("gmail.example"));
		(void)snprintf(golden, sizeof(golden), "view-overview-urgent-%d", sizes[i][1]);
		screen_golden(shell_grid(app.shell), golden);
		(void)teardown(NULL);
	}
}

/* From an alert to where it can be seen to. */
static void test_alerts(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "alerts", "");
	frame();
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("message.list"), "domain:gmail.example"));
	key(K_ESC);
	key('w');
	frame();
	assert_string_equal(fake_rpc_params("why.get"), "{\"target\":\"domain:gmail.example\"}");
	key(K_ESC);
	key('j');
	key('H');
	assert_true(shows("it is about no destination"));
	key(K_ENTER); /* a sink has no screen: all that is known of it */
	frame();
	assert_true(shows("they are kept for it"));
	key(K_ESC);
	key('j');
	key(K_ENTER);
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "pools");
}

/* What a hold covers grows with the queue, and the overview says how much that is. */
static void test_overview_counts_what_is_held_now(void **state)
{
	int calls;

	(void)state;
	loop_advance(app.loop, 2000);
	calls = fake_rpc_calls("hold.list");
	fake_rpc_push("changes", "{'queue':5}", false);
	frame();
	assert_int_equal(fake_rpc_calls("hold.list"), calls + 1);
}

static void test_events_follow(void **state)
{
	(void)state;
	key('5');
	assert_true(shows("following"));
	key('k');
	assert_true(shows("stopped"));
	fake_rpc_push("events",
		      "[{'seq':43,'at':'2026-11-24T04:32:02.000Z','event':'failed','id':'X','to':"
		      "'zed@fast.example'}]",
		      false);
	frame();
	assert_true(shows("zed@fast.example"));
	key('G');
	assert_true(shows("following"));
}

/* --- what is spoken now --- */

#define SPOKEN(clock, session, by, text)                                                           \
	"{'at':'2026-11-24T" clock "Z','session':" session                                         \
	",'hop':'mx:gmail.example','host':'mx.gmail.example','ip':'192.0.2.7','id':"               \
	"'0N4XK2M8QF','by':'" by "','text':'" text "'}"

static void speak(void)
{
	fake_rpc_push(
		"trace",
		"{'rows':[" SPOKEN("04:32:06.100", "7", "note", "connected to mx.gmail.example [192.0.2.7]:25") "," SPOKEN(
			"04:32:06.140", "7", "host",
			"220 mx.gmail.example ESMTP") "," SPOKEN("04:32:06.141", "7", "relay",
								 "EHLO mx1.example.net") "," SPOKEN("04:32:06.190",
												    "7",
												    "host",
												    REPLY_SLOW) "],'left':0}",
		false);
	frame();
}

/* With a destination, from where it stands; silence says what the mail waits for and how to
 * provoke. */
static void test_trace(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 50, 200 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		start(sizes[i][0], sizes[i][1]);
		key('l');
		assert_string_equal(view_def_of(shell_view(app.shell))->name, "trace");
		assert_string_equal(view_arg(shell_view(app.shell)), "domain:gmail.example");
		assert_string_equal(fake_rpc_params("why.get"),
				    "{\"target\":\"domain:gmail.example\"}");
		look("trace", "domain:gmail.example", "trace-silent");
		key('R');
		assert_non_null(strstr(fake_rpc_params("plan.make"), "\"method\":\"queue.retry\""));
		assert_non_null(strstr(fake_rpc_params("plan.make"),
				       "\"target\":\"domain:gmail.example\""));
		key(K_ESC);
		speak();
		screen_golden(shell_grid(app.shell), i == 0 ? "view-trace-80" : "view-trace-200");
		key('r');
		assert_string_equal(view_def_of(shell_view(app.shell))->name, "events");
		(void)teardown(NULL);
	}
}

static void test_trace_frozen(void **state)
{
	(void)state;
	key('l');
	speak();
	assert_true(shows("listening"));
	key('k');
	assert_true(shows("stopped"));
	key('G');
	key('p');
	fake_rpc_push("trace",
		      "{'rows':[" SPOKEN("04:32:07.000", "8", "relay", "QUIT") "],'left':3}",
		      false);
	frame();
	assert_false(shows("QUIT"));
	key('p');
	assert_true(shows("QUIT"));
	assert_true(shows("3 lines left out: too many at once"));
	key('0'); /* nobody looks: nothing is sent */
	assert_int_equal(fake_rpc_subs(), 2);
	key('[');
	assert_int_equal(fake_rpc_subs(), 3);
	frame();
	assert_true(shows("nobody listened until now"));
	fake_rpc_push("trace", "{'rows':[],'left':0}", true);
	frame();
	assert_true(shows("the link was lost"));
}

/* Bounded, however much is spoken and however long the screen stands still. */
static void test_trace_is_bounded(void **state)
{
	AUTO_BUF rows = BUF_INIT(1 << 20);

	(void)state;
	key('l');
	(void)buf_puts(&rows, "{'rows':[");
	for (int i = 0; i < 500; i++)
		(void)buf_puts(&rows,
			       i > 0 ? "," SPOKEN("04:32:08.000", "9", "host", "250 2.0.0 Ok")
				     : SPOKEN("04:32:08.000", "9", "host", "250 2.0.0 Ok"));
	(void)buf_puts(&rows, "],'left':0}");
	speak();
	key('g');
	key('p');
	for (int i = 0; i < 30; i++)
		fake_rpc_push("trace", buf_cstr(&rows), false);
	frame();
	assert_true(shows("220 mx.gmail.example ESMTP")); /* stands still */
	key('p');
	frame();
	key('G');
	frame();
	assert_true(shows("lines came while the screen was frozen, and were not kept"));
	for (int i = 0; i < 30; i++)
		fake_rpc_push("trace", buf_cstr(&rows), false);
	frame();
	key('g');
	frame();
	assert_false(shows("220 mx.gmail.example ESMTP"));
}

/* From a message: of whom it goes to, for its own lines alone would not show the connection. */
static void test_trace_of_a_message(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key('l');
	assert_string_equal(view_arg(shell_view(app.shell)), "domain:gmail.example");
	(void)shell_open(app.shell, "queues", "");
	frame();
	key('j');
	key('l');
	assert_string_equal(view_arg(shell_view(app.shell)), "domain:down.example");
	(void)shell_open(app.shell, "holds", "");
	frame();
	key('l');
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "events");
}

static void test_body_is_decoded(void **state)
{
	(void)state;
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key(K_TAB);
	key(K_TAB);
	key(K_TAB);
	assert_true(shows("Subject: gr\u00fcn"));
	key(K_TAB);
	assert_true(shows("hello"));
}

static void test_others_with_the_same_cause(void **state)
{
	(void)state;
	fake_rpc_answer("cause.list",
			"{'rows':[{'class':'rate-limited','where':'class:rate-limited "
			"code:421','count':7}],'next':null,'total':1,'exact':true}");
	(void)shell_open(app.shell, "message", "0N4XK2M8QF");
	frame();
	key('r');
	frame();
	assert_non_null(strstr(fake_rpc_params("cause.list"), "id:0N4XK2M8QF"));
	assert_string_equal(view_def_of(shell_view(app.shell))->name, "messages");
	assert_non_null(strstr(fake_rpc_params("message.list"), "class:rate-limited code:421"));
}

static void test_save_writes_all_rows(void **state)
{
	char path[] = "/tmp/weir-save-XXXXXX";
	char line[512] = "";
	FILE *file;
	int lines = 0;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(chdir(path), 0);
	key('2');
	key(K_CTRL | 's');
	key(K_ENTER);
	assert_true(shows("2 rows written"));
	file = fopen("weir-messages.tsv", "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		lines++;
	(void)fclose(file);
	assert_int_equal(lines, 3);
	assert_non_null(strstr(line, "0N4XK2M8QG\t0N4XK2M8QG/1\theld\t"));
	key(K_CTRL | 's');
	key(K_ENTER);
	assert_true(shows("File exists")); /* never overwritten */
	key(K_ESC);
	(void)unlink("weir-messages.tsv");
	assert_int_equal(chdir(root), 0);
	(void)rmdir(path);
}

static void test_why(void **state)
{
	(void)state;
	static const char sentence[] = "gmail.example asked to slow down";
	AUTO_FREE char *text = NULL;
	const char *first;

	key('w');
	frame();
	text = screen_text(shell_grid(app.shell));
	first = strstr(text, sentence);
	assert_non_null(first);
	assert_null(strstr(first + 1, sentence)); /* once */
}

static void test_keys(void **state)
{
	(void)state;
	fake_rpc_answer("dkim.list",
			"{'rows':[{'id':'shop.example/s1','state':'active','domain':'shop.example',"
			"'selector':'s1','algorithm':'rsa-sha256','by':'eva','created_at':"
			"'2026-11-24T04:02:00.000Z','signed':12,'failed':0,'last_signed_at':null}],"
			"'next':null,'prev':null,'total':1,'exact':true}");
	fake_rpc_answer(
		"dkim.show",
		"{'domain':'shop.example','records':[{'id':'shop.example/s1','state':'active',"
		"'algorithm':'rsa-sha256','name':'s1._domainkey.shop.example','type':'TXT',"
		"'value':'v=DKIM1; k=rsa; p=AAAA','zone':'s1._domainkey.shop.example. IN TXT "
		"x'}]}");
	assert_true(shell_open(app.shell, "keys", ""));
	frame();
	assert_true(shows("shop.example/s1"));
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("dkim.show"),
			    "{\"domain\":\"shop.example\",\"selector\":\"s1\"}");
	assert_true(shows("s1._domainkey.shop.example. IN TXT x"));
	key(K_ESC);
	key('A');
	assert_true(shows("needs the role admin"));
}

static void test_palette_commands(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(act_command(app.acts, STR("hold domain:a.example --for 2h"), &err), 0);
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"for_s\":7200"));
	assert_true(act_command(app.acts, STR("hold domain:a --nonsense 1"), &err) < 0);
	assert_true(act_command(app.acts, STR("allow add 10.0.0.0/8"), &err) < 0);
	assert_int_equal(err.code, ERR_DENIED);
	app.readonly = true;
	assert_true(act_command(app.acts, STR("retry all"), &err) < 0);
	app.readonly = false;
}

#define EDIT_PLAN                                                                                  \
	"{'plan':'p9','method':'stream.set','target':'marketing','recipients':0,'messages':0,"     \
	"'in_delivery':0,'undo_window_s':600,'command':'weir stream set marketing','base':7,"      \
	"'changes':[{'op':'~','kind':'stream','id':'marketing','text':'match a -> b'},"            \
	"{'op':'+','kind':'route','id':'r9','text':'to discard'}],'moves':{'queued':12,"           \
	"'recent':300,'undecided':0,'whole':true,'moves':[{'what':'route','from':'mx',"            \
	"'to':'discard','queued':12,'recent':300}]},'others':[],'probation_s':600,"                \
	"'warnings':['needs a secret: credential crm (weir cred rotate crm)']}"

/* An edit says what is to be as in a new stream again, and what a pool has no more of. */
static void test_emptied_settings(void **state)
{
	const char *sent;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit", "{'action':'a9','undo_until_at':null}");
	assert_true(shell_open(app.shell, "streams", ""));
	frame();
	key('E');
	key(K_ENTER);
	key(K_CTRL | 'u'); /* match */
	for (int i = 0; i < 40 && fake_rpc_calls("plan.make") == 0; i++)
		key(K_ENTER);
	sent = fake_rpc_params("plan.make");
	assert_non_null(sent);
	assert_non_null(strstr(sent, "\"reset\":[\"match\"]"));
	assert_null(strstr(sent, "\"match\":"));
	assert_non_null(strstr(sent, "\"rate\":600"));
	assert_true(shows("~ stream marketing: match a -> b"));
	assert_true(shows("12 queued and 300 recent recipients: from mx to discard"));
	key(K_TAB);
	type("all mail");
	key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"all mail\"}");
	frame();
	key(K_TAB);
	key('E');
	for (int i = 0; i < 4; i++)
		key(K_ENTER);
	key(K_CTRL | 'u'); /* overflow */
	key(K_ENTER);
	key(K_ENTER);
	type("10m"); /* probation */
	key(K_ENTER);
	sent = fake_rpc_params("plan.make");
	assert_non_null(sent);
	assert_non_null(strstr(sent, "\"overflow\":\"\""));
	assert_non_null(strstr(sent, "\"probation_s\":600"));
	assert_non_null(strstr(sent, "\"192.0.2.9=mta9.example.net*2\",\"192.0.2.10\""));
}

/* Enter shows what a version did, and what was done since; Z plans its return, C keeps. */
static void test_versions(void **state)
{
	(void)state;
	be_admin();
	fake_rpc_answer("config.diff", "{'rows':[{'op':'~','kind':'pool','id':'bulk','text':"
				       "'warmup none -> 50,100'}],'next':null}");
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("config.confirm", "{'action':'a9'}");
	assert_true(shell_open(app.shell, "versions", ""));
	frame();
	assert_true(shows("C keeps it, Z takes it back"));
	key('j');
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("config.diff"), "{\"a\":11}");
	assert_true(shows("- allow 10.0.0.0/8: mode relay, note office"));
	assert_true(shows("~ pool bulk: warmup none -> 50,100"));
	key(K_ESC);
	key('Z');
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"config.rollback\",\"params\":{\"version\":11}}");
	assert_true(shows("+ route r9: to discard"));
	screen_golden(shell_grid(app.shell), "view-rollback");
	key(K_ESC);
	key('k');
	key('Z'); /* on probation: what it does is taken back */
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"config.rollback\",\"params\":{}}");
	key(K_ESC);
	key('C');
	key(K_TAB);
	type("works");
	key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("config.confirm"), "{\"reason\":\"works\"}");
}

/* Tab goes to and fro; what is done to a credential is chosen from a menu, and asked about. */
static void test_access(void **state)
{
	(void)state;
	key('7');
	assert_true(shows("1 client of shop still uses an old secret"));
	key(K_TAB);
	assert_true(shows("the office"));
	key(K_TAB);
	assert_true(shows("revoked"));
	key('E');
	assert_true(shows("needs the role admin"));
	be_admin();
	key('E');
	key('b');
	assert_true(shows("shop.example,*.news.example"));
	assert_true(shows("5000"));
	key(K_ESC);
	key('E');
	key('t');
	assert_true(shows("s1"));
	key(K_ESC);
	fake_rpc_answer(
		"plan.make",
		"{'plan':'p9','method':'cred.incident','target':'credential:shop',"
		"'messages':790,'recipients':804,'in_delivery':0,'by_state':{'deferred':804},"
		"'undo_window_s':600,'effects':['revokes shop, which is active','ends the "
		"sessions that use it: 3'],'command':'weir cred incident shop'}");
	key('D');
	key('i');
	assert_string_equal(fake_rpc_params("plan.make"),
			    "{\"method\":\"cred.incident\",\"params\":{\"name\":\"shop\"}}");
	assert_true(shows("revokes shop, which is active"));
	assert_true(shows("Revoke and hold"));
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
	key(K_ESC);
}

/* A new secret stands in a window until it is sent away, and in no notice or log. */
static void test_a_secret_is_shown_once(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit", "{'action':'a9','recipients':0,'messages':0,'skipped':0,"
				       "'undo_until_at':null,'name':'shop','secret':'k7mq-2xdp'}");
	assert_int_equal(act_command(app.acts, STR("cred add shop"), &err), 0);
	frame();
	assert_int_equal(fake_rpc_calls("plan.make"), 1);
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_int_equal(fake_rpc_calls("plan.commit"), 1);
	assert_true(shows("The secret of shop"));
	assert_true(shows("k7mq-2xdp") && shows("[>Close<]"));
	key(K_ESC);
	assert_false(shows("k7mq-2xdp"));
}

/* What is typed in the palette goes to the plan as it is, and nothing is done before it is asked.
 */
static void test_lines_are_planned(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	assert_int_equal(act_command(app.acts,
				     STR("hold domain:a.example --for 2h --reason incident7"),
				     &err),
			 0);
	frame();
	assert_true(shows("incident7") && shows("by itself after 2h"));
	assert_null(strstr(fake_rpc_params("plan.make"), "reason"));
	for (int i = 0; i < 2; i++)
		key(K_TAB);
	key(K_ENTER);
	assert_string_equal(fake_rpc_params("plan.commit"),
			    "{\"plan\":\"p9\",\"reason\":\"incident7\"}");
	fake_rpc_answer("plan.make", EDIT_PLAN);
	assert_int_equal(act_command(app.acts, STR("allow add 8.8.8.8"), &err), 0);
	frame();
	assert_true(shows("careful") && shows("[>Cancel<]"));
	assert_int_equal(fake_rpc_calls("allow.add"), 0);
	key(K_ESC);
	/* No file is read here. */
	assert_true(act_command(app.acts, STR("suppress import /tmp/x.csv"), &err) < 0);
	assert_non_null(strstr(err.msg, "in a shell, weir suppress import FILE"));
}

/* A hold's end is set from its plan: Change leads to the form, with what was typed. */
static void test_change_leads_back_to_the_form(void **state)
{
	(void)state;
	key('H');
	assert_true(shows("Change sets a time"));
	key(K_TAB);
	type("too many");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER); /* Change */
	assert_int_equal(fake_rpc_calls("plan.drop"), 1);
	assert_true(shows("domain:gmail.example") && shows("keep-expiry"));
	key(K_TAB);
	type("2x");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("such as 90s")); /* at its field, which is kept */
	key(K_BACKSPACE);
	type("h");
	fake_rpc_fail("plan.make", ERR_CONFLICT, "bob has a plan for gmail.example open");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("bob has a plan") && shows("2h")); /* the form stays */
	fake_rpc_answer("plan.make", "{'plan':'p10','recipients':3,'messages':3}");
	key(K_ENTER);
	assert_non_null(strstr(fake_rpc_params("plan.make"), "\"for_s\":7200"));
	assert_true(shows("by itself after 2h") && shows("too many"));
}

/* Nothing is sent while the link is lost, and nothing of it later. */
static void test_nothing_is_sent_without_a_link(void **state)
{
	struct shell_status status;
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	assert_int_equal(act_command(app.acts, STR("allow add"), &err), 0);
	frame();
	type("8.8.8.8");
	status = *shell_status(app.shell);
	status.link = LINK_LOST;
	shell_status_set(app.shell, &status);
	for (int i = 0; i < 20; i++)
		key(K_DOWN);
	for (int i = 0; i < 12; i++)
		key(K_ENTER);
	assert_true(shows("the relay is not connected: nothing was sent"));
	assert_int_equal(fake_rpc_calls("plan.make"), 0);
	assert_true(act_command(app.acts, STR("retry all"), &err) < 0);
	status.link = LINK_UP;
	shell_status_set(app.shell, &status);
	for (int i = 0; i < 12 && fake_rpc_calls("plan.make") == 0; i++)
		key(K_ENTER);
	assert_true(shows("careful"));
	status.link = LINK_LOST;
	shell_status_set(app.shell, &status);
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("nothing was sent"));
	assert_int_equal(fake_rpc_calls("plan.commit"), 0);
	assert_int_equal(fake_rpc_calls("allow.add"), 0);
}

/* What only reads is answered on the screen, also from a form. */
static void test_answers(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fake_rpc_answer("config.diff", "{'rows':[{'op':'~','kind':'pool','id':'bulk','text':"
				       "'warmup none -> 50,100'}],'next':null}");
	fake_rpc_answer("route.test",
			"{'route':'r2','to':'mx','next_hops':[{'host':'mx1.a.example',"
			"'preference':10,'addresses':['192.0.2.1','192.0.2.2']}],"
			"'text':'route r2 takes it'}");
	assert_int_equal(act_command(app.acts, STR("config diff 3 5"), &err), 0);
	frame();
	assert_true(shows("~ pool bulk: warmup none -> 50,100"));
	key(K_ESC);
	assert_int_equal(act_command(app.acts, STR("route test"), &err), 0);
	frame();
	type("anna@a.example");
	for (int i = 0; i < 20 && fake_rpc_calls("route.test") == 0; i++)
		key(K_ENTER);
	assert_true(shows("route r2 takes it"));
	assert_true(shows("host mx1.a.example, preference 10, addresses"));
	key(K_ESC);
	assert_int_equal(act_command(app.acts, STR("config history"), &err), 0);
	frame();
	assert_true(shows("Versions"));
}

/* The record of a new key stands on the screen when it is there. */
static void test_records_to_publish(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	fake_rpc_answer("plan.make", EDIT_PLAN);
	fake_rpc_answer("plan.commit",
			"{'action':'a9','undo_until_at':null,'publish':"
			"['s1._domainkey.shop.example. IN TXT \\\"v=DKIM1; p=AAAA\\\"']}");
	assert_int_equal(act_command(app.acts, STR("dkim add shop.example"), &err), 0);
	frame();
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER);
	assert_true(shows("To be published in DNS"));
	assert_true(shows("s1._domainkey.shop.example. IN TXT"));
	assert_true(shows("Close"));
}

/* Keys are told as what they do where they are pressed, and none is told that does nothing. */
static void test_keys_are_told_as_they_are(void **state)
{
	static const char *const names[] = {
		"overview", "queues",  "messages", "causes", "holds",	 "events",   "undo",
		"access",   "allow",   "routes",   "keys",   "audit",	 "suppress", "streams",
		"pools",    "bounces", "trace",	   "alerts", "versions",
	};
	bool used[A__COUNT] = { false };

	(void)state;
	be_admin();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const enum action_id *a;

		assert_true(shell_open(app.shell, names[i], ""));
		for (a = view_def_of(shell_view(app.shell))->actions; *a != A_NONE; a++)
			used[*a] = true;
	}
	for (int a = 0; a < A__COUNT; a++)
		if (action_defs[a].group == GROUP_CHANGE && !used[a])
			fail_msg("%s can be done nowhere", action_defs[a].name);
	for (int slot = 1; slot <= 9; slot++) {
		AUTO_FREE char *title = NULL;

		key((uint32_t)('0' + slot));
		title = xasprintf("The screen %s.", view_def_of(shell_view(app.shell))->title);
		assert_string_equal(action_defs[A_OVERVIEW + slot].help, title);
	}
	key('?');
	assert_true(shows("private part is erased"));
	assert_false(shows("trash") || shows("no more mail for this address"));
	key(K_ESC);
	key('7');
	assert_true(shows("[7] 8") && shows("Tab Allowlist"));
	key('?');
	assert_true(shows("revoke it, or treat it as leaked"));
	key(K_ESC);
	key('0');
	assert_true(shows("[0Ove]1Que 2Mes"));
	type(":suppressions");
	key(K_ENTER);
	assert_true(shows("old.example"));
	type(":history");
	key(K_ENTER);
	assert_true(shows("Versions"));
}

/* Fields have the names that they have on the command line, and say what fits. */
static void test_forms_speak_as_the_command_line(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	be_admin();
	assert_int_equal(act_command(app.acts, STR("route add"), &err), 0);
	frame();
	assert_true(shows("smarthost:HOST:PORT"));
	key(K_ESC);
	assert_true(shell_open(app.shell, "streams", ""));
	frame();
	key('E');
	for (int i = 0; i < 30; i++) {
		assert_false(shows("reset") || shows("headers "));
		key(K_DOWN);
		if (shows("delay-warning"))
			break;
	}
	assert_true(shows("delay-warning"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_screens),
		cmocka_unit_test(test_overview_in_a_small_window),
		cmocka_unit_test_setup_teardown(test_long_notices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_described, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold_in_three_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suppress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_rows_say_how_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaving_a_plan_drops_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_plan_says_why, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enter_goes_to_the_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_become_one_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_marked_is_the_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filter_is_live_and_esc_takes_it_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_queues_group_and_release_by_hold, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_undo_asks_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_refetch_without_moving_the_cursor,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_overview_counts_what_is_held_now, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_events_follow, setup, teardown),
		cmocka_unit_test(test_overview_says_what_is_the_matter),
		cmocka_unit_test_setup_teardown(test_alerts, setup, teardown),
		cmocka_unit_test(test_trace),
		cmocka_unit_test_setup_teardown(test_trace_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_of_a_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body_is_decoded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_with_the_same_cause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_writes_all_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_why, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_secret_is_shown_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_palette_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_are_planned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_leads_back_to_the_form, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_sent_without_a_link, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_told_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forms_speak_as_the_command_line, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_records_to_publish, setup, teardown),
	};

	screen_locale();
	assert_non_null(getcwd(root, sizeof(root)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
