#!/bin/sh
# After an installation or an upgrade; dpkg says "configure [OLD VERSION]", rpm 1 or 2.
set -e
home=/var/lib/amoskys config=/etc/amoskys
units='amoskys-hub.service amoskys-store.service amoskys-dashboard.service amoskys-certs.timer'
case "$1:$2" in
configure: | 1:*) new=yes ;;
configure:* | [2-9]:*) new= ;;
*) exit 0 ;;
esac

if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers amoskys.conf
elif ! getent passwd amoskys >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin amoskys
fi
install -d -o amoskys -g amoskys -m 0700 "$home"
if [ ! -e "$home/config" ] && [ ! -L "$home/config" ]; then
  install -d -o amoskys -g amoskys -m 0700 "$config"
  ln -sT "$config" "$home/config"
fi

# Makes what is missing and leaves what is there; root goes on as the home's owner. Another
# program of this name, or another home, may come first in root's environment.
if ! /usr/bin/amoskys setup --home "$home" --password-file "$home/first-password"; then
  [ -z "$new" ] || exit 1
  echo 'amoskys: what is said above is to be mended; certificates, configuration and data are as they were' >&2
fi

if [ -n "$new" ]; then
  # shellcheck disable=SC2086 # a list
  systemctl enable --quiet $units 2>/dev/null || true
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  for unit in $units; do
    systemctl is-enabled --quiet "$unit" || continue
    # Debian's tool heeds policy-rc.d(8).
    if command -v deb-systemd-invoke >/dev/null; then
      deb-systemd-invoke restart "$unit" || true
    else
      systemctl restart "$unit" || true
    fi
  done
fi
if [ -n "$new" ]; then
  echo "AMOSKYS: sign in at http://localhost:5001 as admin; the password is in $home/first-password, for root to read"
fi
# Where the agents are installed too, they watch this host.
join=/usr/share/amoskys-agent/join-this-host
[ ! -x "$join" ] || "$join" || true
