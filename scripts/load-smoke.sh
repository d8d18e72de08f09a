#!/usr/bin/env bash
# A few seconds of load on the embedded engine: fifty candidates answer a
# sample exam, and every answer that was called saved must be stored.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

programs=${INVIGIL_BIN:-${CARGO_TARGET_DIR:-target}/debug/invigil}
loadtest=$(dirname "$programs")/loadtest
folder=$(mktemp -d "${TMPDIR:-/tmp}/invigil-load.XXXXXX")
engine=
# shellcheck disable=SC2329
end() {
  [ -z "$engine" ] || kill "$engine" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT

"$loadtest" roster --candidates 50 --exam DEMO-ALL --out "$folder/roster.csv"
"$programs" serve --exam config/samples/demo-all.yaml --roster "$folder/roster.csv" \
  --data "$folder/data" --listen 127.0.0.1:0 >"$folder/out" 2>"$folder/log" &
engine=$!
wait_for 30 grep -q '^listening on ' "$folder/out" || fail "no start: $(tail -n 5 "$folder/log")"
address=$(sed -n 's/^listening on //p' "$folder/out")

"$loadtest" steady --url "http://$address" --exam DEMO-ALL --roster "$folder/roster.csv" \
  --candidates 50 --rate 100 --seconds 5 --submit
kill -TERM "$engine"
wait "$engine" || fail "the engine did not end well: $(tail -n 5 "$folder/log")"
engine=
