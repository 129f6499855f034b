"""Bounces and complaints that come by mail: addresses that are signed, reports that are read, and nobody answered."""

import contextlib
import hmac
import json
import os
import random
import re
import sqlite3
import threading

import pytest

import harness
from conftest import need_relay
from harness import WeirError, wait_until
from peer import Peer

DOMAIN = "bounces.test.example"
FEEDBACK = "fbl@test.example"
BOUNCES = f'bounces {{\n domain = "{DOMAIN}"\n feedback = "{FEEDBACK}"\n}}\n'
POLICY = 'suppression { at-once = {"bad-mailbox"} }\n'


@pytest.fixture
def peer():
    p = Peer()
    yield p
    p.close()


@pytest.fixture
def relay_with(directory, world, peer):
    made = []

    def make(extra=BOUNCES + POLICY, allow=True):
        need_relay()
        r = harness.Relay(directory, world, extra)
        made.append(r)
        r.start()
        r.weir("route", "add", "--to", peer.at, "--reason", "test")
        return r.allow() if allow else r
    yield make
    for r in made:
        assert r.stop() == 0
        assert r.bad_log_lines() == []


@pytest.fixture
def relay(relay_with):
    return relay_with()


def sender_of(message):
    return re.match(r"MAIL FROM:<([^>]*)>", message["mail"]).group(1)


def sent(relay, peer, *to, sender=harness.SENDER, **more):
    """Sends, and gives the envelope senders under which it arrived, in the order of the recipients."""
    n = len(peer.messages)
    relay.send(*to, sender=sender, **more)
    wait_until(lambda: len(peer.messages) == n + len(to))
    got = {re.match(r"RCPT TO:<([^>]*)>", m["rcpts"][0]).group(1): sender_of(m) for m in peer.messages[n:]}
    return [got[one] for one in to]


def offer(relay, rcpt, sender=""):
    """What a stranger hears at RCPT."""
    s = relay.raw()
    s.reply()
    s.say("EHLO mx.remote.example")
    assert s.say(f"MAIL FROM:<{sender}>")[0] == 250
    answer = s.say(f"RCPT TO:<{rcpt}>")
    s.say("QUIT")
    s.close()
    return answer


def deliver(relay, rcpt, content, sender=""):
    """A mail from outside, which has to be taken."""
    with relay.smtp() as s:
        s.ehlo()
        assert s.mail(f"<{sender}>")[0] == 250
        assert s.rcpt(rcpt)[0] == 250
        code, text = s.data(content.replace("\n", "\r\n").encode())
        assert code == 250, (code, text)


def dsn(to, final, status="5.1.1", action="failed", diagnostic="smtp; 550 5.1.1 No such user here", original="",
        extra="", top=""):
    return f"""From: Mail Delivery System <MAILER-DAEMON@mx.remote.example>
To: <{to}>
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
{top}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

I am sorry.
--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.remote.example

{original}Final-Recipient: rfc822; {final}
Action: {action}
Status: {status}
Remote-MTA: dns; inner.remote.example
Diagnostic-Code: {diagnostic}
{extra}
--b1
Content-Type: text/rfc822-headers

Return-Path: <{to}>
Subject: A system test

--b1--
"""


def arf(mail_from, rcpt, kind="abuse", headers="", message_id="<1@else.example>"):
    return f"""From: <feedback@provider.example>
To: <{FEEDBACK}>
Subject: FW: A system test
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b2"

--b2
Content-Type: text/plain

This is an email abuse report.
--b2
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Provider/1.0
Version: 1
Original-Mail-From: <{mail_from}>
Original-Rcpt-To: <{rcpt}>
Reporting-MTA: dns; fbl.provider.example

--b2
Content-Type: message/rfc822

{headers}From: <app@shop.example>
Message-ID: {message_id}
Subject: A system test

Hello.
--b2--
"""


def metric(relay, name):
    import urllib.request
    text = urllib.request.urlopen(relay.metrics, timeout=10).read().decode()
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))


