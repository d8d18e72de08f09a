#!/usr/bin/env bash
# Measures the figures of docs/performance.md, on this machine: the engine on
# PostgreSQL, and beside it, in the same run, a bare echo server.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

scripts/need.sh rust cc postgres
[ -d clients/web/dist ] || fail "the pages are not built; run: .ci/run pages"
cargo build --release --workspace --bins --locked
release=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/invigil-figures.XXXXXX")
chmod 711 "$folder"
echo_server=
engine=
# shellcheck disable=SC2329
end() {
  [ -z "$engine" ] || kill "$engine" 2>/dev/null || true
  [ -z "$echo_server" ] || kill -INT "$echo_server" 2>/dev/null || true
  [ ! -d "$folder/postgres" ] || scripts/postgres.sh destroy "$folder/postgres"
  rm -rf "$folder"
}
trap end EXIT

# Forty questions, so that each candidate can have forty answers.
write_exam() {
  local number
  printf 'code: FIGURES\ntitle: Figures\ntype: practice\nduration_minutes: 600\n'
  printf 'max_attempts: 10\nsections:\n  - id: s1\n    title: All\n    questions:\n'
  for number in $(seq 1 40); do
    printf '      - {id: q%s, type: single_choice, content: Question, points: 1, answer: a,\n' \
      "$number"
    printf '         options: [{id: a, text: A}, {id: b, text: B}, {id: c, text: C}]}\n'
  done
}

INVIGIL__DATABASE__URL=$(scripts/postgres.sh create "$folder/postgres")
export INVIGIL__DATABASE__URL INVIGIL__DATABASE__KEY_FILE="$folder/keys"
write_exam >"$folder/figures.yaml"
"$release/loadtest" roster --candidates 1000 --exam FIGURES --out "$folder/roster.csv"
"$release/invigil" migrate --roles
"$release/invigil" import exam "$folder/figures.yaml"
"$release/invigil" import roster "$folder/roster.csv"
start_engine() {
  : >"$folder/out"
  "$release/invigil" serve --listen 127.0.0.1:0 >"$folder/out" 2>"$folder/log" &
  engine=$!
  wait_for 60 grep -q '^listening on ' "$folder/out" || fail "no start: $(tail -n 5 "$folder/log")"
  address=$(sed -n 's/^listening on //p' "$folder/out")
}
stop_engine() {
  kill "$engine"
  wait "$engine"
  engine=
}
port=$(free_port)
"$release/loadtest" echo --listen "127.0.0.1:$port" &
echo_server=$!
wait_for 10 port_open "$port" || fail "the echo server did not start"

# The first rate gives each candidate all forty answers. Each rate has a new engine,
# whose memory before is that of an unused engine.
for rate in 2000 500 5000; do
  start_engine
  printf '\n== %s answers a second, 1,000 candidates\n' "$rate"
  "$release/loadtest" steady --url "http://$address" --exam FIGURES \
    --roster "$folder/roster.csv" --candidates 1000 --rate "$rate" --seconds 30 --pid "$engine"
  stop_engine
  printf '\n== %s messages a second, bare echo\n' "$rate"
  "$release/loadtest" echo-load --address "127.0.0.1:$port" --connections 1000 \
    --rate "$rate" --seconds 30 --pid "$echo_server"
done
