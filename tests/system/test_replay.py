"""What an edit of routes or streams would move: predicted, then done, then counted."""

import json
import random

import pytest

import harness
from harness import Relay, wait_until

DOMAINS = 200
SENDERS = ["app@shop.example", "news@shop.example", "ads@mail.shop.example"]


@pytest.fixture
def queued(directory, world):
    """A few thousand recipients over many domains, deferred because no DNS server answers; and some that are gone."""
    r = Relay(directory, world, extra='queue { retry-first = "1h" retry-max = "1h" }\n')
    r.config.write_text(r.config.read_text().replace(f'"{world.dns}"', f'"127.0.0.1:{harness.free_port()}"'))
    r.start()
    r.allow()
    r.weir("route", "add", "--to", "discard", "--match", "domain:*.gone.example", "--reason", "r")
    random.seed(4)
    rcpts = [(random.choice(SENDERS), f"u{i}@d{random.randrange(DOMAINS)}.example") for i in range(3000)]
    rcpts += [(random.choice(SENDERS), f"u{i}@d{random.randrange(20)}.gone.example") for i in range(400)]
    for sender in SENDERS:
        mine = [to for s, to in rcpts if s == sender]
        for i in range(0, len(mine), 100):
            r.send(*mine[i:i + 100], sender=sender)
    wait_until(lambda: r.queued()["deferred"] == 3000, 60)
    r.rcpts = rcpts
    yield r
    assert r.stop() == 0
    assert [line for line in r.bad_log_lines() if "unreachable" not in line and "dns" not in line] == []


def moves(plan):
    return {(m["from"], m["to"]): (m["queued"], m["recent"]) for m in plan["moves"]["moves"]}


@pytest.mark.parametrize("match,wanted", [
    ("domain:d1*.example", lambda s, to: to.partition("@")[2].startswith("d1") and ".gone" not in to),
    ("from:news@shop.example domain:d*.example -domain:*.gone.example",
     lambda s, to: s == "news@shop.example" and ".gone" not in to),
    ("to:u1*@d2*.example -domain:*.gone.example",
     lambda s, to: to.startswith("u1") and to.partition("@")[2].startswith("d2") and ".gone" not in to),
])
def test_predicted_is_what_happens(queued, match, wanted):
    relay = queued
    n = sum(wanted(s, to) for s, to in relay.rcpts)
    assert 50 < n < 2500
    plan = relay.weir("route", "add", "--to", "discard", "--match", match, "--plan")
    assert moves(plan) == {("mx", "discard"): (n, 0)} and plan["moves"]["queued"] == n
    relay.weir("route", "add", "--to", "discard", "--match", match)
    relay.weir("retry", "all")
    wait_until(lambda: relay.queued()["recipients"] == 3000 - n, 60)
    gone = relay.weir("route", "remove", relay.weir("route", "list")[0]["id"], "--reason", "r", "--plan")
    assert moves(gone) == {("discard", "mx"): (0, n)}, "it has left, and is of the last hour now"


def test_the_last_hour_counts_too(queued):
    relay = queued
    gone = [(s, to) for s, to in relay.rcpts if ".gone." in to]
    wait_until(lambda: len(relay.weir("events", "--where", "domain:*.gone.example", "--limit", "1000")) >= len(gone), 30)
    mine = sum(s == "ads@mail.shop.example" for s, _ in gone)
    plan = relay.weir("route", "add", "--to", "hold", "--match", "domain:*.gone.example from:ads@*", "--plan")
    assert moves(plan) == {("discard", "hold"): (0, mine)}
    assert plan["moves"]["whole"] and plan["moves"]["since_at"]
    behind = relay.weir("route", "add", "--to", "hold", "--match", "domain:*.gone.example", "--before", "default", "--plan")
    assert moves(behind) == {} and behind["moves"]["undecided"] == 0
    text = relay.run("route", "add", "--to", "hold", "--plan")
    assert set(moves(json.loads(text.stdout))) == {("mx", "hold"), ("discard", "hold")}


def test_streams_are_replayed(queued):
    relay = queued
    relay.weir("stream", "add", "bulk", "--match", "from:ads@*", "--reason", "r")
    mine = sum(s == "ads@mail.shop.example" and ".gone." in to for s, to in relay.rcpts)
    plan = relay.weir("stream", "set", "bulk", "--match", "from:nobody@*", "--reason", "r", "--plan")
    assert [(m["what"], m["from"], m["to"], m["recent"]) for m in plan["moves"]["moves"]] == \
        [("stream", "bulk", "default", mine)]


def test_the_relay_answers_meanwhile(queued):
    """A plan over all that is here is made in slices: nothing waits for it (the log has no slow callback)."""
    relay = queued
    plan = relay.weir("route", "add", "--to", "hold", "--match", "from:*@shop.example", "--plan")
    assert plan["moves"]["queued"] == sum(s.endswith("@shop.example") and ".gone" not in to for s, to in relay.rcpts)
