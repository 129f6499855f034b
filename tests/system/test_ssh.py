"""weir over SSH: a real sshd on loopback, host keys, logins, the way to the socket, and links that die.

The relay behind it is a script where only the way to it matters, and a real one where roles do.
"""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

import fake_relay
import harness
import remote
from harness import wait_until
from remote import PASSWORD

pytestmark = pytest.mark.skipif(remote.possible() is not None, reason=str(remote.possible()))

STATUS = {"relay": "fake.example", "version": "0", "uptime_s": 5, "holds": 0, "alerts": 0, "oldest_age_s": None,
          "queued": {"messages": 12, "recipients": 12, "ready": 12, "active": 0, "deferred": 0, "held": 0,
                     "trash": 0},
          "rates": {"accepted_per_s": 0, "delivered_per_s": 0, "deferred_per_s": 0, "failed_per_s": 0}}


@pytest.fixture(scope="module")
def account():
    with tempfile.TemporaryDirectory(prefix="weir-ssh.") as home:
        os.chmod(home, 0o755)
        a = remote.Account(f"weir{os.getpid()}", pathlib.Path(home) / "home")
        yield a
        a.remove()


@pytest.fixture
def place(directory):
    directory.chmod(0o755)
    return directory


@pytest.fixture
def fake(place):
    f = fake_relay.FakeRelay(place)
    os.chmod(f.path, 0o666)
    f.answers |= {"status.get": STATUS, "hold.list": {"rows": [], "next": None}}
    yield f
    f.drop()
    f.listener.close()


@pytest.fixture
def key(place):
    return remote.make_key(place / "key")


@pytest.fixture
def sshds(place):
    """Makes one, and ends it with the test."""
    all_of_them = []

    def make(*lines, **kwargs):
        s = remote.Sshd(place, *lines, name=f"sshd{len(all_of_them)}", **kwargs)
        all_of_them.append(s)
        return s
    yield make
    for s in all_of_them:
        s.stop()


@pytest.fixture
def client(place):
    return remote.Client(place)


@pytest.fixture
def good(sshds, client, key, account):
    """A host that is known and lets the key in."""
    sshd = sshds(authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    client.knows(sshd)
    return sshd


def url(fake, host="mx1"):
    return f"ssh://{host}{fake.path}"


def peer_uid(fake):
    c = fake.connections[-1]
    return struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]


def ok(result):
    assert result.returncode == 0, result
    return json.loads(result.stdout)


def refused(result, status, *words):
    assert result.returncode == status, result
    for w in words:
        assert w in result.stderr, result
    assert result.stdout == ""


# --- the way to the socket ------------------------------------------------------------------------


def test_forwarded_socket(good, client, fake, account):
    assert ok(client.run(url(fake), "--json", "status"))["relay"] == "fake.example"
    assert peer_uid(fake) == account.uid
    assert "Starting session" not in good.text()


def test_works_without_a_shell(good, client, fake, account):
    account.shell("/usr/sbin/nologin")
    try:
        ok(client.run(url(fake), "--json", "status"))
    finally:
        account.shell("/bin/sh")


