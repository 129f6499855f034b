"""TLS and authentication at the relay's doors, seen by the clients people use."""

import re
import signal
import smtplib
import ssl
import subprocess

import pytest

import harness
from harness import SENDER, Raw, free_port, letter, wait_until

HOST = "relay.test.example"
OLD = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]  # a client that would talk anything


def make_certificate(directory, name="relay", days=30):
    """A certificate that signs itself; its key beside it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{HOST}",
                    "-keyout", directory / "relay.key", "-out", directory / "relay.pem"],
                   check=True, capture_output=True, timeout=30)


def doors(ports, directory):
    """Configuration for a STARTTLS door and one with TLS from the first byte."""
    return f"""
tls {{
	certificate = "{directory}/relay.pem"
	key         = "{directory}/relay.key"
}}
listen starttls {{
	address = "127.0.0.1:{ports['starttls']}"
	tls     = "starttls"
}}
listen implicit {{
	address = "127.0.0.1:{ports['implicit']}"
	tls     = "implicit"
}}
"""


@pytest.fixture
def relay(directory, world):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    make_certificate(directory)
    ports = {"starttls": free_port(), "implicit": free_port()}
    r = harness.Relay(directory, world, doors(ports, directory))
    r.ports = ports
    r.start()
    r.allow()
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []
    assert world.protocol_errors() == {}


def trust(directory):
    return ssl.create_default_context(cafile=str(directory / "relay.pem"))


def s_client(relay, door, *options, send="QUIT\r\n"):
    """openssl s_client at a door; what it printed."""
    ports = ["-starttls", "smtp"] if door == "starttls" else []
    result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{relay.ports[door]}", "-servername", HOST,
                             *ports, *options], input=send, capture_output=True, text=True, timeout=30)
    return result.stdout + result.stderr


# --- TLS ---


def test_starttls(relay, world, directory):
    with smtplib.SMTP("127.0.0.1", relay.ports["starttls"], timeout=20) as s:
        s._host = HOST  # the name that the certificate is for
        s.ehlo()
        assert s.has_extn("starttls")
        s.starttls(context=trust(directory))
        s.ehlo()
        assert not s.has_extn("starttls")
        assert s.sendmail(SENDER, ["anna@fast.example"], letter(SENDER, "anna@fast.example")) == {}
    wait_until(lambda: world.messages("fast.example"))
    received = re.search(r"^Received:.*\r?\n(?:[ \t].*\r?\n)*", world.last("fast.example"), re.M).group(0)
    assert re.search(r"\(TLSv1\.3 TLS_\w+\)", received) and "with ESMTPS id" in received


def test_implicit_tls(relay, world, directory):
    with smtplib.SMTP_SSL("localhost", relay.ports["implicit"], timeout=20,
                          context=ssl._create_unverified_context()) as s:
        assert s.sendmail(SENDER, ["anna@fast.example"], letter(SENDER, "anna@fast.example")) == {}
    wait_until(lambda: world.messages("fast.example"))


@pytest.mark.parametrize("door", ["starttls", "implicit"])
@pytest.mark.parametrize("version,good", [("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)])
def test_protocol_versions(relay, door, version, good):
    out = s_client(relay, door, version, *([] if version == "-tls1_3" else OLD))
    assert ("Cipher is (NONE)" not in out and "New, TLSv1" in out) == good, out


@pytest.mark.parametrize("cipher", ["NULL", "EXP", "LOW", "RC4", "3DES", "aNULL", "kRSA+AES", "CBC", "AES256-SHA",
                                    "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256"])
def test_weak_ciphers_are_refused(relay, cipher):
    out = s_client(relay, "starttls", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert "New, TLSv1" not in out, out  # no such cipher here is as good as one that is refused


def test_no_renegotiation_no_compression(relay):
    out = s_client(relay, "implicit", "-tls1_2", send="R\nQUIT\r\n")
    assert "Compression: NONE" in out
    assert "no renegotiation" in out or "RENEGOTIATING" in out and "renegotiation" in out.lower()


def test_injection_before_starttls(relay, world):
    """Commands that came with STARTTLS in one packet are run neither in the clear nor under TLS."""
    for tail in ["RSET\r\n", f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<anna@fast.example>\r\n", "\r\n", "x"]:
        s = Raw("127.0.0.1", relay.ports["starttls"])
        s.reply()
        s.say("EHLO me")
        s.send("STARTTLS\r\n" + tail)
        assert s.reply()[0] == 554
        assert s.reply()[0] in (421, 0)
        assert s.reply()[0] == 0, "the connection is over"
        s.close()


def test_what_was_said_in_the_clear_is_forgotten(relay, directory):
    with smtplib.SMTP("127.0.0.1", relay.ports["starttls"], timeout=20) as s:
        s.ehlo()
        assert s.mail(SENDER)[0] == 250
        assert s.rcpt("anna@fast.example")[0] == 250
        s.starttls(context=ssl._create_unverified_context())
        assert s.docmd("DATA")[0] == 503
        assert s.docmd(f"MAIL FROM:<{SENDER}>")[0] == 503, "EHLO has to be said again"


def test_plain_text_at_the_tls_door(relay):
    s = Raw("127.0.0.1", relay.ports["implicit"])
    s.send("EHLO me\r\n")
    try:
        assert b"2" not in s.file.read()  # neither a greeting nor an answer
    except ConnectionResetError:
        pass
    s.close()


def fingerprint(relay):
    return ssl.get_server_certificate(("127.0.0.1", relay.ports["implicit"]))


def test_certificate_is_read_again(relay, directory, world):
    before = fingerprint(relay)
    with smtplib.SMTP_SSL("localhost", relay.ports["implicit"], timeout=20,
                          context=ssl._create_unverified_context()) as old:
        make_certificate(directory, "renewed")
        relay.process.send_signal(signal.SIGHUP)
        wait_until(lambda: fingerprint(relay) != before, 10, "the new certificate")
        # sessions go on with what they have
        assert old.sendmail(SENDER, ["anna@fast.example"], letter(SENDER, "anna@fast.example")) == {}
    # a broken one does not get in the way of the good one
    now = fingerprint(relay)
    (directory / "relay.pem").write_text("nonsense")
    relay.expected.append("relayd.reload")
    relay.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the former certificate stays in use" in relay.log.read_text(), 10, "the complaint")
    assert fingerprint(relay) == now


def test_a_certificate_that_cannot_be_read_is_told_beforehand(relay, directory):
    (directory / "relay.key").write_text("nonsense")
    result = subprocess.run([harness.RELAYD, "-t", "-c", relay.config], capture_output=True, text=True, timeout=20)
    assert result.returncode == 2 and "relay.key" in result.stderr


def test_curl_and_swaks(relay, world, directory):
    path = directory / "letter"
    path.write_bytes(letter(SENDER, "anna@fast.example"))
    for url, extra in [(f"smtp://{HOST}:{relay.ports['starttls']}/me", ["--ssl-reqd"]),
                       (f"smtps://{HOST}:{relay.ports['implicit']}/me", [])]:
        subprocess.run(["curl", "-sS", "--cacert", directory / "relay.pem", "--resolve",
                        f"{HOST}:{relay.ports['starttls']}:127.0.0.1", "--resolve",
                        f"{HOST}:{relay.ports['implicit']}:127.0.0.1", *extra, "--mail-from", SENDER,
                        "--mail-rcpt", "anna@fast.example", "-T", path, url],
                       check=True, capture_output=True, timeout=30)
    for port, option in [(relay.ports["starttls"], "--tls"), (relay.ports["implicit"], "--tls-on-connect")]:
        subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", option, "--from", SENDER, "--to",
                        "anna@fast.example"], check=True, capture_output=True, timeout=30)
    wait_until(lambda: len(world.messages("fast.example")) == 4)


# --- AUTH ---


AUTH_DOORS = """
listen submission2 {{
	address = "127.0.0.1:{submission}"
	tls     = "starttls"
	auth    = "required"
}}
listen local {{
	address = "127.0.0.1:{local}"
	auth    = "optional"
	loopback-auth = "yes"
}}
limits {{ auth-failures = {failures} }}
"""


@pytest.fixture
def submission(directory, world):
    """A relay whose clients have to authenticate: `submission` under TLS, `local` also without."""
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    make_certificate(directory)
    ports = {name: free_port() for name in ("starttls", "implicit", "submission", "local")}
    r = harness.Relay(directory, world, doors(ports, directory) + AUTH_DOORS.format(failures=4, **ports))
    r.ports = ports
    r.start()
    yield r
    if r.process:
        assert r.stop() == 0
    assert r.bad_log_lines() == []
    assert world.protocol_errors() == {}


def login(relay, door="submission"):
    s = smtplib.SMTP("127.0.0.1", relay.ports[door], local_hostname="app.example", timeout=30)
    if door == "submission":
        s.starttls(context=ssl._create_unverified_context())
    s.ehlo()
    return s


def deliver(session, to="anna@fast.example", sender=SENDER):
    return session.sendmail(sender, [to], letter(sender, to))


def test_credential_from_birth_to_death(submission, world):
    relay = submission
    made = relay.weir("cred", "add", "shop", "--note", "the shop", "--senders", "shop.example")
    secret = made["secret"]
    assert re.fullmatch(r"([0-9a-z]{4}-){6}[0-9a-z]{4}", secret) and made["name"] == "shop"
    with login(relay) as s:
        assert s.mail(SENDER)[0] == 530, "no mail without authentication"
        assert set(s.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN", "SCRAM-SHA-256"}
        assert s.login("shop", secret)[0] == 235
        assert deliver(s) == {}
        with pytest.raises(smtplib.SMTPSenderRefused):
            deliver(s, sender="app@other.example")
        row, = relay.weir("cred", "list")
        assert row["name"] == "shop" and row["status"] == "active" and row["senders"] == ["shop.example"]
        assert row["streams"] == [] and row["networks"] == []
        used, = row["secrets"]
        assert used["uses"] == 1 and used["last_client"] == "127.0.0.1" and used["last_used_at"] and used["expires_at"] is None
        assert secret not in str(row)
        relay.weir("cred", "revoke", "shop", "--reason", "leaked")
        code, text = s.docmd("NOOP")
        assert code == 421, (code, text)
    wait_until(lambda: world.messages("fast.example"))
    assert "with ESMTPSA id" in world.last("fast.example")
    with login(relay) as s, pytest.raises(smtplib.SMTPAuthenticationError):
        s.login("shop", secret)
    assert relay.weir("cred", "show", "shop")["status"] == "revoked"


def test_credentials_survive_a_restart_and_stay_secret(submission, directory):
    relay = submission
    secret = relay.weir("cred", "add", "shop")["secret"]
    relay.restart()
    with login(relay) as s:
        assert s.login("shop", secret)[0] == 235
    relay.stop()
    for path in directory.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_person_gets_to_see_the_secret(submission):
    out = submission.run("cred", "add", "shop", json_output=False).stdout
    secret = re.search(r"^Secret: (\S+)$", out, re.M).group(1)
    with login(submission) as s:
        assert s.login("shop", secret)[0] == 235
    assert secret not in submission.run("cred", "show", "shop", json_output=False).stdout


def test_messages_carry_their_credential(submission):
    relay = submission
    relay.weir("hold", "domain:fast.example", "--reason", "look")
    with login(relay) as s:
        s.login("shop", relay.weir("cred", "add", "shop")["secret"])
        deliver(s)
    row, = relay.weir("messages", "--where", "credential:shop")
    assert row["credential"] == "shop"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_each_mechanism_with_swaks_and_curl(submission, world, directory, mechanism):
    relay = submission
    secret = relay.weir("cred", "add", "shop")["secret"]
    path = directory / "letter"
    path.write_bytes(letter(SENDER, "anna@fast.example"))
    subprocess.run(["swaks", "--server", f"127.0.0.1:{relay.ports['submission']}", "--tls", "--auth", mechanism,
                    "--auth-user", "shop", "--auth-password", secret, "--from", SENDER, "--to", "anna@fast.example"],
                   check=True, capture_output=True, timeout=30)
    for more in [[], ["--sasl-ir"]]:
        subprocess.run(["curl", "-sS", "--cacert", directory / "relay.pem", "--ssl-reqd", "--resolve",
                        f"{HOST}:{relay.ports['submission']}:127.0.0.1", "-u", f"shop:{secret}", "--login-options",
                        f"AUTH={mechanism}", *more, "--mail-from", SENDER, "--mail-rcpt", "anna@fast.example",
                        "-T", path, f"smtp://{HOST}:{relay.ports['submission']}/me"],
                       check=True, capture_output=True, timeout=30)
    wait_until(lambda: len(world.messages("fast.example")) == 3)


def scram(session, name, secret):
    """SCRAM-SHA-256 by hand, from RFC 5802; whether the server is the right one is checked as well."""
    import base64
    import hashlib
    import hmac
    import secrets
    first = f"n={name},r={secrets.token_hex(12)}"
    code, text = session.docmd("AUTH", "SCRAM-SHA-256 " + base64.b64encode(f"n,,{first}".encode()).decode())
    assert code == 334, (code, text)
    server_first = base64.b64decode(text).decode()
    fields = dict(f.split("=", 1) for f in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={fields['r']}"
    message = f"{first},{server_first},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
    code, text = session.docmd(base64.b64encode(f"{final},p={proof}".encode()).decode())
    if code != 334:
        return code
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    assert base64.b64decode(text) == b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
    return session.docmd("")[0]


def test_scram(submission, world):
    relay = submission
    secret = relay.weir("cred", "add", "shop")["secret"]
    with login(relay) as s:
        assert scram(s, "shop", secret) == 235
        deliver(s)
    with login(relay) as s:
        assert scram(s, "shop", secret + "x") == 535
        assert scram(s, "nobody", secret) == 535
    wait_until(lambda: world.messages("fast.example"))


def test_no_auth_without_tls(submission):
    """Whoever strips STARTTLS from our answers gets no secret accepted in the clear."""
    relay = submission
    secret = relay.weir("cred", "add", "shop")["secret"]
    with smtplib.SMTP("127.0.0.1", relay.ports["submission"], timeout=20) as s:
        s.ehlo()
        assert not s.has_extn("auth")
        s.esmtp_features["auth"] = "PLAIN LOGIN"  # what somebody in the middle could write
        with pytest.raises(smtplib.SMTPAuthenticationError) as e:
            s.login("shop", secret)
        assert e.value.smtp_code == 538
        assert s.mail(SENDER)[0] == 530
    assert relay.weir("cred", "show", "shop")["uses"] == 0
    with login(relay, "local") as s:  # but where it is allowed
        assert s.login("shop", secret)[0] == 235


def test_guessing_is_slow_and_ends_with_a_block(submission):
    import time
    relay = submission
    secret = relay.weir("cred", "add", "shop")["secret"]
    took = []
    s = login(relay)
    for i in range(4):
        if i == 3:
            s.close()
            s = login(relay)
        begin = time.monotonic()
        code, _ = s.docmd("AUTH", "PLAIN " + "AHNob3AAd3Jvbmc=")
        took.append(time.monotonic() - begin)
        assert code == 535
    assert took[0] >= 0.95 and took[1] >= 1.95 and took[2] >= 3.9, took
    row, = relay.weir("cred", "blocked")
    assert row["network"] == "127.0.0.1" and row["failures"] == 4 and row["until_at"]
    assert relay.weir("status")["blocked"] == 1
    with pytest.raises(smtplib.SMTPConnectError) as e:
        login(relay)
    assert e.value.smtp_code == 421
    relay.weir("cred", "unblock", "127.0.0.1")
    with login(relay) as s:
        assert s.login("shop", secret)[0] == 235
    assert re.search(r"smtpin.auth_failed .*credential=shop why=.?wrong secret", relay.log.read_text())


def test_networks_bind_a_credential(submission):
    relay = submission
    secret = relay.weir("cred", "add", "far", "--networks", "10.0.0.0/8")["secret"]
    with login(relay) as s, pytest.raises(smtplib.SMTPAuthenticationError):
        s.login("far", secret)
    assert "outside of the credential's networks" in relay.log.read_text()


def test_a_wrong_configuration_of_doors_is_refused(submission, directory):
    for bad, word in [('listen a { address = "127.0.0.1:1" auth = "required" }', "never offered"),
                      ('listen a { address = "127.0.0.1:1" tls = "maybe" }', "implicit")]:
        path = directory / "bad.conf"
        path.write_text(submission.config.read_text() + bad + "\n")
        result = subprocess.run([harness.RELAYD, "-t", "-c", path], capture_output=True, text=True, timeout=20)
        assert result.returncode == 2 and word in result.stderr
