# look FOLDER prints one line about it. The calls, and what else is asked, are written behind this by store_paths.py.
look() {
  near=$1
  while [ ! -e "$near" ]; do near=$(dirname "$near"); done
  if [ -d "$1" ]; then there=yes; elif [ -e "$1" ]; then there=file; else there=no; fi
  if [ -d "$(dirname "$1")" ]; then parent=yes; else parent=no; fi
  if [ "$there" = yes ] && [ -n "$(ls -A "$1" 2>/dev/null)" ]; then full=yes; else full=no; fi
  echo "path there=$there parent=$parent full=$full owner=$(stat -c %u "$near") device=$(stat -c %d "$near")" \
    "$(df -PkT "$near" | awk 'NR == 2 {print "type=" $2, "free_mb=" int($5 / 1024)}') dir=$1"
}
