#!/bin/sh
# After a removal, which keeps all data; dpkg's purge takes it. The user stays, so that
# no other gets the number that backups may hold.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
[ "$1" = purge ] || exit 0
for unit in amoskys-hub.service amoskys-store.service amoskys-dashboard.service; do
  rm -f "/etc/systemd/system/multi-user.target.wants/$unit"
done
rm -f /etc/systemd/system/timers.target.wants/amoskys-certs.timer /var/lib/systemd/timers/stamp-amoskys-certs.timer
rm -rf /var/lib/amoskys /etc/amoskys
