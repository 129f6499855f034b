"""The suppression list: at RCPT, for what is queued, by bounces, as files, taken back, after restarts."""

import contextlib
import csv
import io
import json
import socket
import sqlite3
import subprocess
import time
import urllib.request

import pytest

import harness
import test_sinks
from harness import WeirError, wait_until
from conftest import need_relay

EVENT_WAIT = 10


@pytest.fixture
def relay_with(directory, world):
    """A relay with more in its configuration."""
    made = []

    def make(extra):
        need_relay()
        r = harness.Relay(directory, world, extra)
        made.append(r)
        return r.start().allow()
    yield make
    for r in made:
        assert r.stop() == 0
        assert r.bad_log_lines() == []


def listed(relay, *args):
    return relay.weir("suppress", "list", *args)


def rcpt(relay, to):
    s = relay.raw()
    s.reply()
    s.say("EHLO c.example")
    assert s.say("MAIL FROM:<app@shop.example>")[0] == 250
    answer = s.say(f"RCPT TO:<{to}>")
    s.say("QUIT")
    s.close()
    return answer


def hits(relay, address):
    return [r["hits"] for r in listed(relay, address)]


def test_by_hand_refused_and_taken_off(relay):
    done = relay.weir("suppress", "add", "Anna@Fast.Example", "--reason", "asked us to")
    row, = listed(relay)
    assert row["address"] == "anna@fast.example" and row["source"] == "hand" and row["reason"] == "asked us to"
    assert row["stream"] is None and row["by"] and row["expires_at"] is None and row["hits"] == 0
    code, text = rcpt(relay, "ANNA@fast.example")
    assert code == 550 and "5.7.1" in text and "suppression list" in text and "(hand)" in text
    assert rcpt(relay, "bela@fast.example")[0] == 250
    assert hits(relay, "anna") == [1]
    found = relay.weir("suppress", "test", "anna@FAST.example")
    assert found["suppressed"] and found["entry"]["id"] == "anna@fast.example" and "asked us to" in found["text"]
    assert not relay.weir("suppress", "test", "bela@fast.example")["suppressed"]
    with pytest.raises(WeirError) as e:
        relay.weir("suppress", "add", "anna@fast.example", "--reason", "again")
    assert e.value.error["code"] == "exists"
    relay.weir("suppress", "remove", "anna@fast.example", "--reason", "wants it again")
    assert rcpt(relay, "anna@fast.example")[0] == 250 and listed(relay) == []
    removed, added = relay.weir("actions")[:2]
    assert added["action"] == done["action"] and removed["method"] == "suppress.remove"
    relay.weir("undo", removed["action"])
    assert rcpt(relay, "anna@fast.example")[0] == 550
    assert listed(relay)[0]["reason"] == "asked us to"
    with pytest.raises(WeirError) as e: # it is not as the action left it
        relay.weir("undo", done["action"])
        relay.weir("undo", done["action"])
    assert e.value.status == 1


def test_scopes_domains_and_ends(relay):
    relay.weir("suppress", "add", "isp.example", "--reason", "r")
    assert rcpt(relay, "who@isp.example")[0] == 550 and rcpt(relay, "who@sub.isp.example")[0] == 250
    relay.weir("suppress", "add", "anna@fast.example", "--stream", "marketing", "--reason", "r")
    assert rcpt(relay, "anna@fast.example")[0] == 250
    assert relay.weir("suppress", "test", "anna@fast.example", "--stream", "marketing")["suppressed"]
    relay.weir("suppress", "add", "bela@fast.example", "--stream", "default", "--reason", "r", "--for", "2s")
    assert rcpt(relay, "bela@fast.example")[0] == 550
    with pytest.raises(WeirError) as e:
        relay.weir("suppress", "remove", "anna@fast.example", "--reason", "r")
    assert "--stream marketing" in e.value.error["message"]
    with pytest.raises(WeirError) as e:
        relay.weir("suppress", "remove", "who@isp.example", "--reason", "r")
    assert "its domain is" in e.value.error["message"]
    assert [r["address"] for r in listed(relay, "--stream", "all")] == ["isp.example"]
    for where, found in (("to:anna*", ["anna@fast.example"]), ("domain:isp.example", ["isp.example"]),
                         ("stream:marketing age<1h", ["anna@fast.example"]), ("anna", ["anna@fast.example"]),
                         ("text:r -domain:fast.example", ["isp.example"]), ("age>1h", [])):
        assert [r["address"] for r in listed(relay, "--where", where)] == found, where
    assert [r["address"] for r in listed(relay, "*@fast.example", "--stream", "marketing")] == ["anna@fast.example"]
    for wrong in ("nobody", "a@", "a b@c.example", ""):
        with pytest.raises(WeirError) as e:
            relay.weir("suppress", "add", wrong, "--reason", "r")
        assert e.value.error["param"] == "address"
    wait_until(lambda: rcpt(relay, "bela@fast.example")[0] == 250, 10)
    assert "bela@fast.example" not in [r["address"] for r in listed(relay)]


