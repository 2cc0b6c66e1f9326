"""Each file joins the rooms into one pipeline; a file here is its own registration."""
