"""What people meet who use the command line for the first time: what it refuses, prints and warns of."""

import json
import subprocess

import pytest

from harness import WEIR, WeirError, wait_until


def refused(relay, *args):
    with pytest.raises(WeirError) as e:
        relay.weir(*args)
    return e.value


def text(relay, *args):
    result = relay.run(*args, json_output=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_readonly_holds_for_verbs(relay):
    def readonly(*args):
        return subprocess.run([WEIR, "-r", f"unix:{relay.socket}", "--readonly", *args],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=15)

    for args in (["hold", "all", "--reason", "r"], ["delete", "all", "--reason", "r", "--yes"],
                 ["allow", "add", "10.0.0.0/8"], ["undo"]):
        result = readonly(*args)
        assert result.returncode == 4 and "--readonly" in result.stderr, args
    assert relay.weir("holds") == [] and len(relay.weir("allow", "list")) == 1
    assert readonly("stdio").returncode == 4
    assert readonly("hold", "all", "--reason", "r", "--plan").returncode == 0
    assert readonly("status").returncode == 0


def test_a_planned_edit_pasted_does_the_same(relay, directory):
    """Lists, files and the reason stand in the line as they were given."""
    secret = directory / "it's secret"
    secret.write_text("Very-Long-Secret-0123456789\n")
    relay.weir("cred", "add", "shop")
    args = ["cred", "set", "shop", "--senders", "shop.example,app@shop.example", "--networks", "127.0.0.0/8"]
    for args in (args, ["stream", "add", "news", "--header", "X-Stream: a\\, b", "--note", "it's -- \"news\""],
                 ["cred", "rotate", "shop", "--secret-file", str(secret), "--reason", "leaked, maybe"]):
        plan = relay.weir(*args, "--plan")
        line = plan["command"].replace("weir", f"{WEIR} --json -r unix:{relay.socket}", 1)
        result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=15)
        assert result.returncode == 0, result.stderr
        after = relay.weir("config", "diff")[-1]
        planned = plan["changes"][0]
        assert (after["kind"], after["id"]) == (planned["kind"], planned["id"])
        if args[1] != "rotate":
            assert after["text"] == planned["text"]
    assert relay.weir("cred", "show", "shop")["senders"] == ["shop.example", "app@shop.example"]
    assert relay.weir("actions")[0]["reason"] == "leaked, maybe"
    hold = relay.weir("hold", "domain:fast.example", "--for", "2h", "--plan")
    assert hold["command"] == "weir hold domain:fast.example --for 2h --reason TEXT"


def the_queue(relay, domain):
    return next((r for r in relay.weir("queue") if r["domain"] == domain), None)


def test_after_a_restart_it_is_known_why(relay, world):
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    for n in range(3):
        relay.send(f"u{n}@fast.example")
        relay.wait_state(f"u{n}@fast.example", "deferred")
    before = the_queue(relay, "fast.example")
    assert before["class"] and "4.3.2 Later" in before["last_reply"]
    alerts = [a["id"] for a in relay.weir("alerts")]
    relay.restart()
    wait_until(lambda: the_queue(relay, "fast.example")["last_reply"], 5, "the last reply")
    after = the_queue(relay, "fast.example")
    assert (after["class"], after["last_reply"]) == (before["class"], before["last_reply"])
    assert "4.3.2 Later" in relay.weir("why", "domain:fast.example")["text"]
    assert [a["id"] for a in relay.weir("alerts")] == alerts


def test_a_suppressed_recipient_is_no_reply_of_its_destination(relay):
    for who in ("full.a", "full.b"):
        relay.send(f"{who}@isp.example")
        relay.wait_state(f"{who}@isp.example", "deferred")
    said = the_queue(relay, "isp.example")["last_reply"]
    assert said.startswith("452")
    relay.weir("suppress", "add", "full.b@isp.example", "--reason", "x")
    relay.weir("retry", "domain:isp.example")
    relay.wait_event("full.b@isp.example", "failed")
    row = the_queue(relay, "isp.example")
    assert row["total"] == 1 and row["last_reply"].startswith("452") and row["class"] == "mailbox-full"
    assert "suppression" not in relay.weir("why", "domain:isp.example")["text"]
    assert all("suppression" not in a["text"] for a in relay.weir("alerts"))


def test_retry_says_what_is_held(relay, world):
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    relay.send("a@fast.example")
    relay.wait_state("a@fast.example", "deferred")
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    plan = relay.weir("retry", "domain:fast.example", "--plan")
    done = relay.weir("retry", "domain:fast.example")
    assert done["recipients"] == 0
    assert plan["warnings"] == done["warnings"] == ["1 recipient is held and stays so; weir holds says by what"]
    assert "Careful: 1 recipient is held" in text(relay, "retry", "domain:fast.example")


def test_a_rotation_is_not_ended_by_its_new_secret(relay):
    relay.weir("cred", "add", "shop")
    relay.weir("cred", "rotate", "shop")
    plan = relay.weir("cred", "retire", "shop", "s2", "--plan")
    assert "s1 is then its last secret, and ends in" in plan["warnings"][0]
    assert relay.weir("cred", "retire", "shop", "s1").get("warnings") is None


