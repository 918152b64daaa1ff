#!/usr/bin/env bash
# Say everything that is wrong with the image, and fail the bake if anything is.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"
# shellcheck source=provision/hygiene.sh
. "${ANNEXKIT_PROVISION}/hygiene.sh"

FOUND=0

report() {
  FOUND=$((FOUND + 1))
  printf 'annexkit: not clean: %s\n' "$*" >&2
}

# look_for NAME ACTION PATH WHEN WHY
look_for() {
  local name=$1 action=$2 pattern=$3 why=$5 path
  while IFS= read -r -d '' path; do
    report "${name}: ${path#"${ANNEXKIT_ROOT}"} (${why})"
  done < <(offenders "${action}" "${pattern}")
}

check_files() {
  local path mode step only
  while IFS=$'\t' read -r path mode step only; do
    ! applies "${only}" || check_file "${path}" "${mode#0}" "${step}"
  done < <(rows files.tsv)
}

check_file() {
  local path=$1 wanted=$2 step=$3 target="${ANNEXKIT_ROOT}$1" is
  if [[ ! -f "${target}" ]]; then
    report "file ${path}: missing (step ${step} installs it)"
    return
  fi
  is=$(stat --format='%a %u:%g' "${target}")
  [[ "${is}" == "${wanted} 0:0" ]] || report "file ${path}: ${is}, wanted ${wanted} 0:0"
  cmp --silent "${ANNEXKIT_PROVISION}/files${path}" "${target}" ||
    report "file ${path}: changed since step ${step} installed it"
}

check_units() {
  local unit wanted step only is
  while IFS=$'\t' read -r unit wanted step only; do
    applies "${only}" || continue
    is=$(unit_state "${unit}")
    in_state "${is}" "${wanted}" ||
      report "unit ${unit}: ${is:-unknown}, wanted ${wanted} (step ${step})"
  done < <(rows units.tsv)
}

# A password that all instances share is a secret in the image; an empty one is
# worse. "!" and "*" lock (shadow(5)).
check_passwords() {
  local user
  while IFS= read -r user; do
    report "password: user ${user} has one, or an empty one (nodes are reached by key)"
  done < <(awk -F: '$2 !~ /^[!*]/ { print $1 }' "${ANNEXKIT_ROOT}/etc/shadow")
}

# EC2 shows the host keys only when the kernel talks to the serial console.
check_console() {
  local path
  while IFS= read -r path; do
    grep -qs 'console=ttyS0' "${path}" ||
      report "console: ${path#"${ANNEXKIT_ROOT}"} has no console=ttyS0 (no host keys in the console output)"
  done < <(boot_configurations)
}

check_htcondor() {
  local broken value
  broken=$(condor_config_val -dump 2>&1 > /dev/null || echo 'it failed')
  [[ -z "${broken}" ]] || report "htcondor: its configuration cannot be read: ${broken}"
  value=$(condor_config_val ENCRYPT_EXECUTE_DIRECTORY 2> /dev/null || true)
  [[ "${value,,}" =~ ^(false|)$ ]] ||
    report "htcondor: ENCRYPT_EXECUTE_DIRECTORY is ${value} (jobs die where the kernel cannot)"
  ! systemctl is-active --quiet condor.service ||
    report "htcondor: condor.service runs in the bake"
}

# Contract seed-cfn: the programs at the paths by which the 2016 tool's stacks call them.
check_helper_scripts() {
  local program
  applies contract=seed-cfn || return 0
  for program in /opt/aws/bin/cfn-init /usr/bin/aws /usr/bin/curl /usr/bin/awk \
    /usr/sbin/service /sbin/runlevel; do
    [[ -x "${ANNEXKIT_ROOT}${program}" ]] ||
      report "helper scripts: no program ${program} (the 2016 tool's stacks call it)"
  done
  [[ -n "${ANNEXKIT_ROOT}" ]] || /opt/aws/bin/cfn-init --help > /dev/null 2>&1 ||
    report "helper scripts: /opt/aws/bin/cfn-init does not run"
}

check_description() {
  python3 -m json.tool "${ANNEXKIT_ROOT}/etc/annexkit/image.json" > /dev/null 2>&1 ||
    report "file /etc/annexkit/image.json: missing or no JSON (step 80 writes it)"
}

main() {
  for_each_rule look_for
  check_files
  check_units
  check_passwords
  check_console
  check_description
  check_helper_scripts
  [[ -n "${ANNEXKIT_ROOT}" ]] || check_htcondor
  [[ "${FOUND}" -eq 0 ]] || die "the image is not clean: ${FOUND} finding(s), listed above"
  rm -rf "${ANNEXKIT_ROOT}/var/tmp/annexkit"
  say "the image is clean"
}

main "$@"
