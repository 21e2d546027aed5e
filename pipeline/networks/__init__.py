"""Networks that features come from: where their weights lie, how they load, what they are fed."""
