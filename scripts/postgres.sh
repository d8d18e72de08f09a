#!/usr/bin/env bash
# A private PostgreSQL server, in one folder, on a port of its own.
#
#   scripts/postgres.sh create DIR    makes and starts a server, prints its URL
#   scripts/postgres.sh start DIR     starts it again, on the same port
#   scripts/postgres.sh stop DIR      ends it in good order, breaking connections
#   scripts/postgres.sh crash DIR     ends it at once: the next start recovers
#   scripts/postgres.sh destroy DIR   ends it and removes it
#
# DIR then holds data/ (the cluster), log, port, url, pg_ctl (path of the
# program) and user (its account; empty: the caller's). PostgreSQL refuses to
# run as root, so root hands it to Debian's `postgres`. Commits are durable
# here as they are in production: fsync stays on.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
umask 077

create() {
  local bin user='' password port tries
  bin=$(pg_bin) || fail "PostgreSQL is missing; run: scripts/need.sh postgres"
  mkdir -p "$dir"
  [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty"
  chmod 711 "$dir"
  if [ "$(id -u)" = 0 ]; then
    user=postgres
    chown "$user" "$dir"
  fi
  echo "$user" >"$dir/user"
  echo "$bin/pg_ctl" >"$dir/pg_ctl"

  password=$(random_hex)
  run_as bash -c "echo $password >'$dir/password'"
  run_as "$bin/initdb" --pgdata="$dir/data" --username=postgres --auth=scram-sha-256 \
    --pwfile="$dir/password" --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
    fail "initdb: $(tail -n 3 "$dir/initdb.log")"
  run_as bash -c "cat >>'$dir/data/postgresql.conf'" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = '256MB'
max_wal_size = '2GB'
CONF

  for tries in 1 2 3 4 5; do
    port=$(free_port)
    echo "$port" >"$dir/port"
    echo "postgres://postgres:$password@127.0.0.1:$port/postgres" >"$dir/url"
    if control start; then
      cat "$dir/url"
      return
    fi
  done
  fail "PostgreSQL did not start in $tries tries: $(tail -n 3 "$dir/log")"
}

# Runs a command as the account named in DIR, in a folder that any account may
# enter.
run_as() {
  local user
  user=$(cat "$dir/user")
  if [ -n "$user" ]; then
    (cd / && runuser -u "$user" -- "$@")
  else
    (cd / && "$@")
  fi
}

control() {
  local verb=$1
  shift
  [ "$verb" != start ] || set -- --log="$dir/log" --options="-p $(cat "$dir/port")" "$@"
  run_as "$(cat "$dir/pg_ctl")" "$verb" --pgdata="$dir/data" --wait --timeout=60 --silent "$@" \
    </dev/null >/dev/null 2>>"$dir/control.log"
}

running() {
  control status
}

[ "$#" = 2 ] || fail "usage: postgres.sh create|start|stop|crash|destroy DIR"
dir=$(mkdir -p "$2" && cd "$2" && pwd)
case "$1" in
  create) create ;;
  start) running || control start || fail "cannot start: $(tail -n 3 "$dir/log")" ;;
  stop) ! running || control stop --mode=fast ;;
  crash) ! running || control stop --mode=immediate ;;
  destroy)
    if [ -f "$dir/pg_ctl" ]; then
      ! running || control stop --mode=immediate
      rm -rf "$dir"
    fi
    ;;
  *) fail "there is no '$1'" ;;
esac
