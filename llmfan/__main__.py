"""`python -m llmfan` is `llmfan`."""

from llmfan.cli.main import main

main()
