"""What a call of the policy costs, on every engine that this machine has."""
