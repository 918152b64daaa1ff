#!/usr/bin/env bash
# Record what was baked: the package list, and the image's own description.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"
# shellcheck source=provision/helper_scripts.sh
. "${ANNEXKIT_PROVISION}/helper_scripts.sh"

# list_all_packages: the package manager's, and what came without it.
list_all_packages() {
  local name version
  list_packages
  read -r name version < <(helper_scripts) || return 0
  printf '%s\t%s\tall\n' "${name}" "${version}"
}

write_image_description() {
  local version=$1
  ANNEXKIT_HTCONDOR_INSTALLED="${version}" ANNEXKIT_CFN="$(helper_scripts)" python3 - << 'PYTHON' |
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
if env["ANNEXKIT_CFN"]:
    image["helper_scripts"] = env["ANNEXKIT_CFN"]
print(json.dumps(image, indent=2, sort_keys=True))
PYTHON
    write_file /etc/annexkit/image.json 0644
}

main() {
  require_variables ANNEXKIT_IMAGE ANNEXKIT_BUILD ANNEXKIT_DIGEST ANNEXKIT_DATE \
    ANNEXKIT_CONTRACTS ANNEXKIT_HTCONDOR_SOURCE
  list_all_packages | LC_ALL=C sort | write_file /var/tmp/annexkit/packages.tsv 0644
  write_image_description "$(htcondor_version)"
  say "$(wc -l < "${ANNEXKIT_ROOT}/var/tmp/annexkit/packages.tsv") packages"
}

main "$@"
