#!/usr/bin/env bash
# Builds the image from a program that this machine builds, without any other image:
# image.sh [NAME:TAG], amoskys:latest if not given. DOCKER names another client or engine.
set -euo pipefail
tag=${1:-amoskys:latest}
read -ra docker <<<"${DOCKER:-docker}"
arch=${TARGETARCH:-$(go env GOHOSTARCH)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/build-programs.sh "linux/$arch" "$work/out" amoskys
deploy/docker/layout.sh "$work/context/image" "$work/out/amoskys"
cp deploy/docker/Dockerfile.prebuilt "$work/context/Dockerfile"
"${docker[@]}" build --quiet --label "org.opencontainers.image.version=$(tools/version.sh)" -t "$tag" "$work/context"
