#!/usr/bin/python3
"""What a script can check of the house style. Each check prints FILE:LINE: what is wrong; any line fails.

usage: lint.py BUILD [CHECK ...]      (all checks unless named)
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
FILE_MAX, HEADER_MAX, FUNCTION_MAX = 1000, 300, 100

BANNED = """strcpy strcat sprintf strncpy strncat strtok atoi gets alloca system popen sleep getaddrinfo localtime
gmtime strerror""".split()
CLOCKS = "time gettimeofday clock_gettime".split()
# Where the ban does not reach, and why.
CLOCK_OWNERS = {
    "core/loop": "owns the clock",
    "core/base/log": "stamps lines of any thread, below the loop",
}
NAME_LOOKUP = {"core/client/remote_dial": "its own thread may block; the loop's never does"}

LONG_CONTRACTS = {
    "queue.h",  # the store's whole interface, read from top to bottom
    "queue_int.h",  # what its nine files share; nobody else sees it
    "smtpout_int.h",  # the same for sessions
}

problems = []


def bad(path, line, text):
    try:
        path = path.relative_to(ROOT)
    except ValueError:
        pass
    problems.append(f"{path}:{line}: {text}")


def sources(*patterns):
    return sorted(p for pattern in patterns for p in ROOT.glob(pattern))


def ours():
    return sources("include/*/*.h", "core/*/*.[ch]", "tui/*/*.[ch]")


def directory_of(path):
    top, sub = path.relative_to(ROOT).parts[:2]
    return f"core/{sub}" if top == "include" else f"{top}/{sub}"


def read_layers():
    allowed, third = {}, {}
    for line in (HERE / "layers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition("\t")
            (third if name.startswith("<") else allowed)[name] = rest.split()
    return allowed, third


def layers(_):
    allowed, third = read_layers()
    for path in ours() + sources("tests/world/*.[ch]"):
        here = directory_of(path)
        if here not in allowed:
            bad(path, 1, f"{here} is not in tests/lint/layers.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if m := re.match(r'#include "([^/"]+)/', line):
                whole = line.split('"')[1]
                if m[1] != here.split("/")[1] and not {m[1], whole} & set(allowed[here]):
                    bad(path, number, f"{here} may not include {m[1]}/")
            elif m := re.match(r"#include (<[^>]+>)", line):
                for prefix, where in third.items():
                    if not here.startswith("tests/") and m[1].startswith(prefix) and where != ["*"] and here not in where:
                        bad(path, number, f"only {', '.join(where)} may include {m[1]}")


def banned(build):
    """Names that the objects ask for, so that macros do not hide them."""
    for obj in sorted([*(build / "core").glob("*/*.o"), *(build / "tui").glob("*/*.o")]):
        name = str(obj.relative_to(build).with_suffix(""))
        wanted = subprocess.run(["nm", "-u", obj], capture_output=True, text=True, check=True).stdout
        symbols = {w.split("@")[0] for w in wanted.split() if w not in ("U", "w")}
        symbols |= {m[1] for s in symbols if (m := re.match(r"__(\w+)_chk$", s))}
        forbidden = [b for b in BANNED if b != "getaddrinfo" or not name.startswith(tuple(NAME_LOOKUP))]
        if not name.startswith(tuple(CLOCK_OWNERS)):
            forbidden += CLOCKS
        for symbol in sorted(symbols & set(forbidden)):
            bad(ROOT / f"{name}.c", 1, f"uses {symbol}(), which is banned here")


def symbols(build):
    """A name that two members of the archive define: the linker takes either, or refuses both."""
    listing = subprocess.run(["nm", "-A", "-g", "--defined-only", build / "libweir.a"], capture_output=True, text=True,
                             check=True).stdout
    seen = {}
    for line in listing.splitlines():
        where, _, what = line.rpartition(":")
        member, (_, _, name) = where.rpartition(":")[2], what.split()
        if name in seen:
            problems.append(f"libweir.a: {name} is defined in {seen[name]} and in {member}")
        seen[name] = member


def magics(_):
    seen = {}
    for path in ours() + sources("tests/world/*.[ch]"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if m := re.match(r"#define \w+_MAGIC\s+(0x[0-9a-fA-F]+)", line):
                value = int(m[1], 16)
                if value in seen:
                    bad(path, number, f"magic number {m[1]} is also that of {seen[value]}")
                seen[value] = f"{path.relative_to(ROOT)}:{number}"


def sizes(_):
    for path in ours() + sources("tests/world/*.[ch]"):
        lines = path.read_text().splitlines()
        limit = HEADER_MAX if path.suffix == ".h" else FILE_MAX
        if len(lines) > limit and path.name not in LONG_CONTRACTS:
            bad(path, len(lines), f"{len(lines)} lines; at most {limit}")
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start > FUNCTION_MAX:
                    bad(path, start, f"a function of {number - start} lines; at most {FUNCTION_MAX}")
                start = None


def headers(_):
    """Each header compiles on its own."""
    flags = subprocess.run(["pkg-config", "--cflags", "jansson", "gmime-3.0", "libevent", "ncursesw"],
                           capture_output=True, text=True, check=True).stdout.split()
    for path in sources("include/*/*.h", "core/*/*.h", "tui/*/*.h"):
        done = subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-x", "c", "-Iinclude",
                               "-Icore", "-Itui", *flags, path], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            bad(path, 1, "does not compile on its own: " + done.stderr.splitlines()[0])


def layout(_):
    files = ours() + sources("tests/*/*.[ch]", "tests/unit/*/*.[ch]")
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if "error:" in line:
            problems.append(line.replace(f"{ROOT}/", ""))


def words(_):
    """What marks something unfinished."""
    for path in ours():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\b(TODO|XXX)\b", line) or (re.search(r"\bFIXME\b", line) and not re.search(r"#\d", line)):
                bad(path, number, "unfinished: " + line.strip())


def tables(build):
    """The tables as the programs print them: names unique, help present."""
    text = (ROOT / "include/proto/methods.def").read_text()
    names = re.findall(r'\.name = "([a-z_.]+)", \.role', text)
    for name in sorted({n for n in names if names.count(n) > 1}):
        bad(ROOT / "include/proto/methods.def", 1, f"two methods are called {name}")
    tested = "".join(p.read_text() for p in sources("tests/**/*.py", "tests/unit/**/*.c", "tests/view/*.c", "tests/lib/*.c"))
    verbs = dict(re.findall(r'\.name = "([a-z_.]+)", \.role[^\n]*\.cli = "([a-z ]+)"', text))
    for name in names:
        words_of = verbs.get(name, "").split()
        called = '"' + '", "'.join(words_of) + '"'
        if name not in tested and not (words_of and called in tested):
            bad(ROOT / "include/proto/methods.def", 1, f"no test calls {name}")
    for entry in re.findall(r"METHOD\((?:[^()]|\([^()]*\))*\)", text):
        if ".summary" not in entry:
            bad(ROOT / "include/proto/methods.def", 1, "a method without summary: " + entry[:40])
    entities = set(re.findall(r'^(?:FIELD|[A-Z]+_FIELDS)\("([a-z_]+)"', (ROOT / "include/proto/fields.def").read_text(), re.M))
    for entity in re.findall(r'\.entity = "([a-z_]+)"', text):
        if entity not in entities:
            bad(ROOT / "include/proto/methods.def", 1, f"entity {entity} has no fields in fields.def")


def standards(_):
    """weir-smtp(7): every test that it names exists, and what it calls done is shown by one."""
    page = ROOT / "doc/weir-smtp.7.in"
    state, shown = "", 0
    for number, line in enumerate(page.read_text().splitlines() + [".TP"], 1):
        line = line.replace("\\-", "-")
        if line == ".TP" or line.startswith(".S"):
            if state == "done" and not shown:
                bad(page, number, "done, and no test shows it")
            state, shown = "", 0
        entry = re.fullmatch(r"\\fB.+\\fR: \\fI(.*)\\fR", line)
        if entry:
            state = entry[1]
            if state not in ("done", "partly", "not"):
                bad(page, number, "neither done nor partly nor not: " + state)
        named = re.fullmatch(r"\\fI(tests/\S+)\\fR (.*)", line)
        if not named:
            continue
        path = ROOT / named[1]
        text = path.read_text() if path.exists() else ""
        for name in named[2].split(", "):
            shown += 1
            if not re.search(rf"^(?:def|static void) {re.escape(name)}\(", text, re.M):
                bad(page, number, f"there is no test {name} in {named[1]}")


CHECKS = [layers, banned, symbols, magics, sizes, headers, layout, words, tables, standards]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    for check in CHECKS:
        if len(sys.argv) < 3 or check.__name__ in sys.argv[2:]:
            check(build)
    for line in problems:
        print(line)
    print(f"lint: {len(problems)} problems" if problems else "lint: clean")
    return 1 if problems else 0


sys.exit(main())
