"""Delivery to every kind of receiver, and what the command line says about it."""

import email
import email.policy
import hashlib

import pytest

import harness
from harness import SENDER, wait_until


def delivered(world, domain, n=1, timeout=20):
    return wait_until(lambda: len(world.messages(domain)) >= n and world.messages(domain), timeout,
                      f"{n} messages at {domain}")


def queue_row(relay, domain):
    rows = [r for r in relay.weir("queue", "--by", "domain") if r["domain"] == domain]
    assert len(rows) <= 1
    return rows[0] if rows else None


@pytest.mark.parametrize("domain,host,ip", [
    ("fast.example", "mx1.fast.example", "127.0.10.5"),
    ("implicit.example", "implicit.example", "127.0.10.17"),
    ("alias.example", "mx.shapes.example", "127.0.10.17"),
    ("many-mx.example", "mx.shapes.example", "127.0.10.17"),
    ("six.example", "mx.six.example", "::1"),
    ("backup.example", "mx2.backup.example", "127.0.10.16"),
    ("gmail.com", "gmail-smtp-in.l.google.com", "127.0.10.1"),
])
def test_delivered(relay, world, domain, host, ip):
    to = f"anna@{domain}"
    relay.send(to, tag="one")
    message, = delivered(world, domain)
    assert message["from"] == SENDER and message["to"] == [to] and message["tag"] == "one"
    event = relay.wait_event(to, "delivered")
    assert event["code"] == 250 and event["host"].rstrip(".") == host and event["ip"] == ip
    wait_until(lambda: relay.row(to) is None, what="the queue to be empty")
    detail = relay.weir("show", event["id"])
    assert detail["from"] == SENDER and detail["subject"] == "A system test"
    assert [r["state"] for r in detail["recipients"]] == ["delivered"]
    last = detail["attempts"][-1]
    assert last["outcome"] == "delivered" and last["code"] == 250 and last["reply"].startswith("250")
    assert last["ip"] == ip and last["duration_ms"] >= 0


DATED = b"Date: Tue, 24 Nov 2026 03:12:07 +0000\r\nMessage-ID: <1@test.example>\r\n"  # nothing is to be added
CONTENTS = {
    "dots": DATED + b"Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\n...\r\nend.\r\n",
    "utf8": DATED + "Subject: Grüße\r\n\r\nnaïve café ☃\r\n".encode(),
    "bytes": DATED + b"Subject: x\r\n\r\n" + bytes(b for b in range(1, 256) if b not in (10, 13)) + b"\r\n",
    "long line": DATED + b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n",
    "no body": DATED + b"Subject: only a header\r\n",
    "large": DATED + b"Subject: large\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 20000,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_content_arrives_byte_for_byte(relay, world, name):
    content = CONTENTS[name]
    with relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER, ["BODY=8BITMIME"])
        s.rcpt("anna@fast.example")
        s.putcmd("data")
        assert s.getreply()[0] == 354
        stuffed = b"".join(b"." + line if line.startswith(b".") else line
                           for line in content.splitlines(keepends=True))
        if name == "bytes":  # splitlines() cuts at more than line feeds
            stuffed = content
        s.send(stuffed + b".\r\n")
        assert s.getreply()[0] == 250
    message, = delivered(world, "fast.example")
    assert message["body_sha256"] == hashlib.sha256(content).hexdigest()


def test_missing_header_fields_are_added(relay, world):
    with relay.smtp() as s:
        s.sendmail(SENDER, ["anna@fast.example"], "\r\nonly a body\r\n")
    delivered(world, "fast.example")
    message = email.message_from_string(world.last("fast.example"))
    assert message["Date"] and message["Message-ID"].endswith("@relay.test.example>")
    assert message.get_payload() == "only a body\r\n"


def test_received_field_is_put_on_top(relay, world):
    relay.send("anna@fast.example")
    delivered(world, "fast.example")
    message = email.message_from_string(world.last("fast.example"))
    assert list(message.keys())[0] == "Received" and "relay.test.example" in message["Received"]


