#!/bin/bash
# feeds.sh - what it costs to tell others of what happens: throughput and CPU of relaying with events into a file,
# events posted to a webhook, a scraper of metrics, and somebody who listens to all that is spoken, each against none,
# in alternating rounds.
#
#   usage: feeds.sh [-R rounds] [-k "kinds"] [options of relay.sh, such as -n 5000 -s 20]
#
# Needs what relay.sh needs. Everything is on loopback and ends with the script. The receiver of the webhook and the
# listener run on the same machine: with few cores they take from what is measured; the relay's own CPU is told apart.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${WEIR_BUILD:-$here/../../build}
rounds=5
kinds="none file webhook metrics trace"
while :; do
	case ${1:-} in
	-R) rounds=$2; shift 2 ;;
	-k) kinds=$2; shift 2 ;;
	*) break ;;
	esac
done
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/weir-bench.XXXXXX") || exit 2
pid="" other=""
stop() { [ -z "$1" ] || { kill "$1" 2>/dev/null; wait "$1" 2>/dev/null; }; }
end() { stop "$other"; other=; stop "$pid"; pid=; }
trap 'end; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
echo "a secret for a benchmark" >"$dir/secret"
cat >"$dir/hook.py" <<'X'
"""Takes posts and says 200; how many events there were goes to a file."""
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    events = 0

    def do_POST(self):
        Handler.events += self.rfile.read(int(self.headers["Content-Length"])).count(b'"seq":')
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        open(sys.argv[2], "w").write(str(Handler.events))

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
X
cat >"$dir/scrape.py" <<'X'
"""Asks for the metrics once a second."""
import sys, time, urllib.request

while True:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=5).read()
    open(sys.argv[2], "a").write("1\n")
    time.sleep(1)
X
one() { # kind
	local kind=$1 port sink feed
	shift
	port=$(free_port) sink=$(free_port) feed=$(free_port)
	rm -rf "$dir/state" "$dir/told"*
	cat >"$dir/relayd.conf" <<-X
	hostname  = "bench.example"
	state-dir = "$dir/state"
	control { socket = "$dir/control.sock" mode = "0600" }
	listen submission { address = "127.0.0.1:$port" }
	queue { keep-finished-max = 1000000 }
	X
	case $kind in
	file) echo "sink bench { file = \"$dir/told\" size = \"1G\" }" ;;
	webhook) echo "sink bench { url = \"http://127.0.0.1:$feed/\" secret-file = \"$dir/secret\" batch = 250 }" ;;
	metrics) echo "metrics { address = \"127.0.0.1:$feed\" }" ;;
	esac >>"$dir/relayd.conf"
	"$build/weir-relayd" -c "$dir/relayd.conf" 2>"$dir/log" &
	pid=$!
	for _ in $(seq 100); do [ -S "$dir/control.sock" ] && (exec 3<>/dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.05; done
	weir() { "$build/weir" -r "unix:$dir/control.sock" "$@" >/dev/null || { cat "$dir/log" >&2; exit 2; }; }
	weir allow add 127.0.0.0/8 --note bench
	weir route add --to "smarthost:127.0.0.1:$sink" --note bench
	case $kind in
	webhook) /usr/bin/python3 "$dir/hook.py" "$feed" "$dir/told" & other=$! ;;
	metrics) /usr/bin/python3 "$dir/scrape.py" "$feed" "$dir/told" & other=$! ;;
	trace) "$build/weir" -r "unix:$dir/control.sock" trace all >"$dir/told" & other=$! ;;
	esac
	[ -z "$other" ] || sleep 0.5
	"$here/relay.sh" "127.0.0.1:$port" "$sink" -q -r 1 -p "$pid" "$@" >"$dir/out" || exit 2
	sleep 1 # what is behind comes
	end
	case $kind in
	none) echo 0 ;;
	webhook) cat "$dir/told" ;;
	*) wc -l <"$dir/told" ;;
	esac | sed 's/^/told=/' >>"$dir/out"
	awk -F= -v k="$kind" '$1=="e2e_per_s"{e=$2} $1=="cpu_s_per_1000"{c=$2} $1=="told"{t=$2}
		END{printf "%-9s e2e_per_s=%s cpu_s_per_1000=%s told=%s\n", k, e, c, t}' "$dir/out"
}
# What ran before leaves the disk work to do: the order turns by one each round.
for _ in $(seq "$rounds"); do
	for kind in $kinds; do one "$kind" "$@" | tee -a "$dir/all"; done
	kinds="${kinds#* } ${kinds%% *}"
done
/usr/bin/python3 - "$dir/all" <<'X'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    kind, *fields = line.split()
    for name, value in (f.split("=") for f in fields):
        rows.setdefault(kind, {}).setdefault(name, []).append(float(value))
for kind, r in rows.items():
    print(f"{kind}: " + "  ".join(f"{name} {statistics.median(v):.3f}" for name, v in r.items()))
base = rows["none"]
spread = [abs(a / b - 1) for a, b in zip(base["e2e_per_s"], base["e2e_per_s"][1:])]
if spread:
    print(f"noise: none against none of the next round differs by {100 * statistics.median(spread):.1f} % in e2e_per_s")
for kind in rows:
    if kind != "none":
        print(f"{kind} against none: " + "  ".join(
            f"{name} {100 * statistics.median(v / b for v, b in zip(rows[kind][name], base[name])) - 100:+.1f} %"
            for name in ("e2e_per_s", "cpu_s_per_1000")))
X
