#!/usr/bin/env bash
# Add the package repositories that the recipe names; step 25 drops them again.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

main() {
  add_repositories
}

main "$@"
