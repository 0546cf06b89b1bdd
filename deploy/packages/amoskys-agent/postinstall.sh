#!/bin/sh
# After an installation or an upgrade; dpkg says "configure [OLD VERSION]", rpm 1 or 2.
set -e
home=/var/lib/amoskys-agent config=/etc/amoskys-agent unit=amoskys-agent.service
case "$1:$2" in
configure: | 1:*) new=yes ;;
configure:* | [2-9]:*) new= ;;
*) exit 0 ;;
esac

if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers amoskys-agent.conf
elif ! getent passwd amoskys-agent >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin amoskys-agent
fi
install -d -o amoskys-agent -g amoskys-agent -m 0700 "$home"
if [ ! -e "$home/config" ] && [ ! -L "$home/config" ]; then
  install -d -o amoskys-agent -g amoskys-agent -m 0700 "$config"
  ln -sT "$config" "$home/config"
fi

[ -z "$new" ] || systemctl enable --quiet "$unit" 2>/dev/null || true
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  if systemctl is-enabled --quiet "$unit"; then
    # Debian's tool heeds policy-rc.d(8).
    if command -v deb-systemd-invoke >/dev/null; then
      deb-systemd-invoke restart "$unit" || true
    else
      systemctl restart "$unit" || true
    fi
  fi
fi
/usr/share/amoskys-agent/join-this-host || true
if [ ! -e "$home/certs/node.crt" ]; then
  echo 'AMOSKYS: this host watches once it has joined a hub. On the hub:  sudo amoskys token create'
  echo '         and here:  sudo amoskys-agent enroll --hub HUB:5000 --token TOKEN --systemd'
fi
