#!/usr/bin/env bash
# The servers that tests use, on private ports, all of their files in one folder.
#
#   scripts/services.sh start DIR   PostgreSQL, Redis and MongoDB, installed if missing
#   scripts/services.sh env DIR     prints the variables that name them, for eval
#   scripts/services.sh stop DIR    ends and removes the servers that `start` made there
#
# MongoDB is `mongod` where it is on the PATH, else SecantusDB, which speaks the
# same wire protocol and comes from PyPI.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
umask 077
here=$(cd "$(dirname "$0")" && pwd)
secantus=0.7.0b3

start() {
  mkdir -p "$dir"
  [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty"
  chmod 711 "$dir"
  "$here/need.sh" postgres redis
  command -v mongod >/dev/null || "$here/need.sh" python

  export_as POSTGRES "$("$here/postgres.sh" create "$dir/postgres")"
  export_as POSTGRES_DIR "$dir/postgres"
  export_as POSTGRES_CTL "$here/postgres.sh"
  start_redis
  start_mongodb
}

export_as() {
  printf "export INVIGIL_TEST_%s='%s'\n" "$1" "$2" >>"$dir/env"
}

start_redis() {
  local password
  password=$(random_hex)
  mkdir "$dir/redis"
  printf 'bind 127.0.0.1\nsave ""\nappendonly no\ndir %s\nset-proc-title no\nrequirepass %s\n' \
    "$dir/redis" "$password" >"$dir/redis/redis.conf"
  chmod 600 "$dir/redis/redis.conf"
  serve redis redis-server "$dir/redis/redis.conf" --port
  export_as REDIS "redis://default:$password@127.0.0.1:$port/0"
}

start_mongodb() {
  mkdir -p "$dir/mongodb/data"
  if command -v mongod >/dev/null; then
    serve mongodb mongod --bind_ip 127.0.0.1 --dbpath "$dir/mongodb/data" \
      --setParameter enableTestCommands=1 --port
  else
    serve mongodb "$(secantusd)" --host 127.0.0.1 --storage-path "$dir/mongodb/data" \
      --enable-test-commands --port
  fi
  export_as MONGODB "mongodb://127.0.0.1:$port/?directConnection=true"
}

# Prints the path of SecantusDB's server, installed once for a work tree.
secantusd() {
  local venv=${CARGO_TARGET_DIR:-$here/../target}/tools/secantusdb-$secantus
  if [ ! -f "$venv/complete" ]; then
    rm -rf "$venv"
    "$(find_python)" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "SecantusDB==$secantus" >&2
    touch "$venv/complete"
  fi
  (cd "$venv/bin" && echo "$PWD/secantusd-py")
}

# serve NAME COMMAND...: starts it with a free port as its last argument, and
# sets `port` once it accepts connections.
serve() {
  local name=$1 try pid
  shift
  for try in 1 2 3 4 5; do
    port=$(free_port)
    (cd / && exec setsid "$@" "$port") </dev/null >>"$dir/$name/log" 2>&1 &
    pid=$!
    echo "$pid" >"$dir/$name/pid"
    if wait_for 30 accepting_or_dead "$port" "$pid" && kill -0 "$pid" 2>/dev/null; then
      return
    fi
    kill "$pid" 2>/dev/null || true
  done
  fail "$name did not start in $try tries: $(tail -n 3 "$dir/$name/log")"
}

accepting_or_dead() {
  port_open "$1" || ! kill -0 "$2" 2>/dev/null
}

stop() {
  local name pid
  for name in redis mongodb; do
    [ -f "$dir/$name/pid" ] || continue
    pid=$(cat "$dir/$name/pid")
    # The number may belong to another process by now.
    grep -qsaF "$dir/$name" "/proc/$pid/cmdline" || [ "$(uname)" != Linux ] || continue
    kill "$pid" 2>/dev/null || true
    wait_for 10 gone "$pid" || kill -9 "$pid" 2>/dev/null || true
  done
  [ ! -d "$dir/postgres" ] || "$here/postgres.sh" destroy "$dir/postgres"
  rm -rf "$dir/redis" "$dir/mongodb" "$dir/env"
  rmdir "$dir" 2>/dev/null || true
}

gone() {
  ! kill -0 "$1" 2>/dev/null
}

[ "$#" = 2 ] || fail "usage: services.sh start|env|stop DIR"
dir=$(mkdir -p "$2" && cd "$2" && pwd)
case "$1" in
  start) start ;;
  env) cat "$dir/env" ;;
  stop) stop ;;
  *) fail "there is no '$1'" ;;
esac
