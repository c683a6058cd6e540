"""Book-keeping of limits: pure, testable, exact. It decides and reserves; `pacing/` only smooths departures."""
