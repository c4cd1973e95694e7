"""Ways of making the next chunk while the running one is being executed."""
