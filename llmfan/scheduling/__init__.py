"""Who sends what, when: pure. It knows no provider by name and never awaits."""
