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
