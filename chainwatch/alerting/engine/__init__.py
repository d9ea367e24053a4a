"""Signals become alerts, alerts join groups, groups are flushed into notifications: all in the caller's transaction."""
