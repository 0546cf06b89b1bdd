#!/usr/bin/env bash
# Makes the release of this commit twice, in folders whose names differ in length, under
# other masks, time zones, languages and (as root) names of the machine, and compares
# every file of both:
# reproduce.sh [OS/ARCH...], for all systems if none is named. FRESH=1 compiles the second
# one from an empty cache, which takes as long as a first build; else compiled packages are
# shared, and what differs by page, link, packing or time is found.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -z $(git status --porcelain --untracked-files=no) ]] || {
  echo 'reproduce: commit first: a release is of a commit' >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# lay FOLDER clones this commit there, with the tools and packages of npm that are here.
lay() {
  git clone -q --shared --no-checkout . "$1"
  git -C "$1" checkout -q --detach "$(git rev-parse HEAD)"
  mkdir "$1/bin"
  cp bin/nfpm "$1/bin/"
  cp -al web/node_modules "$1/web/" 2>/dev/null || cp -a web/node_modules "$1/web/"
  rm -f "$1/web/node_modules/".installed-* # links to those here
  touch "$1/web/node_modules/.installed-run" "$1/web/node_modules/.installed-all"
}

# release FOLDER SETTING... makes it there, under such an environment.
release() {
  local started=$SECONDS
  lay "$1"
  "${elsewhere[@]}" env "${@:2}" RELEASE_TARGETS="$targets" RELEASE_KEY= make -C "$1" release >"$1.log" 2>&1 || {
    tail -n 40 "$1.log" >&2
    exit 1
  }
  echo "made in $1: $(find "$1/release" -type f | wc -l) files, $((SECONDS - started)) s"
}

targets=$*
one=$work/one two=$work/another/one/with/a/longer/name
mkdir -p "${two%/*}"
elsewhere=()
(umask 022 && release "$one" TZ=UTC LC_ALL=C)
((EUID != 0)) || elsewhere=(unshare --uts sh -c 'echo elsewhere >/proc/sys/kernel/hostname; exec "$@"' sh)
fresh=()
[[ -z ${FRESH:-} ]] || fresh=(GOCACHE="$work/cache")
(umask 077 && release "$two" TZ=Asia/Tokyo LC_ALL=C.UTF-8 "${fresh[@]}")

if ! diff -r "$one/release" "$two/release"; then
  echo 'reproduce: the same commit gave other bytes' >&2
  exit 1
fi
cat "$one/release/SHA256SUMS"
echo 'reproduce: both are the same, byte for byte'
