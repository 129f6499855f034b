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
