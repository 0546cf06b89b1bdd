#!/usr/bin/env bash
# Fails if what is generated from proto/, docs/openapi.json, tools/grafana and
# deploy/k8s differs from what is committed. Nothing in the tree is touched.
set -euo pipefail
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

bin/buf generate -o "$temp"
diff -r "$temp/internal/pb" internal/pb || { echo 'internal/pb is stale: run make generate' >&2; exit 1; }

api=web/src/lib/api/api.gen.ts
(cd web && npx --no-install openapi-typescript ../docs/openapi.json -o "$temp/api.gen.ts" >/dev/null)
diff "$temp/api.gen.ts" "$api" || { echo "$api is stale: run make generate" >&2; exit 1; }

go run -C tools ./grafana "$temp/dashboards"
diff -r "$temp/dashboards" deploy/grafana/dashboards || { echo 'deploy/grafana/dashboards is stale: run make generate' >&2; exit 1; }

mkdir "$temp/templates"
go run -C tools ./chart ../deploy/k8s "$temp/templates"
diff -r -x NOTES.txt "$temp/templates" deploy/helm/amoskys/templates || { echo 'deploy/helm is stale: run make generate' >&2; exit 1; }
