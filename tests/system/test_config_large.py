"""A configuration as large as an export can be: in pieces and slices, and all the same all or nothing."""

import json
import socket
import subprocess

import pytest

import test_config_text
from harness import WEIR, Relay, WeirError, wait_until
from test_config_text import HEAD, apply, export

MOST = 3 << 20
PIECE = 96 << 10
other = test_config_text.other


@pytest.fixture(autouse=True)
def slow_machine(request):
    """Slices wait for a processor, too; what they take of it is asserted in tests/unit/ctl/test_large.c."""
    for name in ("bare_relay", "other"):
        if name in request.fixturenames:
            request.getfixturevalue(name).expected.append(r"loop\.slow")


def allowed(n, note="host"):
    """Entries of the allowlist, as an export writes them."""
    return "".join(f'\nallow "10.{i >> 16}.{i >> 8 & 255}.{i & 255}" {{\n\tmode = "relay"\n\tnote = "{note} {i}"\n}}\n'
                   for i in range(n))


def full():
    """Of every kind, nearly as much as an export has room for."""
    parts = [HEAD.format("pools, streams, routes, allowlist, credentials, keys")]
    parts += [f'\npool "p{i}" {{\n\tsource = "127.0.1.{i}"\n}}\n' for i in range(1, 100)]
    parts += [f'\nstream "s{i}" {{\n\tmatch = "from:*@s{i}.example"\n\tpool = "p{1 + i % 99}"\n}}\n' for i in range(150)]
    parts += [f'\nroute {{\n\tmatch = "domain:d{i}.example"\n\tto = "discard"\n\tnote = "n {i}"\n}}\n' for i in range(8000)]
    parts += [f'\ncredential "app{i}" {{\n\tsender = "shop{i}.example"\n\tstream = "s{i % 150}"\n}}\n' for i in range(5000)]
    parts += [f'\nkey "shop{i}.example/s1" {{\n\tstate = "active"\n\tpublic = "v=DKIM1; k=ed25519; p={i}"\n}}\n'
              for i in range(3000)]
    room = MOST - 340000 - sum(map(len, parts))  # an export says some things that one need not
    return "".join(parts) + allowed(room // 62)


class Control:
    """A control connection; answers in the order in which they come."""

    def __init__(self, relay):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(relay.socket))
        self.read = b""
        self.last = 0
        assert "hello" in json.dumps(self.next())

    def ask(self, call, **params):
        self.last += 1
        self.socket.settimeout(60)
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": self.last, "method": call, "params": params}).encode() + b"\n")
        return self.last

    def next(self, seconds=60):
        """TimeoutError: it has not come so far; what came of it is kept."""
        self.socket.settimeout(seconds)
        while b"\n" not in self.read:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.read += more
        line, self.read = self.read.split(b"\n", 1)
        return json.loads(line)

    def call(self, call, **params):
        id = self.ask(call, **params)
        answer = self.next()
        assert answer["id"] == id, answer
        return answer

    def bring(self, text):
        """All of it in pieces, but the last one."""
        upload = {}
        while len(text) > PIECE:
            answer = self.call("config.load", text=text[:PIECE], **upload)
            upload = {"upload": answer["result"]["upload"]}
            text = text[PIECE:]
        return {"text": text, **upload}

    def close(self):
        self.socket.close()


def test_full_size(bare_relay, other):
    """Export, a fresh relay, import, export; then one undo takes all of it back."""
    nothing = export(other)
    apply(bare_relay, full())
    text = export(bare_relay)
    assert MOST - 200000 < len(text) <= MOST
    planned = test_config_text.plan(other, text)
    done = apply(other, text)
    assert planned["changes_n"] == done["added"] == text.count(" {\n") > 40000 and done["changed"] == done["removed"] == 0
    assert 100 < len(planned["changes"]) < planned["changes_n"] and {c["op"] for c in planned["changes"]} == {"+"}
    assert export(other) == text
    assert [r["version"] for r in other.weir("config", "history", "--limit", "1")] == [done["version"]]
    other.kill()
    other.start()
    assert export(other) == text
    taken = other.weir("undo", done["action"])
    assert taken["undone"]["action"] == done["action"] and export(other) == nothing
    other.restart()
    assert export(other) == nothing


