#!/bin/sh
# Compares protos/ with those of the main branch, and fails on what would break a client. Used by `make lint`.
set -eu
cd "$(dirname "$0")/.."

for main in main origin/main none; do
    git cat-file -e "$main:protos" 2>/dev/null && break
done
[ "$main" != none ] || exit 0

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$main" protos | tar -x -C "$before"
mkdir "$before/build"
cp -R build/third_party "$before/build/"
cp buf.yaml "$before/"
.venv/bin/buf breaking --against "$before"
