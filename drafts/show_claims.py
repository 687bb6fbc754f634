from wiseft_lite.claims import CLAIMS
from wiseft_lite.claims.page import measured
from wiseft_lite import UserError
import sys
for c in CLAIMS:
    try: v=c.verdict()
    except Exception as e: print(c.number,'??',str(e)[:90]); continue
    if c.evidence:
        print(f"{c.number}. [{v}] {c.says}")
        for p in c.evidence: print("      ",p.verdict()[:9],'|',measured(p))
