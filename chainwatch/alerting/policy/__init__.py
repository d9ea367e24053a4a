"""Who is notified of what, and when: pure decisions over alerts, routes and times."""
