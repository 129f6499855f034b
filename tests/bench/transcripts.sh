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
# shellcheck source=tests/bench/relayd.bash
. "$here/relayd.bash"
trap 'relayd_end; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
one() { # transcripts
	local keep=$1
	shift
	relayd_start <<-X
	delivery { transcripts = "$keep" }
	queue { keep-finished-max = 1000000 }
	X
	"$here/relay.sh" "127.0.0.1:$port" "$sink" -q -r 1 -p "$pid" "$@" >"$dir/out" || exit 2
	relayd_end
	/usr/bin/python3 - "$dir/state/queue.db" >>"$dir/out" <<-'X'
	import sqlite3, sys
	db = sqlite3.connect(sys.argv[1])
	n, talk = db.execute("SELECT count(*), coalesce(sum(length(talk)), 0) FROM events WHERE outcome = 3").fetchone()
	m, connections = db.execute("SELECT count(*), coalesce(sum(length(talk)), 0) FROM connections").fetchone()
	print(f"talk={talk / n:.1f} connections={m} all={(talk + connections) / n:.1f}")
	X
	awk -F= -v k="$keep" '$1=="e2e_per_s"{e=$2} $1=="cpu_s_per_1000"{c=$2} /^talk/{t=$0} END{printf "%-9s e2e_per_s=%s cpu_s_per_1000=%s %s\n", k, e, c, t}' "$dir/out"
}
# What ran before leaves the disk work to do: the order turns by one each round.
turn=(no failures yes)
for _ in $(seq "$rounds"); do
	for keep in "${turn[@]}"; do
		one "$keep" "$@" >"$dir/line"
		tee -a "$dir/all" <"$dir/line"
	done
	turn=("${turn[@]:1}" "${turn[0]}")
done
"$here/compare.py" no <"$dir/all"
