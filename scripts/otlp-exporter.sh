#!/usr/bin/env bash
# Installs the OpenTelemetry SDK for Python and its exporters, with which tests send logs, below .tools, and prints the folder for PYTHONPATH.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.45.2
folder=.tools/opentelemetry-$version
scripts/python-tools.sh "$folder" "opentelemetry-sdk==$version" "opentelemetry-exporter-otlp-proto-http==$version" \
    "opentelemetry-exporter-otlp-proto-grpc==$version" "grpcio==1.85.1"
printf '%s\n' "$PWD/$folder"
