"""Doing what was decided: send, read, settle; stop and drain. No policy here, and no `if` about a provider."""
