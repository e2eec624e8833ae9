"""What several methods share: a network with its training, told apart from the paper that uses it."""
