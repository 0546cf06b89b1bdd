#!/usr/bin/env bash
# Builds one pinned tool: build-tool.sh MODULE_FOLDER bin/NAME. It is built again
# only when the pin has changed, so a cached bin/ costs nothing.
set -euo pipefail
module=$1 out=$2 name=${2##*/}

package=$(cd "$module" && go list -f '{{.ImportPath}}' tool | grep -E "/$name\$")
started=$SECONDS
echo "build $name (once; a minute or so for the large ones)"
# Without symbols: half the size.
go build -C "$module" -trimpath -ldflags='-s -w' -o "$PWD/$out" "$package"
touch "$out" # the linker leaves an equal file untouched, and make would call again
echo "build $name: $((SECONDS - started)) s"
