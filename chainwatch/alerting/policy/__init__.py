"""Who is told what, when: pure decisions over alerts, routes and times."""
