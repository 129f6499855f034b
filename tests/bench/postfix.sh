#!/bin/bash
# postfix.sh - set up a private Postfix on loopback, measure it with relay.sh, and compare it
# with another relay (and with the limit of the load tools) in alternating rounds on the same machine.
#
#   usage: postfix.sh [options] [HOST:PORT SINKPORT [PID]]
#     HOST:PORT SINKPORT   the relay under test, running and configured to forward everything to
#                          127.0.0.1:SINKPORT; PID (optional) its main process, for CPU and memory
#     -f FLAVOUR  default | tuned | both      the Postfix configuration (default: both)
#     -R ROUNDS   alternating rounds          (default 3)
#     -n N        messages per run            (default 2000)
#     -s S  -l BYTES  -d                      as in relay.sh (20, 4096, one message per connection)
#     -b DIR      put Postfix's queue under DIR (default: under $TMPDIR or /var/tmp; use the file system
#                 that the relay under test keeps its queue on)
#     -k          keep DIR/the configuration for a look afterwards (default: removed)
#
# Last lines: key=value medians, and ratio_... = relay / postfix, the median of the per-round ratios.
# Needs root and apt (installs Debian's postfix without starting it, if missing). The instance has its own
# configuration, queue and data directories, listens on 127.0.0.1 only and is stopped at the end.
set -u
export LC_ALL=C
die() { echo "postfix-bench: $*" >&2; exit 2; }
HERE=$(cd "$(dirname "$0")" && pwd)
FL=both ROUNDS=3 N=2000 S=20 L=4096 D= BASE=${TMPDIR:-/var/tmp} KEEP=
while getopts f:R:n:s:l:db:kh o; do case $o in f) FL=$OPTARG;; R) ROUNDS=$OPTARG;; n) N=$OPTARG;; s) S=$OPTARG;; l) L=$OPTARG;;
 d) D=-d;; b) BASE=$OPTARG;; k) KEEP=1;; *) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 2;; esac; done
shift $((OPTIND-1))
RELAY=${1:-} SINKPORT=${2:-} RPID=${3:-}
[ -z "$RELAY" ] || [ -n "$SINKPORT" ] || die "HOST:PORT needs a SINKPORT"
[ "$(id -u)" = 0 ] || die "needs root (Postfix's master must start as root)"
case $FL in both) FLAVOURS="default tuned";; default|tuned) FLAVOURS=$FL;; *) die "-f default|tuned|both";; esac