def test_refused_at_its_end(bare_relay):
    text = HEAD.format("allowlist, credentials") + allowed(20000)
    for last, words in (('allow "10.0.0.0" {\n}\n', "10.0.0.0 is there twice; line 4 has it"),
                        ('credential "a" {\n\tstream = "none"\n}\n', f"line {text.count(chr(10)) + 2}: there is no stream none"),
                        ("allow {\n", "behind allow stands a network")):
        with pytest.raises(WeirError) as e:
            apply(bare_relay, text + last)
        assert words in e.value.error["message"] and e.value.error["param"] == "text"
    assert bare_relay.weir("allow", "list") == [] and bare_relay.weir("config", "history") == []
    assert apply(bare_relay, text)["added"] == 20000


def test_too_large(bare_relay):
    path = bare_relay.directory / "large"
    path.write_text("#" * MOST)
    assert "format = 1" in bare_relay.run("config", "import", path, "--plan").stderr
    path.write_text("#" * (MOST + 1))
    assert f"longer than the {MOST} bytes" in bare_relay.run("config", "import", path, "--plan").stderr
    c = Control(bare_relay)
    params = c.bring("#" * MOST)
    error = c.call("config.import", **{**params, "text": params["text"] + "#"}, reason="r")["error"]
    assert error["data"]["name"] == "limit" and f"at most {MOST} bytes" in error["message"]
    c.call("config.load", **params)
    error = c.call("config.load", upload=params["upload"], text="#")["error"]
    assert error["data"]["name"] == "limit"
    assert c.call("config.load", upload=params["upload"], text="#")["error"]["data"]["name"] == "unknown", "it is gone"
    c.close()


def test_others_are_answered_meanwhile(bare_relay):
    """In turn with its slices: who asks again and again has many answers before it has its one."""
    text = HEAD.format("allowlist") + allowed(20000)
    c = Control(bare_relay)
    for method, params in (("plan.make", {"method": "config.import", "params": c.bring(text)}),
                           ("config.import", {**c.bring(text), "reason": "r"}), ("config.export", {})):
        first = c.ask(method, **params)
        between = 0
        while True:
            c.ask("ping")
            answer = c.next()
            if answer["id"] == first:
                break
            between += 1
        assert "result" in answer and between > 10, (method, between)
        c.next()  # the last ping's
    c.close()


def test_one_at_a_time(bare_relay):
    c, d = Control(bare_relay), Control(bare_relay)
    params = {**c.bring(HEAD.format("allowlist") + allowed(20000)), "reason": "r"}
    first = c.ask("config.import", **params)
    c.ask("ping")
    assert c.next()["id"] != first
    error = d.call("config.import", text=HEAD.format("pools"), reason="r")["error"]
    assert error["data"]["name"] == "conflict" and "is importing a configuration this moment" in error["message"]
    assert c.next()["result"]["added"] == 20000
    for each in (c, d):
        each.close()


def test_edits_meanwhile(bare_relay):
    """They come before it, or make it stale, or are told to wait: nothing is lost that was answered."""
    relay = bare_relay
    c, d = Control(relay), Control(relay)
    relay.weir("route", "add", "--to", "discard", "--match", "domain:a.example")
    base = relay.weir("config", "history")[0]["version"]
    text = HEAD.format("routes, allowlist") + '\nroute {\n\tmatch = "domain:a.example"\n\tto = "hold"\n}\n' + allowed(20000)
    stale = c.ask("config.import", **c.bring(text), reason="r", base=base)
    c.ask("ping")
    assert c.next()["id"] != stale, "it began"
    edit = d.call("route.add", to="reject", match="domain:b.example")["result"]
    error = c.next()["error"]
    assert error["data"]["name"] == "conflict" and "was changed by" in error["message"] and f"(version {edit['version']}" in error["message"]
    assert [r["to"] for r in relay.weir("route", "list")] == ["reject", "discard", "mx"] and relay.weir("allow", "list") == []
    # without a base, edits all the time
    first = c.ask("config.import", **c.bring(text), reason="r")
    c.ask("ping")
    assert c.next()["id"] != first
    answer, edits = None, []
    while answer is None:
        edits.append(d.call("pool.add", name=f"p{len(edits)}", sources=["127.0.0.7"]))
        try:
            answer = c.next(0.001)
        except TimeoutError:
            pass
    made = [e["result"]["version"] for e in edits if "result" in e]
    assert {e["error"]["data"]["name"] for e in edits if "error" in e} <= {"conflict"} and made
    assert len(relay.weir("pool", "list")) == len(made)
    if "error" in answer:
        assert answer["error"]["data"]["name"] == "conflict" and relay.weir("allow", "list") == []
    else:
        assert export(relay, "--only", "allowlist").count("allow ") == 20000
    for each in (c, d):
        each.close()