# to, behaviour, code and enhanced code (None: not asked), a piece of the reply
DEFERRALS = [
    ("anna@university.example", None, 450, "4.2.0", "Greylisted"),
    ("full.1@isp.example", None, 452, "4.2.2", "over its storage limit"),
    ("anna@yahoo.com", None, 421, "4.7.0", "[TSS04]"),
    ("anna@gmail.com", "ratelimit rate=0", 421, "4.7.28", "unusual rate"),
    ("anna@filter.example", 'reply at=eod text="451 4.3.0 Try later"', 451, "4.3.0", "Try later"),
    ("anna@fast.example", 'reply at=banner text="421 4.3.2 Service not available"', 421, "4.3.2", "not available"),
    ("anna@fast.example", 'reply at=helo text="450 4.3.2 Not now"', None, None, "Not now"),
    ("anna@fast.example", 'reply at=data text="451 4.3.1 No disk"', 451, "4.3.1", "No disk"),
    ("anna@fast.example", "drop at=banner", None, None, None),
    ("anna@fast.example", "drop at=mail", None, None, None),
    ("anna@flaky.example", "drop at=body", None, None, None),
    ("anna@flaky.example", "drop at=eod", None, None, None),
    ("anna@down.example", None, None, None, None),
    ("anna@broken-dns.example", None, None, None, None),
]


@pytest.mark.parametrize("to,behaviour,code,enhanced,text", DEFERRALS)
def test_deferred_then_delivered(relay, world, to, behaviour, code, enhanced, text):
    domain = to.split("@")[1]
    if behaviour:
        world.do(f"set {domain} {behaviour}")
    relay.send(to)
    row = relay.wait_state(to, "deferred", 40)
    assert row["attempts"] >= 1 and row["next_attempt_s"] > 0 and row["class"] and row["last_reply"]
    assert row["domain"] == domain and row["from"] == SENDER and row["size"] > 100
    if code:
        assert row["last_code"] == code and row["last_enhanced"] == enhanced
    if text:
        assert text in row["last_reply"]
    group = queue_row(relay, domain)
    assert group["deferred"] == group["total"] == 1 and group["last_reply"] == row["last_reply"]
    event = relay.wait_event(to, "deferred")
    assert event["id"] == row["id"] and event["class"] == row["class"]
    attempt = relay.weir("show", row["id"])["attempts"][0]
    assert attempt["outcome"] == "deferred" and attempt["reply"]
    assert relay.queued()["deferred"] == 1
    cause, = [c for c in relay.weir("causes") if c["class"] == row["class"]]
    assert cause["count"] == 1 and cause["kind"] == "soft"
    why = relay.weir("why", row["id"])
    assert why["binding"] in ("retry", "backoff", "remote", "dns", "connect") and why["text"]
    world.do(f"set {domain} accept")
    if domain == "broken-dns.example":
        wait_until(lambda: relay.weir("retry", f"domain:{domain}") and world.messages(domain), 20, interval=1)
    else:
        relay.weir("retry", f"domain:{domain}")
    delivered(world, domain)
    relay.wait_event(to, "delivered")


