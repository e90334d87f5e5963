#!/bin/sh
# What a program runs with, kept for the time of a run so that it can come back.
#   former keep NAME UNIT PATH...       remembers the files and links, where UNIT runs; else there is nothing to go back to
#   former restore NAME UNIT [UNIT...]  puts them back and starts the units; exit code 3: nothing was kept
set -eu
action=$1 kept=${FORMER_DIR:-/run/stowage/former}/$2
shift 2
case $action in
keep)
  unit=$1
  shift
  rm -rf "$kept"
  systemctl is-active --quiet "$unit" || exit 0
  umask 077
  mkdir -p "$kept"
  for path in "$@"; do
    printf '%s\n' "$path" >>"$kept/paths"
    if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "${path#/}" >>"$kept/there"; fi
  done
  touch "$kept/there"
  # Links stay links: /opt/NAME/current leads to the release.
  tar -C / -cf "$kept/files.tar" -T "$kept/there"
  ;;
restore)
  [ -s "$kept/files.tar" ] || exit 3
  while read -r path; do
    # Of a folder only what was in it comes back.
    if [ -L "$path" ] || [ ! -d "$path" ]; then rm -f "$path"; fi
  done <"$kept/paths"
  tar -C / -xpf "$kept/files.tar"
  rm -rf "$kept"
  systemctl daemon-reload
  for unit in "$@"; do
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemctl restart "$unit"
  done
  ;;
esac
