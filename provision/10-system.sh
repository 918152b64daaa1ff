#!/usr/bin/env bash
# Bring the system up to date and hold its services back during the bake.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

# A first boot may still be installing packages. Its verdict does not matter
# here: "done with recoverable errors" is exit code 2 (cloud-init status).
wait_for_first_boot() {
  command -v cloud-init > /dev/null || return 0
  timeout 300 cloud-init status --wait > /dev/null || true
}

main() {
  wait_for_first_boot
  set_units 10
  stop_package_timers
  hold_services_back
  update_packages
  mapfile -t packages < <(base_packages)
  install_packages "${packages[@]}"
}

# Only the timers that this step turns off: an upgrade that runs already is waited for at
# the package manager's lock, ending it could leave packages half configured.
stop_package_timers() {
  local unit step only
  while IFS=$'\t' read -r unit _ step only; do
    if [[ "${step}" == 10 && "${unit}" == *.timer ]] && applies "${only}"; then
      systemctl stop "${unit}" 2> /dev/null || true
    fi
  done < <(rows units.tsv)
}

main "$@"
