"""What comes from outside: providers files, the catalogue, variables, prompt sets. YAML and .env stop here."""
