"""What is being spoken now, for whoever listens: the right lines, bounded, and never in the way of mail."""

import json
import socket
import subprocess
import time

import pytest

import harness
import peer as peers
from harness import wait_until
from script import Script


@pytest.fixture
def receiver():
    made = []

    def make(*args, **kwargs):
        made.append(Script(*args, **kwargs))
        return made[-1]
    yield make
    for s in made:
        s.close()


class Listener:
    """weir trace in the background."""

    def __init__(self, relay, *args, as_json=True):
        self.lines = relay.directory / f"trace.{time.monotonic_ns()}"
        command = [harness.WEIR, "-r", f"unix:{relay.socket}", *(["--json"] if as_json else []), "trace", *args]
        self.process = subprocess.Popen([str(c) for c in command], stdout=open(self.lines, "w"), stderr=subprocess.PIPE)

    def rows(self):
        return [json.loads(line) for line in self.lines.read_text().splitlines() if line.endswith("}")]

    def texts(self, by=("relay", "host")):
        return [(r["by"], r["text"]) for r in self.rows() if r.get("by") in by]

    def end(self):
        self.process.terminate()
        _, err = self.process.communicate(timeout=10)
        return self.process.returncode, err.decode()


def started(relay, listener, hop, to):
    """Letters go until the first line is heard: then the subscription is open."""
    n = 0
    while not listener.lines.stat().st_size:
        n += 1
        assert n < 100 and listener.process.poll() is None
        relay.send(f"warm{n}@{to}")
        relay.wait_event(f"warm{n}@{to}", "delivered")
    return n


def test_equal_to_what_is_spoken(relay, receiver):
    one, two = receiver(), receiver()
    relay.weir("route", "add", "--to", one.at, "--match", "domain:one.example")
    relay.weir("route", "add", "--to", two.at, "--match", "domain:two.example")
    mine = Listener(relay, "domain:one.example")
    by_hop = Listener(relay, "--hop", f"smarthost:*:{two.port}")
    started(relay, mine, one.at, "one.example")
    started(relay, by_hop, two.at, "two.example")
    relay.send("anna@one.example")
    relay.send("bob@two.example")
    for to in ("anna@one.example", "bob@two.example"):
        relay.wait_event(to, "delivered")
    want = [("relay", "RCPT TO:<anna@one.example>"), ("host", "250 2.1.5 Ok")]
    wait_until(lambda: want[0] in mine.texts() and ("host", "250 2.0.0 Ok: queued as 4711") == mine.texts()[-1],
               what="the letter's lines")
    got = mine.texts()
    at = got.index(want[0])
    assert got[at:at + 2] == want and got[at + 2] == ("relay", "DATA")
    assert any(text.startswith("(the content: ") for _, text in got)
    # of the other next hop only what may be for it: its connection, and none of its mail
    assert not any("two.example" in text for _, text in got)
    rows = mine.rows()
    message = relay.events("anna@one.example", "delivered")[0]["id"]
    assert {r["id"] for r in rows if "anna@" in r["text"]} == {message}
    wait_until(lambda: ("relay", "RCPT TO:<bob@two.example>") in by_hop.texts(), what="bob")
    assert all(r["hop"] == two.at for r in by_hop.rows())
    for listener in (mine, by_hop):
        assert listener.end() == (0, "")


def test_for_people_and_an_end(relay, receiver):
    r = receiver({"RCPT": b"451 4.7.1 bad\x1b[2J\xff\r\n"})
    relay.weir("route", "add", "--to", r.at, "--match", "domain:one.example")
    t = Listener(relay, "all", "--lines", "5", as_json=False)
    n = 0
    while t.process.poll() is None:
        n += 1
        assert n < 100
        relay.send(f"x{n}@one.example")
        time.sleep(0.05)
    assert t.process.returncode == 0
    lines = t.lines.read_text().splitlines()
    assert len(lines) == 5 and all("] " in line and "127.0.0.1" in line for line in lines), lines
    assert "\x1b" not in t.lines.read_text()
    for wrong in ([], ["nonsense"]):
        assert relay.run("trace", *wrong, json_output=False).returncode == 2


