"""What is stuck as a handful of causes: what they mean, since when, whether they grow, and what other rules would say."""

import datetime

import pytest

import harness
from harness import wait_until
from script import Script


@pytest.fixture
def receiver():
    made = []

    def make(*args, **kwargs):
        made.append(Script(*args, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.close()


def route(relay, r):
    relay.weir("route", "add", "--to", r.at, "--match", "domain:*.example")


def defer(relay, *to):
    relay.send(*to)
    for t in to:
        relay.wait_state(t, "deferred")


def cause(relay, code, *args):
    rows = [c for c in relay.weir("causes", *args) if c["code"] == code]
    assert len(rows) == 1, rows
    return rows[0]


def test_the_rules_own_sentence(relay, receiver):
    """Mimecast's temporary refusal is not what a 451 usually is, and says so in other words than its class."""
    r = receiver({"RCPT TO:<a": b"451 4.7.0 Internal resource temporarily unavailable - https://community.mimecast.com/x\r\n",
                  "RCPT TO:<b": b"450 4.7.1 Greylisted, try again in 300 seconds\r\n"})
    route(relay, r)
    defer(relay, "anna@one.example")
    defer(relay, "bob@two.example")
    row = cause(relay, 451)
    assert row["class"] == "greylisted" and row["rule"] == "mimecast-greylist" and "Mimecast" in row["meaning"], row
    assert row["phase"] == "rcpt" and row["reply"].startswith("451 4.7.0 Internal") and row["trend"] == "steady"
    assert "Mimecast" in relay.weir("why", "domain:one.example")["text"]
    assert "Mimecast" not in cause(relay, 450)["meaning"]
    attention = [a for a in relay.weir("status")["attention"] if a["domain"] == "one.example"]
    assert not attention or "Mimecast" in attention[0]["cause"]["meaning"]


def test_the_phase_is_told_to_the_rules(directory, world, receiver):
    rules = directory / "replies.rules"
    rules.write_text("rule at-data\n\tphase data\n\ttext strange\n\tclass spam-content\n\tmeaning At the end of the content.\n"
                     "rule at-rcpt\n\tphase rcpt\n\ttext strange\n\tclass policy\n\tmeaning At a recipient.\n"
                     "rule at-mail\n\tphase mail\n\ttext strange\n\tclass block-listed\n\tmeaning At the sender.\n"
                     "rule at-connect\n\tphase connect\n\ttext strange\n\tclass network\n\tmeaning At the greeting.\n"
                     "builtin\n")
    relay = harness.Relay(directory, world, f'delivery {{ classify-rules = "{rules}" }}\n')
    relay.start().allow()
    for domain, script in (("data", {".": b"451 strange\r\n"}), ("rcpt", {"RCPT": b"451 strange\r\n"}),
                           ("mail", {"MAIL": b"451 strange\r\n"}), ("connect", {"EHLO": b"451 strange\r\n"})):
        r = receiver(script)
        relay.weir("route", "add", "--to", r.at, "--match", f"domain:{domain}.example")
        defer(relay, f"anna@{domain}.example")
    got = {c["phase"]: (c["class"], c["rule"]) for c in relay.weir("causes")}
    assert got == {"data": ("spam-content", "at-data"), "rcpt": ("policy", "at-rcpt"),
                   "mail": ("block-listed", "at-mail"), "connect": ("network", "at-connect")}
    # what other rules would change, before they are in force
    other = directory / "other.rules"
    other.write_text("rule mine\n\tphase data\n\ttext strange\n\tclass rate-limited\n" + rules.read_text())
    changes = relay.weir("classify", "--rules", other, "--replay")
    assert {(c["in"], c["count"], c["now"]["class"], c["then"]["class"], c["then"]["action"], c["then"]["rule"])
            for c in changes} == {("queue", 1, "spam-content", "rate-limited", "slow-down", "mine"),
                                  ("past", 1, "spam-content", "rate-limited", "slow-down", "mine")}
    text = relay.run("classify", "--rules", other, "--replay", json_output=False).stdout
    assert "In the queue: 1 of 4 recipients" in text and "then: rate-limited (soft), slow-down, by mine" in text, text
    assert relay.weir("classify", "--rules", rules, "--replay") == []
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_since_when_and_in_the_past(relay, receiver):
    """A retry with the same reply does not make a cause younger; a time in the past has its own causes."""
    r = receiver({"RCPT TO:<anna": b"452 4.2.2 Mailbox full\r\n", "RCPT TO:<carl": b"550 5.1.1 No such user\r\n"})
    route(relay, r)
    defer(relay, "anna@one.example")
    first = cause(relay, 452)
    relay.weir("retry", "domain:one.example", "--reason", "test", "--yes")
    wait_until(lambda: len(relay.events("anna@one.example", "deferred")) == 2, what="a second attempt")
    again = cause(relay, 452)
    assert again["since_at"] == first["since_at"] and again["count"] == 1
    # the same through the other way of counting
    assert cause(relay, 452, "--where", "state:deferred")["since_at"] == first["since_at"]
    relay.send("carl@one.example")
    relay.wait_event("carl@one.example", "failed")
    past = relay.weir("causes", "--last", "1h")
    assert {(c["code"], c["class"], c["count"]) for c in past} == {(452, "mailbox-full", 1), (550, "bad-mailbox", 1)}
    now = datetime.datetime.now(datetime.timezone.utc)
    ago = lambda s: (now - datetime.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert relay.weir("causes", "--since", ago(7200), "--until", ago(3600)) == []
    assert len(relay.weir("causes", "--since", ago(7200), "--where", "to:carl*")) == 1
    with pytest.raises(harness.WeirError, match="provider"):
        relay.weir("causes", "--last", "1h", "--where", "provider:x.example")
    # from a message to the others with its cause
    defer(relay, "anna2@two.example")
    message = relay.row("anna@one.example")
    row, = relay.weir("causes", "--where", f"id:{message['id']}")
    others = relay.weir("messages", "--where", row["where"])
    assert {o["to"] for o in others} == {"anna@one.example", "anna2@two.example"}
    assert relay.weir("delete", "domain:one.example", "--reason", "gone", "--yes")
    assert cause(relay, 452)["count"] == 1


def test_what_waits_untried_is_counted(relay, world):
    """A next hop that cannot be reached stops all its mail, and not only what it was tried with."""
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{harness.free_port()}", "--match", "domain:*.down.example")
    to = [f"u{i}@d{i % 3}.down.example" for i in range(40)]
    relay.weir("hold", "all", "--reason", "all at once")
    for i in range(0, 40, 10):
        relay.send(*to[i:i + 10])
    wait_until(lambda: relay.queued()["held"] == 40)
    relay.weir("release", "all")

    def settled(*args):
        rows = relay.weir("causes", *args)
        return rows if rows and sum(r["count"] + r["waiting"] for r in rows) == 40 else None
    row, = wait_until(settled, what="40 of them")
    assert row["class"] == "network" and row["count"] > 0 and row["waiting"] > 0 and "refused" in row["text"]
    assert len(relay.recipients(row["where"])) == row["count"], "a filter finds who was told"
    assert "more recipient" not in relay.run("causes", json_output=False).stdout
    # counted one by one, as with what only the scheduler knows; and of those that nobody was told
    assert settled("--where", "state:deferred") == [row]
    alone, = relay.weir("causes", "--where", "attempts:0 domain:d1.down.example")
    assert (alone["count"], alone["domains"], alone["class"], alone["text"]) == (0, 1, "network", row["text"])
    assert 0 < alone["waiting"] <= 14 and alone["since_at"] and alone["action"] == row["action"]
    # the larger cause comes first, whatever it is made of
    world.do('set fast.example reply at=rcpt text="451 4.3.2 Later"')
    relay.send(*(f"u{i}@fast.example" for i in range(row["count"] + 2)))
    wait_until(lambda: len(relay.weir("causes")) == 2 and relay.weir("causes")[1]["count"] == row["count"] + 2)
    assert [r["waiting"] > 0 for r in relay.weir("causes", "--limit", "1")] == [True]
    # held is held, and in the trash nothing waits
    relay.weir("hold", "domain:d1.down.example", "--reason", "r")
    relay.weir("delete", "domain:d0.down.example", "--reason", "r", "--yes")
    wait_until(lambda: all(r["waiting"] <= 13 for r in relay.weir("causes")))