def test_what_is_queued_ends_with_a_report(relay, world):
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    for sender in ("app@isp.example", ""):
        relay.send("anna@fast.example", "bela@fast.example", sender=sender or "<>")
    wait_until(lambda: len([r for r in relay.recipients() if r["state"] == "deferred"]) == 4)
    relay.weir("suppress", "add", "anna@fast.example", "--reason", "r")
    world.set("fast.example", "accept")
    relay.weir("retry", "all")
    wait_until(lambda: len(relay.events("anna@fast.example", "failed")) == 2, EVENT_WAIT)
    event = relay.events("anna@fast.example", "failed")[0]
    assert event["class"] == "suppressed" and event["enhanced"] == "5.7.1" and "suppression list" in event["reply"]
    wait_until(lambda: len(world.messages("fast.example")) == 2) # bela's
    report, = wait_until(lambda: world.messages("isp.example")) # and none for the null sender
    assert "suppression list" in world.last("isp.example")
    assert hits(relay, "anna") == [2]


def test_refusals_are_events(relay_with, directory):
    """Who was refused, of whose mail, and why; a client that tries again and again fills no feed."""
    path, port = directory / "events.jsonl", harness.free_port()
    relay = relay_with(f'sink log {{\n file = "{path}"\n filter = "state:refused"\n}}\nmetrics {{ address = "127.0.0.1:{port}" }}\n')
    relay.weir("suppress", "add", "isp.example", "--reason", "a competitor")
    relay.weir("suppress", "add", "anna@fast.example", "--stream", "default", "--reason", "asked us to")
    for _ in range(3):
        assert rcpt(relay, "Who@isp.example")[0] == 550
    assert rcpt(relay, "anna@fast.example")[0] == 550 and rcpt(relay, "else@isp.example")[0] == 550
    rows = wait_until(lambda: len(relay.weir("events", "--where", "state:refused")) == 3
                      and sorted(relay.weir("events", "--where", "state:refused"), key=lambda e: e["seq"]), EVENT_WAIT)
    assert [e["to"] for e in rows] == ["Who@isp.example", "anna@fast.example", "else@isp.example"], "one a minute of each"
    first = rows[0]
    assert first["event"] == "refused" and first["domain"] == "isp.example" and first["stream"] == "default" and first["id"] is None
    assert (first["code"], first["enhanced"], first["class"]) == (550, "5.7.1", "suppressed") and "suppression list" in first["reply"]
    assert (first["source"], first["reason"], first["by"], first["host"]) == ("hand", "a competitor", "127.0.0.1", None)
    assert len(relay.weir("events", "--where", "class:suppressed domain:fast.example")) == 1
    lines = wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 3 and path.read_text().splitlines())
    assert [json.loads(line) for line in lines] == rows
    test_sinks.check_schema(rows)
    relay.restart()
    assert sorted(relay.weir("events", "--where", "state:refused"), key=lambda e: e["seq"]) == rows
    # a flood: all are refused and counted, few are told
    start = time.monotonic()
    for k in range(30):
        with relay.smtp() as s:
            s.ehlo()
            s.mail(harness.SENDER)
            for i in range(15):
                assert s.rcpt(f"u{k}.{i}@isp.example")[0] == 550
    relay.send("behind@fast.example")
    relay.wait_event("behind@fast.example", "delivered")
    told = len(relay.weir("events", "--where", "state:refused", "--limit", "1000")) - 3
    assert 300 <= told <= 300 + 300 / 60 * (time.monotonic() - start), "300 at once, and what a minute gives back"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        assert "\nweir_recipients_refused_total 450\n" in page.read().decode()


