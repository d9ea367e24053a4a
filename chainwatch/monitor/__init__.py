"""The running process: builds the parts from the plan, runs them, and watches itself."""
