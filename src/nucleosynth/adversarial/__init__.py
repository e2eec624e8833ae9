"""What a generator and its critics lose against each other, as mathematics; never a sample."""
