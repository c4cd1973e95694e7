"""Policy bundles that are verified before use, and the engine that runs them without torch."""
