"""Graders: whether an answer is what was expected. Pure; each with its normalisation written down."""
