"""What an edit of routes or streams would move: predicted, then done, then counted."""

import json
import random
import sqlite3

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
    mine = sum(s == "ads@mail.shop.example" for s, _ in relay.rcpts)  # queued or gone: they came in the last hour
    plan = relay.weir("stream", "set", "bulk", "--match", "from:nobody@*", "--reason", "r", "--plan")
    assert [(m["what"], m["from"], m["to"], m["recent"]) for m in plan["moves"]["moves"]] == \
        [("stream", "bulk", "default", mine)]


def test_the_relay_answers_meanwhile(queued):
    """A plan over all that is here is made in slices: nothing waits for it (the log has no slow callback)."""
    relay = queued
    plan = relay.weir("route", "add", "--to", "hold", "--match", "from:*@shop.example", "--plan")
    assert plan["moves"]["queued"] == sum(s.endswith("@shop.example") and ".gone" not in to for s, to in relay.rcpts)


# --- one edit after the other, each predicted, done, and counted ----------------------------------

@pytest.fixture
def kept(directory, world):
    """3000 recipients over 100 domains of two providers, and one more domain, that stay until a route takes them away."""
    r = Relay(directory, world)
    r.start()
    r.allow()
    r.world = world
    r.weir("hold", "all", "--reason", "everything stays")
    random.seed(5)
    r.mail = [(random.choice(SENDERS), f"u{i}@" + random.choice(
        [f"d{random.randrange(60)}.bulk.example", f"d{random.randrange(30)}.big.bulk.example", "fast.example", "implicit.example"]))
        for i in range(3000)]
    submit(r)
    wait_until(lambda: r.queued()["held"] == 3000, 60)
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def submit(relay):
    with relay.smtp() as s:
        for sender in SENDERS:
            mine = [to for f, to in relay.mail if f == sender]
            for i in range(0, len(mine), 100):
                s.sendmail(sender, mine[i:i + 100], harness.letter(sender, mine[i]))


def by_stream(relay):
    return {row["stream"]: row["total"] for row in relay.weir("queue", "--by", "stream")}


class Routes:
    """Each recipient's way, by a model of the rules; every edit's plan has to say what the model says changes."""

    def __init__(self, relay):
        self.relay, self.rules, self.ids = relay, [], {}

    def way(self, sender, to):
        return next((hop for _, hop, fits in self.rules if fits(sender, to)), "mx")

    def edit(self, change, *args):
        before = [self.way(*m) for m in self.relay.mail]
        change()
        after = [self.way(*m) for m in self.relay.mail]
        wanted = {}
        for pair in zip(before, after):
            if pair[0] != pair[1]:
                wanted[pair] = wanted.get(pair, 0) + 1
        plan = self.relay.weir("route", *args, "--plan")
        got = {pair: n[0] for pair, n in moves(plan).items()}
        assert got == wanted and plan["moves"]["undecided"] == 0, (args, got, wanted)
        assert sum(wanted.values()) == plan["moves"]["queued"]
        known = {r["id"] for r in self.relay.weir("route", "list")}
        self.relay.weir("route", *args)
        return next((r["id"] for r in self.relay.weir("route", "list") if r["id"] not in known), None)

    def add(self, name, hop, match, fits, place=0):
        before = [self.ids[self.rules[place][0]]] if place < len(self.rules) else ["default"]
        self.ids[name] = self.edit(lambda: self.rules.insert(place, (name, hop, fits)), "add", "--to", hop, "--match", match,
                                   "--before", *before, "--reason", "r")

    def index(self, name):
        return next(i for i, rule in enumerate(self.rules) if rule[0] == name)

    def remove(self, name):
        self.edit(lambda: self.rules.pop(self.index(name)), "remove", self.ids[name], "--reason", "r")

    def move_up(self, name, before):
        def change():
            rule = self.rules.pop(self.index(name))
            self.rules.insert(self.index(before), rule)
        self.edit(change, "move", self.ids[name], "--before", self.ids[before], "--reason", "r")


def events(relay, where):
    return len(relay.weir("events", "--limit", "1000", "--where", where))


def test_edits_of_routes_one_after_the_other(kept):
    routes, domain = Routes(kept), lambda to: to.partition("@")[2]
    routes.add("domain", "smarthost:127.0.0.1:2601", "domain:d1.bulk.example,fast.example",
               lambda s, to: domain(to) in ("d1.bulk.example", "fast.example"))
    routes.add("suffix", "smarthost:127.0.0.1:2602", "domain:*.big.bulk.example", lambda s, to: domain(to).endswith(".big.bulk.example"), 1)
    routes.add("provider", "hold", "provider:bulk.example", lambda s, to: domain(to).endswith("bulk.example"), 2)
    routes.add("sender", "discard", "from:ads@*", lambda s, to: s.startswith("ads@"), 3)
    routes.move_up("sender", "suffix")
    routes.move_up("provider", "sender")
    routes.remove("domain")
    # What the model says of each is what the relay does.
    ways = [routes.way(*m) for m in kept.mail]
    kept.weir("release", "all")
    wait_until(lambda: kept.queued()["recipients"] == sum(w not in ("discard", "mx") for w in ways), 30)
    assert kept.queued()["held"] == ways.count("hold")
    assert events(kept, "state:deleted") == ways.count("discard")
    for of in ("fast.example", "implicit.example"):
        sent = sum(domain(to) == of and way == "mx" for (_, to), way in zip(kept.mail, ways))
        assert events(kept, f"state:delivered domain:{of}") == sent > 100


