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
# shellcheck source=tests/bench/relayd.bash
. "$here/relayd.bash"
trap 'relayd_end; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
relayd_start </dev/null
"$here/postfix.sh" "$@" "127.0.0.1:$port" "$sink" "$pid"
