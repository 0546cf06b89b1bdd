#!/usr/bin/env bash
# shellcheck disable=SC2016 # backticks are Markdown here
# Measures what docs/performance.md states and writes it there, with commit and
# machine, between the lines <!-- bars --> and <!-- /bars -->. It takes about half
# an hour, and says little on a machine that does other work.
#   tools/bars.sh       all bars
#   tools/bars.sh store  only those of the store, beside its engine, and of the whole system at a rate;
#                       prints them and writes nothing
#   tools/bars.sh flow  only those of flows, beside ndpiReader and softflowd, and of live capture
#                       beside tcpdump; prints them and writes nothing. It needs the Debian packages
#                       libndpi-bin, softflowd and time; FLOW_LIVE=0 leaves out live capture
#   tools/bars.sh scan  only those of network scans, beside nmap, in namespaces of their own; prints
#                       them and writes nothing. It needs root and the Debian package nmap
#   tools/bars.sh snmp  only those of SNMP, beside snmp_exporter, which is built for it; prints them
#                       and writes nothing. DEVICES (1000) is how many are polled
#   tools/bars.sh backup  only those of a backup of 1 GiB under load and of its restore; prints them
#                       and writes nothing. BACKED_UP (1024) is how many MiB
#   tools/bars.sh rest  only what all roles and agents take on a quiet host; prints it and writes
#                       nothing. It needs root
#   tools/bars.sh log   only those of hub, log and readers, beside the commit that bench/against
#                       names and beside others; prints them and writes nothing
# ROUNDS (5) is how often contenders take turns.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/performance.md
rows=$(mktemp)
logs=$(mktemp -d)
part=${1:-all}
trap 'rm -rf "$rows" "$logs"' EXIT

# row WHAT MEASURED BAR adds one line of the table.
row() {
  printf '| %s | %s | %s |\n' "$1" "$2" "$3" | tee -a "$rows"
}

# field JSON FILTER prints a figure.
field() {
  jq -r "$2" <<<"$1"
}

# full LABEL BAR PACKAGE TEST [VARIABLE=VALUE] runs a test at its full size.
full() {
  local verdict=held log=$logs/$4
  env "${@:5}" go test -count=1 -timeout 60m -run "^$4\$" -v "$3" >"$log" 2>&1 ||
    verdict="**failed**: $(grep -m1 -E '^ +[a-z_]+_test.go' "$log" | sed 's/^ *//; s/|/\\|/g')"
  row "$1" "$verdict" "$2"
}

bench_hub() {
  local what=$1 bar=$2 out
  shift 2
  out=$(bin/amoskys bench hub "$@" --json)
  row "$what" "$(field "$out" '"\(.events_per_second | floor) ev/s, p50 \(.ack_ms.p50 * 100 | round / 100) ms, p99 \(.ack_ms.p99 * 100 | round / 100) ms, hub \(.rss_bytes / 1048576 | round) MiB"')" "$bar"
}

# verdict MEASURED OP BAR prints held or missed; OP is ge or le.
verdict() {
  awk -v m="$1" -v op="$2" -v bar="$3" 'BEGIN {print ((op == "ge" ? m >= bar : m <= bar) ? "held" : "**missed**")}'
}

# against builds the commit that bench/against names, once, and prints its program.
against() {
  local dir=$logs/against
  if [[ ! -x $dir/amoskys ]]; then
    mkdir -p "$dir/source"
    git archive "$(<bench/against)" | tar -x -C "$dir/source"
    go build -C "$dir/source" -o "$dir/amoskys" ./cmd/amoskys
  fi
  echo "$dir/amoskys"
}

