"""weir classify: a filter for replies, which needs no relay and stands in pipes."""

import json
import os
import select
import subprocess

from harness import WEIR

FIELDS = {"code", "enhanced", "class", "kind", "action", "meaning", "advice", "rule"}


def classify(text, *args):
    return subprocess.run([WEIR, "classify", *args], input=text, capture_output=True, text=True, timeout=15)


def test_an_object_a_line_in_order():
    done = classify("550 5.1.1 <anna@example.com>: User unknown\r\n452 4.2.2 Mailbox full\n\x1b[2Jno reply\n")
    assert done.returncode == 0 and done.stderr == ""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 3 and all(set(a) == FIELDS for a in answers)
    assert [(a["code"], a["enhanced"]) for a in answers] == [(550, "5.1.1"), (452, "4.2.2"), (None, None)]
    assert [(a["class"], a["kind"]) for a in answers] == [("bad-mailbox", "hard"), ("mailbox-full", "soft"), ("other", "soft")]
    assert "anna" not in done.stdout and "\x1b" not in done.stdout


def test_an_answer_does_not_wait_for_the_end_of_input():
    with subprocess.Popen([WEIR, "classify"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        p.stdin.write(b"550 5.1.1 User unknown\n")
        p.stdin.flush()
        assert select.select([p.stdout], [], [], 10)[0], "no answer while standard input is open"
        assert json.loads(os.read(p.stdout.fileno(), 65536))["code"] == 550
        p.stdin.close()
        assert p.wait(10) == 0


def test_wrong_rules_name_the_line(directory):
    rules = directory / "rules"
    rules.write_text("# mine\nclass nonsense\n")
    done = classify("550 no\n", "--rules", str(rules))
    assert done.returncode != 0 and done.stdout == "" and f"{rules}:2: " in done.stderr
