"""Room 2: sizes to a Keras model, by the functional API."""
