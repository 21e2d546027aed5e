"""What ``predict`` is made of: a run's networks, its recipe, stretches of recordings, and what is written of them.

``networks`` answer, ``recipes`` rebuilds the extractors that the run learnt from, ``stretches`` says what is cut out of
a recording, ``findings`` holds what was found; ``files``, ``strips``, ``marking`` and ``timeline`` show it.
"""
