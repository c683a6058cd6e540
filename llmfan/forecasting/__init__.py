"""`llmfan plan`: a batch in virtual time. The scheduler decides as in a run; only the answers are made up."""