def test_dropped_in_silence(relay_with, world):
    relay = relay_with('suppression { answer = "drop" }\n')
    relay.weir("suppress", "add", "anna@fast.example", "--reason", "r")
    relay.send("anna@fast.example", "bela@fast.example", sender="app@isp.example")
    event = relay.wait_event("anna@fast.example", "deleted")
    assert event["class"] == "suppressed" and "suppression list" in event["reply"]
    relay.wait_event("bela@fast.example", "delivered")
    assert len(world.messages("fast.example")) == 1 and world.messages("isp.example") == []


def test_refused_or_dropped_by_stream(relay, world):
    """One stream's mail is refused, another's is dropped in silence; what decides by a header is taken and ends by its stream."""
    relay.weir("stream", "add", "letters", "--match", "from:news@shop.example", "--suppressed", "drop", "--reason", "r")
    relay.weir("stream", "add", "marked", "--header", "X-Quiet", "--suppressed", "drop", "--reason", "r")
    relay.weir("suppress", "add", "anna@fast.example", "--reason", "r")

    def answer(sender):
        s = relay.raw()
        s.reply()
        s.say("EHLO c.example")
        assert s.say(f"MAIL FROM:<{sender}>")[0] == 250
        code = s.say("RCPT TO:<anna@fast.example>")[0]
        s.say("QUIT")
        s.close()
        return code

    assert answer("news@shop.example") == 250  # taken
    relay.send("anna@fast.example", sender="news@shop.example")
    relay.wait_event("anna@fast.example", "deleted")
    # which of the others it is, the header says: taken, and returned or dropped as the stream has it
    assert answer("app@isp.example") == 250
    relay.send("anna@fast.example", sender="app@isp.example")
    relay.wait_event("anna@fast.example", "failed")
    wait_until(lambda: "suppression list" in (world.last("isp.example") or ""), what="the report")
    rows = {r["id"]: r["suppressed"] for r in relay.weir("stream", "list")}
    assert rows == {"letters": "drop", "marked": "drop", "default": None}
    # and without such a stream it is known at RCPT
    relay.weir("stream", "remove", "marked", "--reason", "r")
    assert answer("app@isp.example") == 550
    relay.weir("stream", "set", "letters", "--suppressed", "reject", "--reason", "r")
    assert answer("news@shop.example") == 550
    relay.weir("stream", "set", "default", "--suppressed", "drop", "--reason", "r")
    assert answer("app@isp.example") == 250 and answer("news@shop.example") == 550
    relay.weir("stream", "set", "default", "--reset", "suppressed", "--reason", "r")
    assert answer("app@isp.example") == 550
    assert relay.run("stream", "set", "default", "--suppressed", "never", "--reason", "r").returncode == 2
    assert world.messages("fast.example") == []


def test_bounces_suppress(relay_with, world):
    relay = relay_with('suppression {\n at-once = {"bad-mailbox"}\n after-several = {"inactive"}\n several = 2\n}\n')
    world.do('set fast.example reply at=rcpt text="550 5.1.1 No such user here"')
    world.do('set isp.example reply at=rcpt text="550 5.2.1 This mailbox is disabled"')
    relay.send("gone@fast.example")
    relay.wait_event("gone@fast.example", "failed")
    row, = wait_until(lambda: listed(relay))
    assert row["address"] == "gone@fast.example" and row["source"] == "hard-bounce" and row["by"] == "weir"
    assert row["reason"] == "bad-mailbox" and "No such user here" in row["reply"] and row["message"].endswith("/1")
    code, text = rcpt(relay, "gone@fast.example")
    assert code == 550 and "5.1.1" in text
    relay.send("idle@isp.example")
    relay.wait_event("idle@isp.example", "failed")
    watched, = wait_until(lambda: listed(relay, "--watched"))
    assert watched["address"] == "idle@isp.example" and watched["bounces"] == 1 and watched["expires_at"]
    assert rcpt(relay, "idle@isp.example")[0] == 250
    relay.restart()
    assert [r["address"] for r in listed(relay, "--watched")] == ["idle@isp.example"]
    relay.send("idle@isp.example")
    wait_until(lambda: len(relay.events("idle@isp.example", "failed")) == 2)
    wait_until(lambda: {r["address"] for r in listed(relay)} == {"gone@fast.example", "idle@isp.example"})
    assert listed(relay, "--watched") == [] and rcpt(relay, "idle@isp.example")[0] == 550
    assert hits(relay, "gone") == [1], "counters outlive a restart"


