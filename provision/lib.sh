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
# "family=NAME", "contract=NAME" or "package=NAME" (one that the recipe names).
applies() {
  case "$1" in
    -) return 0 ;;
    family=*) [[ "${1#*=}" == "${FAMILY}" ]] ;;
    contract=*) [[ " ${ANNEXKIT_CONTRACTS:-} " == *" ${1#*=} "* ]] ;;
    package=*) [[ " ${ANNEXKIT_PACKAGES:-} " == *" ${1#*=} "* ]] ;;
    *) die "a table says '$1' where '-', family=, contract= or package=NAME belongs" ;;
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
  local wanted=$1 unit state step only is enabled=() disabled=()
  while IFS=$'\t' read -r unit state step only; do
    if [[ "${step}" != "${wanted}" ]] || ! applies "${only}"; then continue; fi
    is=$(unit_state "${unit}")
    ! in_state "${is}" "${state}" || continue
    case "${state}" in
      enabled) enabled+=("${unit}") ;;
      disabled | off) disabled+=("${unit}") ;;
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

# in_state IS WANTED: "off" is any state in which nothing starts the unit, also that
# it is not there; the other states are systemd's own words.
in_state() {
  if [[ "$2" == off ]]; then [[ "$1" != enabled* ]]; else [[ "$1" == "$2" ]]; fi
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

# fetch_key NAME URL SHA256 FINGERPRINT: print the path of the signing key of NAME, once
# it is the one that the recipe wants: by the file's own hash, or, where SHA256 is
# empty, by the fingerprint of the only key in it. Callers end it with "|| exit": a
# function that is itself within $(...) does not stop at a failure (bash(1), errexit).
fetch_key() {
  local name=$1 url=$2 sha256=$3 fingerprint=$4 fetched is
  fetched=$(mktemp)
  curl --fail --silent --show-error --location --retry 3 --max-time 60 \
    --output "${fetched}" "${url}" || die "cannot fetch the key of ${name} from ${url}"
  if [[ -n "${sha256}" ]]; then
    is=$(sha256sum "${fetched}" | cut -d' ' -f1)
    [[ "${is}" == "${sha256}" ]] ||
      refuse_key "${fetched}" "the key of ${name} has SHA-256 ${is}, wanted ${sha256}"
  else
    is=$(key_fingerprints "${fetched}")
    [[ -n "${fingerprint}" && "${is}" == "${fingerprint}" ]] ||
      refuse_key "${fetched}" "the key of ${name} has fingerprint ${is:-none}, wanted ${fingerprint:-one}"
  fi
  printf '%s\n' "${fetched}"
}

refuse_key() {
  rm -f "$1"
  die "$2"
}

# key_fingerprints FILE: of each key in it, in one line; a second key in the file
# would be trusted like the first.
key_fingerprints() {
  local home
  command -v gpg > /dev/null || install_gpg > /dev/null
  home=$(mktemp -d)
  gpg --homedir "${home}" --batch --quiet --show-keys --with-colons "$1" 2> /dev/null |
    awk -F: '$1 == "pub" { key = 1 } $1 == "fpr" && key { print $10; key = 0 }' |
    paste --serial --delimiters=' '
  rm -rf "${home}"
}

# load_family: source the functions for this distribution's package manager.
load_family() {
  local ID='' ID_LIKE='' name
  # shellcheck source=/dev/null
  . "${ANNEXKIT_ROOT}/etc/os-release"
  for name in ${ID} ${ID_LIKE}; do
    case "${name}" in
      rhel | fedora) name=el ;; # what AlmaLinux and Amazon Linux say they are like
    esac
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
