"""Credentials over their life: bounds, edits and their undo, rotation, an incident, what may leave the relay."""

import contextlib
import json
import re
import signal
import smtplib
import sqlite3
import subprocess
import threading
import time

import pytest

import harness
from harness import SENDER, WeirError, free_port, letter, wait_until

DOOR = """
listen local {{
	address = "127.0.0.1:{local}"
	auth    = "required"
	loopback-auth = "yes"
}}
"""


@pytest.fixture
def door(directory, world):
    """A relay with a door where clients of this machine authenticate in the clear."""
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    local = free_port()
    r = harness.Relay(directory, world, DOOR.format(local=local))
    r.local = local
    r.start()
    yield r
    if r.process is not None and r.process.poll() is None:
        assert r.stop() == 0
    assert r.bad_log_lines() == []


@contextlib.contextmanager
def client(relay, name, secret, helo="app.example"):
    s = smtplib.SMTP("127.0.0.1", relay.local, local_hostname=helo, timeout=30)
    try:
        s.ehlo()
        s.user, s.password = name, secret
        s.auth("PLAIN", s.auth_plain)  # login() would try one mechanism after the other, and wait each time
        yield s
    finally:
        s.close()


def deliver(session, to="anna@fast.example", sender=SENDER):
    """The code of the answer to the first command that was refused, else 250."""
    code, _ = session.mail(sender)
    if code != 250:
        return code
    for rcpt in [to] if isinstance(to, str) else to:
        code, _ = session.rcpt(rcpt)
        if code != 250:
            session.rset()
            return code
    return session.data(letter(sender, "anna@fast.example"))[0]


def refused(relay, name, secret, helo="app.example"):
    try:
        with client(relay, name, secret, helo):
            return False
    except smtplib.SMTPAuthenticationError:
        return True


def show(relay, name="shop"):
    return relay.weir("cred", "show", name)


def test_bounds_in_numbers(door):
    """Messages a minute and a day, recipients a message; and what was not accepted is not counted."""
    relay = door
    made = relay.weir("cred", "add", "shop", "--per-day", "3", "--recipients", "2")
    with client(relay, "shop", made["secret"]) as s:
        assert deliver(s, ["a@fast.example", "b@fast.example", "c@fast.example"]) == 452
        assert deliver(s, ["a@fast.example", "b@fast.example"]) == 250
        assert s.mail(SENDER)[0] == 250 and s.rset()[0] == 250
        assert deliver(s) == 250
        assert deliver(s) == 250
        assert deliver(s) == 450
        row = show(relay)
        assert (row["messages"], row["recipients"], row["today"]) == (3, 4, 3) and row["bytes"] > 300
        assert (row["per_minute"], row["per_day"], row["recipients_max"]) == (None, 3, 2)
        relay.weir("cred", "set", "shop", "--per-day", "0", "--per-minute", "2")
        assert [deliver(s) for _ in range(3)] == [250, 250, 450]


def test_edits_are_taken_back(door):
    relay = door
    secret = relay.weir("cred", "add", "shop", "--senders", "shop.example", "--note", "the shop")["secret"]
    before = show(relay)
    done = relay.weir("cred", "set", "shop", "--senders", "other.example,*.news.example", "--networks", "10.0.0.0/8",
                      "--per-day", "7", "--for", "2h", "--note", "moved")
    row = show(relay)
    assert row["senders"] == ["other.example", "*.news.example"] and row["networks"] == ["10.0.0.0/8"]
    assert row["per_day"] == 7 and row["expires_at"] and row["note"] == "moved" and row["status"] == "active"
    assert refused(relay, "shop", secret), "from another network"
    relay.weir("undo", done["action"])
    assert show(relay) | {"users": None} == before | {"users": None, "secrets": show(relay)["secrets"]}
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 250
    relay.weir("cred", "set", "shop", "--senders", "all")
    with client(relay, "shop", secret) as s:
        assert deliver(s, sender="x@elsewhere.example") == 250
    for wrong, param in [(["--senders", "a b"], "senders"), (["--networks", "10.0.0.1/8"], "networks"),
                         (["--per-day", "-1"], "per_day"), (["--senders", "all"], "")]:
        with pytest.raises(WeirError) as e:
            relay.weir("cred", "set", "shop", *wrong)
        assert (e.value.error["param"] or "") == param, e.value.error


