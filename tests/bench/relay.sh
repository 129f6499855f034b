#!/bin/bash
# relay.sh - measure an SMTP relay that is already running and already
# configured to forward everything to 127.0.0.1:SINKPORT.
#
#   usage: relay.sh HOST:PORT SINKPORT [options]
#     -n N        messages per run               (default 2000)
#     -r RUNS     runs                           (default 5; the median is printed)
#     -s S        parallel sessions              (default 20)
#     -l BYTES    body bytes per message         (default 4096)
#     -d          keep each session open for many messages (default: one message per connection)
#     -p PID      main process of the relay: also print CPU s per 1000 messages and peak memory
#                 of PID and its descendants
#     -c CGROUP   cpuacct cgroup (v1 path with cpuacct.usage) to read CPU from, instead of -p's /proc sum
#     -a          accept only: start no sink; print only the accept rate (the relay keeps the mail)
#     -S          no relay: measure the limit, smtp-source straight into smtp-sink
#     -t SECS     give up waiting for the sink after SECS per run (default 60)
#     -f FROM -T TO   envelope addresses
#     -q          print only the final key=value lines
#
# Prints one line per run and, last, `key=value` lines (medians):
#     accept_per_s  N / (time until the last message was answered 250)
#     e2e_per_s     N / (time until the sink had received the last message), same start
#     sink_extra    messages that the sink got above N*RUNS (0 unless the relay duplicates or had a backlog)
# Needs: smtp-source and smtp-sink (Debian package postfix; installed with apt, not started, if missing),
# bash 5, perl-base. Only loopback addresses are accepted. Ends what it started, by pid.
set -u
export LC_ALL=C
die() { echo "relay: $*" >&2; exit 2; }
[ $# -ge 2 ] || { sed -n '2,27s/^# \{0,1\}//p' "$0"; exit 2; }
RELAY=$1 SINKPORT=$2; shift 2
N=2000 RUNS=5 S=20 L=4096 D= PID= CG= ACCEPT= LIMIT= WAIT=60 QUIET= FROM=sender@example.org TO=user@example.com
while getopts n:r:s:l:dp:c:aSt:f:T:q o; do case $o in
 n) N=$OPTARG;; r) RUNS=$OPTARG;; s) S=$OPTARG;; l) L=$OPTARG;; d) D=-d;; p) PID=$OPTARG;; c) CG=$OPTARG;;
 a) ACCEPT=1;; S) LIMIT=1;; t) WAIT=$OPTARG;; f) FROM=$OPTARG;; T) TO=$OPTARG;; q) QUIET=1;; *) exit 2;; esac; done
case $RELAY in 127.*:*|localhost:*|\[::1\]:*) ;; *) die "only loopback relays: $RELAY";; esac
say() { [ -n "$QUIET" ] || echo "$@"; }

SMTP_SOURCE=$(command -v smtp-source || ls /usr/sbin/smtp-source 2>/dev/null)
SMTP_SINK=$(command -v smtp-sink || ls /usr/sbin/smtp-sink 2>/dev/null)
if [ -z "$SMTP_SOURCE" ] || [ -z "$SMTP_SINK" ]; then
  [ "$(id -u)" = 0 ] || die "smtp-source missing: install Debian's postfix package"
  made=; [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1; }
  apt-get update -qq >/dev/null 2>&1
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 postfix >/dev/null 2>&1 || die "apt-get install postfix failed"
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
  SMTP_SOURCE=/usr/sbin/smtp-source SMTP_SINK=/usr/sbin/smtp-sink
fi

W=$(mktemp -d) || exit 2
SINK= CNT= SAMP=
cleanup() {
  local p; for p in $SAMP $SINK $CNT; do kill "$p" 2>/dev/null; done
  for p in $SAMP $SINK $CNT; do wait "$p" 2>/dev/null; done
  rm -rf "$W"; }
trap cleanup EXIT; trap 'exit 130' INT TERM

up() { local a; read -r a _ </proc/uptime; echo "$a"; }         # 10 ms
median() { sort -n | awk '{a[NR]=$1} END{if(!NR){print "nan"}else if(NR%2)print a[(NR+1)/2];else print (a[NR/2]+a[NR/2+1])/2}'; }
# CPU seconds used so far by PID and its descendants (their own, and that of children already waited for)
TREE='sub tree { my ($root)=@_; my (%pp,%st,@t); for my $f (glob "/proc/[0-9]*/stat") { open my $h,"<",$f or next; my $l=<$h>; next unless defined $l && $l =~ /^(\d+) .*\) \S (\d+) (.*)/s; $pp{$1}=$2; $st{$1}=$3 }
  for my $p (keys %pp) { my $q=$p; $q=$pp{$q} while $q && $q!=$root; push @t,$p if $q && $q==$root } return (\@t,\%st) }'
cpu() {
  if [ -n "$CG" ]; then awk '{printf "%.3f\n",$1/1e9}' "$CG/cpuacct.usage"; return; fi
  perl -e "$TREE"'; my ($t,$st)=tree($ARGV[0]); my $s=0; for (@$t) { my @f=split " ",$st->{$_}; $s+=$f[9]+$f[10]+$f[11]+$f[12] } printf "%.3f\n",$s/$ARGV[1]' "$PID" "$(getconf CLK_TCK)"; }
