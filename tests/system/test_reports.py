"""Delivery reports, from what made them to what programs read in them: failed, delayed, relayed, handed on; taken apart
field by field by Python's email package, and by two programs that clean mailing lists (RFC 3461, 3464, 6522, 6533)."""

import datetime
import email
import email.policy
import email.utils
import json
import re
import subprocess

import pytest

import harness
from harness import SENDER, letter, wait_until
from peer import Peer

READERS = harness.ROOT / "tests/lib/bounce_readers.py"
ODD = "550-5.1.1 Nobody\r\n550-5.1.1 of that \u00fc name; see <http://x.example/?a=b>\r\n550 5.1.1 " + "long " * 40
REFUSE = {"RCPT TO:<no": ODD, 'RCPT TO:<"no': "550 5.1.1 No such name", "RCPT TO:<full": "552 5.2.2 Mailbox full", "RCPT TO:<late": "451 4.7.1 Greylisted, come back",
          "RCPT TO:<plain": "550 no code here", "RCPT TO:<spam": "554 5.7.1 Looks like spam"}


def now():
    return datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture
def back():
    """Where reports go."""
    p = Peer()
    yield p
    p.close()


@pytest.fixture
def there():
    p = Peer(refuse=REFUSE, extensions=["PIPELINING", "8BITMIME"])
    yield p
    p.close()


@pytest.fixture
def relay(directory, world, back, there):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    r = harness.Relay(directory, world, 'queue {\n retry-first = "1s"\n delay-warning = "1s"\n}\n')
    r.start()
    r.allow()
    r.weir("route", "add", "--to", back.at, "--match", "domain:shop.example")
    r.weir("route", "add", "--to", there.at, "--match", "domain:fast.example")
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []


def submit(relay, mail, rcpts, content, sender=SENDER):
    with relay.smtp() as s:
        s.ehlo()
        s.command_encoding = "utf-8"
        assert s.mail(sender, mail)[0] == 250
        for address, options in rcpts:
            assert s.rcpt(address, options)[0] == 250
        assert s.data(content)[0] == 250


class Report:
    """One that arrived, taken apart. status: its groups of fields, the message's first, each [(name, value)]."""

    def __init__(self, relay, raw):
        (relay.directory / "report").write_bytes(raw)
        assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
        self.raw = raw
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        assert self.message.get_content_type() == "multipart/report"
        assert all(part.defects == [] for part in self.message.walk()), [part.defects for part in self.message.walk()]
        self.text, status, self.original = self.message.iter_parts()
        self.kind = status.get_content_type()
        if self.kind == "message/delivery-status":
            self.status = [[(name, str(value)) for name, value in group.items()] for group in status.iter_parts()]
        else:  # which the package takes for one message
            blocks = status.get_payload(0).as_bytes().decode().strip("\n").split("\n\n")
            self.status = [[tuple(line.split(": ", 1)) for line in block.split("\n")] for block in blocks]
        reader = subprocess.run(["/usr/bin/python3", READERS, relay.directory / "report"], capture_output=True, text=True,
                                timeout=60)
        assert reader.returncode == 0, reader.stderr
        self.read = json.loads(reader.stdout)


def reports(relay, back, n):
    """The n reports that come, by the Action of their first recipient."""
    wait_until(lambda: len(back.messages) >= n, what=f"{n} reports")
    found = {}
    for m in back.messages:
        assert re.match(r"MAIL FROM:<>( |$)", m["mail"]) and len(m["rcpts"]) == 1
        assert m["rcpts"][0].startswith(f"RCPT TO:<{SENDER}>") and "NOTIFY=NEVER" in m["rcpts"][0]
        report = Report(relay, m["content"])
        found[dict(report.status[1])["Action"]] = report
    assert len(found) == n
    return found


def check_head(report, subject, original_id):
    m = report.message
    assert list(m.keys()) == ["Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References",
                              "Auto-Submitted", "MIME-Version", "Content-Type"]
    assert abs(now() - m["Date"].datetime) < datetime.timedelta(seconds=60)
    assert m["From"].addresses[0].addr_spec == "postmaster@relay.test.example"
    assert [a.addr_spec for a in m["To"].addresses] == [SENDER] and m["Subject"] == subject
    assert re.fullmatch(r"<\w+@relay\.test\.example>", m["Message-ID"])
    assert m["In-Reply-To"] == m["References"] == original_id and m["Auto-Submitted"] == "auto-replied"
    assert m.get_param("report-type") == "delivery-status" and m["MIME-Version"] == "1.0"
    assert report.text.get_content_type() == "text/plain" and report.kind == "message/delivery-status"
    assert report.read["id"] == original_id


