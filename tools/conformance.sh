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

frames ndpi
frames ja4
frames community-id
if [[ -d $corpora/ndpi && -d $corpora/ja4 ]]; then
  # A score below its floor fails the test, and with it this script.
  CORPORA=$(cd "$corpora" && pwd) go test -count=1 -run '^TestConformance$' ./internal/flow/dissect | grep -vE '^(PASS|ok )'
else
  score ndpi 'both ndpi and ja4'
  score ja4 'both ndpi and ja4'
fi
if [[ -d $corpora/ndpi ]]; then
  CAPTURE_CORPUS=$(realpath "$corpora/ndpi") go test -count=1 -run '^TestCorpus$' -v ./internal/flow/findings | sed -n 's/.*: findings: /ndpi           findings: /p'
fi
# Each fails where a score lies below its bar.
if [[ -d $corpora/ndpi && -d $corpora/community-id ]]; then
  said=$(CORPORA=$(cd "$corpora" && pwd) go test -count=1 -run '^TestConformance$' -v ./internal/flow/lane) || failed=1
  grep -E '^(community-id|ndpi|---|FAIL| +conformance_test)' <<<"$said" || true
else
  score community-id 'both ndpi and community-id'
fi
score sigma 'the detection engine (amoskys rules check, amoskys detect)'
score snmprec 'the SNMP agent (amoskys snmp probe)'
score darpa 'the anomaly models (amoskys anomaly eval)'
exit "$failed"
