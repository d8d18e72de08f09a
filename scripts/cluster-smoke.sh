#!/usr/bin/env bash
# The demo cluster with candidates on it, while its nodes are killed and replaced:
# every answer that was called saved must be stored, and no process may stay.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
umask 077
cd "$(dirname "$0")/.."

target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
export INVIGIL_BIN=${INVIGIL_BIN:-$target/debug/invigil}
folder=$(mktemp -d "${TMPDIR:-/tmp}/invigil-smoke.XXXXXX")
chmod 711 "$folder"
dir=$folder/cluster
cluster=
# shellcheck disable=SC2329
end() {
  if [ -n "$cluster" ]; then
    kill "$cluster" 2>/dev/null || true
    wait_for 60 gone "$cluster" || true
  fi
  rm -rf "$folder"
}
trap end EXIT

gone() {
  ! kill -0 "$1" 2>/dev/null
}

# The packages of the protocol tests, in the same place.
python_with_packages() {
  local venv=$target/tools/protocol-tests wanted=tests/python/requirements.txt
  if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2
    cp "$wanted" "$venv/requirements.txt"
  fi
  echo "$venv/bin/python"
}

roster() {
  local number
  echo 'id,name,email,role,code,exams,time_factor,extra_minutes'
  for number in $(seq 0 19); do
    echo "smoke$number,Smoke $number,,candidate,smoke-code-$number,DEMO-ALL,,"
  done
}

started_or_gone() {
  grep -qs '^Ctrl-C ends' "$dir/out" || gone "$cluster"
}

# Processes of the folder, by their command line or their working directory.
left_over() {
  local process
  for process in /proc/[0-9]*; do
    if [[ "$(readlink "$process/cwd" 2>/dev/null)" == "$dir"* ]] ||
      grep -qsaF "$dir/" "$process/cmdline"; then
      echo "${process#/proc/} $(tr '\0' ' ' <"$process/cmdline")"
    fi
  done 2>/dev/null
}

scripts/need.sh postgres redis haproxy python
python=$(python_with_packages)
address=127.0.0.1:$(free_port)
scripts/demo-cluster.sh --listen "$address" --dir "$dir" --restart 1 >"$folder/told" 2>&1 &
cluster=$!
wait_for 60 started_or_gone || true
grep -qs '^Ctrl-C ends' "$dir/out" || fail "no start: $(tail -n 5 "$folder/told")"
roster >"$folder/roster.csv"
(
  # shellcheck source=/dev/null
  . "$dir/env"
  "$INVIGIL_BIN" import roster "$folder/roster.csv"
) >&2
mapfile -t started < <(cat "$dir"/pids/*)

if ! PYTHONPATH=tests/python timeout 120 "$python" scripts/cluster_smoke.py "$address" "$dir"; then
  tail -n 15 "$dir"/logs/*.log >&2
  tail -n 20 "$folder/told" >&2
  fail 'something was lost'
fi
if grep -h -e panicked -e ' ERROR ' "$dir"/logs/*.log >&2; then fail 'a node had errors'; fi

mapfile -t -O "${#started[@]}" started < <(cat "$dir"/pids/*)
kill "$cluster"
wait "$cluster" || fail "the cluster did not end well: $(tail -n 5 "$folder/told")"
cluster=
for pid in "${started[@]}"; do
  gone "$pid" || fail "process $pid runs on"
done
[ -z "$(left_over)" ] || fail "left over: $(left_over)"
echo "all ended; it took $SECONDS s"
