"""Postfix, Exim and OpenSMTPD as next hops and as clients: in the clear, under TLS, with logins; pipelined, in chunks,
with international addresses, with what a sender asked for about reports. What they cannot be made to do is said here."""

import email
import email.policy
import re
import smtplib

import pytest

import harness
import mta
import peer as peers
from harness import SENDER, letter, wait_until
from peer import Peer

LOGIN = ("weir", "se-cret.1")
UTF8_TO = "grüße@peer.example"
ENVELOPE = ["RET=HDRS", "ENVID=QQ+2B314159"]
RECIPIENT = ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;anna+2Bold@peer.example"]
BODIES = {
    "short": b"Hello.\r\n",
    "dots": b".\r\n..\r\n.x\r\n.\r\n",
    "eight": "Grüße\r\n\r\n \t\r\n".encode() + b"\xe4\xf6\xfc\r\n",
    "wide": b"x" * 998 + b"\r\n",
    "large": b"".join(b"line %d of a large letter\r\n.\r\n" % i for i in range(12000)),
}


@pytest.fixture(params=sorted(mta.ALL))
def kind(request):
    mta.ALL[request.param].need()
    return mta.ALL[request.param]


@pytest.fixture
def end():
    """Where everything ends: a server that keeps what it got, word for word."""
    p = Peer()
    yield p
    p.close()


@pytest.fixture
def start(directory):
    running = []

    def make(kind, **settings):
        running.append(kind(directory, **settings))
        return running[-1]
    yield make
    for m in running:
        m.stop()


