"""What operators do: hold, release, retry, delete, bounce, undo; plans, refusals, roles."""

import json
import subprocess

import pytest

import harness
from harness import SENDER, WeirError, wait_until

HELD = 'reply at=mail text="451 4.3.2 Later"'


@pytest.fixture
def backlog(relay, world):
    """Three deferred recipients at fast.example, one at isp.example."""
    world.do(f"set fast.example {HELD}")
    to = [f"{n}@fast.example" for n in ("anna", "bela", "chen")] + ["full@isp.example"]
    for t in to:
        relay.send(t, tag=t)
    for t in to:
        relay.wait_state(t, "deferred")
    return to


def states(relay):
    return {r["to"]: r["state"] for r in relay.recipients()}


@pytest.mark.parametrize("target", [
    ["domain:fast.example"], ["sender:" + SENDER], ["all"], ["provider:fast.example"],
    ["--where", "domain:fast.example"], ["stream:default"], ["--where", "to:*@fast.example size<10M"],
])
def test_hold_covers_what_arrives_and_release_lets_it_go(relay, world, target):
    held = relay.weir("hold", *target, "--reason", "incident 7")
    assert held["action"] and held["hold"]["reason"] == "incident 7" and held["hold"]["by"]
    relay.send("anna@fast.example", tag="held")
    row = relay.wait_state("anna@fast.example", "held")
    assert relay.queued()["held"] == 1 and relay.weir("status")["holds"] == 1
    hold, = relay.weir("holds")
    assert hold["recipients"] == 1 and hold["id"] == held["hold"]["id"]
    why = relay.weir("why", row["id"])
    assert why["binding"] == "held" and "incident 7" in why["text"] and why["rule"] == hold["id"]
    assert world.messages("fast.example") == []
    relay.weir("release", *target)
    wait_until(lambda: world.messages("fast.example"))
    assert relay.weir("holds") == []


def test_hold_needs_a_reason(relay):
    with pytest.raises(WeirError) as e:
        relay.weir("hold", "domain:fast.example")
    assert e.value.status == 2 and e.value.error["param"] == "reason"


def test_hold_of_queued_mail_and_undo(relay, world, backlog):
    held = relay.weir("hold", "domain:fast.example", "--reason", "r")
    assert held["recipients"] == 3
    assert list(states(relay).values()).count("held") == 3
    relay.weir("undo", held["action"])
    assert list(states(relay).values()).count("held") == 0
    assert relay.weir("holds") == []


def test_held_mail_is_not_retried(relay, world, backlog):
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    world.set("fast.example", "accept")
    relay.weir("retry", "all")
    relay.wait_state("full@isp.example", "deferred")
    assert world.messages("fast.example") == []


def test_hold_ends_by_itself(relay, world):
    held = relay.weir("hold", "domain:fast.example", "--reason", "r", "--for", "2s")
    assert held["hold"]["expires_at"]
    relay.send("anna@fast.example")
    relay.wait_state("anna@fast.example", "held")
    wait_until(lambda: world.messages("fast.example"), 15)


def test_hold_of_one_message(relay, world, backlog):
    one = relay.row(backlog[0])
    assert relay.weir("hold", f"id:{one['id']}", "--reason", "r")["recipients"] == 1
    world.set("fast.example", "accept")
    relay.weir("retry", "domain:fast.example")
    wait_until(lambda: len(world.messages("fast.example")) == 2)
    assert relay.row(backlog[0])["state"] == "held"


def test_retry(relay, world, backlog):
    world.set("fast.example", "accept")
    done = relay.weir("retry", "domain:fast.example")
    assert done["recipients"] == 3
    wait_until(lambda: len(world.messages("fast.example")) == 3)
    assert list(states(relay)) == ["full@isp.example"]


def test_plan_touches_nothing(relay, backlog):
    plan = relay.weir("delete", "domain:fast.example", "--plan")
    assert plan["recipients"] == plan["messages"] == 3 and plan["in_delivery"] == 0
    assert plan["by_state"] == {"deferred": 3} and plan["by_domain"] == {"fast.example": 3}
    assert len(plan["sample"]) == 3 and plan["undo_window_s"] > 0
    assert plan["command"].startswith("weir ") and "delete" in plan["command"]
    assert len(states(relay)) == 4


