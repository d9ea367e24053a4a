"""`chainwatch init`: the questions, the configuration written from the answers, and the presets."""
