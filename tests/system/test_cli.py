"""The command line on a real relay: every verb, the promised fields with their types, exit statuses."""

import base64
import json
import os
import re
import signal
import smtplib
import subprocess

import pytest

import harness
from harness import WEIR, WeirError, wait_until

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")

# INTERFACES: what a command's JSON has at least.
PROMISED = {
    "status": "relay version uptime_s queued oldest_age_s rates holds alerts",
    "queue": "ready active deferred held total oldest_age_s next_attempt_s last_reply class hold backoff",
    "messages": "id from to domain stream state size age_s attempts next_attempt_s last_code last_enhanced "
                "last_reply class subject credential client",
    "show": "id from received_at size stream credential client msgid subject recipients attempts",
    "attempt": "at to source host ip tls code enhanced reply class outcome duration_ms",
    "why": "binding text since_at until_at rule",
    "action": "action messages recipients skipped undo_until_at",
    "hold": "id target reason by created_at expires_at",
    "holds": "id target reason by created_at expires_at messages recipients",
    "plan": "plan messages recipients in_delivery by_state by_domain by_stream oldest_age_s newest_age_s "
            "sample undo_window_s command",
    "allow list": "network mode note by created_at expires_at last_hit_at hits",
    "route list": "id match to",
    "causes": "class code enhanced text count domains since_at kind meaning advice action",
    "events": "seq at event id from to domain stream code enhanced reply class host ip duration_ms",
}
BINDINGS = {"held", "credential", "rate", "tls", "backoff", "concurrency", "dns", "connect", "remote", "retry", "delivering", "waiting", "route",
            "trash", "done", "unknown"}


def check(what, row):
    """All that is promised is there, and of the type that its name says."""
    missing = [f for f in PROMISED[what].split() if f not in row]
    assert missing == [], f"{what}: {row}"
    for name, value in row.items():
        if value is None:
            continue
        if name.endswith("_at"):
            assert TIME.match(value), (name, value)
        elif name.endswith("_s") and not name.endswith("_per_s") or name.endswith("_ms"):
            assert isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0, (name, value)
        elif name in ("size", "attempts", "last_code", "code", "count", "domains", "seq", "hits", "messages",
                      "recipients", "skipped", "ready", "active", "deferred", "held", "total", "in_delivery",
                      "alerts") and not isinstance(value, (list, dict)):
            assert isinstance(value, int) and value >= 0, (name, value)
        elif name in ("id", "from", "to", "domain", "stream", "state", "class", "last_reply", "reply", "subject",
                      "target", "reason", "by", "text", "command", "outcome", "event", "kind", "meaning"):
            assert isinstance(value, str), (name, value)


@pytest.fixture
def backlog(relay, world):
    """Deferred, delivered and failed mail."""
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    for n in ("anna", "bela", "chen"):
        relay.send(f"{n}@fast.example", subject=f"For {n}", tag=n)
    relay.send("full@isp.example", tag="full")
    relay.send("ok@startup.example", tag="ok")
    for to in ("anna@fast.example", "bela@fast.example", "chen@fast.example", "full@isp.example"):
        relay.wait_state(to, "deferred")
    relay.wait_event("ok@startup.example", "delivered")
    return relay


def test_status(backlog):
    status = backlog.weir("status")
    check("status", status)
    assert set("messages recipients ready active deferred held trash".split()) <= set(status["queued"])
    assert set("accepted_per_s delivered_per_s deferred_per_s failed_per_s".split()) <= set(status["rates"])
    assert status["relay"] == "relay.test.example" and status["queued"]["recipients"] == 4
    text = backlog.run("status", json_output=False).stdout
    assert "relay.test.example" in text and "deferred 4" in text


@pytest.mark.parametrize("by", ["domain", "provider", "stream", "sender", "credential", "cause"])
def test_queue(backlog, by):
    rows = backlog.weir("queue", "--by", by)
    assert sum(r["total"] for r in rows) == 4
    for row in rows:
        check("queue", row)
        assert by in row, row
    text = backlog.run("queue", "--by", by, json_output=False).stdout.splitlines()
    assert text[0].startswith(by.upper()) and len(text) == len(rows) + 1


