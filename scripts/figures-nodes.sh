#!/usr/bin/env bash
# Measures the figures of docs/performance.md for several nodes, on this machine:
# hand-overs between two nodes that live, a node that is killed with all its
# candidates, and the cost of a command on one node and on two. Arguments go to
# the program: scripts/figures-nodes.sh --only kill --survivors 2
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

scripts/need.sh rust cc postgres redis
[ -d clients/web/dist ] || fail "the pages are not built; run: .ci/run pages"
cargo build --release --workspace --bins --locked
release=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
# Three descriptors for each of 3,000 candidates are more than many shells allow.
ulimit -n "$(ulimit -Hn)"
exec "$release/loadtest" nodes --bin "$release/invigil" "$@"
