# Sourced by run_pipeline.sh and run_tests.sh: makes .venv once and installs from setup.cfg when that has changed.
# usage: source setup_venv.sh [EXTRA]

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
        if command -v "$candidate" >/dev/null 2>&1 \
            && "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Error: no Python 3.10 or newer was found; install one, or name it: PYTHON=/path/to/python3 bash $0" >&2
    return 1
}

setup_venv() {
    local extra="${1:-}" stamp wanted python
    stamp=".venv/installed${extra:+-$extra}"
    wanted="$(cat setup.cfg pyproject.toml | cksum)"
    if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python="$(find_python)" || exit 1
    echo "Setting up .venv (once; some minutes) ..." >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
    echo "$wanted" >"$stamp"
    [ -z "$extra" ] || echo "$wanted" >.venv/installed
}
