"""Text as extractors read it: utterances and their pieces, words in time, subtitles."""
