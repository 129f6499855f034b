"""Real programs at both ends: Postfix as next hop and as client, smtp-source, swaks. Each is left out where it is not
installed (make deps-full installs them)."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import harness
from harness import SENDER, wait_until

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log/maillog
maillog_file_prefixes = {dir}
myhostname = postfix.test.example
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ nobody@postfix.example = 550 5.1.1 no such user }} }}, permit_mynetworks, reject
multi_instance_enable = yes
{extra}
"""


class Postfix:
    """An instance of its own, in a directory of its own, on a free port."""

    def __init__(self, directory, extra):
        self.directory = directory / "postfix"
        self.port = harness.free_port()
        directory.chmod(0o755)
        for name in (".", "etc", "queue", "data", "log"):
            (self.directory / name).mkdir(exist_ok=True)
        shutil.chown(self.directory / "data", "postfix")
        etc = self.directory / "etc"
        (etc / "main.cf").write_text(MAIN_CF.format(dir=self.directory, extra=extra))
        services = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
        services = re.sub(r"(?m)^smtp      inet.*$", f"127.0.0.1:{self.port} inet n - n - - smtpd", services)
        (etc / "master.cf").write_text(services.replace("#postlog", "postlog"))
        subprocess.run(["postfix", "-c", etc, "start"], check=True, capture_output=True)
        self.pid = int((self.directory / "queue/pid/master.pid").read_text())
        wait_until(self._answers, 20, "postfix to listen")

    def _answers(self):
        try:
            harness.Raw("127.0.0.1", self.port).close()
            return True
        except OSError:
            return False

    def log(self):
        path = self.directory / "log/maillog"
        return path.read_text() if path.exists() else ""

    def stop(self):
        subprocess.run(["postfix", "-c", self.directory / "etc", "stop"], check=True, capture_output=True)
        wait_until(lambda: not pathlib.Path(f"/proc/{self.pid}").exists(), 10, "postfix to end")


@pytest.fixture
def postfix(directory):
    if os.geteuid() != 0 or not shutil.which("postfix"):
        pytest.skip("needs root and postfix")
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
    subprocess.run(["postfix", "-c", peer.directory / "etc", "stop"], check=True, capture_output=True)
    relay.send("anna@postfix.example")
    row = relay.wait_state("anna@postfix.example", "deferred")
    assert "refused" in row["last_reply"]
    subprocess.run(["postfix", "-c", peer.directory / "etc", "start"], check=True, capture_output=True)
    peer.pid = int((peer.directory / "queue/pid/master.pid").read_text())
    wait_until(peer._answers, 20, "postfix to listen")
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
