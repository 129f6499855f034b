"""Nothing that was acknowledged is lost: kills, restarts, a full disk, damaged files."""

import os
import pathlib
import random
import re
import smtplib
import subprocess
import threading
import time

import pytest

import harness
from harness import SENDER, wait_until

KILLS = int(os.environ.get("WEIR_KILLS", "5"))
SUBMITTERS = 4


class Load:
    """Threads that submit tagged messages as fast as they are taken, and note what got a 250."""

    def __init__(self, relay, domains):
        self.relay = relay
        self.domains = domains
        self.acknowledged = {}  # tag: recipients
        self.unsure = 0  # sent, but the connection ended before the reply
        self.running = True
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(SUBMITTERS)]
        for t in self.threads:
            t.start()

    def _run(self, number):
        rng = random.Random(number)
        count = 0
        while self.running:
            sent = False
            try:
                with self.relay.smtp() as s:
                    s.ehlo()
                    while self.running:
                        count += 1
                        tag = f"load-{number}-{count}"
                        to = [f"u{count}@{d}" for d in rng.sample(self.domains, rng.choice([1, 1, 1, 2, 3]))]
                        sent = False
                        s.mail(SENDER)
                        for rcpt in to:
                            s.rcpt(rcpt)
                        s.docmd("DATA")
                        s.send(harness.letter(SENDER, to[0], tag=tag, body="x" * 70 + "\r\n" * rng.randrange(1, 60))
                               + b".\r\n")
                        sent = True
                        if s.getreply()[0] == 250:
                            self.acknowledged[tag] = len(to)
                        sent = False
            except (OSError, smtplib.SMTPException):
                self.unsure += sent
                time.sleep(0.02)

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join()


def drain(relay, world, timeout=120):
    """Waits until the queue is empty, hurrying what is deferred."""
    def empty():
        queued = relay.queued()
        if queued["deferred"]:
            relay.weir("retry", "all")
        return queued["recipients"] == 0
    wait_until(empty, timeout, "the queue to drain", interval=0.5)


@pytest.mark.kill
def test_kill_loses_nothing(relay, world):
    """kill -9 at random instants under load; figures on standard output (pytest -s)."""
    rng = random.Random(7)
    # A killed relay may find its last records cut: it has to say so, and go on.
    relay.expected.append(r"recover|cut|torn|truncat|unclean")
    domains = ["fast.example", *[f"d{i}.bulk.example" for i in range(20)]]
    load = Load(relay, domains)
    try:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.8))
            relay.kill()
            relay.start()
        time.sleep(0.3)
    finally:
        load.stop()
    drain(relay, world)
    counts = world.do("count-by-header")
    missing = [t for t, n in load.acknowledged.items() if counts["counts"].get(t, 0) < n]
    print(f"\n{KILLS} kills: {len(load.acknowledged)} messages acknowledged, {len(missing)} lost, "
          f"{counts['duplicates']} duplicates, {load.unsure} without a reply")
    assert counts["overflow"] == 0
    assert len(load.acknowledged) > KILLS, "there was load"
    assert missing == []
    # A duplicate needs a delivery whose acceptance was not recorded yet: at most those under way.
    assert counts["duplicates"] <= KILLS * 100


def test_restart_keeps_everything(relay, world):
    relay.weir("hold", "domain:fast.example", "--reason", "keep me")
    relay.send("anna@fast.example", "full@isp.example", tag="kept")
    relay.wait_state("anna@fast.example", "held")
    row = relay.wait_state("full@isp.example", "deferred")
    before = relay.weir("show", row["id"])
    holds = relay.weir("holds")
    relay.restart()
    assert relay.row("anna@fast.example")["state"] == "held"
    after = relay.weir("show", row["id"])
    assert after["attempts"][:len(before["attempts"])] == before["attempts"]
    assert [h["id"] for h in relay.weir("holds")] == [h["id"] for h in holds]
    assert relay.events("full@isp.example", "deferred")
    relay.weir("release", "domain:fast.example")
    wait_until(lambda: world.messages("fast.example"))


def test_stop_in_the_middle_of_a_delivery(relay, world):
    world.set("fast.example", "slow", delay=400)
    relay.send("anna@fast.example", tag="slow")
    wait_until(lambda: world.stats("fast.example")["connections"] >= 1)
    relay.restart()
    drain(relay, world, 30)
    assert world.do("count-by-header")["accepted"] in (1, 2)


