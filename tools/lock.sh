#!/bin/sh
# Writes requirements/*.txt from pyproject.toml, for every supported Python and platform. Used by `make lock`;
# pins are kept unless asked otherwise, for example `make lock ARGS=--upgrade`.
set -eu
cd "$(dirname "$0")/.."

uv=build/lock/bin/uv
if [ ! -x "$uv" ]; then
    "${PYTHON:-python3}" -m venv build/lock
    build/lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
fi
# uv does not read pip's configuration.
if [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    index=${PIP_INDEX_URL:-$(build/lock/bin/python -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
fi

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header "$@"
}
echo pip | compile - --output-file requirements/pip.txt "$@"
compile pyproject.toml --all-extras --output-file requirements/dev.txt "$@"
# Constrained by the larger set, so that what is tested is what is shipped.
shipped() {
    compile pyproject.toml --constraint requirements/dev.txt "$@"
}
shipped --output-file requirements/runtime.txt
shipped --extra proto --output-file requirements/proto.txt
