#!/usr/bin/env bash
# The Enterprise Linux family (AlmaLinux, Amazon Linux 2023): what the steps need of its
# package manager (dnf(8), dnf.conf(5), rpm(8)). The same functions as debian.sh.

REPOSITORIES=/etc/yum.repos.d
KEYS=/etc/pki/rpm-gpg
UPSTREAM_PRIORITY=90 # before any repository of a recipe (annexkit/bake/recipe.py)

# What the files of ours call; named so that a lean base AMI serves, too. curl by its
# command: the package curl excludes curl-minimal, which many base AMIs have.
base_packages() {
  printf '%s\n' ca-certificates cloud-init nftables openssh-server python3 sudo
  command -v curl > /dev/null || printf 'curl\n'
}

# What the stacks of the 2016 tool call, and a base AMI may lack. By path, because that is
# what they call, and the packages' names differ: AlmaLinux has awscli2 in AppStream since
# 9.5 and initscripts-service in BaseOS, Amazon Linux 2023 has awscli-2. (Known from who
# packages them: osbuild/image-builder pull request 742, Azure/WALinuxAgent issue 3402.)
install_stack_programs() {
  install_packages /usr/bin/aws /usr/sbin/service
}

# What AWS's helper scripts for CloudFormation import (package names of Fedora, not tried
# here: no EL repository can be reached). Some of it is EPEL's, which is gone when step 40
# asks: a recipe that wants AWS's own names that in its packages.
helper_scripts_packages() {
  printf '%s\n' python3-daemon python3-pip python3-pystache python3-setuptools python3-wheel
}

install_gpg() {
  install_packages gnupg2
}

# A repository that cannot be read stops the bake: what it has could be newer. What the
# base AMI knows but leaves off is on for this one call, so the image stays as it was.
run_dnf() {
  local name options=()
  for name in ${ANNEXKIT_ENABLE_REPOSITORIES:-}; do
    options+=("--enablerepo=${name}")
  done
  dnf --assumeyes \
    --setopt=best=True \
    --setopt=install_weak_deps=False \
    --setopt=localpkg_gpgcheck=True \
    --setopt=retries=3 \
    '--setopt=*.skip_if_unavailable=False' \
    ${options[@]+"${options[@]}"} "$@"
}

# Packages of this family enable a service, but start none (systemd.preset(5)).
hold_services_back() {
  :
}

update_packages() {
  retry 5 run_dnf upgrade --refresh
}

install_packages() {
  run_dnf install "$@"
}

# list_packages: name, version, architecture of each installed package. The keys that
# rpm trusts are in its database, too.
list_packages() {
  rpm --query --all --queryformat '%{NAME}\t%{EVR}\t%{ARCH}\n' |
    sed '/^gpg-pubkey\t/d' | LC_ALL=C sort
}

# add_repositories: those of the recipe, for the bake.
add_repositories() {
  local name prefix
  for name in ${ANNEXKIT_REPOSITORIES:-}; do
    prefix="ANNEXKIT_REPOSITORY_${name^^}"
    require_variables "${prefix}_URL" "${prefix}_KEY_URL" "${prefix}_PRIORITY"
    add_repository "${name}" "${prefix}" "$(value_of "${prefix}_PRIORITY")"
  done
}

value_of() {
  printf '%s' "${!1:-}"
}

# add_repository NAME PREFIX PRIORITY: what the variables PREFIX_URL, PREFIX_KEY_URL and
# PREFIX_KEY_SHA256 or PREFIX_KEY_FINGERPRINT say. Only packages signed by this key are
# installed from it: gpgcheck stands here, whatever dnf.conf says.
add_repository() {
  local name=$1 prefix=$2 priority=$3 fetched url key="${KEYS}/annexkit-$1"
  url=$(value_of "${prefix}_URL")
  fetched=$(fetch_key "${name}" "$(value_of "${prefix}_KEY_URL")" \
    "$(value_of "${prefix}_KEY_SHA256")" "$(value_of "${prefix}_KEY_FINGERPRINT")") || exit
  write_file "${key}" 0644 < "${fetched}"
  rm -f "${fetched}"
  write_file "${REPOSITORIES}/annexkit-${name}.repo" 0644 << REPOSITORY
[annexkit-${name}]
name=annexkit: ${name}, during the bake
baseurl=${url}
enabled=1
gpgcheck=1
gpgkey=file://${ANNEXKIT_ROOT}${key}
priority=${priority}
skip_if_unavailable=0
REPOSITORY
}

# drop_repositories: as for Debian, the image keeps the base AMI's own repositories and
# those that a package of the recipe brought.
drop_repositories() {
  local path name
  for path in "${ANNEXKIT_ROOT}${REPOSITORIES}"/annexkit-*.repo; do
    name="${path##*/annexkit-}"
    [[ ! -e "${path}" ]] || drop_repository "${name%.repo}"
  done
}

drop_repository() {
  local key="${ANNEXKIT_ROOT}${KEYS}/annexkit-$1"
  forget_key "${key}"
  rm -f "${key}" "${ANNEXKIT_ROOT}${REPOSITORIES}/annexkit-$1.repo"
}

# forget_key FILE: rpm keeps a key that dnf imported, and would go on to trust it. It
# names it by the end of the fingerprint, newer versions by the whole.
forget_key() {
  local fingerprint known
  fingerprint=$(key_fingerprints "$1")
  fingerprint="${fingerprint,,}"
  while IFS= read -r known; do
    case "${known}" in
      "gpg-pubkey-${fingerprint: -8}-"* | "gpg-pubkey-${fingerprint}-"*)
        rpm --erase --allmatches "${known}"
        ;;
    esac
  done < <(rpm --query --all 'gpg-pubkey*')
}

install_htcondor_upstream() {
  require_variables ANNEXKIT_HTCONDOR_URL ANNEXKIT_HTCONDOR_KEY_URL
  add_repository htcondor ANNEXKIT_HTCONDOR "${UPSTREAM_PRIORITY}"
  install_packages condor
  check_origin htcondor
  drop_repository htcondor
}

install_htcondor_repository() {
  require_variables ANNEXKIT_HTCONDOR_SUITE
  [[ -e "${ANNEXKIT_ROOT}${REPOSITORIES}/annexkit-${ANNEXKIT_HTCONDOR_SUITE}.repo" ]] ||
    die "there is no repository '${ANNEXKIT_HTCONDOR_SUITE}'; step 15-repositories adds the recipe's"
  install_packages condor
  check_origin "${ANNEXKIT_HTCONDOR_SUITE}"
}

# check_origin NAME: a package that was there before, or a priority that is not what it
# seems, is not found out by the version alone.
check_origin() {
  local is
  is=$(dnf --quiet repoquery --installed --queryformat '%{from_repo}' condor)
  [[ "${is}" == "annexkit-$1" ]] ||
    die "HTCondor came from repository '${is}', the recipe wants it from '$1'"
}

# boot_configurations: the files that name the kernel's console: each boot loader entry,
# or what the entries take it from.
boot_configurations() {
  local entry
  for entry in "${ANNEXKIT_ROOT}"/boot/loader/entries/*.conf; do
    if [[ ! -e "${entry}" ]]; then
      continue
    elif grep -qF "\$kernelopts" "${entry}"; then
      printf '%s\n' "${ANNEXKIT_ROOT}/boot/grub2/grubenv"
    else
      printf '%s\n' "${entry}"
    fi
  done
}
