#!/bin/bash
# Everything the Makefile's targets need, made once: .venv with this package and its test tools, and
# the host programs iptables and ip. Quick when all is there. Installs system packages only as root
# or where sudo asks for no password; else it prints the one line to type and stops.
#
# "for-tests" asks for what only some tests need, too: libfaketime, dnsmasq (and no daemon of it).
#
# PYTHON=... chooses the interpreter (3.11 to 3.13); without it the first that works is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

# Programs of the system live here; an ordinary user's PATH lacks them.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
STAMP=.venv/.drharness-setup

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# bash names a file that it found but could not execute, too.
have() { [ -x "$(type -P "$1")" ]; }

# apt_install PACKAGE...: install them, or stop with the line to type.
apt_install() {
    local become=()
    have apt-get ||
        stop "please install these with this system's package manager, then run make again: $*"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null </dev/null ||
            stop "please type this line, then run make again:  sudo apt-get install -y $*"
        become=(sudo -n)
    fi
    say "installing $*"
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3)
    "${become[@]}" "${get[@]}" install -y --no-install-recommends "$@" </dev/null ||
        { "${become[@]}" "${get[@]}" update </dev/null &&
          "${become[@]}" "${get[@]}" install -y --no-install-recommends "$@" </dev/null; } ||
        stop "could not install: $*"
}

# A candidate must be run, not just found: version managers put names on the PATH that only fail.
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null; }

# choose_python: sets python to one that can make a virtual environment, installing that ability
# where it is missing.
choose_python() {
    local candidate without=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        supported "$candidate" || continue
        if can_make_venv "$candidate"; then python=$candidate; return; fi
        without=${without:-$candidate}
    done
    [ -n "$without" ] ||
        stop "Python 3.11, 3.12 or 3.13 is needed; found none${PYTHON:+ in PYTHON=$PYTHON}." \
             "Say where it is:  make PYTHON=/path/to/python3.12"
    apt_install "$("$without" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
    can_make_venv "$without" || stop "$without still has no ensurepip; try  make PYTHON=..."
    python=$without
}

# What the environment is made from, its place included (it cannot be moved).
recipe() { { pwd; cat pyproject.toml scripts/setup.sh; } | cksum; }

# A PYTHON asked for now must be the one that was asked for then; none asked for keeps what there is.
up_to_date() {
    local made asked
    { read -r made && read -r asked; } 2>/dev/null <"$STAMP" || return 1
    [ "$made" = "$(recipe)" ] && [ "${PYTHON:-${asked#PYTHON=}}" = "${asked#PYTHON=}" ] &&
        .venv/bin/python -c 'import drharness' 2>/dev/null
}

make_environment() {
    local python
    say "making .venv (a minute or two)"
    choose_python
    say "using $("$python" -c 'import platform, sys; print(sys.executable, platform.python_version())')"
    # Anew each time: an environment of a removed interpreter, or one that was moved, is past repair.
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 5 -e '.[test]' \
        </dev/null
    printf '%s\nPYTHON=%s\n' "$(recipe)" "${PYTHON:-}" >"$STAMP"
}

# Where the harness looks for it (engines/local/faketime.py).
have_faketime() {
    compgen -G '/usr/lib*/*/faketime/libfaketime.so.1' ||
        compgen -G '/usr/lib*/faketime/libfaketime.so.1' ||
        compgen -G '/usr/local/lib/faketime/libfaketime.so.1'
} >/dev/null

# missing_programs PURPOSE: sets missing to the packages of what is not there.
missing_programs() {
    missing=()
    { have iptables && have iptables-restore; } || missing+=(iptables)
    have ip || missing+=(iproute2)
    [ "$1" = for-tests ] || return 0
    have_faketime || missing+=(libfaketime)
    have dnsmasq || missing+=(dnsmasq-base)
}

host_programs() {
    local missing
    missing_programs "$1"
    [ ${#missing[@]} = 0 ] && return
    apt_install "${missing[@]}"
    missing_programs "$1"
    [ ${#missing[@]} = 0 ] || stop "installed, but still not found: ${missing[*]}"
}

case "${1:-}" in "" | for-tests) ;; *) stop "for-tests or nothing was expected, got: $1" ;; esac
host_programs "${1:-}"
up_to_date || make_environment
