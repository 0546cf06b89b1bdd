#!/usr/bin/env bash
# Makes the deb and the rpm of both programs: package.sh OUT ARCH PROGRAMS [NATIVE].
# PROGRAMS holds them built for linux/ARCH; NATIVE holds the same that this machine can
# run, which write manual pages and completions. PACKAGE_KINDS=deb leaves the rpm out. The
# same commit gives the same bytes.
set -euo pipefail
out=$1 arch=$2 programs=$3 native=${4:-$3}
nfpm=$PWD/bin/nfpm
version=$(tools/version.sh)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH=$epoch
PACKAGE_VERSION=$version PACKAGE_ARCH=$arch
export PACKAGE_VERSION PACKAGE_ARCH
read -ra kinds <<<"${PACKAGE_KINDS:-deb rpm}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)

for package in amoskys amoskys-agent; do
  from=deploy/packages/$package
  dir=$work/$package stage=$work/$package/stage
  install -D -m 0755 "$programs/$package" "$stage/usr/bin/$package"
  install -D -m 0644 "$from/sysusers.conf" "$stage/usr/lib/sysusers.d/$package.conf"
  units=(deploy/systemd/amoskys-agent.service)
  [[ $package == amoskys-agent ]] || units=(deploy/systemd/amoskys-{hub,store,dashboard,certs}.service deploy/systemd/amoskys-certs.timer)
  install -D -m 0644 -t "$stage/usr/lib/systemd/system" "${units[@]}"
  [[ ! -e $from/join-this-host ]] || install -D -m 0755 "$from/join-this-host" "$stage/usr/share/$package/join-this-host"

  "$native/$package" manual "$stage/usr/share/man/man1"
  # `amoskys agent` would have the name of the other program's page.
  [[ $package == amoskys-agent ]] || rm "$stage/usr/share/man/man1/amoskys-agent.1"
  chmod 0755 "$stage/usr/share/man/man1"
  gzip -9n "$stage/usr/share/man/man1/"*.1
  mkdir -p "$stage/usr/share/bash-completion/completions" "$stage/usr/share/zsh/vendor-completions" "$stage/usr/share/fish/vendor_completions.d"
  "$native/$package" completion bash >"$stage/usr/share/bash-completion/completions/$package"
  "$native/$package" completion zsh >"$stage/usr/share/zsh/vendor-completions/_$package"
  "$native/$package" completion fish >"$stage/usr/share/fish/vendor_completions.d/$package.fish"
  install -D -m 0644 LICENSE "$stage/usr/share/doc/$package/copyright"
  install -D -m 0644 NOTICE "$stage/usr/share/doc/$package/NOTICE"
  gzip -9nc CHANGELOG.md >"$stage/usr/share/doc/$package/changelog.gz"
  find "$stage" -type d -exec chmod 0755 {} +
  find "$stage" -type f ! -perm -u+x -exec chmod 0644 {} +
  find "$stage" -exec touch -h -d "@$epoch" {} +

  mkdir -p "$dir/scripts"
  cp "$from"/*.sh "$dir/scripts/"
  touch -d "@$epoch" "$dir/scripts/"*
  for kind in "${kinds[@]}"; do
    (cd "$dir" && "$nfpm" package --config "$OLDPWD/$from/nfpm.yaml" --packager "$kind" --target "$out/")
  done
done
