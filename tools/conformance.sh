#!/usr/bin/env bash
# One line for each public corpus that lies beside the repository: its score, or
# why it has none. A feature that a corpus measures brings its scorer here.
set -euo pipefail
corpora=${CORPORA:-../shared/corpora}
failed=0

# score NAME WHAT_SCORES_IT prints the line of one corpus.
score() {
  local name=$1 needs=$2
  if [[ ! -d $corpora/$name ]]; then
    printf '%-14s absent: no folder %s\n' "$name" "$corpora/$name"
  else
    printf '%-14s not scored yet: needs %s\n' "$name" "$needs"
  fi
}

# frames reads every capture of a corpus, and holds the decoder against gopacket.
frames() {
  local name=$1 said
  [[ -d $corpora/$name ]] || return 0
  said=$(CAPTURE_CORPUS=$(realpath "$corpora/$name") go test -count=1 -run '^TestCorpus$' -v ./internal/flow/packet | grep ' captures, ')
  printf '%-14s frames: %s\n' "$name" "$said"
}

# scored runs the test TEST of PACKAGE over the corpora and prints its lines; a score
# below its floor fails the test, and with it this script.
scored() {
  local package=$1 test=$2 lines=$3 said
  said=$(CORPORA=$(realpath "$corpora") CAPTURE_CORPUS=$(realpath "$corpora/ndpi") go test -count=1 -run "^$test\$" -v "$package") || failed=1
  grep -E "^($lines|---|FAIL)" <<<"$said" | grep -v -- '^--- PASS' || true
}

frames ndpi
frames ja4
frames community-id
if [[ -d $corpora/ndpi && -d $corpora/ja4 && -d $corpora/community-id ]]; then
  scored ./internal/flow/dissect TestConformance 'ja4|ndpi'
  scored ./internal/flow/lane TestConformance 'community-id|ndpi'
  scored ./internal/flow/findings TestCorpus ' +[a-z_]*test.go.*findings:'
else
  score ndpi 'ndpi, ja4 and community-id, all three'
  score ja4 'ndpi, ja4 and community-id, all three'
  score community-id 'ndpi, ja4 and community-id, all three'
fi
score sigma 'the detection engine (amoskys rules check, amoskys detect)'
if [[ -d $corpora/snmprec ]]; then
  scored ./internal/snmp/identify TestConformance snmprec
  scored ./internal/snmp/identify TestConformanceOfModules snmprec
else
  score snmprec 'recordings of devices'
fi
score darpa 'the anomaly models (amoskys anomaly eval)'
exit "$failed"
