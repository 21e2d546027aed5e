"""Files from elsewhere: fetched whole or not at all, unpacked without trust, put in place at once."""