if ! [ -x /usr/sbin/postfix ] || ! [ -x /usr/sbin/smtp-source ]; then
  echo "installing postfix with apt ..."
  made=; [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null 2>&1
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 postfix >/dev/null 2>&1 || die "apt-get install postfix failed"
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
fi

W=$(mktemp -d "$BASE/postfix-bench.XXXXXX") || exit 2
chmod 755 "$W"
declare -A PORT SINK MPID
stop_all() { # ask each private master to stop, wait for it; then end it and its children, by pid
  local f p c i
  for f in $FLAVOURS; do p=${MPID[$f]:-}; [ -n "$p" ] || continue
    c=$(pgrep -P "$p" 2>/dev/null)
    kill -TERM "$p" 2>/dev/null
    for i in $(seq 40); do kill -0 "$p" 2>/dev/null || break; sleep 0.05; done
    kill -0 "$p" 2>/dev/null && kill -KILL $p $c 2>/dev/null
  done; }
BPID=
cleanup() { [ -z "$BPID" ] || kill "$BPID" 2>/dev/null; stop_all; [ -n "$KEEP" ] && echo "kept: $W" || rm -rf "$W"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
free_port() { local p; for p in $(seq "$1" $(( $1 + 400 ))); do (exec 3<>/dev/tcp/127.0.0.1/"$p") 2>/dev/null || { echo "$p"; return; }; done; die "no free port"; }

setup() { # flavour port sinkport
  local f=$1 e=$W/$1/etc
  mkdir -p "$e" "$W/$f/queue" "$W/$f/data" "$W/$f/log"; chown postfix "$W/$f/data"; chmod 700 "$W/$f/data"
  cat >"$e/main.cf" <<X
compatibility_level = 3.6
queue_directory = $W/$f/queue
data_directory = $W/$f/data
command_directory = /usr/sbin
daemon_directory = $(ls -d /usr/lib/postfix/sbin /usr/libexec/postfix 2>/dev/null | head -1)
mail_owner = postfix
setgid_group = postdrop
syslog_name = postfix-bench
maillog_file = $W/$f/log/maillog
maillog_file_prefixes = $W
myhostname = bench.example
mydestination =
local_transport = error:no local mail
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
relayhost = [127.0.0.1]:$3
smtp_tls_security_level =
smtpd_tls_security_level =
notify_classes =
X
  # the best of the settings tried on a 2-core machine: no arrival brake, full concurrency at once, long-lived
  # processes, no shared connection cache (a loopback next hop is cheaper to reconnect to)
  [ "$f" = tuned ] && cat >>"$e/main.cf" <<X
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
default_destination_concurrency_failed_cohort_limit = 1000
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
max_use = 5000
smtp_connection_cache_on_demand = no
X
  cat >"$e/master.cf" <<X
127.0.0.1:$2 inet n - n - - smtpd
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
showq     unix  n - n -     - showq
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
X
  postfix -c "$e" start >"$W/$f/start.log" 2>&1 || { cat "$W/$f/start.log" "$W/$f/log/maillog" >&2; die "postfix did not start"; }
  local i; for i in $(seq 100); do MPID[$f]=$(tr -dc 0-9 <"$W/$f/queue/pid/master.pid" 2>/dev/null); [ -n "${MPID[$f]}" ] && (exec 3<>/dev/tcp/127.0.0.1/"$2") 2>/dev/null && return; sleep 0.05; done
  cat "$W/$f/log/maillog" >&2; die "postfix does not listen on $2"; }

p=24025
for f in $FLAVOURS; do PORT[$f]=$(free_port $p); SINK[$f]=$(free_port $((p+500))); p=$((p+1)); setup "$f" "${PORT[$f]}" "${SINK[$f]}"; done
NAMES=$(for f in $FLAVOURS; do echo "postfix_$f"; done); [ -n "$RELAY" ] && NAMES="relay $NAMES"

one() { # name hostport sinkport pid round
  local o; o=$("$HERE/relay.sh" "$2" "$3" -q -r 1 -n "$N" -s "$S" -l "$L" $D ${4:+-p "$4"} 2>"$W/err") || { cat "$W/err" >&2; echo "$o" >&2; die "$1 failed"; }
  echo "$o" | awk -F= -v n="$1" -v r="$5" '/^[a-z0-9_]+=[^ ]*$/{print r, n, $1, $2}' >>"$W/res"
  awk -v n="$1" -v r="$5" '$1==r && $2==n {v[$3]=$4} END{printf "round %s  %-16s accept %7.1f/s  end-to-end %7.1f/s  cpu %s s/1000  peak pss %s kB\n", r, n, v["accept_per_s"], v["e2e_per_s"], v["cpu_s_per_1000"], v["peak_pss_kb"]}' "$W/res"; }

o=$("$HERE/relay.sh" 127.0.0.1:1 "$(free_port 24925)" -S -q -r 1 -n $((N*2)) -s "$S" -l "$L" $D) && echo "$o" | awk -F= '/_per_s=/{print 0, "limit", $1, $2}' >>"$W/res"
for r in $(seq "$ROUNDS"); do
  for n in $NAMES; do case $n in
    relay) one relay "$RELAY" "$SINKPORT" "$RPID" "$r";;
    *) f=${n#postfix_}; one "$n" "127.0.0.1:${PORT[$f]}" "${SINK[$f]}" "${MPID[$f]}" "$r";; esac; done; done

echo "--- n=$N sessions=$S bytes=$L keepalive=${D:+yes} rounds=$ROUNDS; postfix $(postconf -dh mail_version 2>/dev/null); $(nproc) cores; queue on $(stat -f -c %T "$W")"
awk 'function med(a,n,  i,j,t){for(i=2;i<=n;i++){t=a[i];for(j=i-1;j>0&&a[j]>t;j--)a[j+1]=a[j];a[j+1]=t} return n%2?a[(n+1)/2]:(a[n/2]+a[n/2+1])/2}
 {v[$1,$2,$3]=$4; if(!($2 in seen)){seen[$2]=1; ord[++k]=$2} keys[$3]=1; if($1>R)R=$1}
 END{ split("accept_per_s e2e_per_s cpu_s_per_1000 peak_rss_kb peak_pss_kb",K," ");
  for(i=1;i<=k;i++) for(j=1;j<=5;j++){ n=0; for(r=0;r<=R;r++) if((r,ord[i],K[j]) in v) a[++n]=v[r,ord[i],K[j]]; if(n) printf "%s_%s=%g\n",ord[i],K[j],med(a,n) }
  for(i=1;i<=k;i++) if(ord[i]~/^postfix/ && ("relay" in seen)) for(j=1;j<=3;j++){ n=0; for(r=1;r<=R;r++) if(((r,"relay",K[j]) in v) && v[r,ord[i],K[j]]>0) a[++n]=v[r,"relay",K[j]]/v[r,ord[i],K[j]]; if(n) printf "ratio_relay_vs_%s_%s=%.2f\n",ord[i],K[j],med(a,n) }
  if(!("relay" in seen) && ("postfix_tuned" in seen) && ("postfix_default" in seen)) for(j=1;j<=3;j++){ n=0; for(r=1;r<=R;r++) if(v[r,"postfix_default",K[j]]>0) a[++n]=v[r,"postfix_tuned",K[j]]/v[r,"postfix_default",K[j]]; if(n) printf "ratio_tuned_vs_default_%s=%.2f\n",K[j],med(a,n) }
  for(i=1;i<=k;i++) { x=0; for(r=1;r<=R;r++) x+=v[r,ord[i],"sink_extra"]; if(x) printf "%s_sink_extra=%d\n",ord[i],x } }' "$W/res"
