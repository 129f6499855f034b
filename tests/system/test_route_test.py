"""`weir route test` against what then happens: every message of a set is predicted, sent, and compared."""

import itertools
import random
import re
import smtplib

import pytest

import harness
import peer
from harness import free_port, letter, wait_until

DOOR = """
bounces {{ domain = "bounces.test.example" }}
tls {{ authorities = "{ca}" }}

listen local {{
	address = "127.0.0.1:{local}"
	auth    = "optional"
	loopback-auth = "yes"
}}
"""

# What messages are made of. A header is a list of fields, as weir takes them.
SENDERS = ["app@shop.example", "boss@shop.example", "n@news.example", "ads@mail.news.example", "x@other.example", ""]
RCPTS = ["anna@fast.example", "gone@gone.bulk.example", "gone@gone-news.bulk.example", "eve@backup.example", "bob@slow.example", "u@own.example", "u@tls.example",
         "u@login.example", "u@two.example", "u@kept.example", "u@refused.example", "u@bulk-refused.example",
         "u@dropped.example", "u@implicit.example", "u@nomail.example", "u@gmial.example", "u@a.deep.example"]
HEADERS = [[], ["X-Stream: auto"], ["X-Stream: auto", "X-Kind: alert"], ["X-Priority: 1", "List-Id: <news.example>"]]
CLIENTS = ["127.0.0.1", "127.0.0.9", "127.0.1.1"]
CREDS = [None, "crm", "bound", "app"]


ROUNDS = 6


class Net:
    """Rules of every kind, and next hops that say who came."""

    def __init__(self, relay, directory):
        self.relay, self.secrets = relay, {}
        pem = peer.make_certificate(directory, "good", "IP:127.0.0.1")
        self.peers = {"plain": peer.Peer(pem), "tls": peer.Peer(pem), "login": peer.Peer(pem, users={"relay": "word"})}
        self.rules(relay, directory)

    def rules(self, r, directory):
        weir, at = r.weir, {name: p.at for name, p in self.peers.items()}
        weir("allow", "add", "127.0.0.0/24", "--note", "test")
        weir("pool", "add", "bulk", "--source", "127.0.0.7=mta7.test.example")
        weir("pool", "add", "two", "--source", "127.0.0.11=mta11.test.example,127.0.0.12=mta12.test.example")
        weir("pool", "add", "full", "--source", "127.0.0.13", "--warmup", "1,1", "--overflow", "bulk")
        weir("stream", "add", "auto", "--header", "X-Stream: auto", "--pool", "two", "--priority", "9")
        weir("stream", "add", "news", "--match", "sender-domain:news.example,*.news.example", "--pool", "bulk",
             "--dkim", "signer.example", "--retry", "2m,10m", "--lifetime", "1d", "--rate", "6000")
        weir("stream", "add", "crm", "--match", "credential:crm domain:tls.example,kept.example,login.example,dropped.example", "--tls", "required", "--concurrency", "3")
        weir("stream", "add", "hosted", "--match", "from:nobody@nowhere.example")
        weir("allow", "add", "127.0.0.9/32", "--stream", "hosted")
        (directory / "password").write_text("word")
        for rule in (["reject", "--match", "domain:refused.example"],
                     ["reject", "--match", "stream:auto domain:bulk-refused.example"],
                     ["discard", "--match", "domain:dropped.example -from:boss@shop.example"],
                     [at["plain"], "--match", "from:boss@shop.example -domain:tls.example"],
                     [at["plain"], "--match", "domain:own.example,two.example", "--pool", "two"],
                     [at["tls"], "--match", "domain:tls.example", "--tls", "required"],
                     [at["login"], "--match", "domain:login.example", "--user", "relay", "--password-file",
                      directory / "password"],
                     [at["plain"], "--match", "domain:*.deep.example stream:news", "--pool", "bulk"],
                     ["discard", "--match", "domain:*.deep.example,nomail.example stream:default"],
                     [at["plain"], "--match", "provider:slow.example"],
                     ["hold", "--match", "domain:kept.example stream:news"],
                     [at["plain"], "--match", "domain:kept.example,bulk-refused.example,dropped.example,*.deep.example"]):
            weir("route", "add", "--before", "default", "--to", *rule)
        for domain in ("shop.example", "news.example", "signer.example"):
            weir("dkim", "add", domain, "--selector", "s1", "--algorithm", "ed25519")
        weir("suppress", "add", "gone.bulk.example", "--reason", "test")
        weir("suppress", "add", "gone-news.bulk.example", "--stream", "news", "--reason", "test")
        weir("hold", "domain:own.example from:x@other.example", "--reason", "test")
        weir("hold", "stream:crm domain:login.example", "--reason", "test")
        for name, bounds in (("crm", []), ("bound", ["--senders", "shop.example", "--streams", "default,auto"]),
                             ("app", ["--networks", "127.0.0.1/32"])):
            self.secrets[name] = weir("cred", "add", name, *bounds)["secret"]


