"""`llmfan probe`: which keys work, and what their limits are. Findings, the checks that lead to them, measurements."""
