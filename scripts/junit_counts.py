"""Prints `PASSED FAILED SKIPPED` over the JUnit files named; files that don't exist count nothing.

After it, a line for each reason why tests were skipped: how many, and the reason in words.
"""

import collections
import os
import sys
import xml.etree.ElementTree as ElementTree

passed = failed = 0
skipped = collections.Counter()
for path in sys.argv[1:]:
    if not os.path.exists(path):
        continue
    for case in ElementTree.parse(path).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is None:
            passed += 1
        else:
            reason = (skip.text or skip.get("message") or "").strip()
            skipped[reason.splitlines()[0] if reason else "no reason given"] += 1
print(passed, failed, sum(skipped.values()))
for reason, count in sorted(skipped.items()):
    print(f"skipped {count}: {reason}")
