#!/usr/bin/env bash
# Set up, then run lint, types and tests: bash run_tests.sh [PYTEST OPTIONS ...]
set -euo pipefail
cd "$(dirname "$0")"
source ./setup_venv.sh
setup_venv dev

.venv/bin/python -m flake8
.venv/bin/python -m mypy
# All tests run side by side, a file at a time; a choice of them runs in one process, whose start costs less.
[ $# -gt 0 ] || set -- --numprocesses auto --maxprocesses 4 --dist loadfile
.venv/bin/python -m pytest "$@"
