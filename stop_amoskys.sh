#!/bin/sh
# Stops what start_amoskys.sh started, in order, and waits for it. Arguments go to
# `amoskys down`, such as --home DIR.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for program in "$here/bin/amoskys" "$here/amoskys"; do
  if [ -x "$program" ]; then
    exec "$program" down "$@"
  fi
done
if command -v amoskys >/dev/null 2>&1; then
  exec amoskys down "$@"
fi
echo "stop_amoskys.sh: the program is not built, so nothing of it can run" >&2
exit 0
