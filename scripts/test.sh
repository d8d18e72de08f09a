#!/usr/bin/env bash
# Runs every check, cheap ones first; stops at the first that fails.
#
#   scripts/test.sh           all of them, then a table of their costs
#   scripts/test.sh STEP...   these only; `scripts/test.sh list` names them
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

# One build serves everything from `build` on: the programs that end-to-end
# tests start come out of it, in the profile of the tests.
steps=(tools pages fmt shell js lint build rust mutants docs python browser load cluster)
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
export INVIGIL_BIN=$target/debug/invigil

step_tools() {
  scripts/need.sh rust node make
  scripts/need.sh cc postgres redis chromium python shellcheck haproxy
}

# The engine carries the pages inside, so they come before any build of it.
step_pages() {
  (cd clients && npm ci && npm run build)
}

step_fmt() {
  cargo fmt --all --check
}

step_shell() {
  local script
  for script in .ci/run scripts/*.sh; do
    bash -n "$script"
  done
  shellcheck -x .ci/run scripts/*.sh
}

step_js() {
  (cd clients && npm run check && npm test)
}

step_lint() {
  cargo clippy --workspace --all-targets --locked -- -D warnings
  cargo clippy --no-default-features --bin invigil --profile test --locked -- -D warnings
}

step_build() {
  cargo build --workspace --all-targets --locked
}

step_rust() {
  local services
  services=$(mktemp -d "${TMPDIR:-/tmp}/invigil-services.XXXXXX")
  # shellcheck disable=SC2064
  trap "scripts/services.sh stop '$services'" EXIT
  scripts/services.sh start "$services"
  eval "$(scripts/services.sh env "$services")"
  [ -d ../shared/data/exams ] ||
    skip "real exams (230 and 220 questions)" "there is no ../shared/data/exams"
  if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace --locked
  else
    cargo test --workspace --locked --lib --bins --tests
  fi
  # A setting of what the program was built without is refused.
  cargo test --locked --no-default-features --bin invigil without
}

# Faults within the engine, each of which the simulation must find.
step_mutants() {
  scripts/mutants.sh
}

step_docs() {
  cargo test --doc --workspace --locked
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
}

step_python() {
  local venv=$target/tools/protocol-tests wanted=tests/python/requirements.txt
  if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/requirements.txt"
  fi
  "$venv/bin/python" -m pytest -c tests/python/pytest.ini tests/python
}

step_browser() {
  local chromium
  chromium=$(find_chromium) || fail "Chromium is missing; run: scripts/need.sh chromium"
  (cd clients/web && INVIGIL_CHROMIUM=$chromium npm run e2e)
}

step_load() {
  scripts/load-smoke.sh
}

step_cluster() {
  scripts/cluster-smoke.sh
  scripts/chaos-smoke.sh
}

# A suite that does not run is reported, with the reason, here and in the table.
skip() {
  echo "SKIPPED: $1: $2"
  [ -z "${INVIGIL_SKIPPED:-}" ] || echo "$1: $2" >>"$INVIGIL_SKIPPED"
}

run_all() {
  local step started failed='' passed=0
  local costs=()
  INVIGIL_SKIPPED=$(mktemp)
  export INVIGIL_SKIPPED
  for step in "$@"; do
    printf '\n== %s\n' "$step"
    started=$SECONDS
    # A process of its own: `set -e` holds in it, and its traps run at its end.
    if bash scripts/test.sh --step "$step"; then
      passed=$((passed + 1))
    else
      failed=$step
    fi
    costs+=("$(printf '%-8s %4d s' "$step" $((SECONDS - started)))")
    [ -z "$failed" ] || break
  done

  printf '\n== what each step cost\n'
  printf '%s\n' "${costs[@]}"
  printf '%-8s %4d s\n' all "$SECONDS"
  sed 's/^/SKIPPED: /' "$INVIGIL_SKIPPED"
  local skipped
  skipped=$(wc -l <"$INVIGIL_SKIPPED")
  rm -f "$INVIGIL_SKIPPED"
  [ -z "$failed" ] || echo "failed: $failed (again: scripts/test.sh $failed)"
  printf 'steps: %d passed, %d failed, %d skipped\n' \
    "$passed" "$([ -z "$failed" ] && echo 0 || echo 1)" "$skipped"
  [ -z "$failed" ]
}

known() {
  declare -F "step_$1" >/dev/null || fail "there is no step '$1'; steps: ${steps[*]}"
}

case "${1:-}" in
  '') run_all "${steps[@]}" ;;
  list) printf '%s\n' "${steps[@]}" ;;
  --step)
    known "$2"
    "step_$2"
    ;;
  *)
    for step in "$@"; do known "$step"; done
    run_all "$@"
    ;;
esac
