"""The command line against a scripted relay: what depends on the moment, the terminal or the link."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from fake_relay import FakeRelay, Refused
from harness import ROOT, WEIR, wait_until

HOSTILE = "a\x1b]0;owned\x07b\x1b[31mc\u202ed\u009b2Je\r\nf"


@pytest.fixture
def fake(directory):
    if not WEIR.exists():
        pytest.skip("weir is not built")
    relay = FakeRelay(directory)
    yield relay
    relay.drop()


def weir(fake, *args, json_output=False, env=None, **kwargs):
    command = [WEIR, "-r", f"unix:{fake.path}", *(["--json"] if json_output else []), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})}, **kwargs)


class Terminal:
    """weir on a terminal of its own."""

    def __init__(self, fake, *args, cols=100, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, cols, 0, 0))
        self.text = ""
        self.process = subprocess.Popen(
            [WEIR, "-r", f"unix:{fake.path}", *args], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})})
        os.close(slave)

    def read(self, timeout):
        if select.select([self.master], [], [], timeout)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:
                return False
            self.text += got.decode()
            return bool(got)
        return None

    def expect(self, text, timeout=15):
        end = time.monotonic() + timeout
        while text not in self.text:
            assert time.monotonic() < end and self.read(0.2) is not False, repr(self.text)

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        while self.read(15):
            pass
        os.close(self.master)
        return self.process.wait(15)


def message(n, **fields):
    row = {"id": f"0N4XK{n:05d}", "row": f"0N4XK{n:05d}/1", "state": "deferred", "from": "app@shop.example",
           "to": f"user{n}@fast.example", "domain": "fast.example", "stream": "default", "size": 1234,
           "age_s": 3700, "attempts": 2, "next_attempt_s": 60, "last_code": 451, "last_enhanced": "4.3.2",
           "class": "greylisted", "last_reply": "451 4.3.2 Later", "subject": "Hello", "credential": None,
           "client": "127.0.0.1", "hold": None}
    return {**row, **fields}


def pages(total, make=message):
    """A listing of `total` rows with cursors, as the relay pages."""
    def answer(params):
        first = int(params.get("cursor", 0))
        last = min(first + params.get("limit", 100), total)
        return {"rows": [make(n) for n in range(first, last)], "next": str(last) if last < total else None,
                "prev": None, "total": total, "exact": True}
    return answer


# --- lists ----------------------------------------------------------------------------------------


def test_a_limit_above_a_page_is_paged(fake):
    fake.answers["message.list"] = pages(5000)
    result = weir(fake, "messages", "--limit", "2500", json_output=True)
    rows = json.loads(result.stdout)
    assert [r["id"] for r in rows] == [message(n)["id"] for n in range(2500)]
    assert [p["limit"] for p in fake.of("message.list")] == [1000, 1000, 500]
    assert result.stderr == "" and result.returncode == 0


def test_paging_ends_where_the_rows_end(fake):
    fake.answers["message.list"] = pages(1200)
    assert len(json.loads(weir(fake, "messages", "--limit", "99999", json_output=True).stdout)) == 1200


def test_without_a_limit_json_takes_the_relays_own(fake):
    fake.answers["message.list"] = pages(300)
    assert len(json.loads(weir(fake, "messages", json_output=True).stdout)) == 100
    assert "limit" not in fake.of("message.list")[0]


def test_people_are_told_how_many_more(fake):
    fake.answers["message.list"] = pages(300)
    lines = weir(fake, "messages").stdout.splitlines()
    assert len(lines) == 102 and lines[0].startswith("ID") and lines[-1].startswith("100 of 300 shown")


def test_an_empty_list(fake):
    fake.answers["message.list"] = pages(0)
    assert json.loads(weir(fake, "messages", json_output=True).stdout) == []
    assert weir(fake, "messages").stdout == "none\n"


def test_an_error_on_a_later_page_is_no_silent_end(fake):
    def answer(params):
        if params.get("cursor"):
            raise Refused("io", "the disk is gone")
        return pages(5000)(params)
    fake.answers["message.list"] = answer
    result = weir(fake, "messages", "--limit", "2000", json_output=True)
    assert result.returncode == 1 and json.loads(result.stderr)["error"]["code"] == "io"
    with pytest.raises(ValueError):
        json.loads(result.stdout)


def test_a_reader_that_stops_is_no_failure(fake):
    fake.answers["message.list"] = pages(100000)
    weir_process = subprocess.Popen([WEIR, "-r", f"unix:{fake.path}", "messages", "--limit", "100000"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    weir_process.stdout.readline()
    weir_process.stdout.close()
    assert weir_process.wait(15) == 0 and weir_process.stderr.read() == b""
    weir_process.stderr.close()
    assert len(fake.of("message.list")) < 100, "it went on fetching"


def test_a_full_disk_is_one(fake):
    fake.answers["message.list"] = pages(10)
    with open("/dev/full", "w") as full:
        result = subprocess.run([WEIR, "-r", f"unix:{fake.path}", "messages"], stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=15)
    assert result.returncode == 1 and "space" in result.stderr


# --- what comes from mail -------------------------------------------------------------------------


def raw_pieces(content):
    import base64

    def answer(params):
        piece = content[params["offset"]:params["offset"] + params["limit"]]
        return {"part": params["part"], "offset": params["offset"], "total": len(content),
                "base64": base64.b64encode(piece).decode()}
    return answer


def test_content_is_exact_in_a_pipe(fake):
    content = bytes(range(256)) * 3000 + b"\r\n.\r\n"
    fake.answers["message.content"] = raw_pieces(content)
    result = subprocess.run([WEIR, "-r", f"unix:{fake.path}", "show", "0N4XK2M8QF", "--raw"],
                            capture_output=True, timeout=15)
    assert result.stdout == content and result.returncode == 0
    assert len(fake.of("message.content")) > 1 and fake.of("message.content")[0]["part"] == "raw"
    doc = json.loads(weir(fake, "show", "0N4XK2M8QF", "--raw", json_output=True).stdout)
    import base64
    assert base64.b64decode(doc["base64"]) == content and doc["total"] == len(content)


@pytest.mark.parametrize("args", [["messages"], ["messages", "-w"], ["show", "0N4XK00000"],
                                  ["show", "0N4XK00000", "--raw"], ["show", "0N4XK00000", "--transcript"],
                                  ["why", "0N4XK00000"], ["delete", "domain:x", "--plan"]])
@pytest.mark.parametrize("charset", ["C.UTF-8", "C"])
def test_no_control_character_reaches_the_terminal(fake, args, charset):
    row = message(0, to=HOSTILE, last_reply=HOSTILE, subject=HOSTILE, domain=HOSTILE)
    row["from"] = HOSTILE
    attempt = {"at": HOSTILE, "to": HOSTILE, "outcome": HOSTILE, "reply": HOSTILE, "host": HOSTILE,
               "ip": HOSTILE, "tls": HOSTILE, "source": HOSTILE, "transcript": [{"by": HOSTILE, "after_ms": 1, "text": HOSTILE}, {"by": "host", "text": HOSTILE}],
               "phases": {HOSTILE: 3, "mail_ms": 3}}
    fake.answers["message.list"] = {"rows": [row], "next": None, "prev": None, "total": 1, "exact": True}
    fake.answers["message.get"] = {**row, "recipients": [row], "attempts": [attempt], "msgid": HOSTILE}
    fake.answers["message.content"] = raw_pieces((HOSTILE + "\x00\x7f").encode() + b"\x9b2J\xff\n")
    fake.answers["why.get"] = {"binding": HOSTILE, "text": HOSTILE, "since_at": HOSTILE, "rule": HOSTILE}
    fake.answers["plan.make"] = {"plan": "p1", "target": HOSTILE, "messages": 1, "recipients": 1,
                                 "by_domain": {HOSTILE: 1}, "sample": [row], "command": HOSTILE}
    fake.answers["plan.drop"] = {}
    t = Terminal(fake, *args, env={"LC_ALL": charset, "NO_COLOR": "1"})
    assert t.end() == 0
    bad = [c for c in t.text if (ord(c) < 32 and c not in "\r\n\t") or 0x7f <= ord(c) <= 0x9f or c == "\u202e"]
    assert bad == [] and "b" in t.text
    assert charset != "C" or t.text.isascii()


def test_colour_only_where_it_is_wanted(fake):
    fake.answers["message.list"] = pages(3)
    t = Terminal(fake, "messages")
    assert t.end() == 0 and "\x1b[33mdeferred\x1b[0m" in t.text
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        t = Terminal(fake, "messages", env=env)
        assert t.end() == 0 and "\x1b" not in t.text
    assert "\x1b" not in weir(fake, "messages").stdout


@pytest.mark.parametrize("cols", [40, 80, 132, 250])
def test_tables_keep_to_the_terminal(fake, cols):
    fake.answers["message.list"] = {"rows": [message(1, last_reply="451 " + "very long " * 40,
                                                     to="\u4e2d\u6587" * 30 + "@fast.example")],
                                    "next": None, "prev": None, "total": 1, "exact": True}
    t = Terminal(fake, "messages", cols=cols, env={"NO_COLOR": "1"})
    assert t.end() == 0

    def width(line):
        return sum(2 if "\u2e80" <= c <= "\u9fff" else 1 for c in line)
    lines = t.text.splitlines()
    assert max(width(line) for line in lines) <= cols
    assert len(lines) == 2 or " ".join(lines[2:]).startswith("no room for ") and "--wide" in " ".join(lines[2:])
    assert "0N4XK00001" in lines[1]


def test_json_on_a_terminal_is_ascii(fake):
    fake.answers["message.list"] = {"rows": [message(1, to="\x7f\u202e\u4e2d")], "next": None}
    t = Terminal(fake, "messages", "--json")
    assert t.end() == 0 and t.text.isascii() and "\x7f" not in t.text
    assert json.loads(t.text)[0]["to"] == "\x7f\u202e\u4e2d"


# --- changes --------------------------------------------------------------------------------------


def plan(recipients):
    return {"plan": "p7", "method": "queue.delete", "target": "domain:fast.example", "messages": recipients,
            "recipients": recipients, "in_delivery": 0, "by_state": {"deferred": recipients},
            "by_domain": {"fast.example": recipients}, "by_stream": {"default": recipients},
            "oldest_age_s": 10, "newest_age_s": 5, "sample": [message(1)], "undo_window_s": 600,
            "command": "weir delete domain:fast.example --yes"}


DONE = {"action": "a5", "messages": 3, "recipients": 3, "skipped": 0, "undo_until_at": "2099-01-01T00:00:00Z"}


def operate(fake, recipients, typed, *args):
    fake.answers["plan.make"] = plan(recipients)
    fake.answers["plan.commit"] = DONE
    fake.answers["plan.drop"] = {}
    t = Terminal(fake, "delete", "domain:fast.example", "--reason", "r", *args)
    t.expect("[y/N]" if recipients <= 1000 else "Type the number")
    t.type(typed)
    return t, t.end()


def test_the_plan_that_was_shown_is_committed(fake):
    t, status = operate(fake, 3, "y\n")
    assert status == 0 and "weir undo a5" in t.text and "fast.example 3" in t.text
    commit, = fake.of("plan.commit")
    assert commit["plan"] == "p7" and commit["reason"] == "r" and commit["request"]
    assert "reason" not in fake.of("plan.make")[0]["params"] and fake.of("queue.delete") == []


@pytest.mark.parametrize("typed", ["\n", "n\n", "yep\n", "\x04"])
def test_anything_else_than_yes_changes_nothing(fake, typed):
    t, status = operate(fake, 3, typed)
    assert status == 1 and "nothing was changed" in t.text
    assert fake.of("plan.commit") == [] and fake.of("plan.drop")[0]["plan"] == "p7"


@pytest.mark.parametrize("typed,status", [("y\n", 1), ("1201\n", 1), ("1200\n", 0), ("1 200\n", 0)])
def test_many_are_typed_as_a_number(fake, typed, status):
    assert operate(fake, 1200, typed)[1] == status
    assert len(fake.of("plan.commit")) == (status == 0)


def test_yes_and_plan(fake):
    fake.answers["queue.delete"] = DONE
    fake.answers["plan.make"] = plan(3)
    fake.answers["plan.drop"] = {}
    assert json.loads(weir(fake, "delete", "domain:fast.example", "--reason", "r", "--yes",
                           json_output=True).stdout) == DONE
    assert fake.of("plan.make") == []
    assert json.loads(weir(fake, "--json", "delete", "domain:fast.example", "--plan").stdout)["plan"] == "p7"
    assert fake.of("plan.drop") and len(fake.of("queue.delete")) == 1


@pytest.mark.parametrize("args", [["--reason", "r"], ["--reason", "r", "--json"]])
def test_without_a_terminal_nothing_is_asked(fake, args):
    result = weir(fake, "delete", "domain:fast.example", *args)
    assert result.returncode == 2 and "--yes" in result.stderr and "--plan" in result.stderr
    assert fake.calls == []


def test_a_change_is_repeated_with_its_request_id(fake):
    """The link dies after the relay has acted and before it has answered."""
    def die(params):
        fake.answers["queue.hold"] = {**DONE, "hold": {"id": "h1"}}
        fake.drop()
    fake.answers["queue.hold"] = die
    result = weir(fake, "hold", "domain:fast.example", "--reason", "r", json_output=True)
    assert result.returncode == 0 and json.loads(result.stdout)["action"] == "a5"
    first, second = fake.of("queue.hold")
    assert first["request"] == second["request"] and first == second


def test_it_is_repeated_once(fake):
    fake.answers["queue.hold"] = lambda params: fake.drop()
    result = weir(fake, "hold", "domain:fast.example", "--reason", "r", json_output=True)
    assert result.returncode == 3 and len(fake.of("queue.hold")) == 2
    assert json.loads(result.stderr)["error"]["code"] in ("closed", "network")


def test_request_ids_differ(fake):
    fake.answers["queue.hold"] = DONE
    for _ in range(2):
        weir(fake, "hold", "all", "--reason", "r")
    a, b = fake.of("queue.hold")
    assert a["request"] != b["request"]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,status", [("unknown", 1), ("denied", 4), ("invalid", 2), ("conflict", 1),
                                         ("no-reason", 2), ("expired", 1), ("internal", 1)])
def test_what_the_relay_refuses(fake, name, status):
    def refuse(params):
        raise Refused(name, "because", {"param": "id"})
    fake.answers["message.get"] = refuse
    result = weir(fake, "show", "0N4XK2M8QF", json_output=True)
    assert result.returncode == status and result.stdout == ""
    assert json.loads(result.stderr)["error"] == {"code": name, "message": "because", "param": "id"}
    assert weir(fake, "show", "0N4XK2M8QF").stderr == "weir: because\n"


def test_a_column_from_the_relay_is_pointed_at(fake):
    def refuse(params):
        raise Refused("syntax", "not like this", {"param": "where", "column": 4})
    fake.answers["message.list"] = refuse
    result = weir(fake, "messages", "--where", "to:\u4e2d\u6587*")
    assert result.stderr == "weir: not like this\n  to:\u4e2d\u6587*\n     ^\n" and result.returncode == 2


def test_columns_count_characters_not_bytes(fake):
    """The caret stands under the place, also behind wide characters."""
    lines = weir(fake, "messages", "--where", "to:\u4e2d\u6587* colour:red").stderr.splitlines()
    assert lines[1] == "  to:\u4e2d\u6587* colour:red" and lines[2] == " " * 11 + "^"


# --- following ------------------------------------------------------------------------------------


def event(seq):
    return {"seq": seq, "at": "2026-11-24T03:12:07Z", "event": "deferred", "id": "0N4XK00001",
            "from": "a@shop.example", "to": f"user{seq}@fast.example", "domain": "fast.example"}


class Events:
    """The relay's feed: what it has, listed and pushed."""

    def __init__(self, fake, have):
        self.fake = fake
        self.rows = [event(s) for s in have]
        fake.answers["event.list"] = self.list

    def list(self, params):
        if "after" in params:
            rows = [r for r in self.rows if r["seq"] > int(params.get("cursor", params["after"]))]
            page = rows[:params.get("limit", 100)]
            return {"rows": page, "next": str(page[-1]["seq"]) if len(page) < len(rows) else None, "prev": None,
                    "total": len(page), "exact": False}
        rows = self.rows
        rows = [r for r in rows if r["seq"] < int(params.get("cursor", 10 ** 9))]
        limit = params.get("limit", 100)
        page = rows[-limit:]
        return {"rows": page, "next": str(page[0]["seq"]) if len(rows) > limit else None, "prev": None,
                "total": len(rows), "exact": True}

    def happen(self, seqs, push=True):
        rows = [event(s) for s in seqs]
        self.rows += rows
        if push:
            self.fake.push("events", {"rows": rows})


