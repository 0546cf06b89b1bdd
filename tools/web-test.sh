#!/usr/bin/env bash
# Runs the web tests, unit or browser, and counts them.
set -euo pipefail
kind=$1
cd web
report=$(mktemp)
trap 'rm -f "$report"' EXIT

config=vitest.config.ts label=web
if [[ $kind == browser ]]; then
  config=vitest.browser.config.ts label=browser
fi
status=0
npx --no-install vitest run --config "$config" --reporter=default --reporter=json --outputFile.json="$report" || status=$?
if [[ ! -s $report ]]; then
  echo "vitest ($kind) ended with $status before it wrote a report" >&2
  exit 1
fi
../bin/testcount vitest -out "${COUNTS:-}" -label "$label" "$report"
exit "$status"
