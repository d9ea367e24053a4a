"""What people write: label matchers, calendars, durations. Below the configuration, which uses them."""
