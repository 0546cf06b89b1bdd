#!/usr/bin/env bash
# Runs the web tests, unit or browser, and counts them.
set -euo pipefail
kind=$1
cd web
report=$(mktemp)
second=$(mktemp)
trap 'rm -f "$report" "$second"' EXIT

config=vitest.config.ts label=web
if [[ $kind == browser ]]; then
  config=vitest.browser.config.ts label=browser
fi
# vitest REPORT [FILE...] runs the tests of those files, or of all.
vitest() {
  local to=$1
  shift
  npx --no-install vitest run --config "$config" --reporter=default --reporter=json --outputFile.json="$to" "$@"
}

status=0
vitest "$report" || status=$?
if [[ ! -s $report ]]; then
  echo "vitest ($kind) ended with $status before it wrote a report" >&2
  exit 1
fi
retry=()
if ((status != 0)); then
  # Files with failures, if they are few, once more and alone: see retryGo in testcount.
  mapfile -t files < <(node -e '
    const all = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).testResults;
    for (const each of all) if (each.status === "failed") console.log(each.name);' "$report")
  if ((${#files[@]} > 0 && ${#files[@]} <= 3)); then
    printf 'once more: %s\n' "${files[@]}"
    vitest "$second" "${files[@]}" && status=0
    [[ -s $second ]] && retry=(-retry "$second")
  fi
fi
../bin/testcount vitest -out "${COUNTS:-}" -label "$label" "${retry[@]}" "$report"
exit "$status"
