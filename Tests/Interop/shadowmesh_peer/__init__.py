"""An independent SMH/1 peer and backbone client, written from `docs/` alone.

It shares no code with the Swift sources and none of their structure, on purpose: where both agree, the
documents were exact enough. Sections named in comments (§) are those of docs/protocol/SMH1.md.
"""
