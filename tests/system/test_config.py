"""The configuration that operators edit: versions, differences, roll-back, plans, and who edits at the same time."""

import json
import socket

import pytest

from harness import Relay, WeirError, wait_until


def history(relay):
    return relay.weir("config", "history", "--limit", "1000")


def diff(relay, *versions):
    return [(r["op"], r["kind"], r["id"]) for r in relay.weir("config", "diff", *map(str, versions))]


def state(relay):
    """All that is configuration, as the lists show it, without what is counted."""
    def plain(row):
        return {k: v for k, v in row.items() if not k.startswith(("last_", "hits", "uses", "today"))}
    return {what: [plain(r) for r in relay.weir(what, "list")] for what in ("route", "allow", "cred", "dkim")}


def test_every_edit_is_a_version(bare_relay):
    relay = bare_relay
    assert history(relay) == [] and relay.weir("config", "diff") == []
    relay.weir("allow", "add", "10.0.0.0/8", "--note", "office", "--reason", "they moved")
    relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example")
    route = relay.weir("route", "list")[0]["id"]
    relay.weir("cred", "add", "crm", "--senders", "shop.example")
    relay.weir("dkim", "add", "shop.example", "--selector", "s1", "--algorithm", "ed25519")
    held = relay.weir("hold", "domain:fast.example", "--reason", "no configuration")
    assert "version" not in held
    removed = relay.weir("route", "remove", route, "--reason", "tidy")
    rows = history(relay)
    assert [r["version"] for r in rows] == [5, 4, 3, 2, 1]
    assert [r["method"] for r in rows] == ["route.remove", "dkim.add", "cred.add", "route.add", "allow.add"]
    assert removed["version"] == 5 and rows[0]["action"] == removed["action"]
    assert rows[-1]["reason"] == "they moved" and rows[-1]["who"] and rows[-1]["at"]
    change, = rows[-1]["changes"]
    assert change["op"] == "+" and change["before"] is None and change["after"]["note"] == "office"
    assert diff(relay) == [("-", "route", route)]
    assert diff(relay, 0, 1) == [("+", "allow", "10.0.0.0/8")]
    assert diff(relay, 0) == [("+", "allow", "10.0.0.0/8"), ("+", "cred", "crm"), ("+", "dkim", "shop.example/s1")]
    assert diff(relay, 1, 2) == [("+", "route", route)] and diff(relay, 5) == []
    relay.weir("undo", removed["action"])
    assert diff(relay) == [("+", "route", route)] and diff(relay, 4) == []
    relay.restart()
    assert [r["version"] for r in history(relay)] == [6, 5, 4, 3, 2, 1]
    for wrong in (["7"], ["3", "2"], ["x"]):
        assert relay.run("config", "diff", *wrong).returncode != 0


def test_no_secret_is_in_a_version(bare_relay, directory):
    relay = bare_relay
    (directory / "pw").write_text("Grünkohl mit Pinkel\n")
    relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", "--password-file",
               str(directory / "pw"))
    secret = relay.weir("cred", "add", "crm")["secret"]
    relay.weir("dkim", "add", "shop.example")
    planned = relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2527", "--user", "u", "--password-file",
                         str(directory / "pw"), "--plan")
    text = relay.run("config", "history").stdout + relay.run("config", "diff", "0").stdout + str(planned)
    assert "smarthost:127.0.0.1:2526" in text and "smarthost:127.0.0.1:2527" in text
    for word in ("Grünkohl", secret, "stored_key", "server_key", "salt", "PRIVATE", "pem"):
        assert word not in text, word


def test_rollback(bare_relay):
    relay = bare_relay
    relay.weir("allow", "add", "10.0.0.0/8", "--note", "office")
    relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example")
    relay.weir("route", "add", "--to", "reject", "--match", "domain:slow.example")
    relay.weir("cred", "add", "crm", "--senders", "shop.example")
    version = history(relay)[0]["version"]
    before = state(relay)
    first, second = (r["id"] for r in before["route"][:2])
    relay.weir("route", "move", first, "--reason", "r")
    relay.weir("route", "remove", second, "--reason", "r")
    relay.weir("route", "add", "--to", "hold", "--match", "domain:isp.example")
    relay.weir("allow", "remove", "10.0.0.0/8")
    relay.weir("allow", "add", "10.1.0.0/16")
    relay.weir("cred", "set", "crm", "--note", "the CRM")
    changed = state(relay)
    plan = relay.weir("config", "rollback", str(version), "--plan")
    assert [c["op"] for c in plan["changes"]] == ["~", "+", "-", "+", "-", "~"]
    assert state(relay) == changed, "a plan changes nothing"
    asked = relay.run("config", "rollback", str(version), "--reason", "r")
    assert asked.returncode == 2 and "--yes" in asked.stderr
    with pytest.raises(WeirError) as e:
        relay.weir("config", "rollback", str(version), "--yes")
    assert e.value.error["param"] == "reason"
    done = relay.weir("config", "rollback", str(version), "--yes", "--reason", "back to what worked")
    assert state(relay) == before
    assert diff(relay, version) == []
    assert relay.weir("audit")[0]["method"] == "config.rollback"
    relay.restart()
    assert state(relay) == before
    relay.weir("undo", done["action"])
    assert state(relay) == changed
    for wrong, status in (("999", 1), (str(history(relay)[0]["version"]), 1), ("-1", 2)):
        assert relay.run("config", "rollback", wrong, "--yes", "--reason", "r").returncode == status


