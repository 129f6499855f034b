"""What the relay says to its next hops: TLS by the route's demand, logins, extensions."""

import email
import email.policy

import pytest

import harness
import peer as peers
from harness import wait_until
from peer import Peer

TO = "anna@fast.example"


@pytest.fixture
def relay(directory, world):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    authority = peers.make_authority(directory)
    r = harness.Relay(directory, world, f'tls {{ authorities = "{authority}" }}\n')
    r.start()
    r.allow()
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


@pytest.fixture
def certificate(directory):
    def make(alt="IP:127.0.0.1", signed=True):
        if not (directory / "ca.pem").exists():
            peers.make_authority(directory)
        return peers.make_certificate(directory, "peer", alt, signed)
    return make


@pytest.fixture
def peer():
    made = []

    def make(*args, **kwargs):
        made.append(Peer(*args, **kwargs))
        return made[-1]
    yield make
    for p in made:
        p.close()


def route(relay, to, *options):
    relay.weir("route", "add", "--to", to, "--match", "domain:fast.example", *options)


def last_attempt(relay, event):
    return relay.weir("show", event["id"])["attempts"][-1]


def delivered(relay, p, *options):
    """Sends one letter by a route; the message there, and the attempt here."""
    route(relay, p.at, *options)
    relay.send(TO)
    event = relay.wait_event(TO, "delivered")
    return p.messages[-1], last_attempt(relay, event)


def put_off(relay, p, *options):
    """Sends one letter that may not go; its row, and the attempt."""
    route(relay, p.at, *options)
    relay.send(TO)
    row = relay.wait_state(TO, "deferred")
    assert p.messages == [] and p.said("MAIL") == []
    return row, last_attempt(relay, relay.wait_event(TO, "deferred"))


# --- TLS ---

def test_opportunistic(relay, peer, certificate):
    p = peer(certificate("DNS:somebody.else", signed=False))
    message, attempt = delivered(relay, p)
    assert message["secure"] == "TLSv1.3"
    assert attempt["tls"].startswith("TLSv1.3 TLS_") and attempt["tls"].endswith(" unverified")
    assert [secure for secure, line in p.commands if line.startswith("EHLO")] == [False, True]
    assert p.said("MAIL", encrypted=False) == []


@pytest.mark.parametrize("options", [["--tls", "required"], ["--tls", "implicit"]])
def test_verified(relay, peer, certificate, options):
    p = peer(certificate(), implicit="implicit" in options)
    message, attempt = delivered(relay, p, *options)
    assert message["secure"] == "TLSv1.3" and attempt["tls"].endswith(" verified")
    row, = [r for r in relay.weir("route", "list") if r["to"] == p.at]
    assert row["tls"] == options[1] and row["user"] is None


def test_none(relay, peer, certificate):
    p = peer(certificate())
    message, attempt = delivered(relay, p, "--tls", "none")
    assert not message["secure"] and p.said("STARTTLS") == [] and attempt["tls"] is None


@pytest.mark.parametrize("alt,signed,why", [("IP:127.0.0.2", True, "mismatch"), ("IP:127.0.0.1", False, "self-signed")])
def test_a_certificate_that_will_not_do(relay, peer, certificate, alt, signed, why):
    p = peer(certificate(alt, signed))
    row, attempt = put_off(relay, p, "--tls", "required")
    assert row["class"] == "tls" and attempt["enhanced"] == "4.7.5" and why in attempt["reply"].lower(), attempt
    assert attempt["host"] == "127.0.0.1" and attempt["tls"].endswith(" unverified")


def test_required_and_not_offered(relay, peer):
    row, attempt = put_off(relay, peer(), "--tls", "required")
    assert row["class"] == "tls" and attempt["enhanced"] == "4.7.4" and "does not offer STARTTLS" in attempt["reply"]


@pytest.mark.parametrize("how", [{"broken": True}, {"starttls": b"454 4.7.0 No TLS today\r\n"}])
def test_required_is_never_plain(relay, peer, certificate, how):
    p = peer(certificate(), **how)
    row, attempt = put_off(relay, p, "--tls", "required")
    assert attempt["outcome"] == "deferred" and row["class"] == "tls", attempt
    assert {line.split()[0] for secure, line in p.commands if not secure} <= {"EHLO", "STARTTLS", "QUIT"}


