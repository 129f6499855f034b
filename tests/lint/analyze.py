#!/usr/bin/python3
"""The slow half of lint: what clang-tidy, gcc -fanalyzer, cppcheck and shellcheck find. Each finding is FILE:LINE: text
[check]; any fails, unless analyze.txt says why it is none.

usage: analyze.py [TOOL ...]      (all unless named: tidy gcc cppcheck shell)
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = pathlib.Path(__file__).resolve().parent / "analyze.txt"
PACKAGES = "ncursesw libssh sqlite3 jansson libcrypto libssl libevent libcares libconfuse gmime-3.0 libbsd libpsl".split()
SCRIPTS = "tests/run-all tests/run-unit tests/run-fuzz dist/install-deps doc/fill .ci/run".split()
FINDING = re.compile(r"^([^:\s][^:]*):(\d+):(?:\d+:)? (?:error|warning|style|performance|portability): (.*) \[(\S+)\]$")


def run(*command):
    done = subprocess.run(["nice", *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


def flags():
    found = run("pkg-config", "--cflags-only-I", *PACKAGES).split()
    system = [word for f in found for word in ("-isystem", f[2:])]
    return ["-std=c11", "-D_GNU_SOURCE", "-pthread", '-DWEIR_VERSION="0"', "-Iinclude", "-Icore", "-Itui", "-Itests", *system]


def sources():
    return sorted(p.relative_to(ROOT) for pattern in ("core/*/*.c", "tui/*/*.c", "tests/world/*.c") for p in ROOT.glob(pattern))


def each(command):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return "".join(pool.map(lambda path: run(*command(path)), sources()))


def tidy():
    return each(lambda path: ["clang-tidy", "--quiet", path, "--", *flags()])


def gcc():
    return each(lambda path: ["gcc", *flags(), "-O1", "-fanalyzer", "-fanalyzer-verbosity=0", "-c", "-o", "/dev/null", path])


def cppcheck():
    # It cannot read heads of <sys/queue.h> that have no name: files with one are left to the other tools.
    return run("cppcheck", "--quiet", "--enable=warning,performance,portability", "--std=c11", "-j", os.cpu_count(),
               "--inline-suppr", "--suppress=missingIncludeSystem", "--suppress=normalCheckLevelMaxBranches",
               "-I/usr/include", "--suppress=unknownEvaluationOrder", "--suppress=syntaxError",
               "--suppress=*:/usr/include/*",
               "--template={file}:{line}: {severity}: {message} [{id}]", "-Iinclude", "-Icore", "-Itui",
               "-D_GNU_SOURCE", *sources())


def shell():
    return run("shellcheck", "-f", "gcc", "-S", "warning", *SCRIPTS)


TOOLS = {"tidy": tidy, "gcc": gcc, "cppcheck": cppcheck, "shell": shell}


def expected():
    """PATH CHECK, a tab, and why that finding is none."""
    known = {}
    for line in EXPECTED.read_text().splitlines():
        if line and not line.startswith("#"):
            what, _, why = line.partition("\t")
            path, check = what.split()
            assert why, f"{EXPECTED.name}: {what} gives no reason"
            known[path, check] = False
    return known


def main():
    known, findings = expected(), set()
    for name in sys.argv[1:] or TOOLS:
        for line in TOOLS[name]().splitlines():
            m = FINDING.match(line.replace(f"{ROOT}/", ""))
            if not m or m[1].startswith("/"):
                continue
            key = m[1], m[4].split(",")[0]
            if key in known:
                known[key] = True
            else:
                findings.add(f"{m[1]}:{m[2]}: {m[3]} [{m[4]}]")
    for line in sorted(findings):
        print(line)
    if not sys.argv[1:]:
        for (path, check), seen in known.items():
            if not seen:
                print(f"tests/lint/analyze.txt: {path} {check} is not found any more")
    print(f"lint-full: {len(findings)} findings" if findings else "lint-full: clean")
    return 1 if findings else 0


sys.exit(main())
