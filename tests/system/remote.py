"""An sshd of our own on loopback, an account to log in to, and programs on a terminal that asks."""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import harness
from harness import wait_until

SSHD = "/usr/sbin/sshd"
PASSWORD = "Grünkohl 7"


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, **kwargs)


class Account:
    """A throw-away account with a group of its own, gone at the end."""

    def __init__(self, name, home):
        self.name = name
        self.home = home
        home.mkdir(mode=0o755)
        run("useradd", "--user-group", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", name)
        run("chpasswd", input=f"{name}:{PASSWORD}")
        self.uid = int(run("id", "-u", name).stdout)

    def shell(self, path):
        run("usermod", "--shell", path, self.name)

    def remove(self):
        subprocess.run(["userdel", self.name], capture_output=True)
        subprocess.run(["groupdel", self.name], capture_output=True)


def make_key(path, kind="ed25519", passphrase=""):
    run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path)
    return path


def public(path):
    return " ".join(pathlib.Path(f"{path}.pub").read_text().split()[:2])


def fingerprint(path):
    return run("ssh-keygen", "-lf", f"{path}.pub").stdout.split()[1]


class Sshd:
    """sshd with its own host key; `lines` are more lines of its configuration."""

    def __init__(self, directory, *lines, name="sshd", authorized="", host_key=None):
        self.directory = directory
        self.port = harness.free_port()
        self.log = directory / f"{name}.log"
        self.authorized = directory / f"{name}.keys"
        self.authorized.write_text(authorized)
        self.host_key = host_key or make_key(directory / f"{name}.host")
        self.config = directory / f"{name}.conf"
        self.config.write_text("\n".join([  # the first one of its kind counts
            *lines, f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.host_key}", "PidFile none",
            f"AuthorizedKeysFile {self.authorized}", "StrictModes no", "UseDNS no", "LogLevel VERBOSE",
            "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
            f"SetEnv PATH={self.programs(directory)}:/usr/bin:/bin"]) + "\n")
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.process = None
        self.start()

    @staticmethod
    def programs(directory):
        """A copy of weir: the tree may stand where the account cannot go, as below /root."""
        there = directory / "bin"
        if not there.exists():
            there.mkdir(mode=0o755)
            shutil.copy(harness.WEIR, there)
        return there

    def start(self):
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.log, "a"))
        wait_until(lambda: f"port {self.port}" in self.text(), 10, f"sshd: {self.config}")

    def text(self):
        return self.log.read_text(errors="replace")

    def children(self):
        """Processes that serve a connection, the youngest last."""
        children = []
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            mine = [int(p) for p in path.read_text().split()] if path.exists() else []
            children += mine
            todo += mine
        return sorted(children)

    def kill_children(self):
        self.kill(self.children())

    @staticmethod
    def kill(pids):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop(self):
        if self.process is None:
            return
        children = self.children()
        self.process.terminate()
        self.process.wait(10)
        self.kill(children)
        self.process = None


class Client:
    """What the client knows of its hosts: a configuration of ssh with a known_hosts file."""

    def __init__(self, directory):
        self.directory = directory
        self.known = directory / "known_hosts"
        self.known.touch()
        self.config = directory / "ssh_config"
        self.config.touch()
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("SSH_AUTH_SOCK", "WEIR_RELAY", "DISPLAY", "NO_COLOR")}
        self.env |= {"WEIR_SSH_CONFIG": str(self.config), "XDG_CONFIG_HOME": str(directory / "xdg"),
                     "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}

    def host(self, name, sshd, *lines):
        with self.config.open("a") as f:
            f.write("\n\t".join([f"Host {name}", "HostName 127.0.0.1", f"Port {sshd.port}",
                                 f"UserKnownHostsFile {self.known}", *lines]) + "\n")

    def knows(self, sshd, key=None, prefix=""):
        with self.known.open("a") as f:
            f.write(f"{prefix}[127.0.0.1]:{sshd.port} {public(key or sshd.host_key)}\n")

    def run(self, url, *args, timeout=40):
        """weir without a terminal."""
        return subprocess.run([str(harness.WEIR), "-r", url, *args], env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, start_new_session=True)

    def terminal(self, url, *args):
        return Terminal([str(harness.WEIR), "-r", url, *args], self.env)


class Terminal:
    """A program whose controlling terminal is ours: what it shows, and answers to what it asks."""

    def __init__(self, command, env):
        self.shown = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, env)

    def read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, text, timeout=30):
        end = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < end and (self.read(1) or select.select([self.fd], [], [], 0)[0] == []), \
                f"{text!r} does not come:\n{self.shown}"
        before, _, self.shown = self.shown.partition(text)
        return before

    def say(self, line):
        os.write(self.fd, line.encode() + b"\n")

    def end(self, timeout=30):
        """The exit status, and what was shown since the last expect()."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0.1):
                    pass
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status), self.shown
            self.read(0.1)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"it does not end:\n{self.shown}")


class Console:
    """weir in a tmux of its own, 80x24 unless said."""

    def __init__(self, directory, command, env, cols=80, rows=24):
        self.socket = str(directory / "tmux")
        words = " ".join(f"{k}={shell_word(v)}" for k, v in env.items() if k.startswith(("WEIR", "XDG", "LC_", "SSH")))
        line = " ".join(["env", words, *(shell_word(c) for c in command)])
        self.tmux("new-session", "-d", "-x", str(cols), "-y", str(rows), f"{line}; echo ended; exec sleep 600",
                  env=env)

    def tmux(self, *args, env=None):
        return run("tmux", "-S", self.socket, "-f", "/dev/null", *args, env=env).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def expect(self, text, timeout=30):
        try:
            wait_until(lambda: text in self.screen(), timeout, f"{text!r} on the screen")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.screen()}") from None
        return self.screen()

    def gone(self, text, timeout=30):
        wait_until(lambda: text not in self.screen(), timeout, f"{text!r} to go")

    def end(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


def shell_word(text):
    return "'" + re.sub("'", "'\\''", str(text)) + "'"


def possible():
    """Why these tests cannot run here; None when they can."""
    if os.geteuid() != 0:
        return "an sshd that serves other accounts needs root"
    for program in (SSHD, "ssh-keygen", "useradd", "chpasswd", "tmux"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if harness.WEIR.exists() else "weir is not built"
