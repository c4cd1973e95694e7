"""kill -9 of every process that the arm's motion depends on, judged from what the topics hold."""
