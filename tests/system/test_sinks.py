"""Events to files and webhooks, and metrics: everything at least once, in order, whatever the receiver does."""

import hashlib
import hmac
import http.server
import json
import pathlib
import re
import ssl
import threading
import time
import urllib.request

import pytest

import harness
import peer as peers
from harness import wait_until
from conftest import need_relay

SECRET = "correct horse battery staple"
TABLE = (pathlib.Path(harness.__file__).parents[2] / "include/proto/fields.def").read_text()
ROWS = re.findall(r'^FIELD\("event", "(\w+)", (\w+), "[^"]*", \d+, \d+, (\w+), "([^"]*)"', TABLE, re.M)
FIELDS = {name for name, _, flags, _ in ROWS if flags != "FF_HIDE"}
OTHERS = {name for name, _, flags, _ in ROWS if flags == "FF_HIDE"}
EVENTS = set(re.findall(r"\w+", next(text for name, _, _, text in ROWS if name == "event").split(", of ")[0]))
PYTHON = {"FK_TEXT": str, "FK_TIME": str, "FK_INT": int, "FK_MS": int}


def check_schema(events):
    """As weir-events(7) documents them, which is made from the same table."""
    assert len(ROWS) >= 18
    for e in events:
        assert FIELDS <= set(e) <= FIELDS | OTHERS, e
        assert e["event"] in EVENTS and (OTHERS <= set(e)) == (e["event"] in ("suppressed", "unsuppressed", "refused")), e
        for name, kind, _, _ in ROWS:
            assert e.get(name) is None or type(e[name]) is PYTHON[kind], (name, e)


