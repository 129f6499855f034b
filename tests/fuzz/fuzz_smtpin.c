/*
 * A client that sends anything, in any pieces: the first byte chooses their size and what the queue
 * does. It may authenticate, and send chunks. What the server says depends on the bytes alone,
 * every line of it is a reply, and nothing is left behind.
 */
#include <stdint.h>
#include <unistd.h>

#include "base/obj.h"
#include "lib/smtp_rig.h"

static void check_replies(struct str said)
{
	while (said.n > 0) {
		ptrdiff_t lf = str_index(said, '\n');
		ASSERT(lf > 4 && said.p[lf - 1] == '\r');
		ASSERT(said.p[0] >= '2' && said.p[0] <= '5');
		ASSERT(said.p[3] == ' ' || said.p[3] == '-');
		said = str_from(said.p + lf + 1, said.n - (size_t)lf - 1);
	}
}

/* Challenges have random bytes in them. */
static void put_said(struct buf *to, struct str said)
{
	while (said.n > 0) {
		struct str line = str_cut(&said, '\n');
		(void)buf_put_str(to, str_starts(line, STR("334 ")) ? STR("334 x\r") : line);
		(void)buf_putc(to, '\n');
	}
}

/* Refusals of secrets come late. */
static void wait_for_refusals(struct smtp_rig *r)
{
	for (int i = 0; i < 5; i++) {
		loop_advance(r->loop, GUARD_DELAY_MAX_MS);
		smtp_rig_send(r, STR(""), 0);
	}
}

static void run(struct str bytes, size_t piece, uint8_t how, struct buf *said, struct buf *seen)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT((size_t)8 << 20);
	struct smtpin_config conf = {
		.size_max = 2000, .rcpts_max = 3, .memory_max = 20000, .errors_max = 5
	};

	smtp_rig_open(&r, conf);
	r.may_relay = (how & 1) == 0;
	r.later = (how & 2) != 0;
	r.lost = (how & 4) != 0;
	r.rules = (struct smtpin_rules){ .auth = SMTPIN_AUTH_OPTIONAL, .auth_loopback = true };
	(void)smtp_rig_connect(&r, "127.0.0.1");
	smtp_rig_send(&r, bytes, piece);
	wait_for_refusals(&r);
	for (unsigned i = 0; i < r.n_waiting; i++)
		smtp_rig_result(&r, i, NULL);
	(void)smtp_rig_read(&r, &out);
	put_said(said, buf_str(&out));
	(void)buf_put_str(seen, buf_str(&r.seen));
	(void)close(r.peer);
	r.peer = -1;
	loop_advance(r.loop, 0);
	loop_advance(r.loop, 0);
	if (!r.later || r.n_waiting < RIG_WAITING_MAX) {
		ASSERT(smtpin_connections(r.in) == 0);
		ASSERT(smtpin_stats(r.in)->memory == 0);
	}
	smtp_rig_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF whole = BUF_INIT((size_t)8 << 20);
	AUTO_BUF cut = BUF_INIT((size_t)8 << 20);
	AUTO_BUF seen_whole = BUF_INIT((size_t)8 << 20);
	AUTO_BUF seen_cut = BUF_INIT((size_t)8 << 20);
	struct str bytes;

	if (size < 1 || size > 20000)
		return 0;
	bytes = str_from((const char *)data + 1, size - 1);
	run(bytes, 0, data[0] & 7, &whole, &seen_whole);
	run(bytes, (data[0] >> 3) + 1u, data[0] & 7, &cut, &seen_cut);
	check_replies(buf_str(&whole));
	ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
	ASSERT(str_eq(buf_str(&seen_whole), buf_str(&seen_cut)));
	return 0;
}