def test_a_client_that_goes_away(bare_relay):
    relay = bare_relay
    text = HEAD.format("allowlist") + allowed(12000)
    for _ in range(10):  # more than may be prepared at once
        c = Control(relay)
        assert "upload" in c.bring(text)
        c.close()
    c = Control(relay)
    c.ask("plan.make", method="config.import", params=c.bring(text))
    c.close()
    assert wait_until(lambda: "error" not in Control(relay).call("plan.make", method="config.import",
                                                                 params={"text": HEAD.format("pools") + 'pool "p" {\n\tsource = "127.0.0.7"\n}\n'}))
    assert relay.weir("allow", "list") == [] and relay.weir("config", "history") == []
    # what was asked for is done, as any other change
    c = Control(relay)
    c.ask("config.import", **c.bring(text), reason="r", request="once")
    c.close()
    wait_until(lambda: relay.weir("config", "history"))
    d = Control(relay)
    again = d.call("config.import", text="", reason="r", request="once")["result"]
    assert again["added"] == 12000 and len(relay.weir("config", "history")) == 1
    d.close()
    assert export(relay, "--only", "allowlist").count("allow ") == 12000


def test_killed_at_any_moment(directory, world):
    """All of it or nothing: the lists, the version, the journal and the audit log say the same."""
    relay = Relay(directory, world).start()
    relay.expected.append(r"loop\.slow")
    texts = [HEAD.format("allowlist, routes") + allowed(3000, note) + "".join(
        f'\nroute {{\n\tmatch = "domain:{note}{i}.example"\n\tto = "discard"\n\ttls = "opportunistic"\n}}\n' for i in range(500)) for note in ("one", "two")]
    apply(relay, texts[0])
    for k in range(6):
        path = directory / "config.text"
        path.write_text(texts[(k + 1) % 2])
        client = subprocess.Popen([WEIR, "-r", f"unix:{relay.socket}", "config", "import", path, "--yes", "--reason", "r"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            client.wait(0.05 * (k + 1))
        except subprocess.TimeoutExpired:
            pass
        relay.kill()
        client.kill()
        client.wait()
        relay.start()
        text = export(relay, "--only", "routes,allowlist")
        versions = relay.weir("config", "history", "--limit", "1")[0]["version"]
        notes = [n for n in ("one", "two") if f'note = "{n} ' in text]
        assert len(notes) == 1 and text.count("allow ") == 3000 and text.count(f"domain:{notes[0]}") == text.count("route {") == 500
        journal = [a for a in relay.weir("actions") if a["method"] == "config.import"]
        audit = [a for a in relay.weir("audit", "--limit", "50") if a["method"] == "config.import" and a["result"] == "done"]
        assert len(journal) == len(audit) == versions, "each that was done, once"
        if notes[0] == ("one", "two")[k % 2]:  # it was killed before: again
            apply(relay, texts[(k + 1) % 2])
    assert relay.weir("audit", "--verify")["intact"]
    # and one that is told to end
    c = Control(relay)
    c.ask("config.import", **c.bring(texts[0].replace("one", "last")), reason="r")
    c.ask("ping")
    c.next()
    assert relay.stop() == 0 and relay.bad_log_lines() == []
    relay.start()
    assert export(relay, "--only", "allowlist").count('note = "last') in (0, 3000)
    assert relay.stop() == 0 and relay.bad_log_lines() == []