class Follow:
    def __init__(self, fake, *args):
        self.process = subprocess.Popen([WEIR, "-r", f"unix:{fake.path}", "--json", "events", "--follow", *args],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.data = b""

    def line(self):
        while b"\n" not in self.data:
            assert select.select([self.process.stdout], [], [], 15)[0], self.data
            got = os.read(self.process.stdout.fileno(), 65536)
            assert got, self.process.stderr.read()
            self.data += got
        line, self.data = self.data.split(b"\n", 1)
        return line

    def take(self, n):
        return [json.loads(self.line())["seq"] for _ in range(n)]


def test_follow(fake):
    feed = Events(fake, range(1, 251))
    f = Follow(fake, "--limit", "3", "--where", "domain:fast.example")
    assert f.take(3) == [248, 249, 250]
    wait_until(lambda: fake.subs, what="a subscription")
    assert fake.subs[0][2] == {"topic": "events", "where": "domain:fast.example"}
    feed.happen(range(251, 254))
    assert f.take(3) == [251, 252, 253]
    feed.happen([253])
    feed.happen([254])
    assert f.take(1) == [254], "an event that was printed is not printed again"
    f.process.send_signal(signal.SIGINT)
    assert f.process.wait(10) == 0 and f.process.stderr.read() == b"" and f.process.stdout.read() == b""


@pytest.mark.parametrize("missed", [5, 2500])
def test_nothing_is_lost_with_the_link(fake, missed):
    feed = Events(fake, [1])
    f = Follow(fake)
    assert f.take(1) == [1]
    fake.close()
    feed.happen(range(2, 2 + missed), push=False)
    fake.open()
    assert f.take(missed) == list(range(2, 2 + missed))
    wait_until(lambda: fake.subs, what="the subscription again")
    feed.happen([missed + 2])
    assert f.take(1) == [missed + 2]
    f.process.terminate()
    assert f.process.wait(10) == 0


def test_what_the_relay_dropped_is_fetched(fake):
    feed = Events(fake, [1])
    f = Follow(fake)
    assert f.take(1) == [1]
    feed.happen([2, 3, 4], push=False)
    feed.happen([5], push=False)
    fake.push("events", {"rows": [event(5)]}, resync=True)
    assert f.take(4) == [2, 3, 4, 5]
    f.process.terminate()
    assert f.process.wait(10) == 0


def test_follow_after_a_number_has_everything_behind_it(fake):
    Events(fake, range(1, 3001))
    f = Follow(fake, "--after", "10")
    assert f.take(2990) == list(range(11, 3001))
    f.process.terminate()
    assert f.process.wait(10) == 0


def test_follow_ends_when_nobody_reads(fake):
    Events(fake, [1])
    f = Follow(fake)
    assert f.take(1) == [1]
    f.process.stdout.close()
    assert f.process.wait(10) == 0 and f.process.stderr.read() == b""


def test_follow_needs_a_relay_to_begin_with(directory):
    result = subprocess.run([WEIR, "-r", f"unix:{directory}/none.sock", "events", "--follow"],
                            capture_output=True, text=True, timeout=15)
    assert result.returncode == 3 and result.stdout == "" and result.stderr


def test_events_beyond_a_page_are_in_order(fake):
    Events(fake, range(1, 3001))
    rows = json.loads(weir(fake, "events", "--limit", "2500", json_output=True).stdout)
    assert [r["seq"] for r in rows] == list(range(501, 3001))


# --- completion, manual ---------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_well_formed(fake, directory, shell):
    script = directory / f"weir.{shell}"
    script.write_text(weir(fake, "completion", shell).stdout)
    assert script.stat().st_size > 0
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=15).stderr == ""


