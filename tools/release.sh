#!/usr/bin/env bash
# Makes a release in release/: for each system an archive of the programs with manual
# pages, completions and units, for Linux deb and rpm, a bill of materials of each
# program, and checksums, signed where RELEASE_KEY names a private key. The same commit
# and Go version give the same bytes. RELEASE_TARGETS limits it to some systems.
set -euo pipefail
out=release
# Before all that takes long.
if [[ -n ${RELEASE_KEY:-} ]]; then
  openssl pkey -in "$RELEASE_KEY" -noout
fi
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(tools/version.sh)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
native=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
read -ra targets <<<"${RELEASE_TARGETS:-linux/amd64 linux/arm64 darwin/arm64 windows/amd64}"

# archive FOLDER FILE packs a folder so that only its content counts, and no umask.
archive() {
  find "$1" -exec touch -h -d "@$epoch" {} +
  tar -C "${1%/*}" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "${1##*/}" | gzip -9n >"$2"
}

tools/build-programs.sh "$native" "$work/native"
go build -C tools -o "$work/" ./sbom
"$work/native/amoskys" manual "$work/man"
"$work/native/amoskys-agent" manual "$work/man"

for target in "${targets[@]}"; do
  os=${target%/*} arch=${target#*/} name=amoskys_${version}_${target/\//_}
  programs=$work/$os-$arch dir=$work/archives/$name
  only=()
  [[ $os != windows ]] || only=(amoskys-agent) # whose version it answers, and no more is claimed
  if [[ $target == "$native" ]]; then
    programs=$work/native
  else
    tools/build-programs.sh "$target" "$programs" "${only[@]}"
  fi
  mkdir -p "$dir/completions"
  cp "$programs"/* LICENSE NOTICE README.md "$dir/"
  if [[ $os != windows ]]; then
    cp -r "$work/man" "$dir/man1"
    for program in amoskys amoskys-agent; do
      for shell in bash zsh fish; do
        "$work/native/$program" completion "$shell" >"$dir/completions/$program.$shell"
      done
    done
  fi
  if [[ $os == linux ]]; then
    mkdir "$dir/systemd"
    cp deploy/systemd/*.{service,timer} "$dir/systemd/"
    tools/package.sh "$out" "$arch" "$programs" "$work/native"
  fi
  rmdir --ignore-fail-on-non-empty "$dir/completions"
  for program in "$programs"/*; do
    npm=()
    [[ ${program##*/} != amoskys ]] || npm=(-npm web/package-lock.json)
    "$work/sbom" "${npm[@]}" -version "$version" "$program" >"$out/${program##*/}_${version}_${target/\//_}.cdx.json"
  done
  archive "$dir" "$out/$name.tar.gz"
done

(cd "$out" && sha256sum -- *) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$out/"
cat "$out/SHA256SUMS"
if [[ -n ${RELEASE_KEY:-} ]]; then
  tools/sign-release.sh "$out" "$RELEASE_KEY"
else
  echo 'not signed: RELEASE_KEY names no private key'
fi
