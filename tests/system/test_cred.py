"""Credentials over their life: bounds, edits and their undo, rotation, an incident, what may leave the relay."""

import contextlib
import re
import smtplib

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
        s.login(name, secret)
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
    # smtplib tries each mechanism
    assert [(u["helo"], u["refused"]) for u in show(relay)["users"]] == [("late.example", 2), ("app.example", 0)]
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
