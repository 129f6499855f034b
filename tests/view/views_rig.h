/*
 * views_rig - the console's screens on a fake relay: what it answers, keys and what they show. A
 * clock that stands still. One program, one rig.
 */
#ifndef TESTS_VIEWS_RIG_H
#define TESTS_VIEWS_RIG_H

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

#define UNUSED __attribute__((__unused__)) static
#define WALL_MS INT64_C(1795494727000) /* 2026-11-24T04:32:07Z */

static char root[4096];
static struct app app;
static int screen_rows, screen_cols;

UNUSED void fake_size(void *screen, int *ret_rows, int *ret_cols)
{
	(void)screen;
	*ret_rows = screen_rows;
	*ret_cols = screen_cols;
}

UNUSED bool fake_ready(void *screen)
{
	(void)screen;
	return true;
}

UNUSED void fake_present(void *screen, const struct grid *g)
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

UNUSED json_t *no_more(const char *rows)
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

UNUSED json_t *serve_queue(const json_t *params)
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

UNUSED json_t *serve_messages(const json_t *params)
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

UNUSED json_t *serve_holds(const json_t *params)
{
	(void)params;
	return no_more("[{'id':'h3','target':'domain:down.example','reason':'their site is down',"
		       "'by':'eva','created_at':'2026-11-24T04:02:00.000Z','expires_at':"
		       "'2026-11-24T06:02:00.000Z','messages':600,'recipients':600}]");
}

UNUSED json_t *serve_journal(const json_t *params)
{
	(void)params;
	return no_more("[{'action':'a7','at':'2026-11-24T04:02:00.000Z','who':'eva','method':"
		       "'queue.hold','target':'domain:down.example','recipients':600,'reason':"
		       "'their site is down','state':'undoable','undo_until_at':"
		       "'2026-11-24T04:36:00.000Z'}]");
}

UNUSED json_t *serve_edit(const json_t *params)
{
	(void)params;
	return no_more("[{'action':'a9','at':'2026-11-24T04:20:00.000Z','who':'olga','method':"
		       "'route.add','target':'discard','recipients':0,'state':'undoable',"
		       "'undo_until_at':null}]");
}

UNUSED json_t *serve_versions(const json_t *params)
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

UNUSED json_t *serve_audit(const json_t *params)
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

UNUSED json_t *serve_creds(const json_t *params)
{
	(void)params;
	return no_more("[{" CRED_SHOP "},{'name':'crm','status':'revoked','stragglers':0,'note':"
		       "null,'secrets':[],'senders':[],'streams':['bulk'],'networks':[],"
		       "'last_used_at':null,'last_client':null,'uses':0,'messages':0,'by':'root',"
		       "'created_at':'2026-01-04T09:00:00.000Z'}]");
}

UNUSED json_t *serve_allow(const json_t *params)
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

UNUSED json_t *serve_suppress(const json_t *params)
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

UNUSED json_t *serve_bounces(const json_t *params)
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

UNUSED json_t *serve_bounce(const json_t *params)
{
	(void)params;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", "12", "why", "it names nobody",
			 "from", "", "to", "fbl@relay.example", "client", "192.0.2.9", "text",
			 "Subject: Complaint\r\n\r\nStop \x1b[31mit.\r\n");
}

UNUSED json_t *serve_streams(const json_t *params)
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

UNUSED json_t *serve_pools(const json_t *params)
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

UNUSED json_t *serve_alerts(const json_t *params)
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

UNUSED json_t *serve_rows(const json_t *params)
{
	(void)params;
	return serve_messages(params);
}

UNUSED json_t *serve_content(const json_t *params)
{
	(void)params;
	/* "Subject: =?utf-8?q?gr=C3=BCn?=\r\n\r\nhello\r\n" */
	return json_pack("{s:s, s:i, s:i}", "base64",
			 "U3ViamVjdDogPT91dGYtOD9xP2dyPUMzPUJDbj89DQoNCmhlbGxvDQo=", "total", 41,
			 "offset", 0);
}

UNUSED void fake_relay(void)
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
		"deferred','attempts':7,'next_hop':'mx:gmail.example@bulk','pool':'bulk','sources':"
		"'10.0.0.1, 10.0.0.2',"
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

UNUSED void frame(void)
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

UNUSED void start(int rows, int cols)
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
	app.shell = shell_new(&(struct shell_options){ .loop = app.loop,
						       .screen_ops = &screen_ops,
						       .app = &app,
						       .complete = act_complete_line });
	app_register(app.shell);
	shell_status_set(app.shell, &status);
	fake_rpc_push("status", STATUS, false);
	(void)shell_open(app.shell, "overview", "");
	frame();
}

UNUSED int setup(void **state)
{
	(void)state;
	start(24, 80);
	return 0;
}

UNUSED int teardown(void **state)
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

UNUSED void key(uint32_t k)
{
	shell_event(app.shell, &EVENT_OF_KEY(k));
	frame();
}

UNUSED void type(const char *text)
{
	for (; *text != '\0'; text++)
		key((uint32_t)*text);
}

UNUSED bool shows(const char *text)
{
	return screen_has(shell_grid(app.shell), text);
}

UNUSED void be_admin(void)
{
	struct shell_status status = *shell_status(app.shell);

	status.perm = ACTION_ADMIN;
	shell_status_set(app.shell, &status);
}

UNUSED void look(const char *view, const char *arg, const char *name)
{
	char golden[64];

	(void)shell_open(app.shell, view, arg);
	frame();
	(void)snprintf(golden, sizeof(golden), "view-%s-%d", name, screen_cols);
	screen_golden(shell_grid(app.shell), golden);
}

#endif