mem_sampler() { # once a second: sums of Rss and Pss over the tree, kB, and its number of processes
  exec perl -e "$TREE"'; $|=1; while (1) { my ($t)=tree($ARGV[0]); my ($r,$p,$n)=(0,0,0);
    for (@$t) { open my $h,"<","/proc/$_/smaps_rollup" or next; $n++; while (<$h>) { $r+=$1 if /^Rss:\s+(\d+)/; $p+=$1 if /^Pss:\s+(\d+)/ } }
    print "$r $p $n\n"; select undef,undef,undef,1 }' "$PID" >"$W/mem"; }

[ -n "$LIMIT" ] && { RELAY=127.0.0.1:$SINKPORT; }
if [ -z "$ACCEPT" ]; then
  U=; [ "$(id -u)" = 0 ] && U="-u nobody"
  mkfifo "$W/fifo"
  # smtp-sink -c rewrites one counter line; note the time whenever the message count passes a multiple of N
  perl -e '
    my ($n,$f)=@ARGV; my $now; if (eval { require Time::HiRes; 1 }) { $now=sub{ Time::HiRes::clock_gettime(Time::HiRes::CLOCK_BOOTTIME()) } }
    else { $now=sub{ open my $u,"<","/proc/uptime"; (split " ",<$u>)[0] } }
    open my $o,">",$f or die; select $o; $|=1; my $next=$n; my $buf="";
    while (sysread STDIN,$buf,65536,length $buf) { my $last; while ($buf =~ s/^[^\r]*?mesg=(\d+)[^\r]*\r//) { $last=$1; if ($last>=$next) { print "done $next ",&$now,"\n"; $next+=$n } }
      if (defined $last) { open my $c,">","$f.count"; print $c "$last\n" } }' "$N" "$W/marks" <"$W/fifo" &
  CNT=$!
  "$SMTP_SINK" $U -4 -c -m 1024 127.0.0.1:"$SINKPORT" 1024 >"$W/fifo" 2>"$W/sink.err" &
  SINK=$!
  for i in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/"$SINKPORT") 2>/dev/null && break; sleep 0.05; done
  kill -0 $SINK 2>/dev/null || die "smtp-sink did not start: $(cat "$W/sink.err")"
fi
[ -n "$PID" ] && { mem_sampler & SAMP=$!; }

rc=0
for run in $(seq "$RUNS"); do
  [ -n "$PID$CG" ] && c0=$(cpu)
  t0=$(up)
  "$SMTP_SOURCE" -4 $D -s "$S" -m "$N" -l "$L" -M bench.example -f "$FROM" -t "$TO" "$RELAY" 2>"$W/src.err" || { cat "$W/src.err" >&2; die "smtp-source failed"; }
  t1=$(up)
  t2=
  if [ -z "$ACCEPT" ]; then
    for i in $(seq $((WAIT*20))); do
      t2=$(awk -v k=$((run*N)) '$1=="done" && $2==k {print $3}' "$W/marks"); [ -n "$t2" ] && break; sleep 0.05; done
    [ -n "$t2" ] || { echo "relay: only $(cat "$W/marks.count" 2>/dev/null) of $((run*N)) at the sink after ${WAIT}s" >&2; rc=1; break; }
  fi
  [ -n "$PID$CG" ] && { sleep 0.3; c1=$(cpu); }
  awk -v n="$N" -v a="$t0" -v b="$t1" -v c="$t2" -v c0="${c0:-}" -v c1="${c1:-}" 'BEGIN{printf "%.1f %s %s\n", n/(b-a), (c!=""? sprintf("%.1f",n/(c-a)) : "-"), (c1!=""? sprintf("%.3f",(c1-c0)*1000/n) : "-")}' >>"$W/res"
  set -- $(tail -1 "$W/res"); say "run $run: accept $1/s  end-to-end $2/s  cpu $3 s/1000"
done
extra=0
[ -n "$ACCEPT" ] || { sleep 0.5; extra=$(( $(cat "$W/marks.count") - $(wc -l <"$W/res")*N )); }
echo "relay=$RELAY n=$N sessions=$S bytes=$L keepalive=${D:+yes} runs=$(wc -l <"$W/res")"
echo "accept_per_s=$(awk '{print $1}' "$W/res" | median)"
[ -n "$ACCEPT" ] || echo "e2e_per_s=$(awk '{print $2}' "$W/res" | median)"
[ -n "$ACCEPT" ] || echo "sink_extra=$extra"
[ -n "$PID$CG" ] && echo "cpu_s_per_1000=$(awk '{print $3}' "$W/res" | median)"
[ -n "$PID" ] && awk '{if($1>r)r=$1; if($2>p)p=$2; if($3>n)n=$3} END{print "peak_rss_kb=" r; print "peak_pss_kb=" p; print "peak_procs=" n}' "$W/mem"
exit $rc