def test_a_bounce_comes_back(relay, peer):
    verp, other = sent(relay, peer, "gone@fast.example", "here@fast.example")
    local, domain = verp.split("@")
    assert domain == DOMAIN and len(local) <= 64 and verp != other  # one for each recipient
    commands = [line for _, line in peer.commands]
    assert any("RET=HDRS" in c for c in commands) and any("NOTIFY=FAILURE" in c for c in commands)
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    event = relay.wait_event("gone@fast.example", "bounced")
    assert event["code"] == 550 and event["enhanced"] == "5.1.1" and event["class"] == "bad-mailbox"
    assert event["host"] == "inner.remote.example" and "No such user" in event["reply"]
    shown = relay.weir("show", event["id"])
    assert {r["to"]: r["state"] for r in shown["recipients"]} == {"gone@fast.example": "bounced",
                                                                  "here@fast.example": "delivered"}
    assert [a["outcome"] for a in shown["attempts"] if a["to"] == "gone@fast.example"] == ["delivered", "bounced"]
    assert [r["to"] for r in relay.recipients("state:bounced")] == ["gone@fast.example"]
    row, = relay.weir("suppress", "list")
    assert row["address"] == "gone@fast.example" and row["source"] == "bounce" and row["message"].startswith(event["id"])
    # the sender that the message had is told, and nobody else is
    report = wait_until(lambda: [m for m in peer.messages if sender_of(m) == ""])
    assert len(report) == 1 and f"<{harness.SENDER}>" in report[0]["rcpts"][0]
    assert b"No such user here" in report[0]["content"] and b"Final-Recipient: rfc822; gone@fast.example" in report[0]["content"]
    assert b"Message-ID: <x." in report[0]["content"].split(b"message/delivery-status")[1]
    # the same once more is the same
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    deliver(relay, verp.upper(), dsn(verp, "gone@fast.example", diagnostic="smtp; 550 5.2.2 Full"))
    assert len(relay.events("gone@fast.example", "bounced")) == 1
    assert len([m for m in peer.messages if sender_of(m) == ""]) == 1 and len(relay.weir("suppress", "list")) == 1


def test_the_same_over_many_connections(relay, peer):
    """Whoever comes at the same moment is taken, and the sender hears of it once."""
    verp, = sent(relay, peer, "gone@fast.example")
    relay.wait_event("gone@fast.example", "delivered")
    content = dsn(verp, "gone@fast.example").replace("\n", "\r\n")
    sessions = [relay.raw() for _ in range(12)]
    for s in sessions:
        s.reply()
        for line in ("EHLO mx.remote.example", "MAIL FROM:<>", f"RCPT TO:<{verp}>"):
            assert s.say(line)[0] == 250
        assert s.say("DATA")[0] == 354
    for s in sessions:
        s.send(content + ".\r\n")
    for s in sessions:
        assert s.reply()[0] == 250
        s.close()
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    relay.send("last@fast.example")  # behind the reports
    relay.wait_event("last@fast.example", "delivered")
    assert len([m for m in peer.messages if sender_of(m) == ""]) == 1
    assert len(relay.events("gone@fast.example", "bounced")) == 1


def test_strangers_may_report_and_nothing_else(relay_with, peer):
    relay = relay_with(allow=False)
    relay.allow()
    verp, = sent(relay, peer, "gone@fast.example")
    relay.weir("allow", "remove", "127.0.0.0/8", "--reason", "test")
    assert offer(relay, verp)[0] == 250 and offer(relay, verp, "user@remote.example")[0] == 250
    assert offer(relay, verp.upper())[0] == 250 and offer(relay, FEEDBACK)[0] == 250
    assert offer(relay, "who@fast.example")[0] == 550
    for wrong, word in ((f"nobody@{DOMAIN}", "5.1.1"), (verp.replace("@", "0@"), "damaged"), (verp[:30] + f"@{DOMAIN}", "damaged"),
                        (verp[:3] + ("1" if verp[3] != "1" else "2") + verp[4:], "not made by this relay"),
                        (("b-" + "0" * 41 + f"@{DOMAIN}"), "damaged")):
        code, text = offer(relay, wrong)
        assert code == 550 and word in text, (wrong, text)
    s = relay.raw()
    s.reply()
    s.say("EHLO mx.remote.example")
    s.say("MAIL FROM:<>")
    assert s.say(f"RCPT TO:<{verp}>")[0] == 250
    assert s.say(f"RCPT TO:<{FEEDBACK}>")[0] == 452 and s.say("RCPT TO:<who@fast.example>")[0] in (452, 550)
    s.close()
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    relay.wait_event("gone@fast.example", "bounced")


DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def number(value, n):
    return "".join(DIGITS[value >> 5 * k & 31] for k in reversed(range(n)))


def mac(key, what, a, b, n):
    digest = hmac.new(key, b"".join([what, a.lower().encode(), b"\0", b.lower().encode()]), "sha256").digest()
    return number(int.from_bytes(digest, "big") >> 256 - 5 * n, n)


def forge(relay, verp, days):
    """Somebody else's making of the same address, with the relay's key, of which the last day is another."""
    with sqlite3.connect(relay.state / "queue.db") as db:
        key = bytes.fromhex(json.loads(db.execute("SELECT json FROM objects WHERE kind = 'bounce-key'").fetchone()[0])["key"])
    payload, tail = verp.split("@")[0][2:].split("-")
    day = sum(DIGITS.index(c) << 5 * k for k, c in enumerate(reversed(payload[13:16])))
    head = f"b-{payload[:13]}{number(day + days, 3)}{payload[16:]}-{tail[:8]}"
    return f"{head}{mac(key, b'a', DOMAIN, head, 16)}@{DOMAIN}"


def test_expired(relay, peer):
    verp, = sent(relay, peer, "gone@fast.example")
    assert forge(relay, verp, 0) == verp
    assert offer(relay, forge(relay, verp, -14 - 1))[0] == 550 and offer(relay, forge(relay, verp, 1))[0] == 250
    code, text = offer(relay, forge(relay, verp, -14 - 1))
    assert code == 550 and "past its time" in text


def test_counted(relay_with, peer):
    port = harness.free_port()
    relay = relay_with(BOUNCES + POLICY + f'metrics {{ address = "127.0.0.1:{port}" }}\n')
    relay.metrics = f"http://127.0.0.1:{port}/metrics"
    verp, angry = sent(relay, peer, "gone@fast.example", "angry@fast.example")
    deliver(relay, verp, dsn(verp, "gone@fast.example", "4.4.1", "delayed"))
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    deliver(relay, FEEDBACK, arf(angry, "angry@fast.example"))
    deliver(relay, FEEDBACK, "Subject: x\n\nx\n")
    for address in (f"nobody@{DOMAIN}", verp[:20] + f"@{DOMAIN}", forge(relay, verp, -20), verp[:-len(DOMAIN) - 2] + f"u@{DOMAIN}"):
        assert offer(relay, address)[0] == 550
    for result in ("delay", "bounce", "repeated", "complaint", "kept"):
        assert metric(relay, f'weir_reports_total{{result="{result}"}}') == 1, result
    for reason in ("unknown", "truncated", "forged", "expired"):
        assert metric(relay, f'weir_reports_refused_total{{reason="{reason}"}}') == 1, reason
    assert metric(relay, 'weir_recipients_bounced_total{stream="default"}') == 1
    assert metric(relay, 'weir_recipients_complained_total{stream="default"}') == 1


def test_loops(relay, peer):
    """A report that has been everywhere is refused; the report on a report of ours has nowhere to come to."""
    verp, = sent(relay, peer, "gone@fast.example")
    round_trips = "".join(f"Received: from a by b; Wed, 25 Nov 2026 00:00:{i % 60:02} +0000\n" for i in range(101))
    with relay.smtp() as s:
        s.ehlo()
        s.mail("<>")
        s.rcpt(verp)
        code, text = s.data((round_trips + dsn(verp, "gone@fast.example")).replace("\n", "\r\n").encode())
        assert code == 554 and b"loop" in text
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    report = wait_until(lambda: [m for m in peer.messages if sender_of(m) == ""])[0]
    assert report["mail"].startswith("MAIL FROM:<>") and b"X-Weir-Report" not in report["content"]
    assert len(relay.events("gone@fast.example", "bounced")) == 1


