#!/usr/bin/env bash
# Looks for what `make run` needs and says how to get what is missing.
set -euo pipefail

want_go=$(awk '$1 == "go" {print $2}' go.mod)
want_node=20.19
faults=0

# at_least HAVE WANT compares dotted versions.
at_least() {
  local i have want
  IFS=. read -ra have <<<"$1"
  IFS=. read -ra want <<<"$2"
  for i in 0 1 2; do
    local h=${have[i]:-0} w=${want[i]:-0}
    h=${h%%[!0-9]*} w=${w%%[!0-9]*}
    ((${h:-0} > ${w:-0})) && return 0
    ((${h:-0} < ${w:-0})) && return 1
  done
  return 0
}

# The system whose line gets the arrow.
system=other
case $(uname -s) in
Darwin) system=macos ;;
Linux)
  # shellcheck source=/dev/null
  if [[ -r ${OS_RELEASE:-/etc/os-release} ]]; then
    like=$(. "${OS_RELEASE:-/etc/os-release}" && echo "${ID:-} ${ID_LIKE:-}")
    case " $like " in
    *" debian "* | *" ubuntu "*) system=debian ;;
    *" fedora "* | *" rhel "*) system=fedora ;;
    esac
  fi
  ;;
esac

# how SYSTEM LABEL COMMAND prints how to get a tool on one system.
how() {
  local mark='  '
  [[ $1 == "$system" ]] && mark='->'
  printf '  %s %-15s %s\n' "$mark" "$2" "$3" >&2
}

# missing TOOL FOUND WANTED names a fault.
missing() {
  faults=$((faults + 1))
  echo >&2
  echo "$1: $2, need $3 or newer. To get it:" >&2
}

get_go() {
  local arch=amd64 os=linux
  case $(uname -m) in aarch64 | arm64) arch=arm64 ;; esac
  local archive="go$want_go.$os-$arch.tar.gz"
  how debian 'Debian, Ubuntu' "curl -LO https://go.dev/dl/$archive && sudo rm -rf /usr/local/go && sudo tar -C /usr/local -xzf $archive && export PATH=/usr/local/go/bin:\$PATH"
  how fedora Fedora "sudo dnf install golang   (if that is older than $want_go: as for Debian)"
  how macos macOS 'brew install go'
}

get_node() {
  how debian 'Debian, Ubuntu' "sudo apt-get install nodejs npm   (Debian 13, Ubuntu 25.04 or newer; else: sudo apt-get install snapd && sudo snap install node --classic)"
  how fedora Fedora 'sudo dnf install nodejs npm'
  how macos macOS 'brew install node'
}

if ! command -v go >/dev/null; then
  missing go 'not found' "$want_go"
  get_go
elif ! have_go=$(go env GOVERSION 2>/dev/null); then
  missing go "$(go version 2>/dev/null | awk '{sub("go", "", $3); print $3}') found" "$want_go"
  get_go
elif ! at_least "${have_go#go}" "$want_go"; then
  missing go "${have_go#go} found" "$want_go"
  get_go
fi

if ! command -v node >/dev/null; then
  missing node 'not found' "$want_node"
  get_node
elif have_node=$(node --version) && ! at_least "${have_node#v}" "$want_node"; then
  missing node "${have_node#v} found" "$want_node"
  get_node
elif ! command -v npm >/dev/null; then
  missing npm 'not found' '9'
  get_node
fi

if ((faults > 0)); then
  echo >&2
  echo 'Then type make run again.' >&2
  exit 1
fi
echo "go ${have_go#go}, node ${have_node#v}, npm $(npm --version)"
