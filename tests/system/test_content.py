"""What the relay does with lines that not every host takes: judged by Python's parser and by DKIM verifiers."""

import email
import email.base64mime
import email.policy
import random
import subprocess

import pytest

import harness
from harness import wait_until
from peer import Peer
from sink import Sink

VERIFY = harness.ROOT / "tests/lib/dkim_verify.py"
SENDER = "app@shop.example"
TO = "anna@fast.example"
HEAD = (b"From: <app@shop.example>\r\nTo: <anna@fast.example>\r\nDate: Tue, 24 Nov 2026 03:12:07 +0000\r\n"
        b"MIME-Version: 1.0\r\n")


@pytest.fixture
def sink():
    s = Sink()
    yield s
    s.stop()


def relay_with(directory, world, extra=""):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    return harness.Relay(directory, world, extra).start().allow()


def submit(relay, message, eight=True):
    with relay.smtp() as s:
        s.ehlo()
        assert s.mail(SENDER, ["BODY=8BITMIME"] if eight else [])[0] == 250
        assert s.rcpt(TO)[0] == 250
        assert s.docmd("DATA")[0] == 354
        s.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return s.getreply()


def words(rng, n, extra="äöü☃"):
    letters = "abcdefghijklmnopqrstuvwxyz =.-_  " + extra
    return "".join(rng.choice(letters) for _ in range(n))


def part(rng, depth):
    """A random part as bytes, with lines of any length."""
    kind = rng.choice(["text", "text", "html", "json", "qp", "base64", "multi", "multi", "message"]) if depth < 3 else "text"
    long = rng.random() < 0.5
    lines = [words(rng, rng.choice([0, 20, 70]) if not long or rng.random() < 0.7 else rng.randrange(990, 4000),
                   rng.choice(["", "ä", "äöü☃ßéñ" * 8])) for _ in range(rng.randrange(1, 6))]
    body = "\r\n".join(lines).encode()
    if kind in ("text", "html", "json"):
        head = {"text": b"Content-Type: text/plain; charset=utf-8\r\n", "html": b"Content-Type: text/html;\r\n charset=\"utf-8\"\r\n",
                "json": b"Content-Type: application/json; name=\"a;b\"\r\n"}[kind]
        return head + rng.choice([b"", b"Content-Transfer-Encoding: 8bit\r\n"]) + b"\r\n" + body + rng.choice([b"", b"\r\n"])
    if kind == "qp":
        coded = "".join(c if c.isascii() and c.isalnum() else "".join(f"={b:02X}" for b in c.encode()) for c in lines[0] + "x" * rng.choice([0, 2000]))
        return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + coded.encode() + b"\r\n"
    if kind == "base64":
        return (b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                email.base64mime.body_encode(rng.randbytes(3000), maxlinelen=rng.choice([76, 100000])).replace("\n", "\r\n").encode())
    if kind == "message":
        return b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + part(rng, depth + 1)
    boundary = f"b{depth}-{rng.randrange(1 << 30)}".encode()
    inner = b"".join(b"\r\n--" + boundary + b"\r\n" + part(rng, depth + 1) for _ in range(rng.randrange(1, 4)))
    return b"Content-Type: multipart/mixed; boundary=\"" + boundary + b"\"\r\n" + inner + b"\r\n--" + boundary + b"--\r\n"


def meaning(message):
    """What a reader gets: types and decoded contents in their order."""
    parsed = email.message_from_bytes(message, policy=email.policy.compat32)
    return [(p.get_content_type(), p.get_content_charset(), None if p.is_multipart() else p.get_payload(decode=True).rstrip(b"\r\n"))
            for p in parsed.walk()]


def longest(message):
    return max(len(line) for line in message.split(b"\r\n"))


