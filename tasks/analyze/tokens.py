"""How many tokens a text is, without any model's tokenizer at hand: rather too many than too few."""

import re

# Common words are one token in every tokenizer of today, rare ones one for every four letters or so. Several
# tokenizers take digits one by one, and a space before them as one more. Signs as they stand between two texts
# of JSON are one.
_PIECE = re.compile(r"[A-Z]?[a-z]{1,4}|[A-Z]{1,4}| (?=\d)|\d|[!-/:-@\[-`{-~]{1,3}|\n", re.ASCII)
# Base64 and the like: small letters, capitals and digits in no order. That can be close to one for each.
_NOISE = re.compile(
    r"(?<![A-Za-z\d+/])(?=[A-Za-z+/]*\d)(?=[a-z\d+/]*[A-Z])(?=[A-Z\d+/]*[a-z])[A-Za-z\d+/]{16,}", re.ASCII
)
# Chinese and Japanese have about one token in a character of three bytes, emoji up to two in their four.
FOREIGN_BYTES_PER_TOKEN = 2


def estimate_tokens(text: str) -> int:
    """How many tokens a text has at most, for English, JSON, other languages and what looks like noise."""
    noise_chars = sum(len(noise) for noise in _NOISE.findall(text))
    pieces = len(_PIECE.findall(_NOISE.sub("", text) if noise_chars else text))
    foreign_bytes = 0 if text.isascii() else len(text.encode()) - len(text.encode("ascii", "ignore"))
    return noise_chars + pieces - (-foreign_bytes // FOREIGN_BYTES_PER_TOKEN)
