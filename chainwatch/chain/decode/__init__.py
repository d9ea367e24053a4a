"""ABIs, and decoders compiled from them."""
