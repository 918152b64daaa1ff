#!/usr/bin/env bash
# The Debian family: what the steps need of its package manager (apt-get(8),
# apt_preferences(5), sources.list(5)). Another family brings the same functions.

POLICY_RC=/usr/sbin/policy-rc.d
UNSTABLE_SOURCES=/etc/apt/sources.list.d/annexkit-unstable.sources
UNSTABLE_PIN=/etc/apt/preferences.d/annexkit-unstable
UPSTREAM_SOURCES=/etc/apt/sources.list.d/annexkit-htcondor.sources
UPSTREAM_PIN=/etc/apt/preferences.d/annexkit-htcondor
UPSTREAM_KEY=/etc/apt/keyrings/annexkit-htcondor

# What the files of ours call; named so that a lean base AMI serves, too. Ubuntu has no
# package awscli since 24.04.
base_packages() {
  printf '%s\n' ca-certificates cloud-init curl nftables openssh-server python3 sudo
  [[ -z "$(apt-cache madison awscli)" ]] || printf 'awscli\n'
}

install_gpg() {
  install_packages gpg
}

# What the stacks of the 2016 tool call is there: the AWS CLI is of the base packages,
# service(8) of an essential one (init-system-helpers).
install_stack_programs() {
  :
}

# What AWS's tarball of the CloudFormation helper scripts needs to be installed and run.
# heat-cfntools, OpenStack's own of the same names, is no substitute: it takes neither
# cfn-init's -v nor the instance's role.
helper_scripts_packages() {
  printf '%s\n' python3-daemon python3-pystache python3-setuptools python3-venv
}

# Unsafe I/O leaves out dpkg's fsync of every file: a builder that loses power
# is thrown away, and a clean stop precedes the snapshot.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet \
    -o DPkg::Lock::Timeout=600 \
    -o Acquire::Retries=3 \
    -o APT::Update::Error-Mode=any \
    -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold \
    -o Dpkg::Options::=--force-unsafe-io \
    "$@"
}

# Maintainer scripts ask policy-rc.d before they start a service; 101 forbids it
# (invoke-rc.d(8)). Hygiene removes it and validation looks for it.
hold_services_back() {
  printf '#!/bin/sh\nexit 101\n' | write_file "${POLICY_RC}" 0755
}

# The list lock is not covered by DPkg::Lock::Timeout, hence the retries.
update_packages() {
  retry 5 apt_get update
  apt_get dist-upgrade
}

install_packages() {
  apt_get install --no-install-recommends "$@"
}

# list_packages: name, version, architecture of each installed package.
list_packages() {
  # shellcheck disable=SC2016  # dpkg-query's own placeholders
  dpkg-query --show \
    --showformat='${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n' |
    sed -n 's/^installed\t//p' | LC_ALL=C sort
}

# update_one SOURCES: read the index of one sources file, keep the others.
update_one() {
  retry 3 apt_get update \
    -o Dir::Etc::sourcelist="${ANNEXKIT_ROOT}$1" \
    -o Dir::Etc::sourceparts=- \
    -o APT::Get::List-Cleanup=0
}

