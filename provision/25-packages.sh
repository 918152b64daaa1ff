#!/usr/bin/env bash
# Install the recipe's further packages, and drop its repositories.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

main() {
  local packages=()
  read -r -a packages <<< "${ANNEXKIT_PACKAGES:-}"
  [[ "${#packages[@]}" -eq 0 ]] || install_packages "${packages[@]}"
  drop_repositories
  install_files 25
  set_units 25
}

main "$@"
