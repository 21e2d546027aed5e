"""Numbers from a waveform: spectra, voice and pauses, pitch, formants, and the statistics made of them."""
