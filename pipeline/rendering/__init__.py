"""Talking faces made on the spot: one photograph and one synthetic voice, acted from a seed.

::

    script ──► who says what in which dialogue, with which emotion
       ├──► speech ──► voice            text → sounds with times → a source-filter voice
       └──► acting ──► talking_face     emotion and the voice's loudness → expression curves → warped photograph
                            └──► corpus  frames and sound → MELD's folders and CSVs

The emotion reaches words, voice and face separately and each of them imperfectly: some sentences fit any mood, some
voices are flat, some faces stay still, and every speaker differs. The speaking mouth opens with the loudness of the
sound, the listening one does not, so that it can be told who speaks.
"""
