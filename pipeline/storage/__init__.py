"""Writing and reading the bytes of stores: layout, HDF5, columns, check values, whole files, one writer at a time."""