def test_edits_of_streams_one_after_the_other(kept):
    """The same mail again falls into the streams that the plans said."""
    relay = kept
    relay.weir("allow", "add", "127.0.0.9/32", "--stream", "default")
    assert by_stream(relay) == {"default": 3000}
    before = {"default": 3000}
    for args in (["add", "ads", "--match", "from:ads@*"], ["add", "shop", "--match", "sender-domain:shop.example,*.shop.example"],
                 ["move", "shop", "--before", "ads"], ["set", "shop", "--match", "domain:fast.example"],
                 ["remove", "ads"]):
        plan = relay.weir("stream", *args, "--reason", "r", "--plan")
        assert plan["moves"]["undecided"] == 0 and plan["moves"]["queued"] == 0
        relay.weir("stream", *args, "--reason", "r", "--yes")
        relay.weir("delete", "all", "--reason", "again", "--yes")
        wait_until(lambda: relay.queued()["recipients"] == 0, 10)
        submit(relay)
        wait_until(lambda: relay.queued()["held"] == 3000, 30)
        after = by_stream(relay)
        told = dict(before)
        for m in plan["moves"]["moves"]:
            # of the last hour is all that came so far, the same mail each time
            times = (plan["moves"]["recent"] and m["recent"]) / len(relay.rounds) if hasattr(relay, "rounds") else m["recent"]
            told[m["from"]] -= times
            told[m["to"]] = told.get(m["to"], 0) + times
        relay.rounds = getattr(relay, "rounds", [1]) + [1]
        assert {k: v for k, v in told.items() if v} == after, (args, plan["moves"], before, after)
        before = after


def test_pools_and_tls_move_mail_too(kept):
    """A queued message keeps its stream; what that says of pool and TLS, it has from its stream as it is."""
    relay = kept
    relay.weir("pool", "add", "bulk", "--source", "127.0.0.7")
    plan = relay.weir("stream", "set", "default", "--pool", "bulk", "--reason", "r", "--plan")
    assert moves(plan) == {("mx", "mx, pool bulk"): (3000, 0)}
    plan = relay.weir("stream", "set", "default", "--tls", "required", "--reason", "r", "--plan")
    assert moves(plan) == {("mx", "mx, tls required"): (3000, 0)}
    n = sum(to.endswith("@fast.example") for _, to in relay.mail)
    plan = relay.weir("route", "add", "--to", "mx", "--match", "domain:fast.example", "--pool", "bulk", "--plan")
    assert moves(plan) == {("mx", "mx, pool bulk"): (n, 0)}


def test_what_is_in_delivery_stays(relay, world):
    world.set("slow.example", "hang", at="eod")
    relay.send(*[f"u{i}@slow.example" for i in range(4)])
    wait_until(lambda: relay.queued()["active"] == 4, 15)
    relay.send("other@slow.example")
    wait_until(lambda: relay.queued()["active"] == 5, 15)
    plan = relay.weir("route", "add", "--to", "hold", "--match", "domain:slow.example", "--plan")
    assert (plan["moves"]["queued"], plan["moves"]["in_delivery"]) == (0, 5)
    plan = relay.weir("route", "add", "--to", "hold", "--match", "to:other@*", "--plan")
    assert (plan["moves"]["queued"], plan["moves"]["in_delivery"]) == (0, 1)
    assert "in delivery this moment" in relay.run("route", "add", "--to", "hold", "--match", "to:other@*", "--plan", json_output=False).stdout
    world.set("slow.example", "accept")


def test_a_message_is_in_one_stream(relay):
    """One recipient that fits is enough, for all; and the network of a client comes before the rules."""
    relay.weir("hold", "all", "--reason", "r")
    relay.send("a@fast.example", "b@other.example", "c@third.example")
    relay.send("d@other.example")
    plan = relay.weir("stream", "add", "fast", "--match", "domain:fast.example", "--plan")
    assert [(m["from"], m["to"], m["recent"]) for m in plan["moves"]["moves"]] == [("default", "fast", 3)]
    relay.weir("stream", "add", "net", "--match", "from:nobody@nowhere.example", "--reason", "r")
    relay.weir("allow", "add", "127.0.0.1/32", "--stream", "net")
    plan = relay.weir("stream", "add", "fast", "--match", "domain:fast.example", "--plan")
    assert plan["moves"]["moves"] == []


def test_providers_are_known_after_a_restart(kept):
    """A rule for a provider finds its domains also while DNS is silent."""
    relay = kept
    n = sum(to.endswith(".bulk.example") for _, to in relay.mail)
    plan = relay.weir("route", "add", "--to", "hold", "--match", "provider:bulk.example", "--plan")
    assert moves(plan) == {("mx", "hold"): (n, 0)}
    wait_until(lambda: stored_providers(relay) >= 85, 20)
    assert relay.stop() == 0
    relay.config.write_text(relay.config.read_text().replace(f'"{relay.world.dns}"', f'"127.0.0.1:{harness.free_port()}"'))
    relay.start()
    relay.expected.append("unreachable|dns")
    assert {r["provider"]: r["total"] for r in relay.weir("queue", "--by", "provider")}["bulk.example"] == n
    plan = relay.weir("route", "add", "--to", "hold", "--match", "provider:bulk.example", "--plan")
    assert moves(plan) == {("mx", "hold"): (n, 0)} and plan["moves"]["undecided"] == 0
    relay.weir("hold", "provider:bulk.example", "--reason", "r")
    relay.weir("release", "all")
    wait_until(lambda: relay.queued()["deferred"] == 3000 - n, 20)
    assert relay.queued()["held"] == n


def stored_providers(relay):
    """As the store has them now."""
    db = sqlite3.connect(f"file:{relay.state}/queue.db?mode=ro", uri=True)
    try:
        return sum(len(json.loads(text)["d"]) // 2 for (text,) in db.execute("select json from objects where kind = 'providers'"))
    finally:
        db.close()
