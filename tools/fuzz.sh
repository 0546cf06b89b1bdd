#!/usr/bin/env bash
# Runs the fuzz targets: fuzz.sh 5s. Those of packages that changed since the
# previous build (test/previous) come first and run three times as long. With
# FUZZBUDGET=600 no target begins after so many seconds, and those left out are
# named. What breaks one is left in the package's testdata/fuzz, to be committed
# with the mend.
set -euo pipefail
time=${1:-5s}
budget=${FUZZBUDGET:-86400}
count=0 failed=() left=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# try PACKAGE TARGET TIME fuzzes one target. On a busy machine the fuzzer sometimes
# takes its own deadline for a failure; then it is asked again, twice at most. By
# itself it spends up to a minute on making each interesting input smaller: of 20
# seconds that left 28 runs of a target, and 22,745 with the bound here.
try() {
  local again
  for again in yes yes no; do
    if go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" -fuzzminimizetime 100x -timeout 30m "$1" 2>&1 </dev/null | tee "$log"; then
      return
    fi
    grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log" && [[ $again == yes ]] || return 1
  done
}

# changed lists the folders with Go files that differ from the previous build.
changed() {
  local base
  base=$(grep -oE '^[0-9a-f]{40}' test/previous 2>/dev/null) || return 0
  git cat-file -e "$base^{commit}" 2>/dev/null || return 0
  git diff --name-only "$base" -- '*.go' | sed 's|/[^/]*$||' | sort -u
}

folders=$(changed)
targets=$(git ls-files --cached --others --exclude-standard -- '*_test.go' | xargs -r grep -oEH '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
first=() then=()
while IFS=: read -r file target; do
  folder=${file%/*}
  if grep -qxF "$folder" <<<"$folders"; then
    first+=("$folder $target $((3 * ${time%s}))s")
  else
    then+=("$folder $target $time")
  fi
done <<<"$targets"

for row in "${first[@]}" "${then[@]}"; do
  read -r folder target long <<<"$row"
  if ((SECONDS >= budget)); then
    left+=("$folder $target")
    continue
  fi
  echo "-- ./$folder $target ($long)"
  count=$((count + 1))
  try "./$folder" "$target" "$long" || failed+=("./$folder $target")
done

echo "fuzz: $count targets, ${#first[@]} of them in changed packages, ${#failed[@]} failed, ${#left[@]} left out for lack of time"
((${#left[@]} == 0)) || printf '  left out: %s\n' "${left[@]}"
if ((${#failed[@]} > 0)); then
  printf '  failed: %s\n' "${failed[@]}"
  exit 1
fi