def test_acknowledged_is_on_disk(relay, peer):
    """Killed right behind its 250, the relay still knows of it."""
    verps = sent(relay, peer, *(f"gone{i}@fast.example" for i in range(5)))
    for i, verp in enumerate(verps):
        deliver(relay, verp, dsn(verp, f"gone{i}@fast.example"))
        relay.kill()
        relay.start()
        assert len(relay.events(f"gone{i}@fast.example", "bounced")) == 1
        wait_until(lambda: len(relay.weir("suppress", "list")) == i + 1)
        deliver(relay, verp, dsn(verp, f"gone{i}@fast.example"))
        assert len(relay.events(f"gone{i}@fast.example", "bounced")) == 1


def test_what_is_acknowledged_suppresses(relay_with, peer):
    """Killed right behind each 250: every bounce counts, and once; what an operator takes off the list stays off it."""
    relay = relay_with(BOUNCES + 'suppression { \n at-once = {"inactive"}\n after-several = {"bad-mailbox"}\n several = 4\n}\n')
    verps = [sent(relay, peer, "gone@fast.example")[0] for _ in range(5)]
    for i, verp in enumerate(verps[:4]):
        assert relay.weir("suppress", "list") == []
        deliver(relay, verp, dsn(verp, "gone@fast.example"))
        relay.kill()
        relay.start()
    entry, = wait_until(lambda: relay.weir("suppress", "list"))
    assert entry["source"] == "bounce" and len(relay.events("gone@fast.example", "suppressed")) == 1
    relay.weir("suppress", "remove", "gone@fast.example", "--reason", "she is back")
    for _ in range(2):
        relay.kill()
        relay.start()
        assert relay.weir("suppress", "list") == []
    deliver(relay, verps[4], dsn(verps[4], "gone@fast.example"))
    assert relay.weir("suppress", "list") == []


def stored(relay):
    """What is on the relay's disk: reports to senders, bounces."""
    with contextlib.closing(sqlite3.connect(f"file:{relay.state}/queue.db?mode=ro", uri=True)) as db:
        return tuple(db.execute(sql).fetchone()[0] for sql in (
            "SELECT count(*) FROM messages WHERE sender = ''", "SELECT count(*) FROM events WHERE outcome = 9"))


@pytest.mark.kill
def test_kills_tell_once(relay, peer):
    """kill -9 while a report is on its way to the disk: it comes again, and counts once; figures with pytest -s."""
    kills = int(os.environ.get("WEIR_KILLS", "5"))
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    between = answered = 0
    for i in range(kills):
        to = f"gone{i}@fast.example"
        verp, = sent(relay, peer, to)
        relay.wait_event(to, "delivered")
        s = relay.raw()
        s.reply()
        for line in ("EHLO mx.remote.example", "MAIL FROM:<>", f"RCPT TO:<{verp}>", "DATA"):
            assert s.say(line)[0] in (250, 354)
        before = stored(relay)
        killer = threading.Timer(chance.uniform(0, 0.06), relay.process.kill)
        s.send(dsn(verp, to).replace("\n", "\r\n") + ".\r\n")
        killer.start()
        answered += s.reply()[0] == 250
        killer.join()
        s.close()
        relay.kill()
        then = stored(relay)
        between += then[0] > before[0] and then[1] == before[1]
        relay.start()
        deliver(relay, verp, dsn(verp, to))
        assert len(relay.events(to, "bounced")) == 1
        wait_until(lambda: relay.queued()["recipients"] == 0)
    # a kill may double a delivery; what is told twice has an id of its own each time
    told = {re.search(rb"^Message-ID: (\S+)", m["content"], re.MULTILINE).group(1)
            for m in peer.messages if sender_of(m) == ""}
    print(f"\n{kills} kills (seed {seed}): {between} between the sender's report and the record, {answered} behind the 250; "
          f"{len(told)} senders told")
    assert len(told) == kills, f"seed {seed}"
    wait_until(lambda: len(relay.weir("suppress", "list")) == kills)


