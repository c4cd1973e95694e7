"""Safety: the one filter between everything that commands motion and the controllers."""