# stored measures the store beside its engine.
stored() {
  local out ratio
  out=$(bin/amoskys bench store --events "${STORED:-10000000}" --span 72h --rounds 1 --asks 50 --json)
  ratio=$(field "$out" '.ratio')
  row "events stored, to the engine fed ready rows (\`bench store\`)" \
    "$(awk -v r="$ratio" 'BEGIN {printf "%.2f", r}') times, $(field "$out" '.cases[1].events_per_second | floor') ev/s, $(field "$out" '.cases[1].cpu_us_per_event * 10 | round / 10') µs of CPU an event, $(verdict "$ratio" ge 0.9)" '0.9 times, 30,000 ev/s'
  row 'disk, an event stored' "$(field "$out" '.cases[1].disk_bytes_per_event * 10 | round / 10') B, $(verdict "$(field "$out" '.cases[1].disk_bytes_per_event')" le 120)" '120 B'
  while IFS=$'\t' read -r what measured bar; do
    row "$what" "$measured" "$bar"
  done < <(jq -r '.questions[] | [.name + " (`bench store`)",
    (if .failed then .failed else "p50 \(.p50_ms) ms, p95 \(.p95_ms) ms; the engine \(.engine_p50_ms) and \(.engine_p95_ms) ms, \(if .p95_ms <= .engine_p95_ms * 1.3 + 3 then "held" else "**missed**" end)" end),
    "1.3 times and 3 ms"] | @tsv' <<<"$out")
}