@pytest.fixture
def net(directory, world):
    local = free_port()
    ca = peer.make_authority(directory)
    r = harness.Relay(directory, world, DOOR.format(local=local, ca=ca))
    r.local = local
    r.start()
    n = Net(r, directory)
    yield n
    for p in n.peers.values():
        p.close()
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def predict(relay, m, *options):
    args = [m["to"], "--sender", m["from"] or "<>", "--client", m["client"], "--cred", m["cred"] or ""]
    fields = [f"From: <{m['author']}>", f"To: <{m['to']}>", "Subject: A system test", *m["headers"]]
    for f in fields:
        args += ["--header", f]
    return relay.weir("route", "test", *args, *options)


def submit(net, m):
    """The first refusal, or None."""
    with smtplib.SMTP("127.0.0.1", net.relay.local, local_hostname="client.test.example", timeout=30,
                      source_address=(m["client"], 0)) as s:
        s.ehlo()
        try:
            if m["cred"]:
                s.user, s.password = m["cred"], net.secrets[m["cred"]]
                s.auth("PLAIN", s.auth_plain)
            for code, text in (s.mail(m["from"]), s.rcpt(m["to"])):
                if code != 250:
                    return code, text
            content = letter(m["author"], m["to"], headers="".join(f"{h}\r\n" for h in m["headers"]), tag=m["tag"])
            code, text = s.data(content)
            return None if code == 250 else (code, text)
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code, e.smtp_error


def outcomes(relay):
    """By recipient, each of which has one message: where that came to an end, or where it stays."""
    ends = {}
    for e in reversed(relay.weir("events", "--limit", "1000")):
        if e["event"] in ("delivered", "failed", "deleted", "deferred"):
            ends[e["to"]] = (e["event"], e)
    for row in relay.recipients("state:held"):
        ends[row["to"]] = ("held", row)
    return ends


def selectors(content):
    text = re.sub(rb"\r\n[ \t]+", b" ", content.partition(b"\r\n\r\n")[0])
    return sorted(f"{d.decode()}/{s.decode()}"
                  for d, s in re.findall(rb"DKIM-Signature:[^\r]*?\bd=([^;\s]+);[^\r]*?\bs=([^;\s]+);", text))


def arrived(net, m):
    """What its next hop saw: a peer, or the world, where only the content is kept."""
    for p in net.peers.values():
        for seen in p.messages:
            if m["tag"].encode() in seen["content"]:
                return seen
    return None


WANTED = {"ok": "delivered", "held": "held", "discarded": "deleted", "fails": "failed"}


def compare(net, m, told, ended):
    what, row = ended
    shown = net.relay.weir("show", row["id"])
    assert shown["stream"] == told["stream"], (m, told["stream"], shown["stream"])
    assert what == WANTED[told["verdict"]], (m, what, row, told["verdict"], told["text"])
    if what == "delivered":
        compare_way(net, m, told, shown)
    return told["verdict"]


def compare_way(net, m, told, shown):
    at = shown["attempts"][-1]
    hosts = [h["host"] for h in told["next_hops"]]
    assert at["host"] in hosts, (m, at, hosts)
    assert shown["attempts"][0]["host"] == told["host"] or len(hosts) > 1, (m, at, told["host"])
    assert at["ip"] in itertools.chain(*(h["addresses"] for h in told["next_hops"])), (m, at)
    if told["sources"]:
        assert at["source"] in [s["address"] for s in told["sources"]], (m, at, told["sources"])
        assert told["source"] in (None, at["source"])
    else:
        assert at["source"] not in ("127.0.0.7", "127.0.0.11", "127.0.0.12", "127.0.0.13"), (m, at)
    secure = (at["tls"] or "").startswith("TLS")
    if told["tls"] in ("required", "encrypted"):
        assert secure and (told["tls"] != "required" or "unverified" not in at["tls"]), (m, at)
    if told["tls"] == "none":
        assert not secure, (m, at)
    seen = arrived(net, m)
    assert (seen is not None) == (told["to"] != "mx"), (m, told["to"])
    if seen:
        names = {s["address"]: s["ehlo"] for s in told["sources"]}
        assert seen["ehlo"] == names.get(seen["from"], told["ehlo"]), (m, seen["ehlo"], told["ehlo"], names)
        assert seen["user"] == told["user"] and bool(seen["secure"]) == secure
        assert selectors(seen["content"]) == sorted(told["dkim"]), (m, told["dkim"])


