"""The audit log through the command line: changes, refusals, roles, and what was done to the file."""

import hashlib
import json
import random
import sqlite3
import subprocess
import threading
import time

import pytest

import harness
from harness import WeirError
from test_operate import stranger  # noqa: F401 (a fixture)

FIELDS = {"seq", "at", "who", "from_where", "role", "method", "target", "reason", "result", "hash"}


def audit(relay, *args):
    return relay.weir("audit", *args)


def chain_hash(row):
    """Written from the description in queue/audit.h, not from the code."""
    def piece(b):
        return len(b).to_bytes(8, "big") + b
    names = ["seq", "at_ms", "uid", "action"]
    texts = ["who", "from_where", "role", "method", "target", "reason", "result", "changes", "prev"]
    data = piece(b"weir-audit-1")
    data += b"".join(piece((row[n] % 2 ** 64).to_bytes(8, "big")) for n in names)
    data += b"".join(piece(row[n].encode()) for n in texts)
    return hashlib.sha256(data).hexdigest()


def database(relay):
    db = sqlite3.connect(relay.state / "queue.db")
    db.row_factory = sqlite3.Row
    return db


def check_file(relay):
    """The whole chain by our own arithmetic; the number of records."""
    prev, n = "0" * 64, 0
    for row in database(relay).execute("SELECT * FROM audit ORDER BY seq"):
        n += 1
        assert row["seq"] == n and row["prev"] == prev
        assert row["hash"] == chain_hash(row)
        prev = row["hash"]
    return n


def test_changes_and_refusals(relay):
    start = len(audit(relay, "--limit", "1000"))
    relay.weir("allow", "add", "10.9.0.0/16", "--note", "office", "--reason", "they moved")
    held = relay.weir("hold", "domain:fast.example", "--reason", "incident 7")
    relay.weir("undo", held["action"])
    for args in (["release", "domain:fast.example"], ["undo", held["action"]], ["allow", "remove", "10.8.0.0/16"]):
        with pytest.raises(WeirError):
            relay.weir(*args)
    relay.weir("status")
    rows = audit(relay)[:-start] if start else audit(relay)
    assert [r["method"] for r in rows] == ["allow.remove", "action.undo", "queue.release", "action.undo",
                                           "queue.hold", "allow.add"]
    assert all(FIELDS <= set(r) for r in rows)
    assert [r["result"].split()[0] for r in rows] == ["refused:"] * 3 + ["done"] * 3
    added = rows[-1]
    assert added["target"] == "10.9.0.0/16" and added["reason"] == "they moved" and added["role"] == "admin"
    assert added["changes"][0]["before"] is None and added["changes"][0]["after"]["note"] == "office"
    assert rows[2]["action"] == held["action"] or rows[3]["target"] == held["action"]
    assert [r["seq"] for r in rows] == list(range(start + 6, start, -1))
    assert [r["seq"] for r in audit(relay, "--where", "incident")] == [start + 2]
    assert len(audit(relay, "--where", "result:refused age<1h", "--limit", "2")) == 2
    whole = audit(relay, "--verify")
    assert whole["intact"] and whole["records"] == start + 6 and whole["hash"] == rows[0]["hash"]
    assert check_file(relay) == start + 6
    wrong = relay.run("audit", "--where", "domain:x")
    assert wrong.returncode == 2 and "domain" in wrong.stderr


def test_a_viewer_is_recorded_and_sees_nothing(stranger, directory):  # noqa: F811
    assert stranger("hold", "all", "--reason", "mine").returncode == 4
    assert stranger("allow", "add", "0.0.0.0/0").returncode == 4
    assert stranger("status").returncode == 0
    assert stranger("audit").returncode == 4
    assert stranger("audit", "--verify").returncode == 4
    mine = subprocess.run([harness.WEIR, "-r", f"unix:{directory}/control.sock", "--json", "audit"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    allowed, held = json.loads(mine.stdout)
    assert (held["who"], held["role"], held["method"], held["target"]) == ("nobody", "viewer", "queue.hold", "all")
    assert held["result"].startswith("refused: denied") and held["reason"] == "mine" and held["from_where"] == "local"
    assert (allowed["method"], allowed["target"]) == ("allow.add", "0.0.0.0/0")
    assert allowed["result"].startswith("refused: denied")


@pytest.mark.parametrize("sql,seq,damage,status", [
    ("UPDATE audit SET reason = 'incident 8' WHERE seq = 3", 3, "changed", 1),
    ("DELETE FROM audit WHERE seq = 2", 2, "missing", 1),
    ("UPDATE audit SET seq = -1 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 4;"
     "UPDATE audit SET seq = 4 WHERE seq = -1", 2, "swapped", 1),
    ("DELETE FROM audit WHERE seq > 4", 5, "missing", 1),
    ("SELECT 1", None, None, 0),
])
def test_damage_is_found_at_its_place(relay, sql, seq, damage, status):
    for i in range(5):
        relay.weir("hold", f"domain:d{i}.example", "--reason", f"incident {i}")
    assert relay.stop() == 0
    relay.expected.append(r"audit\.(cut|rewritten)")
    db = database(relay)
    db.executescript(sql)
    db.close()
    relay.start()
    result = relay.run("audit", "--verify")
    found = json.loads(result.stdout)
    assert result.returncode == status and found["seq"] == seq and found["damage"] == damage
    assert found["intact"] == (damage is None) and found["text"]


class Holds(threading.Thread):
    """Holds one destination after the other, and some that are refused, until it is told to stop."""

    def __init__(self, relay, name):
        super().__init__()
        self.relay, self.label, self.over, self.answered = relay, name, False, []

    def run(self):
        n = 0
        while not self.over:
            n += 1
            target = f"domain:{self.label}-{n}.example"
            if self.relay.run("hold", target, "--reason", "kill").returncode == 0:
                self.answered.append(target)
            self.relay.run("hold", target)


def test_kill_in_the_middle(relay):
    """Whatever is killed when: the chain is whole, and what was answered is in it."""
    random.seed(7)
    answered = []
    for turn in range(12):
        holds = Holds(relay, f"t{turn}")
        holds.start()
        time.sleep(random.uniform(0.1, 0.6))  # the moment of the kill, not a wait for anything
        relay.kill()
        holds.over = True
        holds.join(60)
        answered += holds.answered
        relay.start()
        assert audit(relay, "--verify")["intact"]
        check_file(relay)
    targets = {r["target"] for r in audit(relay, "--where", "result=done", "--limit", "5000")}
    assert answered and set(answered) <= targets


def test_no_secret_is_in_it(relay):
    """Neither a credential's secret and verifiers nor a private key, when they come and when they go."""
    secret = relay.weir("cred", "add", "crm", "--note", "the CRM")["secret"]
    relay.weir("cred", "revoke", "crm", "--reason", "leaked")
    relay.weir("dkim", "add", "shop.example", "--selector", "s1")
    relay.weir("dkim", "retire", "shop.example/s1", "--reason", "old")
    relay.weir("dkim", "remove", "shop.example/s1", "--reason", "gone")
    text = "".join(str(tuple(row)) for row in database(relay).execute("SELECT * FROM audit"))
    assert "crm" in text and "shop.example" in text
    for word in (secret, "PRIVATE", "stored_key", "server_key", "salt", "pem"):
        assert word not in text, word
