"""The configuration as text: the same on every relay, applied as one plan, one version and one undo."""

import collections
import json
import random
import subprocess
import threading

import pytest

from harness import Relay, WeirError

HEAD = 'format = 1\ncontains = "{}"\n'


@pytest.fixture
def other(directory, world):
    """A second relay."""
    there = directory / "other"
    there.mkdir()
    r = Relay(there, world)
    r.start()
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def export(relay, *args):
    result = relay.run("config", "export", *args, json_output=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def apply(relay, text, *args):
    path = relay.directory / "config.text"
    path.write_text(text)
    return relay.weir("config", "import", str(path), "--yes", "--reason", "from the repository", *args)


def plan(relay, text):
    path = relay.directory / "config.text"
    path.write_text(text)
    return relay.weir("config", "import", str(path), "--plan")


def refused(relay, text):
    with pytest.raises(WeirError) as e:
        plan(relay, text)
    assert e.value.error["param"] == "text"
    return e.value.error["message"]


def furnish(relay):
    """Something of everything, with texts that want to be quoted."""
    pw = relay.directory / "pw"
    pw.write_text("Gruenkohl-mit-Pinkel\n")
    for line in (
            ["pool", "add", "old", "--source", "127.0.0.9", "--note", 'a "note" with \\ and\ttab\nand a line \u202e'],
            ["pool", "add", "bulk", "--source", "127.0.0.7=mta7.test.example*2,127.0.0.8", "--warmup", "50..1000*1.5",
             "--overflow", "old"],
            ["stream", "add", "news", "--match", "from:*@news.example", "--header", "List-Unsubscribe,X-Stream: news*",
             "--require", "one-click", "--pool", "bulk", "--retry", "1m,5m,1h", "--lifetime", "36h", "--delay-warning",
             "0", "--priority", "2", "--tls", "required", "--dkim", "shop.example"],
            ["stream", "add", "tx", "--rate", "100", "--note", "Grüße 😀 # no comment"],
            ["stream", "set", "default", "--concurrency", "7", "--lifetime", "3661", "--reason", "r"],
            ["route", "add", "--to", "discard", "--match", 'domain:fast.example subject:"a b"'],
            ["route", "add", "--to", "smarthost:127.0.0.1:2526", "--user", "u", "--password-file", str(pw), "--match",
             "domain:slow.example"],
            ["route", "add", "--to", "mx", "--tls", "required", "--pool", "old", "--match", "domain:isp.example"],
            ["route", "add", "--to", "hold", "--match", "stream:news domain:isp.example"],
            ["allow", "add", "10.0.0.0/8", "--note", "office", "--stream", "tx"],
            ["allow", "add", "::/0", "--everything"],
            ["allow", "add", "192.0.2.0/24", "--mode", "authenticate", "--for", "2d"],
            ["cred", "add", "crm", "--senders", "shop.example,*.news.example,<>", "--networks", "127.0.0.0/8,10.0.0.0/8",
             "--per-minute", "50", "--per-day", "1000", "--recipients", "10", "--for", "90d", "--streams", "tx,news"],
            ["cred", "add", "old"], ["cred", "disable", "old", "--reason", "r"],
            ["cred", "add", "gone"], ["cred", "revoke", "gone", "--reason", "r"],
            ["dkim", "add", "shop.example", "--selector", "s1", "--algorithm", "ed25519"],
            ["dkim", "add", "shop.example", "--selector", "s2", "--waiting"]):
        relay.weir(*line)


ASKED = [(rcpt, sender, stream) for rcpt in ("x@fast.example", "x@slow.example", "x@isp.example", "x@nowhere.example")
         for sender in ("a@shop.example", "b@news.example") for stream in ("default", "news", "tx")]


def decisions(relay):
    """Where mail goes, without the numbers of routes, which are each relay's own."""
    number = {r["id"]: i for i, r in enumerate(relay.weir("route", "list"))}
    all_of_them = []
    for rcpt, sender, stream in ASKED:
        d = relay.weir("route", "test", rcpt, "--from", sender, "--stream", stream)
        all_of_them.append([number.get(d.get("route"), d.get("route")), d.get("to"), d.get("tls"), d.get("pool")])
        all_of_them.append(relay.weir("stream", "test", "--to", rcpt, "--from", sender)["stream"])
    return all_of_them


def test_from_one_relay_to_another(bare_relay, other):
    furnish(bare_relay)
    text = export(bare_relay)
    assert export(bare_relay) == text, "twice is the same"
    assert "\u202e" not in text and "Gruenkohl" not in text and "salt" not in text and "PRIVATE" not in text
    planned = plan(other, text)
    assert {c["op"] for c in planned["changes"]} == {"+"} and export(other) != text
    done = apply(other, text)
    assert (done["added"], done["changed"], done["removed"]) == (16, 0, 0)
    assert export(other) == text
    assert decisions(other) == decisions(bare_relay)
    assert [r["version"] for r in other.weir("config", "history")] == [done["version"]]
    with pytest.raises(WeirError) as e:
        plan(other, text)
    assert "how it is already" in e.value.error["message"]
    lacks = [w for w in done["warnings"] if w.startswith("needs a secret")]
    assert [w.split(" (")[0] for w in lacks] == [
        "needs a secret: route r3", "needs a secret: credential crm", "needs a secret: credential old",
        "needs a secret: key shop.example/s1", "needs a secret: key shop.example/s2"]
    # both go on from there
    assert {k["state"] for k in other.weir("dkim", "list")} == {"empty"}
    assert [c["status"] for c in other.weir("cred", "list")] == ["empty", "disabled"]
    pw = other.directory / "pw"
    pw.write_text("Gruenkohl-mit-Pinkel\n")
    smarthost, = [r["id"] for r in other.weir("route", "list") if r["to"].startswith("smarthost")]
    other.weir("route", "set", smarthost, "--password-file", str(pw), "--reason", "r")
    other.weir("cred", "rotate", "crm")
    assert export(other) == text
    other.restart()
    assert export(other) == text and decisions(other) == decisions(bare_relay)
    other.weir("route", "add", "--to", "reject")  # its number is nobody else's
    ids = [r["id"] for r in other.weir("route", "list")]
    assert len(set(ids)) == len(ids) == 6


def test_a_key_gets_its_private_part(bare_relay, other):
    """It signs nothing without, and takes only the one that belongs to what is published."""
    keys = []
    for name in ("right", "wrong"):
        keys.append(bare_relay.directory / f"{name}.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(keys[-1])], check=True)
    bare_relay.weir("dkim", "add", "shop.example", "--selector", "s1", "--key-file", str(keys[0]))
    apply(other, export(bare_relay))
    assert other.weir("dkim", "list")[0]["state"] == "empty"
    other.restart()
    assert other.weir("dkim", "list")[0]["state"] == "empty"
    with pytest.raises(WeirError) as e:
        other.weir("dkim", "add", "shop.example", "--selector", "s1", "--key-file", str(keys[1]))
    assert "lacks its private part, and this is that of another one" in e.value.error["message"]
    other.weir("dkim", "add", "shop.example", "--selector", "s1", "--key-file", str(keys[0]))
    assert other.weir("dkim", "list")[0]["state"] == "active"
    other.restart()
    assert other.weir("dkim", "list")[0]["state"] == "active" and export(other) == export(bare_relay)
    text = export(bare_relay).replace("s1", "s2").replace("k=ed25519; p=", "k=ed25519; p=A")
    apply(other, text)  # another one: the old one goes
    assert [(k["id"], k["state"]) for k in other.weir("dkim", "list")] == [("shop.example/s2", "empty")]


def test_one_version_and_one_undo(bare_relay):
    relay = bare_relay
    furnish(relay)
    text = export(relay)
    lists = [relay.weir(*what, "list") for what in (["route"], ["stream"], ["pool"], ["allow"], ["cred"], ["dkim"])]
    changed = text.replace("rate = 100", "rate = 200").replace('\ttls = "required"\n\tpool = "old"', '\tpool = "old"')
    changed = changed.replace('allow "10.0.0.0/8" {', 'allow "10.1.0.0/16" {')
    begin = changed.index('credential "old"')
    changed = changed[:begin] + changed[changed.index("}", begin) + 1:]
    planned = plan(relay, changed)
    assert sorted((c["op"], c["kind"]) for c in planned["changes"]) == [
        ("+", "allow"), ("-", "allow"), ("~", "cred"), ("~", "route"), ("~", "stream")]
    assert planned["moves"] is not None
    assert "credentials that are not in the text are revoked: old" in planned["warnings"]
    done = apply(relay, changed)
    assert (done["added"], done["changed"], done["removed"]) == (1, 3, 1)
    assert relay.weir("cred", "show", "old")["status"] == "revoked"
    assert relay.weir("cred", "show", "crm")["secrets"], "its secret stayed"
    assert export(relay).count("credential") == changed.count("credential")
    relay.weir("undo", done["action"])
    assert export(relay) == text
    assert [relay.weir(*what, "list") for what in (["route"], ["stream"], ["pool"], ["allow"], ["cred"], ["dkim"])] == lists


def test_on_probation(bare_relay):
    furnish(bare_relay)
    text = export(bare_relay)
    done = apply(bare_relay, HEAD.format("routes, allowlist"), "--probation", "1h")
    assert done["probation"]["version"] == done["version"]
    assert len(bare_relay.weir("route", "list")) == 1 and bare_relay.weir("allow", "list") == []
    bare_relay.weir("config", "rollback", "--yes", "--reason", "no")
    assert export(bare_relay) == text


def test_what_it_does_not_contain_stays(bare_relay):
    relay = bare_relay
    furnish(relay)
    text = export(relay)
    assert export(relay, "--only", "routes").count("{") == 4
    apply(relay, HEAD.format("allowlist"))
    assert relay.weir("allow", "list") == [] and len(relay.weir("route", "list")) == 5
    assert "the stream news sends from it" in refused(relay, HEAD.format("pools"))
    apply(relay, text)
    assert export(relay) == text


def test_the_order_is_the_files(bare_relay):
    """What was not moved keeps its place, so that a difference shows what was."""
    relay = bare_relay
    for i in range(6):
        relay.weir("route", "add", "--to", "discard", "--match", f"domain:d{i}.example", "--before", "default")
        relay.weir("stream", "add", f"s{i}")
    text = export(relay, "--only", "routes,streams")
    blocks = text.split("\n\n")
    routes = [i for i, b in enumerate(blocks) if b.startswith("route")]
    moved = blocks[:routes[1]] + [blocks[routes[4]]] + [b for i, b in enumerate(blocks) if i >= routes[1] and i != routes[4]]
    planned = plan(relay, "\n\n".join(b.rstrip("\n") for b in moved) + "\n")
    assert [(c["op"], c["kind"], c["text"]) for c in planned["changes"]] == [("~", "route", "place earlier")]
    shuffled = blocks[:1] + random.Random(7).sample(blocks[1:], len(blocks) - 1)
    apply(relay, "\n\n".join(b.rstrip("\n") for b in shuffled) + "\n")
    matches = [line for b in shuffled for line in b.splitlines() if "match" in line]
    assert [f'\tmatch = "{r["match"]}"' for r in relay.weir("route", "list")[:-1]] == matches
    names = [b.split('"')[1] for b in shuffled if b.startswith("stream")]
    assert [s["id"] for s in relay.weir("stream", "list")] == names + ["default"]


WRONG = [
    ("", "line 2: a configuration begins with format"),
    ('route {\n\tto = "mx"\n', "line 5: the route of line 4 is not closed"),
    ('rute {\n}\n', 'line 4: there is no kind "rute"; did you mean route?'),
    ('route "x" {\n}\n', "line 4: behind route stands only {"),
    ('stream {\n}\n', "line 4: behind stream stands its name in quotes"),
    ('stream "a" {\n\tmach = "all"\n}\n', 'line 5: a stream has no "mach"; did you mean match?'),
    ('stream "a" {\n\tlifetime = soon\n}\n', "line 5: lifetime: that is an age such as"),
    ('stream "a" {\n\tpriority = 12\n}\n', "line 5: priority must be from 1 to 9"),
    ('stream "a" {\n\tmatch = "domain:"\n}\n', "line 5: "),
    ('stream "a" {\n\tpool = "none"\n}\n', "line 5: there is no pool none in this text"),
    ('stream "a" {\n}\nstream "A" {\n}\n', "line 6: a is there twice; line 4 has it"),
    ('stream "a" {\n\tnote = "x"\n\tnote = "y"\n}\n', "line 6: note is there twice; line 5 has it"),
    ('route {\n\tmatch = "domain:a.example"\n}\n', "line 4: route.add needs to"),
    ('route {\n\tto = "smarthost:"\n}\n', "line 5: "),
    ('route {\n\tto = "mx"\n\ttls = "requird"\n}\n', "line 6: tls cannot be \"requird\"; did you mean required?"),
    ('route {\n\tto = "mx"\n\tmatch = "age>2h"\n}\n', "line 6: a route cannot depend on age"),
    ('route {\n\tto = "hold"\n\tpool = "p"\n}\n', "line 6: "),
    ('route {\n\tto = "mx\n}\n', "line 5: a text in quotes does not end on its line"),
    ('route {\n\tto = "m\\x"\n}\n', "line 5: behind a backslash"),
    ('route {\n\tto = mx what\n}\n', "line 5: the line ends here"),
    ('}\n', "line 4: there is nothing that this } closes"),
    ('allow "10.0.0.1/8" {\n}\n', "line 4: "),
    ('allow "0.0.0.0/0" {\n}\n', "line 4: 0.0.0.0/0 would let everybody"),
    ('allow "10.0.0.0/8" {\n\tmode = "relais"\n}\n', "line 5: mode cannot be"),
    ('allow "10.0.0.0/8" {\n\tstream = "none"\n}\n', "line 5: there is no stream none"),
    ('credential "Big Name" {\n}\n', "line 4: a name has"),
    ('credential "a" {\n\tsender = "no domain"\n}\n', "line 5: "),
    ('credential "a" {\n\tstream = "none"\n}\n', "line 5: there is no stream none"),
    ('key "shop.example" {\n}\n', "line 4: "),
    ('key "shop.example/s" {\n\tstate = "active"\n\tpublic = "p=x"\n}\n', "line 6: what a key publishes"),
    ('pool "p" {\n}\n', "line 4: pool.add needs sources"),
    ('pool "p" {\n\tsource = "x"\n}\n', 'line 5: "x" is no source'),
]


def test_errors_by_line(bare_relay):
    for body, words in WRONG:
        head = HEAD.format("pools, streams, routes, allowlist, credentials, keys") + "\n" if body else "format = 1\n\n"
        text = refused(bare_relay, head + body)
        assert words in text, (body, text)
    assert bare_relay.weir("config", "history") == []


def test_words_before_the_objects(bare_relay):
    assert "there are pools, streams" in refused(bare_relay, 'format = 1\ncontains = "pool"\n')
    assert "line 1: this release reads format 1" in refused(bare_relay, "format = 2\n")
    assert "line 1: a configuration begins" in refused(bare_relay, 'contains = "pools"\n')
    assert "line 3: contains does not name streams" in refused(bare_relay, HEAD.format("pools") + 'stream "a" {\n}\n')
    assert bare_relay.run("config", "export", "--only", "nothing").returncode == 2


def test_what_is_over_is_left_out(bare_relay):
    text = HEAD.format("allowlist") + '''
# all of it, in other words
allow "10.0.0.0/8" {	# CRLF and comments are all right
	expires = "2020-01-01T00:00:00Z"
}
allow "10.1.0.0/16" {
	mode = relay
}
'''
    done = apply(bare_relay, text.replace("\n", "\r\n"))
    assert [e["network"] for e in bare_relay.weir("allow", "list")] == ["10.1.0.0/16"]
    assert any("line 5: the time of 10.0.0.0/8 was over" in w for w in done["warnings"])


def test_random_edits_come_through(bare_relay, other):
    """Whatever was edited one by one, the text brings all of it over, and back again."""
    rng = random.Random(20261125)
    names = [f"n{i}" for i in range(6)]
    done = collections.Counter()
    for step in range(60):
        stream, pool = rng.choice(names), rng.choice(names)
        pick = rng.randrange(6)
        args = [
            ["stream", "add", stream, "--rate", str(rng.randrange(100)), "--note", rng.choice(["", "é\\n", '"'])],
            ["stream", "move", stream, "--before", rng.choice(names), "--reason", "r"],
            ["route", "add", "--to", rng.choice(["mx", "hold", "discard"]), "--match", f"domain:d{rng.randrange(4)}.example"],
            ["pool", "add", pool, "--source", f"127.0.1.{rng.randrange(1, 9)}", "--warmup", rng.choice(["", "5,10"])],
            ["stream", "set", stream, "--pool", pool, "--reason", "r"],
            ["allow", "add", f"10.{rng.randrange(9)}.0.0/16", "--note", str(step)],
        ][pick]
        done[args[0], args[1]] += bare_relay.run(*args).returncode == 0
        if step % 20 == 19:
            text = export(bare_relay)
            apply(other, text)
            assert export(other) == text
            assert [s["id"] for s in other.weir("stream", "list")] == [s["id"] for s in bare_relay.weir("stream", "list")]
    assert min(done.values()) > 0 and len(done) == 6, done


def test_two_at_once(relay):
    """What is in force is what one of the texts says, not both."""
    texts = [HEAD.format("routes") + "".join(f'route {{\n match = "domain:{who}{i}.example"\n to = "discard"\n}}\n' for i in range(400))
             for who in "ab"]
    for k, text in enumerate(texts):
        (relay.directory / f"config.{k}").write_text(text)
    results = []

    def go(k):
        results.append(relay.run("config", "import", relay.directory / f"config.{k}", "--yes", "--reason", "r"))
    for _ in range(4):
        threads = [threading.Thread(target=go, args=(k,)) for k in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        matches = [r["match"] for r in relay.weir("route", "list") if r["to"] == "discard"]
        assert len(matches) == 400 and len({m.removeprefix("domain:")[0] for m in matches}) == 1
        apply(relay, HEAD.format("routes"))
    codes = {json.loads(r.stderr)["error"]["code"] for r in results if r.returncode != 0}
    assert codes <= {"conflict"} and len(results) == 8


def test_streams_that_something_needs(relay):
    """They do not go while an entry or a credential names them: an export would name what is not there."""
    relay.weir("stream", "add", "tx")
    relay.weir("allow", "add", "10.0.0.0/8", "--stream", "tx")
    relay.weir("cred", "add", "crm", "--streams", "tx")
    for word in ("network 10.0.0.0/8", "credential crm"):
        with pytest.raises(WeirError) as e:
            relay.weir("stream", "remove", "tx", "--reason", "r")
        assert e.value.error["code"] == "state" and word in e.value.error["message"]
        with pytest.raises(WeirError) as e:
            apply(relay, HEAD.format("streams"))
        assert e.value.error["code"] == "state" and word in e.value.error["message"]
        relay.weir("allow", "remove", "10.0.0.0/8", "--reason", "r") if "network" in word else None
    relay.weir("cred", "revoke", "crm", "--reason", "r")
    apply(relay, HEAD.format("streams"))
    assert [s["id"] for s in relay.weir("stream", "list")] == ["default"]


def test_no_text(relay):
    path = relay.directory / "config.text"
    path.write_bytes(b"format = 1\0\n")
    result = relay.run("config", "import", path, "--plan")
    assert result.returncode == 2 and json.loads(result.stderr)["error"]["code"] == "invalid"