def test_a_revoked_credential_says_how_it_comes_back(relay):
    relay.weir("cred", "add", "shop")
    done = relay.weir("cred", "revoke", "shop", "--reason", "r")
    e = refused(relay, "cred", "enable", "shop")
    assert "weir undo" in e.stderr and "weir cred add" in e.stderr
    relay.weir("undo", done["action"])
    assert relay.weir("cred", "show", "shop")["status"] == "active"


def test_catch_alls_are_warned_of(relay):
    first = relay.weir("route", "add", "--to", "smarthost:127.0.0.1:2526", "--match", "domain:a.example")
    assert first.get("warnings") is None
    assert first["id"] == relay.weir("route", "list")[0]["id"]
    plan = relay.weir("route", "add", "--to", "mx", "--plan")
    assert first["id"] in plan["warnings"][0] and "used for nothing" in plan["warnings"][0]
    last = relay.weir("route", "add", "--to", "reject", "--before", "default", "--plan")
    assert "default route" in last["warnings"][0]
    assert text(relay, "route", "add", "--to", "hold", "--match", "domain:b.example").startswith("route add r")
    assert text(relay, "stream", "add", "News", "--match", "from:news@*").startswith("stream add news: done")
    assert "instead of the stream default's" in relay.weir("stream", "add", "all", "--plan")["warnings"][0]
    front = relay.weir("stream", "add", "all", "--before", "news", "--plan")
    assert "news and all streams behind it" in front["warnings"][0]


def test_what_cannot_be_done_is_not_asked_about(relay):
    assert "no edit is on probation" in refused(relay, "config", "rollback", "--reason", "r").stderr
    relay.weir("stream", "add", "news", "--match", "from:news@*", "--probation", "10m")
    e = refused(relay, "config", "rollback", "--reason", "r")
    assert e.status == 2 and "--yes" in e.stderr
    assert "weir config rollback --reason TEXT" in text(relay, "status")
    relay.weir("config", "rollback", "--reason", "r", "--yes")


def test_a_time_that_ends_before_it_begins(relay):
    e = refused(relay, "causes", "--since", "2026-11-24T09:00:00Z", "--until", "2026-11-24T08:00:00Z")
    assert e.status == 2 and "before it begins" in e.stderr


def test_done_names_the_version(relay):
    relay.weir("stream", "add", "news", "--match", "from:news@*")
    version = relay.weir("config", "history")[0]["version"]
    assert text(relay, "config", "rollback", str(version - 1), "--reason", "r", "-y").startswith(
        f"config rollback {version - 1}: done")


def test_an_end_is_no_alert_from_before_there_was_anything(relay):
    relay.weir("cred", "add", "shop", "--for", "1h")
    alert = wait_until(lambda: [a for a in relay.weir("alerts") if a["kind"] == "credential-ends"], what="the alert")[0]
    assert alert["since_at"] >= relay.weir("cred", "show", "shop")["created_at"]


def test_an_import_for_streams_that_there_are_not(relay, directory):
    path = directory / "list.csv"
    path.write_text("address,stream\na@x.example,nosuchstream\nb@x.example,default\nc@x.example,\n\n")
    plan = relay.weir("suppress", "import", path, "--plan")
    assert plan["new"] == 3 and plan["warnings"] == [
        "1 of the new entries is for a stream that there is not, such as nosuchstream, and without effect until there is"]
    shown = text(relay, "suppress", "import", path, "--plan")
    assert "3  entries in the file" in shown and "Careful: 1 of the new entries" in shown
    assert relay.weir("suppress", "import", path, "--reason", "r", "--yes")["warnings"] == plan["warnings"]


def test_causes_say_what_they_do_not_count(relay, world):
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    relay.send("a@fast.example")
    relay.wait_state("a@fast.example", "deferred")
    assert "more recipient" not in text(relay, "causes")
    relay.weir("hold", "domain:startup.example", "--reason", "r")
    relay.send("b@startup.example")
    relay.wait_state("b@startup.example", "held")
    assert "1 more recipient is not stopped by a reply" in text(relay, "causes")
    assert "more recipient" not in text(relay, "causes", "--where", "domain:fast.example")


def test_show_says_where_a_message_goes(relay, world):
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{world.smtp_port}", "--match", "domain:fast.example")
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    relay.send("a@fast.example")
    relay.wait_state("a@fast.example", "held")
    id = relay.weir("messages")[0]["id"]
    hop = f"smarthost:127.0.0.1:{world.smtp_port}"
    assert relay.weir("show", id)["recipients"][0]["next_hop"] == hop
    assert f"goes by     {hop}" in text(relay, "show", id)


def test_show_says_how_many_ways_it_does_not_show(relay, world):
    relay.weir("hold", "all", "--reason", "r")
    to = [f"a@d{i}.bulk.example" for i in range(7)]
    relay.send(*to)
    for one in to:
        relay.wait_state(one, "held")
    shown = text(relay, "show", relay.weir("messages")[0]["id"])
    assert shown.count("mx:") == 5 and "            and 2 more\n" in shown
