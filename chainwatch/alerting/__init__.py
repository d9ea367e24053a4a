"""Signals to alerts to groups to notifications to receivers."""