def test_disabled_and_expired(door):
    relay = door
    secret = relay.weir("cred", "add", "shop")["secret"]
    with client(relay, "shop", secret) as s:
        relay.weir("cred", "disable", "shop", "--reason", "looks odd")
        assert s.docmd("NOOP")[0] == 421, "its session ends"
    assert show(relay)["status"] == "disabled"
    assert refused(relay, "shop", secret, "late.example")
    assert [(u["helo"], u["refused"]) for u in show(relay)["users"]] == [("late.example", 1), ("app.example", 0)]
    relay.weir("cred", "enable", "shop")
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 250
        relay.weir("cred", "set", "shop", "--for", "1s")
        wait_until(lambda: show(relay)["status"] == "expired")
        assert deliver(s) == 421
    with pytest.raises(WeirError):
        relay.weir("cred", "enable", "shop")


def test_a_secret_that_was_given(door, directory):
    relay = door
    path = directory / "secret"
    path.write_text("correct-horse-battery\nnot this\n")
    made = relay.weir("cred", "add", "shop", "--secret-file", path)
    assert "secret" not in made and made["secret_id"] == "s1"
    with client(relay, "shop", "correct-horse-battery") as s:
        assert deliver(s) == 250
    path.write_text("short\n")
    with pytest.raises(WeirError) as e:
        relay.weir("cred", "add", "other", "--secret-file", path)
    assert e.value.error["param"] == "secret"


def test_use_survives_a_restart(door):
    """Who, from where, how much; and the day's messages, or a restart would be a way around the limit."""
    relay = door
    relay.allow()
    secret = relay.weir("cred", "add", "shop", "--per-day", "2")["secret"]
    for helo in ["one.example", "two.example"]:
        with client(relay, "shop", secret, helo) as s:
            assert deliver(s) == 250
    before = show(relay)
    allowed = relay.weir("allow", "list")
    assert before["secrets"][0]["uses"] == 2 and allowed[0]["hits"] == 2
    relay.restart()
    assert show(relay) == before
    after = relay.weir("allow", "list")
    assert after[0]["hits"] >= allowed[0]["hits"] and after[0]["last_hit_at"]
    with client(relay, "shop", secret) as s:
        assert deliver(s) == 450
    out = relay.run("cred", "show", "shop", json_output=False).stdout
    assert re.search(r"127\.0\.0\.1 +two\.example", out) and "Secrets" in out, out


def test_the_days_messages_survive_a_kill(door):
    """Whoever has the day's messages has had them, however often the relay is killed meanwhile."""
    relay = door
    secrets = {name: relay.weir("cred", "add", name, "--per-day", "3")["secret"] for name in ("shop", "other")}
    relay.allow()
    relay.send("x@fast.example")  # nobody's
    for sent in (2, 1):
        with client(relay, "shop", secrets["shop"]) as s:
            for _ in range(sent):
                assert deliver(s) == 250
        relay.kill()
        relay.start()
    assert show(relay)["today"] == 3 and show(relay, "other")["today"] == 0
    for _ in range(2):
        with client(relay, "shop", secrets["shop"]) as s:
            assert deliver(s) == 450
        relay.restart()  # and what was stored meanwhile counts once
        assert show(relay)["today"] == 3
        relay.kill()
        relay.start()
    with client(relay, "other", secrets["other"]) as s:
        assert deliver(s) == 250


class Sender:
    """A client that sends one message after the other, each in a session of its own, and counts the answers."""

    def __init__(self, relay, secret, helo, name="shop", to="anna@fast.example"):
        self.relay, self.secret, self.helo, self.name, self.to = relay, secret, helo, name, to
        self.accepted = 0
        self.codes = []  # of what was refused
        self.ended = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended:
            try:
                with client(self.relay, self.name, self.secret, self.helo) as s:
                    code = deliver(s, self.to)
            except smtplib.SMTPResponseException as e:
                code = e.smtp_code
            except (smtplib.SMTPServerDisconnected, OSError):
                code = 0
            if code == 250:
                self.accepted += 1
            else:
                self.codes.append(code)
                self.ended = True

    def more(self, n=3):
        """Waits until it has sent some more."""
        want = self.accepted + n
        wait_until(lambda: self.accepted >= want or self.ended, 20, f"{self.helo} to send")

    def stop(self):
        self.ended = True
        self.thread.join(30)