def test_what_the_store_refused_is_stored_later(relay_with, world):
    """The next event's entry says how far all is seen: a restart does not look at the refused one's any more."""
    relay = relay_with('suppression {\n at-once = {"bad-mailbox"}\n}\n')
    relay.expected += [r"suppress[.]store", r"queue[.](commit|write)"]
    world.do('set fast.example reply at=rcpt text="550 5.1.1 No such user here"')

    def bounce(to):
        relay.send(to)
        wait_until(lambda: [r for r in listed(relay) if r["address"] == to])

    with contextlib.closing(sqlite3.connect(relay.state / "queue.db", isolation_level=None)) as db:
        stored = lambda: {r[0] for r in db.execute("SELECT id FROM suppress")}
        db.execute("CREATE TRIGGER damaged BEFORE INSERT ON suppress WHEN new.id LIKE 'lost%' "
                   "BEGIN SELECT raise(ABORT, 'damaged'); END")
        bounce("lost@fast.example")
        wait_until(lambda: "suppress.store" in relay.log.read_text())
        bounce("gone@fast.example")
        wait_until(lambda: "gone@fast.example" in stored())
        assert "lost@fast.example" not in stored()
        db.execute("DROP TRIGGER damaged")
        wait_until(lambda: "lost@fast.example" in stored())
    relay.kill()
    relay.start()
    assert {r["address"] for r in listed(relay)} == {"gone@fast.example", "lost@fast.example"}


def test_wrong_class_is_refused(directory, world):
    r = harness.Relay(directory, world, 'suppression { at-once = {"bad-mailbx"} }\n')
    import subprocess
    done = subprocess.run([harness.RELAYD, "-t", "-c", r.config], capture_output=True, text=True)
    assert done.returncode != 0 and "bad-mailbx" in done.stderr and "bad-mailbox" in done.stderr


FILE = '''email;name;Reason;until\r
One@A.example;"Doe; John";"said ""no""";\r
two@a.example;;;2099-01-01
# a comment

b.example;;a whole domain;
one@a.example;again;;
broken@;;;
three@a.example;;;yesterday
four@a.example;;;2001-01-01T00:00:00Z
"five@a.example;;;
caf\xe9@a.example;;;
'''


def test_import_says_line_by_line_what_it_could_not_read(relay, directory):
    path = directory / "list.csv"
    path.write_bytes(FILE.encode("latin-1"))
    relay.weir("suppress", "add", "two@a.example", "--reason", "before")
    plan = relay.weir("suppress", "import", str(path), "--plan")
    assert (plan["lines"], plan["new"], plan["domains"], plan["already"], plan["twice"], plan["unread"]) == \
        (12, 2, 1, 1, 1, 5)
    assert [w["line"] for w in plan["wrong"]] == [8, 9, 10, 11, 12]
    assert all(w["error"] and w["text"] for w in plan["wrong"])
    assert len(listed(relay)) == 1
    text = relay.run("suppress", "import", str(path), "--plan", json_output=False)
    assert text.returncode == 0 and f"{path}:8: " in text.stderr and "2  would come on the list" in text.stdout
    refused = relay.run("suppress", "import", str(path), "--reason", "r")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    refused = relay.run("suppress", "import", str(path), "--yes")
    assert refused.returncode == 2 and "reason" in refused.stderr and len(listed(relay)) == 1
    done = relay.weir("suppress", "import", str(path), "--reason", "old system", "--yes")
    assert done["entries"] == 2 and done["unread"] == 5 and done["action"]
    rows = {r["address"]: r for r in listed(relay)}
    assert set(rows) == {"one@a.example", "two@a.example", "b.example"}
    assert rows["one@a.example"]["reason"] == 'said "no"' and rows["one@a.example"]["source"] == "import"
    assert rows["one@a.example"]["import"] == done["action"] and rows["two@a.example"]["reason"] == "before"
    assert rcpt(relay, "x@b.example")[0] == 550
    out = relay.run("suppress", "export", json_output=False).stdout
    assert [r["address"] for r in csv.DictReader(io.StringIO(out))] == ["b.example", "one@a.example", "two@a.example"]
    relay.weir("undo", done["action"])
    assert [r["address"] for r in listed(relay)] == ["two@a.example"] and rcpt(relay, "x@b.example")[0] == 250
    again = relay.run("suppress", "import", "-", "--yes", "--reason", "back", input=out)
    assert again.returncode == 0 and json.loads(again.stdout)["entries"] == 2
    assert {r["address"]: r["reason"] for r in listed(relay)}["one@a.example"] == 'said "no"'
    relay.kill()
    relay.start()
    assert len(listed(relay)) == 3 and rcpt(relay, "one@a.example")[0] == 550


