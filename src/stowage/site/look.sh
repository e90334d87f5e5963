# Prints name=value lines. Before it stand: there (the controller's clock), python (path), dir (directory of the data).
echo "skew=$(($(date +%s) - there))"
if [ -d /run/systemd/system ]; then echo systemd=yes; else echo systemd=no; fi
if command -v "$python" >/dev/null; then echo python=yes; else echo python=no; fi
(. /etc/os-release && echo "os=$ID $VERSION_ID") 2>/dev/null || echo os=unknown
while [ ! -e "$dir" ]; do dir=$(dirname "$dir"); done
echo "free_mb=$(df -Pk "$dir" | awk 'NR == 2 {print int($4 / 1024)}')"
