"""The reset room: plan, check, execute, verify, retry, escalate. Pure: times are passed in."""
