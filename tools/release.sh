#!/usr/bin/env bash
# Builds the programs for every system they are released for, with checksums.
# The same commit and Go version give the same bytes.
set -euo pipefail
out=release
rm -rf "$out"
mkdir -p "$out"
version=$(git describe --tags --always --dirty)
flags="-s -w -X github.com/amoskys/amoskys/internal/obs.version=$version"

for target in linux/amd64 linux/arm64 darwin/arm64; do
  os=${target%/*} arch=${target#*/}
  for program in amoskys amoskys-agent; do
    file=$out/$program-$os-$arch
    started=$SECONDS
    CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=auto -ldflags="$flags" -o "$file" "./cmd/$program"
    printf '%-32s %4s MB  %s s\n' "$file" $(($(wc -c <"$file") / 1000000)) $((SECONDS - started))
  done
done
cd "$out"
sums=sha256sum
command -v sha256sum >/dev/null || sums="shasum -a 256"
$sums -- * >SHA256SUMS
cat SHA256SUMS
