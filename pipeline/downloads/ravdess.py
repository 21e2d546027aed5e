"""RAVDESS: Zenodo's record 1188976, the speech part: one archive of sound and one of video for each actor."""

from __future__ import annotations

from pathlib import Path

from pipeline.clip import Corpus
from pipeline.downloads import Archive, Distribution, Part, RemoteFile

HOSTS = ("https://zenodo.org/records/1188976/files",)
SOUND = RemoteFile("Audio_Speech_Actors_01-24.zip", HOSTS, 208_468_073, "md5:bc696df654c87fed845eb13823edef8a")
# Bytes and MD5 of Video_Speech_Actor_01.zip to _24.zip.
VIDEOS = (
    (552_968_353, "3c8ececaf392b4a9b11b32271f4f6d01"), (570_673_024, "a6f40d413b2e6ef25b3a595099e59abb"),
    (567_824_665, "68fa240ddd8a3cc410c64efe5fb2b0e4"), (546_560_009, "013eed832af1f7e97082aae398a00dbe"),
    (562_966_425, "b00e17d61374ef6ba86fef35d50a20fb"), (568_517_859, "3c42877921cc08cfb5c841a0f2cb94a7"),
    (565_652_404, "bdd29bfe082f80361ec6b589845c283d"), (562_573_079, "bed5f43d9c18e177e34d4bc1ed9b6d77"),
    (523_489_249, "775da349c50bf915a1bbcb37379bd092"), (565_580_163, "70199d1c6902f76e17df308d5c41fa01"),
    (518_634_370, "824504aa41a8fd575e5459d5701dd378"), (557_928_718, "2a1f0ddc0ca207beedee6ce2ea863ad7"),
    (501_877_549, "c5f2fd4fd77941636947620368c612b5"), (552_484_059, "466d31f4cce92a14b1f4ee884bbdf7d7"),
    (525_205_576, "4b3b9bc8473e86f884630f2506684887"), (562_416_513, "a63c54570ebbe6bd616d0dced5630f7e"),
    (551_688_845, "8b7ae3e5a85d2874ac8e1195e722e047"), (565_655_520, "fef2131ac361da182c0cb85f3d8e8a6c"),
    (581_121_687, "abb97d97d8c4e88c866cee1cea9d06d6"), (561_349_264, "5ddfb22770093bafebdefe8faa449f48"),
    (590_292_896, "d810cf2ff6863ef91306fc7a16d74fbb"), (560_907_466, "fee55f72c9871401f23d4b167de3217d"),
    (545_177_865, "b31e8c8904e66102e7a951694db752d6"), (595_799_165, "eef90e806c9179bc5b4b098d03647ae3"),
)


def _video(actor: int, size: int, digest: str) -> Part:
    file = RemoteFile(f"Video_Speech_Actor_{actor:02d}.zip", HOSTS, size, f"md5:{digest}")
    return Part(f"video-{actor:02d}", "one actor: picture with sound, and picture alone",
                archives=(Archive(file, growth=1.1),), expected=(f"Actor_{actor:02d}",))


DISTRIBUTION = Distribution(
    corpus=Corpus(
        name="ravdess", licence="CC BY-NC-SA 4.0", terms_url="https://zenodo.org/records/1188976",
        redistribute="non-commercial",
        citation="S. R. Livingstone, F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song"
                 " (RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North American English."
                 " PLoS ONE 13(5): e0196391, 2018."),
    about="24 actors speak two sentences with eight emotions", root=Path("data/RAVDESS"),
    parts=(Part("audio", "sound alone, all actors", archives=(Archive(SOUND, growth=3.0),),
                expected=tuple(f"Actor_{actor:02d}" for actor in range(1, len(VIDEOS) + 1))),
           *(_video(actor, size, digest) for actor, (size, digest) in enumerate(VIDEOS, start=1))))