# peers asks the store and SQLite the same questions about the same rows, one after the other.
peers() {
  local out other events=${PEERED:-300000}
  out=$(bin/amoskys bench store --events "$events" --span 72h --rounds 1 --asks 30 --json)
  bin/amoskys bench store --events "$events" --span 72h --rows-to "$logs/rows"
  other=$(go -C bench run ./peers -rows "$logs/rows" -asks 30 -json)
  rm -f "$logs/rows"
  row "stored beside SQLite with FTS5 (\`bench/peers\`), $(field "$other" '.rows') rows" \
    "$(field "$out" '.cases[1] | "\(.events_per_second | floor) ev/s, \(.cpu_us_per_event | round) µs of CPU and \(.disk_bytes_per_event | round) B an event"'); SQLite $(field "$other" '"\(.rows_per_second | floor) rows/s, \(.cpu_us_per_row | round) µs and \(.disk_bytes_per_row | round) B"')" 'none'
  while IFS=$'\t' read -r what measured; do
    row "$what" "$measured" 'none'
  done < <(jq -r --argjson other "$other" '.questions[] | .name as $name | ($other.questions[] | select(.name == $name)) as $o |
    [.name + " (`bench/peers`)", "\(.p50_ms) and \(.p95_ms) ms; SQLite \($o.p50_ms) and \($o.p95_ms) ms"] | @tsv' <<<"$out")
}

# piped measures the whole system at a rate.
piped() {
  local out ok=0
  out=$(bin/amoskys bench pipeline --rate 20000 --duration "${PIPED:-10m}" --json) || ok=$?
  row 'events acknowledged a second, of 20,000 that are sent, for ten minutes (`bench pipeline`)' \
    "$(field "$out" '.events_per_second | round'), $(verdict "$(field "$out" '.events_per_second')" ge 19900)" '20,000'
  row 'the store behind the log meanwhile' \
    "p99 $(field "$out" '.lag_seconds | "\(.p99 * 10 | round / 10) s, at most \(.max * 10 | round / 10) s"'), $(verdict "$(field "$out" '.lag_seconds.max')" le 5)" '5 s'
  row 'memory of all its processes (PSS)' \
    "$(field "$out" '.pss_bytes / 1000000 | round') MB, $(verdict "$(field "$out" '.pss_bytes')" le 700000000)" '700 MB'
  row 'CPU of all of them, an event' \
    "$(field "$out" '.cpu_us_per_event_all * 10 | round / 10') µs: $(field "$out" '.cpu_us_per_event | to_entries | map("\(.key) \(.value * 10 | round / 10)") | join(", ")')" '100 µs, two cores'
  row 'a live page meanwhile' "$(field "$out" '.live | "\(.shown_per_second | round) ev/s shown for \(.came_per_second | round)"')" 'none'
  row 'stored of what was acknowledged' "$(field "$out" '"\(.stored) of \(.acknowledged)"'), $([[ $ok == 0 ]] && echo held || echo '**missed**')" 'all, once'
}

# beside measures the hub, the commit before and others in turn.
beside() {
  local out
  go build -C bench -o "$logs/beside" .
  out=$("$logs/beside" -json -amoskys bin/amoskys -against "$(against)" -rounds "${ROUNDS:-5}")
  while IFS=$'\t' read -r what measured; do
    row "$what" "$measured" 'none'
  done < <(jq -r '.medians[] | [.about + " (`bench/`)",
    "\(.events_per_second | floor) ev/s, server \(.server_cpu_us_per_event * 100 | round / 100) µs an event, p50 \(.ack_p50_ms | round) ms, p99 \(.ack_p99_ms | round) ms, \(.server_rss_bytes / 1048576 | round) MiB"] | @tsv' <<<"$out")
  while IFS=$'\t' read -r what measured bar; do
    row "$what" "$measured" "$bar"
  done < <(jq -r '.ratios[] | [.what,
    "\(.value * 100 | round / 100) (\(.least * 100 | round / 100) to \(.most * 100 | round / 100)), " + (if .held then "held" else "**missed**" end),
    (if .at_least then "at least " else "at most " end) + (.bar | tostring)] | @tsv' <<<"$out")
  log_row "$(jq -c '.medians[] | select(.name == "hub") | {log_bytes_per_event, rss_bytes: .server_rss_bytes}' <<<"$out")" 100 105
}

# log_row JSON BATCH BAR says what an event takes in the log, and what the hub takes.
log_row() {
  local bytes rss
  bytes=$(field "$1" '.log_bytes_per_event * 10 | round / 10')
  rss=$(field "$1" '.rss_bytes / 1000000 | round')
  row "log, batches of $2 recorded events" "$bytes B an event, $(verdict "$bytes" le "$3")" "$3 B"
  row "hub memory in it" "$rss MB, $(verdict "$rss" le 90)" '90 MB'
}

# readers holds what reads the log against the commit before.
readers() {
  local out ratio
  out=$(bin/amoskys bench read --baseline-program "$(against)" --rounds "${ROUNDS:-5}" --duration 3s --json)
  # reader LABEL CASE TO BAR holds one case against another.
  reader() {
    ratio=$(field "$out" "(.cases | map({(.name): .events_per_second}) | add) as \$c | \$c.$2 / \$c.$3 * 100 | round / 100")
    row "$1 (\`bench read\`)" "$ratio times, $(field "$out" ".cases[] | select(.name == \"$2\") | .events_per_second | floor") ev/s, $(verdict "$ratio" ge "$4")" "$4 times"
  }
  reader 'one reader, events split, to Deliveries of the commit before' split deliveries 7.5
  reader 'one reader, blocks untouched, to the same' blocks deliveries 19
  reader 'four readers together, to one' together split 1.8
}

# middle_of PATTERN prints the median of the figures in lines of verify's benchmark.
middle_of() {
  awk -v pattern="$1" '$0 ~ pattern {print $3}' "$logs/verify" | sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

# verifying compares one processor with two.
verifying() {
  local ratio
  go test -run '^$' -bench '^BenchmarkVerify$' -cpu 1,2 -count 5 ./internal/wal >"$logs/verify" 2>&1
  ratio=$(jq -n --argjson one "$(middle_of '^BenchmarkVerify ')" --argjson two "$(middle_of '^BenchmarkVerify-2 ')" '$one / $two * 100 | round / 100')
  row 'verify, two processors to one (`BenchmarkVerify`)' "$ratio times, $(verdict "$ratio" ge 1.6)" '1.6 times'
}

# lacking COMMAND PACKAGE... says what to install, and fails where something is.
lacking() {
  local missing=()
  while (($#)); do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  ((${#missing[@]} == 0)) || {
    echo "these bars need: apt-get install ${missing[*]}" >&2
    return 1
  }
}

# turn NAME COMMAND... runs a contender on one processor and notes its CPU seconds and
# most resident KiB in a file of its name.
turn() {
  command time -a -o "$logs/$1" -f '%U %S %M' taskset -c 1 "${@:2}" >"$logs/out" 2>&1 || {
    cat "$logs/out" >&2
    return 1
  }
}

# cpu_of NAME and rss_of NAME print the middle of its turns: seconds, and MB.
cpu_of() { awk '{print $1 + $2}' "$logs/$1" | middle; }
rss_of() { awk '{print $3 * 1024 / 1e6}' "$logs/$1" | middle; }
middle() { sort -g | awk '{v[NR] = $1} END {printf "%.3f\n", v[int((NR + 1) / 2)]}'; }

# ratio_of A B prints the middle, least and most of CPU of A to that of B, turn by turn.
ratio_of() {
  paste "$logs/$1" "$logs/$2" | awk '{print ($1 + $2) / ($4 + $5)}' | sort -g |
    awk '{v[NR] = $1} END {printf "%.2f %.2f %.2f\n", v[int((NR + 1) / 2)], v[1], v[NR]}'
}

# quicker A B BAR prints how many times as much B takes, and whether that is enough.
quicker() {
  local middle least most
  read -r middle least most < <(ratio_of "$2" "$1")
  echo "$middle times ($least to $most), $(verdict "$middle" ge "$3")"
}

# flowing measures how fast packets become flows and events. All read the same capture
# from memory on one processor, and take turns; CPU time is compared, since it says the
# same while others use the machine.
flowing() {
  local trace=$logs/trace.pcap held=$logs/held.pcap
  lacking ndpiReader libndpi-bin softflowd softflowd /usr/bin/time time tcpdump tcpdump
  bin/amoskys bench flow --generate --write "$trace" --json >/dev/null
  for ((i = 0; i < ${ROUNDS:-5}; i++)); do
    turn ours bin/amoskys bench flow "$trace" --json
    turn named bin/amoskys bench flow "$trace" --no-events --json
    turn ndpi ndpiReader -q -i "$trace"
    turn plain bin/amoskys bench flow "$trace" --no-identify --json
    turn softflowd softflowd -d -r "$trace" -n 127.0.0.1:9
    turn softflowd_all softflowd -d -m 1000000 -r "$trace" -n 127.0.0.1:9
  done
  # per NAME prints what a packet of the 2 million takes.
  per() { awk -v s="$(cpu_of "$1")" -v m="$(rss_of "$1")" 'BEGIN {printf "%.2f µs a packet, %.0f MB", s / 2, m}'; }
  # rate NAME prints how many a second of CPU that are.
  rate() { awk -v s="$(cpu_of "$1")" 'BEGIN {printf "%.2f", 2 / s}'; }
  row 'packets to flows, with what they speak (`bench flow --no-events`)' \
    "$(per named): $(rate named) million a second of CPU, $(verdict "$(rate named)" ge 2)" '2 million a second'
  row 'packets to flows and events, with what they speak (`bench flow`)' "$(per ours): $(rate ours) million a second of CPU" 'none'
  row '`ndpiReader -q` on the same file' "$(per ndpi)" 'none'
  row 'packets with what they speak and events, to `ndpiReader`, which makes none' "$(quicker ours ndpi 3)" '3 times'
  row 'memory in it, to `ndpiReader`' "$(awk -v a="$(rss_of ours)" -v b="$(rss_of ndpi)" 'BEGIN {printf "%.2f, %s", a / b, (a < b ? "held" : "**missed**")}')" 'less'
  row 'packets to flows and events, without what they speak (`bench flow --no-identify`)' "$(per plain)" 'none'
  row '`softflowd`, which holds 8,192 flows and ends others early' "$(per softflowd)" 'none'
  row '`softflowd -m 1000000`, which holds as many as we do' "$(per softflowd_all)" 'none'
  row 'packets to flows and events, to `softflowd`' "$(quicker plain softflowd 1.2)" '1.2 times'
  row 'the same, to `softflowd -m 1000000`' "$(quicker plain softflowd_all 1.2)" 'none'
  bin/amoskys bench flow --generate --flows 1000000 --packets 4000000 --no-identify --write "$held" --json >/dev/null
  turn million bin/amoskys bench flow "$held" --hold --no-identify --json
  row 'a million flows at once (`bench flow --hold --no-identify`)' "$(rss_of million | cut -d. -f1) MB, $(verdict "$(rss_of million)" le 400)" '400 MB'
  turn million_read bin/amoskys bench flow "$held" --hold --json
  row 'the same, with what was read of each (`bench flow --hold`)' "$(rss_of million_read | cut -d. -f1) MB" 'none'
  rm -f "$trace" "$held"
  [[ ${FLOW_LIVE:-1} == 0 ]] || full 'live capture at 500,000 frames/s, five runs of 10 s beside tcpdump' 'no drops in the best run, in none more than tcpdump' \
    ./internal/flow/capture TestLiveBar CAPTURE_BAR="${FLOW_LIVE_FOR:-10s}"
  # A line of the test: BAR run N: figures
  [[ ! -f $logs/TestLiveBar ]] || sed -n 's/^.*BAR run/run/p' "$logs/TestLiveBar" | while IFS= read -r line; do
    row "live capture, ${line%%: *}" "${line#*: }" 'none'
  done
}

# scanning measures scans beside nmap: the same hosts in turn, equal results in each run.
scanning() {
  lacking nmap nmap ip iproute2
  full 'scans of ports 1 to 1,000, and an ARP sweep of a /24, beside `nmap -sS -T4 -n` and `nmap -sn -PR`' \
    'equal open ports in each of ten runs, under 100 MB' ./internal/scan TestScanBar SCAN_BAR="$PWD/bin/amoskys"
  # A line of the test: BAR TestScanBar/20_hosts...: figures, ratio R
  while IFS= read -r line; do
    local what=${line%%: *} figures=${line#*: }
    row "${what//_/ }" "$figures" "$(scan_bar "$what")"
  done < <(sed -n 's/^.*BAR TestScanBar\///p' "$logs/TestScanBar")
}

# scan_bar WHAT prints the bar of a case of TestScanBar.
scan_bar() {
  case $1 in
    *silent*) echo '0.25 times' ;;
    ARP*) echo '0.2 times' ;;
    *lost*) echo 'none' ;;
    *) echo '1.25 times' ;;
  esac
}