@pytest.mark.parametrize("line,word,replies", [
    ("weir sta", "sta", ["status "]),
    ("weir hold do", "do", ["domain:"]),
    ("weir hold domain:g", "g", ["gmail.com "]),
    ("weir hold domain:", "", ["gmail.com "]),
    ("weir messages --where 'to:x domain:g", "to:x domain:g", ["to:x domain:gmail.com"]),
    ("weir messages --sort=si", "si", ["size "]),
    ("weir messages --where age", "age", [r"age\<", r"age\<=", r"age\>", r"age\>="]),
    ("weir release --hold ", "", ["h12 "]),
    ("weir frobnicate ", "", []),
])
def test_completion_in_bash(fake, directory, line, word, replies):
    fake.answers["queue.list"] = {"rows": [{"domain": "gmail.com"}, {"domain": "gm$(touch x)\x1b.example"}]}
    fake.answers["hold.list"] = {"rows": [{"id": "h12", "target": "all"}]}
    script = directory / "weir.bash"
    script.write_text(weir(fake, "completion", "bash").stdout)
    ask = ('source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _weir "$WEIR" "$3" ""; '
           'for r in "${COMPREPLY[@]}"; do printf "%s\\n" "$r"; done')
    result = subprocess.run(["bash", "-c", ask, "bash", script, line, word], capture_output=True, text=True,
                            timeout=15, env={**os.environ, "WEIR": str(WEIR), "WEIR_RELAY": f"unix:{fake.path}"})
    assert result.stdout.splitlines() == replies and result.stderr == ""