def check_dates(group, names):
    for name in names:
        at = email.utils.parsedate_to_datetime(dict(group)[name])
        assert abs(now() - at) < datetime.timedelta(seconds=60), (name, at)


def test_failure_delay_and_relay(relay, back):
    content = letter(SENDER, "no1@fast.example", subject="An order", tag="dsn", body="The secret body\r\n")
    id = re.search(rb"<dsn\..*?>", content).group(0).decode()
    submit(relay, ["RET=FULL", "ENVID=QQ+2B314159"],
           [("no1@fast.example", ["NOTIFY=FAILURE", "ORCPT=rfc822;Anna+2BOld@Fast.Example"]),
            ("full@fast.example", []), ("late@fast.example", ["NOTIFY=DELAY,FAILURE"]), ("plain@fast.example", []),
            ("quiet-no@fast.example", ["NOTIFY=NEVER"]), ("good@fast.example", ["NOTIFY=SUCCESS"]),
            ("fine@fast.example", []), ("spam@fast.example", ["NOTIFY=FAILURE,SUCCESS"])], content)
    found = reports(relay, back, 3)

    failed = found["failed"]
    check_head(failed, "Not delivered: An order", id)
    first, *groups = failed.status
    assert [n for n, _ in first] == ["Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"]
    assert first[0][1] == "QQ+314159" and first[1][1] == "dns; relay.test.example"
    check_dates(first, ["Arrival-Date"])
    odd = ("smtp; 550 5.1.1 Nobody of that \\x{FC} name; see <http://x.example/?a=b> " + "long " * 40).strip()
    want = [
        {"Original-Recipient": "rfc822; Anna+Old@Fast.Example", "Final-Recipient": "rfc822; no1@fast.example",
         "Status": "5.1.1", "Diagnostic-Code": odd},
        {"Final-Recipient": "rfc822; full@fast.example", "Status": "5.2.2",
         "Diagnostic-Code": "smtp; 552 5.2.2 Mailbox full"},
        {"Final-Recipient": "rfc822; plain@fast.example", "Status": "5.0.0",
         "Diagnostic-Code": "smtp; 550 no code here"},
        {"Final-Recipient": "rfc822; spam@fast.example", "Status": "5.7.1",
         "Diagnostic-Code": "smtp; 554 5.7.1 Looks like spam"},
    ]
    assert len(groups) == len(want)
    for group, expected in zip(groups, want):
        order = ["Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code",
                 "Last-Attempt-Date"]
        assert [n for n, _ in group] == [n for n in order if n != "Original-Recipient" or n in expected]
        fields = {n: " ".join(v.split()) for n, v in group}
        check_dates(group, ["Last-Attempt-Date"])
        assert {n: fields[n] for n in expected} == expected
        assert fields["Action"] == "failed" and fields["Remote-MTA"] == "dns; [127.0.0.1]"
    assert failed.original.get_content_type() == "message/rfc822"
    assert failed.original.get_payload(0)["Subject"] == "An order" and b"The secret body" in failed.raw
    assert failed.read["bounce"] == 1 and failed.read["temporary"] == []
    addresses = ["Anna+Old@Fast.Example", "full@fast.example", "plain@fast.example", "spam@fast.example"]
    assert failed.read["permanent"] == addresses
    assert [r[0] for r in failed.read["reports"]] == addresses
    assert [r[1:] for r in failed.read["reports"]][:2] == [["user_unknown", "550"], ["over_quota", "552"]]
    assert [r[2] for r in failed.read["reports"]] == ["550", "552", "550", "554"]
    for address in ("no1@fast.example", "full@fast.example"):
        assert f"\n  {address}\n" in failed.text.get_content().replace("\r", "")

    delayed = found["delayed"]
    check_head(delayed, "Not delivered yet: An order", id)
    first, group = delayed.status
    fields = dict(group)
    assert list(fields) == ["Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date",
                            "Will-Retry-Until"]
    assert fields["Status"] == "4.7.1" and fields["Diagnostic-Code"] == "smtp; 451 4.7.1 Greylisted, come back"
    until = email.utils.parsedate_to_datetime(fields["Will-Retry-Until"]) - now()
    assert datetime.timedelta(days=4.9) < until <= datetime.timedelta(days=5), "the lifetime"
    assert delayed.read["temporary"] == ["late@fast.example"] and delayed.read["permanent"] == []
    assert delayed.read["bounce"] == 0, "nobody is taken off a list for it"

    relayed = found["relayed"]
    check_head(relayed, "Handed on: An order", id)
    first, group = relayed.status
    fields = dict(group)
    assert fields["Final-Recipient"] == "rfc822; good@fast.example" and fields["Status"] == "2.0.0"
    assert list(fields) == ["Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"]
    assert relayed.read["bounce"] == 0 and relayed.read["permanent"] == relayed.read["temporary"] == []
    for report in (delayed, relayed):  # only a failure returns the body (RFC 3461, 6.2)
        assert report.original.get_content_type() == "text/rfc822-headers"
        assert b"The secret body" not in report.raw and "Subject: An order" in report.original.get_content()

    # a report each and no more: the delay is told once
    relay.weir("retry", "all", "--reason", "again", "--yes")
    wait_until(lambda: len(relay.events("late@fast.example", "deferred")) >= 3, what="more attempts")
    assert len(back.messages) == 3


