#!/usr/bin/env bash
# Runs a server and the generated stream that feeds it, until ctrl-C.
# usage: demo.sh BINARY DATA_DIR HTTP_ADDRESS LINES_PER_SECOND
set -euo pipefail
bin=$1 data=$2 addr=$3 rate=$4

mkdir -p "$data"
log=$data/server.log
"$bin" serve --data "$data" --http "$addr" >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

"$bin" demo --server "http://$addr" --rate "$rate" --wait 30s || status=$?
if ! kill -0 "$server" 2>/dev/null; then
  echo "the server ended; the last lines of $log:" >&2
  tail -n 20 "$log" >&2
  exit 1
fi
# 130 is how a command says it was interrupted: that is how a demo ends.
[[ ${status:-0} == 0 || ${status:-0} == 130 ]] || exit "$status"
