"""Pages that open offline: one file each, with everything in it."""
