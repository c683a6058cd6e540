"""What a run leaves behind and shows: journal, live table, tables."""
