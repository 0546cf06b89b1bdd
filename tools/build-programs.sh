#!/usr/bin/env bash
# Builds the programs for one system: build-programs.sh OS/ARCH FOLDER [PROGRAM...].
# The same commit and Go version give the same bytes in any folder: static, without
# paths of this machine or its choice of processor, and with version, commit and its time as `version` tells them.
# REVISION and REVISION_TIME say these of a source without its history.
set -euo pipefail
os=${1%/*} arch=${1#*/} out=$2
shift 2
programs=("$@")
((${#programs[@]} > 0)) || programs=(amoskys amoskys-agent)
version=$(tools/version.sh)
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || true)}
time=${REVISION_TIME:-$(git log -1 --format=%cI 2>/dev/null || true)}
obs=github.com/amoskys/amoskys/internal/obs
flags="-s -w -X $obs.version=$version -X $obs.revision=$revision -X $obs.revisionTime=$time"
[[ $version != *dirty* ]] || flags+=" -X $obs.modified=true"
end=
[[ $os != windows ]] || end=.exe
mkdir -p "$out"
for program in "${programs[@]}"; do
  started=$SECONDS
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' go build -trimpath -buildvcs=false -ldflags="$flags" -o "$out/$program$end" "./cmd/$program"
  printf '%-40s %4s MB  %s s\n' "$out/$program$end" $(($(wc -c <"$out/$program$end") / 1000000)) $((SECONDS - started))
done
