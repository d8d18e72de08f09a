#!/usr/bin/env bash
# Three nodes behind HAProxy, on PostgreSQL, Redis and MongoDB of their own, with
# sample exams and people: a cluster whose nodes can be killed.
#
#   scripts/demo-cluster.sh [--listen ADDRESS] [--dir DIR] [--restart SECONDS]
#
# --listen   address of the proxy                    (default 127.0.0.1:8080)
# --dir      an empty folder for everything, whose logs stay  (a temporary one)
# --restart  how long a node that ended stays away    (5)
#
# The program is INVIGIL_BIN (default target/debug/invigil). Ctrl-C or SIGTERM
# ends every process that was started here, by process id. DIR then has env
# (variables with which `invigil` reaches the same database), out (the output),
# pids/ (one file a process), addresses/ (of the nodes) and logs/.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
umask 077
cd "$(dirname "$0")/.."
# Debian's folder of HAProxy, which is missing on many PATHs.
PATH=$PATH:/usr/sbin

nodes=(one two three)
listen=127.0.0.1:8080
dir=
pause=5
declare -A pid port back_at

end() {
  local status=$? name
  trap '' INT TERM
  trap - EXIT
  [ -z "$dir" ] || echo 'stopping' >&2
  for name in "${nodes[@]}"; do tell TERM "$name"; done
  for name in "${nodes[@]}"; do await_end "$name"; done
  tell TERM proxy
  await_end proxy
  if [ -d "$dir/services" ]; then
    scripts/services.sh stop "$dir/services" || status=1
  fi
  if [ -n "$temporary" ]; then rm -rf "$dir"; fi
  exit "$status"
}

# tell SIGNAL NAME: signals a child that is still ours.
tell() {
  [ -z "${pid[$2]:-}" ] || kill -s "$1" "${pid[$2]}" 2>/dev/null || true
}

# Nodes write waiting changes and close their sockets, for `drain.seconds` at most.
await_end() {
  [ -n "${pid[$1]:-}" ] || return 0
  if ! wait_for 15 gone "${pid[$1]}"; then
    echo "$1 does not end: it is killed" >&2
    tell KILL "$1"
  fi
  pid[$1]=
}

gone() {
  ! kill -0 "$1" 2>/dev/null
}

start_services() {
  if ! scripts/services.sh start "$dir/services"; then
    grep -qs '_REDIS=' "$dir/services/env" || fail 'PostgreSQL or Redis did not start'
  fi
  eval "$(scripts/services.sh env "$dir/services")"
  {
    setting DATABASE__URL "$INVIGIL_TEST_POSTGRES"
    setting DATABASE__KEY_FILE "$dir/invigil.keys"
    setting REDIS__URL "$INVIGIL_TEST_REDIS"
    setting MEDIA__FOLDER "$dir/media"
    setting EVIDENCE__URL "$dir/evidence"
    setting SERVER__TRUSTED_PROXIES 127.0.0.1/32
    setting DRAIN__SECONDS 5
    if [ -n "${INVIGIL_TEST_MONGODB:-}" ]; then
      setting MONGODB__URL "$INVIGIL_TEST_MONGODB"
    else
      no_mongodb >&2
    fi
  } >"$dir/env"
  mkdir "$dir/media" "$dir/evidence"
}

no_mongodb() {
  printf '\n*** There is no MongoDB here, neither mongod nor SecantusDB from PyPI.\n'
  printf '*** Events and the history of attempts stay in PostgreSQL.\n\n'
}

setting() {
  printf "export INVIGIL__%s='%s'\n" "$1" "$2"
}

import_samples() {
  "$program" migrate --roles
  "$program" import exam config/samples/demo-all.yaml config/samples/demo-quiz.yaml
  "$program" import roster config/samples/roster.csv
}

# start_node NAME: starts it in the background, on its earlier port.
start_node() {
  mkdir -p "$dir/spool"
  INVIGIL__CLUSTER__NODE=$1 INVIGIL__RECORDER__SPOOL=$dir/spool/$1 \
    start "$1" "$program" serve --listen "127.0.0.1:${port[$1]}"
}

# start NAME COMMAND...: starts it in a session of its own, so that Ctrl-C
# reaches this script alone, which ends everything in good order.
start() {
  local name=$1
  shift
  setsid "$@" </dev/null >>"$dir/logs/$name.log" 2>&1 &
  pid[$name]=$!
  echo "${pid[$name]}" >"$dir/pids/$name"
}

# The listener on a port that was free a moment ago may be another process.
start_first() {
  local try
  for try in 1 2 3; do
    port[$1]=$(free_port)
    echo "127.0.0.1:${port[$1]}" >"$dir/addresses/$1"
    start_node "$1"
    if wait_for 60 ready_or_gone "$1" && ready "$1"; then return; fi
    tell KILL "$1"
  done
  fail "$1 was not ready in $try tries: $(tail -n 3 "$dir/logs/$1.log")"
}

