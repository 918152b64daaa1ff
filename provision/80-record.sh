#!/usr/bin/env bash
# Record what was baked: the package list, and the image's own description.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"

write_image_description() {
  local version=$1
  ANNEXKIT_HTCONDOR_INSTALLED="${version}" python3 - << 'PYTHON' |
import json, os

env = os.environ
image = {
    "version": 1,
    "image": env["ANNEXKIT_IMAGE"],
    "build": env["ANNEXKIT_BUILD"],
    "digest": env["ANNEXKIT_DIGEST"],
    "date": env["ANNEXKIT_DATE"],
    "contracts": env["ANNEXKIT_CONTRACTS"].split(),
    "htcondor": env["ANNEXKIT_HTCONDOR_INSTALLED"],
    "htcondor_source": env["ANNEXKIT_HTCONDOR_SOURCE"],
}
print(json.dumps(image, indent=2, sort_keys=True))
PYTHON
    write_file /etc/annexkit/image.json 0644
}

main() {
  require_variables ANNEXKIT_IMAGE ANNEXKIT_BUILD ANNEXKIT_DIGEST ANNEXKIT_DATE \
    ANNEXKIT_CONTRACTS ANNEXKIT_HTCONDOR_SOURCE
  list_packages | write_file /var/tmp/annexkit/packages.tsv 0644
  write_image_description "$(htcondor_version)"
  say "$(wc -l < "${ANNEXKIT_ROOT}/var/tmp/annexkit/packages.tsv") packages"
}

main "$@"
