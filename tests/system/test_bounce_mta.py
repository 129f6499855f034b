"""Postfix, Exim and OpenSMTPD behind the relay, provoked into every failure that they report: each report is matched to its
recipient, read and classified. `python3 test_bounce_mta.py` prints the table that the tests check."""

import re

import pytest

import harness
import mta
from conftest import need_relay
from harness import letter, wait_until
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
NEVER_LATE = {"opensmtpd"}  # it tries again after minutes at the earliest


class QuickExim(mta.Exim):
    def start(self):
        conf = self.root / "etc/exim4/exim4.conf"
        conf.write_text(conf.read_text().replace("* * F,1h,1s", "* * F,1s,1s"))
        self.run("/usr/sbin/exim4", "-bdf", "-q1s")


KINDS = {**mta.ALL, "exim": QuickExim}


def collect(relay, end, kind, directory):
    """Sends a letter for each case; the bounces that came, by the address that they went to."""
    m = kind(directory, next_port=end.port, **QUICK[kind.name])
    try:
        relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{m.port}", "--reason", "test")
        cases = [c for c in CASES if c != "late" or kind.name not in NEVER_LATE]
        for local in cases:
            relay.send(f"{local}@peer.example", tag=local)
        def bounces():
            return {re.match(r"RCPT TO:<([^>]*)>", x["rcpts"][0]).group(1): x["content"] for x in end.messages
                    if sender_of(x) == "" and DOMAIN in x["rcpts"][0]}
        wait_until(lambda: len(bounces()) == len(cases), 30, f"{len(cases)} bounces")
        return cases, bounces()
    finally:
        m.stop()
        for n, x in enumerate(end.messages):
            (directory / f"bounce-{kind.name}-{n}.eml").write_bytes(x["content"])


def read(relay, bounces):
    for to, content in bounces.items():
        deliver(relay, to, content.decode("latin-1").replace("\r\n", "\n"))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_failure(directory, world, name):
    need_relay()
    kind = KINDS[name]
    kind.need()
    end = End()
    relay = harness.Relay(directory, world, BOUNCES + 'suppression { at-once = {"bad-mailbox"} }\n')
    relay.start().allow()
    try:
        cases, bounces = collect(relay, end, kind, directory)
        read(relay, bounces)
        rows = {e["to"]: e for e in relay.weir("events", "--where", "state:bounced", "--limit", "100")}
        wrong = []
        for local in cases:
            row = rows.get(f"{local}@peer.example")
            _, text, cls, hard = CASES[local]
            if row is None:
                wrong.append((local, "no event"))
            elif cls is not None and row["class"] != cls:
                wrong.append((local, row["class"], cls, row["code"], row["enhanced"], row["reply"]))
            elif text[:3] != str(row["code"]) and local != "late":
                wrong.append((local, "code", row["code"], row["reply"]))
        suppressed = {r["address"] for r in relay.weir("suppress", "list")}
        print(f"\n{name}: {len(cases) - len(wrong)} of {len(cases)} right")
        for w in wrong:
            print("  ", w)
        assert wrong == []
        assert suppressed == {f"{c}@peer.example" for c in cases if CASES[c][3]  and CASES[c][2] == "bad-mailbox"}
        assert relay.weir("bounces", "list") == []
    finally:
        end.close()
        assert relay.stop() == 0
    assert relay.bad_log_lines() == []
