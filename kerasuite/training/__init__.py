"""Room 3: build and batches to a fitted model."""
