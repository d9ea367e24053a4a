"""What tests need of the outside: real nodes, a real database server, a receiver that answers as instructed."""
