"""What is published about a host's TLS decides how mail gets there: DANE (RFC 7672) and MTA-STS (RFC 8461)."""

import hashlib
import http.server
import ssl
import subprocess
import threading

import pytest

import harness
import peer as peers
from harness import free_port, wait_until
from names import Names
from peer import Peer


class PolicyHost:
    """https://mta-sts.DOMAIN/.well-known/mta-sts.txt of all domains: {domain: policy, or a whole answer}."""

    def __init__(self, certificate):
        self.answers, self.asked = {}, []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                domain = self.headers["Host"].split(":")[0].removeprefix("mta-sts.")
                host.asked.append((domain, self.path))
                answer = host.answers.get(domain)
                if isinstance(answer, bytes):
                    self.wfile.write(answer)
                elif answer is None:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Type", "text/plain; charset=utf-8")
                    self.end_headers()
                    self.wfile.write(answer.encode())

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that does not like the certificate

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def fetched(self, domain):
        return self.asked.count((domain, "/.well-known/mta-sts.txt"))

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Net:
    """Domains, their hosts and policies, and a relay that knows nothing else."""

    def __init__(self, directory):
        self.directory = directory
        self.names = Names()
        self.names.signed = ("signed.example",)
        self.peers, self.last_ip = {}, 1
        self.authority = peers.make_authority(directory)
        alt = ",".join(f"DNS:mta-sts.{d}" for d in POLICY_DOMAINS)
        self.policies = PolicyHost(peers.make_certificate(directory, "policies", alt))
        self.smtp_port = free_port("127.0.70.1")
        self.dns = self.names.address
        self.relay = harness.Relay(directory, self, f'delivery {{ sts-port = {self.policies.port} }}\n'
                                                    f'tls {{ authorities = "{self.authority}" }}\n')
        # one section of each kind: the relay's configuration has a delivery section of its own
        text = self.relay.config.read_text().replace(f"delivery {{ port = {self.smtp_port} }}\n", "") \
            .replace("delivery { sts-port", f"delivery {{ port = {self.smtp_port} sts-port")
        self.relay.config.write_text(text)

    def stop(self):
        self.names.stop()
        self.policies.stop()
        for p in self.peers.values():
            p.close()

    def certificate(self, name, alt=None, signed=True):
        """With the authority's own certificate behind it, as DANE-TA wants it sent."""
        pem, key = peers.make_certificate(self.directory, name, f"DNS:{alt or name}", signed)
        if signed:
            pem.write_text(pem.read_text() + self.authority.read_text())
        return pem, key

    def host(self, name, certificate="good", **how):
        """A mail host: with a certificate for its name (good), for another one (other), of its own making (self) or
        without STARTTLS (None)."""
        self.last_ip += 1
        ip = f"127.0.70.{self.last_ip}"
        if certificate:
            certificate = self.certificate(name, "somebody.else.example" if certificate == "other" else None,
                                           certificate != "self")
        self.names.table[name, "A"] = [ip]
        self.peers[name] = Peer(certificate, host=ip, port=self.smtp_port, **how)
        return self.peers[name]

    def domain(self, name, *mx):
        self.names.table[name, "MX"] = [f"{10 * (i + 1)} {h}" for i, h in enumerate(mx)]

    def tlsa(self, host, record):
        self.names.table[f"_{self.smtp_port}._tcp.{host}", "TLSA"] = [record]

    def sts(self, domain, mode="enforce", mx="*", max_age=86400, id="1"):
        """Publishes a policy; mx * stands for the domain's own hosts."""
        self.names.table[f"_mta-sts.{domain}", "TXT"] = [f"v=STSv1; id={id};"]
        self.names.table[f"mta-sts.{domain}", "A"] = ["127.0.0.1"]
        mx = f"*.{domain}" if mx == "*" else mx
        self.policies.answers[domain] = f"version: STSv1\r\nmode: {mode}\r\nmax_age: {max_age}\r\nmx: {mx}\r\n"

    def digest(self, host, what="cert"):
        """Of the host's certificate or key, or of the authority's, as a TLSA record has it."""
        pem = self.authority if what == "authority" else self.directory / f"{host}.pem"
        if what == "key":
            key = subprocess.run(["openssl", "x509", "-in", pem, "-pubkey", "-noout"], capture_output=True, check=True)
            der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout,
                                 capture_output=True, check=True).stdout
        else:
            der = subprocess.run(["openssl", "x509", "-in", pem, "-outform", "DER"], capture_output=True,
                                 check=True).stdout
        return hashlib.sha256(der).hexdigest()

    def last_attempt(self, event):
        return self.relay.weir("show", event["id"])["attempts"][-1]

    def goes(self, domain, host, result, user="anna"):
        """A letter arrives at the host; the attempt's last word about TLS is `result`."""
        to, p = f"{user}@{domain}", self.peers[host]
        before = len(p.messages)
        self.relay.send(to)
        attempt = self.last_attempt(self.relay.wait_event(to, "delivered"))
        assert len(p.messages) == before + 1
        assert (attempt["tls"] or "none").split()[-1] == result, attempt
        assert bool(p.messages[-1]["secure"]) == (result != "none")
        return attempt

    def waits(self, domain, *why, enhanced="4.7.5", user="anna"):
        """A letter is put off because of TLS, and nobody was told who it is for."""
        to = f"{user}@{domain}"
        said = sum(len(p.said("MAIL")) for p in self.peers.values())
        self.relay.send(to)
        row = self.relay.wait_state(to, "deferred")
        attempt = self.last_attempt(self.relay.wait_event(to, "deferred"))
        assert row["class"] == "tls" and attempt["enhanced"] == enhanced, attempt
        for text in why:
            assert text in attempt["reply"], attempt
        assert sum(len(p.said("MAIL")) for p in self.peers.values()) == said
        return row

    def tested(self, domain):
        """What `route test` says of each host."""
        return [(h["tls"], h["tls_why"] or "") for h in self.relay.weir("route", "test", f"anna@{domain}")["next_hops"]]


