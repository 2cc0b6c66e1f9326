"""Room 5: a fitted model and its preparation to a SavedModel that takes raw input."""