# polling polls the same simulated switches with snmp_exporter and with ours, in turn.
polling() {
  local peer config out
  peer=$(go mod download -json github.com/prometheus/snmp_exporter@v0.30.1 | jq -r .Dir)
  go -C "$peer" build -o "$logs/snmp_exporter" .
  config=$peer/snmp.yml
  out=$(go -C bench run ./snmp -amoskys "$PWD/bin/amoskys" -exporter "$logs/snmp_exporter" -config "$config" \
    -devices "${DEVICES:-1000}" -rounds "${ROUNDS:-3}" -json)
  row "one cycle over $(field "$out" .devices) devices of $(field "$out" .ports) interfaces, one processor (\`bench snmp\`)" \
    "$(field "$out" '.amoskys | "\(.seconds * 10 | round / 10) s, \(.cpu_seconds * 10 | round / 10) s of CPU, \(.failed) failed"'), $(verdict "$(field "$out" .amoskys.seconds)" le 20)" '20 s'
  row "the same by \`snmp_exporter\` with its module if_mib" \
    "$(field "$out" '.snmp_exporter | "\(.seconds * 10 | round / 10) s, \(.cpu_seconds * 10 | round / 10) s of CPU, \(.rss_bytes / 1e6 | round) MB, \(.failed) failed"')" 'none'
  row 'how many times as fast, and as little CPU' \
    "$(field "$out" '"\(.ratio * 10 | round / 10) and \(.cpu_ratio * 10 | round / 10)"'), $(verdict "$(field "$out" '[.ratio, .cpu_ratio] | min')" ge 2)" '2 times'
}