@pytest.fixture
def certificate(directory):
    """An authority and what it certifies."""
    authority = peers.make_authority(directory)
    return authority, peers.make_certificate(directory, "both", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def relay(directory, certificate, world):
    """A relay with a door of each kind; without a login they take mail only from who is allowed."""
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    authority, (pem, key) = certificate
    ports = {way: harness.free_port() for way in ("starttls", "implicit", "login")}
    text = f'tls {{\n certificate = "{pem}"\n key = "{key}"\n authorities = "{authority}"\n}}\n'
    for way, port in ports.items():
        tls = "starttls" if way == "login" else way
        text += (f'listen {way} {{\n address = "127.0.0.1:{port}"\n tls = "{tls}"\n'
                 f' auth = "{"required" if way == "login" else "none"}"\n}}\n')
    r = harness.Relay(directory, world, text)
    r.ports = {"plain": r.port, **ports}
    r.start()
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def submit(port, kind):
    """The letters, and one that is refused; what was sent, by tag."""
    bodies = dict(BODIES)
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test.example", timeout=30) as s:
        s.ehlo()
        for tag, body in bodies.items():
            options = ["BODY=8BITMIME"] if tag == "eight" else []
            refused = s.sendmail(SENDER, ["anna@peer.example"], letter(SENDER, "anna@peer.example", tag=tag) + body,
                                 options + ENVELOPE, RECIPIENT)
            assert refused == {}
        if "smtputf8" in kind.extensions:
            bodies["utf8"] = b"x\r\n"
            message = letter(SENDER, UTF8_TO, subject="Über", tag="utf8") + bodies["utf8"]
            assert s.sendmail(SENDER, [UTF8_TO], message, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
    return bodies


def arrived(end, bodies):
    """Waits for all of them; each is as it was sent. By tag."""
    wait_until(lambda: len(end.messages) >= len(bodies), 30, f"{len(bodies)} letters; {len(end.messages)} came")
    found = {}
    for m in end.messages:
        head, _, body = m["content"].partition(b"\r\n\r\n")
        tag = re.search(rb"^X-Weir-Test: (\w+)", head, re.M).group(1).decode()
        assert body == b"Hello.\r\n" + bodies[tag], (tag, body[-300:])
        found[tag] = m
    assert len(end.messages) == len(bodies) == len(found)
    return found


def check_envelopes(found):
    """What the sender asked for passed through both."""
    mail, (rcpt,) = found["short"]["mail"], found["short"]["rcpts"]
    assert "ENVID=QQ+2B314159" in mail and "RET=HDRS" in mail, mail
    options = rcpt.upper()
    assert "ORCPT=RFC822;ANNA+2BOLD@PEER.EXAMPLE" in options, rcpt
    assert re.search(r"NOTIFY=(FAILURE,DELAY|DELAY,FAILURE)\b", options), rcpt
    if "utf8" in found:
        assert " SMTPUTF8" in found["utf8"]["mail"] and UTF8_TO in found["utf8"]["rcpts"][0]
        assert "Subject: Über".encode() in found["utf8"]["content"]


@pytest.mark.parametrize("way", ["plain", "starttls", "login"])
def test_next_hop(relay, world, certificate, start, end, kind, way, directory):
    broken = kind is mta.OpenSMTPD and way != "plain"
    if broken and way == "login":
        pytest.skip("OpenSMTPD of Debian 12 offers STARTTLS but no handshake works, and takes logins only behind it")
    there = start(kind, next_port=end.port, certificate=None if way == "plain" else certificate[1],
                  users=dict([LOGIN]) if way == "login" else None)
    options = [] if way == "plain" or broken else ["--tls", "required"]
    if way == "login":
        (directory / "password").write_text(LOGIN[1] + "\n")
        options += ["--user", LOGIN[0], "--password-file", directory / "password"]
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{there.port}", "--match", "domain:peer.example", *options)
    relay.allow()
    found = arrived(end, submit(relay.port, kind))
    check_envelopes(found)
    event = relay.wait_event("anna@peer.example", "delivered")
    attempt = relay.weir("show", event["id"])["attempts"][-1]
    assert attempt["code"] == 250 and attempt["ip"] == "127.0.0.1"
    if way == "plain":
        assert attempt["tls"] is None
    else:  # where their handshake fails, mail goes in the clear where the route does not forbid it
        assert re.match("none: .*TLS handshake" if broken else r"TLSv1\.3 \S+ verified$", attempt["tls"]), attempt
    # one is refused, the other not; the refusal is theirs
    relay.send("nobody@peer.example", "chen@peer.example", tag="half")
    failed = relay.wait_event("nobody@peer.example", "failed")
    assert failed["code"] == 550 and relay.wait_event("chen@peer.example", "delivered")
    wait_until(lambda: world.messages("shop.example"), what="the failure report")
    wait_until(lambda: relay.queued()["recipients"] == 0)
    if kind is mta.Exim:  # it notes who pipelined, with L, and how somebody logged in
        lines = [line for line in there.log().splitlines() if " <= app@shop.example" in line]
        assert lines and all(re.search(r" P=(utf8)?esmtp\w* L", line, re.I) for line in lines), lines
        assert all((f"A=plain:{LOGIN[0]}" in line) == (way == "login") for line in lines)
    if kind is mta.Postfix and way == "login":
        assert f"sasl_username={LOGIN[0]}" in there.log()


@pytest.mark.parametrize("way", ["plain", "starttls", "implicit", "login"])
def test_client(relay, certificate, start, end, kind, way):
    out = {"tls": {"login": "starttls", "plain": None}.get(way, way), "authority": certificate[0]}
    if way == "login":
        out["login"] = ("shop", relay.weir("cred", "add", "shop")["secret"])
    else:
        relay.allow()
    relay.weir("route", "add", "--to", end.at)
    there = start(kind, next_port=relay.ports[way], out=out)
    found = arrived(end, submit(there.port, kind))
    check_envelopes(found)
    for tag, m in found.items():
        received = re.search(rb"^Received:.*\r\n(?:[ \t].*\r\n)*", m["content"], re.M).group(0).decode()
        with_ = {"plain": "", "login": "SA"}.get(way, "S")
        protocol = f"UTF8SMTP{with_}" if tag == "utf8" else f"ESMTP{with_}"
        assert f"with {protocol} id" in received, (tag, received)
        assert ("(TLSv1.3 " in received) == (way != "plain"), received
    if way == "login":
        assert relay.weir("cred", "show", "shop")["uses"] >= 1
    if kind is mta.Exim:  # K: in chunks; L: pipelined
        lines = [line for line in there.log().splitlines() if " => " in line]
        assert len(lines) == len(found) and all(" K " in line and re.search(r" L ", line) for line in lines), lines


def reports(end, n):
    """The n reports that came, as {action: fields of its recipient, and of the message}."""
    wait_until(lambda: sum(m["mail"].startswith("MAIL FROM:<>") for m in end.messages) >= n, 30, f"{n} reports")
    found = {}
    for m in end.messages:
        if m["mail"].startswith("MAIL FROM:<>"):
            report = email.message_from_bytes(m["content"], policy=email.policy.default)
            status, = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"]
            groups = [{name.title(): str(value) for name, value in g.items()} for g in status.iter_parts()]
            found[groups[1]["Action"].split()[0]] = {**groups[0], **groups[1]}
    return found


def test_reports_on_what_they_sent(relay, start, end, kind):
    """They ask us for reports: ours says that it was handed on to a host that has none, theirs what we refused."""
    deaf = Peer(extensions=["PIPELINING", "8BITMIME"])
    relay.allow()
    relay.weir("route", "add", "--to", end.at)
    relay.weir("route", "add", "--to", deaf.at, "--match", "domain:peer.example")
    relay.weir("route", "add", "--to", "reject", "--match", "domain:no.example")
    there = start(kind, next_port=relay.port)
    with smtplib.SMTP("127.0.0.1", there.port, timeout=30) as s:
        options = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;anna+2Bold@peer.example"]
        assert s.sendmail(SENDER, ["anna@peer.example"], letter(SENDER, "x"), ["ENVID=QQ1"], options) == {}
        assert s.sendmail(SENDER, ["bela@no.example"], letter(SENDER, "x"), ["ENVID=QQ2"]) == {}
    found = reports(end, 2)
    deaf.close()
    ours, theirs = found["relayed"], found["failed"]
    assert ours["Reporting-Mta"] == "dns; relay.test.example" and ours["Original-Envelope-Id"] == "QQ1"
    assert ours["Original-Recipient"] == "rfc822; anna+old@peer.example" and ours["Status"] == "2.0.0"
    assert "relay.test.example" not in theirs["Reporting-Mta"]
    assert theirs["Final-Recipient"].split(";")[1].strip() == "bela@no.example"
    if kind is not mta.OpenSMTPD:  # which says no more than that it failed
        assert "5.7.1" in theirs["Diagnostic-Code"] and theirs["Diagnostic-Code"].startswith("smtp; 550"), theirs


def test_reports_on_what_we_sent(relay, start, end):
    """The last host is Exim, which reports the delivery that we only passed the wish for."""
    mta.Exim.need()
    there = start(mta.Exim, next_port=relay.port)
    relay.allow()
    relay.weir("route", "add", "--to", end.at)
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{there.port}", "--match", "domain:here.example")
    with relay.smtp() as s:
        s.ehlo()
        options = ["NOTIFY=SUCCESS", "ORCPT=rfc822;anna+2Bold@here.example"]
        assert s.sendmail(SENDER, ["anna@here.example"], letter(SENDER, "x"), ["ENVID=QQ+2B3", "RET=HDRS"], options) == {}
    fields = reports(end, 1)["delivered"]
    assert fields["Reporting-Mta"] == "dns; exim.test.example"
    assert fields["Original-Envelope-Id"] == "QQ+2B3", "which Exim does not decode"
    assert fields["Original-Recipient"] == "rfc822;anna+2Bold@here.example"
    assert "anna@here.example" in fields["Final-Recipient"] and fields["Status"].startswith("2.")
    assert b"\r\nTo: <x>" in there.kept().replace(b"\n", b"\r\n")
