"""Other people's relays: Postfix, which the machine has or has not, and Exim and OpenSMTPD, which tests/fetch-peers
fetches beside it; two of them cannot be installed together. Each instance has a directory and a port of its own.

All take the same words: `next_port`, where on this machine they send everything; `certificate`, (PEM, key) of their own,
with which they offer STARTTLS; `users`, name to password, without whom nothing is taken; `out`, what they do at the
next hop: {"tls": "starttls" or "implicit", "authority": PEM, "login": (name, password)}. nobody@peer.example is
refused with 550.
"""

import base64
import os
import pathlib
import re
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading

import pytest

import harness
from harness import wait_until

PEERS = harness.ROOT / "build/peers"


def answers(port):
    try:
        s = harness.Raw("127.0.0.1", port)
        code, _ = s.reply()
        s.close()
        return code == 220
    except OSError:
        return False


class Accounts(socketserver.ThreadingTCPServer):
    """What Postfix asks about names and passwords: the server's side of Dovecot's protocol, PLAIN and LOGIN alone."""
    daemon_threads = True

    def __init__(self, users):
        self.users = users
        super().__init__(("127.0.0.1", 0), _Asked)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Asked(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\n")

    def handle(self):
        self.say("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE")
        started = {}
        for line in self.rfile:
            words = line.decode().rstrip("\n").split("\t")
            given = next((w[5:] for w in words if w.startswith("resp=")), None)
            if words[0] == "AUTH":
                started[words[1]] = [words[2]]
            elif words[0] == "CONT":
                given = words[2]
            else:
                continue
            said = started[words[1]]
            if given is not None:
                said += base64.b64decode(given).decode().split("\0") if said[0] == "PLAIN" else [base64.b64decode(given).decode()]
            if len(said) == (4 if said[0] == "PLAIN" else 3):
                user, password = said[-2:]
                good = self.server.users.get(user) == password
                self.say(f"OK\t{words[1]}\tuser={user}" if good else f"FAIL\t{words[1]}\tuser={user}")
            else:
                ask = {1: "Username:", 2: "Password:"}[len(said)] if said[0] == "LOGIN" else ""
                self.say(f"CONT\t{words[1]}\t{base64.b64encode(ask.encode()).decode()}")


# --- Postfix ---

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
smtp_host_lookup = native
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ nobody@postfix.example = 550 5.1.1 no such user }}, {{ nobody@peer.example = 550 5.1.1 no such user }} }}, {permit}, reject
multi_instance_enable = yes
{extra}
"""


class Postfix:
    name = "postfix"
    extensions = {"pipelining", "chunking", "smtputf8", "dsn"}

    @staticmethod
    def need():
        if os.geteuid() != 0 or not shutil.which("postfix"):
            pytest.skip("needs root and postfix (make deps-full installs it)")

    def __init__(self, directory, extra="", next_port=None, certificate=None, users=None, out=None):
        self.directory = directory / "postfix"
        self.port = harness.free_port()
        self.accounts = None
        directory.chmod(0o755)
        for name in (".", "etc", "queue", "data", "log"):
            (self.directory / name).mkdir(exist_ok=True)
        shutil.chown(self.directory / "data", "postfix")
        self.etc = self.directory / "etc"
        permit = "permit_sasl_authenticated" if users else "permit_mynetworks"
        extra = "\n".join([extra, *self._settings(next_port, certificate, users, out or {})])
        (self.etc / "main.cf").write_text(MAIN_CF.format(dir=self.directory, extra=extra, permit=permit))
        services = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
        services = re.sub(r"(?m)^smtp      inet.*$", f"127.0.0.1:{self.port} inet n - n - - smtpd", services)
        services = services.replace("#postlog", "postlog").replace("#tlsproxy", "tlsproxy")
        services = re.sub(r"(?m)^(\w+ +unix +\S +\S +)y", r"\1n", services)  # its own chroots have no /etc/hosts
        (self.etc / "master.cf").write_text(services)
        os.utime(self.etc / "main.cf", (0, 0))  # each of its programs waits until that file is two seconds old
        self.start()

    def _settings(self, next_port, certificate, users, out):
        if next_port:
            yield f"relayhost = [localhost]:{next_port}"
        if certificate:
            yield f"smtpd_tls_chain_files = {certificate[1]}, {certificate[0]}"
            yield "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_auth_only = yes"
        if users:
            self.accounts = Accounts(users)
            yield "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot"
            yield f"smtpd_sasl_path = inet:127.0.0.1:{self.accounts.port}"
            yield "smtpd_relay_restrictions = permit_sasl_authenticated, reject"
        if out.get("tls"):
            yield "smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = localhost"
            yield f"smtp_tls_CAfile = {out['authority']}\nsmtp_tls_loglevel = 1"
            yield f"smtp_tls_wrappermode = {'yes' if out['tls'] == 'implicit' else 'no'}"
        if out.get("login"):
            yield "smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous"
            yield f"smtp_sasl_password_maps = inline:{{ {{ [localhost]:{next_port} = {':'.join(out['login'])} }} }}"

    def start(self):
        """What `postfix start` does, without its checks of a whole installation, which take seconds."""
        queue = self.directory / "queue"
        for name in ("active bounce corrupt defer deferred flush hold incoming private saved trace public maildrop "
                     "pid").split():
            (queue / name).mkdir(exist_ok=True)
            shutil.chown(queue / name, "root" if name == "pid" else "postfix")
        self.process = subprocess.Popen(["/usr/lib/postfix/sbin/master", "-c", self.etc, "-d"], start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(self.port), 20, "postfix to listen")
        except AssertionError:
            self.halt()
            raise

    def halt(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # SIGTERM takes seconds
        self.process.wait()

    def log(self):
        path = self.directory / "log/maillog"
        return path.read_text() if path.exists() else ""

    def stop(self):
        if self.process.returncode is None:
            self.halt()
        if self.accounts:
            self.accounts.shutdown()
            self.accounts.server_close()


# --- those that live in a directory of their own ---

fetched = None  # what fetching them said, once


class Caged:
    """A program in a copy of PEERS/root that ends with the test."""

    @staticmethod
    def need():
        global fetched
        if os.geteuid() != 0:
            pytest.skip("needs root")
        if fetched is None:
            done = subprocess.run([harness.ROOT / "tests/fetch-peers", PEERS], capture_output=True, text=True, timeout=180)
            fetched = "" if done.returncode == 0 else f"cannot fetch Exim and OpenSMTPD: {done.stderr.strip()}"
        if fetched:
            pytest.skip(fetched)

    def __init__(self, directory, certificate, authority):
        self.directory = directory
        self.port = harness.free_port()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="run.", dir=PEERS))
        self.root.chmod(0o755)
        subprocess.run(["cp", "-al", f"{PEERS}/root/.", self.root], check=True)
        if certificate:
            for source, name in zip(certificate, ("mta.pem", "mta.key")):
                shutil.copy(source, self.root / "etc" / name)
        if authority:
            shutil.copy(authority, self.root / "etc/ca.pem")
        self.output = directory / f"{self.name}.log"

    def write(self, path, text, mode=0o600, owner=0):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, owner, owner)

    def run(self, *command):
        self.process = subprocess.Popen(["chroot", self.root, *command], stdin=subprocess.DEVNULL,
                                        stdout=open(self.output, "a"), stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_until(self._up, 20, f"{self.name} to listen")
        except AssertionError:
            self.stop()
            raise

    def _up(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log()[-2000:]}"
        return answers(self.port)

    def log(self):
        return self.output.read_text(errors="replace") + self.more_log()

    def more_log(self):
        return ""

    def halt(self):
        """Its children are of its session, which is ours alone."""
        self.process.terminate()
        try:
            self.process.wait(5)
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop(self):
        if self.process.poll() is None:
            self.halt()
        (self.directory / f"{self.name}.all").write_text(self.log())
        shutil.rmtree(self.root, ignore_errors=True)


EXIM_CONF = """\
primary_hostname = exim.test.example
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
log_file_path = /var/log/exim4/%slog
log_selector = +pipelining +smtp_protocol_error +tls_peerdn +received_recipients +sender_on_delivery
host_lookup =
smtp_accept_max = 0
timeout_frozen_after = 1h
queue_run_max = 5
keep_environment =
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
{tls}
begin acl
rcpt:
	deny message = 5.1.1 no such user
		recipients = nobody@peer.example
{rule}
begin routers
here:
	driver = accept
	domains = here.example
	transport = keep