def test_a_rollback_gives_no_access_back(bare_relay, directory):
    """What was revoked stays revoked, and a password that is not kept is asked for."""
    relay = bare_relay
    relay.weir("cred", "add", "crm", "--note", "old")
    version = history(relay)[0]["version"]
    relay.weir("cred", "set", "crm", "--note", "new")
    relay.weir("cred", "revoke", "crm", "--reason", "leaked")
    relay.weir("config", "rollback", str(version), "--yes", "--reason", "r")
    cred, = relay.weir("cred", "list")
    assert cred["note"] == "old" and cred["status"] == "revoked"
    (directory / "pw").write_text("secret\n")
    relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", "--password-file",
               str(directory / "pw"))
    version = history(relay)[0]["version"]
    relay.weir("route", "remove", relay.weir("route", "list")[0]["id"], "--reason", "r")
    with pytest.raises(WeirError) as e:
        relay.weir("config", "rollback", str(version), "--yes", "--reason", "r")
    assert "password" in e.value.error["message"]


def test_edits_are_planned(bare_relay):
    relay = bare_relay
    for args, change in (
            (["allow", "add", "10.0.0.0/8"], ("+", "allow")),
            (["route", "add", "--to", "discard"], ("+", "route")),
            (["cred", "add", "crm"], ("+", "cred")),
            (["dkim", "add", "shop.example", "--algorithm", "ed25519"], ("+", "dkim"))):
        plan = relay.weir(*args, "--plan")
        assert [(c["op"], c["kind"]) for c in plan["changes"]] == [change]
        assert plan["command"].startswith("weir " + " ".join(args[:2]))
    assert history(relay) == [] and relay.weir("actions") == []
    assert state(relay) == {"route": relay.weir("route", "list"), "allow": [], "cred": [], "dkim": []}
    wide = relay.weir("allow", "add", "0.0.0.0/1", "--plan")
    assert wide["warnings"]
    with pytest.raises(WeirError):
        relay.weir("allow", "remove", "10.0.0.0/8", "--plan")


class Operator:
    """Somebody with a connection of his own, for plans that stay open."""

    def __init__(self, relay):
        self.n = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(relay.socket))
        self.file = self.socket.makefile("r")
        self.file.readline()

    def ask(self, name, /, **params):
        self.n += 1
        line = {"jsonrpc": "2.0", "id": self.n, "method": name, "params": params}
        self.socket.sendall((json.dumps(line) + "\n").encode())
        answer = json.loads(self.file.readline())
        return answer.get("result"), answer.get("error", {}).get("message")


def test_what_changed_since_is_named(bare_relay):
    """A plan, and an edit that says what it was made against, are refused when somebody else was faster."""
    relay = bare_relay
    anna, bela = Operator(relay), Operator(relay)
    relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example")
    route = relay.weir("route", "list")[0]["id"]
    base = history(relay)[0]["version"]
    plan, _ = anna.ask("plan.make", method="route.remove", params={"id": route})
    assert plan["changes"][0]["op"] == "-" and plan["base"] == base
    other, _ = anna.ask("plan.make", method="allow.add", params={"network": "10.0.0.0/8"})
    done, _ = bela.ask("route.add", to="reject", match="domain:slow.example")
    refused, why = anna.ask("plan.commit", plan=plan["plan"], reason="r")
    assert refused is None and "root" in why and done["action"] in why and "version" in why
    assert len(relay.weir("route", "list")) == 3
    done, why = anna.ask("plan.commit", plan=other["plan"], reason="not the same")
    assert why is None and [e["network"] for e in relay.weir("allow", "list")] == ["10.0.0.0/8"]
    gone, why = anna.ask("plan.commit", plan=other["plan"], reason="twice")
    assert gone is None and "no such plan" in why
    refused, why = bela.ask("route.remove", id=route, reason="r", base=base)
    assert refused is None and "root" in why
    refused, why = bela.ask("plan.make", method="route.remove", params={"id": route, "base": base})
    assert refused is None and "root" in why
    done, why = bela.ask("route.remove", id=route, reason="r", base=history(relay)[0]["version"])
    assert why is None
    assert relay.run("allow", "remove", "10.0.0.0/8", "--base", "99").returncode != 0
    assert relay.weir("allow", "remove", "10.0.0.0/8", "--base", str(done["version"]))["version"] == done["version"] + 1