@pytest.fixture
def small_disk(directory):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    path = directory / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", path]).returncode != 0:
        pytest.skip("cannot mount a small file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk_loses_nothing(directory, small_disk, world):
    if not harness.RELAYD.exists() or not harness.WEIR.exists():
        pytest.skip("weir-relayd or weir is not built")
    r = harness.Relay(directory, world, state=small_disk / "state")
    r.start().allow()
    r.weir("hold", "domain:fast.example", "--reason", "fill the disk")
    acknowledged, refused = [], 0
    body = ("0123456789" * 7 + "\r\n") * 4000
    with r.smtp() as s:
        s.ehlo()
        for i in range(200):
            tag = f"disk-{i}"
            code, text = s.mail(SENDER)
            if code == 250:
                s.rcpt(f"u{i}@fast.example")
                code, text = s.data(harness.letter(SENDER, f"u{i}@fast.example", tag=tag, body=body))
            if code == 250:
                acknowledged.append(tag)
                continue
            s.rset()
            assert code == 452 and b"4.3.1" in text, (code, text)
            refused += 1
            if refused == 5:
                break
    assert refused and acknowledged
    assert r.weir("status")["queued"]["held"] == len(acknowledged), "it still answers"
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    wait_until(lambda: _accepts(r), 20, "mail to be taken again")
    r.weir("release", "domain:fast.example")
    drain(r, world)
    counts = world.do("count-by-header")["counts"]
    assert [t for t in acknowledged if counts.get(t) != 1] == []
    assert r.stop() == 0


def _accepts(relay):
    try:
        relay.send("anna@gmail.com")
        return True
    except AssertionError:
        return False


def test_damaged_message_is_reported_and_the_rest_goes_on(bare_relay, world):
    relay = bare_relay.allow()
    relay.expected.append(r"damage|corrupt|checksum|digest")
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    marker = "THIS-WILL-BE-DAMAGED"
    relay.send("anna@fast.example", tag="bad", body=f"{marker}\r\n" * 20)
    relay.send("bela@fast.example", tag="good")
    wait_until(lambda: relay.queued()["held"] == 2)
    bad = relay.row("anna@fast.example")["id"]
    assert relay.stop() == 0
    damaged = 0
    for path in pathlib.Path(relay.state).rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if marker.encode() in data and not path.name.endswith((".db", "-wal", ".sqlite")):
            path.write_bytes(data.replace(marker.encode(), marker[::-1].encode()))
            damaged += 1
    assert damaged, "the body was not found in the state directory"
    relay.start()
    relay.weir("release", "domain:fast.example")
    wait_until(lambda: "good" in world.do("count-by-header")["counts"])
    wait_until(lambda: re.search(r"damage|corrupt", relay.log.read_text()), 15, "the damage to be logged")
    assert bad in relay.log.read_text()
    assert relay.weir("status")["disk"]["damaged"] == 1
    assert "the content of 1 message" in relay.run("status", json_output=False).stdout
    assert "bad" not in world.do("count-by-header")["counts"], "damaged content must not go out"


def test_lost_database_is_no_empty_queue(bare_relay, world):
    """Beside the contents of a queue an empty database is refused, and nothing is written over."""
    relay = bare_relay.allow()
    relay.weir("hold", "domain:fast.example", "--reason", "r")
    relay.send("anna@fast.example", tag="kept")
    assert relay.stop() == 0
    database = next(p for p in relay.state.rglob("*.db"))
    aside = relay.directory / "aside.db"
    for lose in (lambda: database.rename(aside), lambda: None, lambda: database.write_bytes(b"")):
        lose()  # the second time round it is what a supervisor does: start it again
        ended = subprocess.run([harness.RELAYD, "-c", relay.config], capture_output=True, text=True, timeout=20)
        assert ended.returncode != 0
        assert "contents of a queue" in ended.stderr
    for stale in relay.state.glob("*.db-*"):
        stale.unlink()
    aside.replace(database)
    relay.start()
    assert relay.queued()["held"] == 1
    relay.weir("release", "domain:fast.example")
    wait_until(lambda: len(world.messages("fast.example")) == 1, 15, "the delivery")