@pytest.mark.parametrize("eight", ["no", "yes"])
def test_encoded_messages_mean_the_same(directory, world, sink, eight):
    relay = relay_with(directory, world, f'content {{ encode-8bit = "{eight}" }}\n')
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink.port}")
    rng = random.Random(20261125)
    sent = {}
    while len(sent) < 60:
        mark = f"mark-{len(sent)}-"
        message = HEAD + f"Message-ID: <{mark}@x>\r\nX-List: {', '.join('u%d@x.example' % i for i in range(rng.choice([1, 200])))}\r\n".encode() + part(rng, 0)
        message += b"" if message.endswith(b"\r\n") else b"\r\n"
        code, text = submit(relay, message)
        assert code == 250, (text, message)
        sent[mark] = message
    changed = 0
    for mark, message in sent.items():
        got = wait_until(lambda: sink.find(mark.encode()))
        assert longest(got) <= 998
        if eight == "yes":
            assert got.isascii()
        assert meaning(got) == meaning(message), (mark, message, got)
        needed = longest(message) > 998 or (eight == "yes" and not message.isascii())
        assert got.endswith(message) != needed, "what is in order stays as it is, byte for byte"
        changed += needed
    assert 10 < changed
    assert relay.weir("status")["encoded"] == changed
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_it_is_signed_after_it_was_encoded(directory, world, sink):
    """RFC 6376, 5.3: what is verified is what is sent."""
    relay = relay_with(directory, world, 'content { encode-8bit = "yes" }\n')
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink.port}")
    relay.weir("dkim", "add", "shop.example", "--reason", "test")
    (directory / "records").write_text("".join(f"{r['name']} {r['value']}\n" for r in relay.weir("dkim", "show", "shop.example")["records"]))
    bodies = {"long": b"x" * 3000 + b"\r\n", "eight": "Grüße".encode() * 400 + b"\r\n", "plain": b"x\r\n"}
    for mark, body in bodies.items():
        assert submit(relay, HEAD + f"Message-ID: <{mark}@x>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n".encode() + body)[0] == 250
        (directory / f"{mark}.eml").write_bytes(wait_until(lambda: sink.find(f"<{mark}@x>".encode())))
    result = subprocess.run(["/usr/bin/python3", VERIFY, directory], capture_output=True, text=True, timeout=60)
    said = {f[0]: f[1] for f in (line.split(" ") for line in result.stdout.splitlines())}
    assert set(said) == set(bodies) and all("pass" in v and "fail" not in v for v in said.values()), result.stdout
    assert relay.stop() == 0 and relay.bad_log_lines() == []


@pytest.mark.parametrize("encode,outcome", [("no", "failed"), ("yes", "delivered")])
def test_a_host_without_8bitmime(directory, world, encode, outcome):
    relay = relay_with(directory, world, f'content {{ encode-8bit = "{encode}" }}\n')
    peer = Peer(extensions=["PIPELINING"])
    relay.weir("route", "add", "--to", peer.at, "--match", "domain:fast.example")
    text = "Grüße aus Übersee\r\n".encode()
    assert submit(relay, HEAD + b"Message-ID: <1@x>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text)[0] == 250
    event = relay.wait_event(TO, outcome)
    if outcome == "failed":
        assert event["enhanced"] == "5.6.3" and "8BITMIME" in event["reply"] and peer.messages == []
    else:
        content = peer.messages[0]["content"]
        assert content.isascii() and email.message_from_bytes(content).get_payload(decode=True) == text
        assert "BODY=" not in peer.messages[0]["mail"]
    peer.close()
    assert relay.stop() == 0 and relay.bad_log_lines() == []


@pytest.mark.parametrize("how,head,code", [
    ("encode", b"", 250), ("encode", b"DKIM-Signature: v=1; b=\r\n", 550),
    ("encode", b"Content-Type: multipart/signed; boundary=b\r\n", 550), ("refuse", b"", 550), ("pass", b"", 250)])
def test_long_lines(directory, world, sink, how, head, code):
    relay = relay_with(directory, world, f'content {{ long-lines = "{how}" }}\n')
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink.port}")
    got, text = submit(relay, HEAD + b"Message-ID: <1@x>\r\n" + head + b"\r\n--b\r\n\r\n" + b"x" * 999 + b"\r\n--b--\r\n")
    assert got == code and (code == 250 or (b"999" in text and b"998" in text)), text
    if code == 250:
        message = wait_until(lambda: sink.find(b"<1@x>"))
        assert (longest(message) <= 998) == (how == "encode")
    assert submit(relay, HEAD + b"Message-ID: <2@x>\r\n" + head + b"\r\n--b\r\n\r\n" + b"x" * 998 + b"\r\n--b--\r\n")[0] == 250
    assert relay.stop() == 0 and relay.bad_log_lines() == []
