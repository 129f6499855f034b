"""Known attacks on whatever accepts mail, and clients behind a balancer."""

import resource
import select
import socket
import time

import pytest

import harness
from harness import SENDER, Raw, free_port, wait_until


def relay_with(directory, world, extra):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    return harness.Relay(directory, world, extra).start()


def ends_well(relay, world):
    assert relay.stop() == 0
    assert relay.bad_log_lines() == []
    assert world.protocol_errors() == {}


# --- open-relay probes ---


PROBES = [
    "<victim@gmail.com>",
    "<victim%gmail.com@relay.test.example>",
    "<victim%gmail.com@[127.0.0.1]>",
    "<gmail.com!victim>",
    "<gmail.com!victim@relay.test.example>",
    "<@relay.test.example:victim@gmail.com>",
    "<@relay.test.example,@gmail.com:victim@gmail.com>",
    "<\"victim@gmail.com\"@relay.test.example>",
    "<\"victim%gmail.com\"@relay.test.example>",
    "<\"victim@gmail.com\">",
    "<victim@gmail.com@relay.test.example>",
    "<victim@[gmail.com]>",
    "<victim@gmail.com@[127.0.0.1]>",
    "<victim@127.0.0.1>",
    "<\\\"victim@gmail.com\\\">",
    "<postmaster@gmail.com>",
    "victim@gmail.com",
]
SENDERS = ["<>", f"<{SENDER}>", "<postmaster@relay.test.example>", "<victim@gmail.com>", "<root@[127.0.0.1]>",
           "<root@localhost>", "<victim@gmail.com@relay.test.example>"]


def test_open_relay_probes(bare_relay, world):
    """None of the usual spellings gets a recipient accepted from somebody who may not relay."""
    for sender in SENDERS:
        s = Raw("127.0.0.1", bare_relay.port)
        s.reply()
        s.say("EHLO probe")
        for n, rcpt in enumerate(PROBES):
            if s.say("NOOP")[0] != 250:  # enough of it
                s.close()
                s = Raw("127.0.0.1", bare_relay.port)
                s.reply()
                s.say("EHLO probe")
            if s.say(f"MAIL FROM:{sender}")[0] != 250:
                continue
            code, text = s.say(f"RCPT TO:{rcpt}")
            assert 500 <= code < 600, (sender, rcpt, code, text)
            assert s.say("DATA")[0] in (503, 554, 0, 421)
            s.say("RSET")
        s.close()
    assert bare_relay.queued()["recipients"] == 0


def test_who_may_relay_gets_what_was_written(relay, world):
    """Percent hacks and quoted local parts are other people's mailboxes; source routes are dropped."""
    relay.weir("hold", "all", "--reason", "look")
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    assert s.say(f"MAIL FROM:<{SENDER}>")[0] == 250
    for rcpt, kept in [("<a%b.example@fast.example>", "a%b.example@fast.example"),
                       ("<@x.example,@y.example:c@fast.example>", "c@fast.example"),
                       ("<\"d@e.example\"@fast.example>", "\"d@e.example\"@fast.example"),
                       ("<\"plain\"@fast.example>", "plain@fast.example")]:
        assert s.say(f"RCPT TO:{rcpt}")[0] == 250, rcpt
        assert s.say("NOOP")[0] == 250
    assert s.say("DATA")[0] == 354
    assert s.say("Subject: x\r\n\r\n.")[0] == 250
    rows = relay.recipients()
    assert sorted(r["to"] for r in rows) == sorted(["a%b.example@fast.example", "c@fast.example",
                                                    "\"d@e.example\"@fast.example", "plain@fast.example"])
    assert {r["domain"] for r in rows} == {"fast.example"}
    relay.weir("delete", "all", "--reason", "looked", "--yes")


# --- bytes that do not belong there ---


@pytest.mark.parametrize("line", [
    b"MAIL FROM:<a@b.example\r>", b"MAIL FROM:<a\x00@b.example>", b"MAIL FROM:<a@b.example>\x00",
    b"MAIL FROM:<a@b.example>\nRCPT TO:<anna@fast.example>", b"RCPT TO:<anna@fast.example\rRSET>",
    b"EHLO me\x00", b"NOOP \x07", b"MAIL FROM:<a@b.example> SIZE=1\rBODY=7BIT", b"EHLO a\rMAIL",
])
def test_controls_in_commands_are_refused(relay, line):
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    code, _ = s.say(line.decode("latin-1").encode("latin-1").decode("latin-1"))
    assert 500 <= code < 600
    # and nothing of it was taken
    assert s.say("DATA")[0] in (500, 503, 554)


