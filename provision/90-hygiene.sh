#!/usr/bin/env bash
# Remove what must not be in an image: every rule of hygiene.tsv.
set -o errexit -o nounset -o pipefail
# shellcheck source=provision/lib.sh
. "${ANNEXKIT_PROVISION:?set by the Packer template}/lib.sh"
# shellcheck source=provision/hygiene.sh
. "${ANNEXKIT_PROVISION}/hygiene.sh"

# Whoever writes logs or saves state at shutdown would put it back: the journal
# goes to memory, and the random seed's unit saves now rather than later.
quiet_recorders() {
  journalctl --relinquish-var 2> /dev/null || true
  local unit
  for unit in systemd-random-seed.service syslog.socket rsyslog.service; do
    systemctl stop "${unit}" 2> /dev/null || true
  done
}

# clean NAME ACTION PATH WHEN WHY
clean() {
  local name=$1 action=$2 pattern=$3 path
  while IFS= read -r -d '' path; do
    case "${action}" in
      truncate) : > "${path}" ;;
      *) rm -rf --one-file-system -- "${path}" ;;
    esac
    say "cleaned ${name}: ${path#"${ANNEXKIT_ROOT}"}"
  done < <(offenders "${action}" "${pattern}")
}

main() {
  [[ -n "${ANNEXKIT_ROOT}" ]] || quiet_recorders
  for_each_rule clean
  rm -f "${ANNEXKIT_ROOT}/var/tmp/annexkit/packages.tsv"
}

main "$@"