# distribution_source: "URI KEYRING" of the source that gives this machine its
# own release; apt reads one-line and deb822 sources for us. KEYRING is "-" when
# the source names no file. Third-party archives reuse Debian's code names, so
# the origin has to fit, too.
distribution_source() {
  local codename
  codename=$(release_codename)
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets \
    --format '$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SIGNED_BY)' \
    'Created-By: Packages' |
    awk -F'|' -v codename="${codename}" '
      $1 == "Debian" && $2 == codename && $3 == "main" {
        print $4, ($5 ~ /^\// ? $5 : "-"); exit
      }'
}

release_codename() {
  local VERSION_CODENAME=''
  # shellcheck source=/dev/null
  . "${ANNEXKIT_ROOT}/etc/os-release"
  [[ -n "${VERSION_CODENAME}" ]] || die "/etc/os-release names no VERSION_CODENAME"
  printf '%s\n' "${VERSION_CODENAME}"
}

install_htcondor_distro() {
  install_packages condor
}

# Unstable at priority 100 gives only what is asked from it by name; what that
# needs comes from the release wherever the release has it (apt_preferences(5)).
# Where a library of the release is too old, apt 3's solver takes that one from
# unstable and no more; an older apt can only refuse, and says which it is. Never
# --target-release=sid: it brings unstable's libc and OpenSSL along.
install_htcondor_distro_unstable() {
  local codename options
  codename=$(release_codename)
  options=(--target-release="${codename}")
  if dpkg --compare-versions "$(dpkg-query --show --showformat='${Version}' apt)" ge 3.0; then
    options=(--solver 3.0 --no-strict-pinning)
  fi
  add_unstable_source
  update_one "${UNSTABLE_SOURCES}"
  install_packages "${options[@]}" condor/sid
  drop_htcondor_sources
}

add_unstable_source() {
  local uri keyring
  read -r uri keyring < <(distribution_source) ||
    die "no source of this machine gives Debian $(release_codename) main"
  printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' |
    write_file "${UNSTABLE_PIN}" 0644
  {
    printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\n' "${uri}"
    [[ "${keyring}" == - ]] || printf 'Signed-By: %s\n' "${keyring}"
  } | write_file "${UNSTABLE_SOURCES}" 0644
}

install_htcondor_upstream() {
  require_variables ANNEXKIT_HTCONDOR_URL ANNEXKIT_HTCONDOR_SUITE \
    ANNEXKIT_HTCONDOR_COMPONENT ANNEXKIT_HTCONDOR_KEY_URL
  [[ -n "${ANNEXKIT_HTCONDOR_KEY_SHA256:-}${ANNEXKIT_HTCONDOR_KEY_FINGERPRINT:-}" ]] ||
    die "the recipe names no key_sha256 and no key_fingerprint for HTCondor's key"
  add_upstream_source
  update_one "${UPSTREAM_SOURCES}"
  install_packages condor
  drop_htcondor_sources
}

# Priority 600 prefers upstream's packages to the release's own, and downgrades
# nothing (apt_preferences(5): that takes 1000).
add_upstream_source() {
  local key host
  key=$(fetch_upstream_key)
  host=$(sed -E 's#^[a-z+]+://([^/:]*).*#\1#' <<< "${ANNEXKIT_HTCONDOR_URL}")
  printf 'Package: *\nPin: origin "%s"\nPin-Priority: 600\n' "${host}" |
    write_file "${UPSTREAM_PIN}" 0644
  write_file "${UPSTREAM_SOURCES}" 0644 << SOURCES
Types: deb
URIs: ${ANNEXKIT_HTCONDOR_URL}
Suites: ${ANNEXKIT_HTCONDOR_SUITE}
Components: ${ANNEXKIT_HTCONDOR_COMPONENT}
Signed-By: ${key}
SOURCES
}

# fetch_upstream_key: the key's path. apt tells an armoured key from a binary one by the
# file's name.
fetch_upstream_key() {
  local fetched path="${UPSTREAM_KEY}.gpg"
  fetched=$(fetch_key HTCondor "${ANNEXKIT_HTCONDOR_KEY_URL}" \
    "${ANNEXKIT_HTCONDOR_KEY_SHA256:-}" "${ANNEXKIT_HTCONDOR_KEY_FINGERPRINT:-}") || exit
  ! grep -q 'BEGIN PGP' "${fetched}" || path="${UPSTREAM_KEY}.asc"
  write_file "${path}" 0644 < "${fetched}"
  rm -f "${fetched}"
  printf '%s\n' "${ANNEXKIT_ROOT}${path}"
}

# The image keeps the base AMI's own sources and no others: nodes are replaced
# by the next bake and never upgraded in place, so nothing may swap HTCondor
# under a job, and a later apt-get on a node meets no surprise.
drop_htcondor_sources() {
  local path
  for path in "${UNSTABLE_SOURCES}" "${UNSTABLE_PIN}" "${UPSTREAM_SOURCES}" \
    "${UPSTREAM_PIN}" "${UPSTREAM_KEY}.asc" "${UPSTREAM_KEY}.gpg"; do
    rm -f "${ANNEXKIT_ROOT}${path}"
  done
}

# Repositories of a recipe are for the families that have priorities of repositories.
add_repositories() {
  [[ -z "${ANNEXKIT_REPOSITORIES:-}" ]] || die "repositories are for family el only"
}

drop_repositories() {
  :
}

# boot_configurations: the files that name the kernel's console.
boot_configurations() {
  local path="${ANNEXKIT_ROOT}/boot/grub/grub.cfg"
  [[ ! -e "${path}" ]] || printf '%s\n' "${path}"
}
