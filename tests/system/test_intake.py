"""Who may relay, strict SMTP, limits, garbage on both sockets."""

import json
import os
import random
import smtplib
import socket
import subprocess

import pytest

import harness
from harness import SENDER, Raw, wait_until

GARBAGE_MEMORY_KIB = 48 * 1024  # what garbage may cost a relay for a while


def test_extensions(relay):
    with relay.smtp() as s:
        s.ehlo()
        for name in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "smtputf8", "dsn", "chunking"):
            assert s.has_extn(name), name


def test_a_new_relay_relays_for_nobody(bare_relay, world):
    with bare_relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        code, text = s.rcpt("anna@fast.example")
        assert code in (550, 554) and b"5.7." in text
    bare_relay.weir("allow", "add", "10.0.0.0/8", "--note", "elsewhere")
    assert bare_relay.weir("allow", "test", "127.0.0.1")["may_relay"] is False
    with bare_relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        assert s.rcpt("anna@fast.example")[0] in (550, 554)


def test_allow_add_and_remove(bare_relay, world):
    bare_relay.allow()
    answer = bare_relay.weir("allow", "test", "127.0.0.1")
    assert answer["may_relay"] is True and answer["network"] == "127.0.0.0/8"
    bare_relay.send("anna@fast.example")
    wait_until(lambda: world.messages("fast.example"))
    entry, = bare_relay.weir("allow", "list")
    assert entry["note"] == "system test" and entry["hits"] >= 1
    bare_relay.weir("allow", "remove", "127.0.0.0/8")
    assert bare_relay.weir("allow", "list") == []
    with bare_relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        assert s.rcpt("anna@fast.example")[0] in (550, 554)


def test_allowlist_survives_restart(relay):
    relay.restart()
    assert relay.weir("allow", "test", "127.9.9.9")["may_relay"] is True


