"""One file for each protocol: how a request is laid out and where the answer holds the chunk."""