def test_rotation_as_it_happens(door):
    """Two clients, one moves to the new secret and one does not: it is named; nothing is refused until it ends."""
    relay = door
    old = relay.weir("cred", "add", "shop")["secret"]
    moves, stays = Sender(relay, old, "moves.example"), Sender(relay, old, "stays.example")
    moves.more()
    stays.more()
    made = relay.weir("cred", "rotate", "shop", "--overlap", "7d")
    assert made["secret_id"] == "s2" and made["secret"] != old
    row = show(relay)
    assert [s["state"] for s in row["secrets"]] == ["old", "new"] and row["stragglers"] == 2
    assert row["secrets"][0]["expires_at"] and not row["secrets"][1]["expires_at"]
    moves.secret = made["secret"]
    moves.more()
    stays.more()
    # the old secret is in use, and by whom
    row = show(relay)
    straggler, = [u for u in row["users"] if u["straggler"]]
    assert (straggler["client"], straggler["helo"], straggler["secret"]) == ("127.0.0.1", "stays.example", "s1")
    assert straggler["last_at"] and straggler["uses"] >= 6 and row["stragglers"] == 1
    assert not moves.ended and not stays.ended, "nothing was refused"
    done = relay.weir("cred", "retire", "shop", "s1")
    wait_until(lambda: stays.ended, what="the straggler to be refused")
    moves.more()
    assert stays.codes[0] in (535, 421, 0), stays.codes
    row = show(relay)
    assert [s["state"] for s in row["secrets"]] == ["ended", "new"] and row["stragglers"] == 0
    relay.weir("undo", done["action"])
    again = Sender(relay, old, "stays.example")
    again.more()
    moves.more()
    for s in (moves, stays, again):
        s.stop()
    assert moves.codes == [] and again.codes == []
    # every message that got its 250 is there
    row = show(relay)
    assert row["messages"] == moves.accepted + stays.accepted + again.accepted
    with pytest.raises(WeirError) as e:
        relay.weir("cred", "retire", "shop", "s9")
    assert e.value.error["param"] == "secret"


def test_old_secrets_end_by_themselves(door):
    relay = door
    secrets = [relay.weir("cred", "add", "shop")["secret"]]
    secrets.append(relay.weir("cred", "rotate", "shop", "--silent", "1s")["secret"])
    wait_until(lambda: show(relay)["secrets"][0]["state"] == "ended", what="the silent one to end")
    assert refused(relay, "shop", secrets[0])
    secrets.append(relay.weir("cred", "rotate", "shop", "--overlap", "1s")["secret"])
    assert [s["id"] for s in show(relay)["secrets"]] == ["s2", "s3"], "what had ended makes room"
    wait_until(lambda: refused(relay, "shop", secrets[1]), what="the old one's date")
    with client(relay, "shop", secrets[2]) as s:
        assert deliver(s) == 250
        with pytest.raises(WeirError) as e:
            relay.weir("cred", "retire", "shop", "s3")
        assert "only secret" in e.value.error["message"]
        relay.weir("cred", "rotate", "shop", "--overlap", "0")
        assert s.docmd("NOOP")[0] == 421
    relay.weir("cred", "unblock", "127.0.0.1")


def states(relay, name):
    """How many queued recipients of a credential there are, by state."""
    rows = relay.weir("messages", "--limit", "1000", "--where", f"credential:{name}")
    return {state: sum(r["state"] == state for r in rows) for state in {r["state"] for r in rows}}


def settled(relay, name):
    """The same when nothing of it is in delivery."""
    return wait_until(lambda: states(relay, name).get("active", 0) == 0, what="deliveries to end") and states(relay, name)


def outcomes(relay, name):
    rows = relay.weir("events", "--limit", "1000", "--where", f"credential:{name}")
    return sum(r["event"] == "delivered" for r in rows)


