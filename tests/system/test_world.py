"""The demo world itself: DNS answers, what each kind of receiver does, records, strictness."""

import hashlib
import signal
import smtplib
import socket
import struct
import subprocess

import pytest

import harness
from harness import Raw, wait_until

A, CNAME, MX, AAAA = 1, 5, 15, 28


def name_bytes(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def read_name(data, at):
    labels, end = [], None
    while data[at] != 0:
        if data[at] >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
            continue
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), end or at + 1


def parse_answer(data):
    _, flags, _, count, _, _ = struct.unpack_from(">6H", data)
    _, at = read_name(data, 12)
    at += 4
    records = []
    for _ in range(count):
        _, at = read_name(data, at)
        kind, _, _, size = struct.unpack_from(">HHIH", data, at)
        at += 10
        if kind == MX:
            value = (struct.unpack_from(">H", data, at)[0], read_name(data, at + 2)[0])
        elif kind == CNAME:
            value = read_name(data, at)[0]
        elif kind == A:
            value = socket.inet_ntop(socket.AF_INET, data[at:at + size])
        else:
            value = socket.inet_ntop(socket.AF_INET6, data[at:at + size])
        records.append((kind, value))
        at += size
    return flags & 15, bool(flags & 0x200), records


def resolve(world, name, kind, tcp=False, timeout=3):
    """rcode, truncated, [(type, value)]."""
    host, port = world.dns.split(":")
    query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name_bytes(name) + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((host, int(port)))
        if not tcp:
            s.send(query)
            return parse_answer(s.recv(4096))
        s.sendall(struct.pack(">H", len(query)) + query)
        f = s.makefile("rb")
        return parse_answer(f.read(struct.unpack(">H", f.read(2))[0]))


def client(world, domain, mx=0):
    return smtplib.SMTP(world.addresses[domain][mx], world.smtp_port, timeout=10)


def deliver(world, to, sender="a@shop.example", tag=None, mx=0):
    """The codes of MAIL, RCPT and the end of DATA, as far as it comes."""
    codes = []
    with client(world, to.split("@")[1], mx) as s:
        s.ehlo()
        for step in (lambda: s.mail(sender), lambda: s.rcpt(to),
                     lambda: s.data(harness.letter(sender, to, tag=tag))):
            try:
                codes.append(step()[0])
            except smtplib.SMTPDataError as e:
                codes.append(e.smtp_code)
            if codes[-1] >= 400:
                break
    return codes


@pytest.mark.parametrize("name,kind,expected", [
    ("gmail.com", MX, [(MX, (5, "gmail-smtp-in.l.google.com")), (MX, (10, "alt1.gmail-smtp-in.l.google.com"))]),
    ("GMAIL.com", MX, [(MX, (5, "gmail-smtp-in.l.google.com")), (MX, (10, "alt1.gmail-smtp-in.l.google.com"))]),
    ("gmail-smtp-in.l.google.com", A, [(A, "127.0.10.1")]),
    ("gmail-smtp-in.l.google.com", AAAA, []),
    ("mx.six.example", AAAA, [(AAAA, "::1")]),
    ("nomail.example", MX, [(MX, (0, ""))]),
    ("implicit.example", MX, []),
    ("implicit.example", A, [(A, "127.0.10.17")]),
    ("alias.example", MX, [(CNAME, "real.alias.example"), (MX, (10, "mx.shapes.example"))]),
    ("d17.bulk.example", MX, [(MX, (10, "mx.bulk.example"))]),
    ("mx.bulk.example", A, [(A, "127.0.10.19")]),
])
def test_dns_records(world, name, kind, expected):
    assert resolve(world, name, kind) == (0, False, expected)


@pytest.mark.parametrize("name,rcode", [("gmial.example", 3), ("no.such.example", 3), ("broken-dns.example", 2)])
def test_dns_failures(world, name, rcode):
    assert resolve(world, name, MX) == (rcode, False, [])


def test_dns_timeout_is_silence(world):
    with pytest.raises(socket.timeout):
        resolve(world, "silent-dns.example", MX, timeout=0.3)


def test_dns_truncates_and_answers_whole_over_tcp(world):
    rcode, truncated, records = resolve(world, "many-mx.example", MX)
    assert rcode == 0 and truncated and len(records) < 41
    rcode, truncated, records = resolve(world, "many-mx.example", MX, tcp=True)
    assert rcode == 0 and not truncated and len(records) == 41


def test_dns_follows_the_behaviour(world):
    world.set("fast.example", "servfail")
    assert resolve(world, "fast.example", MX)[0] == 2
    world.set("fast.example", "accept")
    assert resolve(world, "fast.example", MX)[0] == 0


def test_dns_survives_garbage(world):
    host, port = world.dns.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for junk in (b"", b"\0", b"\xff" * 12, b"\0" * 4 + b"\0\1" + b"\0" * 6 + b"\x3fab", b"\0" * 1400):
            s.sendto(junk, (host, int(port)))
    assert resolve(world, "gmail.com", MX)[0] == 0