def test_postmaster_of_the_bounce_domain(relay_with, peer):
    relay = relay_with('postmaster = "ops@shop.example"\n' + BOUNCES)
    relay.weir("allow", "remove", "127.0.0.0/8", "--reason", "test")
    deliver(relay, f"postmaster@{DOMAIN}", "Subject: hello\n\nIs anybody there?\n", "who@remote.example")
    wait_until(lambda: len(peer.messages) == 1)
    assert "ops@shop.example" in peer.messages[0]["rcpts"][0]


def test_check_looks_at_the_bounce_domain(relay):
    rows = {r["name"]: r for r in relay.weir("check", "shop.example", "--from", "192.0.2.9") if r["name"] != "ptr"}
    assert rows["bounce-spf"]["status"] in ("missing", "unknown") and rows["alignment"]["status"] == "warning"
    assert "DKIM has to pass" in rows["alignment"]["text"] and rows["bounce-mx"]["about"] == DOMAIN
    assert {r["name"]: r for r in relay.weir("check", "test.example")}["alignment"]["status"] == "ok"


def nobody_is_told(relay, peer):
    """What the relay reports of goes through the queue: what is sent behind it comes later."""
    relay.send("behind@fast.example")
    wait_until(lambda: any("behind@fast.example" in rcpt for m in peer.messages for rcpt in m["rcpts"]))
    assert [m for m in peer.messages if sender_of(m) == ""] == []


def test_what_is_no_failure(relay, peer):
    verp, = sent(relay, peer, "slow@fast.example")
    for action, status in (("delayed", "4.4.1"), ("relayed", "2.0.0"), ("delivered", "2.0.0"), ("expanded", "2.0.0")):
        deliver(relay, verp, dsn(verp, "slow@fast.example", status, action, "smtp; 250 ok"))
    deliver(relay, verp, f"From: <slow@fast.example>\nTo: <{verp}>\nSubject: Out of office\n"
            "Auto-Submitted: auto-replied\n\nI am away; mail to gone@fast.example could not be delivered.\n")
    deliver(relay, verp, f"From: <slow@fast.example>\nTo: <{verp}>\nSubject: Automatic reply: hello\n\nuser unknown\n", "slow@fast.example")
    deliver(relay, FEEDBACK, arf(verp, "slow@fast.example", "not-spam"))
    relay.wait_event("slow@fast.example", "delivered")
    assert [e["event"] for e in relay.events("slow@fast.example")] == ["delivered"]
    assert relay.weir("suppress", "list") == [] and relay.weir("bounces", "list") == []
    nobody_is_told(relay, peer)


