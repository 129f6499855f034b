#!/bin/bash
# throughput.sh - Weir and Postfix side by side on the same disk, in alternating rounds: accepted (durably) and relayed
# messages per second, CPU per thousand, and the ratios; beside them the limit of the load tools.
#
#   usage: throughput.sh [options of postfix.sh, such as -d -n 5000 -R 3]
#          throughput.sh -t [options of secure.py]: TLS on both sides and DKIM, beside Postfix with TLS and OpenDKIM
#
# Needs root and Debian's postfix (postfix.sh installs it). Everything is on loopback and ends with the script.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ "${1:-}" != -t ] || { shift; exec /usr/bin/python3 "$here/secure.py" "$@"; }
build=${WEIR_BUILD:-$here/../../build}
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/weir-bench.XXXXXX") || exit 2
pid=
cleanup() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; }; rm -rf "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) sink=$(free_port)
cat >"$dir/relayd.conf" <<X
hostname  = "bench.example"
state-dir = "$dir/state"
control { socket = "$dir/control.sock" mode = "0600" }
listen submission { address = "127.0.0.1:$port" }
X
"$build/weir-relayd" -c "$dir/relayd.conf" 2>"$dir/log" &
pid=$!
for _ in $(seq 100); do [ -S "$dir/control.sock" ] && (exec 3<>/dev/tcp/127.0.0.1/"$port") 2>/dev/null && break; sleep 0.05; done
weir() { "$build/weir" -r "unix:$dir/control.sock" "$@" >/dev/null || { cat "$dir/log" >&2; exit 2; }; }
weir allow add 127.0.0.0/8 --note bench
weir route add --to "smarthost:127.0.0.1:$sink" --note bench
"$here/postfix.sh" "$@" "127.0.0.1:$port" "$sink" "$pid"