POLICY_DOMAINS = ["good.example", "cert.example", "mx.example", "plain.example", "testing.example", "off.example",
                  "down.example", "both.signed.example", "shared.example", "renewed.example", "moved.example",
                  "long.example", "nonsense.example", "html.example", "override.example", "demand.example",
                  "lookup.example"]


@pytest.fixture
def net(directory):
    if not harness.RELAYD.exists():
        pytest.skip("weir-relayd is not built")
    n = Net(directory)
    n.relay.start()
    n.relay.allow()
    yield n
    assert n.relay.stop() == 0
    assert n.relay.bad_log_lines() == []
    n.stop()


def dane(net, name, record="3 1 1", digest=None, **how):
    """NAME.signed.example with one host and a TLSA record for it."""
    domain, host = f"{name}.signed.example", f"mx.{name}.signed.example"
    p = net.host(host, **how)
    net.domain(domain, host)
    what = "authority" if record[0] == "2" else "key" if record.split()[1] == "1" else "cert"
    net.tlsa(host, f"{record} {digest or net.digest(host, what)}")
    return domain, host, p


# --- DANE ---

def test_dane(net):
    for name, record, certificate in [("ee", "3 1 1", "self"), ("cert", "3 0 1", "other"), ("ta", "2 0 1", "good")]:
        domain, host, _ = dane(net, name, record, certificate=certificate)
        net.goes(domain, host, "dane")
        (tls, why), = net.tested(domain)
        assert tls == "dane" and f"_{net.smtp_port}._tcp.{host}" in why
    shown = net.relay.run("route", "test", "anna@ee.signed.example", json_output=False).stdout
    assert "dane" in shown and "TLSA" in shown, shown