def test_complaints(relay, peer):
    verp, quiet, header = sent(relay, peer, "angry@fast.example", "quiet@fast.example", "third@fast.example")
    deliver(relay, FEEDBACK, arf(verp, "angry@fast.example"), "fbl@provider.example")
    event = relay.wait_event("angry@fast.example", "complained")
    assert "abuse" in event["reply"] and event["host"] == "fbl.provider.example"
    row, = relay.weir("suppress", "list")
    assert (row["address"], row["source"]) == ("angry@fast.example", "complaint")
    assert relay.weir("show", event["id"])["recipients"][0]["state"] == "delivered"
    # the header of the message says it where the envelope is left out
    content = next(m["content"] for m in peer.messages if sender_of(m) == header).decode().replace("\r\n", "\n")
    own = next(line for line in content.split("\n") if line.startswith("X-Weir-Report:"))
    deliver(relay, FEEDBACK, arf("redacted@provider.example", "redacted@fast.example", headers=own + "\n"))
    relay.wait_event("third@fast.example", "complained")
    # one that nobody signed, and a forged one, suppress nobody and are kept
    forged = quiet[:-len(DOMAIN) - 2] + ("0" if quiet[-len(DOMAIN) - 2] != "0" else "1") + "@" + DOMAIN
    deliver(relay, FEEDBACK, arf("app@shop.example", "quiet@fast.example"))
    ours = re.search(r"^Message-ID: (.*)$", content, re.M).group(1)
    deliver(relay, FEEDBACK, arf(forged, "quiet@fast.example", message_id=ours))
    assert relay.events("quiet@fast.example", "complained") == []
    kept = relay.weir("bounces", "list")[0]  # it leads to the message nevertheless
    assert kept["original"] and relay.recipients(f"msgid:{kept['original']} state:delivered")[0]["to"]
    assert len(relay.weir("suppress", "list")) == 2 and len(relay.weir("bounces", "list")) == 2
    nobody_is_told(relay, peer)
    relay.restart()
    deliver(relay, FEEDBACK, arf(verp, "angry@fast.example", "fraud"))
    assert len(relay.events("angry@fast.example", "complained")) == 1


def test_complaints_only_noted(relay_with, peer):
    relay = relay_with(BOUNCES + 'suppression { complaints = "no" }\n')
    verp, = sent(relay, peer, "angry@fast.example")
    deliver(relay, FEEDBACK, arf(verp, "angry@fast.example"))
    relay.wait_event("angry@fast.example", "complained")
    assert relay.weir("suppress", "list") == []


def test_what_is_kept(relay, peer):
    verp, = sent(relay, peer, "gone@fast.example")
    odd = f"From: <someone@remote.example>\nTo: <{verp}>\nSubject: Hello \x1b[31mthere\n\nWhat is this?\n"
    deliver(relay, verp, odd, "someone@remote.example")
    deliver(relay, verp, odd, "someone@remote.example")
    row, = relay.weir("bounces", "list")
    alert, = [a for a in relay.weir("alerts") if a["kind"] == "unread-bounces"]
    assert alert["command"] == "weir bounces list" and alert["since_at"] and "1 mail came" in alert["text"]
    assert row["count"] == 2 and row["from"] == "someone@remote.example" and row["to"] == verp
    assert "What is this?" in relay.weir("bounces", "show", row["id"])["text"]
    relay.restart()
    assert relay.weir("bounces", "list")[0]["id"] == row["id"]
    relay.weir("bounces", "remove", row["id"], "--reason", "looked at")
    assert relay.weir("bounces", "list") == []
    with pytest.raises(WeirError) as e:
        relay.weir("bounces", "show", row["id"])
    assert e.value.error["code"] == "unknown"
    relay.restart()
    assert relay.weir("bounces", "list") == []
    assert all(sender_of(m) for m in peer.messages)  # nobody was answered


def test_kept_in_bounds(relay_with, peer):
    relay = relay_with(f'bounces {{\n domain = "{DOMAIN}"\n feedback = "{FEEDBACK}"\n keep = 3\n}}\n')
    for i in range(5):
        deliver(relay, FEEDBACK, f"From: <x@remote.example>\nSubject: no {i}\n\nNumber {i}\n")
    rows = relay.weir("bounces", "list")
    assert [r["subject"] for r in rows] == ["no 4", "no 3", "no 2"]
    with pytest.raises(harness.WeirError):
        relay.weir("bounces", "remove", "99", "--reason", "there is none")
    relay.weir("bounces", "remove", rows[1]["id"], "--reason", "looked at")
    assert [r["subject"] for r in relay.weir("bounces", "list")] == ["no 4", "no 2"]
    removed = relay.weir("bounces", "remove", "all", "--reason", "all of them")
    assert relay.weir("bounces", "list") == []
    assert [r["target"] for r in relay.weir("audit", "--where", "method:bounces.remove result:done")][0] == "all" and removed["action"]
    relay.weir("bounces", "remove", "all")  # none is no mistake
    deliver(relay, FEEDBACK, "From: <x@remote.example>\nSubject: no 5\n\nNumber 5\n")
    relay.restart()
    row, = relay.weir("bounces", "list")  # and what was removed does not come back
    assert row["subject"] == "no 5" and int(row["id"]) > int(rows[0]["id"])


