#!/usr/bin/env bash
# Unpacks Debian packages into a folder of their own, without root: scripts/debian-tools.sh FOLDER PACKAGE…
# FOLDER/run PROGRAM ARGUMENT… then runs one of their programs with their libraries. Quick when they are there already.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 FOLDER PACKAGE…" >&2; exit 2; }
folder=$1
shift
stamp="$*"
[ "$(cat "$folder/.installed" 2> /dev/null)" != "$stamp" ] || exit 0

partial=$folder.partial.$$
trap 'rm -rf "$partial"' EXIT
rm -rf "$partial" && mkdir -p "$partial/packages"
# As root, apt would fetch as a user who may not see this folder; it says so, and fetches as root.
(cd "$partial/packages" && apt-get download --quiet "$@" > "$partial/log" 2>&1) || { cat "$partial/log" >&2; exit 1; }
for package in "$partial"/packages/*.deb; do dpkg-deb -x "$package" "$partial"; done
cat > "$partial/run" <<'RUN'
#!/bin/sh
folder=$(cd "$(dirname "$0")" && pwd)
program=$1
shift
# What systemd's programs share lies in a folder that the linker does not look into.
libraries=$(ls -d "$folder"/usr/lib/*-linux-gnu "$folder"/lib/*-linux-gnu /usr/lib/*-linux-gnu/systemd /usr/lib/systemd 2> /dev/null | paste -sd:)
LD_LIBRARY_PATH=$libraries exec "$folder/$program" "$@"
RUN
chmod +x "$partial/run"
rm -rf "$partial/packages"
printf '%s\n' "$stamp" > "$partial/.installed"
rm -rf "$folder"
mv "$partial" "$folder"
