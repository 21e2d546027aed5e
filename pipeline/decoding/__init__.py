"""What decoding a file takes: probed, read through pipes, checked for damage."""