def test_dane_that_fails(net):
    """A digest of another certificate; an authority's record and a name that is not the host's; nothing to check."""
    domain, host, p = dane(net, "wrong", digest="00" * 32, certificate="good")
    net.waits(domain, host, "certificate that will not do", "TLSA")
    domain, *_ = dane(net, "other-name", "2 0 1", certificate="other")
    net.waits(domain, "certificate that will not do")
    domain, *_ = dane(net, "no-tls", digest="00" * 32, certificate=None)
    net.waits(domain, "does not offer STARTTLS", "TLSA", enhanced="4.7.4")
    domain, host, p = dane(net, "garbage", digest="00" * 32, certificate="good", starttls=b"454 4.7.0 Not now\r\n")
    net.waits(domain, "454 4.7.0 Not now", "TLSA", enhanced="4.7.4")
    # mended: the next attempt goes through
    domain, host, p = "wrong.signed.example", "mx.wrong.signed.example", net.peers["mx.wrong.signed.example"]
    net.tlsa(host, f"3 1 1 {net.digest(host, 'key')}")
    net.relay.weir("retry", f"domain:{domain}", "--yes")
    wait_until(lambda: p.messages)


def test_dane_only_where_it_is_secure(net):
    """Records that do not fit do not matter where the way to them was not validated; they are not asked for."""
    for name, unsigned in [("tlsa", None), ("mx", "MX"), ("address", "A")]:
        domain, host, _ = dane(net, f"un-{name}", digest="00" * 32)
        net.names.unsigned.add((domain, "MX") if unsigned == "MX" else (host, "A") if unsigned
                               else (f"_{net.smtp_port}._tcp.{host}", "TLSA"))
        net.goes(domain, host, "verified")
        (tls, why), = net.tested(domain)
        assert tls == "opportunistic" and "not signed" in why, why
        assert (f"_{net.smtp_port}._tcp.{host}", "TLSA") in net.names.asked or unsigned
        if unsigned:
            assert (f"_{net.smtp_port}._tcp.{host}", "TLSA") not in net.names.asked


def test_dane_lookup_fails(net):
    """Whether there are records is not known: such a host is not used, but the next one is."""
    domain, host, _ = dane(net, "sick")
    net.names.failing.add((f"_{net.smtp_port}._tcp.{host}", "TLSA"))
    net.waits(domain, host, "is not used", "TLSA", "SERVFAIL")
    second = net.host("mx2.sick.signed.example", certificate="self")
    net.domain("two.signed.example", host, "mx2.sick.signed.example")
    net.goes("two.signed.example", "mx2.sick.signed.example", "unverified")
    assert [t for t, _ in net.tested("two.signed.example")] == ["refused", "opportunistic"]
    assert second.messages and not net.peers[host].commands


def test_dane_next_host(net):
    domain, host, first = dane(net, "pair", digest="00" * 32)
    second = net.host("mx2.pair.signed.example", certificate="self")
    net.tlsa("mx2.pair.signed.example", f"3 1 1 {net.digest('mx2.pair.signed.example', 'key')}")
    net.domain(domain, host, "mx2.pair.signed.example")
    net.goes(domain, "mx2.pair.signed.example", "dane")
    assert first.said("STARTTLS") and second.messages


def test_dane_of_no_use(net):
    """Records none of which can be used: TLS all the same, with any certificate (RFC 7672, 2.2)."""
    domain, host, _ = dane(net, "pkix", "1 1 1", certificate="self")
    net.goes(domain, host, "unverified")
    net.peers[host].use(None)
    wait_until(lambda: net.peers[host].said("QUIT"), 10, "the idle session to end")
    net.waits(domain, "does not offer STARTTLS", enhanced="4.7.4", user="bob")


def test_dane_is_not_believed_from_afar(net, directory):
    domain, host, _ = dane(net, "afar", digest="00" * 32)
    net.relay.stop()
    config = net.relay.config
    config.write_text(config.read_text().replace("dns      {", 'dns      { trust-ad = "no"'))
    net.relay.start()
    net.goes(domain, host, "verified")
    assert "trust-ad" in net.tested(domain)[0][1]


