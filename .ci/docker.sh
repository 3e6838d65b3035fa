#!/usr/bin/env bash
# Tries to have a Docker engine for the specs that start Kafka in containers. Bounded in time, says what it found, and never
# fails the run: without an engine the specs take Kafka as a Java process.
set -u

say() { echo "docker: $*"; }

# Asks over the socket itself: the engine may be there without its command line client.
answers() {
  timeout 3 curl -fsS --unix-socket /var/run/docker.sock http://localhost/_ping >/dev/null 2>&1 ||
    timeout 5 docker version >/dev/null 2>&1
}

if answers; then
  say "an engine answers already: Kafka runs in containers"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  say "no engine answers and this is not root: Kafka runs as a Java process"
  exit 0
fi

if ! command -v dockerd >/dev/null 2>&1; then
  if ! command -v apt-get >/dev/null 2>&1; then
    say "no engine, and no apt-get to install one with: Kafka runs as a Java process"
    exit 0
  fi
  say "installing docker.io …"
  export DEBIAN_FRONTEND=noninteractive
  began=$SECONDS
  timeout 40 apt-get update -qq >/dev/null 2>&1
  if ! timeout 60 apt-get install -y -qq --no-install-recommends docker.io iptables >/tmp/millrace-docker-install.log 2>&1; then
    say "docker.io could not be installed (log: /tmp/millrace-docker-install.log): Kafka runs as a Java process"
    exit 0
  fi
  say "installed in $((SECONDS - began)) s"
fi

# From the richest to the poorest: some sandboxes refuse packet filters or the overlay file system.
for flags in "" "--storage-driver=vfs" "--storage-driver=vfs --iptables=false"; do
  # Its own session, so that it outlives this script; the whole run uses it.
  # shellcheck disable=SC2086
  setsid nohup dockerd $flags >/tmp/millrace-dockerd.log 2>&1 </dev/null &
  engine=$!
  for _ in $(seq 1 40); do
    if answers; then
      say "started an engine (dockerd $flags): Kafka runs in containers"
      exit 0
    fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.25
  done
  kill "$engine" 2>/dev/null
  wait "$engine" 2>/dev/null
done

say "dockerd does not start: Kafka runs as a Java process; its last words:"
tail -n 5 /tmp/millrace-dockerd.log | sed 's/^/docker:   /'
exit 0