def test_a_hundred_thousand_lines(relay, directory):
    """In seconds, while mail goes on; the undo holds over a kill."""
    path = directory / "many.csv"
    path.write_text("".join(f"user{i}@d{i % 997}.example,list {i % 3}\n" if i % 10000 else f"wrong{i}\n"
                            for i in range(100000)))
    start = time.monotonic()
    done = relay.weir("suppress", "import", str(path), "--reason", "r", "--yes", timeout=60)
    took = time.monotonic() - start
    print(f"import: {took:.2f} s")
    assert done["entries"] == 99990 and done["unread"] == 10 and took < 15
    assert [w["line"] for w in done["wrong"]] == [1 + 10000 * i for i in range(10)]
    page = listed(relay, "user9999*", "--limit", "5")
    assert [r["address"] for r in page] == sorted(f"user{i}@d{i % 997}.example" for i in range(100000)
                                                  if i % 10000 and str(i).startswith("9999"))[:5]
    assert rcpt(relay, "user99999@d299.example")[0] == 550
    start = time.monotonic()
    relay.weir("undo", done["action"])
    assert time.monotonic() - start < 2 and rcpt(relay, "user99999@d299.example")[0] == 250
    relay.kill()
    relay.start()
    assert listed(relay) == [] and rcpt(relay, "user99999@d299.example")[0] == 250


