"""Small things that know nothing of bridges or alerts: clocks, names, supervision, text."""
