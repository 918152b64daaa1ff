#!/usr/bin/env bash
# Lay in the boot-time selector and the contracts that the recipe names.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"
# shellcheck source=provision/helper_scripts.sh
. "${ANNEXKIT_PROVISION}/helper_scripts.sh"

main() {
  require_variables ANNEXKIT_CONTRACTS
  local contract
  for contract in ${ANNEXKIT_CONTRACTS}; do
    rows files.tsv | grep -q "contract=${contract}$" ||
      die "contract '${contract}' has no files in provision/files.tsv"
  done
  install_files 40
  # Compiled once here and not at each boot.
  python3 -m compileall -q "${ANNEXKIT_ROOT}/usr/lib/annexkit"
  set_units 40
  ! applies contract=seed-cfn || install_helper_scripts
}

main "$@"
