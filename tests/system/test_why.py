"""The one thing that binds, of each kind; and of two at once the right one."""

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