def test_lists_say_of_which_version_they_are(bare_relay):
    """So that an edit made from a row of theirs is refused when somebody else changed the same since."""
    relay = bare_relay
    anna, bela = Operator(relay), Operator(relay)
    for n, (what, edit) in enumerate({
            "allow": dict(network="10.0.0.0/8"), "cred": dict(name="crm"), "dkim": dict(domain="shop.example"),
            "pool": dict(name="bulk", sources=["127.0.0.1"]), "stream": dict(name="news", match="from:news@*"),
            "route": dict(to="discard", match="domain:fast.example")}.items(), 1):
        done, why = anna.ask(f"{what}.add", **edit)
        assert why is None, (what, why)
        page, _ = anna.ask(f"{what}.list")
        assert page["version"] == done["version"] >= n, what
    assert "version" not in anna.ask("hold.list")[0]
    base = anna.ask("stream.list")[0]["version"]
    assert bela.ask("allow.set", network="10.0.0.0/8", note="not the same")[1] is None
    done, why = anna.ask("stream.set", name="news", note="a", base=base, reason="r")
    assert why is None
    refused, why = bela.ask("stream.set", name="news", note="b", base=base, reason="r")
    assert refused is None and "root" in why
    assert bela.ask("stream.set", name="news", note="b", base=bela.ask("stream.list")[0]["version"], reason="r")[0]


def test_what_ends_by_itself_is_a_version(bare_relay):
    relay = bare_relay
    relay.weir("allow", "add", "10.0.0.0/8", "--for", "1s")
    ended = wait_until(lambda: len(history(relay)) == 2 and history(relay)[0])
    assert (ended["method"], ended["who"], ended["changes"][0]["op"]) == ("allow.remove", "weir-relayd", "-")
    assert relay.weir("audit")[0]["uid"] == -1


def test_a_password_goes_with_its_route(directory, world):
    """When it cannot be taken back any more, nothing in the state directory has it."""
    relay = Relay(directory, world, extra='queue { undo-window = "2s" bounce-grace = "1s" }\n')
    relay.start()
    (directory / "pw").write_text("Gruenkohl-mit-Pinkel\n")
    args = ["route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", "--password-file", str(directory / "pw")]

    def everywhere():
        return b"".join(f.read_bytes() for f in relay.state.rglob("*") if f.is_file())
    for _ in range(2):
        relay.weir(*args)
        route = relay.weir("route", "list")[0]["id"]
        assert b"Gruenkohl" in everywhere()
        removed = relay.weir("route", "remove", route, "--reason", "r")
        relay.weir("undo", removed["action"])
        relay.weir("route", "remove", route, "--reason", "r")
    wait_until(lambda: relay.weir("actions")[0]["state"] == "expired")
    relay.restart()
    assert relay.stop() == 0
    assert b"Gruenkohl" not in everywhere()
    assert relay.bad_log_lines() == []


def test_a_route_is_changed_where_it_stands(bare_relay, directory):
    relay = bare_relay
    (directory / "pw").write_text("Gruenkohl\n")
    pw = ["--password-file", str(directory / "pw")]
    relay.weir("pool", "add", "p", "--source", "127.0.0.9")
    for domain in ("a.example", "b.example", "c.example"):
        relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", *pw, "--match", f"domain:{domain}")
    ids = [r["id"] for r in relay.weir("route", "list")[:3]]

    def change(*args):
        return relay.weir("route", "set", ids[1], *args, "--reason", "r")

    def route():
        assert [r["id"] for r in relay.weir("route", "list")[:3]] == ids
        return relay.weir("route", "list")[1]
    before = route()
    done = change("--match", "domain:d.example", "--pool", "p", "--note", "other", "--tls", "opportunistic")
    assert (route()["match"], route()["pool"], route()["note"], route()["user"]) == ("domain:d.example", "p", "other", "u")
    relay.weir("undo", done["action"])
    assert route() == before
    for args, param in ((["--user", "v"], "password"), (["--to", "smarthost:127.0.0.2:25"], "password"), (["--to", "mx"], "user"),
                        (["--pool", "none"], "pool"), (["--match", "age>2h"], "match"), (["--to", "smarthost:"], "to")):
        with pytest.raises(WeirError) as e:
            change(*args)
        assert e.value.error["param"] == param, args
    change("--user", "v", *pw)
    assert route()["user"] == "v"
    change("--to", "mx", "--user", "", "--match", "")
    assert route()["to"] == "mx" and not route()["match"] and not route()["user"]
    with pytest.raises(WeirError):
        relay.weir("route", "set", "default", "--to", "hold", "--reason", "r")
