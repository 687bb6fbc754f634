#!/bin/bash
# two workers, each single-threaded, with priority; requests in order; each runs in a snapshot of the sources
cd /work/main
worker() {
while true; do
  f=$(ls -tr /tmp/queue/*.todo 2>/dev/null | head -1); k=$(basename "$f" .todo)
  if [ -n "$f" ] && mv "$f" /tmp/queue/$k.running$1 2>/dev/null; then rm -f /tmp/queue/$k.done /tmp/queue/$k.failed
    S=/tmp/snap/$k; rm -rf $S; mkdir -p $S
    cp -r wiseft_lite $S/
    rm -rf $S/wiseft_lite/record; cp -r wiseft_lite/record $S/wiseft_lite/
    echo "$(date +%T) start $k" >> /tmp/queue/history
    if (cd $S && OMP_NUM_THREADS=1 PYTHONPATH=$S WISEFT_CACHE=/root/.cache/wiseft_lite /work/main/.venv/bin/python -m wiseft_lite ledger $k --run) > /tmp/queue/$k.log 2>&1 && python3 /tmp/kit/merge.py $S $k; then touch /tmp/queue/$k.done; else touch /tmp/queue/$k.failed; fi
    rm -f /tmp/queue/$k.running$1
    echo "$(date +%T) end $k $(ls /tmp/queue/$k.done /tmp/queue/$k.failed 2>/dev/null)" >> /tmp/queue/history
  else sleep 2; fi
done; }
worker 1 & sleep 1; worker 2