# --- MTA-STS ---

def sts(net, domain, certificate="good", mode="enforce", host=None, **policy):
    host = host or f"mx.{domain}"
    net.host(host, certificate)
    net.domain(domain, host)
    net.sts(domain, mode, **policy)
    return host


def test_sts_enforced(net):
    host = sts(net, "good.example")
    net.goes("good.example", host, "sts")
    assert net.tested("good.example")[0][0] == "sts"
    assert net.policies.fetched("good.example") == 1
    sts(net, "cert.example", certificate="other")
    net.waits("cert.example", "certificate that will not do", "mismatch", "MTA-STS policy of cert.example (enforce)")
    sts(net, "mx.example", host="mx.elsewhere.example")
    net.waits("mx.example", "mx.elsewhere.example", "does not list this host")
    assert not net.peers["mx.elsewhere.example"].commands
    sts(net, "plain.example", certificate=None)
    net.waits("plain.example", "does not offer STARTTLS", "MTA-STS", enhanced="4.7.4")
    why = net.relay.weir("why", "domain:plain.example")
    assert "MTA-STS" in why["text"], why


def test_sts_not_enforced(net):
    host = sts(net, "testing.example", "self", "testing")
    net.goes("testing.example", host, "unverified")
    assert "(testing)" in net.tested("testing.example")[0][1]
    host = sts(net, "off.example", None, "none")
    net.goes("off.example", host, "none")
    assert '"none"' in net.tested("off.example")[0][1]


def test_sts_without_a_policy_that_can_be_had(net):
    """As if there were none; what is wrong is told to whoever asks."""
    answers = {
        "moved.example": b"HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.good.example/\r\nContent-Length: 0\r\n\r\n",
        "html.example": b"HTTP/1.1 200 Ok\r\nContent-Type: text/html\r\n\r\nversion: STSv1\n",
        "long.example": "version: STSv1\n" + "x: y\n" * 20000,
        "nonsense.example": "version: STSv1\nmode: enforce\nmax_age: 86400\n",
        "unlisted.example": "",  # the policy host's certificate does not have its name
    }
    told = {"moved.example": "301", "html.example": "text/html", "long.example": "too long",
            "nonsense.example": "no mx", "unlisted.example": "mta-sts.unlisted.example"}
    for domain, answer in answers.items():
        host = sts(net, domain, "self")
        net.policies.answers[domain] = answer
        net.goes(domain, host, "unverified")
        (tls, why), = net.tested(domain)
        assert tls == "opportunistic" and told[domain] in why, why


def test_sts_is_kept(net):
    """A policy holds for its time, over a restart, whether or not its host and its record are still there."""
    host = sts(net, "down.example")
    net.goes("down.example", host, "sts")
    net.policies.stop()
    del net.names.table["_mta-sts.down.example", "TXT"]
    net.peers[host].use(net.certificate("again.example", signed=False))
    net.relay.restart()
    net.waits("down.example", "MTA-STS policy of down.example (enforce)", user="bob")


def test_sts_renewed(net):
    """Another id in the record brings the policy anew."""
    host = sts(net, "renewed.example", "self", "testing", id="1")
    net.goes("renewed.example", host, "unverified")
    net.sts("renewed.example", "enforce", id="2")
    wait_until(lambda: net.peers[host].said("QUIT"), 10, "the idle session to end")
    net.relay.restart()  # forgets DNS
    net.waits("renewed.example", "(enforce)", user="bob")
    assert net.policies.fetched("renewed.example") == 2


def test_dane_comes_first(net):
    """Where a host has TLSA records, these decide (RFC 8461, 2)."""
    domain, host, _ = dane(net, "both", certificate="self")
    net.sts(domain, mx="mx.elsewhere.example")
    net.goes(domain, host, "dane")


