"""How an extraction is run: planned, cut into chunks, worked on by processes here or on a cluster."""