def test_falls_back_to_stdio(sshds, client, key, account, fake):
    sshd = sshds("AllowStreamLocalForwarding no", authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    client.knows(sshd)
    fake.answers["status.get"] = {**STATUS, "version": "x" * 1_000_000}
    assert len(ok(client.run(url(fake), "--json", "status"))["version"]) == 1_000_000
    assert peer_uid(fake) == account.uid
    assert "Starting session: command" in sshd.text()


def test_large_answers_both_ways(good, client, fake):
    fake.answers["status.get"] = {**STATUS, "version": "x" * 3_000_000}
    for _ in range(3):
        assert len(ok(client.run(url(fake), "--json", "status"))["version"]) == 3_000_000


def test_no_relay_there(good, client, fake, place):
    result = client.run(f"ssh://mx1{place}/none.sock", "status")
    refused(result, 3, "mx1", "weir stdio", "none.sock", "No such file")


def test_no_weir_there(sshds, client, key, account, place):
    sshd = sshds("SetEnv PATH=/nonexistent", authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    client.knows(sshd)
    refused(client.run(f"ssh://mx1{place}/none.sock", "status"), 3, "`weir stdio` is not found there")


def test_what_the_host_says_instead(sshds, client, key, account, place):
    sshd = sshds("AllowStreamLocalForwarding no", "ForceCommand echo Maintenance until noon; exit 5",
                 authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    client.knows(sshd)
    refused(client.run(f"ssh://mx1{place}/s", "status"), 3, "status 5", "Maintenance until noon")


def test_nobody_there(client, good):
    good.stop()
    refused(client.run("ssh://mx1", "status"), 3, "mx1", "Connection refused")
    refused(client.run("ssh://no.such.host.invalid", "status"), 3, "no address of no.such.host.invalid")


def test_a_host_that_says_nothing(client):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(5)
        result = client.run(f"ssh://127.0.0.1:{s.getsockname()[1]}", "status")
        refused(result, 3, "no answer in 15 s", "greeting")


def test_through_a_jump_host(good, sshds, client, key, account, fake):
    jump = sshds(authorized=remote.public(key))
    client.host("jump", jump, f"User {account.name}", f"IdentityFile {key}")
    client.knows(jump)
    client.host("inner", good, f"User {account.name}", f"IdentityFile {key}", f"ProxyJump {account.name}@jump")
    ok(client.run(url(fake, "inner"), "--json", "status"))
    assert "Accepted publickey" in jump.text() and "Accepted publickey" in good.text()
    jump.authorized.write_text("")
    result = client.run(url(fake, "inner"), "--json", "status")
    assert result.returncode == 3 and "Permission denied" in result.stderr


def test_proxy_command(good, client, key, account, fake):
    client.host("inner", good, f"User {account.name}", f"IdentityFile {key}",
                f"ProxyCommand {harness.ROOT}/tests/system/join.py %h %p")
    ok(client.run(url(fake, "inner"), "--json", "status"))


# --- host keys ------------------------------------------------------------------------------------


@pytest.fixture
def stranger(sshds, client, key, account):
    """A host that is not known."""
    sshd = sshds(authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    return sshd


def nothing_sent(sshd):
    return "Accepted" not in sshd.text() and "Failed" not in sshd.text()


def test_changed_host_key(stranger, client, fake, place):
    client.knows(stranger, remote.make_key(place / "other"))
    before = client.known.read_text()
    refused(client.run(url(fake), "status"), 4, "THE HOST KEY CHANGED", remote.fingerprint(stranger.host_key),
            str(client.known), f"ssh-keygen -R '[127.0.0.1]:{stranger.port}'")
    assert client.known.read_text() == before
    assert nothing_sent(stranger) and fake.connections == []


def test_host_key_of_another_type(stranger, client, fake, place):
    client.knows(stranger, remote.make_key(place / "other", "ecdsa"))
    refused(client.run(url(fake), "status"), 4, "another type", remote.fingerprint(stranger.host_key))
    assert nothing_sent(stranger)


@pytest.mark.parametrize("hashed", [False, True])
def test_revoked_host_key(stranger, client, fake, hashed):
    client.knows(stranger)
    if hashed:
        remote.run("ssh-keygen", "-H", "-f", client.known)
        assert "127.0.0.1" not in client.known.read_text()
    ok(client.run(url(fake), "--json", "status"))
    client.known.write_text(f"{client.known.read_text()}@revoked {client.known.read_text()}")
    refused(client.run(url(fake), "status"), 4, "is revoked by", f"{client.known}:2")


def test_keys_revoked_elsewhere_do_not_matter(stranger, client, fake, place):
    client.knows(stranger)
    client.knows(stranger, remote.make_key(place / "other"), prefix="@revoked ")
    with client.known.open("a") as f:
        f.write(f"@revoked mx9.example {remote.public(stranger.host_key)}\n")
    ok(client.run(url(fake), "--json", "status"))


def test_unknown_host_key_without_a_terminal(stranger, client, fake):
    refused(client.run(url(fake), "status"), 4, "was not accepted", remote.fingerprint(stranger.host_key))
    assert client.known.read_text() == "" and nothing_sent(stranger)


def test_unknown_host_key_refused(stranger, client, fake):
    t = client.terminal(url(fake), "status")
    t.expect(remote.fingerprint(stranger.host_key))
    t.expect("[yes/no]")
    t.say("no")
    status, shown = t.end()
    assert status == 4 and "was not accepted" in shown
    assert client.known.read_text() == "" and nothing_sent(stranger)


def test_unknown_host_key_accepted(stranger, client, fake):
    t = client.terminal(url(fake), "--json", "status")
    t.expect(remote.fingerprint(stranger.host_key))
    t.expect("[yes/no]")
    t.say("yes")
    status, shown = t.end()
    assert status == 0 and "fake.example" in shown
    assert remote.public(stranger.host_key) in client.known.read_text()
    ok(client.run(url(fake), "--json", "status"))


# --- logging in -----------------------------------------------------------------------------------


def test_passphrase(good, client, account, place, fake):
    locked = remote.make_key(place / "locked", passphrase="drei Worte hier")
    good.authorized.write_text(remote.public(locked))
    client.host("mx2", good, f"User {account.name}", f"IdentityFile {locked}")
    prompt = f"{account.name}@mx2: passphrase of {locked}: "
    t = client.terminal(url(fake, "mx2"), "--json", "status")
    t.expect(prompt)
    t.say("falsch")
    t.expect("That was not the passphrase of this key.")
    t.expect(prompt)
    t.say("drei Worte hier")
    status, shown = t.end()
    assert status == 0 and "fake.example" in shown
    assert "falsch" not in shown and "Worte" not in shown
    t = client.terminal(url(fake, "mx2"), "status")
    for _ in range(3):
        t.expect(prompt)
        t.say("falsch")
    status, shown = t.end()
    assert status == 4 and "stayed locked" in shown
    refused(client.run(url(fake, "mx2"), "status"), 4, "stayed locked")


def test_agent(good, client, account, place, fake):
    locked = remote.make_key(place / "locked", passphrase="x y z")
    good.authorized.write_text(remote.public(locked))
    plain = remote.make_key(place / "plain")
    good.authorized.write_text(remote.public(plain))
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place / "agent"], stdout=subprocess.DEVNULL)
    try:
        wait_until((place / "agent").exists, what="the agent's socket")
        client.env["SSH_AUTH_SOCK"] = str(place / "agent")
        client.host("mx2", good, f"User {account.name}")
        refused(client.run(url(fake, "mx2"), "status"), 4, "not let in")
        remote.run("ssh-add", plain, env=client.env)
        plain.unlink()
        ok(client.run(url(fake, "mx2"), "--json", "status"))
    finally:
        agent.terminate()
        agent.wait(10)


@pytest.fixture
def by_password(sshds, client, account):
    def make(*lines):
        sshd = sshds("UsePAM yes", "PubkeyAuthentication no", *lines)
        client.host("mx1", sshd, f"User {account.name}")
        client.knows(sshd)
        return sshd
    return make


@pytest.mark.parametrize("method", ["keyboard-interactive", "password"])
def test_password(by_password, client, account, fake, method):
    interactive = method == "keyboard-interactive"
    sshd = by_password(f"KbdInteractiveAuthentication {'yes' if interactive else 'no'}",
                       f"PasswordAuthentication {'no' if interactive else 'yes'}")
    t = client.terminal(url(fake), "--json", "status")
    t.expect(f"{account.name}@mx1: ")
    t.say("wrong")
    t.expect("That was refused.")
    t.expect(f"{account.name}@mx1: ")
    t.say(PASSWORD)
    status, shown = t.end()
    assert status == 0 and "fake.example" in shown and PASSWORD not in shown
    assert f"Accepted {method}" in sshd.text()
    refused(client.run(url(fake), "status"), 4, "not answered")


def test_wrong_password_to_the_end(by_password, client, account, fake):
    """Three times in all, though the host takes it in two ways; then it says so, and ends."""
    by_password("KbdInteractiveAuthentication yes", "PasswordAuthentication yes", "MaxAuthTries 10")
    t = client.terminal(url(fake), "status")
    for _ in range(3):
        t.expect(f"{account.name}@mx1: ")
        t.say("wrong")
    status, shown = t.end()
    assert status == 4 and "not let in" in shown


def test_host_that_hangs_up_at_a_wrong_password(by_password, client, account, fake):
    by_password("KbdInteractiveAuthentication yes", "MaxAuthTries 1")
    t = client.terminal(url(fake), "status")
    t.expect(f"{account.name}@mx1: ")
    t.say("wrong")
    status, shown = t.end()
    assert status in (3, 4) and "Too many authentication failures" in shown


def test_key_and_password(sshds, client, key, account, fake):
    sshd = sshds("UsePAM yes", "AuthenticationMethods publickey,keyboard-interactive",
                 "KbdInteractiveAuthentication yes", authorized=remote.public(key))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {key}")
    client.knows(sshd)
    t = client.terminal(url(fake), "--json", "status")
    t.expect(f"{account.name}@mx1: ")
    t.say(PASSWORD)
    status, shown = t.end()
    assert status == 0 and "fake.example" in shown


# --- links that die -------------------------------------------------------------------------------


def test_link_dies_in_a_call(good, client, fake):
    """A change whose answer was lost is made once: the second time it has the same request id."""
    held = []

    def hold(params):
        held.append(params)
        if len(held) == 1:
            good.kill_children()
            return None
        return {"action": "a1", "messages": 1, "recipients": 1, "skipped": 0, "undo_until_at": None}
    fake.answers["queue.hold"] = hold
    ok(client.run(url(fake), "--json", "hold", "domain:slow.example", "--reason", "test"))
    assert len(held) == 2 and held[0]["request"] == held[1]["request"]


def test_console_over_ssh(good, client, fake, place):
    c = remote.Console(place, [harness.WEIR, "-r", url(fake)], client.env)
    try:
        c.expect("12 messages for 12 recipients")
        fake.push("status", {**STATUS, "queued": {**STATUS["queued"], "messages": 77}})
        c.expect("77 messages")
        good.kill_children()
        c.expect("connected")
        wait_until(lambda: len(fake.connections) >= 2, what="another connection")
        c.gone("LOST")
        good.stop()
        c.expect("LOST, data of")
        c.expect("Connection refused")
        assert "12 messages" in c.screen()  # what was known stays readable
        c.keys("?")
        c.expect("Esc close")  # and the console answers
        c.keys("q")
        c.gone("Esc close")
        good.start()
        c.keys("C-r")
        c.gone("LOST")
        c.keys("C-q")
        c.expect("ended")
    finally:
        c.end()


def test_frozen_link(good, client, fake, place):
    """Nothing comes any more, and nothing says why: found out by the heartbeat, with the console awake."""
    c = remote.Console(place, [harness.WEIR, "-r", url(fake)], client.env)
    try:
        c.expect("12 messages for 12 recipients")
        frozen = good.children()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        c.expect("is silent for", 25)
        c.gone("LOST")
        assert len(fake.connections) == 2
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)
    finally:
        c.end()


def test_questions_of_the_console(sshds, client, key, account, place, fake):
    locked = remote.make_key(place / "locked", passphrase="drei Worte hier")
    sshd = sshds(authorized=remote.public(locked))
    client.host("mx1", sshd, f"User {account.name}", f"IdentityFile {locked}")
    (place / "xdg" / "weir").mkdir(parents=True)
    (place / "xdg" / "weir" / "relays").write_text(f'relay front {{ url = "{url(fake)}" production = true }}\n')
    c = remote.Console(place, [harness.WEIR, "-r", "front"], client.env)
    try:
        screen = c.expect("unknown host key")
        assert remote.fingerprint(sshd.host_key) in screen and "WAITING FOR YOU" in screen
        c.keys("Enter")  # the focus is on Cancel
        c.expect("was not accepted")
        c.keys("Enter")
        c.gone("Not connected")
        assert "REFUSED" in c.screen()
        c.keys("C-r")
        c.expect("Accept the key")
        c.keys("Tab", "Enter")
        c.expect("passphrase of")
        c.keys("-l", "falsch")
        assert "falsch" not in c.expect("******")
        c.keys("Enter")
        c.expect("not the passphrase")
        c.keys("-l", "drei Worte hier")
        c.keys("Enter")
        screen = c.expect("12 messages for 12 recipients")
        assert "fake.example PRODUCTION" in screen
    finally:
        c.end()


# --- roles, on a real relay -----------------------------------------------------------------------


@pytest.fixture
def real(place, world, account):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    r = harness.Relay(place, world, f'role operator {{ groups = {{"{account.name}"}} }}\n')
    r.config.write_text(r.config.read_text().replace('mode   = "0600"', 'mode   = "0666"'))
    r.start()
    yield r
    assert r.stop() == 0


def test_role_follows_from_the_group(real, good, client, account):
    there = f"ssh://mx1{real.socket}"
    assert ok(client.run(there, "--json", "status"))["relay"] == "relay.test.example"
    ok(client.run(there, "--json", "hold", "domain:slow.example", "--reason", "over SSH"))
    holds = ok(client.run(there, "--json", "holds"))
    assert holds[0]["by"] == account.name
    refused(client.run(there, "allow", "add", "192.0.2.0/24", "--reason", "test"), 4, "admin")


def test_account_without_a_role(real, good, client, account):
    text = real.config.read_text().replace(f'groups = {{"{account.name}"}}', 'groups = {"root"}')
    real.config.write_text(text)
    assert real.stop() == 0
    real.start()
    refused(client.run(f"ssh://mx1{real.socket}", "status"), 4, account.name, "no role")


def test_console_on_a_real_relay(real, good, client, place):
    c = remote.Console(place, [harness.WEIR, "-r", f"ssh://mx1{real.socket}"], client.env)
    try:
        screen = c.expect("relay.test.example  operator")
        assert "LOST" not in screen
        c.keys("1")
        c.expect("Queues")
        c.keys("C-q")
        c.expect("ended")
    finally:
        c.end()