def messages():
    """Each value of each part with some of the others; and the same ones on every run."""
    rng = random.Random(7)
    parts = [SENDERS, RCPTS, HEADERS, CLIENTS, CREDS]
    made = []
    for _ in range(ROUNDS):
        longest = max(len(p) for p in parts)
        columns = [rng.sample(p * (longest // len(p) + 1), longest) for p in parts]
        made += list(zip(*columns))
    for k, (sender, to, headers, client, cred) in enumerate(made):
        local, _, domain = to.partition("@")
        yield {"from": sender, "author": sender or "daemon@shop.example", "to": f"{local}{k}@{domain}",
               "headers": headers, "client": client, "cred": cred, "tag": f"mark-{k}-x"}


def test_what_is_said_is_what_happens(net):
    relay, verdicts, sent = net.relay, {}, []
    for m in messages():
        told = predict(relay, m)
        steps = {s["step"]: s for s in told["steps"]}
        assert told["decided_by"] is None or steps[told["decided_by"]]["verdict"] == told["verdict"]
        if told["decided_by"] == "credential" and verdicts.get("no login"):
            continue  # each failure to log in is answered later than the one before
        refusal = submit(net, m)
        if told["decided_by"] == "credential":
            assert relay.weir("cred", "unblock", m["client"])
            verdicts["no login"] = 1
        assert bool(refusal) == (told["verdict"] == "refused"), (m, refusal, told["verdict"], told["text"])
        if refusal:
            verdicts["refused"] = verdicts.get("refused", 0) + 1
        else:
            sent.append((m, told))
    ended = wait_until(lambda: (e := outcomes(relay)) and all(m["to"] in e for m, _ in sent) and e, 30, "all of them")
    for m, told in sent:
        verdict = compare(net, m, told, ended[m["to"]])
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    assert set(verdicts) == {"ok", "no login", "refused", "held", "discarded", "fails"}, verdicts
    assert verdicts["ok"] > 15, verdicts


def test_the_words_lead_somewhere(net):
    """What a step says to change it with is a command that there is; the text fits a terminal and says the same."""
    relay, changes = net.relay, set()
    for m in messages():
        changes.update(s["change"] for s in predict(relay, m)["steps"] if s["change"])
    for change in sorted(c for c in changes if c.startswith("weir ")):
        words = change.split()[1:]
        verb = next(v for v in (words[:2], words[:1]) if relay.run("help", *v, json_output=False).returncode == 0)
        helped = relay.run("help", *verb, json_output=False).stdout
        assert all(w in helped for w in words if w.startswith("--")), (change, helped)


def test_what_was_not_said_is_not_guessed(net):
    relay = net.relay
    got = relay.weir("route", "test", "anything@bounces.test.example")
    assert (got["verdict"], got["route"], len(got["steps"])) == ("ok", None, 1) and "itself" in got["text"]
    got = relay.weir("route", "test", "u@fast.example")
    assert (got["verdict"], got["decided_by"], got["stream"]) == ("open", "stream", None) and "--header" in got["text"]
    got = relay.weir("route", "test", "u@tls.example", "--header", "", "--from", "x@other.example")
    assert got["verdict"] == "open" and "credential" in got["text"], got["text"]
    got = relay.weir("route", "test", "u@fast.example", "--stream", "default", "--sender", "boss@shop.example")
    assert (got["verdict"], got["stream"], got["to"]) == ("ok", "default", net.peers["plain"].at)
    got = relay.weir("route", "test", "u@dropped.example", "--stream", "default")
    assert (got["verdict"], got["decided_by"], got["route"]) == ("open", "route", None) and "--from" in got["text"]
    with pytest.raises(harness.WeirError) as e:
        relay.weir("route", "test", "u@fast.example", "--stream", "nothing")
    assert e.value.error["param"] == "stream"
    with pytest.raises(harness.WeirError) as e:
        relay.weir("route", "test", "u@fast.example", "--client", "127.0.0.0/8")
    assert e.value.error["param"] == "client"


def test_dns_in_trouble(directory, world):
    """Nothing waits for DNS for long, and what it does not say is said; a domain that is not there has no provider."""
    r = harness.Relay(directory, world)
    r.start().allow()
    r.weir("route", "add", "--to", "hold", "--match", "provider:big.example")

    def test(to):
        got = r.weir("route", "test", to, "--sender", "a@shop.example", "--client", "127.0.0.1")
        return got["verdict"], got["decided_by"], got["text"]
    verdict, step, text = test("u@silent-dns.example")
    assert (verdict, step) == ("waits", "dns") and ("silent-dns.example" in text or "5 seconds" in text), text
    verdict, step, text = test("u@broken-dns.example")
    assert (verdict, step) == ("waits", "dns") and "lookup" in text
    verdict, step, text = test("u@gmial.example")
    assert (verdict, step) == ("fails", "dns") and "does not exist" in text
    assert test("u@nomail.example")[:2] == ("fails", "dns")
    # And so it is: nobody waits for a provider that there is not.
    for to, event in (("u@gmial.example", "failed"), ("u@nomail.example", "failed"), ("u@broken-dns.example", "deferred")):
        r.send(to)
        assert r.wait_event(to, event)["stream"] == "default"
    r.expected.append("unreachable|dns")
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def test_allow_test(net):
    relay = net.relay
    got = relay.weir("allow", "test", "127.0.0.9")
    assert (got["verdict"], got["stream"], got["network"]) == ("ok", "hosted", "127.0.0.9")
    assert [s["step"] for s in got["steps"]] == ["client", "stream", "auth", "listener", "listener", "limits"]
    auth = next(s for s in got["steps"] if s["step"] == "auth")
    assert "bound" in auth["text"] and "app" not in auth["text"]
    got = relay.weir("allow", "test", "192.0.2.1")
    assert got["verdict"] == "refused" and got["steps"][0]["change"] == "weir allow add 192.0.2.1"
