"""Pools: where mail leaves from, under which name, and what a warm-up plan lets through."""

import pytest

from harness import SENDER, WeirError, letter, wait_until
from peer import Peer


def submit(relay, n, to, sender=SENDER):
    with relay.smtp() as s:
        for k in range(n):
            s.sendmail(sender, [to.format(k)], letter(sender, to.format(k)))


def sources(relay, where="state:delivered"):
    ids = {e["id"] for e in relay.weir("events", "--limit", "1000", "--where", where)}
    return sorted(relay.weir("show", i)["attempts"][-1]["source"] for i in ids)


def refused(relay, *args, code="invalid", param=None):
    with pytest.raises(WeirError) as e:
        relay.weir(*args)
    assert e.value.error["code"] == code, e.value.error
    if param:
        assert e.value.error["param"] == param, e.value.error
    return e.value.error["message"]


@pytest.fixture
def peer():
    p = Peer()
    yield p
    p.close()


def test_mail_leaves_from_the_pool(relay, peer):
    relay.weir("pool", "add", "bulk", "--source", "127.0.0.7=mta7.test.example")
    relay.weir("pool", "add", "own", "--source", "127.0.0.8=mta8.test.example")
    relay.weir("stream", "add", "news", "--match", "sender-domain:news.example", "--pool", "Bulk")
    relay.weir("route", "add", "--to", peer.at, "--match", "domain:peer.example")
    relay.weir("route", "add", "--to", peer.at, "--match", "domain:own.example", "--pool", "own")
    submit(relay, 1, "a@peer.example", "n@news.example")
    submit(relay, 1, "b@fast.example")
    submit(relay, 1, "c@own.example", "n@news.example")
    wait_until(lambda: len(relay.weir("events", "--where", "state:delivered")) == 3, 15, "all of them")
    assert sources(relay, "state:delivered to:a@peer.example") == ["127.0.0.7"]
    assert sources(relay, "state:delivered to:b@fast.example")[0] not in ("127.0.0.7", "127.0.0.8")
    assert sources(relay, "state:delivered to:c@own.example") == ["127.0.0.8"]  # the route's comes first
    assert sorted(peer.said("EHLO")) == ["EHLO mta7.test.example", "EHLO mta8.test.example"]
    assert relay.weir("pool", "show", "bulk")["sent_today"] == 1
    assert relay.weir("stream", "show", "news")["pool"] == "bulk"
    assert [r["pool"] for r in relay.weir("route", "list")] == ["own", None, None]
    test = relay.weir("stream", "test", "--to", "x@fast.example", "--from", "n@news.example")
    assert test["pool"] == "bulk"
    # What is used stays.
    assert "news" in refused(relay, "pool", "remove", "bulk", "--reason", "x", code="state", param="name")
    assert "route" in refused(relay, "pool", "remove", "own", "--reason", "x", code="state", param="name")


def test_show_says_where_it_leaves_from(relay, world):
    """By the pool that is in force, whatever the stream says, and from what may send: what delivery asks."""
    relay.weir("pool", "add", "old", "--source", "127.0.0.51")
    relay.weir("pool", "add", "new", "--source", "127.0.0.52,127.0.0.53,::1", "--warmup", "1,5", "--overflow", "old")
    world.set("slow.example", "reply", text="451 4.3.2 later")
    submit(relay, 1, "plain@slow.example")
    row = relay.wait_state("plain@slow.example", "deferred")

    def way(row):
        rcpt, = relay.weir("show", row["id"])["recipients"]
        return rcpt["pool"], rcpt["sources"]
    assert way(row) == (None, None)
    relay.weir("stream", "set", "default", "--pool", "new", "--reason", "test")
    wait_until(lambda: way(row) == ("new", "127.0.0.52, 127.0.0.53, ::1"), 5, "the new pool")
    text = relay.run("show", row["id"], json_output=False).stdout
    assert "\npool        new\nleaves from 127.0.0.52, 127.0.0.53, ::1\n" in text, text
    for k in range(2):
        submit(relay, 1, f"u{k}@fast.example")
        relay.wait_event(f"u{k}@fast.example", "delivered")
    wait_until(lambda: way(row) == ("new", "::1"), 5, "the plan to bind")
    relay.weir("pool", "set", "new", "--source", "127.0.0.52,127.0.0.53", "--reason", "no IPv6")
    wait_until(lambda: way(row) == ("old", "127.0.0.51"), 5, "the pool behind it")
    world.set("slow.example", "accept")
    relay.weir("retry", "all")
    relay.wait_event("plain@slow.example", "delivered")
    assert sources(relay, "to:plain@slow.example state:delivered") == ["127.0.0.51"]
    assert way(row) == (None, None)


