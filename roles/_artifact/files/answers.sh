#!/bin/bash
# answers SECONDS HOST:PORT...: waits until something accepts connections at each of them; says what does not.
end=$((SECONDS + $1))
shift
for address; do
  host=${address%:*} port=${address##*:}
  host=${host#[} host=${host%]}
  until (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do
    if ((SECONDS >= end)); then
      echo "nothing answers at $address" >&2
      exit 1
    fi
    sleep 0.2
  done
done
