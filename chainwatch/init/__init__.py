"""`chainwatch init`: the questions, the configuration that comes of the answers, and the presets."""