def test_messages(backlog):
    rows = backlog.weir("messages")
    assert len(rows) == 4
    for row in rows:
        check("messages", row)
        assert row["state"] == "deferred" and row["client"] == "127.0.0.1" and row["last_code"] in (451, 452)
    text = backlog.run("messages", json_output=False).stdout
    assert "anna@fast.example" in text and "451 4.3.2 Later" in text
    wide = backlog.run("messages", "-w", json_output=False).stdout
    assert "For anna" in wide and "SUBJECT" in wide


def test_show(backlog):
    row = backlog.row("anna@fast.example")
    detail = backlog.weir("show", row["id"])
    check("show", detail)
    check("messages", detail["recipients"][0])
    check("attempt", detail["attempts"][0])
    assert detail["attempts"][0]["outcome"] == "deferred" and detail["subject"] == "For anna"
    assert backlog.weir("show", row["id"], "--attempts") == detail["attempts"]
    assert backlog.weir("show", row["id"].lower() + "/1")["id"] == row["id"]
    text = backlog.run("show", row["id"], json_output=False).stdout
    assert "For anna" in text and "Recipients (1)" in text and "451 4.3.2 Later" in text
    assert "451 4.3.2 Later" in backlog.run("show", row["id"], "--transcript", json_output=False).stdout


def test_content(backlog):
    """--raw is what was accepted, with the relay's own trace on top; --headers is its beginning."""
    row = backlog.row("anna@fast.example")
    command = [WEIR, "-r", f"unix:{backlog.socket}", "show", row["id"]]
    raw = subprocess.run([*command, "--raw"], capture_output=True, timeout=15).stdout
    headers = subprocess.run([*command, "--headers"], capture_output=True, timeout=15).stdout
    assert raw.endswith(b"\r\n\r\nHello.\r\n") and b"Subject: For anna\r\n" in raw
    assert raw.startswith(headers.rstrip(b"\r\n")) and b"Hello." not in headers
    doc = backlog.weir("show", row["id"], "--raw")
    assert base64.b64decode(doc["base64"]) == raw and doc["total"] == len(raw)


def test_content_in_pieces(relay, world):
    """A letter of several pieces, byte for byte."""
    world.do('set fast.example reply at=mail text="451 4.3.2 Later"')
    body = "".join(f"{n:06d} {'x' * (n % 60)}\r\n" for n in range(20000))
    relay.send("big@fast.example", body=body)
    row = relay.wait_state("big@fast.example", "deferred")
    raw = subprocess.run([WEIR, "-r", f"unix:{relay.socket}", "show", row["id"], "--raw"], capture_output=True,
                         timeout=30).stdout
    assert raw.endswith(b"\r\n\r\n" + body.encode()) and len(raw) > 200000


@pytest.mark.parametrize("target", ["domain:fast.example", "all", "stream:default", "provider:fast.example"])
def test_why_of_a_target(backlog, target):
    why = backlog.weir("why", target)
    check("why", why)
    assert why["binding"] in BINDINGS and why["text"]


def test_why_of_a_message(backlog):
    row = backlog.row("anna@fast.example")
    for name in (row["id"], f"id:{row['id']}", row["row"]):
        why = backlog.weir("why", name)
        check("why", why)
        assert why["binding"] in ("retry", "remote", "backoff") and why["text"]
    assert why["text"][:20] in backlog.run("why", row["id"], json_output=False).stdout


def test_hold_and_release(backlog):
    held = backlog.weir("hold", "domain:fast.example", "--reason", "incident 7", "--for", "2h")
    check("action", held)
    check("hold", held["hold"])
    assert held["recipients"] == 3 and held["hold"]["reason"] == "incident 7"
    hold, = backlog.weir("holds")
    check("holds", hold)
    assert hold["recipients"] == 3 and hold["target"] == "domain:fast.example"
    assert "incident 7" in backlog.run("holds", json_output=False).stdout
    released = backlog.weir("release", "--hold", hold["id"])
    check("action", released)
    assert backlog.weir("holds") == []
    text = backlog.run("hold", "domain:fast.example", "--reason", "r", json_output=False).stdout
    assert "hold domain:fast.example: done, 3 recipients of 3 messages" in text and "weir undo " in text


