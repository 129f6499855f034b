"""DKIM through the whole relay: what arrives is verified by two verifiers that know nothing of our code."""

import subprocess

import pytest

import harness
from harness import WeirError, wait_until
from names import Names
from sink import Sink

VERIFY = harness.ROOT / "tests/lib/dkim_verify.py"
DOMAIN = "shop.example"


@pytest.fixture
def sink():
    s = Sink()
    yield s
    s.stop()


@pytest.fixture
def out(relay, sink):
    """The relay, with all mail going to the sink."""
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink.port}")
    return relay


def submit(relay, message, sender=f"app@{DOMAIN}", eight=False):
    with relay.smtp() as s:
        s.ehlo()
        code, text = s.mail(sender, ["BODY=8BITMIME"] if eight else [])
        assert code == 250, text
        assert s.rcpt("anna@fast.example")[0] == 250
        assert s.docmd("DATA")[0] == 354
        s.send(message.replace(b"\r\n.", b"\r\n..") + (b"" if message.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        code, text = s.getreply()
        assert code == 250, text


def submit_chunks(relay, message, size):
    """By BDAT, in pieces that respect nothing."""
    with relay.smtp() as s:
        s.ehlo()
        assert s.mail(f"app@{DOMAIN}", ["BODY=8BITMIME"])[0] == 250 and s.rcpt("anna@fast.example")[0] == 250
        pieces = [message[i:i + size] for i in range(0, len(message), size)]
        for i, piece in enumerate(pieces):
            s.send(f"BDAT {len(piece)}{' LAST' if i == len(pieces) - 1 else ''}\r\n".encode() + piece)
            code, text = s.getreply()
            assert code == 250, text


def arrived(sink, mark):
    return wait_until(lambda: sink.find(mark), 15, f"{mark} to arrive")


def publish(relay, directory, *domains):
    records = [r for d in domains for r in relay.weir("dkim", "show", d)["records"]]
    (directory / "records").write_text("".join(f"{r['name']} {r['value']}\n" for r in records))
    return records


def verified(directory):
    """What both verifiers say: {name: (python, perl)}."""
    result = subprocess.run(["/usr/bin/python3", VERIFY, directory], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return {f[0]: f[1:] for f in (line.split(" ") for line in result.stdout.splitlines())}


HEAD = (f"From: \"Shop, Inc.\" <app@{DOMAIN}>\r\nTo: <anna@fast.example>\r\nSubject: %s\r\n"
        "Date: Tue, 24 Nov 2026 03:12:07 +0000\r\nMessage-ID: <%s@test.example>\r\n")
AWKWARD = {
    "plain": (HEAD, b"Hello.\r\n"),
    "folded": (HEAD.replace("Subject: %s", "Subject:\r\n %s\r\n\t  of \t many   \r\n parts"), b"x\r\n"),
    "duplicate": (HEAD + "Cc: a@b.example\r\nCC: c@d.example\r\nReferences: <1@x>\r\nreferences: <2@x>\r\n", b"x\r\n"),
    "empty-body": (HEAD, b""),
    "blank-lines": (HEAD, b"\r\n\r\n\r\n"),
    "trailing-blank": (HEAD, b"text \t \r\n\r\n \t\r\n\r\n"),
    "white-space": (HEAD, b" leading\r\na  \t b\r\n\t\r\nend\t\r\n"),
    "dots": (HEAD, b".\r\n..\r\n.x\r\n"),
    "eight-bit": (HEAD, "Grüße \u2603\r\n".encode() + b"\xff\xfe\x80\r\n"),
    "eight-bit-head": (HEAD.replace("Inc.", "Grüße"), b"x\r\n"),
    "long-line": (HEAD, b"x" * 5000 + b"\r\n"),
    "long-subject": (HEAD.replace("%s\r\nDate", "%s " + "long " * 180 + "\r\nDate"), b"x\r\n"),
    "no-date-no-id": (f"From: app@{DOMAIN}\r\nSubject: %s\r\nX-Mark: %s\r\n", b"x\r\n"),
    "bcc": (HEAD + "Bcc: secret@fast.example\r\n", b"x\r\n"),
    "mime": (HEAD + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
             b"--b\r\n\r\na\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b--\r\n"),
    "large": (HEAD, b"line of a large message\r\n" * 20000),
    # fields
    "tabs": (HEAD.replace("Subject: %s", "Subject:\t\t%s \t\tof\t tabs \t ").replace("To: <", "To:\t<"), b"x\r\n"),
    "trailing-space": (HEAD.replace("Subject: %s", "Subject: %s   \t ").replace("example>\r\n", "example> \t\r\n"), b"x\r\n"),
    "no-space": (HEAD.replace(": ", ":"), b"x\r\n"),
    "space-before-colon": (HEAD.replace("Subject:", "Subject \t:"), b"x\r\n"),
    "case": (HEAD.replace("From:", "FROM:").replace("Subject:", "sUbJeCt:").replace("To:", "tO:"), b"x\r\n"),
    "empty-fields": ("Cc:\r\nReply-To: \r\nIn-Reply-To:\t \r\nX-Empty:\r\n" + HEAD, b"x\r\n"),
    "empty-fold": (HEAD.replace("Subject: %s", "Subject: %s\r\n \r\n\t\r\n end"), b"x\r\n"),
    "fold-only": (HEAD + "Comments:\r\n \r\n", b"x\r\n"),
    "two-subjects": (HEAD + "Subject: another\r\nTo: <second@fast.example>\r\n", b"x\r\n"),
    "two-froms": (HEAD + f"From: <other@{DOMAIN}>\r\n", b"x\r\n"),
    "group": (HEAD.replace("To: <anna@fast.example>", "To: undisclosed-recipients:;"), b"x\r\n"),
    "comment": (HEAD.replace("Subject: %s", "Subject: %s (a \\( comment) =?utf-8?q?Gr=C3=BC=C3=9Fe?="), b"x\r\n"),
    "many-fields": (HEAD + "".join(f"X-Field-{i}: value {i}\r\nReceived: from h{i}.example by x\r\n" for i in range(20)), b"x\r\n"),
    "many-signed": (HEAD + "".join(f"References: <{i}@x>\r\n" for i in range(300)), b"x\r\n"),
    "list": (HEAD + "List-Id: News <n.shop.example>\r\nList-Unsubscribe: <mailto:u@shop.example>,\r\n"
             " <https://shop.example/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b"x\r\n"),
    "signed-before": (f"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=other.example; s=x;\r\n h=From; bh=AAAA;\r\n\tb=AAAA\r\n" + HEAD, b"x\r\n"),
    "resent": ("Resent-From: <b@other.example>\r\nResent-To: <c@other.example>\r\nReturn-Path: <x@y.example>\r\n" + HEAD, b"x\r\n"),
    # bodies
    "one-blank": (HEAD, b"\r\n"),
    "spaces-alone": (HEAD, b"   \r\n\t\r\n"),
    "first-blank": (HEAD, b"\r\n\r\ntext\r\n"),
    "like-a-header": (HEAD, b"From: <evil@x.example>\r\n\r\nbody\r\n"),
    "boundary": (HEAD, b"x" * 63 + b"\r\n" + b" " * 64 + b"\r\n" + b"y" * 64 + b"\r\n" * 70 + b"z\r\n"),
    "control": (HEAD, bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 32)) + b"\x7f\r\n"),
    "every-byte-8bit": (HEAD, bytes(b for b in range(1, 256) if b not in b"\r\n") + b"\r\n"),
    "quoted-printable": (HEAD + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
                         b"soft =\r\nbreak=20\r\nGr=C3=BC=C3=9Fe \t=\r\n\r\n=\r\n"),
    "nested": (HEAD + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"= a b\"\r\n",
               b"preamble \r\n--= a b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c \t\r\n\r\n\r\n--c\r\n"
               b"Content-Type: text/html\r\n\r\n<p>\r\n--c--\r\n--= a b\r\nContent-Type: message/rfc822\r\n\r\n"
               b"From: <a@b.example>\r\nDKIM-Signature: none\r\n\r\nx\r\n--= a b--\r\n epilogue\r\n\r\n"),
}
# What DATA cannot carry: content that does not end in a line end. It leaves with one.
UNENDED = {"unended": (HEAD, b"no line end"), "unended-space": (HEAD, b"text\r\n  "), "no-body": (HEAD, None),
           "one-byte": (HEAD, b".")}


def of(name, head, body):
    """The message, recognised by mark-NAME-end."""
    mark = f"mark-{name}-end"
    return (head % (mark, mark)).encode() + (b"" if body is None else b"\r\n" + body)


def check_all(relay, sink, directory, names):
    for name in names:
        message = arrived(sink, f"mark-{name}-end".encode())
        assert message.startswith(b"DKIM-Signature:"), message[:200]
        assert b"\r\nBcc:" not in message
        (directory / f"{name}.eml").write_bytes(message)
    publish(relay, directory, DOMAIN)
    said = verified(directory)
    assert set(said) == set(names)
    for name, (python, perl) in said.items():
        if name == "space-before-colon":  # which RFC 5322 knows (4.5), but dkimpy does not
            assert python == "unreadable"
        else:
            assert python.split(",")[:2] == ["pass", "pass"], (name, python)
        assert "rsa-sha256=pass" in perl, (name, perl)  # it does not know ed25519
        assert "fail" not in perl or name == "signed-before", (name, perl)
    rows = {r["selector"]: r for r in relay.weir("dkim", "list")}
    assert {s: r["signed"] for s, r in rows.items()} == {"s1-rsa": len(names), "s1-ed25519": len(names)}
    assert all(r["failed"] == 0 and r["last_signed_at"] for r in rows.values())


def test_awkward_messages_verify(out, sink, directory):
    out.weir("dkim", "add", DOMAIN, "--algorithm", "both", "--selector", "s1")
    for name, (head, body) in AWKWARD.items():
        submit(out, of(name, head, body), eight="eight" in name or "8bit" in name)
    check_all(out, sink, directory, AWKWARD)


def test_awkward_messages_in_chunks_verify(out, sink, directory):
    """The same, cut where it hurts; and what only BDAT can carry."""
    out.weir("dkim", "add", DOMAIN, "--algorithm", "both", "--selector", "s1")
    cases = {**AWKWARD, **UNENDED}
    for i, (name, (head, body)) in enumerate(cases.items()):
        message = of(name, head, body)
        submit_chunks(out, message, max(1 + i % 7, len(message) // 40))
    check_all(out, sink, directory, cases)
    for name, (_, body) in UNENDED.items():
        assert sink.find(f"mark-{name}-end".encode()).endswith((body or b"") + b"\r\n"), name


def test_line_ends_that_smtp_does_not_allow(out, sink):
    """A bare CR or LF is refused in both, so that no two readers see different lines in what is signed."""
    out.weir("dkim", "add", DOMAIN, "--selector", "s1")
    for i, body in enumerate([b"a\nb\r\n", b"a\rb\r\n", b"a\n", b"a\r", b"a\r\r\nb\r\n", b"a\n\r\nb\r\n"]):
        message = of(f"bare{i}", HEAD, body)
        with pytest.raises(AssertionError, match="5.6.11"):
            submit_chunks(out, message, len(message))
        with pytest.raises(AssertionError, match="5.6.11"):
            submit(out, message)
    submit(out, of("good", HEAD, b"x\r\n"))
    arrived(sink, b"mark-good-end")
    assert len(sink.messages) == 1


def test_a_changed_message_does_not_verify(out, sink, directory):
    """The verifiers above do look."""
    out.weir("dkim", "add", DOMAIN, "--selector", "s1")
    submit(out, (HEAD % ("mark-x", "x")).encode() + b"\r\nHello.\r\n")
    message = arrived(sink, b"mark-x")
    (directory / "body.eml").write_bytes(message.replace(b"Hello", b"Hullo"))
    (directory / "from.eml").write_bytes(message.replace(b"\r\nFrom:", b"\r\nFrom: evil@x.example\r\nFrom:"))
    publish(out, directory, DOMAIN)
    said = verified(directory)
    assert all(python == "fail" and "=fail" in perl for python, perl in said.values()), said


def test_whose_key_signs(out, sink, directory):
    """The domain of the From field, else its organisation's; never the envelope's; else nobody's."""
    for domain in (DOMAIN, "news.letters.example", "letters.example"):
        out.weir("dkim", "add", domain, "--algorithm", "ed25519", "--selector", "s1")
    out.weir("dkim", "add", "waiting.example", "--algorithm", "ed25519", "--waiting")
    cases = {
        "exact": ("a@news.letters.example", "news.letters.example"),
        "organisation": ("a@deep.er.letters.example", "letters.example"),
        "case": ("A@Shop.EXAMPLE", DOMAIN),
        "nobody": ("a@other.example", None),
        "waiting": ("a@waiting.example", None),
        "two": (f"a@{DOMAIN}\r\nFrom: b@letters.example", None),
    }
    for name, (author, _) in cases.items():
        submit(out, f"From: {author}\r\nSubject: mark-{name}\r\n\r\nx\r\n".encode(), sender=f"bounce@{DOMAIN}")
    submit(out, b"Subject: mark-none\r\nSender: a@shop.example\r\n\r\nx\r\n")  # no From at all
    assert b"DKIM-Signature" not in arrived(sink, b"mark-none")
    for name, (_, domain) in cases.items():
        head = arrived(sink, f"mark-{name}".encode()).partition(b"\r\n\r\n")[0]
        if domain is None:
            assert b"DKIM-Signature" not in head, name
        else:
            assert f"d={domain}; s=s1".encode() in head, (name, head)


def test_rotation(out, sink, directory):
    out.weir("dkim", "add", DOMAIN, "--selector", "old", "--algorithm", "ed25519")
    rotated = out.weir("dkim", "rotate", DOMAIN, "--selector", "new")
    line, = rotated["publish"]
    assert line.startswith(f"new._domainkey.{DOMAIN}. IN TXT ") and "k=ed25519" in line

    def selector(mark):
        submit(out, (HEAD % (mark, mark)).encode() + b"\r\nx\r\n")
        message = arrived(sink, mark.encode())
        (directory / f"{mark}.eml").write_bytes(message)
        return message.split(b"s=")[1].split(b";")[0]

    assert selector("mark-1") == b"old"
    done = out.weir("dkim", "activate", DOMAIN)
    assert selector("mark-2") == b"new"
    out.weir("undo", done["action"])
    assert selector("mark-3") == b"old"
    out.weir("dkim", "activate", DOMAIN)
    out.restart()
    assert selector("mark-4") == b"new"
    assert {r["selector"]: r["state"] for r in out.weir("dkim", "list")} == {"old": "retired", "new": "active"}
    publish(out, directory, DOMAIN)
    assert all(python == "pass" for python, _ in verified(directory).values())
    out.weir("dkim", "remove", f"{DOMAIN}/new", "--reason", "test")
    submit(out, (HEAD % ("mark-5", "5")).encode() + b"\r\nx\r\n")
    assert b"DKIM-Signature" not in arrived(sink, b"mark-5")


def pem_body(pem):
    return "".join(line for line in pem.splitlines() if not line.startswith("-"))


@pytest.mark.parametrize("algorithm,extra", [("RSA", ["-pkeyopt", "rsa_keygen_bits:2048"]), ("ed25519", [])])
def test_a_key_is_taken_and_shown_nowhere(out, sink, directory, algorithm, extra):
    key = directory / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", algorithm, *extra, "-out", key], check=True,
                   capture_output=True, timeout=60)
    pem = key.read_text()
    said = [out.run("dkim", "add", DOMAIN, "--selector", "mine", "--key-file", str(key))]
    said.append(out.run("dkim", "add", "other.example", "--selector", "mine", "--key-file", "-", input=pem))
    assert [r.returncode for r in said] == [0, 0], said
    for args in (["dkim", "list"], ["dkim", "show", DOMAIN], ["actions"], ["status"]):
        said.append(out.run(*args))
        said.append(out.run(*args, json_output=False))
    submit(out, (HEAD % ("mark-k", "k")).encode() + b"\r\nx\r\n")
    (directory / "k.eml").write_bytes(arrived(sink, b"mark-k"))
    publish(out, directory, DOMAIN)
    assert verified(directory)["k"][0] == "pass"
    action = out.weir("dkim", "remove", f"{DOMAIN}/mine", "--reason", "test")["action"]
    said.append(out.run("undo", action))
    said.append(out.run("dkim", "add", "third.example", "--key-file", str(directory / "relayd.conf")))
    assert said[-1].returncode == 2 and "not a private key" in said[-1].stderr
    assert out.stop() == 0
    for piece in (pem_body(pem)[40:100], "PRIVATE KEY"):
        assert not any(piece in r.stdout + r.stderr for r in said)
        assert piece not in out.log.read_text()
    # in the store once: no earlier version, no journal; both domains name the same
    secret = pem_body(pem)[:60].encode()
    files = [f for f in out.state.iterdir() if f.is_file()]
    assert sum(f.read_bytes().count(secret) for f in files) == 1
    assert all(f.stat().st_mode & 0o077 == 0 for f in files)


def test_usage(relay):
    for args, status, words in [
            (["dkim", "add", "shop"], 2, "no domain"),
            (["dkim", "show", DOMAIN], 1, "weir dkim add"),
            (["dkim", "add", DOMAIN, "--key-file", "/nonexistent"], 1, "/nonexistent"),
            (["dkim", "add", DOMAIN, "--key-file", "/dev/zero"], 2, "longer"),
            (["dkim", "retire", "x/y"], 1, "dkim list")]:
        with pytest.raises(WeirError) as e:
            relay.weir(*args)
        assert e.value.status == status and words in e.value.stderr, e.value
    made = relay.run("dkim", "add", DOMAIN, json_output=False)
    assert "To be published in DNS:" in made.stdout and "undo" in made.stdout
    shown = relay.run("dkim", "show", DOMAIN, json_output=False).stdout
    zone = next(line for line in shown.splitlines() if line.strip().startswith("zone"))
    assert zone.count('"') == 4 and len(zone.split('"')[1]) == 255, "two strings, the first as long as one can be"


# --- weir check ---

HOST = "relay.test.example"
OURS = "192.0.2.25"


@pytest.fixture
def names():
    n = Names({(HOST, "A"): [OURS], ("25.2.0.192.in-addr.arpa", "PTR"): [HOST]})
    yield n
    n.stop()


@pytest.fixture
def checked(directory, world, names):
    """A relay whose name server is ours, and a function that checks DOMAIN: {(name, about): row}."""
    world.dns = names.address
    r = harness.Relay(directory, world)
    r.start()
    r.check = lambda *args: {(row["name"], row["about"]): row for row in r.weir("check", DOMAIN, "--from", OURS, *args)}
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def publish_in(names, relay):
    for r in relay.weir("dkim", "show", DOMAIN)["records"]:
        names.table[r["name"], "TXT"] = [r["value"]]


def test_check_of_a_domain_with_nothing_then_everything(checked, names):
    rows = checked.check()
    assert {n: r["status"] for n, r in rows.items()} == {
        ("spf", None): "missing", ("dkim", None): "missing", ("dmarc", None): "missing", ("mx", None): "warning",
        ("mta-sts", None): "ok",
        ("ehlo", HOST): "ok", ("ptr", OURS): "ok"}
    assert rows["spf", None]["publish"] == f'{DOMAIN}. IN TXT "v=spf1 ip4:{OURS} ~all"'
    # what it says is published, and nothing is left to say
    checked.weir("dkim", "add", DOMAIN, "--selector", "s1")
    names.table[DOMAIN, "MX"] = [f"10 mx.{DOMAIN}"]
    names.table[DOMAIN, "TXT"] = ["other", rows["spf", None]["publish"].split('"')[1]]
    names.table[f"_dmarc.{DOMAIN}", "TXT"] = [rows["dmarc", None]["publish"].split('"')[1]]
    line = checked.check()["dkim", "s1"]["publish"]
    names.table[f"s1._domainkey.{DOMAIN}", "TXT"] = ["".join(line.split('"')[1::2])]
    rows = checked.check()
    assert {r["status"] for r in rows.values()} == {"ok"}, rows
    assert all(r["publish"] is None for r in rows.values())
    text = checked.run("check", DOMAIN, json_output=False)
    assert text.returncode == 0 and text.stdout.count("\nok") + text.stdout.startswith("ok") >= 5


def test_an_unpublished_key_is_warned_of(checked, names):
    checked.weir("dkim", "add", DOMAIN, "--selector", "s1", "--waiting")
    plan = checked.weir("dkim", "activate", DOMAIN, "--plan")
    assert plan["warnings"][0].startswith("s1: not published")
    assert "p=" not in plan["changes"][0]["text"]
    text = checked.run("dkim", "activate", DOMAIN, json_output=False).stdout
    assert "Careful: s1: not published; mail is signed with it" in text
    checked.weir("dkim", "add", DOMAIN, "--selector", "s2", "--waiting", "--algorithm", "ed25519")
    publish_in(names, checked)
    assert checked.weir("dkim", "activate", DOMAIN).get("warnings") is None


def test_check_finds_what_is_wrong(checked, names):
    checked.weir("dkim", "add", DOMAIN, "--selector", "s1", "--algorithm", "ed25519")
    publish_in(names, checked)
    checked.weir("dkim", "rotate", DOMAIN, "--selector", "s2")
    names.table[f"s2._domainkey.{DOMAIN}", "TXT"] = names.table[f"s1._domainkey.{DOMAIN}", "TXT"]
    names.table[DOMAIN, "TXT"] = ["v=spf1 include:other.example -all"]
    names.table["other.example", "TXT"] = ["v=spf1 ip4:198.51.100.0/24 ?all"]
    names.table[f"_dmarc.{DOMAIN}", "TXT"] = ["v=DMARC1; p=reject"]
    names.table["25.2.0.192.in-addr.arpa", "PTR"] = ["elsewhere.example"]
    rows = checked.check()
    assert rows["spf", OURS]["status"] == "wrong" and "fail" in rows["spf", OURS]["text"]
    assert f"ip4:{OURS} include:other.example -all" in rows["spf", OURS]["publish"]
    assert rows["dkim", "s1"]["status"] == "ok"
    assert rows["dkim", "s2"]["status"] == "wrong" and "another public key" in rows["dkim", "s2"]["text"]
    assert rows["dmarc", None]["status"] == "ok" and "p=reject" in rows["dmarc", None]["found"]
    assert rows["ptr", OURS]["status"] == "wrong" and HOST in rows["ptr", OURS]["publish"]
    names.table[DOMAIN, "TXT"] = ["v=spf1 -all", f"v=spf1 ip4:{OURS} -all"]
    assert checked.check()["spf", None]["status"] == "wrong"
    names.table[DOMAIN, "TXT"] = [f"v=spf1 exists:%{{i}}.x.example ip4:{OURS} -all"]
    assert checked.check()["spf", OURS]["status"] == "unknown"
    with pytest.raises(WeirError) as e:
        checked.weir("check", DOMAIN, "--from", "nonsense")
    assert e.value.status == 2 and e.value.error["param"] == "sources"
