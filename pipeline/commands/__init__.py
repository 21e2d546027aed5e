"""One file a command: ``count_parameters.py`` is ``python -m pipeline count-parameters``.

A file defines ``command``, a click command or group whose help begins with one line and shows an example. It parses
options, calls one function and prints; it imports nothing but click and this package's light modules at its top, so
that ``--help`` stays quick. Its return value is the exit code. Results go to stdout, all else to stderr.
"""
