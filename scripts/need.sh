#!/usr/bin/env bash
# Checks that this machine has the programs that a command needs.
#
#   scripts/need.sh rust node make        names missing programs, and how to get them
#   scripts/need.sh cc postgres redis haproxy nginx chromium python shellcheck
#                                         installs missing programs, on Debian
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_rust() {
  local hint="install it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs"
  hint+=" | sh -s -- -y"
  command -v cargo >/dev/null || fail "Rust is missing; $hint (then open a new shell)"
  cargo --version >/dev/null || fail "Rust does not start here; $hint"
  if ! command -v rustup >/dev/null; then
    local pinned
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
    case "$(cargo --version)" in
      "cargo $pinned "*) ;;
      *) fail "Rust $pinned is needed and there is no rustup to fetch it; $hint" ;;
    esac
  fi
}

need_node() {
  local hint='install it with: curl -fsSL https://deb.nodesource.com/setup_22.x'
  hint+=' | sudo -E bash - && sudo apt-get install -y nodejs'
  command -v node >/dev/null || fail "Node is missing; $hint"
  command -v npm >/dev/null || fail "Node is here without npm; $hint"
  node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
    fail "Node 20.19 or newer is needed and this is $(node --version); $hint"
}

need_make() {
  command -v make >/dev/null ||
    fail "make is missing; install it with: sudo apt-get install -y make"
}

# Debian's folder of servers is missing on many PATHs.
find_server() {
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]
}

# Prints the Debian packages of the missing programs.
packages_for() {
  case "$1" in
    cc) command -v cc >/dev/null || echo gcc libc6-dev ;;
    postgres) [ -n "$(pg_bin)" ] || echo postgresql ;;
    redis) command -v redis-server >/dev/null || echo redis-server ;;
    haproxy) find_server haproxy || echo haproxy ;;
    nginx) find_server nginx || echo nginx ;;
    chromium) find_chromium >/dev/null || echo chromium ;;
    shellcheck) command -v shellcheck >/dev/null || echo shellcheck ;;
    python) find_python >/dev/null || echo python3 python3-venv ;;
    *) fail "nothing is known about '$1'" ;;
  esac
}

install_packages() {
  local as_root=()
  command -v apt-get >/dev/null ||
    fail "$* missing, and this is not Debian: install the same by hand, then run this again"
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)
    "${as_root[@]}" true || fail "$* missing; as root, run: apt-get install -y $*"
  fi
  echo "installing $*" >&2
  "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 install "$@" >&2
}

packages=()
asked=()
for what in "$@"; do
  case "$what" in
    rust | node | make) "need_$what" ;;
    *)
      asked+=("$what")
      read -r -a missing <<<"$(packages_for "$what")"
      packages+=("${missing[@]}")
      ;;
  esac
done
if [ "${#packages[@]}" -gt 0 ]; then
  install_packages "${packages[@]}"
  for what in "${asked[@]}"; do
    [ -z "$(packages_for "$what")" ] ||
      fail "$what is still missing after installing ${packages[*]}"
  done
fi