def test_completion_of_a_relay_that_hangs(fake):
    """It does not wait longer than a person would."""
    fake.answers["queue.list"] = lambda params: None
    started = time.monotonic()
    weir(fake, "complete", "fish", "--", "-r", f"unix:{fake.path}", "hold", "domain:")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("page", ["weir.1", "weir-protocol.7"])
def test_manual_pages(directory, page):
    text = subprocess.run([ROOT / "doc/fill", WEIR, ROOT / f"doc/{page}.in"], capture_output=True, text=True,
                          timeout=15)
    assert text.returncode == 0 and text.stderr == "" and "\n@" not in text.stdout
    if shutil.which("groff"):
        (directory / page).write_text(text.stdout)
        assert subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", directory / page], capture_output=True,
                              text=True, timeout=15).stderr == ""


# --- stdio ----------------------------------------------------------------------------------------


def test_stdio_is_the_socket(fake):
    fake.answers["status.get"] = {"relay": "x" * 200000}
    request = b'{"jsonrpc":"2.0","id":1,"method":"status.get","params":{}}\n'
    process = subprocess.Popen([WEIR, "-r", f"unix:{fake.path}", "stdio"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    hello = json.loads(process.stdout.readline())
    assert hello["method"] == "hello"
    process.stdin.write(request)
    process.stdin.flush()
    assert len(json.loads(process.stdout.readline())["result"]["relay"]) == 200000
    process.stdin.close()  # the relay sees the end, ends, and so does stdio
    wait_until(lambda: fake.drop() or process.poll() is not None)
    assert process.wait(10) == 0 and process.stdout.read() == b""


def test_stdio_ends_with_the_relay(fake):
    process = subprocess.Popen([WEIR, "-r", f"unix:{fake.path}", "stdio"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    fake.drop()
    assert process.wait(10) == 0


def test_stdio_without_a_relay(directory):
    result = subprocess.run([WEIR, "-r", f"unix:{directory}/none.sock", "stdio"], capture_output=True,
                            stdin=subprocess.DEVNULL, timeout=15)
    assert result.returncode == 3 and result.stdout == b""


def test_stdio_is_local(fake):
    assert subprocess.run([WEIR, "-r", "ssh://nowhere.example", "stdio"], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=15).returncode == 2
