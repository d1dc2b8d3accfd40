#!/usr/bin/env bash
# Installs Python packages into a folder of their own: scripts/python-tools.sh FOLDER PACKAGE==VERSION…
# Programs are in FOLDER/bin, modules are found with PYTHONPATH=FOLDER. Quick when they are there already. Needs python3 and no more: pip comes from the
# machine, from a virtual environment, from uv, or (for root on Debian) from apt.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 FOLDER PACKAGE==VERSION…" >&2; exit 2; }
folder=$1
shift
stamp="$*"
export PIP_ROOT_USER_ACTION=ignore
[ "$(cat "$folder/.installed" 2> /dev/null)" != "$stamp" ] || exit 0

command -v python3 > /dev/null || { echo "$0: python3 is needed to install $stamp" >&2; exit 1; }
partial=$folder.partial.$$
trap 'rm -rf "$partial" "$partial.venv"' EXIT
mkdir -p "$(dirname "$folder")"
rm -rf "$partial"

quiet_pip=(install --quiet --disable-pip-version-check --no-warn-script-location --target "$partial")
with_venv() {
    rm -rf "$partial.venv"
    python3 -m venv "$partial.venv" > /dev/null 2>&1 && "$partial.venv/bin/python" -m pip "${quiet_pip[@]}" "$@"
}
if python3 -m pip --version > /dev/null 2>&1; then
    python3 -m pip "${quiet_pip[@]}" "$@"
elif with_venv "$@"; then
    :
elif command -v uv > /dev/null; then
    uv pip install --quiet --target "$partial" "$@"
elif [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get install --yes --quiet python3-venv > /dev/null || { apt-get update --quiet > /dev/null && apt-get install --yes --quiet python3-venv > /dev/null; }
    with_venv "$@"
else
    echo "$0: cannot install $stamp: neither pip, nor python3-venv, nor uv is there (on Debian: apt install python3-venv)" >&2
    exit 1
fi
printf '%s\n' "$stamp" > "$partial/.installed"
rm -rf "$folder"
mv "$partial" "$folder"