@pytest.mark.parametrize("how,why", [({"broken": True}, "TLS handshake"),
                                     ({"starttls": b"454 4.7.0 No TLS today\r\n"}, "answered with 454")])
def test_fallback(relay, peer, certificate, how, why):
    p = peer(certificate(), **how)
    message, attempt = delivered(relay, p)
    assert not message["secure"] and attempt["tls"].startswith("none: ") and why in attempt["tls"]
    if "broken" in how:  # what does not work is not tried with every message
        relay.send("bob@fast.example")
        relay.wait_event("bob@fast.example", "delivered")
        assert len(p.said("STARTTLS")) == 1


def test_nothing_in_the_clear_counts_behind_starttls(relay, peer, certificate):
    """Somebody in between appends replies to the answer to STARTTLS."""
    p = peer(certificate(), starttls=b"220 2.0.0 Go ahead\r\n250-injected\r\n250 AUTH PLAIN\r\n")
    row, attempt = put_off(relay, p)
    assert "said more than it was asked for" in attempt["reply"]


# --- logins ---

def password(relay, text):
    path = relay.directory / "password"
    path.write_text(text + "\n")
    return ["--user", "weir", "--password-file", path]


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "CRAM-MD5 LOGIN PLAIN"])
def test_login(relay, peer, certificate, mechanisms):
    p = peer(certificate(), users={"weir": "se cret\xe9"}, mechanisms=mechanisms)
    message, attempt = delivered(relay, p, *password(relay, "se cret\xe9"))
    assert message["user"] == "weir" and attempt["tls"].endswith("verified")
    row, = [r for r in relay.weir("route", "list") if r["to"] == p.at]
    assert row["user"] == "weir"
    for verb in (["route", "list"], ["audit"], ["show", row["id"]]):
        result = relay.run(*verb)
        assert "se cret" not in result.stdout + result.stderr
    assert "se cret" not in relay.log.read_text()


def test_a_login_that_is_refused_keeps_the_mail(relay, peer, certificate):
    p = peer(certificate(), users={"weir": "right"})
    row, attempt = put_off(relay, p, *password(relay, "wrong"))
    assert attempt["code"] == 535 and attempt["outcome"] == "deferred"


def test_a_route_for_a_password_in_the_clear_is_refused(relay):
    with pytest.raises(harness.WeirError) as e:
        relay.weir("route", "add", "--to", "smarthost:192.0.2.1:25", "--tls", "none", *password(relay, "x"))
    assert e.value.error["param"] == "tls"


# --- extensions ---

def submit(relay, sender, mail, rcpts, content=b"Subject: x\r\n\r\nbody\r\n"):
    """One letter with parameters; rcpts are pairs of address and parameters."""
    with relay.smtp() as s:
        s.ehlo()
        for extension in ("dsn", "smtputf8"):
            if not s.has_extn(extension):
                pytest.skip(f"the relay does not take {extension} yet")
        assert s.mail(sender, mail)[0] == 250
        for address, options in rcpts:
            code, text = s.rcpt(address, options)
            assert code == 250, text
        assert s.docmd("DATA")[0] == 354
        s.send(content + b".\r\n")
        code, text = s.getreply()
        assert code == 250, text


