"""Training plumbing on Lightning Fabric: one loop for every stage of every method and for the judges."""
