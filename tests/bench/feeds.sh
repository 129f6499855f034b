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
# shellcheck source=tests/bench/relayd.bash
. "$here/relayd.bash"
trap 'relayd_end; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
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
	local kind=$1 feed
	shift
	feed=$(free_port)
	rm -f "$dir/told"*
	case $kind in
	file) echo "sink bench { file = \"$dir/told\" size = \"1G\" }" ;;
	webhook) echo "sink bench { url = \"http://127.0.0.1:$feed/\" secret-file = \"$dir/secret\" batch = 250 }" ;;
	metrics) echo "metrics { address = \"127.0.0.1:$feed\" }" ;;
	esac >"$dir/more"
	echo "queue { keep-finished-max = 1000000 }" >>"$dir/more"
	relayd_start <"$dir/more"
	case $kind in
	webhook) /usr/bin/python3 "$dir/hook.py" "$feed" "$dir/told" & other=$! ;;
	metrics) /usr/bin/python3 "$dir/scrape.py" "$feed" "$dir/told" & other=$! ;;
	trace) "$build/weir" -r "unix:$dir/control.sock" trace all >"$dir/told" & other=$! ;;
	esac
	[ -z "$other" ] || sleep 0.5
	"$here/relay.sh" "127.0.0.1:$port" "$sink" -q -r 1 -p "$pid" "$@" >"$dir/out" || exit 2
	sleep 1 # what is behind comes
	relayd_end
	case $kind in
	none) echo 0 ;;
	webhook) cat "$dir/told" ;;
	*) wc -l <"$dir/told" ;;
	esac | sed 's/^/told=/' >>"$dir/out"
	awk -F= -v k="$kind" '$1=="e2e_per_s"{e=$2} $1=="cpu_s_per_1000"{c=$2} $1=="told"{t=$2}
		END{printf "%-9s e2e_per_s=%s cpu_s_per_1000=%s told=%s\n", k, e, c, t}' "$dir/out"
}
# What ran before leaves the disk work to do: the order turns by one each round.
read -ra turn <<<"$kinds"
for _ in $(seq "$rounds"); do
	for kind in "${turn[@]}"; do
		one "$kind" "$@" >"$dir/line"
		tee -a "$dir/all" <"$dir/line"
	done
	turn=("${turn[@]:1}" "${turn[0]}")
done
"$here/compare.py" none <"$dir/all"
