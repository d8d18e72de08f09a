# Functions that the other scripts share; they source this file.
# shellcheck shell=bash

# Ends the script with one sentence for the person who runs it.
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Prints the folder of PostgreSQL's server programs, the newest version first; Debian
# does not have them on the PATH.
pg_bin() {
  local folder
  for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    if [ -x "$folder/initdb" ]; then
      echo "$folder"
      return
    fi
  done
  folder=$(command -v initdb) && dirname "$folder"
}

# Prints a Python that is new enough and can make virtual environments.
find_python() {
  local python
  for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  return 1
}

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}

# Prints a TCP port of 127.0.0.1 without a listener, under the range that the
# system gives to outgoing connections. Another process may take it before the
# caller does, so callers try again.
free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    if ! port_open "$port"; then
      echo "$port"
      return
    fi
  done
}

port_open() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_for SECONDS COMMAND...: waits until the command succeeds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

random_hex() {
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}