@pytest.mark.parametrize("verb", ["hold", "release", "retry", "bounce", "delete"])
def test_plans(backlog, verb):
    if verb == "release":
        backlog.weir("hold", "domain:fast.example", "--reason", "r")
    before = backlog.recipients()
    plan = backlog.weir(verb, "domain:fast.example", "--plan")
    check("plan", plan)
    for row in plan["sample"]:
        check("messages", row)
    assert [{k: v for k, v in r.items() if not k.endswith("_s")} for r in backlog.recipients()] == \
        [{k: v for k, v in r.items() if not k.endswith("_s")} for r in before]
    text = backlog.run(verb, "domain:fast.example", "--plan", json_output=False).stdout
    assert "domain:fast.example" in text and "weir " + verb in text


def test_the_command_of_a_plan_does_it(backlog):
    """The equivalent line, given to a shell."""
    plan = backlog.weir("delete", "--where", "to:anna@* domain:fast.example", "--plan", "--reason", "it's planned")
    line = plan["command"] + " --yes"
    result = subprocess.run(["sh", "-c", line.replace("weir", str(WEIR), 1) + f" --json -r unix:{backlog.socket}"],
                            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=15)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["recipients"] == 1
    assert backlog.weir("actions")[0]["reason"] == "it's planned"


@pytest.mark.parametrize("verb", ["retry", "flush", "bounce", "delete"])
def test_changes(backlog, verb):
    confirm = ["--yes"] if verb in ("bounce", "delete") else []
    done = backlog.weir(verb, "domain:isp.example", "--reason", "r", *confirm)
    check("action", done)
    assert done["recipients"] == 1
    journal = backlog.weir("actions")
    assert journal[0]["action"] == done["action"] and journal[0]["reason"] == "r" and journal[0]["who"]


def test_allow(relay):
    added = relay.weir("allow", "add", "10.1.0.0/16", "--note", "why", "--for", "1d")
    assert added["action"]
    rows = relay.weir("allow", "list")
    for row in rows:
        check("allow list", row)
    entry = next(r for r in rows if r["network"] == "10.1.0.0/16")
    assert entry["note"] == "why" and entry["expires_at"]
    test = relay.weir("allow", "test", "10.1.2.3")
    assert test["may_relay"] is True and test["network"] == "10.1.0.0/16" and test["text"]
    assert relay.weir("allow", "test", "2001:db8::1")["may_relay"] is False
    relay.weir("allow", "remove", "10.1.0.0/16")
    assert relay.weir("allow", "test", "10.1.2.3")["may_relay"] is False
    with pytest.raises(WeirError) as e:
        relay.weir("allow", "remove", "10.1.0.0/16")
    assert e.value.status == 1


def test_routes(relay):
    relay.weir("route", "add", "--to", "hold", "--match", "domain:a.example", "--note", "n")
    relay.weir("route", "add", "--to", "discard", "--match", "domain:b.example")
    rows = relay.weir("route", "list")
    for row in rows:
        check("route list", row)
    assert [r["to"] for r in rows][:2] == ["discard", "hold"]
    relay.weir("route", "move", rows[1]["id"], "--before", rows[0]["id"], "--reason", "r")
    assert [r["to"] for r in relay.weir("route", "list")][:2] == ["hold", "discard"]
    test = relay.weir("route", "test", "bob@b.example")
    assert test["to"] == "discard" and test["route"] == rows[0]["id"]
    assert relay.weir("route", "test", "bob@fast.example")["next_hops"]
    assert "127.0.10." in relay.run("route", "test", "bob@fast.example", json_output=False).stdout
    for row in rows[:2]:
        relay.weir("route", "remove", row["id"], "--reason", "r")
    assert relay.weir("route", "list") == rows[2:]


def test_causes(backlog):
    rows = backlog.weir("causes")
    for row in rows:
        check("causes", row)
    assert {r["code"] for r in rows} >= {451} and sum(r["count"] for r in rows) == 4