def test_warm_up_overflows_or_waits(relay, world):
    relay.weir("pool", "add", "old", "--source", "127.0.0.21")
    relay.weir("pool", "add", "new", "--source", "127.0.0.22,127.0.0.23", "--warmup", "3,5", "--overflow", "old")
    relay.weir("stream", "set", "default", "--pool", "new", "--reason", "test")
    submit(relay, 20, "a{}@fast.example")
    wait_until(lambda: len(relay.weir("events", "--where", "state:delivered")) == 20, 15, "all of them")
    assert sorted(set(sources(relay))) == ["127.0.0.21", "127.0.0.22", "127.0.0.23"]
    assert sources(relay).count("127.0.0.22") == 3 and sources(relay).count("127.0.0.23") == 3
    pool = relay.weir("pool", "show", "new")
    assert (pool["day"], pool["cap"], pool["sent_today"]) == (1, 6, 6), pool
    assert "day 1 of 2: 6 of 6" in pool["progress"]
    # Without a pool behind it the rest waits, and why says for what.
    relay.weir("pool", "set", "new", "--overflow", "", "--reason", "no more")
    submit(relay, 3, "b{}@fast.example")
    row = wait_until(lambda: relay.row("b0@fast.example"), 5, "the first of them")

    def bound():
        why = relay.weir("why", row["id"])
        return why if why["binding"] == "warmup" else None
    why = wait_until(bound, 5, "the plan to bind")
    assert (why["rule"], why["current"], why["limit"]) == ("new", 6, 6) and why["until_at"], why
    assert "warm-up" in why["text"]
    # The count is the day's, also after a restart.
    relay.restart()
    assert relay.weir("pool", "show", "new")["sent_today"] == 6
    wait_until(lambda: relay.weir("why", row["id"])["binding"] == "warmup", 10, "the plan to bind")
    assert len(relay.weir("events", "--where", "state:delivered")) == 20
    # The next day of the plan has room.
    relay.weir("pool", "set", "new", "--warmup-day", "2", "--reason", "a day later")
    wait_until(lambda: len(relay.weir("events", "--where", "state:delivered")) == 23, 10, "the rest")
    assert relay.weir("pool", "show", "new")["sent_today"] == 9


def test_one_family_is_used_up(relay, world):
    """What may still send cannot reach the host: its mail waits, and the relay does not go round in circles."""
    relay.weir("pool", "add", "new", "--source", "127.0.0.25,::1", "--warmup", "1,5")
    relay.weir("stream", "set", "default", "--pool", "new", "--reason", "test")
    submit(relay, 1, "a@fast.example")
    relay.wait_event("a@fast.example", "delivered")
    submit(relay, 2, "b{}@fast.example")
    wait_until(lambda: "warm-up plan" in relay.weir("why", "domain:fast.example")["text"])
    assert sources(relay) == ["127.0.0.25"]
    relay.weir("pool", "set", "new", "--warmup-day", "2", "--reason", "a day later")
    relay.weir("retry", "all")
    wait_until(lambda: len(relay.weir("events", "--where", "state:delivered")) == 3, 10, "the rest")


def test_what_nobody_took_does_not_count(relay, world):
    world.set("slow.example", "reply", text="451 4.3.2 later")
    relay.weir("pool", "add", "new", "--source", "127.0.0.31", "--warmup", "2,100")
    relay.weir("stream", "set", "default", "--pool", "new", "--reason", "test")
    submit(relay, 5, "a{}@slow.example")
    for k in range(5):
        relay.wait_state(f"a{k}@slow.example", "deferred")
    wait_until(lambda: relay.weir("pool", "show", "new")["sent_today"] == 0, 5, "the count to be 0")
    submit(relay, 2, "b{}@fast.example")
    wait_until(lambda: len(relay.weir("events", "--where", "state:delivered")) == 2, 10, "both")
    assert relay.weir("pool", "show", "new")["sent_today"] == 2


def test_no_usable_address(relay):
    relay.expected.append("smtpout.source")
    added = relay.weir("pool", "add", "far", "--source", "192.0.2.77")
    assert "no address of this machine" in added["warnings"][0]
    relay.weir("stream", "set", "default", "--pool", "far", "--reason", "test")
    submit(relay, 1, "a@fast.example")

    def bound():
        why = relay.weir("why", "domain:fast.example")
        return why if why["binding"] == "source" else None
    why = wait_until(bound, 10, "the source to bind")
    assert why["rule"] == "far" and "192.0.2.77" in why["text"], why
    assert relay.weir("pool", "show", "far")["sources"][0]["trouble"]
    relay.weir("pool", "set", "far", "--source", "127.0.0.41", "--reason", "one that is here")
    relay.wait_event("a@fast.example", "delivered")
    assert sources(relay) == ["127.0.0.41"]


def test_wrong_pools_are_refused(relay):
    refused(relay, "pool", "add", "a b", "--source", "127.0.0.1", param="name")
    refused(relay, "pool", "add", "p", "--source", "127.0.0.1,127.0.0.1", param="sources")
    refused(relay, "pool", "add", "p", "--source", "host.example", param="sources")
    refused(relay, "pool", "add", "p", "--source", "127.0.0.1=a_b c", param="sources")
    refused(relay, "pool", "add", "p", "--source", "127.0.0.1*0", param="sources")
    refused(relay, "pool", "add", "p", "--source", "0.0.0.0", param="sources")
    for plan in ("x", "0", "5..1", "10..100000*1.0", "10..1000000*1.01", "1,,2"):
        refused(relay, "pool", "add", "p", "--source", "127.0.0.1", "--warmup", plan, param="warmup")
    refused(relay, "pool", "add", "p", "--source", "127.0.0.1", "--overflow", "q", code="unknown", param="overflow")
    refused(relay, "stream", "set", "default", "--pool", "q", "--reason", "x", code="unknown", param="pool")
    refused(relay, "route", "add", "--to", "mx", "--pool", "q", code="unknown", param="pool")
    added = relay.weir("pool", "add", "p", "--source", "127.0.0.1", "--warmup", "50..10000*1.5")
    refused(relay, "route", "add", "--to", "hold", "--pool", "p", param="pool")
    refused(relay, "pool", "set", "p", "--overflow", "p", "--reason", "x", param="overflow")
    assert "day 1 of" in relay.weir("pool", "list")[0]["progress"]
    relay.weir("undo", added["action"])
    assert relay.weir("pool", "list") == []
