"""weir classify, and a rules file of one's own in the relay's configuration: no relay runs here."""

import json
import subprocess

import pytest

from harness import RELAYD, WEIR

OWN = "rule mine\n  text no mail on sundays\n  class policy\n  action retry\n  meaning They rest.\n  advice Wait.\nbuiltin\n"


def classify(text, *args, status=0):
    done = subprocess.run([WEIR, "classify", *args], input=text.encode(), capture_output=True, timeout=30)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if status == 0 else done.stderr.decode()


def test_one_object_a_line():
    unknown, several, bare, odd = classify(
        "550 5.1.1 User unknown\n421-4.7.28 unusual rate of unsolicited mail\\r\\n421 4.7.28 x - gsmtp\n"
        "Connection refused\n\n\xd3\xc3 \x01\n")
    assert unknown == {"code": 550, "enhanced": "5.1.1", "class": "bad-mailbox", "kind": "hard",
                       "action": "suppress", "meaning": unknown["meaning"], "advice": unknown["advice"],
                       "rule": "unknown-user"}
    assert unknown["meaning"].endswith(".") and unknown["advice"].endswith(".")
    assert (several["code"], several["enhanced"], several["class"]) == (421, "4.7.28", "rate-limited")
    assert bare["code"] is None and bare["enhanced"] is None and bare["class"] == "network"
    assert odd["class"] == "other"


def test_provider_is_told():
    line = "450 the user is receiving mail too quickly\n"
    assert classify(line)[0]["rule"] == "rate"
    assert classify(line, "--provider", "google.com")[0]["rule"] == "google-user-rate"


def test_own_rules(tmp_path):
    rules = tmp_path / "own.rules"
    rules.write_text(OWN)
    got = classify("550 No mail on Sundays\n550 User unknown\n", "--rules", rules)
    assert [(r["rule"], r["action"]) for r in got] == [("mine", "retry"), ("unknown-user", "suppress")]
    assert got[0]["meaning"] == "They rest." and got[0]["advice"] == "Wait."


@pytest.mark.parametrize("text,line,message", [
    (OWN.replace("policy", "polity"), 3, "'polity' is no class"),
    (OWN.replace("text", "txt"), 2, "a rule has no 'txt'"),
    ("", None, "no rule in it"),
], ids=["class", "key", "empty"])
def test_wrong_rules_are_refused_with_their_line(tmp_path, text, line, message):
    rules = tmp_path / "own.rules"
    rules.write_text(text)
    where = f"{rules}:{line}: " if line else f"{rules}: "
    assert where + message in classify("", "--rules", rules, status=2)
    conf = tmp_path / "relayd.conf"
    conf.write_text(f'hostname = "relay.test.example"\nstate-dir = "{tmp_path}"\n'
                    f'delivery {{ classify-rules = "{rules}" }}\n')
    done = subprocess.run([RELAYD, "-c", conf, "-t"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and where + message in done.stderr
