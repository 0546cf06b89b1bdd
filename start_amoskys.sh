#!/bin/sh
# Starts AMOSKYS in the background and returns when it is ready. Arguments go to
# `amoskys up`, such as --home DIR or --agents proc,synth. Logs are in logs/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for program in "$here/bin/amoskys" "$here/amoskys"; do
  if [ -x "$program" ]; then
    exec "$program" up --detach "$@"
  fi
done
if command -v amoskys >/dev/null 2>&1; then
  exec amoskys up --detach "$@"
fi
echo "start_amoskys.sh: the program is not built yet: run make programs first" >&2
exit 1