ready_or_gone() {
  gone "${pid[$1]}" || ready "$1"
}

ready() {
  answers "127.0.0.1:${port[$1]}" /readyz
}

# answers ADDRESS PATH: succeeds if a GET gets 200.
answers() (
  exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
  IFS= read -r -t 5 line <&3 && [[ $line == 'HTTP/1.1 200'* ]]
) 2>/dev/null

start_proxy() {
  export INVIGIL_LISTEN=$listen
  export INVIGIL_NODE_ONE=127.0.0.1:${port[one]}
  export INVIGIL_NODE_TWO=127.0.0.1:${port[two]}
  export INVIGIL_NODE_THREE=127.0.0.1:${port[three]}
  # The descriptors for `maxconn` connections are more than some machines give.
  start proxy haproxy -db -n 2000 -f config/haproxy.cfg
  wait_for 10 proxy_answers_or_gone || true
  answers "$listen" /readyz || fail "no proxy on $listen: $(tail -n 3 "$dir/logs/proxy.log")"
}

proxy_answers_or_gone() {
  gone "${pid[proxy]}" || answers "$listen" /readyz
}

greet() {
  local name
  printf '\nOpen http://%s/ and sign in.\n\n' "$listen"
  awk -F, 'NR > 1 {printf "  %-12s %-14s %s\n", $1, $5, $4}' config/samples/roster.csv
  printf '\nExams: DEMO-ALL, DEMO-QUIZ. Watch one as its proctor:\n'
  printf '  %s watch --exam DEMO-ALL --server http://%s --user paula --code plum-4\n' \
    "$program" "$listen"
  printf '\nLet candidates go on at another node, all at once or in good order:\n'
  for name in "${nodes[@]}"; do
    printf '  %-6s http://127.0.0.1:%s/   kill -9 %-8s kill %s\n' \
      "$name" "${port[$name]}" "${pid[$name]}" "${pid[$name]}"
  done
  printf '\nA node that ended is started again %s s later; its new process id is told here.\n' \
    "$pause"
  printf 'Logs: %s/logs. Other commands of invigil, after: . %s/env\n' "$dir" "$dir"
  printf 'Ctrl-C ends all of it%s.\n' "${temporary:+ and removes $dir}"
}

# Starts ended processes again, until a signal.
look_after() {
  local name status
  while true; do
    for name in "${nodes[@]}"; do
      if [ -z "${pid[$name]}" ]; then
        if [ "$SECONDS" -ge "${back_at[$name]}" ]; then
          start_node "$name"
          echo "$name is back: kill -9 ${pid[$name]}"
        fi
      elif gone "${pid[$name]}"; then
        status=0
        wait "${pid[$name]}" || status=$?
        echo "$name (${pid[$name]}) ended with $status; it starts again in $pause s"
        pid[$name]=
        back_at[$name]=$((SECONDS + pause))
        rm -f "$dir/pids/$name"
      fi
    done
    gone "${pid[proxy]}" && fail "the proxy ended: $(tail -n 3 "$dir/logs/proxy.log")"
    sleep 0.2
  done
}

while [ "$#" -gt 0 ]; do
  [ "$#" -gt 1 ] || fail "usage: demo-cluster.sh [--listen ADDRESS] [--dir DIR] [--restart SECONDS]"
  case "$1" in
    --listen) listen=$2 ;;
    --dir) dir=$2 ;;
    --restart) pause=$2 ;;
    *) fail "there is no '$1'" ;;
  esac
  shift 2
done
program=$(realpath "${INVIGIL_BIN:-${CARGO_TARGET_DIR:-target}/debug/invigil}")
[ -x "$program" ] || fail "there is no $program; run: make demo-cluster"
scripts/need.sh postgres redis haproxy
! port_open "${listen##*:}" || fail "something listens on port ${listen##*:}; use --listen"

temporary=
if [ -z "$dir" ]; then
  dir=$(mktemp -d "${TMPDIR:-/tmp}/invigil-cluster.XXXXXX")
  temporary=yes
else
  mkdir -p "$dir"
  [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty"
  dir=$(cd "$dir" && pwd)
fi
trap end EXIT
trap 'exit 130' INT
trap 'exit 0' TERM
# PostgreSQL runs as another user, who must be able to pass.
chmod 711 "$dir"
mkdir "$dir/pids" "$dir/addresses" "$dir/logs"

start_services
# shellcheck source=/dev/null
. "$dir/env"
import_samples >&2
for name in "${nodes[@]}"; do start_first "$name"; done
start_proxy
greet | tee "$dir/out"
look_after
