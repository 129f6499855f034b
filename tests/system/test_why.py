"""The one thing that binds, of each kind; and of two at once the right one."""

import re
import sqlite3

import pytest

import harness
import peer as peers
from harness import wait_until
from peer import Peer
from script import Script


@pytest.fixture
def receiver():
    made = []

    def make(*args, kind=Script, **kwargs):
        made.append(kind(*args, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def smart(relay, receiver):
    """A next hop of its own for each domain: where("a.example", replies) routes it to a script."""
    def where(domain, replies=None, *options, at=None, **kwargs):
        r = None if at else receiver(replies, **kwargs)
        relay.weir("route", "add", "--to", at or r.at, "--match", f"domain:{domain}", *options)
        return r
    return where


def why(relay, target, binding, *words):
    """Waits, because what binds may be on its way."""
    def fits():
        got = relay.weir("why", target)
        return got if got["binding"] == binding and all(w in got["text"] for w in words) else None
    try:
        return wait_until(fits, 10, f"{target} to be bound by {binding}")
    except AssertionError:
        raise AssertionError(f"{target}: {binding} {words} expected: {relay.weir('why', target)}") from None


def configured(directory, world, old, new):
    """A relay with something else in its file."""
    relay = harness.Relay(directory, world)
    text = relay.config.read_text()
    assert old in text
    relay.config.write_text(text.replace(old, new))
    return relay.start().allow()


def hold(relay, target):
    relay.weir("hold", target, "--reason", "an incident", "--yes")


def test_held(relay, smart):
    smart("a.example", {"RCPT": b"451 4.7.1 later\r\n"})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    message = relay.row("x@a.example")["id"]
    why(relay, message, "remote", "451 4.7.1 later")
    hold(relay, "domain:a.example")  # and deferred: the hold binds
    got = why(relay, message, "held", "an incident")
    assert got["rule"].startswith("h") and got["since_at"]
    why(relay, "domain:a.example", "held", "an incident")
    why(relay, "stream:default", "held", "an incident")


def test_credential_that_expired(relay):
    relay.weir("cred", "add", "shop", "--for", "1s")
    got = why(relay, "credential:shop", "credential", "expired")
    assert got["rule"] == "shop" and got["since_at"]


def login(relay, name, secret):
    s = relay.smtp()
    s.login(name, secret)
    return s


def test_credential_s_limits(directory, world):
    """Of a minute and of a day: which, current against limit; and one that is revoked is that in the first place."""
    relay = configured(directory, world, 'auth    = "none"', 'auth = "optional"\n loopback-auth = "yes"')
    for name, option, words in (("minute", "--per-minute", "in a minute"), ("day", "--per-day", "in a day")):
        secret = relay.weir("cred", "add", name, option, "2")["secret"]
        with login(relay, name, secret) as s:
            for n in range(2):
                s.sendmail("app@shop.example", [f"x{n}@fast.example"], harness.letter("app@shop.example", "x@fast.example"))
        got = why(relay, f"credential:{name}", "rate", words)
        assert (got["current"], got["limit"], got["rule"]) == (2, 2, name)
        relay.weir("cred", "revoke", name, "--reason", "leaked")
        why(relay, f"credential:{name}", "credential", "revoked")
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_credential_revoked_and_its_mail_held(directory, world, receiver):
    """An incident: what was sent with it is held, and that binds; when it is released the revocation does."""
    relay = configured(directory, world, 'auth    = "none"', 'auth = "optional"\n loopback-auth = "yes"')
    r = receiver({"RCPT": b"451 4.7.1 later\r\n"})
    relay.weir("route", "add", "--to", r.at, "--match", "domain:a.example")
    secret = relay.weir("cred", "add", "shop")["secret"]
    with login(relay, "shop", secret) as s:
        s.sendmail("app@shop.example", ["x@a.example"], harness.letter("app@shop.example", "x@a.example"))
    message = relay.wait_state("x@a.example", "deferred")["id"]
    why(relay, "credential:shop", "remote", "451 4.7.1 later")
    relay.weir("cred", "incident", "shop", "--reason", "leaked", "--yes")
    got = why(relay, "credential:shop", "held", "leaked")
    why(relay, message, "held", "leaked")
    relay.weir("release", "--hold", got["rule"], "--yes")
    why(relay, "credential:shop", "credential", "revoked", "1 recipient is still queued")
    assert relay.stop() == 0 and relay.bad_log_lines() == []


@pytest.mark.parametrize("what,word", [("revoke", "revoked"), ("disable", "disabled")])
def test_credential(relay, what, word):
    relay.weir("cred", "add", "shop")
    why(relay, "credential:shop", "done", "nothing is queued")
    relay.weir("cred", what, "shop", "--reason", "leaked")
    got = why(relay, "credential:shop", "credential", word)
    assert got["rule"] == "shop" and got["since_at"]


def test_a_stream_s_rate_and_a_hold(relay, smart):
    smart("a.example")
    relay.weir("stream", "set", "default", "--rate", "2", "--reason", "slowly")
    for n in range(5):
        relay.send(f"x{n}@a.example")
    got = why(relay, "domain:a.example", "rate", "at most 2 messages a minute")
    assert got["limit"] == 2 and got["rule"] == "default"
    hold(relay, "domain:a.example")
    why(relay, "domain:a.example", "held", "an incident")


def test_a_stream_s_concurrency(relay, smart):
    smart("a.example", pause=0.4)
    relay.weir("stream", "set", "default", "--concurrency", "1", "--reason", "one by one")
    for n in range(4):
        relay.send(f"x{n}@a.example")
    got = why(relay, "domain:a.example", "concurrency", "and has 1")
    assert (got["current"], got["limit"]) == (1, 1)


def test_dns(relay):
    """The zone does not answer as it should; and then a hold as well."""
    relay.send("x@broken-dns.example")
    relay.wait_state("x@broken-dns.example", "deferred")
    got = why(relay, relay.row("x@broken-dns.example")["id"], "dns")
    assert got["until_at"]
    why(relay, "domain:broken-dns.example", "dns")
    hold(relay, "domain:broken-dns.example")
    why(relay, "domain:broken-dns.example", "held")


def test_connection(relay, smart):
    port = harness.free_port()
    smart("a.example", at=f"smarthost:127.0.0.1:{port}")
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    why(relay, relay.row("x@a.example")["id"], "connect", "refused")
    why(relay, "domain:a.example", "connect", "refused")


def test_tls(directory, world, receiver):
    """A certificate that will not do, on the one hand; that and a hold on the other."""
    peers.make_authority(directory)
    relay = harness.Relay(directory, world, f'tls {{ authorities = "{directory}/ca.pem" }}\n')
    relay.start().allow()
    p = receiver(peers.make_certificate(directory, "peer", "IP:127.0.0.9"), kind=Peer)
    relay.weir("route", "add", "--to", p.at, "--match", "domain:a.example", "--tls", "required")
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    got = why(relay, relay.row("x@a.example")["id"], "tls", "127.0.0.1")
    assert "#" not in got["text"]
    why(relay, "domain:a.example", "tls")
    hold(relay, "domain:a.example")
    why(relay, "domain:a.example", "held")
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_remote_and_the_timer(relay, smart):
    smart("a.example", {".": b"452 4.2.2 full\r\n"})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    got = why(relay, relay.row("x@a.example")["id"], "remote", "452 4.2.2 full", "Next attempt in")
    assert got["until_at"] > got["since_at"]
    why(relay, "domain:a.example", "remote", "The mailbox is full")


def test_a_timer_without_a_reply(relay, smart):
    """The host drops the connection in the midst: nothing was said, and it is tried again."""
    smart("a.example", {"DATA": None})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    why(relay, relay.row("x@a.example")["id"], "connect", "closed the connection before its reply to DATA")


def test_slowed_down_and_its_own_time(relay, smart):
    """The host's wish for less binds as long as it lasts longer than the message's own timer."""
    smart("a.example", {"MAIL": b"421 4.7.28 too many messages, slow down\r\n"})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    got = relay.weir("why", relay.row("x@a.example")["id"])
    assert got["binding"] in ("remote", "backoff") and "slow down" in got["text"]
    relay.send("y@a.example")  # has no time of its own yet
    why(relay, relay.row("y@a.example")["id"], "backoff", "slow down")
    hold(relay, f"id:{relay.row('y@a.example')['id']}")
    why(relay, relay.row("y@a.example")["id"], "held")


def test_a_route_and_a_hold(relay):
    relay.weir("route", "add", "--to", "hold", "--match", "domain:a.example", "--note", "not yet")
    relay.send("x@a.example")
    message = wait_until(lambda: relay.row("x@a.example"), what="the message")["id"]
    got = why(relay, message, "route", "keeps it back: not yet")
    assert got["rule"] == relay.weir("route", "list")[0]["id"]
    hold(relay, "domain:a.example")
    why(relay, message, "held", "an incident")


def test_done_and_trash(relay, smart):
    smart("a.example", {"RCPT TO:<y": b"451 later\r\n"})
    relay.send("x@a.example")
    row = relay.wait_event("x@a.example", "delivered")
    why(relay, row["id"], "done", "delivered by 127.0.0.1: 250 2.0.0 Ok")
    relay.send("y@a.example")
    message = relay.wait_state("y@a.example", "deferred")["id"]
    relay.weir("delete", f"id:{message}", "--reason", "spam", "--yes")
    why(relay, message, "trash", "taken back")


def test_provider_and_stream(relay, world):
    """Two domains of one site: what binds most of what waits for it, with the rest told."""
    world.set("gmail.com", "reply", text="452 4.2.2 The mailbox is full")
    relay.send("x@gmail.com", "y@gmail.com")
    for to in ("x@gmail.com", "y@gmail.com"):
        relay.wait_state(to, "deferred")
    relay.send("z@startup.example")
    relay.wait_event("z@startup.example", "delivered")
    got = why(relay, "provider:google.com", "remote", "The mailbox is full", "2 recipients")
    assert got["since_at"]
    why(relay, "stream:default", "remote", "2 recipients")
    hold(relay, "to:x@gmail.com")
    hold(relay, "to:y@gmail.com")
    why(relay, "provider:google.com", "held")


# --- pools ---

def pooled(relay, *options, source="127.0.0.51"):
    relay.weir("pool", "add", "bulk", "--source", source, *options)
    relay.weir("stream", "set", "default", "--pool", "bulk", "--reason", "test")


def test_warm_up(relay, smart):
    """The pool has sent what its plan allows: of the message, the destination, its provider, its stream; and with a hold."""
    smart("a.example")
    pooled(relay, "--warmup", "1,5")
    relay.send("x@a.example")
    relay.wait_event("x@a.example", "delivered")
    relay.send("y@a.example")
    row = wait_until(lambda: relay.row("y@a.example"), 10, "the message")
    for target in (row["id"], "domain:a.example", "stream:default"):
        got = why(relay, target, "warmup", "bulk")
        assert (got["current"], got["limit"], got["rule"]) == (1, 1, "bulk") and got["until_at"]
    hold(relay, "domain:a.example")
    why(relay, row["id"], "held", "an incident")
    why(relay, "domain:a.example", "held", "an incident")


def test_warm_up_and_its_own_time(relay, smart):
    """The remote host said later, and then the pool has sent what it may: of the two the one that ends later."""
    r = smart("a.example", {"RCPT TO:<x": b"451 4.7.1 later\r\n"})
    relay.send("x@a.example")
    message = relay.wait_state("x@a.example", "deferred")["id"]
    why(relay, message, "remote", "451 4.7.1 later")
    pooled(relay, "--warmup", "1,5")
    why(relay, message, "remote", "451 4.7.1 later")  # the pool has room
    relay.send("y@a.example")
    relay.wait_event("y@a.example", "delivered")
    why(relay, message, "warmup", "bulk")  # until tomorrow; its own time is minutes
    relay.weir("retry", "domain:a.example", "--yes", "--reason", "now")
    why(relay, message, "warmup", "bulk")
    assert r.said().count(("host", "451 4.7.1 later")) == 1


def test_warm_up_and_a_rate(relay, smart):
    """The stream's rate lets one through in a while, the pool nobody until tomorrow."""
    smart("a.example")
    pooled(relay, "--warmup", "1,5")
    relay.weir("stream", "set", "default", "--rate", "60", "--reason", "slowly")
    for n in range(4):
        relay.send(f"x{n}@a.example")
    relay.wait_event("x0@a.example", "delivered")
    why(relay, "domain:a.example", "warmup", "bulk")


def test_no_source(relay, smart):
    """No address of the pool is this machine's; and then a hold as well."""
    relay.expected.append("smtpout.source")
    smart("a.example")
    pooled(relay, source="192.0.2.77")
    relay.send("x@a.example")
    row = wait_until(lambda: relay.row("x@a.example"), 10, "the message")
    for target in (row["id"], "domain:a.example", "stream:default"):
        assert why(relay, target, "source", "192.0.2.77")["rule"] == "bulk"
    hold(relay, "stream:default")
    why(relay, row["id"], "held")


# --- connections ---

def test_connections_of_a_next_hop(directory, world, receiver):
    """It has all that it may have; and then a hold as well."""
    relay = configured(directory, world, "delivery {", "delivery { connections-per-hop = 1\n messages-per-connection = 1\n")
    r = receiver(pause=0.5)
    relay.weir("route", "add", "--to", r.at, "--match", "domain:a.example")
    for n in range(6):
        relay.send(f"x{n}@a.example")
    got = why(relay, "domain:a.example", "concurrency", "all of the 1 connections")
    assert "recipients wait" in got["text"]
    hold(relay, "domain:a.example")
    why(relay, "domain:a.example", "held")
    assert relay.stop() == 0


def test_connections_of_the_relay(directory, world, receiver):
    """All that it may have are open to another next hop, and busy."""
    relay = configured(directory, world, "delivery {", "delivery { connections = 1\n")
    slow, other = receiver(pause=1), receiver()
    relay.weir("route", "add", "--to", slow.at, "--match", "domain:a.example")
    relay.weir("route", "add", "--to", other.at, "--match", "domain:b.example")
    for n in range(5):
        relay.send(f"x{n}@a.example")
    wait_until(lambda: relay.weir("status")["connections"]["out"] == 1, 10, "the connection")
    relay.send("y@b.example")
    why(relay, "domain:b.example", "concurrency", "as many connections open as it may")
    assert relay.stop() == 0


def test_in_delivery(relay, smart):
    smart("a.example", pause=1)
    relay.send("x@a.example")
    row = wait_until(lambda: relay.row("x@a.example"), 10, "the message")
    why(relay, row["id"], "delivering", "in delivery to")
    why(relay, "domain:a.example", "delivering")


def test_a_timer_after_nonsense(relay, smart):
    """What the host said is no reply: it neither said to come back nor is it down."""
    smart("a.example", {"MAIL": b"what do you want\r\n"})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    got = why(relay, relay.row("x@a.example")["id"], "retry", "the last attempt failed", "Next attempt in")
    assert got["until_at"]


# --- two at once ---

def test_of_two_recipients_what_binds_first(relay, smart):
    """Of a message: in the order of ctl_why.c, whoever stands first in the envelope."""
    smart("late.example", {"RCPT": b"451 4.7.1 later\r\n"})
    smart("down.example", at=f"smarthost:127.0.0.1:{harness.free_port()}")
    relay.send("x@late.example", "y@down.example")
    message = relay.wait_state("x@late.example", "deferred")["id"]
    relay.wait_state("y@down.example", "deferred")
    got = why(relay, message, "connect")
    assert got["text"].startswith("y@down.example: ")
    hold(relay, "domain:late.example")
    got = why(relay, message, "held")
    assert got["text"].startswith("x@late.example: held by")


def test_two_holds(relay, smart):
    """A domain and all of its stream are held: the one that is named is there, and with it gone the other."""
    smart("a.example", {"RCPT": b"451 later\r\n"})
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    message = relay.row("x@a.example")["id"]
    relay.weir("hold", "domain:a.example", "--reason", "one", "--yes")
    relay.weir("hold", "stream:default", "--reason", "two", "--yes")
    first = why(relay, message, "held")
    relay.weir("release", "--hold", first["rule"], "--yes")
    second = why(relay, message, "held")
    assert first["rule"] != second["rule"]
    relay.weir("release", "--hold", second["rule"], "--yes")
    why(relay, message, "remote", "451 later")


def test_a_route_and_a_rate(relay, smart):
    """What a route keeps is not waited for by a rate."""
    relay.weir("route", "add", "--to", "hold", "--match", "domain:a.example", "--note", "not yet")
    relay.weir("stream", "set", "default", "--rate", "1", "--reason", "slowly")
    for n in range(3):
        relay.send(f"x{n}@a.example")
    wait_until(lambda: relay.row("x2@a.example"), what="the messages")
    why(relay, "domain:a.example", "route", "not yet")
    why(relay, relay.row("x2@a.example")["id"], "route", "not yet")


def test_a_rate_and_a_remote_host(relay, smart):
    """Deferred by the host: its rate is no matter until it is due again."""
    smart("a.example", {"RCPT": b"451 4.7.1 later\r\n"})
    relay.weir("stream", "set", "default", "--rate", "1", "--reason", "slowly")
    relay.send("x@a.example")
    relay.wait_state("x@a.example", "deferred")
    why(relay, relay.row("x@a.example")["id"], "remote", "451 4.7.1 later")
    relay.send("y@a.example")  # due, and the rate is used up
    why(relay, relay.row("y@a.example")["id"], "rate", "at most 1 messages a minute")


def test_trouble_keeps_its_beginning(relay, world, smart):
    """Over a restart and a kill: since its first failure, not since its mail came in; and so for who cannot be reached."""
    world.set("slow.example", "reply", text="451 4.3.2 later")
    smart("down.example", at=f"smarthost:127.0.0.1:{harness.free_port()}")
    hold(relay, "all")
    for to in ("a@slow.example", "a@down.example"):
        relay.send(to)
        relay.wait_state(to, "held")
    relay.weir("release", "all")
    relay.wait_state("a@slow.example", "deferred")
    why(relay, "domain:down.example", "connect")

    def begins():
        return [relay.weir("why", f"domain:{d}.example")["since_at"] for d in ("slow", "down")], \
            sorted((r["domain"], r["since_at"]) for r in relay.weir("status")["attention"])
    before = wait_until(lambda: len(begins()[1]) == 2 and begins())
    assert before[0][0] > relay.weir("show", relay.row("a@slow.example")["id"])["received_at"]
    relay.restart()

    def same():
        relay.weir("retry", "all")
        return relay.weir("why", "domain:down.example")["binding"] == "connect" and len(begins()[1]) == 2
    wait_until(same)
    assert begins() == before
    kept = lambda: set(re.findall(r"(slow|down)[.]example", "".join(r[0] for r in sqlite3.connect(
        f"file:{relay.state}/queue.db?mode=ro", uri=True).execute("SELECT json FROM objects WHERE kind = 'trouble'"))))
    assert kept() == {"slow", "down"}
    relay.kill()
    relay.start()
    wait_until(same)
    assert begins() == before
    # what is over is not kept
    world.set("slow.example", "accept")
    relay.weir("retry", "all")
    relay.wait_event("a@slow.example", "delivered")
    wait_until(lambda: kept() == {"down"})
    relay.weir("delete", "all", "--reason", "r", "--yes")
    relay.restart()
    relay.send("b@slow.example")
    relay.wait_event("b@slow.example", "delivered")
