#!/usr/bin/env bash
# `make run`: everything between a fresh clone and a running system, with the
# time that each step takes. Its arguments go to `amoskys up`.
set -euo pipefail

# step NUMBER NAME TARGET... makes the targets and says how long it took, or
# that there was nothing to do.
step() {
  local number=$1 name=$2 started=$SECONDS
  shift 2
  if make --question "$@" >/dev/null 2>&1; then
    printf '[%s/4] %-12s up to date\n' "$number" "$name"
    return
  fi
  printf '[%s/4] %-12s ...\n' "$number" "$name"
  if ! make "$@"; then
    printf '[%s/4] %-12s failed after %s s; what is wrong stands above\n' "$number" "$name" $((SECONDS - started)) >&2
    exit 1
  fi
  printf '[%s/4] %-12s %s s\n' "$number" "$name" $((SECONDS - started))
}

found=$(tools/check-tools.sh)
printf '[1/4] %-12s %s\n' tools "$found"
step 2 'web packages' web/node_modules/.installed-run
step 3 'web UI' web/dist/index.html
step 4 programs programs
exec bin/amoskys up "$@"
