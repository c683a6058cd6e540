"""What outlives a run. One file a form; sqlite3 has its only door here."""
