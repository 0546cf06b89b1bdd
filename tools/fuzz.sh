#!/usr/bin/env bash
# Runs every fuzz target for a while: fuzz.sh 5s. What breaks one is left in the
# package's testdata/fuzz, to be committed with the mend.
set -euo pipefail
time=${1:-5s}
count=0 failed=()

while IFS=: read -r file target; do
  package=./${file%/*}
  echo "-- $package $target ($time)"
  count=$((count + 1))
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -timeout 30m "$package" || failed+=("$package $target")
done < <(git ls-files --cached --others --exclude-standard -- '*_test.go' | xargs -r grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')

echo "fuzz: $count targets, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
  printf '  failed: %s\n' "${failed[@]}"
  exit 1
fi
