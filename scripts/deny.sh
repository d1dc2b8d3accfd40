#!/usr/bin/env bash
# Checks licences, sources and bans of all dependencies by deny.toml; installs cargo-deny below target/ when the machine has none.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
if command -v cargo-deny > /dev/null; then
    tool=$(command -v cargo-deny)
else
    tool=target/tools/bin/cargo-deny
    [ -x "$tool" ] || cargo install cargo-deny --version "$version" --locked --quiet --root target/tools
fi
"$tool" --offline --log-level warn check bans licenses sources