def test_delete_without_a_terminal_needs_yes(relay, backlog):
    result = relay.run("delete", "domain:fast.example", "--reason", "r")
    assert result.returncode != 0 and "--yes" in result.stderr
    assert len(states(relay)) == 4


def test_delete_and_undo(relay, world, backlog):
    before = {to: relay.weir("show", relay.row(to)["id"]) for to in backlog[:3]}
    deleted = relay.weir("delete", "domain:fast.example", "--reason", "r", "--yes")
    assert deleted["recipients"] == 3 and deleted["undo_until_at"]
    assert list(states(relay)) == ["full@isp.example"]
    assert relay.queued()["trash"] == 3
    world.set("fast.example", "accept")
    relay.weir("retry", "all")
    relay.restart()
    assert relay.queued()["trash"] == 3
    relay.weir("undo", deleted["action"])
    for to in backlog[:3]:
        after = relay.weir("show", before[to]["id"])
        assert after["attempts"][:len(before[to]["attempts"])] == before[to]["attempts"]
    relay.weir("retry", "domain:fast.example")
    wait_until(lambda: len(world.messages("fast.example")) == 3)
    assert world.do("count-by-header")["duplicates"] == 0


def test_undo_of_the_last_action(relay, backlog):
    relay.weir("delete", "domain:fast.example", "--reason", "r", "--yes")
    relay.weir("undo")
    assert len(states(relay)) == 4
    assert relay.weir("actions")[0]["method"]


def test_bounce_is_reported_to_the_sender(relay, world, backlog):
    done = relay.weir("bounce", "domain:isp.example", "--reason", "no such customer", "--yes")
    assert done["recipients"] == 1 and done["undo_until_at"]
    assert relay.row("full@isp.example") is None
    assert world.messages("shop.example") == [], "nothing leaves in the grace time"


def test_bounce_and_undo(relay, world, backlog):
    done = relay.weir("bounce", "domain:isp.example", "--reason", "r", "--yes")
    relay.weir("undo", done["action"])
    assert relay.row("full@isp.example")["state"] == "deferred"


def test_undo_twice_is_refused(relay, backlog):
    done = relay.weir("delete", "domain:isp.example", "--reason", "r", "--yes")
    relay.weir("undo", done["action"])
    with pytest.raises(WeirError) as e:
        relay.weir("undo", done["action"])
    assert e.value.status == 1


@pytest.mark.parametrize("args,status,word", [
    (["messages", "--where", "colour:red"], 2, "colour"),
    (["messages", "--where", "age>"], 2, "age"),
    (["messages", "--where", "(domain:x"], 2, ""),
    (["show", "nosuchid"], None, ""),
    (["hold", "planet:mars", "--reason", "r"], 2, "planet"),
    (["allow", "add", "300.0.0.0/8"], 2, "300.0.0.0/8"),
    (["messages", "--limit", "zero"], 2, "limit"),
    (["frobnicate"], 2, "frobnicate"),
    (["status", "--frobnicate"], 2, "frobnicate"),
    (["release", "domain:fast.example"], 1, ""),
])
def test_wrong_usage_says_what_is_wrong(relay, args, status, word):
    result = relay.run(*args)
    assert result.returncode == status if status else result.returncode in (1, 2)
    assert word in result.stderr and result.stdout == ""


