# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: where things are, how they speak, how they ask.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
state=$root/.lab

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  printf 'stowage: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo once the person has agreed.
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    command -v sudo >/dev/null || die "this needs root: $* (no sudo here; run it as root)"
    sudo "$@"
  fi
}

# Asks before the machine is changed by someone who is not root; STOWAGE_YES=1 answers for unattended runs.
agree() {
  [[ $EUID -eq 0 || ${STOWAGE_YES:-} == 1 ]] && return 0
  [[ -t 0 ]] || die "$1: needs a yes; run with STOWAGE_YES=1 or on a terminal"
  local answer
  read -r -p "$1 [y/N] " answer
  [[ $answer == [yY]* ]] || die "nothing was changed"
}

# Runs a stage, keeps what it took for the breakdown at the end, and ends as the stage did. Its failure is held by hand:
# `set -e` does not reach into a function that is called as part of a condition.
stage() {
  local name=$1 begin=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  mkdir -p "$state"
  printf '%s\t%s\n' "$name" "$((SECONDS - begin))" >>"$state/stages.tsv"
  return $status
}

print_stages() {
  [[ -s $state/stages.tsv ]] || return 0
  printf '\n%-44s %8s\n' "stage" "seconds" >&2
  awk -F '\t' '{ printf "%-44s %8d\n", $1, $2; sum += $2 } END { printf "%-44s %8d\n", "total", sum }' "$state/stages.tsv" >&2
}
