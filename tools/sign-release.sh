#!/usr/bin/env bash
# Signs the checksums of a release: sign-release.sh FOLDER KEY, KEY being a private key in
# PEM. SHA256SUMS.sig beside them is the signature, and amoskys-release.pub the public
# half, for whoever makes the release to publish elsewhere: beside what it signs it proves
# nothing.
set -euo pipefail
out=$1 key=$2
openssl dgst -sha256 -sign "$key" -out "$out/SHA256SUMS.sig" "$out/SHA256SUMS"
openssl pkey -in "$key" -pubout -out "$out/amoskys-release.pub"
openssl dgst -sha256 -verify "$out/amoskys-release.pub" -signature "$out/SHA256SUMS.sig" "$out/SHA256SUMS"
