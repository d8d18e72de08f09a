#!/usr/bin/env bash
# Puts the faults of tests/mutants.patch into a copy of the engine, one at a time,
# and fails if the simulation does not find one of them.
#
#   scripts/mutants.sh            all of them, then a table
#   scripts/mutants.sh NAME...    these only
#
# MUTANT_SEEDS=100 is the number of seeds within which each must be found.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

patch=$PWD/tests/mutants.patch
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
tree=$target/mutants/tree
seeds=${MUTANT_SEEDS:-100}

# A seed takes about a second; a mutant may also hang.
SECONDS_MAX=120

# Lists the mutants that the patched code asks for; their comments say what they
# break.
names() {
  grep -o 'crate::mutant("[a-z_]*")' "$patch" | cut -d'"' -f2 | awk '!seen[$0]++'
}

what() {
  sed -n "s,^+ *// mutant $1: ,,p" "$patch"
}

# An unchanged file keeps its time, so that cargo builds changed files only.
make_tree() {
  local file
  rm -rf "$tree"
  mkdir -p "$tree"
  git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
  done | xargs -0 cp -p --parents -t "$tree"
  patch -d "$tree" -p1 --fuzz=0 --no-backup-if-mismatch -s <"$patch" ||
    fail "tests/mutants.patch does not fit the engine any more; see docs/reliability.md"
  sed -n 's,^+++ b/,,p' "$patch" | while IFS= read -r file; do
    touch -r "$file" "$tree/$file"
    if [ "$patch" -nt "$file" ]; then touch -r "$patch" "$tree/$file"; fi
  done
  mkdir -p "$tree/clients/web/dist"
  touch -r build.rs "$tree/clients/web/dist"
  # The program itself is not wanted, and would replace the one without faults.
  rm "$tree/src/main.rs"
  # Of another version: cargo tells crates of two copies apart by nothing else.
  sed -i -e '/^default-run = /d' -e 's/^version = "0.*"$/version = "0.0.0-mutants"/' \
    "$tree/Cargo.toml"
}

build() {
  (cd "$tree" && CARGO_TARGET_DIR=$target cargo test --offline --workspace --test simulation \
    --no-run 2>&1) | tee "$target/mutants/build.log" >&2
  sed -n 's,.*Executable tests/simulation.rs (\(.*\))$,\1,p' "$target/mutants/build.log"
}

# simulate MUTANT SEEDS: succeeds if no promise is broken.
simulate() {
  INVIGIL_MUTANT=$1 SIM_SEEDS=$2 timeout "$SECONDS_MAX" "$test" no_promise --nocapture \
    >"$target/mutants/$1.log" 2>&1
}

wanted=("$@")
if [ "$#" -eq 0 ]; then mapfile -t wanted < <(names); fi
for name in "${wanted[@]}"; do
  [ -n "$(what "$name")" ] || fail "no comment in tests/mutants.patch says what '$name' breaks"
done

make_tree
test=$(build)
case $test in
  '') fail "cargo did not say where the test is" ;;
  /*) ;;
  *) test=$tree/$test ;;
esac

simulate none 4 || fail "a promise is broken without a fault: $target/mutants/none.log"
survivors=0
printf '%-24s %6s %5s  %s\n' mutant seed s breaks
for name in "${wanted[@]}"; do
  started=$SECONDS found=-
  if ! simulate "$name" "$seeds"; then
    found=$(sed -n 's/^.*SIM_SEED=\([0-9]\{1,\}\): .*/\1/p' "$target/mutants/$name.log" | head -1)
  fi
  case $found in
    '' | -)
      survivors=$((survivors + 1))
      found=none
      ;;
  esac
  printf '%-24s %6s %5d  %s\n' "$name" "$found" $((SECONDS - started)) "$(what "$name")"
done
printf '%d mutants, %d not found in %d seeds\n' "${#wanted[@]}" "$survivors" "$seeds"
[ "$survivors" -eq 0 ]
