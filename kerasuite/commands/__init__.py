"""What a verb of the command line does beyond running a pipeline."""
