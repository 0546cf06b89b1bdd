#!/usr/bin/env bash
# Prints the packages that hold benchmarks.
set -euo pipefail
git ls-files --cached --others --exclude-standard -- '*_test.go' ':!tools' ':!bench' | xargs -r grep -lE '^func Benchmark' | xargs -r -n 1 dirname | sort -u | sed 's|^|./|'