def test_who_goes_out_as_before(relay_with, peer, world):
    relay = relay_with(f'bounces {{\n domain = "{DOMAIN}"\n streams = {{"marketing"}}\n}}\n')
    relay.weir("stream", "add", "marketing", "--match", "from:news@*", "--reason", "test")
    plain, = sent(relay, peer, "a@fast.example")
    assert plain == harness.SENDER
    signed, = sent(relay, peer, "b@fast.example", sender="news@shop.example")
    assert signed.endswith("@" + DOMAIN)
    null, = sent(relay, peer, "c@fast.example", sender="")
    assert null == ""
    with relay.smtp() as s:  # whoever wants to hear of success is the sender that next hops know
        s.ehlo()
        s.mail("news@shop.example")
        s.rcpt("d@fast.example", ["NOTIFY=SUCCESS,FAILURE"])
        s.data(harness.letter("news@shop.example", "d@fast.example"))
    wait_until(lambda: len(peer.messages) == 4)
    assert sender_of(peer.messages[-1]) == "news@shop.example"


@pytest.mark.parametrize("notify, told", (("NEVER", False), ("DELAY", False), ("FAILURE", True)))
def test_senders_wish(relay, peer, notify, told):
    with relay.smtp() as s:
        s.ehlo()
        s.mail(harness.SENDER)
        s.rcpt("gone@fast.example", [f"NOTIFY={notify}"])
        s.data(harness.letter(harness.SENDER, "gone@fast.example"))
    relay.wait_event("gone@fast.example", "delivered")
    verp = sender_of(peer.messages[-1])
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    relay.wait_event("gone@fast.example", "bounced")
    relay.send("last@fast.example")  # behind it
    relay.wait_event("last@fast.example", "delivered")
    if told:
        wait_until(lambda: any(sender_of(m) == "" for m in peer.messages))
    else:
        assert all(sender_of(m) for m in peer.messages)


def test_forgotten_messages(relay_with, peer):
    relay = relay_with(BOUNCES + POLICY + 'queue {\n keep-finished-max = 0\n}\n')
    verp, second = sent(relay, peer, "gone@fast.example", "other@fast.example")
    wait_until(lambda: relay.queued()["recipients"] == 0 and not relay.events("gone@fast.example"), 20)
    # somebody else's name in the report does not do; nor no name
    deliver(relay, verp, dsn(verp, "victim@fast.example"))
    deliver(relay, verp, dsn(verp, "x"))
    assert relay.weir("suppress", "list") == [] and len(relay.weir("bounces", "list")) == 2
    deliver(relay, verp, dsn(verp, "forwarded@else.example", original="Original-Recipient: rfc822;Gone@fast.example\n"))
    wait_until(lambda: [r["address"] for r in relay.weir("suppress", "list")] == ["gone@fast.example"])
    deliver(relay, verp, dsn(verp, "gone@fast.example"))
    assert relay.weir("suppress", "list")[0]["source"] == "bounce"
    nobody_is_told(relay, peer)


def test_configuration(directory, world, relay_with):
    import subprocess
    for wrong, word in (('bounces { domain = "no domain" }', "a domain is expected"), ('bounces { feedback = "a@b.example" }', "needs domain"),
                        ('bounces {\n domain = "b.example"\n feedback = "x"\n}', "an address is expected"),
                        ('bounces { domain = "' + ".".join(["x" * 60] * 4) + '" }', "no room")):
        r = harness.Relay(directory, world, wrong + "\n")
        got = subprocess.run([harness.RELAYD, "-t", "-c", r.config], capture_output=True, text=True, timeout=20)
        assert got.returncode != 0 and word in got.stderr, got.stderr