def test_incident_under_load(door, world):
    """From the answer on nothing of the credential is accepted or delivered; exactly its mail is held; undo."""
    relay = door
    world.set("fast.example", "slow", delay=60)
    leaked = relay.weir("cred", "add", "leaked")["secret"]
    good = relay.weir("cred", "add", "good")["secret"]
    senders = [Sender(relay, leaked, f"l{i}.example", "leaked", f"l{i}@fast.example") for i in range(3)]
    other = Sender(relay, good, "good.example", "good", "good@fast.example")
    with client(relay, "leaked", leaked) as idle:
        for s in [*senders, other]:
            s.more(5)
        plan = relay.weir("cred", "incident", "leaked", "--plan")
        assert plan["target"] == "credential:leaked" and "revokes leaked" in plan["effects"][0], plan
        assert show(relay, "leaked")["status"] == "active", "a plan changes nothing"
        done = relay.weir("cred", "incident", "leaked", "--reason", "on a paste site", "--yes")
        messages = show(relay, "leaked")["messages"]
        assert idle.docmd("NOOP")[0] == 421
    assert done["hold"]["target"] == "credential:leaked" and done["hold"]["reason"] == "on a paste site"
    other.more(5)
    for s in senders:
        s.stop()
    assert all(set(s.codes) <= {535, 421, 0} and s.codes for s in senders), [s.codes for s in senders]
    left = settled(relay, "leaked")
    delivered = outcomes(relay, "leaked")
    assert set(left) == {"held"}
    assert done["recipients"] <= left["held"] <= done["recipients"] + done["skipped"], "those in delivery were skipped"
    assert messages == show(relay, "leaked")["messages"] == left["held"] + delivered
    # a client that lost its connection before the answer does not know that its message was taken
    assert sum(s.accepted for s in senders) <= messages <= sum(s.accepted for s in senders) + len(senders)
    other.more(5)
    other.stop()
    assert other.codes == [] and "held" not in states(relay, "good")
    assert states(relay, "leaked") == left and outcomes(relay, "leaked") == delivered
    world.set("fast.example", "accept")
    relay.weir("undo", done["action"])
    assert show(relay, "leaked")["status"] == "active"
    with client(relay, "leaked", leaked) as s:
        assert deliver(s) == 250
    relay.weir("retry", "all")
    wait_until(lambda: outcomes(relay, "leaked") == messages + 1, 30, "all of it to be delivered")