def test_uploads_belong_to_who_brought_them(relay):
    """What suppress.load keeps is found only by its id and account, once, and can be dropped."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(relay.socket))
        f = s.makefile("rw")
        assert "hello" in f.readline()

        def call(method, **params):
            f.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
            f.flush()
            return json.loads(f.readline())
        first = call("suppress.load", lines=["a@b.example", "\u0001"])["result"]
        assert first["new"] == 1 and first["wrong"][0]["line"] == 2 and first["sample"][0]["address"] == "a@b.example"
        second = call("suppress.load", upload=first["upload"], lines=["a@b.example,x", "c@b.example"])["result"]
        assert (second["new"], second["twice"], second["lines"]) == (2, 1, 4)
        assert call("suppress.load", upload="u99", lines=[])["error"]["data"]["name"] == "unknown"
        assert call("suppress.import", upload="u99", reason="r", request="1")["error"]["data"]["name"] == "unknown"
        call("suppress.load", upload=first["upload"], drop=True)
        assert "error" in call("suppress.import", upload=first["upload"], reason="r", request="2")
        kept = [call("suppress.load", lines=["a@b.example"]) for _ in range(9)]
        assert ["error" in k for k in kept] == [False] * 8 + [True]
        done = call("suppress.import", upload=kept[0]["result"]["upload"], reason="r", request="3")["result"]
        assert done["entries"] == 1
        assert call("suppress.import", upload=kept[0]["result"]["upload"], reason="r", request="3")["result"] == done
        late = call("suppress.import", upload=kept[1]["result"]["upload"], reason="r", request="4")["result"]
        assert late["entries"] == 0 and late["skipped"] == 1 # it came on the list meanwhile
    assert len(listed(relay)) == 1


def told(relay, *args):
    """What the feed says of the list, the oldest first; each field as weir-events(7) has it."""
    rows = [e for e in relay.weir("events", "--where", "state:suppressed,unsuppressed", *args)]
    for e in rows:
        assert {"source", "reason", "by", "to", "domain", "stream", "id", "reply", "at", "seq"} <= set(e), e
        assert e["host"] is None and e["code"] == 0 and e["from"] == ""
    return [(e["event"], e["to"], e["source"]) for e in sorted(rows, key=lambda e: e["seq"])]


def test_changes_are_events(relay_with, world, directory):
    """By hand, taken off, taken back, by a bounce, imported: each once, in order, where events go."""
    path = directory / "events.jsonl"
    relay = relay_with('suppression { at-once = {"bad-mailbox"} }\n'
                       f'sink log {{\n file = "{path}"\n}}\n')
    follow = subprocess.Popen([harness.WEIR, "-r", f"unix:{relay.socket}", "--json", "events", "--follow", "--where",
                               "state:suppressed,unsuppressed"], stdout=subprocess.PIPE, text=True)
    relay.weir("suppress", "add", "anna@fast.example", "--stream", "default", "--reason", "asked us to")
    done = relay.weir("suppress", "remove", "anna@fast.example", "--stream", "default", "--reason", "asked again")
    relay.weir("undo", done["action"])
    world.do('set isp.example reply at=rcpt text="550 5.1.1 No such user"')
    relay.send("gone@isp.example")
    relay.wait_event("gone@isp.example", "failed")
    wait_until(lambda: len(told(relay)) == 4, what="the bounce")
    (directory / "list.csv").write_text("bela@isp.example,old\nchen@isp.example,old\n")
    done = relay.weir("suppress", "import", directory / "list.csv", "--reason", "the old system's", "--yes")
    relay.weir("undo", done["action"])
    wanted = [("suppressed", "anna@fast.example", "hand"), ("unsuppressed", "anna@fast.example", "hand"),
              ("suppressed", "anna@fast.example", "hand"), ("suppressed", "gone@isp.example", "hard-bounce"),
              ("suppressed", None, "import"), ("unsuppressed", None, "import")]
    assert wait_until(lambda: told(relay) if len(told(relay)) == 6 else None, what="six") == wanted
    rows = sorted(relay.weir("events", "--limit", "1000"), key=lambda e: e["seq"])
    assert [e["seq"] for e in rows] == list(range(1, len(rows) + 1)), "numbered without gaps"
    bounce, = [e for e in rows if e.get("source") == "hard-bounce"]
    failed, = [e for e in rows if e["event"] == "failed"]
    assert bounce["id"] == failed["id"] and bounce["reason"] == "bad-mailbox" and bounce["by"] == "weir"
    assert "No such user" in bounce["reply"] and bounce["domain"] == "isp.example"
    hand = next(e for e in rows if e["event"] == "suppressed")
    assert hand["reason"] == "asked us to" and hand["stream"] == "default" and hand["by"] and hand["id"] is None
    removed = next(e for e in rows if e["event"] == "unsuppressed")
    assert removed["reason"] == "asked again" and removed["by"] == hand["by"]
    imported = [e for e in rows if e.get("source") == "import"]
    assert "2 entries" in imported[0]["reply"] and "taken back" in imported[1]["reply"]
    assert told(relay, "--limit", "1000") == wanted
    assert [e["to"] for e in relay.weir("events", "--where", "to:gone@isp.example")] == ["gone@isp.example"] * 2
    lines = wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == len(rows)
                       and path.read_text().splitlines(), what="the file")
    assert [json.loads(line) for line in lines] == rows
    test_sinks.check_schema(rows)
    heard = [json.loads(follow.stdout.readline()) for _ in wanted]
    assert [(e["event"], e["to"], e["source"]) for e in heard] == wanted
    follow.terminate()
    follow.wait(timeout=10)
    relay.kill()
    relay.start()
    assert told(relay, "--limit", "1000") == wanted
