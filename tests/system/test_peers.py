"""Real programs at both ends: Postfix as next hop and as client, smtp-source, swaks, curl, Python's
smtplib. Each is left out where it is not
installed (make deps-full installs them)."""

import email.message
import email.policy
import os
import shutil
import smtplib
import subprocess

import pytest

import harness
from harness import SENDER, wait_until
from mta import Postfix
from sink import Sink

@pytest.fixture
def postfix(directory):
    Postfix.need()
    running = []

    def start(extra):
        running.append(Postfix(directory, extra))
        return running[-1]
    yield start
    for p in running:
        p.stop()


def test_postfix_as_next_hop(relay, world, postfix):
    peer = postfix("relay_transport = discard:\nrelay_domains = postfix.example")
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{peer.port}", "--match", "domain:postfix.example")
    for i in range(5):
        relay.send(f"anna{i}@postfix.example", f"bela{i}@postfix.example", tag=f"p{i}", body="Grüße\r\n.dot\r\n")
    relay.send("nobody@postfix.example", "chen@postfix.example", subject="half of it")
    event = relay.wait_event("anna4@postfix.example", "delivered")
    assert event["code"] == 250 and "queued as" in event["reply"] and event["ip"] == "127.0.0.1"
    failed = relay.wait_event("nobody@postfix.example", "failed")
    assert failed["enhanced"] == "5.1.1" and "no such user" in failed["reply"]
    relay.wait_event("chen@postfix.example", "delivered")
    wait_until(lambda: world.messages("shop.example"), what="the failure report")
    wait_until(lambda: relay.queued()["recipients"] == 0)
    wait_until(lambda: peer.log().count("status=sent") == 11, what="postfix to be through")


def test_postfix_down_and_up_again(relay, postfix):
    peer = postfix("relay_transport = discard:\nrelay_domains = postfix.example")
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{peer.port}", "--match", "domain:postfix.example")
    peer.halt()
    relay.send("anna@postfix.example")
    row = relay.wait_state("anna@postfix.example", "deferred")
    assert "refused" in row["last_reply"]
    peer.start()
    relay.weir("retry", "domain:postfix.example")
    relay.wait_event("anna@postfix.example", "delivered")


def test_postfix_as_client(relay, world, postfix):
    peer = postfix(f"relayhost = [127.0.0.1]:{relay.port}")
    with harness.smtplib.SMTP("127.0.0.1", peer.port) as s:
        for i in range(20):
            s.sendmail(SENDER, [f"u{i}@fast.example", f"u{i}@gmail.com"], harness.letter(SENDER, "u@fast.example", tag=f"q{i}"))
    wait_until(lambda: len(world.messages("fast.example")) == 20 and len(world.messages("gmail.com")) == 20)
    assert world.do("count-by-header")["duplicates"] == 0


def test_smtp_source(relay, world):
    program = "/usr/sbin/smtp-source"
    if not os.path.exists(program):
        pytest.skip("needs smtp-source (postfix)")
    for options in (["-s", "10"], ["-d", "-s", "10"], ["-r", "5", "-s", "3"]):
        before = world.stats("fast.example")["recipients"]
        subprocess.run([program, *options, "-m", "300", "-l", "4096", "-f", SENDER, "-t", "anna@fast.example",
                        f"127.0.0.1:{relay.port}"], check=True, timeout=60)
        n = 1500 if "-r" in options else 300
        wait_until(lambda: world.stats("fast.example")["recipients"] - before == n, 30, f"{n} recipients")


def test_swaks(relay, world):
    if not shutil.which("swaks"):
        pytest.skip("needs swaks")
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{relay.port}", "--from", SENDER, "--to",
                           "anna@fast.example,bela@gmail.com", "--pipeline", "--header", "X-Weir-Test: swaks"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    wait_until(lambda: world.messages("fast.example") and world.messages("gmail.com"))


def curl(relay, *args, letter=b"Subject: by curl\r\n\r\n.dot\r\n"):
    path = relay.directory / "letter"
    path.write_bytes(letter)
    to = [word for rcpt in args for word in ("--mail-rcpt", rcpt)]
    return subprocess.run(["curl", "-sS", "-v", "--mail-from", SENDER, *to, "-T", path,
                           f"smtp://127.0.0.1:{relay.port}/client.test.example"], capture_output=True, timeout=30)


def test_curl(relay, world):
    done = curl(relay, "anna@fast.example", "bela@gmail.com")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: world.messages("fast.example") and world.messages("gmail.com"))
    assert world.last("fast.example").endswith("\r\n\r\n.dot\r\n")
    refused = curl(relay, "anna@fast.example", "not@an@address")
    assert refused.returncode == 55 and b"< 501" in refused.stderr or b"< 553" in refused.stderr, refused.stderr
    bare = curl(relay, "anna@fast.example", letter=b"Subject: bare\r\n\r\nline\nline\r\n")
    assert bare.returncode != 0 and b"< 550" in bare.stderr or b"< 554" in bare.stderr, bare.stderr
    assert len(world.messages("fast.example")) == 1


def test_smtplib(relay):
    """A message object with international addresses, as a program would send it."""
    sink = Sink()
    relay.weir("route", "add", "--to", f"smarthost:127.0.0.1:{sink.port}")
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message["From"], message["To"], message["Subject"] = SENDER, "grüße@fast.example", "Über"
    message.set_content("Grüße\n" * 3)
    with relay.smtp() as s:
        assert s.send_message(message) == {}
        assert s.verify("anna@fast.example")[0] == 252 and s.noop()[0] == 250 and s.rset()[0] == 250
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            s.sendmail(SENDER, ["a@b@c"], "x")
        assert s.sendmail(SENDER, ["anna@fast.example"], "Subject: second\r\n\r\nx\r\n") == {}
    wait_until(lambda: len(sink.messages) == 2)
    assert "Subject: Über\r\n".encode() in sink.find("Grüße".encode())
    sink.stop()