def test_headers_cannot_be_injected_through_the_envelope(relay, world):
    """What a client calls itself and its sender ends up in fields of ours: on one line, and tamed."""
    s = relay.raw()
    s.reply()
    assert s.say("EHLO x(\"comment)<a@b>;\\")[0] == 250
    assert s.say("MAIL FROM:<\"a;b (c)\"@shop.example>")[0] == 250
    assert s.say("RCPT TO:<anna@fast.example>")[0] == 250
    assert s.say("DATA")[0] == 354
    assert s.say("Subject: x\r\nMessage-ID: <1@x>\r\nDate: Tue, 24 Nov 2026 03:12:07 +0000\r\n\r\nx\r\n.")[0] == 250
    wait_until(lambda: world.messages("fast.example"))
    head = world.last("fast.example").replace("\r\n", "\n").split("\n\n")[0].split("\n")
    fields = [line.split(":")[0] for line in head if not line.startswith(("\t", " "))]
    assert fields[-4:] == ["Received", "Subject", "Message-ID", "Date"] or fields[-3:] == ["Subject", "Message-ID", "Date"]
    received = [line for line in head if line.startswith("Received: from x")]
    assert len(received) == 1 and not any(c in received[0].split("([")[0] for c in "\"<>;\\")


@pytest.mark.parametrize("body", [b"a\nb", b"a\rb", b"a\x00b", b"\r.\r", b"\n.\n"])
def test_bare_line_ends_and_nul_in_messages(relay, body):
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\nDATA\r\n")
    assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
    s.send(b"Subject: x\r\n\r\n" + body + b"\r\n.\r\n")
    code, text = s.reply()
    assert code == 550 and "5.6." in text
    assert s.say("NOOP")[0] == 250


# --- slow and many ---


def test_a_byte_a_second_from_many(directory, world):
    """Slow clients on nearly every connection: whoever comes with mail is served all the same."""
    count = 1900
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
                                                resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    relay = relay_with(directory, world, "limits { connections = 2000 connections-per-client = 2000 }\n")
    relay.expected.append("smtpin.stress")
    relay.allow()
    slow = [socket.create_connection(("127.0.0.1", relay.port), 10) for _ in range(count)]
    for i, s in enumerate(slow):
        s.setblocking(False)
        if i % 3 == 0:
            s.send(f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\n".encode())
    relay.send("anna@fast.example")
    end = time.monotonic() + 14
    while time.monotonic() < end:
        for s in slow:
            try:
                s.send(b"x")
            except OSError:
                pass
        select.select([], [], [], 1)
    status = relay.weir("status")
    assert status["connections"]["in"] <= 1501, "slow ones made room"
    relay.send("anna@fast.example")
    wait_until(lambda: len(world.messages("fast.example")) == 2)
    for s in slow:
        s.close()
    ends_well(relay, world)


def test_endless_refusals_end_the_session(relay):
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    codes = [s.say(f"RCPT TO:<x{i}@fast.example>")[0] for i in range(30)]
    assert 421 in codes or 0 in codes
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    codes = [s.say("NOOP")[0] for _ in range(1100)]
    assert codes[900] == 250 and codes[-1] in (0, 421)


def test_rates(directory, world):
    relay = relay_with(directory, world, "limits { message-rate = 3 recipient-rate = 5 }\n")
    relay.allow()
    for i in range(3):
        relay.send(f"u{i}@fast.example")
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    code, text = s.say(f"MAIL FROM:<{SENDER}>")
    assert code == 450 and "4.7.1" in text
    wait_until(lambda: len(world.messages("fast.example")) == 3)
    ends_well(relay, world)


# --- behind a balancer ---


def test_proxy_protocol(directory, world):
    port = free_port()
    relay = relay_with(directory, world, f"""
listen balanced {{
	address = "127.0.0.1:{port}"
	proxy   = {{"127.0.0.0/8"}}
}}
""")
    relay.weir("allow", "add", "203.0.113.0/24", "--note", "the application")
    binary = b"\r\n\r\n\0\r\nQUIT\n"
    v4 = socket.inet_aton
    for header, may in [
            (b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 25\r\n", True),
            (b"PROXY TCP4 198.51.100.7 127.0.0.1 5000 25\r\n", False),
            (binary + b"\x21\x11\0\x0c" + v4("203.0.113.9") + v4("127.0.0.1") + b"\x13\x88\0\x19", True),
            (b"PROXY UNKNOWN\r\n", False),
            (binary + b"\x20\0\0\0", False)]:
        s = Raw("127.0.0.1", port)
        s.send(header + b"EHLO me\r\n" + f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\n".encode())
        codes = [s.reply()[0] for _ in range(4)]
        assert codes[:3] == [220, 250, 250] and (codes[3] == 250) == may, (header, codes)
        s.close()
    # at a door without balancers the header is nothing but a wrong command
    s = relay.raw()
    s.send("PROXY TCP4 203.0.113.7 127.0.0.1 5000 25\r\n")
    assert s.reply()[0] == 220 and s.reply()[0] == 500
    s.say("EHLO me")
    s.say(f"MAIL FROM:<{SENDER}>")
    assert s.say("RCPT TO:<anna@fast.example>")[0] == 550
    s.close()
    entry, = relay.weir("allow", "list")
    assert entry["hits"] == 2
    ends_well(relay, world)