def test_relay_not_reached(directory):
    if not harness.WEIR.exists():
        pytest.skip("weir is not built")
    result = subprocess.run([harness.WEIR, "-r", f"unix:{directory}/none.sock", "--json", "status"],
                            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    assert result.returncode == 3 and result.stdout == ""


@pytest.mark.parametrize("sort", ["id", "age", "next", "size", "attempts"])
def test_messages_sort_and_limit(relay, backlog, sort):
    rows = relay.weir("messages", "--sort", sort, "--limit", "3")
    assert len(rows) == 3


@pytest.mark.parametrize("where,n", [
    ("domain:fast.example", 3), ("-domain:fast.example", 1), ("to:anna@*", 1), ("state:deferred", 4),
    ("code:451", 3), ("code:4.2.2", 1), ("code:4.*", 4), ("from:app@shop.example", 4), ("size<1K", 4),
    ("age>1h", 0), ("attempts>=1", 4), ("domain:fast.example,isp.example", 4),
    ("domain:isp.example or to:anna@fast.example", 2), ("not (domain:isp.example)", 3), ("anna", 1),
    ("subject:\"A system test\"", 4), ("text:*storage*", 1), ("relay:*", None),
])
def test_filters(relay, backlog, where, n):
    if n is None:
        relay.recipients(where)
    else:
        assert len(relay.recipients(where)) == n


def test_routes(relay, world):
    """A smarthost route leads around MX: mail for fast.example to the university's host."""
    port = world.smtp_port
    world.set("fast.example", "accept")
    added = relay.weir("route", "add", "--to", f"smarthost:127.0.10.5:{port}", "--match", "domain:fast.example",
                       "--note", "test")
    assert added["action"]
    routes = relay.weir("route", "list")
    assert routes[0]["to"] == f"smarthost:127.0.10.5:{port}"
    relay.send("anna@fast.example")
    wait_until(lambda: world.messages("fast.example"))
    assert world.stats("fast.example")["dns_queries"] == 0
    relay.weir("route", "remove", routes[0]["id"], "--reason", "over")
    relay.send("bela@fast.example")
    wait_until(lambda: len(world.messages("fast.example")) == 2)
    assert world.stats("fast.example")["dns_queries"] > 0


@pytest.fixture
def stranger(directory, world):
    """A relay that the account nobody may look at; commands run as nobody."""
    if subprocess.run(["id", "-u"], capture_output=True, text=True).stdout.strip() != "0":
        pytest.skip("needs root to become another account")
    if not harness.RELAYD.exists() or not harness.WEIR.exists():
        pytest.skip("weir-relayd or weir is not built")
    directory.chmod(0o755)
    r = harness.Relay(directory, world, extra='role viewer { users = {"nobody"} }\n')
    r.config.write_text(r.config.read_text().replace('"0600"', '"0666"'))
    r.start()

    def run(*args):
        command = ["setpriv", "--reuid=nobody", "--clear-groups", harness.WEIR, "-r", f"unix:{r.socket}",
                   "--json", *args]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    yield run
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def test_a_viewer_reads_and_changes_nothing(stranger):
    assert stranger("status").returncode == 0
    refused = stranger("hold", "all", "--reason", "r")
    assert refused.returncode == 4 and "operator" in refused.stderr
    assert stranger("allow", "add", "0.0.0.0/0").returncode == 4


def test_route_order(relay):
    """Routes are moved, and route test says which one decides."""
    relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example", "--note", "first")
    relay.weir("route", "add", "--to", "reject", "--match", "to:*@fast.example", "--note", "second")
    first, second, default = relay.weir("route", "list")
    assert default["id"] == "default" and default["to"] == "mx"
    assert first["to"] == "reject", "a new route comes first"
    assert relay.weir("route", "test", "anna@fast.example")["to"] == "reject"
    relay.weir("route", "move", first["id"], "--reason", "order")
    assert [r["id"] for r in relay.weir("route", "list")] == [second["id"], first["id"], "default"]
    with pytest.raises(WeirError) as e:
        relay.weir("route", "remove", "default", "--reason", "r")
    assert e.value.status == 1 and "default" in e.value.error["message"]
    decided = relay.weir("route", "test", "anna@fast.example")
    assert decided["route"] == second["id"] and decided["to"] == "discard" and decided["text"]
    elsewhere = relay.weir("route", "test", "anna@gmail.com")
    assert elsewhere["to"] == "mx" and "google" in json.dumps(elsewhere["next_hops"])