def test_events(backlog):
    rows = backlog.weir("events")
    for row in rows:
        check("events", row)
    assert [r["seq"] for r in rows] == sorted(r["seq"] for r in rows)
    assert {r["event"] for r in rows} >= {"received", "deferred", "delivered"}
    after = rows[2]["seq"]
    assert all(r["seq"] > after for r in backlog.weir("events", "--after", str(after)))
    assert len(backlog.weir("events", "--limit", "2")) == 2
    assert backlog.weir("events", "--limit", "2") == rows[-2:]


def test_every_verb_explains_itself():
    tables = json.loads(subprocess.run([WEIR, "--dump-tables=json"], capture_output=True, timeout=15).stdout)
    verbs = [m for m in tables["methods"] + tables["verbs"] if m["verb"]]
    assert len(verbs) >= 25
    for m in verbs:
        help_text = subprocess.run([WEIR, *m["verb"].split(), "--help"], capture_output=True, text=True, timeout=15)
        assert help_text.returncode == 0 and help_text.stderr == ""
        assert help_text.stdout.startswith(f"usage: weir {m['verb']}") and m["summary"] in help_text.stdout
        for p in m["params"]:
            if p["option"]:
                assert p["help"] in help_text.stdout
        same = subprocess.run([WEIR, "help", *m["verb"].split()], capture_output=True, text=True, timeout=15)
        assert same.stdout == help_text.stdout
    overview = subprocess.run([WEIR, "--help"], capture_output=True, text=True, timeout=15)
    assert overview.returncode == 0 and all(m["verb"] in overview.stdout for m in verbs if m["verb"] != "complete")


def test_every_verb_is_called_by_a_test():
    tables = json.loads(subprocess.run([WEIR, "--dump-tables=json"], capture_output=True, timeout=15).stdout)
    here = harness.pathlib.Path(__file__).parent
    text = "\n".join(f.read_text() for f in here.glob("test_*.py"))
    for m in tables["methods"] + tables["verbs"]:
        if m["verb"]:
            words = [rf'"{w}"' for w in m["verb"].split()]
            assert re.search(r",\s*".join(words), text), f"no test calls weir {m['verb']}"


@pytest.mark.parametrize("args,status", [
    (["status"], 0), (["release", "domain:nothing.example"], 1), (["undo", "a999999"], 1),
    (["hold", "all"], 2), (["messages", "--where", "age>"], 2), (["nosuch"], 2),
    (["show", "0N4XK2M8QF"], 1), (["route", "remove", "nosuch", "--reason", "r"], 1),
])
def test_exit_statuses(relay, args, status):
    result = relay.run(*args)
    assert result.returncode == status
    if status:
        error = json.loads(result.stderr)["error"]
        assert error["code"] and error["message"] and "param" in error and result.stdout == ""
        plain = relay.run(*args, json_output=False)
        assert plain.returncode == status and plain.stderr.startswith("weir: ") and plain.stdout == ""


def test_paging_beyond_a_page(relay, world):
    """2 300 recipients, each once, in the order of arrival."""
    relay.weir("hold", "all", "--reason", "paging")
    for batch in range(23):
        relay.send(*(f"u{batch}-{n}@d{n}.bulk.example" for n in range(100)))
    wait_until(lambda: relay.queued()["held"] == 2300)
    rows = relay.weir("messages", "--limit", "5000")
    assert len(rows) == 2300 and len({r["to"] for r in rows}) == 2300
    assert [r["id"] for r in rows] == sorted(r["id"] for r in rows)
    assert len(relay.weir("messages", "--limit", "1500")) == 1500
    assert len(relay.weir("messages")) == 100
    last = relay.run("messages", json_output=False).stdout.splitlines()[-1]
    assert re.match(r"100 of (about )?2 ?300 shown", last), last
    head = subprocess.run(f"{WEIR} -r unix:{relay.socket} messages --limit 2300 | head -3", shell=True,
                          capture_output=True, text=True, timeout=30)
    assert len(head.stdout.splitlines()) == 3 and head.stderr == ""
    relay.weir("delete", "all", "--reason", "over", "--yes")