def test_who_does_not_read_is_told_what_was_left_out(relay, receiver):
    """A subscriber that stops reading: mail goes on, memory does not grow, and every line is sent or counted."""
    r = receiver({"RCPT": b"".join(b"250-2.1.5 %03d %s\r\n" % (n, b"y" * 300) for n in range(99)) + b"250 2.1.5 Ok\r\n"})
    relay.weir("route", "add", "--to", r.at, "--match", "domain:one.example")
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(relay.socket))
    s.settimeout(10)
    file = s.makefile("rb")
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"sub.open","params":{"topic":"trace"}}\n')
    while b'"sub"' not in file.readline():
        pass
    before = relay.rss_kib()
    for n in range(100):
        relay.send(f"x{n}@one.example", body="x\r\n")
    relay.wait_event("x99@one.example", "delivered")
    assert relay.rss_kib() - before < 60000
    left = rows = 0
    while rows + left < 100 * 100:
        data = json.loads(file.readline())["params"]["data"]
        left += data["left"]
        rows += len(data["rows"])
    assert rows > 0 and left > 0, (rows, left)
    s.close()


def test_many_listeners(relay, receiver):
    """Hundreds that hear all of it, and do not read, keep the loop from nothing: a slow callback fails the test."""
    r = receiver()
    relay.weir("route", "add", "--to", r.at, "--match", "domain:one.example")
    request = b'{"jsonrpc":"2.0","id":1,"method":"sub.open","params":{"topic":"trace"}}\n'
    listeners = []
    for _ in range(28):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(relay.socket))
        s.settimeout(10)
        s.sendall(request * 32)
        file = s.makefile("rb")
        for _ in range(32):
            while b'"sub"' not in file.readline():
                pass
        listeners.append((s, file))
    for n in range(150):
        relay.send(f"x{n}@one.example", body="x\r\n")
    relay.wait_event("x149@one.example", "delivered")
    s, file = listeners[0]
    heard = set()
    while len(heard) < 32:  # all of a connection have their turn
        push = json.loads(file.readline())
        if push.get("method") == "push":
            heard.add(push["params"]["sub"])
    for s, file in listeners:
        file.close()
        s.close()


@pytest.mark.parametrize("params,param", [('{"topic":"trace","keys":["x"]}', "keys"), ('{"topic":"events","hop":"x"}', "hop"),
                                          ('{"topic":"status","where":"domain:x"}', "where")])
def test_what_a_topic_does_not_take(relay, params, param):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(relay.socket))
    s.settimeout(10)
    file = s.makefile("rb")
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"sub.open","params":' + params.encode() + b"}\n")
    while True:
        answer = json.loads(file.readline())
        if answer.get("id") == 1:
            break
    assert answer["error"]["data"]["param"] == param, answer
    s.close()


def test_no_secret_is_shown(directory, world):
    """A smarthost that repeats what it was told, at login and when it refuses it."""
    peers.make_authority(directory)
    relay = harness.Relay(directory, world, f'tls {{ authorities = "{directory}/ca.pem" }}\n')
    relay.start().allow()
    secret = directory / "password"
    secret.write_text("open-sesame-4711\n")
    line = "AHdlaXIAb3Blbi1zZXNhbWUtNDcxMQ=="  # of AUTH PLAIN
    p = peers.Peer(peers.make_certificate(directory, "peer", "IP:127.0.0.1"), users={"weir": "open-sesame-4711"})
    p.refuse["AUTH"] = f"535 5.7.8 do not know {line} for open-sesame-4711"
    relay.weir("route", "add", "--to", p.at, "--match", "domain:a.example", "--tls", "required", "--user", "weir",
               "--password-file", secret)
    listener = Listener(relay, "all")
    n = 0
    while ("relay", "AUTH PLAIN (left out)") not in listener.texts():
        n += 1
        assert n < 100
        relay.send(f"x{n}@a.example")
        relay.weir("retry", "all", "--yes", "--reason", "once more")
        time.sleep(0.05)
    wait_until(lambda: any(text.startswith("535 5.7.8") for _, text in listener.texts()), what="the refusal")
    heard = listener.lines.read_text()
    assert "open-sesame" not in heard and line not in heard and "4711" not in heard, heard
    assert listener.end() == (0, "")
    p.close()
    assert relay.stop() == 0


def test_what_has_a_cause(relay, receiver):
    """By the filter of a cause, as the console listens to it: the reply itself stands in the store only."""
    r = receiver({"RCPT": b"451 4.7.1 not now\r\n"})
    relay.weir("route", "add", "--to", r.at, "--match", "domain:one.example")
    relay.send("x@one.example")
    relay.wait_state("x@one.example", "deferred")
    cause = wait_until(lambda: relay.weir("causes"), what="the cause")[0]
    listener = Listener(relay, cause["where"])
    n = 0
    while ("relay", "RCPT TO:<x@one.example>") not in listener.texts():
        n += 1
        assert n < 100
        relay.weir("retry", "to:x@one.example", "--yes", "--reason", "once more")
        time.sleep(0.05)
    assert listener.end() == (0, "")
