#!/bin/sh
# Makes .venv and installs the locked packages into it. Used by `make setup`; what pip says is shown if it fails.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

fail() {
    echo "$*" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    fail "Scrip needs Python 3.11 or newer; '$python' is not found. Try: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Scrip needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Try: make setup PYTHON=python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "'$python' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        fail "make setup: the command above failed: $*"
    }
}
install() {
    # A lock is complete, so nothing is left to resolve.
    quietly .venv/bin/python -m pip install --disable-pip-version-check --no-input --no-deps --no-compile \
        --require-hashes --requirement "$1"
}

[ -x .venv/bin/python ] || echo "Installing the locked packages into .venv ..."
quietly "$python" -m venv .venv
# The pip that comes with Python 3.11 takes twice as long for the rest.
install requirements/pip.txt
install requirements/dev.txt
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# On all cores, and before several processes import the same modules at once. A file that does not compile,
# such as a template, was never going to be imported.
.venv/bin/python -m compileall -qq -j 0 "$site" || true
# A relative line, for a checkout may be moved.
.venv/bin/python -c 'import os, sys; print(os.path.relpath("build/gen", sys.argv[1]))' "$site" \
    >"$site/scrip-generated.pth"
touch .venv/.setup
