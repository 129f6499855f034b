"""What is kept of attempts: every command and reply, and how long each step took."""

import pytest

import harness
import peer as peers
import script
from harness import wait_until
from script import DROP, Script, settle, transcript

TO = "anna@fast.example"


@pytest.fixture
def receiver():
    made = []

    def make(*args, **kwargs):
        made.append(Script(*args, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.close()


def route(relay, to, *options):
    relay.weir("route", "add", "--to", to, "--match", "domain:fast.example", *options)


MULTI = b"250-2.1.0 first\r\n250-2.1.0 second line\r\n250 2.1.0 third\r\n"
EIGHT_BIT = b"451 4.7.1 sp\xe4ter \xc3\xa9\x1b[2J nul\x00here\r\n"


@pytest.mark.parametrize("replies,outcome", [
    ({}, "delivered"),
    ({"EHLO": script.PIPELINING}, "delivered"),
    ({"MAIL": MULTI, ".": b"250-2.0.0 Taken\r\n250 2.0.0 as 4711\r\n"}, "delivered"),
    ({"MAIL": [b"250 2.1", b".0 in two pie", b"ces\r\n"]}, "delivered"),
    ({"EHLO": b"502 5.5.1 what\r\n", "HELO": b"250 script.example\r\n"}, "delivered"),
    ({"RCPT": b"450 4.2.1 not now\r\n"}, "deferred"),
    ({"EHLO": script.PIPELINING, "RCPT": b"450-4.2.1 not now\r\n450 4.2.1 nor then\r\n", "DATA": b"554 5.5.1 nobody\r\n"},
     "deferred"),
    ({"RCPT": b"550 5.1.1 never\r\n"}, "failed"),
    ({".": b"554 5.7.1 not that\r\n"}, "failed"),
    ({"MAIL": b"421 4.7.0 go away\r\n"}, "deferred"),
    ({"DATA": DROP}, "deferred"),
    ({".": DROP}, "deferred"),
    ({"RCPT": [b"250-2.1.5 half a rep", DROP]}, "deferred"),
    ({"RCPT": EIGHT_BIT}, "deferred"),
    ({"RCPT": b"this is no SMTP\r\n"}, "deferred"),
], ids=["clean", "pipelined", "multi-line", "pieces", "helo", "4xx", "4xx-pipelined", "5xx", "5xx-end", "421",
        "drop-at-data", "drop-at-end", "drop-in-reply", "8-bit", "garbage"])
def test_equal_to_what_the_host_saw(relay, receiver, replies, outcome):
    r = receiver(replies)
    route(relay, r.at)
    relay.send(TO)
    row = settle(relay, TO, outcome)
    got = transcript(relay, row["id"])
    seen = r.said()
    if replies.get("RCPT") is EIGHT_BIT:
        assert got[-1][1].startswith("451 4.7.1 sp") and "nul" in got[-1][1] and "\0" not in got[-1][1]
        text = relay.run("show", row["id"], "--transcript", json_output=False).stdout
        assert "\x1b" not in text and "\0" not in text and "4.7.1 sp" in text
        got, seen = got[:-1], seen[:-1]
    elif isinstance(replies.get("RCPT"), list):
        assert got[-1] == ("host", "250-2.1.5 half a rep")
        got = got[:-1]
    # what is sent in one piece stands there in one piece, and the host answers it line by line
    sides = (["relay"], ["host"]) if replies.get("EHLO") is script.PIPELINING else (["relay", "host"],)
    for side in sides:
        assert [line for line in got if line[0] in side] == [line for line in seen if line[0] in side]
    assert got[0] == ("host", "220 script.example ESMTP")
    relay.restart()
    assert transcript(relay, row["id"])[:len(got)] == got


def test_a_greeting_that_refuses(relay, receiver):
    r = receiver(greeting=b"554-5.7.1 not you\r\n554 5.7.1 and not here\r\n")
    route(relay, r.at)
    relay.send(TO)
    row = settle(relay, TO, "deferred")
    assert transcript(relay, row["id"]) == [("host", "554-5.7.1 not you"), ("host", "554 5.7.1 and not here")]
    notes = [text for by, text in transcript(relay, row["id"], notes=True) if by == "note"]
    assert notes[1].startswith(f"connected to 127.0.0.1 [127.0.0.1]:{r.port} from 127.0.0.1")


def test_nobody_listens(relay):
    port = harness.free_port()
    route(relay, f"smarthost:127.0.0.1:{port}")
    relay.send(TO)
    row = settle(relay, TO, "deferred")
    got = transcript(relay, row["id"], notes=True)
    assert [by for by, _ in got] == ["note", "note"] and "refused" in got[1][1]


def test_messages_of_one_connection(relay, receiver):
    """Each has the connection's beginning and its own transaction; another recipient's lines are left out."""
    r = receiver({"RCPT TO:<carl": b"550 5.1.1 no carl here\r\n"})
    route(relay, r.at)
    relay.weir("hold", "domain:fast.example", "--reason", "to gather them")
    for to in (["one@fast.example"], ["two@fast.example", "carl@fast.example"], ["three@fast.example"]):
        relay.send(*to, sender="" if to[0].startswith("three") else harness.SENDER)
    relay.weir("release", "domain:fast.example")
    for to, event in (("one", "delivered"), ("two", "delivered"), ("carl", "failed"), ("three", "delivered")):
        row = settle(relay, f"{to}@fast.example", event)
        attempts = [a for a in relay.weir("show", row["id"], "--transcript") if a["to"] == f"{to}@fast.example"]
        lines = [(line["by"], line["text"]) for line in attempts[-1]["transcript"]]
        assert ("host", "220 script.example ESMTP") in lines
        assert [text for by, text in lines if text.startswith("RCPT")] == [f"RCPT TO:<{to}@fast.example>"]
        assert (("host", "550 5.1.1 no carl here") in lines) == (to == "carl")
        assert any("about other recipients" in text for _, text in lines) == (to in ("two", "carl"))
        phases = attempts[-1]["phases"]
        first = not any("on this connection" in text for _, text in lines)
        assert {"mail_ms", "rcpt_ms"} <= set(phases) and ("connect_ms" in phases) == first
    assert len([line for line in r.log if line[1] == "220 script.example ESMTP"]) == 1


def test_how_long_each_step_took(relay, receiver):
    r = receiver(pause=0.06)
    route(relay, r.at)
    relay.send(TO)
    row = settle(relay, TO, "delivered")
    attempt = relay.weir("show", row["id"])["attempts"][-1]
    assert set(attempt["phases"]) == {"dns_ms", "connect_ms", "greeting_ms", "ehlo_ms", "mail_ms", "rcpt_ms", "data_ms"}
    for phase, least in (("greeting", 55), ("ehlo", 55), ("mail", 55), ("rcpt", 55), ("data", 110)):
        assert least <= attempt["phases"][f"{phase}_ms"] < 2000, attempt["phases"]
    assert attempt["duration_ms"] >= 330
    assert "transcript" not in attempt
    text = relay.run("show", row["id"], json_output=False).stdout
    assert "greeting " in text and "->" not in text
    text = relay.run("show", row["id"], "--transcript", json_output=False).stdout
    assert "-> EHLO relay.test.example" in text and "<- 220 script.example ESMTP" in text, text


def test_tls_and_a_login(directory, world):
    """A smarthost that repeats what it was told: no secret is kept, neither with the attempt nor in the files."""
    peers.make_authority(directory)
    relay = harness.Relay(directory, world, f'tls {{ authorities = "{directory}/ca.pem" }}\n')
    relay.start().allow()
    p = peers.Peer(peers.make_certificate(directory, "peer", "IP:127.0.0.1"), users={"weir": "open-sesame-4711"})
    secret = directory / "password"
    secret.write_text("open-sesame-4711\n")
    relay.weir("route", "add", "--to", p.at, "--match", "domain:fast.example", "--tls", "required", "--user", "weir",
               "--password-file", secret)
    relay.send(TO)
    row = settle(relay, TO, "delivered")
    lines = transcript(relay, row["id"], notes=True)
    assert ("relay", "STARTTLS") in lines and ("host", "220 2.0.0 Go ahead") in lines
    assert any(by == "note" and text.startswith("TLSv1.3 TLS_") and text.endswith(" verified") for by, text in lines)
    assert ("relay", "AUTH PLAIN (left out)") in lines and ("host", "235 2.7.0 Welcome") in lines
    assert {"tls_ms", "auth_ms"} <= set(relay.weir("show", row["id"])["attempts"][-1]["phases"])
    p.users["weir"] = "changed"
    line = "AHdlaXIAb3Blbi1zZXNhbWUtNDcxMQ=="  # of AUTH PLAIN
    p.refuse["AUTH"] = f"535 5.7.8 do not know {line} for open-sesame-4711"
    relay.weir("route", "list")
    relay.send("bob@fast.example")
    # the connection is used again for a moment: until it is gone
    wait_until(lambda: relay.events("bob@fast.example"), what="bob")
    relay.restart()
    relay.send("carl@fast.example")
    row = settle(relay, "carl@fast.example", "deferred")
    attempt = relay.weir("show", row["id"], "--transcript")[-1]
    assert attempt["reply"].startswith("535 5.7.8 do not know ***") and line not in str(attempt), attempt
    assert "open-sesame" not in str(attempt) and "do not know ***" in str(attempt["transcript"])
    assert relay.stop() == 0
    for path in (directory / "state").rglob("*"):
        if path.is_file() and path.suffix in (".db", ".db-wal", ""):
            data = path.read_bytes()
            assert line.encode() not in data
    p.close()
    assert relay.bad_log_lines() == []


@pytest.mark.parametrize("keep", ["failures", "no"])
def test_what_is_not_kept(directory, world, receiver, keep):
    relay = harness.Relay(directory, world, f'delivery {{ transcripts = "{keep}" }}\n')
    relay.start().allow()
    r = receiver({"RCPT TO:<bob": b"450 4.2.1 not now\r\n"})
    route(relay, r.at)
    relay.send(TO)
    row = settle(relay, TO, "delivered")
    attempt = relay.weir("show", row["id"], "--transcript")[-1]
    assert attempt["transcript"] is None and "phases" not in attempt
    assert "not kept" in relay.run("show", row["id"], "--transcript", json_output=False).stdout
    relay.send("bob@fast.example")
    row = settle(relay, "bob@fast.example", "deferred")
    attempt = relay.weir("show", row["id"], "--transcript")[-1]
    assert (attempt["transcript"] is None) == (keep == "no")
    assert relay.stop() == 0 and relay.bad_log_lines() == []
