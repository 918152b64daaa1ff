#!/usr/bin/env bash
# The CloudFormation helper scripts, which contract seed-cfn's user data runs at
# /opt/aws/bin: ours, or AWS's own in a virtual environment. Sourced by the steps that
# install and record them.
#
# ANNEXKIT_CFN_SOURCE  annexkit, or aws: then also
# ANNEXKIT_CFN_URL     AWS's tarball (release history of aws-cfn-bootstrap)
# ANNEXKIT_CFN_SHA256  and its checksum

CFN_BIN=/opt/aws/bin
CFN_ENVIRONMENT=/opt/aws/cfn-bootstrap

install_helper_scripts() {
  require_variables ANNEXKIT_CFN_SOURCE
  install_stack_programs
  [[ -x "${ANNEXKIT_ROOT}/usr/bin/aws" ]] ||
    die "there is no AWS CLI at /usr/bin/aws, where the stacks of the 2016 tool call it"
  case "${ANNEXKIT_CFN_SOURCE}" in
    annexkit)
      link_helper_script cfn-init /usr/lib/annexkit/cfn_init.py
      link_helper_script cfn-get-metadata /usr/lib/annexkit/cfn_init.py
      ;;
    aws) install_helper_scripts_aws ;;
    *) die "source of helper scripts '${ANNEXKIT_CFN_SOURCE}' is not annexkit or aws" ;;
  esac
  say "helper scripts: $(helper_scripts)"
}

link_helper_script() {
  local target="${ANNEXKIT_ROOT}$2"
  [[ -x "${target}" ]] || die "there is no program $2 for ${CFN_BIN}/$1"
  mkdir -p "${ANNEXKIT_ROOT}${CFN_BIN}"
  ln -sfn "$2" "${ANNEXKIT_ROOT}${CFN_BIN}/$1"
}

# What they need comes from the distribution; the tarball alone is from AWS, and nothing
# is asked of a Python registry.
install_helper_scripts_aws() {
  require_variables ANNEXKIT_CFN_URL ANNEXKIT_CFN_SHA256
  local packages tarball script environment="${ANNEXKIT_ROOT}${CFN_ENVIRONMENT}"
  mapfile -t packages < <(helper_scripts_packages)
  install_packages "${packages[@]}"
  tarball=$(fetch_helper_scripts)
  python3 -m venv --clear --system-site-packages "${environment}"
  "${environment}/bin/python" -m pip install --quiet --no-index --no-deps \
    --no-build-isolation --no-cache-dir --disable-pip-version-check "${tarball}" ||
    die "pip cannot install the tarball of AWS's helper scripts"
  rm -rf "${tarball%/*}"
  for script in cfn-init cfn-signal cfn-get-metadata cfn-hup; do
    link_helper_script "${script}" "${CFN_ENVIRONMENT}/bin/${script}"
  done
}

# fetch_helper_scripts: the tarball's path, once its checksum is the wanted one. pip
# knows a tarball by the end of its name.
fetch_helper_scripts() {
  local folder tarball sum
  folder=$(mktemp -d)
  tarball="${folder}/aws-cfn-bootstrap.tar.gz"
  curl --fail --silent --show-error --location --retry 3 --max-time 120 \
    --output "${tarball}" "${ANNEXKIT_CFN_URL}" ||
    die "cannot fetch AWS's helper scripts from ${ANNEXKIT_CFN_URL}"
  sum=$(sha256sum "${tarball}" | cut -d' ' -f1)
  if [[ "${sum}" != "${ANNEXKIT_CFN_SHA256}" ]]; then
    rm -rf "${folder}"
    die "AWS's helper scripts have SHA-256 ${sum}, wanted ${ANNEXKIT_CFN_SHA256}"
  fi
  printf '%s\n' "${tarball}"
}

# helper_scripts: what is at /opt/aws/bin, as "NAME VERSION"; nothing without.
helper_scripts() {
  local program
  program=$(readlink "${ANNEXKIT_ROOT}${CFN_BIN}/cfn-init") || return 0
  case "${program}" in
    "${CFN_ENVIRONMENT}"/*)
      "${ANNEXKIT_ROOT}${CFN_ENVIRONMENT}/bin/python" -c \
        'from importlib.metadata import version as v; print("aws-cfn-bootstrap", v("aws-cfn-bootstrap"))'
      ;;
    *) sha256sum "${ANNEXKIT_ROOT}${program}" | sed 's/^\(.\{12\}\).*/annexkit-cfn-init \1/' ;;
  esac
}
