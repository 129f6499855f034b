"""Attacks on both sides of the relay: what hides in line ends, lengths, parameters, routes and names."""

import email
import email.policy
import itertools
import select

import pytest

import harness
from harness import SENDER, Raw, wait_until
from names import Names
from peer import Peer


@pytest.fixture
def peer():
    made = []

    def make(*args, **kwargs):
        made.append(Peer(*args, **kwargs))
        return made[-1]
    yield make
    for p in made:
        p.close()


def begin(relay):
    s = relay.raw()
    assert s.reply()[0] == 220
    assert s.say("EHLO me")[0] == 250
    return s


# --- smuggling ---


EVIL = b"MAIL FROM:<evil@fast.example>\r\nRCPT TO:<victim@fast.example>\r\nDATA\r\nSubject: y\r\n\r\nevil\r\n.\r\n"
BREAKS = [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\r\0\n", b"\0\r\n", b"\r\n\0"]
ENDS = [before + b"." + after for before, after in itertools.product(BREAKS, BREAKS)
        if not (before + b"." + after).startswith(b"\r\n.\r\n") and b"\r\n.\r\n" not in before + b"." + after]


def test_every_wrong_end_of_data(relay, world):
    """None of the spellings of a line end around the dot ends a message but the right one."""
    assert len(ENDS) > 50
    for i, end in enumerate(ENDS):
        s = begin(relay) if i % 10 == 0 else s  # a session has so many errors, no more
        s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\nDATA\r\n")
        assert [s.reply()[0] for _ in range(3)] == [250, 250, 354], end
        s.send(b"Subject: x\r\n\r\nfirst" + end + EVIL)
        code, text = s.reply()
        assert 500 <= code < 600 and "5.6." in text, (end, code, text)
        # one reply, and no more: the rest was content
        assert s.say("NOOP")[0] == 250, end
        assert not select.select([s.socket], [], [], 0)[0], end
    assert relay.queued()["recipients"] == 0
    assert world.messages("fast.example") == []


def test_ends_of_data_in_pieces(relay, world):
    """Cut between any two bytes, with the wrong ends and the right one: the same."""
    for text, good in [(b"a\r\n.\n" + EVIL, False), (b"a\n.\r\n" + EVIL, False), (b"a\r\n..\r\nb\r\n.\r\n", True)]:
        for cut in range(1, 8):
            s = begin(relay)
            s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\nDATA\r\n")
            assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
            s.send(b"Subject: x\r\n\r\n" + text[:cut])
            relay.queued()  # a round trip: what was sent has been read
            s.send(text[cut:])
            assert (s.reply()[0] == 250) == good, (text, cut)
            assert s.say("NOOP")[0] == 250
            s.close()
    wait_until(lambda: len(world.messages("fast.example")) == 7)
    assert all(m["to"] == ["anna@fast.example"] for m in world.messages("fast.example"))


def test_dots_go_out_stuffed(relay, peer):
    """What looks like an end and commands inside of a message is still content at the next hop."""
    p = peer()
    relay.weir("route", "add", "--to", p.at)
    body = "before\r\n.\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n\r\n..\r\n...\r\n. \r\nend\r\n"
    relay.send("anna@fast.example", body=body)  # smtplib stuffs it
    message = wait_until(lambda: p.messages)[0]
    assert message["content"].endswith(body.encode())
    assert len(p.messages) == 1 and len(p.said("MAIL")) == 1


# --- what is taken away on the way ---


def test_auth_stripped(relay, peer, directory):
    """Somebody in between takes AUTH out of the reply to EHLO: nothing is sent without the login."""
    p = peer(extensions=["PIPELINING", "8BITMIME"])
    secret = directory / "password"
    secret.write_text("x\n")
    relay.weir("route", "add", "--to", p.at, "--user", "weir", "--password-file", secret)
    relay.send("anna@fast.example")
    row = relay.wait_state("anna@fast.example", "deferred")
    assert row["last_reply"]
    assert p.said("MAIL") == [] and p.said("AUTH") == []


# --- oversized ---


LINES = [
    "EHLO " + "x" * 600,
    "EHLO " + "x." * 120 + "example" + "y" * 200,
    "MAIL FROM:<" + "a" * 65 + "@b.example>",
    "MAIL FROM:<a@" + "b" * 64 + ".example>",
    "MAIL FROM:<a@" + "b." * 130 + "example>",
    "MAIL FROM:<" + "@r.example," * 60 + "@r.example:a@b.example>",
    "MAIL FROM:<a@b.example> SIZE=" + "9" * 21,
    "MAIL FROM:<a@b.example> SIZE=99999999999999999999999999999",
    "MAIL FROM:<a@b.example> ENVID=" + "x" * 101,
    "MAIL FROM:<a@b.example> " + "X" * 2000,
    "MAIL FROM:<a@b.example>" + " SIZE=1" * 50,
    "AUTH PLAIN " + "A" * 20000,
    "BDAT " + "9" * 30 + " LAST",
    "BDAT -1",
    "VRFY " + "v" * 5000,
    "X" * 100000,
]


def test_oversized_lines(relay):
    """Refused, or the session ends; and the next client is served."""
    for line in LINES:
        s = begin(relay)
        code, _ = s.say(line)
        assert code == 0 or 400 <= code < 600, (line[:60], len(line), code)
        s.close()
    s = begin(relay)
    assert s.say(f"MAIL FROM:<{SENDER}>")[0] == 250
    s.close()


def test_oversized_headers(relay):
    """One field, many, too many hops; and many recipients in a field are nothing unusual."""
    for head, code in [("Subject: " + "s" * 600000 + "\r\n", 552),
                       ("X-Many: x\r\n" * 50000, 552),
                       ("Received: from a by b; x\r\n" * 101, 554),
                       ("To: " + ",\r\n ".join(f"u{i}@fast.example" for i in range(20000)) + "\r\n", 250)]:
        s = begin(relay)
        s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\nDATA\r\n")
        assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
        s.send(head + "\r\nbody\r\n.\r\n")
        got, text = s.reply()
        assert got == code, (head[:40], got, text)
        assert s.say("NOOP")[0] == 250
        s.close()


# --- injection through the envelope ---


def test_nothing_is_injected_into_reports(relay, peer):
    """ENVID and ORCPT are xtext and may mean anything: in a report they stay what they are, one field each."""
    p = peer(refuse={"RCPT": "550 5.1.1 No\r\n"})
    back = peer()
    relay.weir("route", "add", "--to", p.at, "--match", "domain:fast.example")
    relay.weir("route", "add", "--to", back.at, "--match", "domain:shop.example")
    s = begin(relay)
    for line, code in [
            (f"MAIL FROM:<{SENDER}> ENVID=q+0D+0AX-Evil:+20yes", 250),
            ("RCPT TO:<anna@fast.example> ORCPT=rfc822;a+0D+0A+0D+0AAction:+20delivered@b", 250),
            ("DATA", 354), ("Subject: x\r\n\r\nx\r\n.", 250)]:
        got, text = s.say(line)
        if got in (501, 553, 555):  # refused outright is as good
            return
        assert got == code, (line, got, text)
    report = email.message_from_bytes(wait_until(lambda: back.messages)[0]["content"], policy=email.policy.default)
    message, recipient = list(report.iter_parts())[1].get_payload()
    assert message["X-Evil"] is None and recipient.get_all("Action") == ["failed"]
    assert "X-Evil" not in report
    assert "\n" not in str(message["Original-Envelope-Id"] or "")


@pytest.mark.parametrize("sender", ["\"a\\\r\nBcc: x\"@shop.example", "a\r\nX-Evil: y@shop.example"])
def test_line_ends_in_addresses(relay, sender):
    s = begin(relay)
    s.send(f"MAIL FROM:<{sender}>\r\n")
    assert 500 <= s.reply()[0] < 600
    assert s.say("RCPT TO:<anna@fast.example>")[0] != 250


# --- loops ---


def test_a_loop_through_ourselves_ends(relay, world):
    """A route that leads back here: so many hops, one report, and nothing after it."""
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{relay.port}", "--match", "domain:loop.example")
    relay.send("anna@loop.example", sender="app@fast.example")
    wait_until(lambda: world.messages("fast.example"), 30, "the report")
    wait_until(lambda: relay.queued()["messages"] == 0, 15, "an empty queue")
    report, = world.messages("fast.example")
    assert report["from"] == ""
    assert "5.4.6" in relay.wait_event("anna@loop.example", "failed")["reply"]
    events = relay.weir("events", "--where", "to:anna@loop.example", "--limit", "1000")
    assert 20 <= len([e for e in events if e["event"] == "delivered"]) <= 110


def test_bounces_at_each_other(relay, world):
    """Reports to addresses that do not exist, or that are ours, make no reports."""
    for i, sender in enumerate(["nobody@no-user.example", "nobody@gmial.example", "postmaster@relay.test.example",
                                "mailer-daemon@relay.test.example"]):
        relay.send(f"u{i}@no-user.example", sender=sender)
    wait_until(lambda: relay.queued()["messages"] == 0, 20, "an empty queue")
    received = [e for e in relay.weir("events", "--limit", "1000") if e["event"] == "received"]
    assert len(received) <= 8, "a message and its report each, at most"


# --- DNS that lies ---


def test_names_that_lie(directory, world):
    """MX in circles, many MX, MX to this machine: judged in bounded time, and others are not in the way."""
    many = {("many.example", "MX"): [f"{i} h{i}.many.example" for i in range(25)]}
    many.update({(f"h{i}.many.example", "A"): ["127.0.0.1"] for i in range(25)})
    names = Names({("evil.example", "MX"): ["10 localhost.evil.example"], ("localhost.evil.example", "A"): ["127.0.0.1"],
                   ("self.example", "MX"): ["10 self.example"], ("self.example", "A"): ["0.0.0.0", "224.0.0.1"],
                   ("round.example", "MX"): ["10 a.round.example", "10 b.round.example"],
                   ("ours.example", "MX"): ["5 relay.test.example", "10 h1.many.example"],
                   ("good.example", "MX"): ["10 mx.good.example"], ("mx.good.example", "A"): ["127.9.9.9"], **many})
    world.dns = names.address
    taken = Peer(host="127.9.9.9")
    world.smtp_port = taken.port
    relay = harness.Relay(directory, world, "").start()
    relay.config.write_text(relay.config.read_text().replace(
        "delivery { ", 'delivery { avoid = {"127.0.0.0/16"} '))
    relay.restart()
    relay.allow()
    for domain in ("evil", "self", "round", "ours", "many", "good"):
        relay.send(f"u@{domain}.example", sender="")
    wait_until(lambda: len(taken.messages) == 1, 10, "the good one")
    for domain, text in [("evil", "leads to 127.0.0.1"), ("self", "has an address"), ("round", "has an address"),
                         ("ours", "come back here"), ("many", "leads to 127.0.0.1")]:
        event = relay.wait_event(f"u@{domain}.example", "failed")
        assert text in event["reply"], (domain, event)
    taken.close()
    assert relay.stop() == 0
    assert relay.bad_log_lines() == []
    names.stop()
