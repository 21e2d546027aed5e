"""IEMOCAP: given to those who ask for it and sign its terms."""

from __future__ import annotations

from pathlib import Path

from pipeline.clip import Corpus
from pipeline.downloads import Distribution

DISTRIBUTION = Distribution(
    corpus=Corpus(
        name="iemocap", licence="by agreement with the University of Southern California",
        terms_url="https://sail.usc.edu/iemocap/",
        citation="C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee,"
                 " S. S. Narayanan: IEMOCAP: Interactive emotional dyadic motion capture database. Language Resources"
                 " and Evaluation 42(4): 335–359, 2008."),
    about="dialogues of ten actors, five sessions", root=Path("data/IEMOCAP"),
    ask="its owner gives it to those who sign its release form: ask for it at https://sail.usc.edu/iemocap/, then"
        " unpack it so that Session1 to Session5 lie in data/IEMOCAP")