def test_accept_is_recorded(world):
    with client(world, "gmail.com") as s:
        s.ehlo()
        assert s.has_extn("pipelining") and s.has_extn("size") and s.has_extn("8bitmime")
        text = harness.letter("a@shop.example", "b@gmail.com", tag="t1", body=".dot\r\n..two\r\nend\r\n")
        received = b"Received: from here\r\n\tby there; now\r\n"
        s.sendmail("a@shop.example", ["b@gmail.com", "c@gmail.com", "d@startup.example"], received + text)
        s.sendmail("a@shop.example", ["b@gmail.com"], text)
    first, second = world.messages("gmail.com")
    assert first["from"] == "a@shop.example" and first["to"] == ["b@gmail.com", "c@gmail.com"]
    assert first["tag"] == "t1" and first["msgid"].startswith("<t1.") and first["size"] == len(received + text)
    assert first["sha256"] == hashlib.sha256(received + text).hexdigest()
    assert first["body_sha256"] == second["body_sha256"] == hashlib.sha256(text).hexdigest()
    assert [m["to"] for m in world.messages("startup.example")] == [["d@startup.example"]]
    counts = world.do("count-by-header")
    assert counts["counts"] == {"t1": 4} and counts["duplicates"] == 1
    assert counts["repeated"] == [{"tag": "t1", "to": "b@gmail.com", "count": 2}]
    stats = world.stats("gmail.com")
    assert (stats["messages"], stats["recipients"], stats["connections"]) == (2, 3, 1)
    assert world.protocol_errors() == {}


@pytest.mark.parametrize("to,codes", [
    ("nobody.1@corp.example", [250, 550]),
    ("anna@corp.example", [250, 250, 250]),
    ("nobody@outlook.com", [250, 550]),
    ("full@isp.example", [250, 452]),
    ("anna@university.example", [250, 450]),
    ("anna@yahoo.com", [421]),
    ("anna@aol.com", [421]),  # the provider of yahoo.com
])
def test_refusals(world, to, codes):
    assert deliver(world, to) == codes


def test_replies_look_real(world):
    with client(world, "yahoo.com") as s:
        s.ehlo()
        code, text = s.mail("a@shop.example")
        assert code == 421 and b"[TSS04] Messages from 127.0.0.1 temporarily deferred" in text
    world.set("gmail.com", "ratelimit", rate=1)
    with client(world, "gmail.com") as s:
        s.ehlo()
        assert s.mail("a@shop.example")[0] == 250
        s.rset()
        code, text = s.mail("a@shop.example")
        assert code == 421 and text.count(b"4.7.28") == 4
        with pytest.raises(smtplib.SMTPServerDisconnected):
            s.noop()


def test_greylisting_ends(world):
    world.set("university.example", "greylist", seconds=1)
    assert deliver(world, "anna@university.example") == [250, 450]
    wait_until(lambda: deliver(world, "anna@university.example") == [250, 250, 250], 5)
    assert deliver(world, "bela@university.example") == [250, 450]


def test_defer_ends(world):
    world.set("yahoo.com", "defer", seconds=1)
    assert deliver(world, "anna@yahoo.com") == [421]
    wait_until(lambda: deliver(world, "anna@yahoo.com") == [250, 250, 250], 5)


def test_spam(world):
    world.set("filter.example", "spam")
    assert deliver(world, "anna@filter.example") == [250, 250, 550]
    assert world.messages("filter.example") == []
    assert world.stats("filter.example")["rejected"] == 1


def test_any_reply_at_any_stage(world):
    for stage, codes in [("mail", [452]), ("rcpt", [250, 452]), ("eod", [250, 250, 452])]:
        world.set("fast.example", "reply", at=stage, text="452 4.3.1 No room for %f")
        assert deliver(world, "anna@fast.example") == codes
    world.set("fast.example", "reply", at="banner", text="554 5.7.1 No SMTP service here")
    s = Raw(world.addresses["fast.example"][0], world.smtp_port)
    assert s.reply()[0] == 554


def test_hang_and_drop(world):
    s = Raw(world.addresses["tarpit.example"][0], world.smtp_port, timeout=0.5)
    with pytest.raises(socket.timeout):
        s.reply()
    world.set("stall.example", "hang", at="rcpt")
    s = Raw(world.addresses["stall.example"][0], world.smtp_port, timeout=0.5)
    assert [s.reply()[0], s.say("EHLO me")[0], s.say("MAIL FROM:<a@b.example>")[0]] == [220, 250, 250]
    with pytest.raises(socket.timeout):
        s.say("RCPT TO:<a@stall.example>")
    world.set("flaky.example", "drop", at="body")
    s = Raw(world.addresses["flaky.example"][0], world.smtp_port)
    s.reply()
    for line in ("EHLO me", "MAIL FROM:<a@b.example>", "RCPT TO:<a@flaky.example>", "DATA"):
        assert s.say(line)[0] in (250, 354)
    assert s.say("Subject: x")[0] == 0
    assert world.stats("flaky.example")["broken"] == 1


