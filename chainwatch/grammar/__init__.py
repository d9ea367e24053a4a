"""Small languages of the configuration and the commands: label matchers, calendars, durations."""
