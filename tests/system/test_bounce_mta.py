"""Postfix, Exim and OpenSMTPD behind the relay, provoked into every failure that they report: each report is matched to its
recipient, read and classified. `python3 test_bounce_mta.py` prints the table that the tests check."""

import email
import json
import re
import shutil
import subprocess

import pytest

import harness
import mta
from conftest import need_relay
from harness import wait_until
from peer import Peer, Talk
from test_bounces import BOUNCES, DOMAIN, deliver, sender_of

# local part: where the last host says what, and which class it is; hard when it is for good
CASES = {
    "unknown": ("RCPT", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table", "bad-mailbox", True),
    "plain": ("RCPT", "550 No such user here", "bad-mailbox", True),
    "lines": ("RCPT", "550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n"
                      "550-5.1.1 double-checking the recipient's email address for typos or\r\n"
                      "550 5.1.1 unnecessary spaces.", "bad-mailbox", True),
    "full": ("RCPT", "552 5.2.2 <{to}>: Mailbox full, quota exceeded", "mailbox-full", False),
    "fullend": ("END", "552 5.2.2 Over quota", "mailbox-full", False),
    "disabled": ("RCPT", "550 5.2.1 The email account that you tried to reach is disabled", "inactive", True),
    "relay": ("RCPT", "554 5.7.1 <{to}>: Relay access denied", "relay-denied", None),
    "spam": ("END", "554 5.7.1 Message rejected as spam by our content filter", "spam-content", None),
    "listed": ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org", "block-listed", None),
    "large": ("END", "552 5.3.4 Message size exceeds fixed limit", "too-large", None),
    "dmarc": ("END", "550 5.7.26 Unauthenticated email from shop.example is not accepted due to domain's DMARC policy", "auth-failed", None),
    "policy": ("RCPT", "550 5.7.1 Message refused by local policy of the recipient", "policy", None),
    "late": ("RCPT", "451 4.3.0 Try again later", None, None),  # until its time is over
}


class EndTalk(Talk):
    """The last host: refuses as the local part of the recipient says."""

    def line(self):
        return re.sub(r"^(mail from|rcpt to):", lambda m: m.group(0).upper(), super().line(), flags=re.I)

    def hello(self):
        for offer in self.peer.extensions:
            self.say(f"250-{offer}")
        self.say("250 SIZE 100000")

    def data(self, mail, rcpts):
        local = re.match(r"RCPT TO:<([^@>]*)", rcpts[0]).group(1) if rcpts else ""
        where, text, *_ = CASES.get(local, ("", ""))
        if where == "END":
            self.say("354 Go ahead")
            while self.file.readline(65536) not in (b".\r\n", b""):
                pass
            self.say(text)
            return
        super().data(mail, rcpts)


class End(Peer):
    def __init__(self):
        refuse = {f"RCPT TO:<{local}@": text.format(to=f"{local}@peer.example")
                  for local, (where, text, *_) in CASES.items() if where == "RCPT"}
        super().__init__(refuse=refuse, extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"))

    def _talk(self, client):
        EndTalk(self, client).run()


QUICK = {  # how soon each gives up what is put off
    "postfix": {"extra": "maximal_queue_lifetime = 2s\nbounce_queue_lifetime = 1h\nminimal_backoff_time = 1s\n"
                         "maximal_backoff_time = 1s\nqueue_run_delay = 1s\ndelay_warning_time = 0h"},
    "exim": {}, "opensmtpd": {},
}
# What they find out by themselves, without a host behind them, and its class. Exim says "Unrouteable address" of users
# and of domains alike.
POSTFIX_OWN = """\
mydestination = here.example
local_recipient_maps =
mail_spool_directory = {dir}/spool
message_size_limit = 300000
mailbox_size_limit = 300000
transport_maps = inline:{{ {{ nodns.example = smtp:[no-such-host.invalid] }}, {{ refused.example = smtp:[127.0.0.1]:1 }} }}
"""
OWN = {
    "postfix": {"gone@here.example": "bad-mailbox", "daemon@here.example": "mailbox-full", "big@peer.example": "too-large",
                "x@nodns.example": "bad-domain", "x@refused.example": "network"},
    "exim": {"x@gone.example": "bad-mailbox", "x@none.example": "bad-mailbox", "x@here.example": "mailbox-full"},
}
SLOWLY = ("lines", "fullend")  # OpenSMTPD takes its time with each, and tries again after minutes at the earliest


class QuickExim(mta.Exim):
    def start(self):
        conf = self.root / "etc/exim4/exim4.conf"
        conf.write_text(conf.read_text().replace("* * F,1h,1s", "* * F,1s,1s"))
        self.run("/usr/sbin/exim4", "-bdf", "-q1s")


class OwnExim(QuickExim):
    def start(self):
        conf = self.root / "etc/exim4/exim4.conf"
        text = conf.read_text()
        text = text.replace("begin routers\n", "begin routers\ngone:\n\tdriver = redirect\n\tdomains = gone.example\n"
                            "\tallow_fail\n\tdata = :fail: No such user here\n")
        text = text.replace("\tdomains = *\n", "\tdomains = ! none.example\n")
        text = text.replace("\tfile = /home/keeper/mbox\n", "\tfile = /home/keeper/mbox\n\tquota = 10\n")
        conf.write_text(text)
        super().start()


class OwnPostfix(mta.Postfix):
    def start(self):
        spool = self.directory / "spool"
        spool.mkdir()
        spool.chmod(0o777)
        (spool / "daemon").write_bytes(b"x" * 299900 + b"\n")
        shutil.chown(spool / "daemon", "daemon")
        super().start()


OWN_KINDS = {"postfix": OwnPostfix, "exim": OwnExim}
KINDS = {**mta.ALL, "exim": QuickExim}


def collect(relay, end, kind, directory, cases, **settings):
    """Sends a letter to each; the bounces that came, by the address that they went to."""
    m = kind(directory, next_port=end.port, **settings)

    def bounces():
        return {re.match(r"RCPT TO:<([^>]*)>", x["rcpts"][0]).group(1): x["content"] for x in end.messages
                if sender_of(x) == "" and DOMAIN in x["rcpts"][0]}
    try:
        relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{m.port}", "--reason", "test")
        for to in cases:
            relay.send(to, body="x" * 70 + "\r\n" if not to.startswith("big@") else ("y" * 70 + "\r\n") * 2000)
        wait_until(lambda: len(bounces()) == len(cases), 30, f"{len(cases)} bounces")
        return bounces()
    finally:
        m.stop()


def words(content):
    """What an older release would have written: the same without its parts."""
    m = email.message_from_bytes(content)
    text = next((part.get_payload(decode=True).decode("latin-1") for part in m.walk() if part.get_content_type() == "text/plain"))
    head = [f"{k}: {v}\n" for k, v in m.items() if k.lower() in ("from", "to", "subject", "x-failed-recipients", "auto-submitted")]
    return "".join(head).replace("\r", "") + "\n" + text.replace("\r\n", "\n")


def read(relay, bounces):
    """Brings them, those about words.example as words; what came of it by recipient."""
    for to, content in bounces.items():
        deliver(relay, to, words(content) if b"@words.example" in content else content.decode("latin-1").replace("\r\n", "\n"))
    return {e["to"]: e for e in relay.weir("events", "--where", "state:bounced", "--limit", "100")}


def kinds(rows):
    """Whether each is for good, by what was read out of its report."""
    lines = [" ".join(filter(None, (str(r["code"]), r["enhanced"], r["reply"]))) for r in rows.values()]
    said = subprocess.run([harness.WEIR, "classify"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=30)
    return dict(zip(rows, [json.loads(line)["kind"] == "hard" for line in said.stdout.splitlines()], strict=True))


def tell(name, cases, wrong):
    print(f"\n{name}: {len(cases) - len(wrong)} of {len(cases)} right")
    for w in wrong:
        print("  ", w)


@pytest.fixture
def place(directory, world):
    need_relay()
    end = End()
    relay = harness.Relay(directory, world, BOUNCES + 'suppression { at-once = {"bad-mailbox"} }\n')
    relay.start().allow()
    yield relay, end
    end.close()
    assert relay.stop() == 0
    assert relay.bad_log_lines() == []


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_hosts_say(directory, place, name):
    relay, end = place
    KINDS[name].need()
    cases = {f"{c}@{domain}": CASES[c] for domain in ("peer.example", "words.example") for c in CASES
             if name != "opensmtpd" or (c in SLOWLY if domain == "words.example" else c != "late")}
    rows = read(relay, collect(relay, end, KINDS[name], directory, cases, **QUICK[name]))
    good = kinds(rows)
    wrong = [(to, text, to in rows and (rows[to]["class"], rows[to]["code"], rows[to]["reply"], good[to]))
             for to, (_, text, cls, hard) in cases.items()
             if to not in rows or cls not in (None, rows[to]["class"]) or (cls and text[:3] != str(rows[to]["code"]))
             or hard not in (None, good[to])]
    tell(name, cases, wrong)
    assert wrong == []
    assert {r["address"] for r in relay.weir("suppress", "list")} == {to for to, c in cases.items() if c[3]  and c[2] == "bad-mailbox"}
    assert relay.weir("bounces", "list") == []


@pytest.mark.parametrize("name", sorted(OWN_KINDS))
def test_what_they_find_out(directory, place, name):
    relay, end = place
    OWN_KINDS[name].need()
    settings = {"extra": QUICK["postfix"]["extra"] + "\n" + POSTFIX_OWN.format(dir=directory / "postfix")} if name == "postfix" else {}
    rows = read(relay, collect(relay, end, OWN_KINDS[name], directory, OWN[name], **settings))
    wrong = [(to, cls, to in rows and (rows[to]["class"], rows[to]["code"], rows[to]["enhanced"], rows[to]["reply"]))
             for to, cls in OWN[name].items() if to not in rows or rows[to]["class"] != cls]
    tell(name, OWN[name], wrong)
    assert wrong == []