def test_what_the_sender_asked_for_is_passed_on(relay, peer):
    p = peer()
    route(relay, p.at)
    submit(relay, harness.SENDER, ["RET=HDRS", "ENVID=QQ314159"],
           [(TO, ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;anna+40old.example"])])
    relay.wait_event(TO, "delivered")
    message, = p.messages
    assert " RET=HDRS ENVID=QQ314159" in message["mail"]
    assert message["rcpts"] == [f"RCPT TO:<{TO}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;anna+40old.example"]


def report_of(p):
    """The one report that arrived at a peer, taken apart by the library, and its recipients' fields."""
    wait_until(lambda: p.messages, what="the report")
    report = email.message_from_bytes(p.messages[0]["content"], policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and p.messages[0]["mail"].startswith("MAIL FROM:<>")
    status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    return report, list(status.iter_parts())


def test_relayed_to_a_host_without_reports(relay, peer):
    p = peer(extensions=["PIPELINING"])
    back = peer()
    route(relay, p.at)
    relay.weir("route", "add", "--to", back.at, "--match", "domain:shop.example")
    submit(relay, harness.SENDER, ["ENVID=QQ314159"], [(TO, ["NOTIFY=SUCCESS"]), ("bob@fast.example", ["NOTIFY=NEVER"])])
    report, (message, recipient) = report_of(back)
    assert message["Original-Envelope-Id"] == "QQ314159"
    assert recipient["Action"] == "relayed" and recipient["Status"] == "2.0.0"
    assert recipient["Final-Recipient"] == f"rfc822; {TO}"
    assert "NOTIFY=NEVER" in back.messages[0]["rcpts"][0]


@pytest.mark.parametrize("ret,kind", [("FULL", "message/rfc822"), ("HDRS", "text/rfc822-headers")])
def test_failures_are_told_to_who_wants_them(relay, peer, ret, kind):
    p = peer(refuse={"RCPT": "550 5.1.1 Nobody of that name"})
    back = peer()
    route(relay, p.at)
    relay.weir("route", "add", "--to", back.at, "--match", "domain:shop.example")
    submit(relay, harness.SENDER, [f"RET={ret}"], [("never@fast.example", ["NOTIFY=NEVER"]), (TO, ["NOTIFY=FAILURE"]),
                                                  ("late@fast.example", ["NOTIFY=DELAY"])])
    report, (message, *recipients) = report_of(back)
    assert [r["Final-Recipient"] for r in recipients] == [f"rfc822; {TO}"]
    assert recipients[0]["Action"] == "failed" and recipients[0]["Status"] == "5.1.1"
    assert [part.get_content_type() for part in report.iter_parts()][-1] == kind


def test_a_double_bounce_is_dropped_and_counted(relay, peer):
    p = peer(refuse={"RCPT": "550 5.1.1 Nobody of that name"})
    relay.weir("route", "add", "--to", p.at)
    relay.send(TO)
    wait_until(lambda: relay.weir("status")["double_bounces"] == 1, what="the report's failure")
    wait_until(lambda: relay.queued()["messages"] == 0, what="an empty queue")
    assert len(p.said("RCPT")) == 2


@pytest.mark.parametrize("extensions,outcome", [(["PIPELINING", "8BITMIME", "SMTPUTF8"], "delivered"),
                                                (["PIPELINING", "8BITMIME"], "failed")])
def test_international_addresses(relay, peer, extensions, outcome):
    p = peer(extensions=extensions)
    route(relay, p.at)
    to = "änna@fast.example"
    submit(relay, harness.SENDER, ["SMTPUTF8", "BODY=8BITMIME"], [(to, []), (TO, [])],
           "Subject: x\r\n\r\nGrüße\r\n".encode())
    event = relay.wait_event(to, outcome)
    assert relay.wait_event(TO, "delivered")
    assert (event["enhanced"] == "5.6.7") == (outcome == "failed")
    assert len(p.messages[0]["rcpts"]) == (2 if outcome == "delivered" else 1)
    assert (" SMTPUTF8" in p.messages[0]["mail"]) == (outcome == "delivered")
    assert "Grüße".encode() in p.messages[0]["content"]


def test_a_site_that_says_slow_down(relay, peer):
    """The queue says so, and why; what was not tried is not counted as an attempt."""
    p = peer(refuse={"MAIL": "421 4.7.28 Our system has detected an unusual rate of mail"})
    route(relay, p.at)
    for i in range(8):
        relay.send(f"u{i}@fast.example")

    def row():
        rows = [r for r in relay.weir("queue", "--by", "domain") if r["domain"] == "fast.example" and r["backoff"]]
        return rows and rows[0]
    shown = wait_until(row, what="the back-off to be seen")
    assert "unusual rate" in shown["backoff"] and shown["total"] == 8
    assert [a["backoff"] for a in relay.weir("status")["attention"] if a["domain"] == "fast.example"]
    p.refuse.clear()
    relay.weir("retry", "domain:fast.example", "--reason", "they said sorry", "--yes")
    wait_until(lambda: len(p.messages) == 8, what="all of it to arrive")
