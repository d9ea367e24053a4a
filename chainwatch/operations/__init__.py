"""What an operator does with a chainwatch: look, take on, explain, review, try, repair. One module a kind of work."""
