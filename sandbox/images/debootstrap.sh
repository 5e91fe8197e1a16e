#!/bin/bash
# Write a root file system to standard output as a tar stream: this machine's Debian release with
# what candidates need. Mirror, components and keyring are those of this machine's apt. Needs root.
set -euo pipefail

packages=python3,python3-numpy,python3-scipy,python3-sklearn,libopenblas0-pthread
packages+=,gcc,libc6-dev,git,ca-certificates,procps

die() { echo "debootstrap.sh: $*" >&2; exit 1; }

[[ $(id -u) -eq 0 ]] || die "needs root (or build on a base image that a registry has)"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"

release=$(. /etc/os-release && echo "${VERSION_CODENAME:?no VERSION_CODENAME in /etc/os-release}")
# apt itself reads its configuration, so both formats of source lists are understood.
format='$(RELEASE) $(REPO_URI) $(COMPONENT) $(SOURCESENTRY)'
targets=$(apt-get indextargets --format "$format" 'Created-By: Packages' |
    awk -v release="$release" '$1 == release' | sort -u)
[[ -n $targets ]] || die "the apt sources of this machine have no entry for $release"
read -r _ mirror _ entry < <(awk '$3 == "main"' <<<"$targets" | head -n 1)
components=$(awk -v mirror="$mirror" '$2 == mirror {print $3}' <<<"$targets" | sort -u | paste -sd,)

options=(--variant=minbase --include="$packages" --components="$components")
source_file=${entry%:*}
keyring=$(grep -vE '^[[:space:]]*#' "$source_file" |
    grep -oiE 'signed-by[:=][[:space:]]*/[^], ]+\.(gpg|pgp)' | grep -oE '/.*' | head -n 1 || true)
if grep -qiE '^[^#]*trusted[:=][[:space:]]*yes' "$source_file"; then
    options+=(--no-check-gpg)
else
    options+=(--force-check-gpg)
    if [[ -n $keyring ]]; then options+=(--keyring="$keyring"); fi
fi
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy=${http_proxy:-} https_proxy=${https_proxy:-}

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/harness-debootstrap.XXXXXX")
# debootstrap may leave /proc mounted when it is interrupted: never delete across mounts.
trap 'umount -q "$folder/root/proc" "$folder/root/sys" 2>/dev/null || true
      rm -rf --one-file-system "$folder"' EXIT

echo "bootstrapping $release from the machine's apt mirror" >&2
debootstrap "${options[@]}" "$release" "$folder/root" "$mirror" </dev/null >"$folder/log" 2>&1 || {
    tail -n 30 "$folder/log" "$folder/root/debootstrap/debootstrap.log" >&2 || true
    die "debootstrap failed"
}
cd "$folder/root"
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* \
    usr/share/info/* usr/share/locale/*
# The build machine's names and addresses are none of the image's business.
rm -f etc/hostname etc/resolv.conf etc/apt/sources.list
tar --create --numeric-owner --one-file-system --sort=name --file=- .
