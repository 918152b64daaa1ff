#!/usr/bin/env bash
# Make first boot an EC2 first boot: cloud-init, host keys, keys on the console.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

main() {
  command -v cloud-init > /dev/null || install_packages cloud-init
  install_files 30
  set_units 30
}

main "$@"
