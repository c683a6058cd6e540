"""Front doors: parse, call, print, set the exit code; nothing else. A command's imports happen when it is called."""
