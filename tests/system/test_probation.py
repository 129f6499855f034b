"""Edits on probation: in force at once, taken back by the relay itself unless somebody confirms them in time."""

import datetime
import os
import pathlib
import shutil
import tempfile

import pytest

import harness
import remote
from harness import Relay, WeirError, wait_until

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux")
needs_ssh = pytest.mark.skipif(remote.possible() is not None, reason=str(remote.possible()))


def now_text():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def history(relay):
    return relay.weir("config", "history", "--limit", "1000")


def routes(relay):
    return [r["to"] for r in relay.weir("route", "list")]


def add(relay, *args, probation="1h"):
    return relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example", "--probation", probation, *args)


def test_it_is_taken_back_unless_confirmed(bare_relay):
    relay = bare_relay
    done = add(relay, "--reason", "try it", probation="2s")
    assert done["probation"]["version"] == done["version"] == 1
    assert routes(relay) == ["discard", "mx"], "in force at once"
    pending = relay.weir("status")["probation"]
    assert (pending["version"], pending["method"], pending["reason"]) == (1, "route.add", "try it")
    assert pending["who"] == "root" and pending["until_at"] and pending["left_s"] <= 2
    assert history(relay)[0]["probation_until_at"] == pending["until_at"]
    text = relay.run("status", json_output=False).stdout
    assert "probation" in text and "weir config confirm" in text
    wait_until(lambda: routes(relay) == ["mx"], 10)
    assert relay.weir("status")["probation"] is None
    version, = relay.weir("config", "history", "--limit", "1")
    assert (version["version"], version["who"], version["method"]) == (2, "weir-relayd", "config.rollback")
    assert "not confirmed within 2s" in version["reason"]
    assert relay.weir("actions")[1]["state"] == "undone"
    audit = relay.weir("audit")
    assert (audit[0]["method"], audit[0]["who"], audit[0]["uid"]) == ("config.rollback", "weir-relayd", -1)
    assert [c["kind"] for c in audit[0]["changes"]] == ["route", "probation"]
    assert [c["kind"] for c in audit[1]["changes"]] == ["route", "probation"]
    relay.restart()
    assert routes(relay) == ["mx"] and relay.weir("actions")[1]["state"] == "undone"
    # who comes too late gets it back as a version
    relay.weir("config", "rollback", "1", "--yes", "--reason", "it was good")
    assert routes(relay) == ["discard", "mx"]


def test_confirmed(bare_relay):
    relay = bare_relay
    done = add(relay, probation="5s")
    for wrong in (["2"], ["0"]):
        assert relay.run("config", "confirm", *wrong).returncode != 0
    with pytest.raises(WeirError) as e:
        relay.weir("config", "confirm", "7")
    assert "version 1" in e.value.error["message"]
    relay.weir("config", "confirm", "1", "--reason", "works")
    assert relay.weir("status")["probation"] is None and history(relay)[0]["probation_until_at"] is None
    assert relay.weir("audit")[0]["method"] == "config.confirm"
    wait_until(lambda: now_text() > done["probation"]["until_at"], 10)
    relay.weir("retry", "all")  # behind whatever the relay would do then
    assert routes(relay) == ["discard", "mx"]
    relay.weir("undo", done["action"])  # and its undo is still open
    assert routes(relay) == ["mx"]
    for args in (["confirm"], ["rollback", "--yes", "--reason", "r"]):
        with pytest.raises(WeirError) as e:
            relay.weir("config", *args)
        assert "no edit is on probation" in e.value.error["message"]


def test_taken_back_by_hand(bare_relay):
    relay = bare_relay
    done = add(relay)
    relay.weir("undo", done["action"])
    assert routes(relay) == ["mx"] and relay.weir("status")["probation"] is None
    done = add(relay)
    plan = relay.weir("config", "rollback", "--plan")
    assert [(c["op"], c["kind"]) for c in plan["changes"]] == [("-", "route")] and len(routes(relay)) == 2
    assert relay.weir("config", "rollback", "--yes", "--reason", "no good")["undone"]["action"] == done["action"]
    assert routes(relay) == ["mx"] and relay.weir("status")["probation"] is None
    with pytest.raises(WeirError) as e:
        relay.weir("undo", done["action"])
    assert "taken back already" in e.value.error["message"]
    relay.restart()
    with pytest.raises(WeirError) as e:
        relay.weir("undo", done["action"])
    assert "taken back already" in e.value.error["message"]


