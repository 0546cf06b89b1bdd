#!/usr/bin/env bash
# Starts the built program in an empty home as a user would, looks at what the
# README promises, stops it, and checks that the log is whole. Needs the
# standard ports, curl and jq; every wait has an end.
set -euo pipefail

home=$(mktemp -d)
up=
# Whatever happens, nothing is left running or lying about.
cleanup() {
  if [[ -n $up ]] && kill -0 "$up" 2>/dev/null; then
    kill "$up" || true
    timeout 30 tail --pid="$up" -f /dev/null || kill -KILL "$up"
  fi
  rm -rf "$home"
}
trap cleanup EXIT

fail() {
  echo "smoke: $1" >&2
  echo '-- what up printed:' >&2
  tail -n 60 "$home/up.out" >&2 || true
  echo '-- logs/errors.log:' >&2
  tail -n 40 "$home/logs/errors.log" >&2 || true
  exit 1
}

# within SECONDS WHAT COMMAND... asks until the command succeeds.
within() {
  local limit=$1 what=$2 started=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$up" 2>/dev/null || fail "up ended before: $what"
    ((SECONDS - started < limit)) || fail "not within $limit s: $what"
    sleep 0.2
  done
  printf '%-48s %s s\n' "$what" $((SECONDS - started))
}

hub() {
  curl --silent --show-error --fail --max-time 5 --cacert "$home/certs/ca.crt" \
    --cert "$home/certs/client.crt" --key "$home/certs/client.key" "https://localhost:5000$1"
}

api() {
  curl --silent --show-error --fail --max-time 10 --cookie "$home/cookies" --cookie-jar "$home/cookies" "http://localhost:5001$1" "${@:2}"
}

has_process_events() {
  api '/api/events?limit=1&query=type:process.*' | jq -e '.events | length > 0'
}

store_has_events() {
  bin/amoskys query --home "$home" 'type:process.*' --limit 1 --json | jq -e 'length > 0'
}

agents_run() {
  bin/amoskys status --home "$home" --json | jq -e '.hub.state == "ok" and ([.agents[] | select(.state == "running")] | length >= 2)'
}

password() {
  sed -n 's/.*[Pp]assword:* *\([^ ]*\).*/\1/p' "$home/up.out" | head -n 1
}

has_password() {
  [[ -n $(password) ]]
}

bin/amoskys version
bin/amoskys up --home "$home" >"$home/up.out" 2>&1 </dev/null &
up=$!

within 60 'GET /health with a client certificate' hub /health
hub /health | jq -c .
if curl --silent --max-time 5 --cacert "$home/certs/ca.crt" https://localhost:5000/health >/dev/null 2>&1; then
  fail '/health answered a client without a certificate'
fi
within 30 'the dashboard answers' curl --silent --fail --max-time 5 http://localhost:5001/
within 30 'a password is printed' has_password
jq -n --arg password "$(password)" '{username: "admin", password: $password}' >"$home/login.json"
within 30 'log in to the dashboard' api /api/login -H 'Content-Type: application/json' --data "@$home/login.json"
within 60 'process events arrive in the dashboard' has_process_events
within 30 'the store finds them too' store_has_events
within 30 'agents run' agents_run
within 10 'GET /metrics of the store' bash -c "curl --silent --fail --max-time 5 http://localhost:9092/metrics | grep -q '^amoskys_store_connections'"
within 10 'GET /metrics from this machine' bash -c "curl --silent --fail --max-time 5 http://localhost:9090/metrics | grep -q '^eventbus_throughput_eps'"

bin/amoskys status --home "$home" --json | jq -c .
stopping=$SECONDS
timeout 60 bin/amoskys down --home "$home" || fail 'down failed'
timeout 30 tail --pid="$up" -f /dev/null || fail 'up still runs after down'
wait "$up" || fail "up ended with $?"
up=
printf '%-48s %s s\n' 'down stops everything' $((SECONDS - stopping))
verified=$(bin/amoskys wal verify --home "$home" --json) || fail "the log is not whole: $verified"
jq -e '.ok and .records > 0' <<<"$verified" >/dev/null || fail "the log is not whole: $verified"
echo "wal verify: $(jq -c . <<<"$verified")"
