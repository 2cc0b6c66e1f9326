"""Room 1: raw file to batches."""
