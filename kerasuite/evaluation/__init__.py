"""Room 4: labels and scores to numbers and pictures."""
