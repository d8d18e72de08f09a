#!/usr/bin/env bash
# A minute of faults on three real nodes: sixty candidates answer while nodes,
# PostgreSQL, Redis, MongoDB and the network fail, and nothing may be lost. Every
# run has a new seed; scripts/chaos-smoke.sh SEED repeats a run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

programs=${INVIGIL_BIN:-${CARGO_TARGET_DIR:-target}/debug/invigil}
loadtest=$(dirname "$programs")/loadtest
scripts/need.sh postgres redis
seed=${1:-$RANDOM}
exec "$loadtest" chaos --bin "$programs" --seed "$seed" --seconds 60 --candidates 60
