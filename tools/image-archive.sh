#!/usr/bin/env bash
# The image as an archive, without a Docker daemon: image-archive.sh NAME:TAG OUT.tar, as
# docker load and ctr images import read it. PROGRAM names a built amoskys instead of
# this tree's.
set -euo pipefail
tag=$1 out=$(realpath -m "$2")
arch=$(go env GOHOSTARCH)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z ${PROGRAM:-} ]]; then
  tools/build-programs.sh "linux/$arch" "$work/out" amoskys
  PROGRAM=$work/out/amoskys
fi
deploy/docker/layout.sh "$work/context/image" "$PROGRAM"
go run -C tools ./imagetar "$PWD/deploy/docker/Dockerfile.prebuilt" "$work/context" "$tag" "$out"
