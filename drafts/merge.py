"""Put one experiment's numbers and tables from a snapshot into the checkout."""
import json, sys, shutil, fcntl
from pathlib import Path
snap, key = Path(sys.argv[1]) / "wiseft_lite/record", sys.argv[2]
main = Path("/work/main/wiseft_lite/record")
with open("/tmp/kit/merge.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    new = json.loads((snap / "ledger.json").read_text()); old = json.loads((main / "ledger.json").read_text())
    kept = {k: v for k, v in old.items() if k.partition(".")[0] != key}
    kept.update({k: v for k, v in new.items() if k.partition(".")[0] == key})
    (main / "ledger.json").write_text(json.dumps(dict(sorted(kept.items())), indent=1, sort_keys=True) + "\n")
    for t in snap.glob(f"{key}_*.csv"): shutil.copy2(t, main / t.name)