def test_incident_is_all_or_nothing(door, world):
    """The relay is killed around the moment of the commit."""
    relay = door
    world.set("fast.example", "reply", at="rcpt", text="451 4.3.0 Later")
    secret = relay.weir("cred", "add", "leaked")["secret"]
    other = relay.weir("cred", "add", "good")["secret"]
    with client(relay, "leaked", secret) as s:
        for _ in range(20):
            assert deliver(s) == 250

    def incident():
        return subprocess.Popen([harness.WEIR, "-r", f"unix:{relay.socket}", "cred", "incident", "leaked", "--reason", "r", "--yes"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    begin = time.monotonic()
    assert incident().wait(20) == 0
    took = time.monotonic() - begin
    relay.weir("undo")
    found = set()
    for i in range(8):
        load = Sender(relay, other, "good.example", "good")
        load.more(2)
        process = incident()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(took * (i + 1) / 6)
        answered = process.poll() == 0
        relay.process.send_signal(signal.SIGKILL)
        relay.process.wait()
        process.wait(20)
        load.stop()
        relay.start()
        revoked = show(relay, "leaked")["status"] == "revoked"
        held = [h["target"] for h in relay.weir("holds")] == ["credential:leaked"]
        assert revoked == held, f"killed after {i + 1}/6 of {took * 1000:.0f} ms: revoked {revoked}, held {held}"
        assert revoked or not answered, "what was answered is there"
        assert ("held" in settled(relay, "leaked")) == held
        found.add(revoked)
        if revoked:
            relay.weir("undo", relay.weir("actions", "--limit", "1")[0]["action"])
            assert show(relay, "leaked")["status"] == "active" and relay.weir("holds") == []
    assert found == {True, False}, "both sides of the commit were met"


def test_export_and_import(door, directory):
    """What is exported makes the same elsewhere, with a plan, without secrets; a new one is good when it is rotated."""
    relay = door
    secret = relay.weir("cred", "add", "shop", "--senders", "shop.example,<>", "--networks", "127.0.0.0/8", "--per-day", "9",
                        "--recipients", "3", "--note", "the shop")["secret"]
    relay.weir("cred", "add", "old", "--for", "3d")
    relay.weir("cred", "disable", "old", "--reason", "r")
    relay.weir("cred", "add", "gone")
    relay.weir("cred", "revoke", "gone", "--reason", "r")
    text = relay.run("cred", "export", json_output=False).stdout
    rows = json.loads(text)
    assert [r["name"] for r in rows] == ["old", "shop"] and rows == relay.weir("cred", "export")
    assert rows[1]["per_minute"] is None and rows[1]["per_day"] == 9 and rows[0]["disabled"] and rows[0]["expires_at"]
    path = directory / "creds.json"
    path.write_text(text)
    with pytest.raises(WeirError) as e:
        relay.weir("cred", "import", path)
    assert "already" in e.value.error["message"]
    rows[1] |= {"per_day": None, "senders": []}
    rows.append({"name": "fresh", "senders": ["fresh.example"], "note": "to come"})
    path.write_text(json.dumps(rows))
    plan = relay.weir("cred", "import", path, "--plan")
    assert {(c["op"], c["id"]) for c in plan["changes"]} == {("~", "shop"), ("+", "fresh")}, plan
    assert show(relay)["per_day"] == 9
    done = relay.weir("cred", "import", path)
    assert "1 of them is new" in done["warnings"][0]
    assert show(relay)["per_day"] is None and show(relay)["senders"] == [] and show(relay)["recipients_max"] == 3
    fresh = show(relay, "fresh")
    assert fresh["status"] == "empty" and fresh["secrets"] == [] and fresh["note"] == "to come"
    assert refused(relay, "fresh", "anything-at-all")
    made = relay.weir("cred", "rotate", "fresh")["secret"]
    with client(relay, "fresh", made) as s:
        assert deliver(s, sender="a@fresh.example") == 250
    with client(relay, "shop", secret) as s:
        assert deliver(s, sender="any@where.example") == 250
    with pytest.raises(WeirError):
        relay.weir("undo", done["action"])  # it was changed since
    for wrong in ["", "{}", "[1]", '[{"name": "A B"}]', '[{"name": "a", "secrets": []}]', '[{"name": "a", "per_day": -1}]',
                  '[{"name": "a", "senders": ["a b"]}]', '[{"name": "a"}, {"name": "a"}]', '[{"name": "a", "streams": ["x"]}]',
                  '[{"name": "a", "expires_at": "soon"}]', '[{"name": "a", "disabled": 1}]', '[{"name": "a", "networks": "x"}]']:
        path.write_text(wrong)
        with pytest.raises(WeirError) as e:
            relay.weir("cred", "import", path)
        assert e.value.error["param"] == "text", (wrong, e.value.error)


def test_verifiers_never_leave_the_relay(door, directory):
    """Whatever is answered has neither a secret (but for the one time) nor what it could be guessed from."""
    relay = door
    secrets = [relay.weir("cred", "add", "shop")["secret"]]
    secrets.append(relay.weir("cred", "rotate", "shop")["secret"])
    relay.weir("cred", "set", "shop", "--per-day", "5")
    relay.weir("cred", "retire", "shop", "s1")
    with client(relay, "shop", secrets[1]) as s:
        deliver(s)
    answers = []
    table = json.loads(subprocess.run([harness.WEIR, "--dump-tables=json"], capture_output=True, timeout=15).stdout)["methods"]
    reading = [m["verb"] if "verb" in m else m.get("cli") for m in table if not m["changes"]]
    for verb in [v for v in reading if v] + ["cred show", "cred set", "cred rotate", "cred retire", "cred incident", "undo"]:
        args = verb.split() + {"cred show": ["shop"], "cred set": ["shop", "--per-day", "6", "--plan"],
                               "cred rotate": ["shop", "--plan"], "cred retire": ["shop", "s2", "--plan"],
                               "cred incident": ["shop", "--reason", "r", "--yes"]}.get(verb, [])
        for json_output in (True, False):
            result = relay.run(*args, json_output=json_output)
            answers.append(result.stdout + result.stderr)
    texts = "\n".join(answers) + relay.log.read_text()
    relay.stop()
    found = set()
    db = sqlite3.connect(directory / "state" / "queue.db")
    for kind, stored in db.execute("SELECT kind, json FROM objects WHERE kind = 'cred'"):
        cred = json.loads(stored)
        found.add(cred["salt"])
        for s in cred["secrets"]:
            found |= {s["stored_key"], s["server_key"]}
    db.close()
    assert len(found) == 5, "a salt, and two keys of each of two secrets"
    assert [x for x in [*found, *secrets] if x in texts] == []
    assert len(texts) > 5000