def test_a_shared_host(net):
    """A connection made for a domain without a policy does not carry what another domain's policy forbids."""
    host = "mx.shared.example"
    p = net.host(host, "self")
    net.domain("shared.example", host)
    net.domain("neighbour.example", host)
    net.sts("shared.example")
    net.goes("neighbour.example", host, "unverified")
    net.waits("shared.example", "certificate that will not do")
    assert [m["rcpts"] for m in p.messages] == [["RCPT TO:<anna@neighbour.example>"]]


# --- demands of routes ---

def test_routes_demand(net):
    host = sts(net, "override.example", "self")
    net.waits("override.example", "MTA-STS")
    net.relay.weir("route", "add", "--to", "mx", "--match", "domain:override.example", "--tls", "unverified")
    net.goes("override.example", host, "unverified", user="bob")

    host = sts(net, "demand.example", "self", "testing")
    net.relay.weir("route", "add", "--to", "mx", "--match", "domain:demand.example", "--tls", "sts")
    net.waits("demand.example", "certificate that will not do", "testing")
    net.host("mx.bare.example")
    net.domain("bare.example", "mx.bare.example")
    for demand, why in [("sts", "publishes no MTA-STS policy"), ("dane", "not signed")]:
        net.relay.weir("route", "add", "--to", "mx", "--match", "domain:bare.example", "--tls", demand)
        net.waits("bare.example", "mx.bare.example", "is not used", why, user=demand)
    with pytest.raises(harness.WeirError) as e:
        net.relay.weir("route", "add", "--to", "smarthost:mx.bare.example", "--tls", "sts")
    assert e.value.error["param"] == "tls"
    domain, host, _ = dane(net, "smart", certificate="self")
    net.relay.weir("route", "add", "--to", f"smarthost:{host}:{net.smtp_port}", "--match", "domain:any.example",
                   "--tls", "dane")
    net.goes("any.example", host, "dane")


def test_streams_demand(net):
    """What a stream wants stands where the route wants nothing, and where it wants less."""
    net.host("mx.bare.example", "self")
    net.domain("bare.example", "mx.bare.example")
    net.relay.weir("stream", "add", "strict", "--tls", "dane", "--match", "domain:bare.example")
    net.waits("bare.example", "mx.bare.example", "is not used", "not signed", user="dane")
    net.relay.weir("stream", "set", "strict", "--tls", "sts", "--reason", "x")
    net.waits("bare.example", "publishes no MTA-STS policy", user="sts")
    net.relay.weir("stream", "set", "strict", "--tls", "none", "--reason", "x")
    net.relay.weir("retry", "domain:bare.example", "--yes")
    event = net.relay.wait_event("sts@bare.example", "delivered")
    assert net.last_attempt(event)["tls"] is None, "in the clear"
    net.relay.weir("route", "add", "--to", "mx", "--match", "domain:bare.example", "--tls", "required")
    net.waits("bare.example", "TLS is required", user="route")
    with pytest.raises(harness.WeirError) as e:
        net.relay.weir("stream", "set", "strict", "--tls", "implicit", "--reason", "x")
    assert e.value.error["param"] == "tls"


def test_required_takes_what_is_published(net):
    """A stream that demands TLS: DANE is as good as an authority, and where nothing is published one is needed."""
    domain, host, _ = dane(net, "strict", certificate="self")
    bare = net.host("mx.bare.example", "self")
    net.domain("bare.example", "mx.bare.example")
    net.relay.weir("stream", "add", "strict", "--tls", "required", "--match", "domain:bare.example,*.signed.example")
    net.goes(domain, host, "dane")
    net.waits("bare.example", "TLS is required", "certificate that will not do")
    bare.use(net.certificate("mx.bare.example"))
    net.relay.weir("retry", "domain:bare.example", "--yes")
    event = net.relay.wait_event("anna@bare.example", "delivered")
    assert net.last_attempt(event)["tls"].endswith(" verified")