def test_follow_survives_a_restart(relay, world):
    """Each event once, though the relay was away."""
    follow = subprocess.Popen([WEIR, "-r", f"unix:{relay.socket}", "--json", "events", "--follow"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = []

    def read_until(to, kind):
        def there():
            os.set_blocking(follow.stdout.fileno(), False)
            for line in follow.stdout:
                seen.append(json.loads(line))
            return any(e["to"] == to and e["event"] == kind for e in seen)
        wait_until(there, 30, f"{kind} {to}")
    relay.send("anna@fast.example")
    read_until("anna@fast.example", "delivered")
    relay.stop()
    relay.start()
    relay.send("bela@fast.example")
    read_until("bela@fast.example", "delivered")
    follow.send_signal(signal.SIGINT)
    assert follow.wait(10) == 0 and follow.stderr.read() == b""
    numbers = [e["seq"] for e in seen]
    assert numbers == sorted(set(numbers))
    all_events = relay.weir("events")
    assert [e["seq"] for e in all_events if e["seq"] >= numbers[0]] == numbers


def test_stdio(relay):
    request = b'{"jsonrpc":"2.0","id":7,"method":"status.get","params":{}}\n'
    result = subprocess.run([WEIR, "-r", f"unix:{relay.socket}", "stdio"], input=request, capture_output=True,
                            timeout=15)
    hello, answer = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0 and hello["method"] == "hello"
    assert answer["id"] == 7 and answer["result"]["relay"] == "relay.test.example"


def test_help_and_completion_need_no_relay():
    for args in (["help"], ["help", "hold"], ["help", "filter"], ["completion", "bash"], ["complete", "fish", "st"]):
        result = subprocess.run([WEIR, "-r", "unix:/nonexistent", *args], capture_output=True, text=True, timeout=15)
        assert result.returncode == 0 and result.stdout and result.stderr == ""


def test_demo(directory):
    """A world, a relay, mail in it; gone without a trace."""
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    demo = subprocess.Popen([WEIR, "--json", "demo", "--no-console", "--rate", "20"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(directory)})
    try:
        text = b""
        while b"}" not in text:
            got = os.read(demo.stdout.fileno(), 65536)
            assert got, demo.stderr.read()
            text += got
        doc = json.loads(text)

        def status():
            return json.loads(subprocess.run([WEIR, "-r", doc["relay"], "--json", "status"], capture_output=True,
                                             timeout=15).stdout)
        wait_until(lambda: status()["queued"]["deferred"] > 50, 30, "a backlog")

        def domains():
            rows = subprocess.run([WEIR, "-r", doc["relay"], "--json", "queue"], capture_output=True, timeout=15).stdout
            return {r["domain"] for r in json.loads(rows)}
        wait_until(lambda: {"yahoo.com", "down.example"} <= domains(), 30, "the slow and the one that is down")
        children = subprocess.run(["pgrep", "-P", str(demo.pid)], capture_output=True, text=True).stdout.split()
        assert len(children) == 2
        made = json.loads(subprocess.run([WEIR, "-r", doc["relay"], "--json", "cred", "add", "shop"], capture_output=True,
                                         timeout=15).stdout)
        host, port = doc["login"].split(":")
        with smtplib.SMTP(host, int(port), timeout=15) as s:
            s.starttls()
            s.login("shop", made["secret"])
            assert s.mail("app@shop.example")[0] == 250
    finally:
        demo.send_signal(signal.SIGINT)
    assert demo.wait(20) == 0 and demo.stderr.read() == b""
    assert list(directory.iterdir()) == [] and not any(os.path.exists(f"/proc/{p}") for p in children)


def test_demo_that_is_killed_takes_its_programs_along(directory):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    demo = subprocess.Popen([WEIR, "--json", "demo", "--no-console", "--keep", directory / "kept"],
                            stdout=subprocess.PIPE)
    assert harness.read_line(demo.stdout, 30).startswith("{")
    children = subprocess.run(["pgrep", "-P", str(demo.pid)], capture_output=True, text=True).stdout.split()
    demo.kill()
    demo.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in children), 20, "its programs to end")
    assert (directory / "kept" / "state").is_dir()
