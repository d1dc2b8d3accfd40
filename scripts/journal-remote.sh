#!/usr/bin/env bash
# Installs systemd-journal-remote, with which tests write journals for journalctl to read, below .tools, and prints the path of its program. Nothing
# happens where there is no journalctl; without it, or on other systems than Debian, tests that need a journal are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v journalctl > /dev/null || exit 0
folder=$PWD/.tools/journal-remote
program=$folder/journal-remote
if [ ! -x "$program" ]; then
    command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || { echo "$0: there is no apt-get to fetch systemd-journal-remote with" >&2; exit 0; }
    partial=$folder.partial.$$
    trap 'rm -rf "$partial"' EXIT
    rm -rf "$partial" && mkdir -p "$partial/packages"
    # As root, apt reads files of others as a user who may not see this folder; it says so and goes on.
    (cd "$partial/packages" && apt-get download --quiet systemd-journal-remote libmicrohttpd12 > /dev/null 2>&1) \
        || { echo "$0: systemd-journal-remote cannot be fetched" >&2; exit 0; }
    for package in "$partial"/packages/*.deb; do dpkg-deb -x "$package" "$partial"; done
    cat > "$partial/journal-remote" <<'PROGRAM'
#!/bin/sh
folder=$(dirname "$0")
libraries=$(find "$folder/usr/lib" /usr/lib -maxdepth 2 \( -name 'libmicrohttpd.so*' -o -name systemd \) 2> /dev/null | while read -r path; do
    if [ -d "$path" ]; then echo "$path"; else dirname "$path"; fi
done | sort -u | paste -sd:)
LD_LIBRARY_PATH=$libraries exec "$folder/lib/systemd/systemd-journal-remote" "$@"
PROGRAM
    chmod +x "$partial/journal-remote"
    "$partial/journal-remote" --version > /dev/null || { echo "$0: systemd-journal-remote does not run on this system" >&2; exit 0; }
    rm -rf "$folder"
    mv "$partial" "$folder"
    trap - EXIT
fi
printf '%s\n' "$program"
