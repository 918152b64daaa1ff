#!/usr/bin/env bash
# How the rules of hygiene.tsv are read: sourced by 90-hygiene.sh, which removes
# what they name, and by 95-validate.sh, which looks for it.

# for_each_rule COMMAND: call it with NAME ACTION PATH WHEN WHY of each rule.
for_each_rule() {
  local name action path when why
  while IFS=$'\t' read -r name action path when why; do
    [[ "${path}" == /*/* && "${path}" != *..* && -n "${why}" ]] ||
      die "hygiene.tsv: rule '${name}' is not: name, action, absolute path, when, why"
    [[ "${action}" =~ ^(remove|remove-files|truncate)$ ]] ||
      die "hygiene.tsv: rule '${name}': no action '${action}'"
    "$1" "${name}" "${action}" "${path}" "${when}" "${why}"
  done < <(rows hygiene.tsv)
}

# offenders ACTION PATTERN: each path that breaks the rule, ended by a NUL.
#   remove        what matches the pattern, whole trees
#   remove-files  each file below the directory
#   truncate      the file, when it is not there or not empty
offenders() {
  local action=$1 path="${ANNEXKIT_ROOT}$2"
  case "${action}" in
    remove) matches "${path}" ;;
    remove-files) [[ ! -d "${path}" ]] || find "${path}" -xdev ! -type d -print0 ;;
    truncate) [[ -f "${path}" && ! -s "${path}" ]] || printf '%s\0' "${path}" ;;
  esac
}

# matches PATTERN: a glob that counts hidden files and dangling links.
matches() (
  shopt -s nullglob dotglob
  local found
  IFS=''
  # shellcheck disable=SC2206  # the glob is what is wanted here
  local paths=($1)
  for found in ${paths[@]+"${paths[@]}"}; do
    [[ ! -e "${found}" && ! -L "${found}" ]] || printf '%s\0' "${found}"
  done
)
