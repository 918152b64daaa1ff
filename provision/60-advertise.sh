#!/usr/bin/env bash
# Let the master and every slot advertise which image they run.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

# Quotes make the values ClassAd strings; without them the digest would be read
# as an expression (HTCondor manual, STARTD_ATTRS).
write_image_config() {
  local names='AnnexImageBuild AnnexImageDigest AnnexImageDate'
  write_file /etc/condor/config.d/40-annexkit-image.config 0644 << CONFIG
# Written in the bake by provision/60-advertise.sh.
AnnexImageBuild = "${ANNEXKIT_BUILD}"
AnnexImageDigest = "${ANNEXKIT_DIGEST}"
AnnexImageDate = "${ANNEXKIT_DATE}"
STARTD_ATTRS = \$(STARTD_ATTRS) ${names}
MASTER_ATTRS = \$(MASTER_ATTRS) ${names}
CONFIG
}

main() {
  require_variables ANNEXKIT_BUILD ANNEXKIT_DIGEST ANNEXKIT_DATE
  write_image_config
}

main "$@"
