#!/usr/bin/env bash
# Installs programs with which tests of the agent make real logs, below .tools: rsyslogd, and systemd-journal-remote, which writes journals for the
# machine's journalctl to read. They are Debian's; on other systems, or without apt, tests that need them are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || { echo "$0: there is no apt-get, some tests of the agent will be skipped" >&2; exit 0; }
fetch() {
    scripts/debian-tools.sh "$PWD/.tools/$1" "${@:3}" && "$PWD/.tools/$1/run" "$2" "$version" > /dev/null 2>&1 && return
    echo "$0: $1 does not run here, tests that need it will be skipped" >&2
    rm -rf ".tools/$1"
}
version=-v fetch rsyslog usr/sbin/rsyslogd rsyslog libestr0 libfastjson4 liblognorm5
command -v journalctl > /dev/null || exit 0
version=--version fetch journal-remote lib/systemd/systemd-journal-remote systemd-journal-remote libmicrohttpd12