@pytest.mark.parametrize("sender", [SENDER, "bücher@shop.example"])
def test_international(relay, back, there, sender):
    """RFC 6533: whose own address is UTF-8 gets the report in it, others in ASCII alone."""
    there.extensions = ["PIPELINING", "8BITMIME", "SMTPUTF8"]
    there.refuse["RCPT TO:<gr"] = "550 5.1.1 Niemand namens Grüße"
    submit(relay, ["SMTPUTF8", "BODY=8BITMIME"],
           [("grüße@fast.example", ["NOTIFY=FAILURE", "ORCPT=utf-8;gr\\x{FC}\\x{DF}e+2B\\x{1F4EC}@fast.example"])],
           letter(sender, "grüße@fast.example", subject="Über"), sender)
    wait_until(lambda: back.messages, what="the report")
    ascii = sender.isascii()
    report = Report(relay, back.messages[0]["content"])
    assert report.kind == ("message/delivery-status" if ascii else "message/global-delivery-status")
    assert report.message.get_param("report-type") == report.kind.removeprefix("message/")
    assert (" SMTPUTF8" in back.messages[0]["mail"]) != ascii
    fields = dict(report.status[1])
    name = "gr\\x{FC}\\x{DF}e" if ascii else "grüße"
    assert fields["Final-Recipient"] == f"utf-8; {name}@fast.example" and fields["Action"] == "failed"
    assert fields["Original-Recipient"] == "utf-8; gr\\x{FC}\\x{DF}e+\\x{1F4EC}@fast.example", "as it was given"
    assert fields["Status"] == "5.1.1"
    assert fields["Diagnostic-Code"] == f"smtp; 550 5.1.1 Niemand namens G{name[1:]}"
    assert "grüße@fast.example" in report.text.get_content()
    assert report.original.get_content_type() == "message/global-headers"


def test_host_without_smtputf8(relay, back):
    """Nothing was refused there: the report says why it could not even be asked."""
    submit(relay, ["SMTPUTF8"], [("grüße@fast.example", [])], letter(SENDER, "x@fast.example"))
    wait_until(lambda: back.messages, what="the report")
    fields = dict(Report(relay, back.messages[0]["content"]).status[1])
    assert fields["Status"] == "5.6.7" and fields["Action"] == "failed"


def test_what_a_client_says_cannot_write_fields(relay, back):
    """An address in quotes, ORCPT and ENVID with line ends in them."""
    address = '"no a, b; c\\\\d"@fast.example'
    evil = "a+3Bb+0D+0AAction:+20delivered+0D+0A+0D+0AX:+20y"
    with relay.smtp() as s:
        s.ehlo()
        assert s.mail(SENDER, [f"ENVID={evil}"])[0] == 250
        assert s.rcpt("anna@fast.example", ["ORCPT=nothing"])[0] == 501
        assert s.rcpt("no1@fast.example", [f"ORCPT=rfc822;{evil}"])[0] == 250
        assert s.docmd(f"RCPT TO:<{address}> ORCPT=rfc822;a+3B+20b@x.example")[0] == 250
        assert s.data(letter(SENDER, "x@fast.example"))[0] == 250
    wait_until(lambda: back.messages, what="the report")
    report = Report(relay, back.messages[0]["content"])
    # what cannot stand in a field stays as the client wrote it
    first, *groups = report.status
    assert [n for n, _ in first] == ["Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"] and first[0][1] == evil
    assert [[v for n, v in group if n == "Action"] for group in groups] == [["failed"], ["failed"]]
    assert dict(groups[0])["Original-Recipient"] == f"rfc822; {evil}"
    assert dict(groups[1])["Final-Recipient"] == f"rfc822; {address}"
    assert dict(groups[1])["Original-Recipient"] == "rfc822; a; b@x.example"
