#!/bin/sh
# Before a removal; dpkg says "remove", rpm 0. An upgrade leaves the services running,
# and restarts them when the new files are there.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl stop amoskys-certs.timer amoskys-hub.service amoskys-store.service amoskys-dashboard.service || true
fi
# rpm enables anew at each installation; with dpkg a removed package may come back as it was.
[ "$1" != 0 ] || systemctl disable --quiet amoskys-certs.timer amoskys-hub.service amoskys-store.service amoskys-dashboard.service 2>/dev/null || true
