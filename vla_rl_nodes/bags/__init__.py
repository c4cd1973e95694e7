"""Episode bags: one MCAP file per episode, its manifest, and its reader."""
