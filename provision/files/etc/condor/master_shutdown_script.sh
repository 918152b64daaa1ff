#!/usr/bin/env bash
# What HTCondor's master becomes, as root, when it ends: the node powers off.
#
# DEFAULT_MASTER_SHUTDOWN_SCRIPT; only a contract's configuration names it. The
# power-off runs in a unit of its own, because condor.service's processes are
# killed as soon as that unit stops.
set -o errexit -o nounset -o pipefail

main() {
  # A reboot stops HTCondor, too, and must stay a reboot.
  if [[ "$(systemctl is-system-running || true)" == stopping ]]; then
    return
  fi
  systemctl start --no-block annexkit-power-off.service ||
    exec /usr/lib/annexkit/power-off "HTCondor's master ended"
}

main "$@"
