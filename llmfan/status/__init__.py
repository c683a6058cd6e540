"""`llmfan status`: what the ledger knows of each key, beside what the providers file declares."""
