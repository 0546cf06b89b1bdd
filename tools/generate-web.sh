#!/usr/bin/env bash
# Writes the types of the web UI from docs/openapi.json, which a test of
# internal/dashboard keeps equal to what the server answers.
set -euo pipefail
npm --prefix web run --silent generate