# backing_up backs a system up under load, restores it elsewhere and holds the two against each other.
backing_up() {
  local out ok=0
  out=$(bin/amoskys bench backup --size "${BACKED_UP:-1024}" --json) || ok=$?
  row "a backup of $(field "$out" '.bytes / 1048576 | round') MiB at 20,000 events a second (\`bench backup\`)" \
    "$(field "$out" '.seconds * 10 | round / 10') s, $(verdict "$(field "$out" .seconds)" le 30)" '30 s'
  row 'acknowledgements meanwhile, to those before and behind' \
    "$(field "$out" '"\(.events_per_second_during | round) of \(.events_per_second_before | round) a second, \(.dip * 1000 | round / 10)% less, in the worst 5 s \(.worst_dip * 1000 | round / 10)%"'), $(verdict "$(field "$out" .worst_dip)" le 0.2)" '20% less'
  row 'its restore to another home' "$(field "$out" '.restore_seconds * 10 | round / 10') s, $(verdict "$(field "$out" .restore_seconds)" le 60)" '60 s'
  row '`wal verify` there, and the same answers' \
    "$(field "$out" '"log whole: \(.wal_verified), \(.questions - (.unequal // [] | length)) of \(.questions) answers"'), $([[ $ok == 0 ]] && echo held || echo '**missed**')" 'whole, 25 of 25'
}

# resting measures all roles and agents on a quiet host.
resting() {
  local out
  if ((EUID != 0)); then
    row 'all roles and agents on a quiet host (`tools/footprint.sh`)' 'not measured: it needs root' '400 MB, 10 % of a core'
    return
  fi
  out=$(tools/footprint.sh)
  row 'all roles and agents on a quiet host at 100 events a second (`tools/footprint.sh`)' \
    "$(awk '/^all / {printf "%s MB, %s %% of a core, %s", $2, $4, ($2 <= 400 && $4 <= 10 ? "held" : "**missed**")}' <<<"$out")" '400 MB, 10 % of a core'
  row 'of these, what a watched host runs: node and agents' \
    "$(awk '/^endpoint,/ {printf "%s MB, %s %% of a core, %s", $5, $7, ($5 <= 70 && $7 <= 1 ? "held" : "**missed**")}' <<<"$out")" '70 MB, 1 % of a core'
}

if [[ $part == backup ]]; then
  backing_up
  exit
fi
if [[ $part == rest ]]; then
  resting
  exit
fi
if [[ $part == flow ]]; then
  flowing
  exit
fi
if [[ $part == scan ]]; then
  scanning
  exit
fi
if [[ $part == snmp ]]; then
  polling
  exit
fi
if [[ $part == store ]]; then
  piped
  stored
  peers
  exit
fi
beside
log_row "$(bin/amoskys bench hub --batch 10 --duration 5s --json)" 10 180
readers
verifying
if [[ $part == log ]]; then
  exit
fi
piped
stored
peers
bench_hub '`bench hub --size 400`: synthetic events, not packed' 'none' --size 400
bench_hub '`bench hub --inflight 8`' 'none' --inflight 8
bench_hub '`bench hub --unary --agents 1`' 'p99 5 ms' --unary --agents 1
fleet=$(bin/amoskys bench fleet --json)
row '`bench fleet`: 2,000 hosts of four connections' "$(field "$fleet" '"connected in \(.connect_seconds * 10 | round / 10) s, back \(.return_seconds * 10 | round / 10) s after a restart, \(.connection_bytes / 1024 | round) KiB a connection"')" 'back after 20 s'
go test -run '^$' -bench 'FleetConnects/nodes=20000|Gauges' -benchtime 1x ./internal/hub/fleet >"$logs/registry" 2>&1
row 'registry: 20,000 nodes of three agents (`BenchmarkFleetConnects`)' \
  "$(awk '/nodes=20000/ {for (i = 3; i < NF; i += 2) if ($(i + 1) ~ /^s\//) {sub("s/", "", $(i + 1)); printf "%s %.2f s, ", $(i + 1), $i}}' "$logs/registry" | sed 's/, $//')" \
  'connect under 5 s, leave under 5 s'
row 'a pass over its gauges (`BenchmarkGauges`)' "$(awk '/^BenchmarkGauges/ {printf "%.2f ms", $3 / 1e6}' "$logs/registry")" '10 ms'
go test -run '^$' -bench 'Attrs' -benchmem ./internal/event >"$logs/attrs" 2>&1
ratio=$(awk '$1 ~ /\/read/ {read = $3} $1 ~ /\/reflect/ {reflect = $3} END {printf "%.0f", reflect / read}' "$logs/attrs")
row 'attributes of an encoded event, against reflection over the decoded one (`BenchmarkAttrs`)' "$ratio times cheaper, no allocation" '15 times'
full 'each role and attack against a hub in 512 MiB (`test/hostile`)' 'below 400 MiB; p99 of another agent within 3 times, or 250 ms' \
  ./test/hostile TestHostile AMOSKYS_TEST_HOSTILE=5x16x5s
full 'the hub away for 60 s under a seeded agent (`test/outage`)' 'every event once' ./test/outage TestOutage AMOSKYS_TEST_OUTAGE=60s
flowing
full 'the hub of the build before replaced by this one'"'"'s under 5,000 ev/s, and once more (`test/skew`)' 'every event once, no agent other than green for 10 s' \
  ./test/skew TestUpgradeUnderLoad AMOSKYS_TEST_UPGRADE=5000
full 'kill -9 of the hub under load, 100 times, and 100 times with packed batches' 'nothing lost, nothing twice' ./internal/hub TestKill AMOSKYS_TEST_KILLS=100
full 'a fleet of 20,000 nodes comes and goes' 'none is missed' ./internal/hub/fleet TestWholeFleetComesAndGoes AMOSKYS_TEST_FLEET=full
polling
backing_up
resting
ui=$(node web/scripts/ui-bench.mjs --json) || ui=${ui:-null} # it ends with 1 where a bar is missed
for page in overview events; do
  row "\`make ui-bench\`: $page, CPU slowed four times, nothing cached" \
    "$(field "$ui" "[.pages[]? | select(.page == \"$page\") | \"first paint \(.first_paint_seconds) s, first chart \(.data_seconds) s, largest paint \(.largest_paint_seconds) s, shift \(.layout_shift), main thread \(.main_thread_seconds) s\"] | first // \"**failed**\"")" \
    "$([[ $page == overview ]] && echo '0.8 and 1.2 s' || echo '1.2 and 2.0 s')"
done

table=$(mktemp)
{
  printf 'Measured by `make bars` on %s at commit %s: %s cores of %s, %s of memory, Linux %s.\n\n' \
    "$(date -u +%F)" "$(git rev-parse --short=12 HEAD)" "$(nproc)" \
    "$(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)" "$(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)" "$(uname -r)"
  printf '| what | measured | bar |\n| --- | --- | --- |\n'
  cat "$rows"
} >"$table"
awk -v file="$table" '
  /<!-- bars -->/ {print; print ""; while ((getline line < file) > 0) print line; print ""; skip = 1; next}
  /<!-- \/bars -->/ {skip = 0}
  !skip' "$page" >"$table.page"
mv "$table.page" "$page"
rm -f "$table"
echo "written to $page"