def test_nothing_else_is_edited_meanwhile(bare_relay):
    """Of these kinds: what comes back is exactly what was. A leak does not wait."""
    relay = bare_relay
    relay.weir("cred", "add", "crm")
    first = relay.weir("allow", "add", "10.0.0.0/8")
    add(relay)
    for args in (["allow", "add", "10.1.0.0/16"], ["allow", "remove", "10.0.0.0/8"], ["pool", "add", "p", "--source", "127.0.0.1"],
                 ["stream", "add", "news"], ["route", "add", "--to", "reject"], ["undo", first["action"]],
                 ["config", "rollback", "0", "--yes", "--reason", "r"], ["allow", "add", "10.1.0.0/16", "--plan"]):
        with pytest.raises(WeirError) as e:
            relay.weir(*args)
        text = e.value.error["message"]
        assert "version 3 (route.add discard by root) is on probation for another" in text, (args, text)
        assert "weir config confirm" in text
    relay.weir("cred", "revoke", "crm", "--reason", "leaked")
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    relay.weir("config", "confirm")
    relay.weir("allow", "add", "10.1.0.0/16")


def test_what_ends_by_itself_meanwhile(bare_relay):
    """An entry whose time is over while it is on probation does not keep the rest from coming back."""
    relay = bare_relay
    relay.weir("allow", "add", "10.0.0.0/8", "--for", "1s", "--probation", "3s")
    wait_until(lambda: relay.weir("allow", "list") == [], 10)
    assert relay.weir("status")["probation"]
    wait_until(lambda: relay.weir("status")["probation"] is None, 10)
    assert relay.weir("allow", "list") == []


def test_all_that_can_be_on_probation(bare_relay):
    relay = bare_relay
    for args, what in ((["allow", "add", "10.0.0.0/8"], "allow"), (["pool", "add", "p", "--source", "127.0.0.1"], "pool"),
                       (["stream", "add", "news"], "stream"), (["stream", "set", "default", "--rate", "5", "--reason", "r"], "stream")):
        before = relay.weir(what, "list")
        plan = relay.weir(*args, "--probation", "10m", "--plan")
        assert plan["probation_s"] == 600 and relay.weir("status")["probation"] is None
        relay.weir(*args, "--probation", "10m")
        assert relay.weir(what, "list") != before
        relay.weir("config", "rollback", "--yes", "--reason", "r")
        assert relay.weir(what, "list") == before
    assert relay.run("cred", "add", "crm", "--probation", "10m").returncode == 2


def test_over_kill(directory, world):
    """kill -9 changes nothing; what ran out while the relay was away is taken back at its start."""
    relay = Relay(directory, world, extra='queue { undo-window = "1s" bounce-grace = "1s" }\n')
    relay.start()
    pw = directory / "pw"
    pw.write_text("Gruenkohl\n")
    relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", "--password-file", str(pw))
    route = relay.weir("route", "list")[0]["id"]
    before = relay.weir("route", "test", "x@fast.example")
    until = relay.weir("route", "remove", route, "--reason", "r", "--probation", "5s")["probation"]["until_at"]
    relay.kill()
    relay.start()
    assert relay.weir("status")["probation"]["version"] == 2 and routes(relay) == ["mx"]
    relay.kill()
    wait_until(lambda: now_text() > until, 10)  # its time is over while nobody is there
    relay.start()
    wait_until(lambda: len(routes(relay)) == 2, 5)
    assert relay.weir("route", "test", "x@fast.example") == before
    assert relay.weir("status")["probation"] is None
    relay.weir("route", "remove", route, "--reason", "r", "--probation", "1h")
    relay.weir("config", "confirm")
    relay.kill()
    relay.start()
    assert routes(relay) == ["mx"] and relay.weir("status")["probation"] is None
    assert relay.stop() == 0 and relay.bad_log_lines() == []


@pytest.mark.parametrize("ahead", ["+2h", "+5h", "+9d"])
def test_long_after(directory, world, ahead):
    """However late the relay comes back: what was not confirmed is taken back, and what runs can be ended by hand."""
    relay = Relay(directory, world)
    relay.start()
    relay.weir("allow", "add", "10.0.0.0/8", "--probation", "3h")
    assert relay.stop() == 0
    relay.start(ahead)
    if ahead == "+2h":
        assert relay.weir("status")["probation"]["left_s"] < 3700 and len(relay.weir("allow", "list")) == 1
        relay.weir("config", "rollback", "--yes", "--reason", "no good")
    wait_until(lambda: relay.weir("status")["probation"] is None, 5)
    assert relay.weir("allow", "list") == []
    assert history(relay)[0]["method"] == "config.rollback"
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_configured(directory, world):
    relay = Relay(directory, world)
    relay.config.write_text(relay.config.read_text().replace("control {", 'control {\n\tprobation = "1h"'))
    relay.start()
    done = relay.weir("allow", "add", "10.0.0.0/8")
    assert done["probation"]["left_s"] > 3500
    relay.weir("config", "confirm")
    assert "probation" not in relay.weir("allow", "add", "10.1.0.0/16", "--probation", "0")
    assert "probation" not in relay.weir("cred", "add", "crm")
    assert relay.stop() == 0 and relay.bad_log_lines() == []