away:
	driver = manualroute
	domains = *
	route_list = * localhost::{next_port} byname
	self = send
	transport = away
begin transports
keep:
	driver = appendfile
	file = /home/keeper/mbox
	user = keeper
	envelope_to_add
	return_path_add
away:
	driver = smtp
{transport}
begin retry
* * F,1h,1s
begin authenticators
{authenticators}
"""


class Exim(Caged):
    name = "exim"
    extensions = {"pipelining", "chunking", "smtputf8", "dsn"}

    def __init__(self, directory, next_port=1, certificate=None, users=None, out=None):
        out = out or {}
        super().__init__(directory, certificate, out.get("authority"))
        tls = "tls_advertise_hosts ="
        if certificate:
            for name in ("mta.pem", "mta.key"):
                os.chown(self.root / "etc" / name, 801, 801)
            tls = ("tls_advertise_hosts = *\ntls_certificate = /etc/mta.pem\ntls_privatekey = /etc/mta.key\n"
                   "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}")
        transport, authenticators = "", ""
        if out.get("tls"):
            transport += ("\thosts_require_tls = *\n\ttls_verify_certificates = /etc/ca.pem\n\ttls_verify_hosts = *\n"
                          "\ttls_verify_cert_hostnames = *\n")
        if out.get("tls") == "implicit":
            transport += "\tprotocol = smtps\n"
        if out.get("login"):
            transport += "\thosts_require_auth = *\n"
            authenticators += self._authenticator("PLAIN", "client_send = ^{}^{}".format(*out["login"]))
        for user, password in (users or {}).items():
            authenticators += self._authenticator(
                "PLAIN", "server_prompts = :\n\tserver_set_id = $auth2\n\tserver_condition = "
                f"${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}")
        self.write("etc/exim4/exim4.conf", EXIM_CONF.format(
            port=self.port, tls=tls, rule="\taccept authenticated = *" if users else "\taccept", next_port=next_port,
            transport=transport, authenticators=authenticators), 0o644)
        self.write("home/keeper/mbox", "", 0o600, 804)
        self.start()

    @staticmethod
    def _authenticator(mechanism, text):
        return f"{mechanism.lower()}:\n\tdriver = plaintext\n\tpublic_name = {mechanism}\n\t{text}\n"

    def start(self):
        self.run("/usr/sbin/exim4", "-bdf", "-q1m")

    def more_log(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.root.glob("var/log/exim4/*log")))

    def kept(self):
        """What came for here.example."""
        return (self.root / "home/keeper/mbox").read_bytes()


SMTPD_CONF = """\
{tables}
listen on 127.0.0.1 port {port} hostname opensmtpd.test.example {door}
action away relay host {scheme}://{login}localhost:{next_port} {away}
match from any for rcpt-to "nobody@peer.example" reject
match {who} for any action away
"""


class OpenSMTPD(Caged):
    name = "opensmtpd"
    extensions = {"dsn"}

    def __init__(self, directory, next_port=1, certificate=None, users=None, out=None):
        out = out or {}
        super().__init__(directory, certificate, out.get("authority"))
        door, tables, away, login = "", [], "", ""
        if certificate:
            tables.append('pki here cert "/etc/mta.pem"\npki here key "/etc/mta.key"')
            door = "tls pki here"
        if users:
            lines = []
            for user, password in users.items():
                crypted = subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True)
                lines.append(f"{user} {crypted.stdout.strip()}")
            self.write("etc/users", "\n".join(lines) + "\n", 0o644)
            tables.append("table users file:/etc/users")
            door += " auth <users>"
        scheme = {None: "smtp", "starttls": "smtp+tls", "implicit": "smtps"}[out.get("tls")]
        if out.get("authority"):
            tables.append('ca ours cert "/etc/ca.pem"')
            self.write("etc/ssl/cert.pem", (self.root / "etc/ca.pem").read_text(), 0o644)
            self.write("etc/ssl/certs/ca-certificates.crt", (self.root / "etc/ca.pem").read_text(), 0o644)
        if out.get("login"):
            self.write("etc/secrets", "next {}:{}\n".format(*out["login"]), 0o644)
            tables.append("table secrets file:/etc/secrets")
            away += " auth <secrets>"
            login = "next@"
        self.write("etc/smtpd.conf", SMTPD_CONF.format(
            tables="\n".join(tables), port=self.port, door=door, scheme=scheme, login=login, next_port=next_port,
            away=away, who="auth from any" if users else "from any"))
        self.start()

    def start(self):
        self.run("/usr/sbin/smtpd", "-d", "-v", "-f", "/etc/smtpd.conf")


ALL = {mta.name: mta for mta in (Postfix, Exim, OpenSMTPD)}