def test_down_and_up(world):
    with pytest.raises(ConnectionRefusedError):
        client(world, "down.example")
    world.set("down.example", "accept")
    s = Raw(world.addresses["down.example"][0], world.smtp_port)
    assert s.reply()[0] == 220
    world.set("down.example", "down")
    assert s.reply()[0] == 0, "a site that goes down loses its sessions"
    with pytest.raises(ConnectionRefusedError):
        client(world, "backup.example", mx=0)
    assert deliver(world, "anna@backup.example", mx=1) == [250, 250, 250]


def test_slow(world):
    world.set("slow.example", "slow", delay=300)
    assert deliver(world, "anna@slow.example") == [250, 250, 250]
    s = Raw(world.addresses["slow.example"][0], world.smtp_port)
    s.send("EHLO early\r\n")
    s.reply()
    wait_until(lambda: world.protocol_errors(), 5, "an early talker to be noticed")


def test_other_domains_are_not_relayed(world):
    with client(world, "fast.example") as s:
        s.ehlo()
        s.mail("a@b.example")
        assert s.rcpt("a@gmail.com")[0] == 550


@pytest.mark.parametrize("data,what", [
    ("MAIL FROM:<a@b.example>\r\n", "MAIL or RCPT before EHLO"),
    ("EHLO me\r\nMAIL FROM:<a@b.example>\r\n", "input behind a command that ends a group"),
    ("EHLO me\n", "bare LF in a command"),
    ("FOO\r\n", "unknown command"),
    ("HELO me\r\n" + "X" * 70000, "endless line"),
])
def test_bad_clients_are_noticed(world, data, what):
    s = Raw(world.addresses["fast.example"][0], world.smtp_port)
    s.send(data)
    wait_until(lambda: what in [text for _, text in world.protocol_errors().values()], 5, what)


@pytest.mark.parametrize("content,code,what", [
    (b"a\nb\r\n", 550, "bare LF in the message"),
    (b"a\rb\r\n", 250, "bare CR in the message"),
    (b"x" * 999 + b"\r\n", 250, "line longer than 998 bytes"),
    (b"x" * 998 + b"\r\n", 250, None),
])
def test_bad_content_is_noticed(world, content, code, what):
    s = Raw(world.addresses["fast.example"][0], world.smtp_port)
    s.reply()
    s.say("EHLO me")
    s.send("MAIL FROM:<>\r\nRCPT TO:<a@fast.example>\r\nDATA\r\n")
    assert [s.reply()[0] for _ in range(3)] == [250, 250, 354]
    s.send(b"Subject: x\r\n\r\n" + content + b".\r\n")
    assert s.reply()[0] == code
    assert [text for _, text in world.protocol_errors().values()] == ([what] if what else [])


@pytest.mark.parametrize("command,word", [
    ("set nowhere.example accept", "nowhere.example"),
    ("set gmail.com wild", "wild"),
    ("set gmail.com accept colour=red", "colour"),
    ("set gmail.com reply at=lunch", "banner helo mail"),
    ("set gmail.com reply text=hello", "text"),
    ("set gmail.com slow delay=-1", "delay"),
    ("list", "domain"),
    ("submit 1 gmail.com", "--relay"),
    ("frobnicate", "frobnicate"),
])
def test_wrong_commands_say_what_is_wrong(world, command, word):
    assert word in world.ask(command)["error"]


def test_ends_on_signals_and_by_itself(directory):
    for end in (signal.SIGTERM, signal.SIGINT):
        w = harness.World(directory)
        w.process.send_signal(end)
        assert w.process.wait(5) == 0
    w = harness.World(directory)
    w.do("quit")
    assert w.process.wait(5) == 0
    assert subprocess.run([harness.WORLD, "--seconds", "1", "--control", directory / "c"],
                          stdout=subprocess.DEVNULL, timeout=10).returncode == 0
    assert subprocess.run([harness.WORLD, "--rate", "x"], capture_output=True).returncode == 2


def test_source_sends_plausible_mail(directory, world):
    """The source writes to the world's own receiver, which would notice bad SMTP."""
    target = f"{world.addresses['fast.example'][0]}:{world.smtp_port}"
    (directory / "source").mkdir()
    source = harness.World(directory / "source", "--relay", target, "--rate", "0")
    source.do("submit 60 fast.example")
    wait_until(lambda: world.stats("fast.example")["messages"] == 60, 15)
    source.do("rate 40")
    wait_until(lambda: source.stats()["source"]["refused"] > 0, 15, "mail to other domains")
    assert source.stop() == 0
    assert world.protocol_errors() == {}
    sizes = [m["size"] for m in world.messages("fast.example")]
    assert min(sizes) >= 1024 and max(sizes) <= 64 * 1024
    assert world.stats("fast.example")["connections"] <= 8, "connections are reused"
