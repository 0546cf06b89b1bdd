#!/usr/bin/env bash
# Measures what the whole of AMOSKYS takes on a quiet host: footprint.sh [SECONDS [RATE]].
# Hub, store, dashboard, node and all agents run in a home, a network and a space of
# processes of their own, so that the agents see nothing else of this machine; the synthetic
# agent makes the RATE (100) of events a second. After a minute CPU time is counted for
# SECONDS (120) and memory is read at their end (Pss of smaps_rollup: pages that processes
# share are shared out). Needs root. What else the machine does shows in the CPU time, so
# its load is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ ${FOOTPRINT:-} != inside ]]; then
  home=$(mktemp -d)
  trap 'rm -rf "$home"' EXIT
  FOOTPRINT=inside unshare --net --pid --fork --mount-proc --kill-child "$0" "${1:-120}" "${2:-100}" "$home"
  exit
fi
seconds=$1 rate=$2 home=$3
ip link set lo up
mkdir -p "$home/config/agents"
printf 'synthetic: {rate: %s, anomalies_per_hour: 0, bursts_per_hour: 0}\n' "$rate" >"$home/config/agents/mac_telemetry_config.yaml"
bin/amoskys up --plain --home "$home" --agents proc,eventbus,flow,scanner,snmp,synth >"$home/up.log" 2>&1 &
up=$!

# events is how many the log has.
events() {
  bin/amoskys wal stat --json --home "$home" | jq .next_offset
}

# processes lists "pid name" of what runs of AMOSKYS.
processes() {
  local pid words
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    # It may have ended meanwhile.
    mapfile -d '' -t words 2>/dev/null <"/proc/$pid/cmdline" || continue
    [[ ${words[0]:-} == */amoskys || ${words[0]:-} == */amoskys-agent ]] || continue
    echo "$pid ${words[0]##*/} ${words[1]:-}$([[ ${words[1]:-} != agent ]] || echo " ${words[2]:-}")"
  done
}

# ticks is the CPU time of a process so far, in hundredths of a second.
ticks() {
  sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'
}

sleep 60
kill -0 "$up" 2>/dev/null || {
  cat "$home/up.log" >&2
  exit 1
}
declare -A before
while read -r pid _; do
  before[$pid]=$(ticks "$pid")
done < <(processes)
first=$(events) began=$(date +%s%N)
sleep "$seconds"
list=$(processes)
while read -r pid name; do
  [[ $name != *' wal' ]] || continue
  printf '%s\t%s\t%s\n' "$name" "$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup")" $(($(ticks "$pid") - ${before[$pid]:-0}))
done <<<"$list" >"$home/figures"
took=$((($(date +%s%N) - began) / 1000000))
last=$(events)
awk -F '\t' -v ms="$took" -v events=$((last - first)) -v busy="$(cut -d' ' -f1 /proc/loadavg)" '
  function line(name, kib, ticks) { printf "%-28s %7.1f MB  %6.2f %% of a core\n", name, kib * 1024 / 1e6, ticks * 1000 / ms }
  {
    line($1, $2, $3); mb += $2; cpu += $3
    if ($1 ~ /^amoskys(-agent)? (node|agent)/ && $1 !~ /synth/) { emb += $2; ecpu += $3 }
  }
  END {
    line("endpoint, node and agents", emb, ecpu); line("all", mb, cpu)
    printf "%.0f events a second for %.0f s; load of the machine %s\n", events * 1000 / ms, ms / 1000, busy
  }' "$home/figures"
kill -TERM "$up"
wait "$up" || true
