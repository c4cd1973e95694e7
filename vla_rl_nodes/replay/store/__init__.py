"""A store of episodes: committed whole, kept in memory-mapped files, drawn from at random."""
