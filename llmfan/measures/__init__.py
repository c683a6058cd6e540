"""Figures: what they are called, how they are counted. Pure; one accumulator for the live table and the summary."""
