"""What our TLS doors would talk if somebody asked: every protocol version, every cipher, the old attacks' preconditions.
Both kinds of door, with both kinds of key."""

import os
import re
import select
import subprocess
import time

import pytest

import harness
import peer as peers
import tls_probe
from tls_probe import SSL3, TLS10, TLS11, TLS12, TLS13, Probe

KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}
# Forward secrecy and authenticated encryption, and nothing else: the codes of the IANA's registry.
GOOD = {
    "ecdsa": {0xC02B: "ECDHE_ECDSA_AES_128_GCM", 0xC02C: "ECDHE_ECDSA_AES_256_GCM", 0xCCA9: "ECDHE_ECDSA_CHACHA20"},
    "rsa": {0xC02F: "ECDHE_RSA_AES_128_GCM", 0xC030: "ECDHE_RSA_AES_256_GCM", 0xCCA8: "ECDHE_RSA_CHACHA20",
            0x009E: "DHE_RSA_AES_128_GCM", 0x009F: "DHE_RSA_AES_256_GCM", 0xCCAA: "DHE_RSA_CHACHA20"},
}
GOOD_13 = {0x1301: "AES_128_GCM", 0x1302: "AES_256_GCM", 0x1303: "CHACHA20"}
CURVES = {23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 30: "x448"}


@pytest.fixture(scope="module", params=sorted(KEYS))
def key(request):
    return request.param


@pytest.fixture(scope="module")
def relay(key, tmp_path_factory):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    directory = tmp_path_factory.mktemp("tls")
    pem, private = peers.make_certificate(directory, "relay", "DNS:relay.test.example", signed=False, key_type=KEYS[key])
    ports = {door: harness.free_port() for door in ("starttls", "implicit")}
    text = f'tls {{\n certificate = "{pem}"\n key = "{private}"\n}}\n' + "".join(
        f'listen {door} {{\n address = "127.0.0.1:{port}"\n tls = "{door}"\n}}\n' for door, port in ports.items())
    world = harness.World(directory)
    r = harness.Relay(directory, world, text)
    r.ports = ports
    r.start()
    yield r
    assert r.stop() == 0
    assert r.bad_log_lines() == []
    assert world.stop() == 0


@pytest.fixture(params=["starttls", "implicit"])
def probe(relay, request):
    return Probe(relay.ports[request.param], request.param == "starttls")


@pytest.mark.parametrize("version", [SSL3, TLS10, TLS11])
def test_old_versions_are_refused(probe, version):
    answer = probe.ask(version)
    assert answer.version is None and answer.alert in (tls_probe.ALERT_VERSION, tls_probe.ALERT_HANDSHAKE, None)
    assert version == SSL3 or answer.alert is not None, "a client is told why"


def test_ssl2_is_refused(probe):
    ciphers = bytes.fromhex("010080020080030080040080050080060040 0700c0")
    body = b"\x01\x00\x02" + len(ciphers).to_bytes(2, "big") + b"\x00\x00\x00\x10" + ciphers + b"x" * 16
    answer = probe.send((0x8000 | len(body)).to_bytes(2, "big") + body)
    assert answer.version is None and answer.cipher is None


def test_ciphers_of_tls_12(probe, key):
    """No NULL, EXPORT, RC4, DES, 3DES, CBC, anonymous, PSK or static-key cipher, whatever its code."""
    assert set(probe.ciphers(TLS12)) == set(GOOD[key])


def test_ciphers_of_tls_13(probe):
    taken = probe.ciphers(TLS13)
    assert set(taken) == set(GOOD_13)


def test_forward_secrecy_on_good_curves_alone(probe, key):
    """With an ECDSA key the client has to know the certificate's curve, too, and it offers one alone here."""
    elliptic = [c for c, name in GOOD[key].items() if name.startswith("ECDHE")]
    taken = {probe.ask(TLS12, elliptic, groups=[group]).group for group in range(1, 42)} - {None}
    assert taken == ({23} if key == "ecdsa" else set(CURVES))


def test_broken_hashes_do_not_sign(probe):
    for signatures in ([0x0201, 0x0203], [0x0101, 0x0103]):  # SHA-1, MD5
        answer = probe.ask(TLS12, signatures=signatures)
        assert answer.cipher is None and answer.alert is not None, signatures


def test_no_compression_no_heartbeat_no_ticket(probe):
    answer = probe.ask(TLS12, compression=(1, 64, 0))
    assert answer.compression == 0 and answer.version == TLS12
    assert tls_probe.EXT_HEARTBEAT not in answer.extensions
    assert tls_probe.EXT_TICKET not in answer.extensions, "a key of tickets that never changes undoes forward secrecy"
    assert tls_probe.EXT_MASTER in answer.extensions and tls_probe.EXT_RENEGOTIATION in answer.extensions


def test_a_client_forced_down_is_told(probe):
    """TLS_FALLBACK_SCSV (RFC 7507): somebody in between made the client try less than both can."""
    answer = probe.ask(TLS12, [*tls_probe.ALL, tls_probe.SCSV_FALLBACK])
    assert answer.alert == tls_probe.ALERT_FALLBACK and answer.cipher is None


def s_client(relay, door, *options, send="QUIT\r\n"):
    """What openssl says; `send` goes out once a reply is there: s_client ends at data that cross a renegotiation."""
    start = ["-starttls", "smtp"] if door == "starttls" else []
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{relay.ports[door]}", "-msg", *start, *options],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        out, end = b"", time.monotonic() + 30
        try:
            while True:
                ready, _, _ = select.select([client.stdout], [], [], max(0, end - time.monotonic()))
                assert ready, out
                more = os.read(client.stdout.fileno(), 65536)
                if not more:
                    break
                out += more
                if send and re.search(rb"^2[25]0 .*\n", out, re.M):
                    client.stdin.write(send.encode())
                    client.stdin.close()
                    send = ""
        finally:
            client.kill()
    return out.decode(errors="replace")


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_a_client_cannot_renegotiate(relay, door):
    """Handshakes cost the server more than the client: one a connection."""
    out = s_client(relay, door, "-tls1_2", send="R\nQUIT\r\n")
    assert "RENEGOTIATING" in out
    assert out.count(", ClientHello") == 2 and out.count(", ServerHello,") + out.count(", ServerHello\n") == 1, out
    assert "no_renegotiation" in out and "Secure Renegotiation IS supported" in out


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_nothing_is_taken_before_the_handshake_is_over(relay, door):
    """Neither tickets of TLS 1.3, nor early data, which could be replayed."""
    out = s_client(relay, door, "-tls1_3")
    assert "New, TLSv1.3, Cipher is" in out and "NewSessionTicket" not in out
    assert "Max Early Data: 0" in out or "Max Early Data" not in out
