#!/usr/bin/env bash
# Builds the program as it is installed, and moves its symbols into a file of their own:
#
#   scripts/release.sh [DIR]   into DIR (default target/dist): invigil and invigil.debug
#
# A backtrace names lines where invigil.debug lies beside the program, or in a folder
# .debug there, or under /usr/lib/debug; gdb and perf find it the same way.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
folder=${1:-$target/dist}
command -v objcopy >/dev/null || fail "objcopy is missing; it comes with binutils"
cargo build --release --locked
mkdir -p "$folder"
built=$(realpath "$target/release/invigil")
cd "$folder"
# The program keeps the name and the checksum of the file, so it must lie here already.
objcopy --only-keep-debug "$built" invigil.debug
objcopy --strip-all --add-gnu-debuglink=invigil.debug "$built" invigil
stat --printf '%n: %s bytes\n' invigil invigil.debug
