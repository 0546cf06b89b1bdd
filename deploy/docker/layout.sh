#!/bin/sh
# Lays out the files of the image in a folder: layout.sh FOLDER PROGRAM. COPY gives app/
# to user 65532. All that is written at run time lies in the two volumes, so that the
# rest may be read-only.
set -eu
umask 022 # others than root read what is in it
image=$1 program=$2
rm -rf "$image"
mkdir -p "$image/usr/local/bin" "$image/app/certs" "$image/app/data" "$image/etc/ssl/certs"
cp "$program" "$image/usr/local/bin/amoskys"
chmod 0755 "$image/usr/local/bin/amoskys"
for folder in config logs run; do
  ln -s "data/$folder" "$image/app/$folder"
done
printf 'root:x:0:0:root:/:/\namoskys:x:65532:65532:AMOSKYS:/app:/\n' >"$image/etc/passwd"
printf 'root:x:0:\namoskys:x:65532:\n' >"$image/etc/group"
# Authorities of proxies and collectors that are reached over HTTPS.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  cp /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
fi
chmod 0700 "$image/app/certs" "$image/app/data"
