"""Results in other people's formats: CSV, Parquet, a batch service's output file."""
