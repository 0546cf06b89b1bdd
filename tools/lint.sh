#!/usr/bin/env bash
# All linters, each to its end: one run shows everything there is to mend.
set -uo pipefail
failed=()

# check NAME COMMAND... runs one linter.
check() {
  local name=$1
  shift
  echo "-- $name"
  "$@" || failed+=("$name")
}

# breaking compares the wire with the last release, and until there is one with the
# commit that test/previous names; events of that build are kept for years and its
# agents go on publishing.
breaking() {
  local base old status=0
  base=$(git tag --list 'v[0-9]*' --merged HEAD --sort=-version:refname | grep -v -- '-' | head -n 1)
  base=${base:-$(<test/previous)}
  if ! git cat-file -e "$base^{commit}" 2>/dev/null; then
    echo "skipped: the repository has not got $base; a clone that is not shallow has"
    return
  fi
  echo "against $base"
  old=$(mktemp -d)
  { git archive "$base" buf.yaml proto | tar -x -C "$old" && bin/buf breaking --against "$old"; } || status=$?
  rm -rf "$old"
  return "$status"
}

# scripts are checked where ShellCheck is there; CI installs it.
scripts() {
  if ! command -v shellcheck >/dev/null; then
    echo 'skipped: shellcheck is not installed'
    return
  fi
  git ls-files -z .ci "*.sh" deploy/packages/amoskys-agent/join-this-host | xargs -0 shellcheck -S info
}

# beside vets and tests what measures us beside others: a module of its own, whose many
# packages may not be here and cannot be had everywhere.
beside() {
  if ! timeout 120 go -C bench mod download; then
    echo 'skipped: the packages of bench/ cannot be had'
    return
  fi
  go -C bench test ./...
}

check 'golangci-lint config' bin/golangci-lint config verify
check golangci-lint bin/golangci-lint run ./...
check 'golangci-lint tools' bash -c 'cd tools && ../bin/golangci-lint run --config ../.golangci.yml ./...'
check 'buf lint' bin/buf lint
check 'buf format' bin/buf format --diff --exit-code
check 'buf breaking' breaking
check 'go mod tidy' go mod tidy -diff
check 'go mod tidy tools' go -C tools mod tidy -diff
check 'go mod tidy tools/buf' go -C tools/buf mod tidy -diff
check 'go mod tidy tools/nfpm' go -C tools/nfpm mod tidy -diff
check 'go mod tidy tools/helm' go -C tools/helm mod tidy -diff
check bench beside
check 'go mod verify' go mod verify
check shellcheck scripts
check 'svelte-check, biome' npm --prefix web run --silent check

if ((${#failed[@]} > 0)); then
  printf 'lint failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
