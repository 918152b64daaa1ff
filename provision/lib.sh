#!/usr/bin/env bash
# Shared by every provisioning step: sourced, never run. The steps set
# errexit, nounset and pipefail before they source it.
#
# ANNEXKIT_PROVISION  where this tree was uploaded; set by the Packer template.
# ANNEXKIT_ROOT       a prefix for every path that a step touches, empty on a
#                     machine; the seam for tests and for building in a chroot.

umask 022
ANNEXKIT_ROOT="${ANNEXKIT_ROOT:-}"

say() {
  printf 'annexkit: %s\n' "$*"
}

die() {
  printf 'annexkit: error: %s\n' "$*" >&2
  exit 1
}

# require_variables NAME...: stop unless each is set and fit to be written into
# a configuration file between quotes.
require_variables() {
  local name
  for name in "$@"; do
    [[ -n "${!name:-}" ]] || die "${name} is not set; the Packer template sets it"
    [[ "${!name}" != *[\"\\$'\n']* ]] || die "${name} holds a quote, a backslash or a line end"
  done
}

# retry TRIES COMMAND...: run it until it succeeds, with growing pauses.
retry() {
  local tries=$1 attempt
  shift
  for ((attempt = 1; attempt < tries; attempt++)); do
    "$@" && return 0
    say "try ${attempt} of ${tries} failed: $*"
    sleep "$((attempt * 2))"
  done
  "$@"
}

# rows TABLE: the lines of a table of this tree, without its comments.
rows() {
  sed -e '/^#/d' -e '/^[[:space:]]*$/d' "${ANNEXKIT_PROVISION}/$1"
}

# write_file PATH MODE: put standard input there, all of it or nothing.
write_file() {
  local target="${ANNEXKIT_ROOT}$1" mode=$2
  mkdir -p "${target%/*}"
  cat > "${target}.annexkit-new"
  chmod "${mode}" "${target}.annexkit-new"
  mv -f "${target}.annexkit-new" "${target}"
}

# applies ONLY: does a row of a table concern this image? ONLY is "-" (always),
# "family=NAME" or "contract=NAME".
applies() {
  case "$1" in
    -) return 0 ;;
    family=*) [[ "${1#*=}" == "${FAMILY}" ]] ;;
    contract=*) [[ " ${ANNEXKIT_CONTRACTS:-} " == *" ${1#*=} "* ]] ;;
    *) die "a table says '$1' where '-', family=NAME or contract=NAME belongs" ;;
  esac
}

# install_files STEP: copy the files that files.tsv gives to that step.
install_files() {
  local wanted=$1 path mode step only
  while IFS=$'\t' read -r path mode step only; do
    if [[ "${step}" != "${wanted}" ]] || ! applies "${only}"; then continue; fi
    install -D -m "${mode}" "${ANNEXKIT_PROVISION}/files${path}" "${ANNEXKIT_ROOT}${path}"
  done < <(rows files.tsv)
}

# set_units STEP: enable or disable the units that units.tsv gives to that step;
# all at once, because systemd reads every unit again after each command.
set_units() {
  local wanted=$1 unit state step only enabled=() disabled=()
  while IFS=$'\t' read -r unit state step only; do
    if [[ "${step}" != "${wanted}" ]] || ! applies "${only}"; then continue; fi
    [[ "$(unit_state "${unit}")" != "${state}" ]] || continue
    case "${state}" in
      enabled) enabled+=("${unit}") ;;
      disabled) disabled+=("${unit}") ;;
      static) ;;
      *) die "units.tsv: '${state}' is no state of ${unit}" ;;
    esac
  done < <(rows units.tsv)
  [[ "${#disabled[@]}" -eq 0 ]] || unit_control disable --quiet "${disabled[@]}"
  [[ "${#enabled[@]}" -eq 0 ]] || unit_control enable --quiet "${enabled[@]}"
}

unit_state() {
  unit_control is-enabled "$1" 2> /dev/null || true
}

unit_control() {
  if [[ -n "${ANNEXKIT_ROOT}" ]]; then
    systemctl --root="${ANNEXKIT_ROOT}" "$@"
  else
    systemctl "$@"
  fi
}

# htcondor_version: what the installed HTCondor says it is, such as 23.9.6.
htcondor_version() {
  # shellcheck disable=SC2016  # a dollar sign that condor_version prints
  condor_version | sed -n 's/^\$CondorVersion: \([0-9.]*\) .*/\1/p'
}

# load_family: source the functions for this distribution's package manager.
load_family() {
  local ID='' ID_LIKE='' name
  # shellcheck source=/dev/null
  . "${ANNEXKIT_ROOT}/etc/os-release"
  for name in ${ID} ${ID_LIKE}; do
    if [[ -e "${ANNEXKIT_PROVISION}/family/${name}.sh" ]]; then
      FAMILY="${name}"
      # shellcheck source=provision/family/debian.sh
      . "${ANNEXKIT_PROVISION}/family/${name}.sh"
      return
    fi
  done
  die "no package functions for distribution '${ID}' in provision/family/"
}

FAMILY=''
load_family