def test_a_revocation_meanwhile_stays(bare_relay, directory):
    """An import on probation goes back but for what somebody else did to a credential since."""
    relay = bare_relay
    relay.expected.append("undo.left")
    for name in ("crm", "shop"):
        relay.weir("cred", "add", name)
    text = relay.run("config", "export", json_output=False).stdout
    path = directory / "text"
    path.write_text(text.replace('credential "crm" {', 'credential "crm" {\n\tper-day = 9')
                    .replace('credential "shop" {', 'credential "shop" {\n\tper-day = 9')
                    + '\nroute {\n\tto = discard\n\tmatch = "domain:fast.example"\n}\n')
    relay.weir("config", "import", str(path), "--yes", "--reason", "r", "--probation", "3s")
    assert [c["per_day"] for c in relay.weir("cred", "list")] == [9, 9] and len(routes(relay)) == 2
    relay.weir("cred", "revoke", "crm", "--reason", "leaked")
    plan = relay.weir("config", "rollback", "--plan")
    assert any("cred crm was changed since" in w and "it stays as it is" in w for w in plan["warnings"])
    wait_until(lambda: routes(relay) == ["mx"], 10)
    crm, shop = relay.weir("cred", "list")
    assert (crm["status"], crm["per_day"]) == ("revoked", 9) and (shop["status"], shop["per_day"]) == ("active", None)


def test_a_rollback_on_probation(bare_relay):
    relay = bare_relay
    relay.weir("route", "add", "--to", "discard", "--match", "domain:fast.example")
    relay.weir("config", "rollback", "0", "--yes", "--reason", "was it that?", "--probation", "1s")
    wait_until(lambda: routes(relay) == ["discard", "mx"], 10)
    assert [r["method"] for r in history(relay)] == ["config.rollback", "config.rollback", "route.add"]


# --- nobody is there any more ---------------------------------------------------------------------


ROUTE = "route add --to discard --match domain:fast.example --probation 8s --reason r"


def edit_in_console(console):
    """An edit on probation, typed; the console says what waits for a decision."""
    console.expect("relay.test.example")
    console.keys(":")
    console.keys("-l", ROUTE)
    console.keys("Enter")
    console.expect("8s, then it is taken back unless it is confirmed")
    console.keys("Tab", "Tab")
    console.keys("Enter")
    screen = console.expect("version 1 goes back in")
    assert ":config confirm" in screen and ":config rollback" in screen


@needs_tmux
def test_the_console_is_killed(bare_relay, directory):
    relay = bare_relay
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(directory / "xdg")}
    console = remote.Console(directory, [harness.WEIR, "-r", f"unix:{relay.socket}"], env)
    try:
        edit_in_console(console)
        assert routes(relay) == ["discard", "mx"]
        remote.run("pkill", "-KILL", "-x", "weir", "-P", console.tmux("display-message", "-p", "#{pane_pid}").strip())
        console.expect("Killed")
    finally:
        console.end()
    assert routes(relay) == ["discard", "mx"]
    wait_until(lambda: routes(relay) == ["mx"], 20)
    assert history(relay)[0]["who"] == "weir-relayd"


@needs_tmux
def test_confirmed_in_the_console(bare_relay, directory):
    relay = bare_relay
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(directory / "xdg")}
    console = remote.Console(directory, [harness.WEIR, "-r", f"unix:{relay.socket}"], env)
    try:
        edit_in_console(console)
        console.keys(":")
        console.keys("-l", "config confirm 1 --reason works")
        console.keys("Enter")
        console.expect("weir config confirm 1")
        console.keys("Tab", "Tab")
        console.keys("Enter")
        console.gone("goes back in")
    finally:
        console.end()
    assert routes(relay) == ["discard", "mx"] and history(relay)[0]["probation_until_at"] is None


@needs_ssh
def test_the_link_is_cut(directory, world):
    """The one who made it comes over SSH, and the edit is what keeps him from coming back."""
    directory.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="weir-ssh.") as home:
        os.chmod(home, 0o755)
        account = remote.Account(f"weirp{os.getpid()}", pathlib.Path(home) / "home")
        relay = Relay(directory, world, f'role admin {{ groups = {{"{account.name}"}} }}\n')
        relay.config.write_text(relay.config.read_text().replace('mode   = "0600"', 'mode   = "0666"'))
        relay.start()
        key = remote.make_key(directory / "key")
        sshd = remote.Sshd(directory, authorized=remote.public(key))
        client = remote.Client(directory)
        client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
        client.knows(sshd)
        console = remote.Console(directory, [harness.WEIR, "-r", f"ssh://mx1{relay.socket}"], client.env)
        try:
            edit_in_console(console)
            sshd.stop()
            console.expect("LOST")
            assert routes(relay) == ["discard", "mx"]
            assert history(relay)[0]["who"] == account.name
            assert relay.weir("status")["probation"]["from_where"] == "ssh"
            wait_until(lambda: routes(relay) == ["mx"], 20)
            assert relay.weir("audit")[0]["who"] == "weir-relayd"
            assert relay.stop() == 0 and relay.bad_log_lines() == []
        finally:
            console.end()
            sshd.stop()
            account.remove()