def test_pipelined_transactions(relay, world):
    s = relay.raw()
    assert s.reply()[0] == 220
    assert s.say("EHLO me")[0] == 250
    for i in range(3):
        s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<u{i}@fast.example>\r\nDATA\r\n")
        assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
        s.send(f"Subject: {i}\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
    s.send("RSET\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n")
    assert [s.reply()[0] for _ in range(4)] == [250, 250, 250, 221]
    wait_until(lambda: len(world.messages("fast.example")) == 3)


def test_chunks(relay, world):
    """BDAT in pieces that cut lines and dots anywhere arrives as the same message."""
    text = harness.letter(SENDER, "anna@fast.example", body="one\r\n.\r\n..two\r\n.")  # no line end at its end
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\n")
    assert [s.reply()[0] for _ in range(2)] == [250, 250]
    for at in range(0, len(text), 7):
        piece = text[at:at + 7]
        s.send(f"BDAT {len(piece)}\r\n".encode() + piece)
        assert s.reply()[0] == 250
    s.send("BDAT 0 LAST\r\nNOOP\r\n")
    assert s.reply()[0] == 250 and s.reply()[0] == 250
    wait_until(lambda: world.messages("fast.example"))
    assert world.last("fast.example").replace("\r\n", "\n").endswith("\n\none\n.\n..two\n.\n")


def test_no_smuggling_by_chunks(relay, world):
    """What a refused chunk brings is never run, whatever the reason; nor what follows one without a size."""
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    evil = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<evil@fast.example>\r\nDATA\r\nx\r\n.\r\n"
    s.send(f"BDAT {len(evil)}\r\n{evil}NOOP\r\n")
    assert [s.reply()[0] for _ in range(2)] == [503, 250]
    s.send(f"BDAT {len(evil)}x\r\n{evil}")
    assert [s.reply()[0] for _ in range(3)] == [501, 421, 0]
    relay.send("anna@fast.example")
    assert len(wait_until(lambda: world.messages("fast.example"))) == 1


def test_internationalised_addresses(relay, world):
    relay.weir("hold", "domain:xn--mller-kva.example", "--reason", "look")
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    assert s.say("MAIL FROM:<app@müller.example>")[0] == 553, "it was not asked for"
    for line in ["MAIL FROM:<jörg@shop.example> SMTPUTF8 RET=HDRS ENVID=q1",
                 "RCPT TO:<anna@MÜLLER.example> NOTIFY=SUCCESS ORCPT=rfc822;anna@x"]:
        assert s.say(line)[0] == 250
    assert s.say("DATA")[0] == 354
    assert s.say("Subject: Grüße\r\n\r\nx\r\n.")[0] == 250
    row, = relay.weir("messages", "--where", "domain:müller.example")
    assert row["to"] == "anna@xn--mller-kva.example" and row["from"] == "jörg@shop.example"
    assert row["state"] == "held" and row["subject"] == "Grüße"


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r"])
def test_no_smuggling(relay, world, end):
    """A wrong line end never ends DATA, so that a second message cannot be hidden behind it."""
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    s.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\nDATA\r\n")
    assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
    s.send(b"Subject: x\r\n\r\nfirst" + end +
           b"MAIL FROM:<evil@fast.example>\r\nRCPT TO:<victim@fast.example>\r\nDATA\r\nSubject: y\r\n\r\n"
           b"second\r\n.\r\n")
    code = s.reply()[0]
    s.socket.settimeout(0.3)
    with pytest.raises((socket.timeout, AssertionError)):
        assert s.reply()[0] != 0, "the connection was closed, which is all right too"
    if code == 250:
        wait_until(lambda: relay.queued()["recipients"] == 0)
    assert all(m["to"] == ["anna@fast.example"] for m in world.messages("fast.example"))


@pytest.mark.parametrize("lines,codes", [
    (["RCPT TO:<a@b.example>"], [503]),
    (["DATA"], [503]),
    (["MAIL FROM:<a@b.example>", "MAIL FROM:<c@d.example>"], [250, 503]),
    (["MAIL FROM:<a@b.example> SIZE=99999999999"], [552]),
    (["MAIL FROM:<a@b.example> COLOUR=red"], [555]),
    (["MAIL FROM:a@b.example@c"], [501]),
    (["MAIL FROM:<a@b.example>", "RCPT TO:<>"], [250, 501]),
    (["MAIL FROM:<a@b.example>", "RCPT TO:<x y@fast.example>"], [250, 501]),
    (["FROB"], [500]),
    (["VRFY anna"], [252]),
    (["NOOP", "RSET", "HELP"], [250, 250, 214]),
])
def test_commands_out_of_order_or_wrong(relay, lines, codes):
    s = relay.raw()
    s.reply()
    s.say("EHLO me")
    got = [s.say(line)[0] for line in lines]
    assert got[:-1] == codes[:-1] and (got[-1] == codes[-1] or (codes[-1] >= 500 and got[-1] in
           (500, 501, 502, 503, 504, 550, 553, 554, 555))), got


def test_too_many_recipients_are_put_off(relay):
    with relay.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        codes = [s.rcpt(f"u{i}@fast.example")[0] for i in range(5000)]
        assert codes[99] == 250, "a hundred have to be taken (RFC 5321, 4.5.3.1.8)"
        assert set(codes) <= {250, 452}


def test_message_above_the_size_limit_is_refused(relay):
    with relay.smtp() as s:
        s.ehlo()
        limit = int(s.esmtp_features["size"])
        assert limit >= 1 << 20
        assert s.mail(SENDER, [f"SIZE={limit + 1}"])[0] == 552


def still_works(relay, world, rss_before):
    relay.send("anna@fast.example")
    wait_until(lambda: world.messages("fast.example"))
    assert relay.rss_kib() - rss_before < GARBAGE_MEMORY_KIB


def test_endless_line_on_smtp(relay, world):
    before = relay.rss_kib()
    for _ in range(10):
        s = relay.raw()
        s.reply()
        try:
            for _ in range(200):
                s.send(b"x" * 65536)
        except OSError:
            pass
        s.close()
    still_works(relay, world, before)


def test_garbage_on_smtp(relay, world):
    before = relay.rss_kib()
    rng = random.Random(1)
    for _ in range(30):
        s = relay.raw()
        s.reply()
        try:
            for _ in range(20):
                s.send(rng.randbytes(rng.randrange(1, 3000)) + rng.choice([b"", b"\r\n", b"\n"]))
        except OSError:
            pass
        s.close()
    still_works(relay, world, before)


def test_silent_clients_do_not_block_others(relay, world):
    before = relay.rss_kib()
    silent = [relay.raw() for _ in range(150)]
    still_works(relay, world, before)
    for s in silent:
        s.close()


class Control:
    """A bare connection to the control socket."""

    def __init__(self, relay):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(relay.socket))
        self.file = self.socket.makefile("rb")

    def read(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")
        return self.read()


@pytest.mark.parametrize("data,code", [
    (b"hello\n", -32700),
    (b"[]\n", -32600),
    (b"{}\n", -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n', -32601),
    (b'{"jsonrpc":"2.0","id":1,"method":"message.get","params":{"id":5}}\n', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"queue.hold","params":{"target":"all"}}\n', -32007),
    (b'{"jsonrpc":"2.0","id":1,"method":"queue.list","params":{"limit":-1}}\n', -32602),
    (b'{"jsonrpc":"2.0","id":1,"method":"status.get","params":{"x":1}}\n', -32602),
    (b"[" * 100000 + b"\n", -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"status.get","params":"\xff\xfe"}\n', -32700),
])
def test_wrong_requests_get_an_error(relay, data, code):
    c = Control(relay)
    hello = c.read()
    assert hello["method"] == "hello" and hello["params"]["role"] == "admin"
    answer = c.ask(data)
    assert answer["error"]["code"] == code and answer["error"]["message"]
    relay.weir("status")


def test_endless_line_on_the_control_socket(relay, world):
    before = relay.rss_kib()
    for _ in range(5):
        c = Control(relay)
        c.read()
        try:
            for _ in range(300):
                c.socket.sendall(b"x" * 65536)
        except OSError:
            pass
        try:
            answer = c.read()  # an answer, if it got through before the end
            assert answer is None or "error" in answer
        except OSError:
            pass
        c.socket.close()
    still_works(relay, world, before)


def test_a_reader_that_does_not_read_costs_bounded_memory(relay, world):
    relay.weir("hold", "domain:isp.example", "--reason", "r")
    for i in range(50):
        relay.send(*[f"u{i}.{k}@isp.example" for k in range(20)])
    before = relay.rss_kib()
    c = Control(relay)
    c.read()
    request = b'{"jsonrpc":"2.0","id":1,"method":"message.list","params":{"limit":1000}}\n'
    c.socket.settimeout(2)
    try:
        for _ in range(500):
            c.socket.sendall(request)
    except OSError:
        pass
    still_works(relay, world, before)
    c.socket.close()


def test_garbage_on_the_control_socket(relay, world):
    relay.expected.append("connections already")  # they close faster than it can see
    before = relay.rss_kib()
    for _ in range(50):
        c = Control(relay)
        try:
            c.socket.sendall(os.urandom(5000) + b"\n" + os.urandom(100))
        except OSError:
            pass
        c.socket.close()
    still_works(relay, world, before)


def test_configuration_mistakes_are_pointed_out(directory, world):
    import subprocess
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    good = harness.Relay(directory, world).config.read_text()
    for bad, words in [(good + "colour = \"red\"\n", ["colour", "line"]),
                       (good.replace("hostname", "# hostname"), ["hostname"]),
                       (good.replace(f"port = {world.smtp_port}", "port = \"x\""), ["port"]),
                       (good + "listen x { address = \"nonsense\" }\n", ["address"])]:
        path = directory / "bad.conf"
        path.write_text(bad)
        result = subprocess.run([harness.RELAYD, "-t", "-c", path], capture_output=True, text=True, timeout=20)
        assert result.returncode == 2, (bad, result)
        assert any(w in result.stderr for w in words) and "bad.conf" in result.stderr
    path.write_text(good)
    assert subprocess.run([harness.RELAYD, "-t", "-c", path], timeout=20).returncode == 0


def test_plain_mail_clients(relay, world):
    with relay.smtp() as s:
        refused = s.sendmail(SENDER, ["anna@fast.example", "bela@gmail.com"],
                             "Subject: from smtplib\r\n\r\n.\r\nhello\r\n")
        assert refused == {}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            s.sendmail(SENDER, ["not an address"], "Subject: x\r\n\r\n")
    wait_until(lambda: world.messages("fast.example") and world.messages("gmail.com"))


def test_postmaster(directory, world):
    """From anybody, in any case, without a domain or at our name; to where the configuration says."""
    r = harness.Relay(directory, world, "")
    r.config.write_text('postmaster = "ops@fast.example"\n' + r.config.read_text())
    r.start()
    s = r.raw()
    s.reply()
    s.say("EHLO me")
    assert s.say("MAIL FROM:<someone@elsewhere.example>")[0] == 250
    for to, code in [("<PostMaster>", 250), ("<postmaster@RELAY.test.example>", 250), ("<postmaster@fast.example>", 550),
                     ("<webmaster@relay.test.example>", 550), ("<webmaster>", 501)]:
        assert s.say(f"RCPT TO:{to}")[0] == code, to
    assert s.say("DATA")[0] == 354
    assert s.say("Subject: x\r\n\r\nx\r\n.")[0] == 250
    wait_until(lambda: world.messages("fast.example"))
    assert {to for m in world.messages("fast.example") for to in m["to"]} == {"ops@fast.example"}
    assert r.stop() == 0 and r.bad_log_lines() == []
    r.config.write_text(r.config.read_text().replace("ops@fast.example", "nobody"))
    result = subprocess.run([harness.RELAYD, "-t", "-c", r.config], capture_output=True, text=True)
    assert result.returncode == 2 and "postmaster: an address is expected" in result.stderr
