#!/bin/bash
# base.sh [TAG [PACKAGE...]]: make the images' base from Debian packages, where there is no registry.
#
#   containers/base.sh && DRHARNESS_BASE_IMAGE=drharness-base:bookworm drharness images build
#
# Needs mmdebstrap, and root or user namespaces. The packages are those of the Dockerfile, so
# that no build needs a network, PostgreSQL, which the base decides on, and those that are named.
set -euo pipefail
tag=${1:-drharness-base:bookworm}
shift || true
packages=python3,iptables,iproute2,procps,libfaketime,dnsmasq-base,unbound,nscd,postgresql-15,ca-certificates
for package in "$@"; do packages+=,$package; done

command -v mmdebstrap >/dev/null ||
    { echo "base.sh: mmdebstrap is missing: apt-get install mmdebstrap" >&2; exit 2; }
docker version --format '{{.Server.Version}}' >/dev/null ||
    { echo "base.sh: no Docker daemon answers: set DOCKER_HOST or start one" >&2; exit 2; }
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm - | docker import - "$tag" >/dev/null
docker image inspect --format "$tag: {{.Size}} bytes" "$tag"
