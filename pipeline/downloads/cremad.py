"""CREMA-D: a GitHub repository whose media lie in git-lfs; the archive of the repository lists them with their SHA-256.

GitHub stops serving git-lfs files when the repository's budget is used up; the authors' mirror is tried then.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.clip import Corpus
from pipeline.downloads import Archive, Distribution, Part, Pointers, RemoteFile

REPOSITORY = RemoteFile("master.zip", ("https://github.com/CheyneyComputerScience/CREMA-D/archive/refs/heads",))
# The publisher's figures: about 24 MB packed, 163 MB unpacked.
TABLES = Archive(REPOSITORY, strip=1, only=("*.csv", "LICENSE.txt", "README.md"), growth=7.0, most_bytes=1 << 30,
                 settled=False)
MEDIA = ("https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master",
         "https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/main")

DISTRIBUTION = Distribution(
    corpus=Corpus(
        name="cremad", licence="ODbL 1.0, its contents DbCL 1.0",
        terms_url="https://github.com/CheyneyComputerScience/CREMA-D", redistribute="yes",
        citation="H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma: CREMA-D: Crowd-sourced"
                 " Emotional Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4): 377–390, 2014."),
    about="91 actors speak twelve sentences with six emotions, 7,442 clips", root=Path("data/CREMA-D"),
    parts=(
        Part("tables", "votes of the crowd, actors, file names", archives=(TABLES,),
             expected=("VideoDemographics.csv", "processedResults")),
        Part("videos", "all clips, picture with sound", pointers=Pointers(TABLES, ("VideoFlash/*.flv",), MEDIA),
             expected=("VideoFlash",)),
        Part("audio", "sound alone", default=False, pointers=Pointers(TABLES, ("AudioWAV/*.wav",), MEDIA),
             expected=("AudioWAV",)),
    ))
