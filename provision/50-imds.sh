#!/usr/bin/env bash
# Close the instance metadata service to every user but root, at every boot.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

main() {
  install_files 50
  nft --check --file "${ANNEXKIT_ROOT}/usr/lib/annexkit/imds.nft" ||
    die "nft refuses the rules in /usr/lib/annexkit/imds.nft"
  set_units 50
}

main "$@"
