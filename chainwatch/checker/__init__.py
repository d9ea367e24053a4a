"""Events and values in, signals out. Pure: no I/O, no clock of its own."""
