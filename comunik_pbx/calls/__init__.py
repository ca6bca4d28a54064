"""The shell around the decision: an event arrives, a decision leaves, what happened is recorded."""
