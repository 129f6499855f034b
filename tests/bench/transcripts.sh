#!/bin/bash
# transcripts.sh - what it costs to keep every command and reply of each attempt: throughput and CPU of relaying with
# delivery.transcripts = yes, failures and no, in alternating rounds, and the bytes that a message takes.
#
#   usage: transcripts.sh [-R rounds] [options of relay.sh, such as -n 5000 -s 20]
#
# Needs what relay.sh needs. Everything is on loopback and ends with the script.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${WEIR_BUILD:-$here/../../build}
rounds=5
[ "${1:-}" != -R ] || { rounds=$2; shift 2; }
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/weir-bench.XXXXXX") || exit 2
pid=
end() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; }; pid=; }
trap 'end; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
one() { # transcripts
	local keep=$1 port sink
	shift
	port=$(free_port) sink=$(free_port)
	rm -rf "$dir/state"
	cat >"$dir/relayd.conf" <<-X
	hostname  = "bench.example"
	state-dir = "$dir/state"
	control { socket = "$dir/control.sock" mode = "0600" }
	listen submission { address = "127.0.0.1:$port" }
	delivery { transcripts = "$keep" }
	queue { keep-finished-max = 1000000 }
	X
	"$build/weir-relayd" -c "$dir/relayd.conf" 2>"$dir/log" &
	pid=$!
	for _ in $(seq 100); do [ -S "$dir/control.sock" ] && (exec 3<>/dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.05; done
	weir() { "$build/weir" -r "unix:$dir/control.sock" "$@" >/dev/null || { cat "$dir/log" >&2; exit 2; }; }
	weir allow add 127.0.0.0/8 --note bench
	weir route add --to "smarthost:127.0.0.1:$sink" --note bench
	"$here/relay.sh" "127.0.0.1:$port" "$sink" -q -r 1 -p "$pid" "$@" >"$dir/out" || exit 2
	end
	/usr/bin/python3 - "$dir/state/queue.db" >>"$dir/out" <<-'X'
	import sqlite3, sys
	db = sqlite3.connect(sys.argv[1])
	n, talk = db.execute("SELECT count(*), coalesce(sum(length(talk)), 0) FROM events WHERE outcome = 3").fetchone()
	m, connections = db.execute("SELECT count(*), coalesce(sum(length(talk)), 0) FROM connections").fetchone()
	print(f"talk={talk / n:.1f} connections={m} all={(talk + connections) / n:.1f}")
	X
	awk -F= -v k="$keep" '$1=="e2e_per_s"{e=$2} $1=="cpu_s_per_1000"{c=$2} /^talk/{t=$0} END{printf "%-9s e2e_per_s=%s cpu_s_per_1000=%s %s\n", k, e, c, t}' "$dir/out"
}
# What ran before leaves the disk work to do: each kind comes first, second and last as often.
for round in $(seq "$rounds"); do
	case $((round % 3)) in 0) order="no failures yes" ;; 1) order="yes no failures" ;; *) order="failures yes no" ;; esac
	for keep in $order; do one "$keep" "$@" | tee -a "$dir/all"; done
done
/usr/bin/python3 - "$dir/all" <<'X'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    keep, *fields = line.split()
    for name, value in (f.split("=") for f in fields):
        rows.setdefault(keep, {}).setdefault(name, []).append(float(value))
for keep, r in rows.items():
    print(f"{keep}: " + "  ".join(f"{name} {statistics.median(v):.3f}" for name, v in r.items()))
base = rows["no"]
for keep in ("failures", "yes"):
    print(f"{keep} against no: " + "  ".join(
        f"{name} {100 * statistics.median(v / b for v, b in zip(rows[keep][name], base[name])) - 100:+.1f} %"
        for name in ("e2e_per_s", "cpu_s_per_1000")))
X
