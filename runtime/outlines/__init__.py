"""Learn from given masks how the network's outlines have to be moved, and move them."""
