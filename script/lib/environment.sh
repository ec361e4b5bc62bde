# Sourced by the scripts beside it: makes the private environment .venv and keeps it as uv.lock says.
# Needs bash and either uv, or Python >= 3.11 with venv and pip. Sets $root and $venv, and changes to $root.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.venv"
cd "$root"

# The first Python >= 3.11 that really runs (a version manager's shim may be there and fail) and can make a venv.
find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    echo "No Python >= 3.11 with venv and pip was found on PATH: install one (Debian: python3 and python3-venv)." >&2
    return 1
}

# What the environment was made from. Anything else there means that it must be made or brought up to date.
environment_recipe() {
    echo "$root"
    cat pyproject.toml uv.lock
}

environment_is_current() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null && environment_recipe | cmp -s - "$venv/made-from"
}

# uv from PATH, else one of our own, beside .venv: a sync may make that one anew.
find_uv() {
    local python own="$root/.venv-uv"
    if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    if ! "$own/bin/uv" --version >/dev/null 2>&1; then
        python="$(find_python)" || return 1
        "$python" -m venv --clear "$own" >&2 || return 1
        "$own/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2 || return 1
    fi
    echo "$own/bin/uv"
}

prepare_environment() {
    local uv python
    environment_is_current && return
    echo "Preparing .venv (the first time takes a minute or two) ..." >&2
    uv="$(find_uv)" || return 1
    python="$(find_python 2>/dev/null || echo '>=3.11')" # where uv alone is there, it finds or gets a Python itself
    UV_PROJECT_ENVIRONMENT="$venv" UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}" \
        "$uv" sync --quiet --locked --compile-bytecode --python "$python" || return 1
    environment_recipe >"$venv/made-from"
}

unset PYTHONDONTWRITEBYTECODE # compiling every import anew costs the tests and the chat seconds
prepare_environment
