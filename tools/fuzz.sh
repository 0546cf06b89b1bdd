#!/usr/bin/env bash
# Runs every fuzz target for a while: fuzz.sh 5s. What breaks one is left in the
# package's testdata/fuzz, to be committed with the mend.
set -euo pipefail
time=${1:-5s}
count=0 failed=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# try PACKAGE TARGET fuzzes one target. On a busy machine the fuzzer sometimes
# takes its own deadline for a failure; then it is asked again, twice at most.
try() {
  local again
  for again in yes yes no; do
    if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -timeout 30m "$1" 2>&1 </dev/null | tee "$log"; then
      return
    fi
    grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log" && [[ $again == yes ]] || return 1
  done
}

while IFS=: read -r file target; do
  package=./${file%/*}
  echo "-- $package $target ($time)"
  count=$((count + 1))
  try "$package" "$target" || failed+=("$package $target")
done < <(git ls-files --cached --others --exclude-standard -- '*_test.go' | xargs -r grep -oEH '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')

echo "fuzz: $count targets, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
  printf '  failed: %s\n' "${failed[@]}"
  exit 1
fi
