#!/usr/bin/env bash
# Runs a server and the generated stream that feeds it, until ctrl-C or until
# one of them ends.
# usage: demo.sh BINARY DATA_DIR HTTP_ADDRESS EVENTS_PER_SECOND
set -euo pipefail
bin=$1 data=$2 addr=$3 rate=$4

mkdir -p "$data"
log=$data/server.log
"$bin" serve --data "$data" --http "$addr" >"$log" 2>&1 &
server=$!
feeder=

stop() {
  trap - INT TERM EXIT
  kill $feeder "$server" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap 'stop; echo; exit 0' INT TERM
trap stop EXIT

# Not before it is this server that listens: another one may have the address.
until grep -q ' listens on ' "$log" || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
status=0
if kill -0 "$server" 2>/dev/null; then
  "$bin" demo --server "http://$addr" --rate "$rate" &
  feeder=$!
  wait -n "$feeder" "$server" || status=$?
fi
if ! kill -0 "$server" 2>/dev/null; then
  echo "the server ended; the last lines of $log:" >&2
  tail -n 20 "$log" >&2
  ((status)) || status=1
fi
# 130 is how a command says that it was interrupted: that is how a demo ends.
((status == 130)) && status=0
exit "$status"
