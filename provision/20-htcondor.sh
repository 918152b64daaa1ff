#!/usr/bin/env bash
# Install HTCondor from the recipe's source; never start it in the bake.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

# install_htcondor SOURCE: each family has a function for each of its sources.
install_htcondor() {
  local install="install_htcondor_${1//-/_}"
  declare -F "${install}" > /dev/null ||
    die "HTCondor source '$1' is none that family '${FAMILY}' has"
  "${install}"
}

# check_series WANTED: 23.9 accepts 23.9.6 and refuses 23.90.1.
check_series() {
  local wanted=$1 installed
  installed=$(htcondor_version)
  [[ -n "${installed}" ]] || die "condor_version does not say which version it is"
  [[ -z "${wanted}" || "${installed}" == "${wanted}" || "${installed}" == "${wanted}".* ]] ||
    die "HTCondor ${installed} was installed, the recipe wants ${wanted}"
  say "HTCondor ${installed}"
}

check_identity() {
  getent passwd condor > /dev/null || die "the package made no user 'condor'"
  getent group condor > /dev/null || die "the package made no group 'condor'"
}

main() {
  require_variables ANNEXKIT_HTCONDOR_SOURCE
  install_htcondor "${ANNEXKIT_HTCONDOR_SOURCE}"
  check_series "${ANNEXKIT_HTCONDOR_VERSION:-}"
  check_identity
  install_files 20
  set_units 20
  ! systemctl is-active --quiet condor.service || die "HTCondor was started in the bake"
}

main "$@"
