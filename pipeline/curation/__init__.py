"""What is done with finished stores: looked into, verified, repaired, merged, cut."""