class Receiver:
    """Takes posts as it is told: how to answer, how long to take; checks what it must not forgive."""

    def __init__(self, port=0, certificate=None):
        self.status, self.delay = 200, 0
        self.posts = 0
        self.events = []   # of posts that were answered with 2xx
        self.wrong = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self.headers, body)
                time.sleep(outer.delay)
                try:
                    self.send_response(outer.status)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:
                    pass

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *args: None  # who refuses the certificate hangs up
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        self.posts += 1
        wanted = hmac.new(SECRET.encode(), headers["Weir-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
        if headers["Weir-Signature"] != "sha256=" + wanted or headers["Content-Type"] != "application/json":
            self.wrong.append(dict(headers))
        if abs(time.time() - int(headers["Weir-Timestamp"])) > 60:
            self.wrong.append(headers["Weir-Timestamp"])
        document = json.loads(body)
        if document["relay"] != "relay.test.example" or not document["events"]:
            self.wrong.append(document)
        if int(headers["Weir-Batch"]) != document["events"][-1]["seq"]:
            self.wrong.append(headers["Weir-Batch"])
        if 200 <= self.status < 300:
            self.events += document["events"]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.stop()


@pytest.fixture
def relay_with(directory, world):
    made = []
    (directory / "secret").write_text(SECRET + "\n")

    def make(extra, start=True):
        need_relay()
        r = harness.Relay(directory, world, extra)
        made.append(r)
        return r.start().allow() if start else r
    yield make
    for r in made:
        if r.process is not None:
            assert r.stop() == 0
        assert not r.log.exists() or r.bad_log_lines() == []


def hook(directory, port, more=""):
    return (f'sink crm {{\n url = "http://127.0.0.1:{port}/hook?a=b"\n secret-file = "{directory}/secret"\n {more}\n}}\n')


def seqs(events):
    return [e["seq"] for e in events]


def feed(relay):
    return sorted(relay.weir("events", "--limit", "1000"), key=lambda e: e["seq"])


def sink(relay, name="crm"):
    return next(s for s in relay.weir("sinks") if s["name"] == name)


def caught_up(relay):
    s = sink(relay)
    return s["behind"] == 0 and s["state"] == "idle" and s


def test_webhook_through_all_its_troubles(relay_with, directory, receiver, world):
    relay = relay_with(hook(directory, receiver.port, "batch = 3\n timeout = 2s"))
    relay.send("anna@fast.example", "bela@fast.example")
    relay.wait_event("bela@fast.example", "delivered")
    wait_until(lambda: len(receiver.events) == 3)
    assert [e["event"] for e in receiver.events][0] == "received"
    # answering 500: mail goes on, the sink says so
    receiver.status = 500
    relay.send("chen@fast.example")
    relay.wait_event("chen@fast.example", "delivered")
    failing = wait_until(lambda: sink(relay)["state"] == "failing" and sink(relay))
    assert "500" in failing["error"] and failing["behind"] == 2 and failing["failing_at"] and failing["failures"] >= 1
    receiver.status = 204
    wait_until(lambda: len(receiver.events) == 5, 20)
    # slow, slower than it is waited for
    receiver.delay = 3
    relay.send("dora@fast.example")
    relay.wait_event("dora@fast.example", "delivered")
    assert sink(relay)["state"] != "failing", "mail does not wait for it: it left before that was over"
    wait_until(lambda: sink(relay)["state"] == "failing", 20)
    receiver.delay = 0
    wait_until(lambda: caught_up(relay), 30)
    # killed, and the relay too; back later
    port = receiver.port
    receiver.stop()
    for name in "efgh":
        relay.send(f"{name}@fast.example")
        relay.wait_event(f"{name}@fast.example", "delivered")
    wait_until(lambda: sink(relay)["state"] == "failing", 20)
    relay.kill()
    relay.start()
    relay.send("i@fast.example")
    relay.wait_event("i@fast.example", "delivered")
    again = Receiver(port)
    wait_until(lambda: caught_up(relay), 40)
    got = receiver.events + again.events
    again.stop()
    assert receiver.wrong == [] and again.wrong == []
    wanted = feed(relay)
    assert set(seqs(got)) == set(seqs(wanted)), "every event at least once"
    by_message = {}
    for e in got:
        known = by_message.setdefault(e["id"], [])
        if e["seq"] not in known: # a repetition may come behind what it repeats
            known.append(e["seq"])
    assert all(s == sorted(s) for s in by_message.values()), "in order per message"
    check_schema(got)
    for e in got: # what was posted is what the feed says
        assert e == next(w for w in wanted if w["seq"] == e["seq"])


def test_a_new_sink_begins_now_and_an_hour_is_nothing(relay_with, directory, receiver, world):
    """300 events while the receiver is away come in batches of at most what was said."""
    relay = relay_with("")
    relay.send("old@fast.example")
    relay.wait_event("old@fast.example", "delivered")
    assert relay.stop() == 0
    relay.config.write_text(relay.config.read_text() + hook(directory, receiver.port, "batch = 50"))
    receiver.status = 503
    relay.start()
    for _ in range(3):
        relay.send(*(f"r{i}@fast.example" for i in range(100)))
    wait_until(lambda: sink(relay)["behind"] == 303, 30)
    receiver.status = 200
    wait_until(lambda: caught_up(relay), 40)
    assert len(set(seqs(receiver.events))) == 303 and receiver.wrong == []
    assert min(seqs(receiver.events)) == 3 and "old@fast.example" not in {e["to"] for e in receiver.events}


def test_https(relay_with, directory, world):
    """By TLS to a receiver whose certificate is of the sink's own authority; by others nothing is sent, and the sink
    says so; mail goes on."""
    peers.make_authority(directory)
    good = peers.make_certificate(directory, "good", "IP:127.0.0.1")
    wrong = {"certificate": peers.make_certificate(directory, "self", "IP:127.0.0.1", signed=False),  # of nobody
             "certificate subject name": peers.make_certificate(directory, "name", "DNS:other.example")}  # another's
    port = harness.free_port()
    relay = relay_with(hook(directory, port, f'authorities = "{directory}/ca.pem"\n timeout = 5s').replace("http:", "https:"))
    sent = 0
    for says, certificate in wrong.items():
        bad = Receiver(port, certificate)
        relay.send(f"x{sent}@fast.example")
        relay.wait_event(f"x{sent}@fast.example", "delivered")
        sent += 1
        row = wait_until(lambda: sink(relay) if sink(relay)["state"] == "failing" and says in sink(relay)["error"].lower()
                         else None, 20, says)
        assert row["behind"] == 2 * sent and bad.posts == 0
        bad.stop()
    r = Receiver(port, good)
    wait_until(lambda: caught_up(relay), 60)
    assert len(r.events) == 2 * sent and r.wrong == []
    check_schema(r.events)
    r.stop()


def test_https_by_the_authorities_of_all(relay_with, directory, world):
    """Those of section tls, when the sink has none of its own; with those of the system it is refused."""
    peers.make_authority(directory)
    r = Receiver(certificate=peers.make_certificate(directory, "good", "IP:127.0.0.1"))
    relay = relay_with(f'tls {{ authorities = "{directory}/ca.pem" }}\n'
                       + hook(directory, r.port).replace("http:", "https:"))
    relay.send("x@fast.example")
    wait_until(lambda: len(r.events) == 2, 20)
    r.stop()


def test_only_what_matches(relay_with, directory, receiver, world):
    """What a filter leaves out is passed over, also by the cursor, over a restart."""
    relay = relay_with(hook(directory, receiver.port, 'filter = "state:failed,suppressed -domain:fast.example"'))
    world.do('set isp.example reply at=rcpt text="550 5.1.1 No such user"')
    relay.send("anna@fast.example")
    relay.wait_event("anna@fast.example", "delivered")
    relay.send("gone@isp.example")
    relay.wait_event("gone@isp.example", "failed")
    relay.weir("suppress", "add", "bela@fast.example", "--reason", "r")
    relay.weir("suppress", "add", "bela@isp.example", "--reason", "r")
    wait_until(lambda: len(receiver.events) == 2, 20)
    assert [(e["event"], e["to"]) for e in receiver.events] == [("failed", "gone@isp.example"),
                                                                ("suppressed", "bela@isp.example")]
    wait_until(lambda: caught_up(relay), 20)
    row = sink(relay)
    assert row["filter"] == "state:failed,suppressed -domain:fast.example" and row["sent"] == 2 and row["missed"] == 0
    relay.send("chen@fast.example")
    relay.wait_event("chen@fast.example", "delivered")
    wait_until(lambda: caught_up(relay), 20)
    assert sink(relay)["cursor"] == feed(relay)[-1]["seq"]
    relay.kill()
    relay.start()
    relay.send("late@isp.example")
    relay.wait_event("late@isp.example", "failed")
    wait_until(lambda: caught_up(relay), 20)
    assert [e["to"] for e in receiver.events[2:]] == ["late@isp.example"] and receiver.wrong == []


def test_file_and_rotation(relay_with, directory, world):
    path = directory / "out" / "events.jsonl"
    path.parent.mkdir()
    relay = relay_with(f'sink log {{\n file = "{path}"\n size = "16K"\n keep = 2\n}}\n')
    relay.send("anna@fast.example")
    relay.wait_event("anna@fast.example", "delivered")
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
    assert [json.loads(x) for x in path.read_text().splitlines()] == feed(relay)
    path.write_text(path.read_text() + '{"torn')  # as a crash in the middle of a line leaves it
    for k in range(5):
        relay.send(*(f"r{i}-{k}@fast.example" for i in range(20)))
        relay.wait_event(f"r19-{k}@fast.example", "delivered")
    wait_until(lambda: sink(relay, "log")["behind"] == 0 and sink(relay, "log")["state"] == "idle")
    files = sorted(p.name for p in path.parent.iterdir())
    assert files == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    lines = [x for n in (".2", ".1", "") for x in (path.parent / (path.name + n)).read_text().splitlines()]
    kept = seqs([json.loads(x) for x in lines if x != '{"torn'])
    assert kept == list(range(kept[0], kept[-1] + 1)) and kept[-1] == feed(relay)[-1]["seq"]
    assert all(p.stat().st_size < 48 * 1024 for p in path.parent.iterdir())
    path.parent.rename(directory / "away")  # no directory: it waits, and mail does not
    relay.send("late@fast.example")
    relay.wait_event("late@fast.example", "delivered")
    assert "No such file" in wait_until(lambda: sink(relay, "log")["error"])
    (directory / "away").rename(path.parent)
    wait_until(lambda: sink(relay, "log")["behind"] == 0, 20)
    assert json.loads(path.read_text().splitlines()[-1])["to"] == "late@fast.example"


def test_metrics(relay_with, directory, world):
    port = harness.free_port()
    relay = relay_with(f'metrics {{ address = "127.0.0.1:{port}" }}\n')
    world.do('set isp.example reply at=rcpt text="550 5.1.1 No such user"')
    relay.send("anna@fast.example", "bela@fast.example")
    relay.send("gone@isp.example")
    relay.wait_event("gone@isp.example", "failed")
    relay.wait_event("bela@fast.example", "delivered")

    def scrape(path="/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as r:
            assert r.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return r.read().decode()
    text = wait_until(lambda: 'weir_recipients_failed_total{stream="default"} 1' in scrape() and scrape())
    assert 'weir_messages_accepted_total{stream="default"} ' in text
    assert 'weir_alerts{severity="bad"} 0\n' in text and 'weir_alerts{severity="warn"} 0\n' in text
    assert 'weir_recipients_delivered_total{stream="default"} ' in text and 'weir_failures_total{class="bad-mailbox"} 1' in text
    assert re.search(r'weir_delivery_latency_seconds_bucket{le="\+Inf"} [23]\n', text)
    seen, typed, helped = set(), {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed
            typed[name] = kind
        elif line.startswith("# HELP "):
            helped.add(line.split()[2])
        else:
            m = re.fullmatch(r'(weir_[a-z_]+)(\{[a-z]+="[^"\\]*"\})? -?[0-9.]+', line)
            assert m, line
            family = re.sub(r"_(bucket|sum|count)$", "", m[1]) if "latency" in m[1] else m[1]
            assert family in typed and (m[1], m[2]) not in seen
            seen.add((m[1], m[2]))
            assert (typed[family] == "counter") == family.endswith("_total"), line
    assert helped == set(typed)
    with pytest.raises(urllib.error.HTTPError) as e:
        scrape("/")
    assert e.value.code == 404


@pytest.mark.parametrize("section,says", [
    ('sink a { file = "x" }', "path from the root"),
    ('sink a { }', "either file or url"),
    ('sink a {\n file = "/tmp/x"\n filter = "state:"\n}', "sink a: filter"),
    ('sink a {\n file = "/tmp/x"\n filter = "nonsense:x"\n}', "sink a: filter"),
    ('sink a {\n file = "/tmp/x"\n filter = "subject:x"\n}', "an event has no subject"),
    ('sink a {\n file = "/tmp/x"\n filter = "provider:x.example"\n}', "the provider is not known of every event"),
    ('sink a { url = "http://x.example/" }', "secret-file"),
    ('sink a {\n url = "ftp://x.example/"\n secret-file = "SECRET"\n}', "http:// or https://"),
    ('sink a {\n url = "http://x.example:0/"\n secret-file = "SECRET"\n}', "port"),
    ('sink a {\n url = "http://x.example/"\n secret-file = "/nowhere"\n}', "/nowhere"),
    ('sink a {\n url = "https://x.example/"\n secret-file = "SECRET"\n authorities = "/nowhere"\n}', "sink a: authorities"),
])
def test_what_is_wrong_is_refused(relay_with, directory, section, says):
    import subprocess
    relay = relay_with(section.replace("SECRET", str(directory / "secret")) + "\n", start=False)
    done = subprocess.run([harness.RELAYD, "-t", "-c", relay.config], capture_output=True, text=True)
    assert done.returncode != 0 and says in done.stderr