def report_for(world, to):
    """The failure report that came to the sender, taken apart; checks that it is one (RFC 3464)."""
    got, = delivered(world, "shop.example")
    assert got["from"] == "" and got["to"] == [SENDER]
    message = email.message_from_string(world.last("shop.example"), policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["auto-submitted"] and message["from"] and message["message-id"]
    parts = list(message.iter_parts())
    assert parts[0].get_content_type() == "text/plain" and to in parts[0].get_content()
    assert parts[1].get_content_type() == "message/delivery-status"
    assert parts[2].get_content_type() in ("text/rfc822-headers", "message/rfc822")
    per_message, *per_recipient = parts[1].get_payload()
    assert per_message["Reporting-MTA"] == "dns; relay.test.example"
    return {r["Final-Recipient"].split(";")[1].strip(): r for r in per_recipient}


@pytest.mark.parametrize("to,behaviour,status,diagnostic", [
    ("nobody.1@corp.example", None, "5.1.1", "550 5.1.1"),
    ("nobody@outlook.com", None, "5.5.0", "mailbox unavailable"),
    ("anna@filter.example", "spam", "5.7.1", "looks like spam"),
    ("anna@fast.example", 'reply at=mail text="553 5.1.8 Bad sender"', "5.1.8", "Bad sender"),
    ("anna@fast.example", 'reply at=data text="554 5.6.0 No"', "5.6.0", "No"),
    ("anna@nomail.example", None, "5.1.10", None),
    ("anna@gmial.example", None, "5.1.2", None),
])
def test_failure_is_reported_to_the_sender(relay, world, to, behaviour, status, diagnostic):
    domain = to.split("@")[1]
    if behaviour:
        world.do(f"set {domain} {behaviour}")
    relay.send(to, subject="Gone wrong")
    event = relay.wait_event(to, "failed", 30)
    assert event["class"]
    report = report_for(world, to)[to]
    assert report["Action"] == "failed" and report["Status"] == status
    if diagnostic:
        assert diagnostic in " ".join(report["Diagnostic-Code"].split())
    assert "Gone wrong" in world.last("shop.example")
    detail = relay.weir("show", event["id"])
    assert [r["state"] for r in detail["recipients"]] == ["failed"]
    assert detail["attempts"][-1]["outcome"] == "failed"
    wait_until(lambda: relay.queued()["recipients"] == 0)


def test_null_sender_gets_no_report(relay, world):
    relay.send("nobody@corp.example", sender="")
    relay.wait_event("nobody@corp.example", "failed")
    wait_until(lambda: relay.queued()["recipients"] == 0)
    assert world.messages("shop.example") == []


def test_recipients_of_one_message_part(relay, world):
    to = ["anna@fast.example", "bela@fast.example", "chen@gmail.com", "dara@startup.example",
          "nobody@corp.example", "emre@corp.example", "full@isp.example"]
    relay.send(*to, tag="many")
    relay.wait_state("full@isp.example", "deferred")
    relay.wait_event("nobody@corp.example", "failed")
    assert delivered(world, "fast.example")[0]["to"] == to[:2], "one transaction for one destination"
    delivered(world, "gmail.com")
    delivered(world, "startup.example")
    delivered(world, "corp.example")
    wait_until(lambda: relay.queued()["recipients"] == 1)
    states = {r["to"]: r["state"] for r in relay.weir("show", relay.row("full@isp.example")["id"])["recipients"]}
    assert states == dict(zip(to, ["delivered"] * 4 + ["failed", "delivered", "deferred"]))
    assert list(report_for(world, "nobody@corp.example")) == ["nobody@corp.example"]
    assert world.do("count-by-header")["duplicates"] == 0


def test_many_recipients_in_one_domain(relay, world):
    to = [f"user{i}@fast.example" for i in range(250)]
    relay.send(*to, tag="crowd")
    wait_until(lambda: world.stats("fast.example")["recipients"] == len(to), 20)
    assert sorted(sum((m["to"] for m in world.messages("fast.example")), [])) == sorted(to)


def test_connections_are_reused_and_capped(relay, world):
    world.set("fast.example", "slow", delay=5)
    with relay.smtp() as s:
        for i in range(200):
            s.sendmail(SENDER, [f"u{i}@fast.example"], harness.letter(SENDER, "u@fast.example"))
    wait_until(lambda: world.stats("fast.example")["messages"] == 200, 40)
    stats = world.stats("fast.example")
    assert stats["connections"] < 100 and stats["max_connections"] <= 20


def test_a_dead_destination_does_not_stop_the_others(relay, world):
    for i in range(30):
        relay.send(f"a{i}@tarpit.example", f"a{i}@down.example")
    relay.send("anna@fast.example")
    delivered(world, "fast.example", timeout=10)


def test_provider_groups_domains_of_one_site(relay, world):
    world.do("set gmail.com ratelimit rate=0")
    relay.send("anna@gmail.com", "bela@startup.example")
    relay.wait_state("anna@gmail.com", "deferred")
    relay.wait_state("bela@startup.example", "deferred")
    row, = [r for r in relay.weir("queue", "--by", "provider") if r["deferred"] == 2]
    assert "google" in row["provider"]


def test_hostile_subject_is_harmless_on_the_terminal(relay):
    relay.weir("hold", "all", "--reason", "look at it")
    relay.send("anna@fast.example", subject="\x1b]0;gotcha\x07\x1b[2J hello")
    row = wait_until(lambda: relay.row("anna@fast.example"))
    for args in (("messages", ), ("show", row["id"]), ("messages", "--where", "subject:*hello*")):
        out = relay.run(*args, json_output=False).stdout
        assert "\x1b]" not in out and "\x1b[2J" not in out and "\x07" not in out
