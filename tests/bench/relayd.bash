# relayd.bash - for the benchmarks beside it, which source it: a relay of their own in $dir, from $build, that takes mail
# from loopback and sends all of it to a sink.

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# More of its configuration comes on standard input. Sets port, sink and pid.
relayd_start() {
	port=$(free_port) sink=$(free_port)
	rm -rf "$dir/state"
	{
		cat <<-X
		hostname  = "bench.example"
		state-dir = "$dir/state"
		control { socket = "$dir/control.sock" mode = "0600" }
		listen submission { address = "127.0.0.1:$port" }
		X
		cat
	} >"$dir/relayd.conf"
	"$build/weir-relayd" -c "$dir/relayd.conf" 2>"$dir/log" &
	pid=$!
	for _ in $(seq 100); do
		[ -S "$dir/control.sock" ] && (exec 3<>/dev/tcp/127.0.0.1/"$port") 2>/dev/null && break
		sleep 0.05
	done
	weir allow add 127.0.0.0/8 --note bench
	weir route add --to "smarthost:127.0.0.1:$sink" --note bench
}

weir() { "$build/weir" -r "unix:$dir/control.sock" "$@" >/dev/null || { cat "$dir/log" >&2; exit 2; }; }

# Ends the processes $pid and $other, where there are any.
# shellcheck disable=SC2034
relayd_end() {
	local p
	for p in ${pid:-} ${other:-}; do
		kill "$p" 2>/dev/null
		wait "$p" 2>/dev/null
	done
	pid="" other=""
}
